"""What a fuzzer begins with: good input of every kind, and the words that mean something in it.

Seeds come from the practice letters, the transcripts of the tests, and the collections of real mail beside the
checkout (``../shared/corpora``) where they are; without them a run is only less well informed.
"""

from __future__ import annotations

import binascii
import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from airflow_pop3_gateway.testing import letters

TESTS = Path(__file__).resolve().parents[1]
CORPORA = TESTS.parents[1] / "shared" / "corpora"
LARGEST = 1 << 13
"""Octets of a seed: mutations of longer ones find the same more slowly."""

FIELDS = (
    b"Content-Type: ",
    b"Content-Disposition: attachment; filename*0*=utf-8''a%C3; filename*1=b",
    b"Content-Transfer-Encoding: ",
    b"Message-ID: <",
    b"Subject: =?utf-8?B?w6Q=?= =?utf-8?q?=C3?=",
    b"//XFB appli=A; ORG=b; FILENAME=c",
    b"From: a@b",
    b'To: u:"x\\"" <@r:a@b>, (c(c)) d@e;',
    b"Date: Mon, 23 Nov 2026 08:00:00 +0000 (x)",
    b"\r\n ",
    b"\n\t",
    b"From ",
    b"=?iso-2022-jp?B?GyRC?=",
    b"us-ascii",
    b"utf-7",
    b"utf-16",
    b"hz",
    b"gb18030",
    b"''",
    b"*0*=",
    b"*1=",
    b'"',
    b"\\",
)
STRUCTURE = (
    *FIELDS,
    b"\r\n\r\n",
    b"--",
    b"--b",
    b"--b--",
    b"boundary=b",
    b'boundary="=_"',
    b"multipart/mixed; ",
    b"multipart/alternative; ",
    b"multipart/related; ",
    b"multipart/signed; ",
    b"multipart/report; ",
    b"multipart/encrypted; ",
    b"multipart/digest; ",
    b"message/rfc822\r\n\r\n",
    b"message/global\r\n\r\n",
    b"message/partial",
    b"message/external-body",
    b"message/delivery-status\r\n\r\n",
    b"message/disposition-notification\r\n\r\n",
    b"message/feedback-report",
    b"text/rfc822-headers",
    b"text/html",
    b"application/pdf; name=a",
    b"application/ms-tnef",
    b"application/pkcs7-mime; smime-type=signed-data",
    b"application/pkcs7-signature",
    b"base64\r\n",
    b"quoted-printable\r\n",
    b"x-uuencode\r\n",
    b"begin 644 a\n#86)C\n`\nend\n",
    b"charset=iso-2022-jp",
    b"charset=utf-16",
    b"\x1b$a",
)
ENCODED = (
    b"=",
    b"==",
    b"=\r\n",
    b"=3D",
    b"=C3=A4",
    b"YWJj\r\n",
    b"YQ==",
    b"begin 644 a\n",
    b"`\nend\n",
    b"#86)C\n",
)
REPORT = (
    b"Reporting-MTA: dns; a\r\n",
    b"Final-Recipient: rfc822; a@b\r\n",
    b"Original-Recipient: utf-8; \\x{E4}@b\r\n",
    b"Action: failed\r\n",
    b"Status: 5.1.1 (x)\r\n",
    b"Diagnostic-Code: smtp; 550 no\r\n",
    b"Disposition: automatic-action/MDN-sent-automatically; processed/error\r\n",
    b"Original-Message-ID: <a@b>\r\n",
    b"Disposition-Notification-To: a@b\r\n",
    b"Disposition-Notification-Options: x=required,1\r\n",
    b"Return-Path: <a@b>\r\n",
    b"\r\n\r\n",
    b"\0Message-ID: <a@b>",
)
SERVER = (
    b"+OK\r\n",
    b"-ERR [AUTH] no\r\n",
    b"-ERR [SYS/TEMP] ",
    b"+ \r\n",
    b"\r\n.\r\n",
    b".\n",
    b"\r\n..",
    b"SASL SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN XOAUTH2\r\n",
    b"PIPELINING\r\nUIDL\r\nTOP\r\nSTLS\r\n",
    b"<1@host>",
    b"2 320",
    b"1 abc\r\n",
    b"+ cj1hLHM9YWFhYSxpPTE=\r\n",
)
KINDS = ("mixed", "signed", "report", "related")
SIGNATURE = b"Content-Type: application/pgp-signature; name=signature.asc\r\n\r\nsignature"
ZIP = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08", b"\1\0", b"\x08\0", b".zip", b"/")
PLAIN_SESSION = (
    b"+OK ready\r\n+OK\r\nUSER\r\nUIDL\r\nTOP\r\n.\r\n+OK\r\n+OK\r\n+OK\r\nUIDL\r\nTOP\r\nLANG\r\n.\r\n"
    b"+OK 3 300\r\n+OK\r\n1 100\r\n2 100\r\n3 100\r\n.\r\n+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n"
    b"+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n+OK 1 100\r\n+OK\r\nSubject: x\r\n\r\n.\r\n"
    b"+OK\r\nmail\r\n..\r\n.\r\n-ERR no\r\n+OK\r\nthree\r\n.\r\n+OK\r\n+OK\r\n-ERR no\r\n"
    b"+OK\r\nen English\r\n.\r\n+OK bye\r\n"
)
TLS_SESSION = (
    b"+OK <1@host>\r\n+OK\r\nSTLS\r\nSASL SCRAM-SHA-256 CRAM-MD5\r\nPIPELINING\r\n.\r\n+OK\r\n+OK\r\n"
    b"SASL SCRAM-SHA-256 PLAIN LOGIN XOAUTH2 OAUTHBEARER\r\nUTF8\r\nPIPELINING\r\n.\r\n"
    b"+ \r\n+ cj1hLHM9YWFhYSxpPTE=\r\n+ dj1h\r\n+OK\r\n"
)


