"""The text of a message while it arrives: any charset, any octets, cut anywhere."""

from __future__ import annotations

import encodings.aliases

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.mail.files import Files
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.mail.parts import Part
from airflow_pop3_gateway.mail.text import MessageText
from airflow_pop3_gateway.mail.words import charset_codec

CODECS = sorted({codec for name in set(encodings.aliases.aliases.values()) if (codec := charset_codec(name))})
# What begins like an escape sequence of ISO 2022, is one, is torn, or shifts in UTF-7 and HZ.
TRAPS = [
    b"\x1b$aaaaaaaaaaaaaaa",
    b"\x1b$B4A\x1b(B",
    b"\x1b$)C\x0e",
    b"\x1b&@\x1b$B",
    b"\x1b",
    b"+AGE-",
    b"~{VP~}",
    b"\xff\xfe",
]


def text_of(codec: str, pieces: list[bytes]) -> str | None:
    head = Head.from_bytes(f"Content-Type: text/plain; charset={codec}".encode())
    text = MessageText(Part(head, None), "MAIL", Files(pytest.fail, 255))  # type: ignore[arg-type]
    for piece in pieces:
        text.write(piece)
    return text.finish(1 << 20, keep_start=False)[0]


@given(
    st.sampled_from(CODECS),
    st.lists(st.one_of(st.sampled_from(TRAPS), st.binary(max_size=20)), max_size=6).map(b"".join),
    st.lists(st.integers(0, 120), max_size=4).map(sorted),
)
def test_any_octets_in_any_charset_are_the_same_text_however_they_are_cut(
    codec: str, octets: bytes, cuts: list[int]
) -> None:
    pieces = [octets[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
    assert text_of(codec, pieces) == text_of(codec, [octets])


class Sink:
    """A file that nobody keeps."""

    def __init__(self) -> None:
        self.octets = 0

    def write(self, data: bytes) -> None:
        self.octets += len(data)

    def commit(self) -> str:
        return ""

    def discard(self) -> None:
        pass


def test_utf_7_that_never_shifts_back_is_not_held_until_the_end() -> None:
    """The codec would keep all of it, and read it again with every piece."""
    sink = Sink()
    head = Head.from_bytes(b"Content-Type: text/plain; charset=utf-7")
    text = MessageText(Part(head, None), "MAIL", Files(lambda name, content_type: sink, 255))
    for piece in [b"+", *[b"AGEA" * 100_000] * 5]:
        text.write(piece)
    assert sink.octets > 1_000_000
