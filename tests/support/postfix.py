"""Debian's Postfix: takes mail for two domains, delivers it into Maildirs, bounces what it cannot, relays to one other.

Mail for an address of the two domains that does not exist is taken and then reported (RFC 3464), as a relay does that
cannot ask the mailboxes' server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from support.programs import Maildirs, Program, account, free_ports

OURS, THEIRS, BEYOND = "customer.example", "supplier.example", "beyond.example"

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
myhostname = mail.relay.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_reject_unlisted_recipient = no
smtpd_discard_ehlo_keywords =
default_transport = error:this relay sends nothing outside
relay_transport = smtp:[127.0.0.1]:{next_hop}
relay_domains = {beyond}
smtp_address_preference = ipv4
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {ours}, {theirs}
virtual_mailbox_base = {maildirs}
virtual_mailbox_maps = texthash:{folder}/etc/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
virtual_minimum_uid = 1
biff = no
delay_warning_time = 1s
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
"""

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
smtp unix - - n - - smtp
virtual unix - n n - - virtual -o max_use=1
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix(Program):
    """Delivers into these Maildirs; a mailbox's login is its address.

    :ivar port: where it speaks SMTP, with DSN, without TLS and without a login; :ivar next_hop: where it hands on mail for
        the domain beyond, if anybody listens there.
    """

    name = "postfix"
    package = "postfix"
    needs_root = True
    host = "127.0.0.1"

    def __init__(self, maildirs: Maildirs) -> None:
        super().__init__()
        self.port, self.next_hop = free_ports(2)
        self.maildirs = maildirs

    def command(self) -> list[str]:
        etc = self.folder / "etc"
        etc.mkdir()
        (self.folder / "queue").mkdir()
        (self.folder / "data").mkdir(mode=0o700)
        shutil.chown(self.folder / "data", "postfix")
        places = {
            "folder": self.folder,
            "maildirs": self.maildirs.maildirs,
            "uid": account().pw_uid,
            "port": self.port,
            "ours": OURS,
            "theirs": THEIRS,
            "beyond": BEYOND,
            "next_hop": self.next_hop,
        }
        (etc / "main.cf").write_text(MAIN.format(**places))
        (etc / "master.cf").write_text(MASTER.format(**places))
        (etc / "mailboxes").touch()
        for file in etc.iterdir():
            _cool(file)
        return [self.path, "-c", str(etc), "start-fg"]

    def ports(self) -> list[int]:
        return [self.port]

    def add(self, address: str) -> str:
        """An address that exists from now on; a delivery process lives for one mail and reads the list anew."""
        file = self.folder / "etc" / "mailboxes"
        with file.open("a") as mailboxes:
            mailboxes.write(f"{address} {address}/\n")
        _cool(file)
        return address

    def stop(self) -> None:
        """By its own command, which ends its daemons and waits for them."""
        subprocess.run([self.path, "-c", str(self.folder / "etc"), "stop"], check=False, capture_output=True)
        super().stop()

    @property
    def log(self) -> str:
        """What Postfix wrote down."""
        return (self.folder / "postfix.log").read_text()


def _cool(file: Path) -> None:
    """Postfix waits two seconds before it reads a file that was just written."""
    os.utime(file, (0, 0))
