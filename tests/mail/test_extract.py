"""Understanding whole mails: type, file name, files, messages, the account of every part, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.mail import extract, mime
from airflow_pop3_gateway.mail.extract import Policy
from airflow_pop3_gateway.mail.handler import MOST_DEFECTS, Extraction
from airflow_pop3_gateway.mail.mime import MimeParser

PDF = b"%PDF-1.7 " + bytes(range(256))
PDF64 = base64.encodebytes(PDF).replace(b"\n", b"\r\n")
EXTRACT_ALL = Policy(multiple_attachments="extract")


def one_file(disposition: str = "attachment; filename=a.pdf", before: str = "See attached.") -> bytes:
    return (
        b"From: a@example.org\r\nSubject: x\r\nMessage-ID: <1@example.org>\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\n" + before.encode() + b"\r\n"
        b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
        b"Content-Disposition: " + disposition.encode() + b"\r\n\r\n" + PDF64 + b"--b--\r\n"
    )


# -- the four rows of the table ---------------------------------------------------------------------------------


def test_a_multipart_with_one_file_is_a_file_transfer_named_after_the_file(desk) -> None:
    understanding = desk.understand(one_file())
    assert (understanding.type, understanding.file_name) == ("XFER", "a.pdf")
    assert desk.files == {"a.pdf": PDF}
    assert understanding.user_message == "See attached."
    [file] = understanding.files
    assert (file.path, file.name, file.original_name, file.size) == ("key/a.pdf", "a.pdf", "a.pdf", len(PDF))
    assert (file.content_type, file.sha256) == ("application/pdf", hashlib.sha256(PDF).hexdigest())
    assert understanding.rejected is None


@pytest.mark.parametrize("content_type", ["text/plain", "text/html", "text/csv", "text/calendar"])
def test_a_text_mail_is_a_message_named_after_the_application(desk, letter, content_type: str) -> None:
    mail = letter(f"Content-Type: {content_type}\n\nHello\nthere\n")
    understanding = desk.understand(mail, Policy(application="EDI"))
    assert (understanding.type, understanding.file_name) == ("MSG", "EDI")
    assert understanding.user_message == "Hello\nthere"
    assert desk.files == {} and understanding.files == ()


ALTERNATIVE = """
    Content-Type: multipart/alternative; boundary=b

    --b
    Content-Type: {first}

    first
    --b
    Content-Type: {second}

    second
    --b--
    """


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (b"text/plain", b"text/html", "first"),
        (b"text/html", b"text/plain", "second"),
        (b"text/html", b"text/calendar", "first"),
        (b"text/plain", b"text/plain", "first"),
    ],
)
def test_an_alternative_is_a_message_and_the_plain_text_is_preferred(
    desk, letter, first, second, message
) -> None:
    understanding = desk.understand(letter(ALTERNATIVE, first=first, second=second))
    assert (understanding.type, understanding.file_name) == ("MSG", "MAIL")
    assert understanding.user_message == message
    assert sorted(leaf.outcome for leaf in understanding.leaves) == ["alternative", "user_message"]


def test_a_report_is_an_acknowledgment(desk, letter) -> None:
    mail = letter("""
        Content-Type: multipart/report; report-type=delivery-status; boundary=b

        --b

        Sorry.
        --b
        Content-Type: message/delivery-status

        Reporting-MTA: dns; mx

        Action: failed
        --b
        Content-Type: message/rfc822

        Message-ID: <ours@example.org>

        our text
        --b--
        """)
    understanding = desk.understand(mail)
    assert (understanding.type, understanding.file_name, understanding.user_message) == ("EERP", "MAIL", None)
    assert desk.files == {}
    status, returned = understanding.captured
    assert (status.content_type, status.path) == ("message/delivery-status", "2")
    assert status.data == b"Reporting-MTA: dns; mx\r\n\r\nAction: failed"
    assert returned.data == b"message-id: <ours@example.org>\r\n"


@pytest.mark.parametrize(
    "content_type", ["application/pdf", "image/png", "message/rfc822", "audio/basic", "x/y"]
)
def test_everything_else_is_for_recovery(desk, letter, content_type: str) -> None:
    mail = letter(f"Content-Type: {content_type}\nContent-Disposition: attachment; filename=a.pdf\n\nhello\n")
    understanding = desk.understand(mail)
    assert (understanding.type, understanding.file_name) == ("XFER", "RECOVER")
    assert understanding.rejected is not None and understanding.rejected.code == "unknown-format"
    assert desk.files == {}
    assert {leaf.outcome for leaf in understanding.leaves} == {"within_recover"}


# -- extract_file = no -------------------------------------------------------------------------------------------


def test_without_extraction_nothing_is_decoded_and_nothing_is_a_content_error(desk) -> None:
    understanding = desk.understand(one_file(), Policy(application="EDI", extract_file=False))
    assert (understanding.type, understanding.rule, understanding.file_name) == (
        "XFER",
        "whole-mail",
        "EDI.eml",
    )
    assert understanding.octets == len(one_file())
    assert [leaf.octets for leaf in understanding.leaves] == [len(one_file())]
    assert desk.files == {}


def test_without_extraction_an_acknowledgment_is_still_one(desk, letter) -> None:
    mail = letter("Content-Type: multipart/report; boundary=b\n\n--b\n\nhello\n--b--\n")
    assert desk.understand(mail, Policy(extract_file=False)).type == "EERP"


# -- what counts as a file ---------------------------------------------------------------------------------------

PLAIN = "Content-Type: text/plain\n\nHello\n"


def mixed(*parts: str, kind: str = "mixed") -> bytes:
    text = (
        f"Content-Type: multipart/{kind}; boundary=b\n\n"
        + "".join(f"--b\n{part}\n" for part in parts)
        + "--b--\n"
    )
    return text.replace("\n", "\r\n").encode()


IMAGE = "Content-Type: image/png\nContent-ID: <i>\n\npixels\n"
PAGE = "Content-Type: text/html\n\n<img src=cid:i>\n"
NAMED_TEXT = "Content-Type: text/csv; name=a.csv\n\na;b\n"
SIGNATURE = "Content-Type: application/pgp-signature; name=signature.asc\n\n-----BEGIN\n"


@pytest.mark.parametrize(
    ("what", "mail", "type_", "rule", "files"),
    [
        ("two texts, no file", mixed(PLAIN, PLAIN), "MSG", "multipart-without-file", []),
        ("a text with a name", mixed(PLAIN, NAMED_TEXT), "XFER", "multipart-one-file", ["a.csv"]),
        ("a text with a name alone", mixed(NAMED_TEXT), "XFER", "multipart-one-file", ["a.csv"]),
        (
            "a text marked as attachment",
            mixed(PLAIN, "Content-Type: text/plain\nContent-Disposition: attachment\n\nx\n"),
            "XFER",
            "multipart-one-file",
            ["part-2.txt"],
        ),
        ("an image without a name", mixed(PLAIN, IMAGE), "XFER", "multipart-one-file", ["part-2.png"]),
        ("a page with its image", mixed(PAGE, IMAGE, kind="related"), "MSG", "multipart-without-file", []),
        (
            "a page with a file beside its image",
            mixed(PAGE, IMAGE, "Content-Type: a/b\nContent-Disposition: attachment\n\nx\n", kind="related"),
            "XFER",
            "multipart-one-file",
            ["part-3.bin"],
        ),
        (
            "a file from a Macintosh",
            mixed(PLAIN, mixed("Content-Type: application/applefile; name=f.x\n\nx\n", "Content-Type: a/b; name=f.x\n\nx\n", kind="appledouble").decode()),
            "XFER",
            "multipart-one-file",
            ["f.x"],
        ),
        (
            "a page that is not the first part",
            mixed(IMAGE, "Content-Type: text/html\nContent-ID: <p>\n\nx\n", kind='related; type="text/html"; start="<p>"'),
            "MSG",
            "multipart-without-file",
            [],
        ),
        (
            "a root that is no page",
            mixed("Content-Type: a/xml; name=r.xml\nContent-ID: <p>\n\nx\n", PAGE, kind='related; type="a/xml"; start="<p>"'),
            "XFER",
            "multipart-one-file",
            ["r.xml"],
        ),
        ("related parts of no page", mixed("Content-Type: a/xml; name=r.xml\n\nx\n", kind="related"), "XFER", "multipart-one-file", ["r.xml"]),
        ("a calendar entry as alternative", mixed(PLAIN, "Content-Type: text/calendar; name=i.ics\n\nx\n", kind="alternative"), "MSG", "multipart-alternative", []),
        (
            "a file inside an alternative",
            mixed(PLAIN, "Content-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: a/b; name=f.x\n\nx\n--c--\n", kind="alternative"),
            "XFER",
            "multipart-one-file",
            ["f.x"],
        ),
        ("a signed text", mixed(PLAIN, SIGNATURE, kind="signed"), "MSG", "multipart-without-file", []),
        ("a file and nothing else", mixed("Content-Type: a/b; name=f.x\n\nx\n"), "XFER", "multipart-one-file", ["f.x"]),
        ("an enclosed mail", mixed(PLAIN, "Content-Type: message/rfc822\n\nSubject: in\n\nx\n"), "XFER", "multipart-one-file", ["part-2.eml"]),
    ],
)  # fmt: skip
def test_what_counts_as_a_file(desk, what: str, mail: bytes, type_: str, rule: str, files: list[str]) -> None:
    understanding = desk.understand(mail)
    stored = set(desk.files) - {file.name for file in understanding.evidence}
    assert (understanding.type, understanding.rule, sorted(stored)) == (type_, rule, files), what
    assert [file.name for file in understanding.files] == files


CMS_SIGNED = b"\x30\x82\x06\x17\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0"
CMS_ENVELOPED = b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03\xa0\x80"


@pytest.mark.parametrize(
    ("what", "mail", "reason"),
    [
        ("PGP/MIME", mixed("Content-Type: application/pgp-encrypted\n\nVersion: 1\n", "Content-Type: a/b; name=e.asc\n\nx\n", kind="encrypted"), "encrypted"),
        ("PGP/MIME in a list's mixed", mixed(PLAIN, mixed("Content-Type: application/pgp-encrypted\n\nVersion: 1\n", kind="encrypted").decode()), "encrypted"),
        ("PGP/MIME as Exchange rewrites it", mixed(PLAIN, "Content-Type: application/pgp-encrypted\n\nVersion: 1\n", "Content-Type: a/b; name=e.asc\n\nx\n"), "encrypted"),
        ("S/MIME, encrypted", b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nx", "encrypted"),
        ("S/MIME, signed opaquely", b"Content-Type: application/x-pkcs7-mime; smime-type=signed-data\r\n\r\nx", "signed-opaque"),
        ("S/MIME, encrypted and authenticated", b"Content-Type: application/pkcs7-mime; smime-type=authEnveloped-data\r\n\r\nx", "encrypted"),
        ("S/MIME that does not say it is signed", b"Content-Type: application/pkcs7-mime\r\n\r\n" + CMS_SIGNED, "signed-opaque"),
        ("S/MIME that does not say it is encrypted", b"Content-Type: application/x-pkcs7-mime\r\n\r\n" + CMS_ENVELOPED, "encrypted"),
        ("S/MIME that says something else", b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\n" + CMS_ENVELOPED, "encrypted"),
        ("S/MIME by its name", b"Content-Type: application/octet-stream; name=SMIME.p7m\r\n\r\n" + CMS_SIGNED, "signed-opaque"),
        ("S/MIME, signed around encrypted", mixed("Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\n\nx\n", "Content-Type: application/pkcs7-signature\n\nx\n", kind="signed"), "encrypted"),
        ("S/MIME, only certificates", b"Content-Type: application/pkcs7-mime; smime-type=certs-only\r\n\r\nx", "unknown-format"),
        ("S/MIME, compressed", b"Content-Type: application/pkcs7-mime; smime-type=compressed-data\r\n\r\nx", "unknown-format"),
        ("one piece of a mail", b'Content-Type: message/partial; id="x"; number=1\r\n\r\nx', "message-partial"),
        ("a file that is elsewhere", mixed(PLAIN, "Content-Type: message/external-body; access-type=ftp\n\nContent-Type: a/b\n"), "external-body"),
        ("nothing inside", mixed(), "no-parts"),
        ("a multipart without a boundary", b"Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n--b--", "no-parts"),
        ("only what a page shows", mixed(mixed(IMAGE, kind="alternative").decode().replace("=b", "=c").replace("--b", "--c")), "nothing-to-extract"),
        ("two files", mixed("Content-Type: a/b; name=1\n\nx\n", "Content-Type: a/b; name=2\n\nx\n"), "multiple-attachments"),
    ],
)  # fmt: skip
def test_what_is_refused_and_why(desk, what: str, mail: bytes, reason: str) -> None:
    understanding = desk.understand(mail)
    assert (understanding.type, understanding.file_name) == ("XFER", "RECOVER"), what
    assert understanding.rejected is not None and understanding.rejected.code == reason, what
    assert desk.files == {} and understanding.files == () and understanding.user_message is None
    assert {leaf.outcome for leaf in understanding.leaves} <= {"within_recover", "refused"}


def test_a_signed_file_among_others_stays_a_file(desk) -> None:
    invoice = "Content-Type: application/pkcs7-mime; name=IT01234567890_00001.xml.p7m\nContent-Transfer-Encoding: base64\n\n"
    understanding = desk.understand(mixed(PLAIN, invoice + base64.b64encode(CMS_SIGNED).decode() + "\n"))
    assert (understanding.type, understanding.file_name) == ("XFER", "IT01234567890_00001.xml.p7m")
    assert understanding.leaves[1].sniffed_type == "application/pkcs7-mime; smime-type=signed-data"
    assert understanding.defects == ()


def test_a_text_mail_marked_as_attachment_is_the_file(desk, letter) -> None:
    mail = letter("Content-Type: text/csv\nContent-Disposition: attachment; filename=a.csv\n\na;b\n")
    understanding = desk.understand(mail)
    assert (understanding.type, understanding.file_name) == ("XFER", "a.csv")
    assert desk.files == {"a.csv": b"a;b\r\n"}


def test_a_broken_report_is_a_report_with_a_note(desk, letter) -> None:
    understanding = desk.understand(letter("Content-Type: multipart/report; boundary=b\n\n--b\n\nSorry.\n"))
    assert (understanding.type, understanding.captured) == ("EERP", ())
    assert "report-without-notification" in {defect.code for defect in understanding.defects}


ABUSE = "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\n"


def test_an_abuse_report_is_noted_as_no_acknowledgment(desk) -> None:
    mail = mixed(PLAIN, ABUSE, kind="report")
    understanding = desk.understand(mail)
    assert understanding.type == "EERP"
    assert "feedback-report" in {defect.code for defect in understanding.defects}


@pytest.mark.parametrize(("within", "noted"), [("", True), ("Content-Type: message/rfc822\n\n", False)])
def test_an_abuse_report_that_was_sent_on_is_noted_but_not_within_a_mail(
    desk, within: str, noted: bool
) -> None:
    """Some agents make a multipart/mixed of it; then the mail that was complained of is the attached file."""
    report = (
        within
        + "Content-Type: multipart/mixed; boundary=c\n\n--c\n"
        + ABUSE
        + "\n--c\n"
        + RETURNED
        + "\n--c--\n"
    )
    understanding = desk.understand(mixed(PLAIN, report))
    assert understanding.rule == "multipart-one-file"
    assert ("feedback-report" in {defect.code for defect in understanding.defects}) == noted


STATUS = "Content-Type: message/delivery-status\n\nAction: failed\n"
RETURNED = "Content-Type: message/rfc822\n\nMessage-ID: <ours@x>\n\nx\n"


def test_a_status_in_a_mail_that_does_not_call_itself_a_report_is_an_acknowledgment(desk) -> None:
    understanding = desk.understand(mixed(PLAIN, STATUS, RETURNED))
    assert (understanding.type, understanding.rule) == ("EERP", "multipart-notification")
    assert [captured.content_type for captured in understanding.captured] == [
        "message/delivery-status",
        "message/rfc822",
    ]
    assert desk.files == {}


@pytest.mark.parametrize(
    ("sender", "type_"), [("MAILER-DAEMON@mx", "EERP"), ("colleague@example.org", "XFER")]
)
def test_a_report_inside_a_mail_counts_when_a_mail_system_sent_it(desk, sender: str, type_: str) -> None:
    report = mixed(PLAIN, STATUS, RETURNED, kind="report").decode().replace("=b", "=c").replace("--b", "--c")
    mail = mixed(PLAIN, "Content-Type: message/rfc822\n\n" + report.replace("\r\n", "\n"))
    understanding = desk.understand(f"From: {sender}\r\n".encode() + mail)
    assert understanding.type == type_
    assert sorted(desk.files) == ([] if type_ == "EERP" else ["part-2.eml"])


# -- several files -----------------------------------------------------------------------------------------------


def test_several_files_are_extracted_where_the_application_allows_it(desk) -> None:
    mail = mixed(PLAIN, *(f"Content-Type: a/b; name=f.txt\n\n{n}\n" for n in "123"))
    understanding = desk.understand(mail, EXTRACT_ALL)
    assert (understanding.type, understanding.rule, understanding.file_name) == (
        "XFER",
        "multipart-several-files",
        "f.txt",
    )
    assert [file.name for file in understanding.files] == ["f.txt", "f-2.txt", "f-3.txt"]
    assert desk.files == {"f.txt": b"1\r\n", "f-2.txt": b"2\r\n", "f-3.txt": b"3\r\n"}
    assert desk.most_open == 1


def test_the_second_file_discards_the_first_where_only_one_is_allowed(desk) -> None:
    mail = mixed("Content-Type: a/b; name=1\n\nx\n", "Content-Type: a/b; name=2\n\ny\n")
    understanding = desk.understand(mail)
    assert desk.files == {} and desk.most_open == 1
    assert [(leaf.name, leaf.size, leaf.file) for leaf in understanding.leaves] == [
        ("1", 3, None),
        ("2", 3, None),
    ]


# -- the user message --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "inline"), [(0, True), (253, True), (254, True), (255, False)])
def test_a_message_of_up_to_254_characters_stays_in_the_record(
    desk, letter, length: int, inline: bool
) -> None:
    text = "ü" * length
    understanding = desk.understand(
        letter("Content-Type: text/plain; charset=utf-8\n\n{t}\n", t=text.encode())
    )
    if inline:
        assert (understanding.user_message, understanding.user_message_file, desk.files) == (text, None, {})
    else:
        assert understanding.user_message is None
        assert understanding.user_message_file == "key/MAIL.txt" == understanding.files[0].path
        assert desk.files == {"MAIL.txt": text.encode() + b"\r\n"}
        assert understanding.files[0].sha256 == hashlib.sha256(desk.files["MAIL.txt"]).hexdigest()


def test_a_long_message_beside_a_file_is_cut_in_the_record_and_kept_whole(desk) -> None:
    understanding = desk.understand(one_file(before="x" * 300))
    assert understanding.user_message == "x" * 254
    assert understanding.user_message_file == "key/MAIL.txt"
    assert desk.files == {"a.pdf": PDF, "MAIL.txt": b"x" * 300}
    assert [file.name for file in understanding.files] == ["a.pdf"]


def test_a_message_too_long_for_memory_goes_to_its_file_as_it_arrives(desk, letter) -> None:
    text = ("Grüße\r\n" * 400_000).encode("iso-8859-1")
    understanding = desk.understand(letter("Content-Type: text/plain; charset=iso-8859-1\n\n{t}", t=text))
    assert desk.files["MAIL.txt"] == text.decode("iso-8859-1").encode()
    assert understanding.leaves[0].size == len(text)
    assert understanding.leaves[0].sha256 == hashlib.sha256(text).hexdigest()


def test_an_html_message_goes_to_an_html_file(desk, letter) -> None:
    desk.understand(letter("Content-Type: text/html\n\n<p>{t}\n", t=b"x" * 300))
    assert list(desk.files) == ["MAIL.html"]


@pytest.mark.parametrize(
    ("charset", "octets", "text", "defects"),
    [
        ("", "Grüße".encode(), "Grüße", {"encoding-lies"}),
        ("; charset=utf-8", "Grüße".encode(), "Grüße", {"encoding-lies"}),
        ("; charset=iso-8859-1", "Grüße".encode("latin-1"), "Grüße", {"encoding-lies"}),
        ("; charset=us-ascii", "Grüße".encode("latin-1"), "Grüße", {"encoding-lies"}),
        ("; charset=no-such-thing", b"Hello", "Hello", {"unknown-charset"}),
        ("; charset=base64", b"Hello", "Hello", {"unknown-charset"}),
        ("; charset=utf-8", b"a\xffb", "a\ufffdb", {"encoding-lies"}),
        ("; charset=utf-16le", "Hé".encode("utf-16le"), "Hé", {"encoding-lies"}),
        ("", b"a\0b", "a\ufffdb", set()),
        ("", b"begin 644 x.txt\r\n#86)C\r\n`\r\n", "begin 644 x.txt\n#86)C\n`", {"uuencode-in-text"}),
    ],
)
def test_the_text_of_a_message_in_any_charset(
    desk, charset: str, octets: bytes, text: str, defects: set[str]
) -> None:
    understanding = desk.understand(f"Content-Type: text/plain{charset}\r\n\r\n".encode() + octets)
    assert understanding.user_message == text
    assert {defect.code for defect in understanding.defects} == defects


def test_an_alternative_without_parts_is_a_message_of_what_stands_there(desk, letter) -> None:
    understanding = desk.understand(letter("Content-Type: multipart/alternative; boundary=b\n\nHello\n"))
    assert (understanding.type, understanding.user_message) == ("MSG", "Hello")
    assert "no-parts" in {defect.code for defect in understanding.defects}


# -- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("disposition", "original", "name"),
    [
        ('attachment; filename="a b.pdf"', "a b.pdf", "a b.pdf"),
        ("attachment; filename*=utf-8''Gr%C3%BC%C3%9Fe.pdf", "Grüße.pdf", "Grüße.pdf"),
        ("attachment; filename*0=long; filename*1=name.pdf", "longname.pdf", "longname.pdf"),
        ('attachment; filename="=?utf-8?b?R3LDvMOfZS5wZGY=?="', "Grüße.pdf", "Grüße.pdf"),
        ("attachment; filename=Grüße.pdf", "Grüße.pdf", "Grüße.pdf"),
        ('attachment; filename="../../etc/passwd"', "../../etc/passwd", "passwd"),
        ("attachment", None, "part-2.pdf"),
    ],
)
def test_file_names_in_every_dialect_are_decoded_and_made_safe(desk, disposition, original, name) -> None:
    understanding = desk.understand(one_file(disposition))
    assert list(desk.files) == [name]
    assert (understanding.files[0].original_name, understanding.leaves[1].name) == (original, original)


# -- the account -------------------------------------------------------------------------------------------------


def test_every_leaf_is_accounted_for_with_octets_size_and_digest(desk) -> None:
    understanding = desk.understand(one_file())
    text, file = understanding.leaves
    assert (text.path, text.outcome, text.octets, text.size) == ("1", "user_message", 13, 13)
    assert (file.path, file.outcome, file.octets, file.size) == ("2", "file", len(PDF64) - 2, len(PDF))
    assert (file.encoding, file.disposition, file.file, file.sniffed_type) == (
        "base64",
        "attachment",
        "key/a.pdf",
        "application/pdf",
    )
    assert understanding.octets == len(one_file())


def test_a_type_that_the_octets_contradict_is_noted(desk) -> None:
    understanding = desk.understand(
        one_file().replace(b"Content-Type: application/pdf", b"Content-Type: image/png")
    )
    assert understanding.leaves[1].sniffed_type == "application/pdf"
    assert [(defect.code, defect.where) for defect in understanding.defects] == [("type-differs", "2")]


def test_an_enclosed_mail_is_one_file_of_exact_octets_and_its_parts_are_listed(desk) -> None:
    inner = one_file()
    mail = mixed(PLAIN, "Content-Type: message/rfc822\n\n{inner}").replace(b"{inner}\r\n", inner)
    understanding = desk.understand(mail)
    assert desk.files == {"part-2.eml": inner[:-2]}
    assert [(leaf.path, leaf.outcome) for leaf in understanding.leaves] == [
        ("1", "user_message"),
        ("2", "file"),
        ("2.1", "ignored"),
        ("2.2", "ignored"),
    ]
    assert [leaf.name for leaf in understanding.attachments] == [None, "a.pdf"]


def test_signed_content_and_signature_are_accounted_for_with_exact_octets(desk) -> None:
    understanding = desk.understand(mixed(PLAIN, SIGNATURE, kind="signed"))
    text, signature = understanding.leaves
    assert (text.outcome, text.size) == ("user_message", 7)
    assert (signature.why, signature.sha256) == ("signature", hashlib.sha256(b"-----BEGIN\r\n").hexdigest())


# -- bounds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "mail", "code"),
    [
        (Limits(depth=2), mixed(mixed(mixed(PLAIN).decode()).decode()), "depth"),
        (Limits(parts=2), mixed(PLAIN, PLAIN), "parts"),
        (Limits(header_bytes=20), mixed(PLAIN), "header_bytes"),
        (Limits(header_count=1), b"a: b\r\nc: d\r\n\r\n", "header_count"),
        (Limits(line_bytes=4), mixed(PLAIN), "line_bytes"),
        (Limits(message_bytes=100), one_file(), "message_bytes"),
        (Limits(), b"a: b\r\n" * 100_000 + b"\r\n", "header_count"),
        (Limits(), b"a: " + b"x" * 5_000_000, "header_bytes"),
    ],
)
def test_past_a_bound_the_mail_is_for_recovery_and_counted_to_its_end(
    desk, limits: Limits, mail: bytes, code: str
) -> None:
    understanding = desk.understand(mail, Policy(limits=limits))
    assert (understanding.rule, understanding.file_name) == ("limit", "RECOVER")
    assert understanding.rejected is not None and understanding.rejected.code == code
    assert understanding.octets == len(mail)
    assert desk.files == {}


def test_a_mail_nested_985_deep_is_for_recovery(desk) -> None:
    mail = b"Content-Type: message/rfc822\r\n\r\n" * 985 + b"\r\nx"
    understanding = desk.understand(mail)
    assert understanding.rejected is not None and understanding.rejected.code == "depth"


def test_a_report_part_is_kept_up_to_its_bound(desk) -> None:
    mail = mixed(PLAIN, "Content-Type: message/delivery-status\n\n" + "x" * 200, kind="report")
    understanding = desk.understand(mail, Policy(limits=Limits(report_bytes=100)))
    assert [len(captured.data) for captured in understanding.captured] == [100]
    assert "report-too-long" in {defect.code for defect in understanding.defects}


def test_the_parts_of_a_report_share_their_bound(desk) -> None:
    """A report may have ten thousand of them, and return as many mails."""
    status = "Content-Type: message/delivery-status\n\n" + "x" * 60
    returned = "Content-Type: message/rfc822\n\nSubject: " + "y" * 60 + "\n\nz"
    mail = mixed(PLAIN, *[status] * 3, *[returned] * 3, kind="report")
    understanding = desk.understand(mail, Policy(limits=Limits(report_bytes=260)))
    kept = [len(captured.data) for captured in understanding.captured]
    assert (kept[:3], sum(kept), len(kept)) == ([60, 60, 60], 260, 6)
    assert [defect.where for defect in understanding.defects if defect.code == "report-too-long"] == [
        "6",
        "7",
    ]


def test_the_number_of_defects_that_are_written_down_is_bounded(desk) -> None:
    mail = mixed(*["Content-Type: text/plain\nContent-Transfer-Encoding: nonsense\n\nx\n"] * 200)
    assert len(desk.understand(mail).defects) == MOST_DEFECTS


def test_a_mail_that_is_kept_whole_is_not_kept_in_memory(desk) -> None:
    def chunks():
        yield b"Subject: x\r\n\r\n"
        for _ in range(100):
            yield b"x" * mime.PIECE

    tracemalloc.start()
    try:
        understanding = desk.understand(chunks(), Policy(extract_file=False))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert understanding.octets == 100 * mime.PIECE + 14
    assert peak < 10 * mime.PIECE


def test_the_headers_of_parts_that_have_ended_are_not_kept(desk) -> None:
    def chunks():
        yield b"Message-ID: <1@x>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        for _ in range(40):
            kind = b"Content-Type: multipart/mixed; boundary=c\r\n"
            yield b"--b\r\n" + kind + b"X: " + b"x" * mime.PIECE + b"\r\n\r\n--c\r\n"
            yield b"Content-Disposition: inline\r\nX: " + b"x" * mime.PIECE + b"\r\n\r\ntext\r\n--c--\r\n"
        yield b"--b--\r\n"

    tracemalloc.start()
    try:
        understanding = desk.understand(chunks())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [leaf.disposition for leaf in understanding.leaves] == ["inline"] * 40
    assert peak < 10 * mime.PIECE


# -- when something else fails -----------------------------------------------------------------------------------


def test_a_store_that_fails_ends_it_and_leaves_nothing_open(desk) -> None:
    desk.fails = True
    with pytest.raises(OSError, match="no space"):
        desk.understand(one_file())
    assert desk.open == [] and desk.files == {}


def test_a_source_that_fails_ends_it_and_leaves_nothing_open(desk) -> None:
    def chunks():
        yield one_file()[:-50] + b"x" * mime.PIECE
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        desk.understand(chunks())
    assert desk.open == [] and desk.files == {}


# -- cutting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("long", [False, True])
def test_a_nul_in_a_text_stays_out_of_the_record(desk, long: bool) -> None:
    """Databases that take JSON refuse it."""
    text = "a\0b" + "." * 300 * long
    understanding = desk.understand(one_file(before=text))
    assert understanding.user_message is not None and understanding.user_message.startswith("a\ufffdb")
    assert not long or desk.files["MAIL.txt"] == text.encode()


BUILDING = st.sampled_from(
    [
        b"--b\r\n",
        b"--b--\r\n",
        b"--c\n",
        b"\r\n",
        b"\n",
        b"text ",
        b"=3D",
        b"YWJj",
        b"\xff",
        b"Subject: x\r\n",
    ]
    + [
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
        b"Content-Type: multipart/related; boundary=c\n\n",
    ]
    + [
        b"Content-Type: application/pdf; name=a\r\n",
        b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: text/html\n",
    ]
    + [b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n"]
    + [
        b"Content-Type: multipart/report; boundary=b\r\n\r\n",
        b"Content-Type: message/delivery-status\r\n\r\n",
    ]
)


@settings(max_examples=300)
@given(
    st.lists(BUILDING, max_size=25).map(b"".join),
    st.integers(1, 60),
    st.sampled_from([Policy(), EXTRACT_ALL]),
)
def test_any_octets_are_understood_the_same_at_every_cut(mail: bytes, size: int, policy: Policy) -> None:
    def whole_and_cut(piece: int):
        published: dict[str, bytes] = {}

        class Sheet:
            def __init__(self, name: str, content_type: str) -> None:
                self.name, self.octets = name, b""

            def write(self, data: bytes) -> None:
                self.octets += data

            def commit(self) -> str:
                published[self.name] = self.octets
                return self.name

            def discard(self) -> None:
                pass

        extraction = Extraction(lambda head: policy, Sheet)
        parser = MimeParser(extraction)
        exceeded = None
        for at in range(0, len(mail), piece):
            exceeded = exceeded or extract._fed(parser, mail[at : at + piece])
        exceeded = exceeded or extract._fed(parser, None)
        understanding = extraction.conclude(len(mail), exceeded)
        extraction.discard()
        facts = (understanding.type, understanding.file_name, understanding.rule, understanding.user_message)
        return (
            facts,
            understanding.leaves,
            understanding.captured,
            sorted(map(str, understanding.defects)),
            published,
        )

    assert whole_and_cut(size) == whole_and_cut(len(mail) + 1)
