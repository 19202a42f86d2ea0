"""File names that are safe, and what the first octets prove."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.config import LEAST_NAME_BYTES
from airflow_pop3_gateway.mail.names import Names, contradicts, safe_name, sniff


@pytest.mark.parametrize(
    ("original", "safe"),
    [
        ("invoice.pdf", "invoice.pdf"),
        ("Grüße aus Köln.pdf", "Grüße aus Köln.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("C:\\Temp\\a.txt", "a.txt"),
        ("/", ""),
        ("..", ""),
        (".hidden", "hidden"),
        ("a\0b.txt", "ab.txt"),
        ("a\r\nb.txt", "ab.txt"),
        ("gnp.\u202eexe", "gnp.exe"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1.tar.gz", "_com1.tar.gz"),
        ("console.txt", "console.txt"),
        ("a:b*c?.txt", "a_b_c_.txt"),
        ("trailing. . ", "trailing"),
        ("50%.txt", "50_.txt"),
        ("", ""),
    ],
)
def test_a_name_is_made_safe(original: str, safe: str) -> None:
    assert safe_name(original, 200) == safe


def test_a_long_name_keeps_its_extension_and_whole_characters() -> None:
    assert safe_name("ü" * 300 + ".pdf", 200) == "ü" * 98 + ".pdf"
    assert safe_name("x" * 200, 200) == "x" * 200
    assert safe_name("x" * 201, 200) == "x" * 200


def test_equal_names_of_one_mail_are_told_apart_whatever_their_case() -> None:
    names = Names(200)
    taken = [
        names.take(name, "1", "text/plain") for name in ("a.txt", "a.txt", "A.TXT", "a-2.txt", None, None)
    ]
    assert taken == ["a.txt", "a-2.txt", "A-3.TXT", "a-2-2.txt", "part-1.txt", "part-1-2.txt"]


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("application/pdf", "part-2.1.pdf"),
        ("message/rfc822", "part-2.1.eml"),
        ("application/octet-stream", "part-2.1.bin"),
        ("application/no-such", "part-2.1.bin"),
    ],
)
def test_a_file_without_a_name_is_called_by_its_place_and_type(content_type: str, name: str) -> None:
    assert Names(200).take(None, "2.1", content_type) == name
    assert Names(200).take("../..", "2.1", content_type) == name


@given(st.text(max_size=300), st.integers(8, 200))
def test_no_name_escapes(original: str, limit: int) -> None:
    name = Names(limit).take(original, "1", "text/plain")
    assert name and name not in (".", "..")
    assert len(name.encode()) <= limit
    assert not set(name) & set('/\\\0<>:"|?*\r\n')


SIGNED = b"0\x84\x01\x00\x00\x00\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"
COMPRESSED = b"0\x84\x01\x00\x00\x00\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x09"


@pytest.mark.parametrize(
    ("first", "declared", "sniffed", "lies"),
    [
        (b"%PDF-1.7", "application/pdf", "application/pdf", False),
        (b"%PDF-1.7", "application/octet-stream", "application/pdf", False),
        (b"%PDF-1.7", "text/csv", "application/pdf", True),
        (
            b"PK\x03\x04",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/zip",
            False,
        ),
        (b"PK\x03\x04", "application/x-zip-compressed", "application/zip", False),
        (b"MZ\x90", "application/pdf", "application/vnd.microsoft.portable-executable", True),
        (b"\xff\xd8\xff\xe0", "image/jpg", "image/jpeg", False),
        (SIGNED, "application/pkcs7-signature", "application/pkcs7-mime; smime-type=signed-data", False),
        (SIGNED, "application/pdf", "application/pkcs7-mime; smime-type=signed-data", True),
        (COMPRESSED, "application/pkcs7-mime", "application/pkcs7-mime; smime-type=compressed-data", False),
        (b"0123456789abcdef", "text/plain", None, False),
        (b"hello", "text/plain", None, False),
    ],
)
def test_declared_against_sniffed(first: bytes, declared: str, sniffed: str | None, lies: bool) -> None:
    assert sniff(first) == sniffed
    assert bool(sniffed and contradicts(declared, sniffed)) is lies


def test_the_shortest_bound_has_room_for_an_extension_and_a_counter() -> None:
    names = Names(LEAST_NAME_BYTES)
    given = [names.take("a long name.extension1", "1", "text/plain") for _ in range(2_000)]
    assert len(set(given)) == 2_000 and max(map(len, given)) == LEAST_NAME_BYTES


def test_a_number_that_was_tried_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail of 10,000 files of one name took a minute."""
    asked = 0

    class Counting(set[str]):
        def __contains__(self, name: object) -> bool:
            nonlocal asked
            asked += 1
            return super().__contains__(name)

    names = Names(40)
    monkeypatch.setattr(names, "_taken", Counting())
    long = "x" * 60
    wanted = ["a.txt", "A.TXT", "a-7.txt", f"{long}.txt", *(f"{long[:34]}{end}.txt" for end in ("p", "q"))]
    given = [names.take(name, "1", "text/plain") for name in wanted * 300]
    assert given[:3] == ["a.txt", "A-2.TXT", "a-7.txt"] and len(set(given)) == len(given)
    assert asked < 4 * len(given)