def mails() -> Iterator[bytes]:
    """Whole mails, small ones first."""
    builders = letters.one_of_every_kind().values()
    real = (
        sorted(CORPORA.rglob("*.eml"), key=lambda path: (path.stat().st_size, path))
        if CORPORA.is_dir()
        else []
    )
    yield from (mail for mail in builders if len(mail) <= LARGEST)
    yield letters.nested(levels=5)
    yield from (_around(kind, mail) for kind in KINDS for mail in builders if len(mail) <= LARGEST)
    yield from (path.read_bytes() for path in sorted((TESTS / "data" / "mail").glob("*.eml")))
    yield from (path.read_bytes() for path in real if 0 < path.stat().st_size <= LARGEST)


def _around(kind: str, mail: bytes) -> bytes:
    """A multipart of this kind that holds a mail: as what it is, and enclosed."""
    fields, _, body = mail.partition(b"\r\n\r\n")
    at = fields.find(b"Content-Type")
    entity = (fields[at:] if at >= 0 else b"") + b"\r\n\r\n" + body
    parts = (entity, b"Content-Type: message/rfc822\r\n\r\n" + mail, SIGNATURE)
    head = f"Message-ID: <{kind}@x>\r\nContent-Type: multipart/{kind}; boundary=around\r\n\r\n".encode()
    return head + b"".join(b"--around\r\n" + part + b"\r\n" for part in parts) + b"--around--\r\n"


def heads() -> Iterator[bytes]:
    """Header blocks."""
    for mail in mails():
        yield mail.replace(b"\r\n", b"\n").partition(b"\n\n")[0]


def fields() -> Iterator[bytes]:
    """Field bodies, without repetition."""
    yield from dict.fromkeys(
        line.partition(b":")[2].strip()
        for block in heads()
        for line in block.replace(b"\n ", b"\r\n ").split(b"\n")
    )


def names() -> Iterator[bytes]:
    """File names, some on a line each."""
    yield "../../etc/passwd\nCON.txt\na\u202egpj.exe\nÄ.pdf\nä.pdf\n.hidden\n..\n".encode()
    yield b"%PDF-1.7\na.tar.gz\n\xff\xfe.bin\n" + b"long" * 100 + b".xlsx\n"


def bodies() -> Iterator[bytes]:
    """Encoded contents."""
    data = bytes(range(256))
    yield binascii.b2a_base64(data)
    yield binascii.b2a_qp(data * 2)
    yield from uuencoded()
    for mail in mails():
        yield mail.replace(b"\r\n", b"\n").partition(b"\n\n")[2]


def reports() -> Iterator[bytes]:
    """Bodies of reports behind each other: fields and returned headers in one."""
    yield b"".join(REPORT)
    for mail in (letters.bounce(), letters.receipt()):
        yield mail.partition(b"\r\n\r\n")[2]
    for mail in mails():
        if b"multipart/report" in mail:
            yield mail[mail.find(b"Reporting-") :]


def replies() -> Iterator[bytes]:
    """What servers say, from the transcripts of the tests."""
    yield from SERVER
    for path in sorted((TESTS / "data" / "transcripts").rglob("*.txt")):
        said = (line[3:] for line in path.read_text("utf-8").splitlines() if line.startswith("S:"))
        yield "".join(f"{line}\r\n" for line in said).encode()


def sessions() -> Iterator[bytes]:
    """The same behind one octet that chooses the way to log in."""
    said = [PLAIN_SESSION, TLS_SESSION, *replies()]
    for number, octets in enumerate(said * 3):
        yield bytes([number * 5 % 108]) + octets


def winmails() -> Iterator[bytes]:
    """A ``winmail.dat`` with two files, one of them with a long name."""

    def attribute(number: int, data: bytes) -> bytes:
        return struct.pack("<BII", 2, number, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)

    name = "lóng.pdf\0".encode("utf-16-le")
    properties = struct.pack("<IHHII", 1, 0x1F, 0x3707, 1, len(name)) + name + bytes(-len(name) % 4)
    start = struct.pack("<IH", 0x223E9F78, 1) + attribute(0x69007, struct.pack("<II", 1252, 0))
    file = attribute(0x69002, bytes(14)) + attribute(0x18010, b"a.pdf\0") + attribute(0x6800F, b"%PDF-1.7")
    yield start
    yield start + file
    yield start + file + file + attribute(0x69005, properties)


def zips() -> Iterator[bytes]:
    """Zips: stored, deflated, in each other, without members."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        inner = _zipped({"a/b.txt": b"text " * 20, "c": b""}, method)
        yield inner
        yield _zipped({"inner.zip": inner, "x": b"x"}, method)
    yield _zipped({}, zipfile.ZIP_STORED)


def _zipped(files: dict[str, bytes], method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def uuencoded() -> Iterator[bytes]:
    """Texts with files in them."""
    lines = b"".join(binascii.b2a_uu(bytes(range(at, at + 45))) for at in range(0, 200, 45))
    yield b"see below\nbegin 644 a b.bin\n" + lines + b"`\nend\nand\nbegin 0600 c\n \nend\n"
    yield b"begin again\nbegin 644 x\n" + lines
