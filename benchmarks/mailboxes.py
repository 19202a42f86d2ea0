"""Mailboxes that are the same in every run: small text mails, medium and large ones with one attachment.

Strategy: every mail comes from a generator seeded by its kind and number. Files carry the sizes Dovecot looks for in
their names, so that no server has to read a mail to list it; several mailboxes are hard links to one set of files.

Invariant: a mail has no line that is longer than 78 octets; one small mail in twenty has lines that begin with a dot.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VOCABULARY = """
about above account after again amount answer before begin between call carry change close country delivery
depot different document during early every example factory follow freight goods great harbour important
invoice item kind large later letter line load manifest measure month never number often open order pallet
paper part pay place plan point port price quantity question receipt report road second send ship small
something stock story supplier table through today together total under until value warehouse week where
world
"""
WORDS = VOCABULARY.split()
BLOCK = 57 * 1024  # whole base64 lines, so that a large mail is made block by block


@dataclass(frozen=True)
class Kind:
    """One size of mail. :ivar octets: of a mail as it lies in the file, nearly."""

    name: str
    count: int
    octets: int
    attachment: bool


KINDS = {
    "small": Kind("small", 5000, 4 << 10, False),
    "medium": Kind("medium", 500, 200_000, True),
    "large": Kind("large", 4, 50_000_000, True),
}


@dataclass(frozen=True)
class Mailbox:
    """What one login holds. :ivar octets: on the wire; :ivar digests: SHA-256 of every mail as retrieved, in order."""

    kind: str
    count: int
    octets: int
    digests: tuple[str, ...]


def _head(dice: random.Random, number: int, subject: str) -> str:
    clock = f"Tue, 02 Jan 2024 {number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02} +0000"
    signature = base64.b64encode(dice.randbytes(256)).decode()
    folded = "\n\t ".join(signature[i : i + 68] for i in range(0, len(signature), 68))
    return (
        f"Return-Path: <partner{number}@example.org>\n"
        f"Received: from out.example.org (out.example.org [192.0.2.{number % 250 + 1}])\n"
        f"\tby in.example.com with ESMTPS id {dice.getrandbits(40):010X}\n"
        f"\tfor <edi@example.com>; {clock} (UTC)\n"
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=key1;\n"
        "\th=from:to:subject:date:message-id:mime-version:content-type;\n"
        f"\tb={folded}\n"
        f"Date: {clock}\n"
        f"From: =?utf-8?Q?J=C3=BCrgen_Partner_{number}?= <partner{number}@example.org>\n"
        "To: EDI inbox <edi@example.com>\n"
        f"Subject: {subject}\n"
        f"Message-ID: <{dice.getrandbits(128):032x}@example.org>\n"
        "MIME-Version: 1.0\n"
    )


def _text(dice: random.Random, octets: int, dots: bool) -> str:
    lines: list[str] = []
    have = 0
    while have < octets:
        line = " ".join(dice.choices(WORDS, k=10))[:76]
        if dots and dice.random() < 0.1:
            line = f".{line}"
        lines.append(line)
        have += len(line) + 1
    return "\n".join(lines) + "\n"


def mail(kind: Kind, number: int) -> Iterator[bytes]:
    """One mail in pieces, with the line ends of a file."""
    dice = random.Random(f"{kind.name} {number}")
    if not kind.attachment:
        head = _head(dice, number, f"Status {number}: {dice.choice(WORDS)}") + (
            "Content-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: 7bit\n\n"
        )
        yield (head + _text(dice, kind.octets - len(head), number % 20 == 0)).encode()
        return
    boundary = f"part-{dice.getrandbits(96):024x}"
    name = f"invoice-{number}.pdf"
    yield (
        f"{_head(dice, number, f'Invoice {number}')}"
        f'Content-Type: multipart/mixed; boundary="{boundary}"\n\n'
        f"--{boundary}\nContent-Type: text/plain; charset=us-ascii\n\n{_text(dice, 600, False)}\n"
        f'--{boundary}\nContent-Type: application/pdf; name="{name}"\nContent-Transfer-Encoding: base64\n'
        f'Content-Disposition: attachment; filename="{name}"\n\n'
    ).encode()
    left = kind.octets * 57 // 77
    while left > 0:
        yield base64.encodebytes(dice.randbytes(min(left, BLOCK)))
        left -= BLOCK
    yield f"\n--{boundary}--\n".encode()


def fill(maildirs: Path, kind: Kind, logins: list[str]) -> Mailbox:
    """Write the mails of a kind once, below the first login, and link them below the others."""
    first, *others = [maildirs / login / "cur" for login in logins]
    for login in logins:
        for folder in ("cur", "new", "tmp"):
            (maildirs / login / folder).mkdir(parents=True)
    octets, digests = 0, []
    for number in range(1, kind.count + 1):
        digest, size, lines = hashlib.sha256(), 0, 0
        with (first / "written").open("wb") as file:
            for piece in mail(kind, number):
                file.write(piece)
                digest.update(piece.replace(b"\n", b"\r\n"))
                size += len(piece)
                lines += piece.count(b"\n")
        name = f"{1_700_000_000 + number}.M1P1.bench,S={size},W={size + lines}:2,S"
        (first / "written").rename(first / name)
        for other in others:
            os.link(first / name, other / name)
        octets += size + lines
        digests.append(digest.hexdigest())
    return Mailbox(kind.name, kind.count, octets, tuple(digests))
