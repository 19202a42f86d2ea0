"""Who takes part: how each is started, what it is called with, and how many mails it kept.

Strategy: a contender that keeps mail in Maildirs, one that writes a batch for a mail server, and ours are counted
each by their own files, so that nobody wins by leaving something out. Peers run with their defaults, but for what the
comparison needs: mails stay on the server, nothing is rewritten, no state from an earlier run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.dovecot import PASSWORD
from benchmarks.mailboxes import Mailbox

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One row of the comparison. :ivar port: where to connect, behind the long way if there is one."""

    mailbox: Mailbox
    logins: tuple[str, ...]
    tls: bool
    round_trip_ms: int
    port: int
    ca_file: str

    @property
    def name(self) -> str:
        words = [f"{self.mailbox.count} {self.mailbox.kind}", "TLS" if self.tls else "plain"]
        if self.round_trip_ms:
            words.append(f"{self.round_trip_ms} ms round trip")
        if len(self.logins) > 1:
            words.append(f"{len(self.logins)} mailboxes")
        return ", ".join(words)


Commands = Callable[[Case, Path], list[list[str]]]


@dataclass(frozen=True)
class Contender:
    """:ivar commands: the processes to start at once; :ivar kept: how many mails lie below the folder.

    :ivar waits: the processes say "ready" and start at a line on their standard input.
    :ivar pipelines: asks for the next mail before it has the one before.
    :ivar slow: needs minutes where others need a second.
    """

    name: str
    version: str
    commands: Commands
    kept: Callable[[Path, Case], int]
    waits: bool = False
    pipelines: bool = False
    slow: bool = False

    def rounds(self, case: Case, most: int) -> int:
        """In how many rounds it takes part: those who wait for every mail make a long way very long."""
        if self.name in (ALONE if len(case.logins) > 1 else TOGETHER):
            return 0
        if self.slow:
            return 0 if case.round_trip_ms else 1
        return most if self.pipelines or not case.round_trip_ms else 1


def worker(name: str, one_process: bool, bound: int | None = None) -> Commands:
    """Commands for :mod:`benchmarks.worker`. :param bound: octets of address space a process may have."""

    def commands(case: Case, out: Path) -> list[list[str]]:
        runs: Iterable[Sequence[str]] = [case.logins] if one_process else [(one,) for one in case.logins]
        fixed = {
            "bound": bound,
            "port": case.port,
            "password": PASSWORD,
            "tls": case.tls,
            "ca_file": case.ca_file,
        }
        return [
            [
                sys.executable,
                "-m",
                "benchmarks.worker",
                name,
                json.dumps({**fixed, "logins": logins, "out": str(out)}),
            ]
            for logins in runs
        ]

    return commands


def spooled(out: Path, case: Case) -> int:
    """Mails in manifests, if their digests are those of the mails that were generated."""
    digests: list[str] = []
    for manifest in sorted(out.glob("spool/*/*/manifest.jsonl")):
        digests += [json.loads(line)["sha256"] for line in manifest.read_text().splitlines()]
    expected = sorted(case.mailbox.digests * len(case.logins))
    return len(digests) if sorted(digests) == expected else -1


def _files(out: Path, case: Case) -> int:
    return sum(1 for _ in out.glob("*.eml"))


def _maildirs(out: Path, case: Case) -> int:
    return sum(1 for _ in out.glob("*/new/*"))


def _batches(out: Path, case: Case) -> int:
    return sum(file.read_bytes().count(b"MAIL FROM:") for file in out.glob("*/batch"))


def _everything(out: Path, case: Case) -> int:
    return case.mailbox.count * len(case.logins)


def _folder(out: Path, login: str) -> Path:
    folder = out / login
    for path in (folder, folder / "cur", folder / "new", folder / "tmp"):
        path.mkdir(exist_ok=True)
    return folder


def _mpop(case: Case, out: Path) -> list[list[str]]:
    runs = []
    for login in case.logins:
        folder = _folder(out, login)
        tls = f"tls on\ntls_starttls off\ntls_trust_file {case.ca_file}\n" if case.tls else "tls off\n"
        (folder / "mpoprc").write_text(
            f"account default\nhost {'localhost' if case.tls else '127.0.0.1'}\nport {case.port}\nuser {login}\n"
            f"password {PASSWORD}\nauth user\nkeep on\nreceived_header off\nuidls_file {folder}/uidls\n"
            f"delivery maildir {folder}\n{tls}"
        )
        (folder / "mpoprc").chmod(0o600)
        runs.append(["mpop", "-C", str(folder / "mpoprc"), "-Q"])
    return runs


def _fetchmail(case: Case, out: Path) -> list[list[str]]:
    runs = []
    for login in case.logins:
        folder = _folder(out, login)
        host = "localhost" if case.tls else "127.0.0.1"
        tls = f'ssl sslcertck sslcertfile "{case.ca_file}"' if case.tls else "sslproto ''"
        (folder / "fetchmailrc").write_text(
            f"poll {host} proto pop3 port {case.port} no dns user {login} pass {PASSWORD} keep fetchall no rewrite "
            f'no mimedecode {tls} bsmtp "{folder}/batch"\n'
        )
        (folder / "fetchmailrc").chmod(0o600)
        files = ["--pidfile", str(folder / "pid"), "--idfile", str(folder / "ids")]
        runs.append(
            ["env", f"FETCHMAILHOME={folder}", "fetchmail", "-s", "-f", str(folder / "fetchmailrc"), *files]
        )
    return runs


