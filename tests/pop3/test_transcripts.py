"""What real servers say, and bad imitations of them: ``tests/data/transcripts``, through both drivers, cut into pieces.

The format is told in the folder's README. Every file is replayed whole, octet by octet, and at sizes that cut through
status lines, stuffed dots and terminators.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

import pytest

from airflow_pop3_gateway import errors

FOLDER = Path(__file__).parents[1] / "data" / "transcripts"
FILES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.glob("*/*.txt"))
_CALL = re.compile(r"([\w.]+)(?:\((.*)\))? -> (.*)")
_COMPUTED = {
    "{oauthbearer}": lambda port: base64.b64encode(
        f"n,a=box,\1host=127.0.0.1\1port={port}\1auth=Bearer old\1\1".encode()
    ),
    "{apop <3281460711.1700000000@mail.example.org>}": lambda port: (
        hashlib.md5(b"<3281460711.1700000000@mail.example.org>secret").hexdigest().encode()
    ),
    "{cram-md5 <1@mail.example.org>}": lambda port: base64.b64encode(
        b"box " + hmac.new(b"secret", b"<1@mail.example.org>", "md5").hexdigest().encode()
    ),
}


@dataclass
class Transcript:
    """One file: what the server does, and what the test calls."""

    steps: list[tuple[str, bytes]] = field(default_factory=list)
    calls: list[tuple[str, str, str | None, str]] = field(default_factory=list)
    options: dict[str, object] = field(default_factory=dict)
    whole: bool = False

    @classmethod
    def read(cls, path: Path) -> Transcript:
        transcript = cls()
        for line in path.read_text("utf-8").splitlines():
            mark, text = line[:2].strip(), line[3:]
            if mark in ("=", "!"):
                name, arguments, outcome = _CALL.fullmatch(line[2:]).groups()
                transcript.calls.append((mark, name, arguments, outcome))
            elif mark == "@":
                name, _, value = line[2:].partition(" = ")
                transcript.options[name] = ast.literal_eval(value)
            elif mark == "S|":
                raw = text.replace("{100000 x}", "x" * 100_000)
                transcript.steps.append(("say", ast.literal_eval(f"b'''{raw}'''")))
            elif mark == "S:":
                transcript.steps.append(("say", text.encode() + b"\r\n"))
            elif mark == "C:":
                transcript.steps.append(("hear", text.encode()))
            elif mark == "W":
                transcript.whole = True
            elif mark == "X":
                transcript.steps.append(("close", b""))
        if not transcript.calls or transcript.calls[0][1] != "connect":
            transcript.calls.insert(0, ("=", "connect", "", "None"))
        return transcript

    def play(self, peer) -> None:
        port = peer.connection.getsockname()[1]
        for verb, octets in self.merged():
            if verb == "close":
                return
            if verb == "say":
                peer.say(octets)
            else:
                computed = next((text for text in _COMPUTED if text.encode() in octets), None)
                if computed:
                    octets = octets.replace(computed.encode(), _COMPUTED[computed](port))
                peer.hear(octets)
        peer.silence()

    def merged(self) -> list[tuple[str, bytes]]:
        """Lines said one after another are one stretch of octets, so that the cuts go through them."""
        steps: list[tuple[str, bytes]] = []
        for verb, octets in self.steps:
            if verb == "say" and steps and steps[-1][0] == "say":
                steps[-1] = ("say", steps[-1][1] + octets)
            else:
                steps.append((verb, octets))
        return steps


def outcome_of(client, box, name, arguments):
    """Call, and give the result in the words of a transcript."""
    if arguments is None:
        return attrgetter(name)(client)
    values = ast.literal_eval(f"({arguments},)") if arguments else ()
    if name in ("retrieve", "top_many"):
        box.mails.clear(), box.errors.clear()
        getattr(client, name)(*values, box)
        refused = {number: f"!{type(error).__name__}" for number, error in box.errors.items()}
        return {number: mail.decode("latin-1") for number, mail in box.mails.items()} | refused
    result = getattr(client, name)(*values)
    return {n: f"!{type(e).__name__}" for n, e in result.items()} if name in ("delete", "quit") else result


@pytest.mark.parametrize("chunk", [None, 1, 2, 3, 7, 60])
@pytest.mark.parametrize("file", FILES)
def test_the_client_makes_of_a_server_what_its_transcript_says(serve, connect, box, file, chunk):
    transcript = Transcript.read(FOLDER / file)
    server = serve(transcript.play, chunk=None if transcript.whole else chunk)
    client = None
    for mark, name, arguments, outcome in transcript.calls:
        if mark == "!":
            with pytest.raises(getattr(errors, outcome)) as caught:
                if name == "connect":
                    connect(server.site(**transcript.options))
                else:
                    outcome_of(client, box, name, arguments)
            assert type(caught.value).__name__ == outcome
            assert "secret" not in str(caught.value) and str(caught.value).isprintable()
        elif name == "connect":
            client = connect(server.site(**transcript.options))
        else:
            expected = eval(outcome, {"__builtins__": {}})
            assert outcome_of(client, box, name, arguments) == expected
