"""Sample mails: one of every kind the Gateway's table names, and of every case it leaves silent.

Strategy: a mail is headers, an empty line and an entity; entities are put together from octets by hand, so that each
mail says exactly what its name promises and nothing a library would have tidied up. Lines end in CRLF.

Invariant: deterministic; the same call gives the same octets, whatever the clock, the host or the Python version.
Every builder takes ``number``, which makes Message-ID and Subject of its own; the octets are otherwise the same.
"""

from __future__ import annotations

import base64
import hashlib
import random

PARTNER = "orders@supplier.example"
US = "edi@customer.example"
DATE = "Mon, 23 Nov 2026 08:00:00 +0000"

EDIFACT = (
    b"UNB+UNOC:3+4012345000009:14+4098765000008:14+261123:0800+1'\r\n"
    b"UNH+1+INVOIC:D:96A:UN:EAN008'\r\n"
    b"BGM+380+2026-4711+9'\r\n"
    b"MOA+9:1190.00:EUR'\r\n"
    b"UNT+4+1'\r\n"
    b"UNZ+1+1'\r\n"
)
"""An invoice of a few segments, the usual content of these mails."""
CSV = b"sensor;time;celsius\r\n17;2026-11-23T08:00:00Z;21.5\r\n"
PIXEL = base64.b64decode(b"R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A GIF image of one pixel."""


# -- parts to build with ----------------------------------------------------------------------------------------


def entity(body: bytes, *headers: str) -> bytes:
    """A MIME entity: header lines, an empty line, the body as it is."""
    return "".join(f"{line}\r\n" for line in headers).encode() + b"\r\n" + body


def text(words: str, content_type: str = "text/plain; charset=utf-8") -> bytes:
    """A text part; what is not ASCII goes as 8-bit UTF-8."""
    return entity(
        words.encode() + b"\r\n", f"Content-Type: {content_type}", "Content-Transfer-Encoding: 8bit"
    )


def file(content: bytes, name: str = "", content_type: str = "application/octet-stream") -> bytes:
    """An attached file in base64; without a name it has none."""
    disposition = f'attachment; filename="{name}"' if name else "attachment"
    return entity(
        base64.encodebytes(content).replace(b"\n", b"\r\n"),
        f"Content-Type: {content_type}",
        "Content-Transfer-Encoding: base64",
        f"Content-Disposition: {disposition}",
    )


def multipart(kind: str, *parts: bytes) -> bytes:
    """A multipart entity; its boundary comes from the parts, so nested ones never have the same.

    :param kind: the subtype, with parameters of its own after a semicolon.
    """
    boundary = "=_" + hashlib.sha256(b"".join(parts)).hexdigest()[:24]
    line = f"--{boundary}".encode()
    body = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + b"--\r\n"
    return entity(body, "MIME-Version: 1.0", f'Content-Type: multipart/{kind}; boundary="{boundary}"')


def letter(
    kind: str, number: int, content: bytes, *headers: str, sender: str = PARTNER, subject: str = ""
) -> bytes:
    """A whole mail from the partner to us around an entity.

    :param headers: more header lines, before the usual ones.
    """
    return (
        "".join(f"{line}\r\n" for line in headers)
        + f"From: {sender}\r\n"
        + f"To: {US}\r\n"
        + f"Subject: {subject or f'{kind} {number}'}\r\n"
        + f"Date: {DATE}\r\n"
        + f"Message-ID: <{kind}-{number}@supplier.example>\r\n"
    ).encode() + content


# -- the Gateway's table ----------------------------------------------------------------------------------------


def file_attached(number: int = 1) -> bytes:
    """multipart/mixed with a short text and one EDIFACT file: a file transfer."""
    return letter(
        "file-attached", number, multipart("mixed", text("Invoice 4711."), file(EDIFACT, "INVOIC.edi"))
    )


def file_with_long_message(number: int = 1) -> bytes:
    """A file transfer whose text is longer than the 254 characters a user message may have."""
    words = "\r\n".join(
        f"Line {line}: the goods of this invoice were delivered in full." for line in range(1, 9)
    )
    return letter(
        "file-with-long-message", number, multipart("mixed", text(words), file(EDIFACT, "INVOIC-2.edi"))
    )


def message(number: int = 1) -> bytes:
    """text/plain: a message transfer."""
    return letter("message", number, text("The delivery of today is late."))


def alternative(number: int = 1) -> bytes:
    """multipart/alternative, the same words as text and as a page: a message transfer."""
    page = text("<p>The delivery of today is <b>late</b>.</p>", "text/html; charset=utf-8")
    return letter(
        "alternative", number, multipart("alternative", text("The delivery of today is *late*."), page)
    )


def receipt(number: int = 1, original: str = "<sent-1@customer.example>") -> bytes:
    """A positive disposition notification (RFC 8098) for a mail of ours: an acknowledgment."""
    notification = entity(
        "Reporting-UA: supplier.example; Example Mail 1.0\r\n"
        f"Final-Recipient: rfc822; {PARTNER}\r\n"
        f"Original-Message-ID: {original}\r\n"
        "Disposition: automatic-action/MDN-sent-automatically; processed\r\n".encode(),
        "Content-Type: message/disposition-notification",
    )
    returned = entity(
        f"Message-ID: {original}\r\nFrom: {US}\r\n".encode(), "Content-Type: text/rfc822-headers"
    )
    report = multipart(
        "report; report-type=disposition-notification",
        text("Your mail was processed."),
        notification,
        returned,
    )
    return letter("receipt", number, report, "Auto-Submitted: auto-replied", "Return-Path: <>")


def bounce(number: int = 1, original: str = "<sent-1@customer.example>") -> bytes:
    """A delivery status notification (RFC 3464) that says a mail of ours failed: an acknowledgment."""
    status = entity(
        b"Reporting-MTA: dns; mail.supplier.example\r\n"
        b"Arrival-Date: Mon, 23 Nov 2026 07:59:00 +0000\r\n"
        b"\r\n"
        b"Final-Recipient: rfc822; nobody@supplier.example\r\n"
        b"Action: failed\r\n"
        b"Status: 5.1.1\r\n"
        b"Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n",
        "Content-Type: message/delivery-status",
    )
    returned = entity(
        f"Message-ID: {original}\r\nFrom: {US}\r\n".encode(), "Content-Type: text/rfc822-headers"
    )
    report = multipart(
        "report; report-type=delivery-status", text("Your mail could not be delivered."), status, returned
    )
    return letter(
        "bounce",
        number,
        report,
        "Auto-Submitted: auto-replied",
        "Return-Path: <>",
        sender="MAILER-DAEMON@supplier.example",
    )


def unknown_format(number: int = 1) -> bytes:
    """One part that is no text: none of the rows of the table, so the whole mail is kept."""
    return letter("unknown-format", number, file(EDIFACT, content_type="application/edifact"))


# -- where the table is silent, and what comes with it ----------------------------------------------------------


def several_files(number: int = 1) -> bytes:
    """Two attached files, which the Gateway rejects."""
    parts = (
        text("Invoice and measurements."),
        file(EDIFACT, "INVOIC.edi"),
        file(CSV, "values.csv", "text/csv"),
    )
    return letter("several-files", number, multipart("mixed", *parts))


def duplicate(number: int = 1) -> bytes:
    """Other content under the Message-ID of :func:`file_attached`."""
    content = multipart("mixed", text("Invoice 4711, again."), file(EDIFACT, "INVOIC.edi"))
    return letter("file-attached", number, content, "Received: from relay.supplier.example; " + DATE)


def no_message_id(number: int = 1) -> bytes:
    """No Message-ID: a hash of header fields identifies it."""
    whole = letter("no-message-id", number, text("Who am I?"))
    return b"".join(line for line in whole.splitlines(True) if not line.startswith(b"Message-ID:"))


def subject_parameters(number: int = 1) -> bytes:
    """The sender's Gateway names application, origin, destination and file in the subject."""
    subject = f"Invoices {number} //XFB appli=INVOICES; ORG=SUPPLIER; DEST=CUSTOMER FILENAME=inv{number}.edi"
    content = multipart("mixed", text("See attached."), file(EDIFACT, "INVOIC.edi"))
    return letter("subject-parameters", number, content, subject=subject)


def asks_for_receipt(number: int = 1) -> bytes:
    """A file transfer whose sender wants a disposition notification, and may have one."""
    return letter(
        "asks-for-receipt",
        number,
        multipart("mixed", text("Please confirm."), file(EDIFACT, "ORDERS.edi")),
        f"Return-Path: <{PARTNER}>",
        f"Disposition-Notification-To: {PARTNER}",
    )


def list_mail_asks(number: int = 1) -> bytes:
    """A mailing list passes on a mail that wants a notification: none may go."""
    return letter(
        "list-mail-asks",
        number,
        text("To all: please confirm."),
        f"Return-Path: <{PARTNER}>",
        "List-Id: All customers <customers.supplier.example>",
        "Precedence: list",
        f"Disposition-Notification-To: {PARTNER}",
    )


def auto_reply(number: int = 1) -> bytes:
    """Out of office, and wants a notification: none may go (RFC 3834)."""
    return letter(
        "auto-reply",
        number,
        text("I am back on Monday."),
        f"Return-Path: <{PARTNER}>",
        "Auto-Submitted: auto-replied",
        f"Disposition-Notification-To: {PARTNER}",
    )


def signed(number: int = 1) -> bytes:
    """multipart/signed around a file transfer; the signature has the right place and type, no more."""
    content = multipart("mixed", text("Signed invoice."), file(EDIFACT, "INVOIC.edi"))
    signature = file(b"0\x80not a signature", "smime.p7s", "application/pkcs7-signature")
    kind = 'signed; protocol="application/pkcs7-signature"; micalg=sha-256'
    return letter("signed", number, multipart(kind, content, signature))


def inline_images(number: int = 1) -> bytes:
    """multipart/related: a page with the image it shows, nothing attached."""
    page = text('<p>Hello <img src="cid:logo@supplier.example"></p>', "text/html; charset=utf-8")
    image = entity(
        base64.b64encode(PIXEL) + b"\r\n",
        "Content-Type: image/gif",
        "Content-Transfer-Encoding: base64",
        "Content-ID: <logo@supplier.example>",
        'Content-Disposition: inline; filename="logo.gif"',
    )
    return letter("inline-images", number, multipart("related; type=text/html", page, image))


def forwarded(number: int = 1) -> bytes:
    """A whole mail attached to a mail."""
    enclosed = entity(
        file_attached(number), "Content-Type: message/rfc822", "Content-Disposition: attachment"
    )
    return letter("forwarded", number, multipart("mixed", text("See below."), enclosed))


def text_as_attachment(number: int = 1) -> bytes:
    """A text part that is marked as a file."""
    parts = text("Measurements."), file(CSV, "values.txt", "text/plain; charset=us-ascii")
    return letter("text-as-attachment", number, multipart("mixed", *parts))


def nameless_attachment(number: int = 1) -> bytes:
    """An attached file without any name."""
    return letter("nameless-attachment", number, multipart("mixed", text("No name."), file(EDIFACT)))


def without_attachment(number: int = 1) -> bytes:
    """multipart/mixed with nothing but a text in it."""
    return letter("without-attachment", number, multipart("mixed", text("Nothing attached.")))


def path_as_name(number: int = 1) -> bytes:
    """The file's name wants to climb out of its folder."""
    return letter("path-as-name", number, multipart("mixed", text("Hm."), file(EDIFACT, "../../etc/passwd")))


def _named(kind: str, number: int, parameter: str) -> bytes:
    attached = entity(
        base64.encodebytes(EDIFACT).replace(b"\n", b"\r\n"),
        "Content-Type: application/edifact",
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f" {parameter}",
    )
    return letter(kind, number, multipart("mixed", text("A name from Zürich."), attached))


def name_in_rfc2231(number: int = 1) -> bytes:
    """The name ``Zürich Rechnung.edi`` as RFC 2231 wants it, in two continued pieces."""
    return _named("name-in-rfc2231", number, "filename*0*=utf-8'de'Z%C3%BCrich%20; filename*1=Rechnung.edi")


def name_in_rfc2047(number: int = 1) -> bytes:
    """The name ``Zürich Rechnung.edi`` as an encoded word, which RFC 2047 forbids there and many agents send."""
    return _named("name-in-rfc2047", number, 'filename="=?utf-8?Q?Z=C3=BCrich_Rechnung.edi?="')


def unknown_charset(number: int = 1) -> bytes:
    """A text in a charset nobody knows."""
    return letter("unknown-charset", number, text("Caf\u00e9", "text/plain; charset=x-klingon"))


def nested(number: int = 1, levels: int = 985) -> bytes:
    """A mail in a mail in a mail: 31 kB that bring down whoever recurses."""
    return letter("nested", number, b"Content-Type: message/rfc822\r\n\r\n" * levels + text("The end."))


def long_line(number: int = 1, octets: int = 10_000_000) -> bytes:
    """A text of one line, ten thousand times longer than SMTP allows."""
    return letter("long-line", number, entity(b"x" * octets + b"\r\n", "Content-Type: text/plain"))


def large_file(octets: int, number: int = 1) -> bytes:
    """A file transfer of so many octets: a mebibyte of noise, again and again."""
    noise = random.Random(octets).randbytes(1 << 20)
    content = (noise * (octets // len(noise) + 1))[:octets]
    return letter("large-file", number, multipart("mixed", text("Large."), file(content, "large.bin")))


def one_of_every_kind() -> dict[str, bytes]:
    """Every small mail of this module by its builder's name; the duplicate after its original."""
    builders = (
        file_attached,
        file_with_long_message,
        message,
        alternative,
        receipt,
        bounce,
        unknown_format,
        several_files,
        duplicate,
        no_message_id,
        subject_parameters,
        asks_for_receipt,
        list_mail_asks,
        auto_reply,
        signed,
        inline_images,
        forwarded,
        text_as_attachment,
        nameless_attachment,
        without_attachment,
        path_as_name,
        name_in_rfc2231,
        name_in_rfc2047,
        unknown_charset,
        nested,
    )
    return {builder.__name__: builder() for builder in builders}