def _getmail(case: Case, out: Path) -> list[list[str]]:
    runs = []
    for login in case.logins:
        folder = _folder(out, login)
        kind = "SimplePOP3SSLRetriever" if case.tls else "SimplePOP3Retriever"
        trust = f"ca_certs = {case.ca_file}\n" if case.tls else ""
        (folder / "getmailrc").write_text(
            f"[retriever]\ntype = {kind}\nserver = {'localhost' if case.tls else '127.0.0.1'}\nport = {case.port}\n"
            f"username = {login}\npassword = {PASSWORD}\n{trust}[destination]\ntype = Maildir\npath = {folder}/\n"
            "[options]\ndelete = false\nread_all = true\nverbose = 0\ndelivered_to = false\nreceived = false\n"
        )
        command = ["getmail", "--getmaildir", str(folder), "--rcfile", str(folder / "getmailrc")]
        if os.geteuid() == 0:  # it refuses to deliver as root
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, "mail", "mail")
            command = ["setpriv", "--reuid=mail", "--regid=mail", "--clear-groups", *command]
        runs.append(command)
    return runs


def _curl(case: Case, out: Path) -> list[list[str]]:
    where = f"pop3s://localhost:{case.port}" if case.tls else f"pop3://127.0.0.1:{case.port}"
    trust = ["--cacert", case.ca_file] if case.tls else []
    return [
        ["curl", "-s", "-u", f"{login}:{PASSWORD}", *trust]
        + ["-o", f"{out}/{login}-#1.eml", f"{where}/[1-{case.mailbox.count}]"]
        for login in case.logins
    ]


def _version(program: str) -> str:
    found = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return next(iter((found.stdout or found.stderr).splitlines()), "").strip()


def compiled_reader(folder: Path) -> tuple[Path, bool] | None:
    """The reader in C, and whether it can TLS; ``None`` where there is no compiler."""
    program = folder / "raw_reader"
    for libraries in (["-lssl", "-lcrypto"], ["-DWITHOUT_TLS"]):
        command = ["cc", "-O2", "-o", str(program), str(HERE / "raw_reader.c"), *libraries]
        try:
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return program, libraries[0] == "-lssl"
        except FileNotFoundError:
            return None
    return None


def raw_reader(folder: Path) -> Contender:
    """The limit: in C where it can be compiled."""
    compiled = compiled_reader(folder)
    python = worker("raw", one_process=False)

    def commands(case: Case, out: Path) -> list[list[str]]:
        if compiled is None or (case.tls and not compiled[1]):
            return python(case, out)
        tls = ["tls"] if case.tls else []
        return [[str(compiled[0]), str(case.port), login, PASSWORD, *tls] for login in case.logins]

    version = "C" if compiled and compiled[1] else "C, with TLS Python" if compiled else "Python"
    return Contender("raw reader", version, commands, _everything, waits=compiled is None, pipelines=True)


PEERS: Mapping[str, tuple[str, Commands, Callable[[Path, Case], int]]] = {
    "mpop": ("mpop", _mpop, _maildirs),
    "fetchmail": ("fetchmail", _fetchmail, _batches),
    "getmail6": ("getmail", _getmail, _maildirs),
    "curl": ("curl", _curl, _files),
}
SLOW = {"getmail6"}
PIPELINES = {"mpop"}
ALONE = {"fetchmail", "getmail6", "curl"}
"""Left out where there are several mailboxes at once: one tells enough, and takes long enough."""
TOGETHER = {"tasks"}
"""Left out where there is one mailbox only."""
KEEPS = {
    "raw reader": "nothing",
    "gateway": "spool, manifest, ledger",
    "tasks": "as gateway, a process a mailbox",
    "poplib": "one file a mail",
    "mpop": "Maildir",
    "fetchmail": "one BSMTP file",
    "getmail6": "Maildir",
    "curl": "one file a mail",
}


def contenders(folder: Path, gateway_version: str) -> tuple[list[Contender], list[str]]:
    """Everybody who can take part, the reference first, and the names of those who are not installed."""
    present = [
        raw_reader(folder),
        *(
            Contender(name, gateway_version, worker("gateway", one), spooled, waits=True, pipelines=True)
            for name, one in (("gateway", True), ("tasks", False))
        ),
        Contender("poplib", sys.version.split()[0], worker("poplib", one_process=False), _files, waits=True),
    ]
    absent = []
    for name, (program, commands, kept) in PEERS.items():
        if shutil.which(program):
            traits = {"pipelines": name in PIPELINES, "slow": name in SLOW}
            present.append(Contender(name, _version(program), commands, kept, **traits))
        else:
            absent.append(name)
    return present, absent
