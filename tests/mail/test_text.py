"""The text of a message while it arrives: any charset, any octets, cut anywhere."""

from __future__ import annotations

import encodings.aliases

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_pop3_gateway.mail import text
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


class Sink:
    """A file in memory."""

    def __init__(self) -> None:
        self.octets = bytearray()

    def write(self, data: bytes) -> None:
        self.octets += data

    def commit(self) -> str:
        return ""

    def discard(self) -> None:
        pass


def filed(codec: str, pieces: list[bytes], memory: int) -> bytes:
    """The file of a text of which so many octets are kept in memory."""
    sink = Sink()
    head = Head.from_bytes(f"Content-Type: text/plain; charset={codec}".encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "MESSAGE_MEMORY", memory)
        message = MessageText(Part(head, None), "MAIL", Files(lambda name, content_type: sink, 255))
        for piece in pieces:
            message.write(piece)
        message.finish(-1, keep_start=False)
    return bytes(sink.octets)


@given(
    st.sampled_from(CODECS),
    st.lists(st.one_of(st.sampled_from(TRAPS), st.binary(max_size=20)), max_size=6).map(b"".join),
    st.lists(st.integers(0, 120), max_size=4).map(sorted),
)
@example("iso2022_jp_2", b"\x1b$B4A\x1b(B", [7])
def test_any_octets_in_any_charset_are_the_same_text_however_they_are_cut(
    codec: str, octets: bytes, cuts: list[int]
) -> None:
    pieces = [octets[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
    assert filed(codec, pieces, memory=0) == filed(codec, [octets], memory=len(octets))


def test_utf_7_that_never_shifts_back_is_not_held_until_the_end() -> None:
    """The codec would keep all of it, and read it again with every piece."""
    sink = Sink()
    head = Head.from_bytes(b"Content-Type: text/plain; charset=utf-7")
    message = MessageText(Part(head, None), "MAIL", Files(lambda name, content_type: sink, 255))
    for piece in [b"+", *[b"AGEA" * 100_000] * 5]:
        message.write(piece)
    assert len(sink.octets) > 1_000_000
