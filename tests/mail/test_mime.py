"""The structure of a mail, at every cut, against the standard library, and at its bounds."""

from __future__ import annotations

import email
import email.message
import email.policy
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import LimitExceeded
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.mail.mime import MimeParser
from airflow_pop3_gateway.mail.parts import Part
from airflow_pop3_gateway.records import Defect


@dataclass
class Listener:
    """Writes down what the parser tells; octets of one part joined, for only their cutting may differ."""

    limits: Limits = Limits()
    told: list[tuple[object, ...]] = field(default_factory=list)

    def begin(self, head: Head) -> Limits | None:
        self.told.append(("begin", len(head.fields)))
        return self.limits

    def start(self, part: Part) -> None:
        self.told.append(("start", part.path, part.kind, part.content_type))

    def _octets(self, word: str, part: Part, piece: bytes) -> None:
        assert piece
        for at in range(len(self.told) - 1, -1, -1):
            if self.told[at][:2] == (word, part.path):
                self.told[at] = (word, part.path, self.told[at][2] + piece)  # type: ignore[operator]
                return
            if self.told[at][:2] == ("start", part.path):
                break
        self.told.append((word, part.path, piece))

    def data(self, part: Part, piece: memoryview) -> None:
        self._octets("data", part, bytes(piece))

    def enclosed(self, part: Part, piece: bytes) -> None:
        self._octets("enclosed", part, piece)

    def end(self, part: Part) -> None:
        self.told.append(("end", part.path))

    def defect(self, defect: Defect) -> None:
        self.told.append(("defect", defect.code, defect.where))

    def leaves(self) -> list[tuple[str, bytes]]:
        kinds = [
            (str(path), str(kind))
            for word, path, kind, *_ in filter(lambda one: one[0] == "start", self.told)
        ]
        octets = {path: data for word, path, data in (one for one in self.told if one[0] == "data")}
        return [(path, octets.get(path, b"")) for path, kind in kinds if kind == "leaf"]  # type: ignore[misc]


def told(mail: bytes, size: int = 1 << 20, limits: Limits = Limits()) -> list[tuple[object, ...]]:
    return listened([mail[at : at + size] for at in range(0, len(mail), size)], limits).told


def listened(pieces: Sequence[bytes], limits: Limits = Limits()) -> Listener:
    listener = Listener(limits)
    parser = MimeParser(listener)
    try:
        for piece in pieces:
            parser.feed(piece)
        parser.close()
    except LimitExceeded as exceeded:
        listener.told.append(("limit", exceeded.limit, exceeded.value))
    return listener


def leaves(mail: bytes) -> list[tuple[str, bytes]]:
    return listened([mail]).leaves()


NESTED = (
    b"Subject: x\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\npreamble\r\n"
    b"--a\r\n\r\none\r\n"
    b"--a\r\nContent-Type: multipart/alternative; boundary=a-b\r\n\r\n"
    b"--a-b\r\n\r\ntwo\r\n--a-b\r\nContent-Type: text/html\r\n\r\n<p>\r\n\r\n--a-b--\r\nepilogue\r\n"
    b"--a \t\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n"
    b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nthree\r\n--c--\r\n"
    b"--a\r\n\r\n--a--\r\nepilogue"
)


def test_parts_paths_and_octets_of_a_nested_mail() -> None:
    assert told(NESTED) == [
        ("begin", 2),
        ("start", "", "multipart", "multipart/mixed"),
        ("data", "", b"preamble"),
        ("start", "1", "leaf", "text/plain"),
        ("data", "1", b"one"),
        ("end", "1"),
        ("start", "2", "multipart", "multipart/alternative"),
        ("start", "2.1", "leaf", "text/plain"),
        ("data", "2.1", b"two"),
        ("end", "2.1"),
        ("start", "2.2", "leaf", "text/html"),
        ("data", "2.2", b"<p>\r\n"),
        ("end", "2.2"),
        ("end", "2"),
        ("start", "3", "message", "message/rfc822"),
        ("start", "3", "multipart", "multipart/mixed"),
        ("start", "3.1", "leaf", "text/plain"),
        ("data", "3.1", b"three"),
        ("end", "3.1"),
        ("end", "3"),
        (
            "enclosed",
            "3",
            b"Subject: in\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nthree\r\n--c--",
        ),
        ("end", "3"),
        ("start", "4", "leaf", "text/plain"),
        ("end", "4"),
        ("end", ""),
    ]


def without_order_of_enclosed(events: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The exact octets of an enclosed mail come along with its parts; only where they join the list differs."""
    return sorted(events, key=lambda event: event[0] == "enclosed")


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_cutting_changes_nothing(size: int, line_end: bytes) -> None:
    mail = NESTED.replace(b"\r\n", line_end)
    assert without_order_of_enclosed(told(mail, size)) == without_order_of_enclosed(told(mail))


@pytest.mark.parametrize("at", range(len(NESTED)))
def test_a_mail_that_breaks_off_anywhere_is_told_to_its_end_at_every_cut(at: int) -> None:
    whole, cut = told(NESTED[:at]), told(NESTED[:at], 5)
    assert without_order_of_enclosed(whole) == without_order_of_enclosed(cut)
    assert sum(event[0] == "start" for event in whole) == sum(event[0] == "end" for event in whole)


MULTIPART = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


@pytest.mark.parametrize(
    ("what", "mail", "expected"),
    [
        ("a plain mail", b"Subject: x\r\n\r\nbody\r\n", [("1", b"body\r\n")]),
        ("no body", b"Subject: x\r\n\r\n", [("1", b"")]),
        ("no empty line, no body", b"Subject: x\r\n", [("1", b"")]),
        ("nothing at all", b"", [("1", b"")]),
        ("no header", b"just some words\r\nand more\r\n", [("1", b"just some words\r\nand more\r\n")]),
        ("an empty header", b"\r\nSubject: no\r\n", [("1", b"Subject: no\r\n")]),
        ("no empty line before the body", b"Subject: x\r\nThis is body.\r\n", [("1", b"This is body.\r\n")]),
        ("an mbox line first", b"From a@b Mon Jan  1 00:00:00 2024\nSubject: x\n\nbody", [("1", b"body")]),
        (
            "an mbox line among the fields",
            b"Subject: x\nFrom a@b Mon Jan  1 00:00:00 2024\n>From a@b  Mon, Jan\nTo: y\n\nbody",
            [("1", b"body")],
        ),
        (
            "a body that begins with From",
            b"Subject: x\nFrom here on Mon\n\nx",
            [("1", b"From here on Mon\n\nx")],
        ),
        ("a field without a name", b"Subject: x\n: y\n z\nTo: y\n\nbody", [("1", b"body")]),
        ("a body that begins with a colon", b": x\n", [("1", b": x\n")]),
        ("lines that end in CR CR LF", b"Subject: x\r\r\n\r\r\nbody", [("1", b"body")]),
        ("NULs", b"Subject: \0\r\n\r\n\0\0", [("1", b"\0\0")]),
        ("a header of one long word", b"x" * 3000 + b"\r\n\r\nbody", [("1", b"x" * 3000 + b"\r\n\r\nbody")]),
        ("no close delimiter", MULTIPART + b"--b\r\n\r\none\r\n", [("1", b"one\r\n")]),
        ("delimiters without parts", MULTIPART + b"--b--\r\n", []),
        (
            "text behind the close delimiter",
            MULTIPART + b"--b\r\n\r\n1\r\n--b--\r\n--b\r\n\r\n2\r\n",
            [("1", b"1")],
        ),
        ("a longer word after the boundary", MULTIPART + b"--b\r\n\r\n--bc\r\n--b--", [("1", b"--bc")]),
        ("a boundary inside a line", MULTIPART + b"--b\r\n\r\nx--b\r\n--b--", [("1", b"x--b")]),
        (
            "a delimiter in place of the empty line",
            MULTIPART + b"--b\r\nX: y\r\n--b\r\n\r\n2\r\n--b--",
            [("1", b""), ("2", b"2")],
        ),
        (
            "a quoted boundary with spaces",
            b'Content-Type: multipart/x; boundary="b b"\n\n--b b\n\n1\n--b b--',
            [("1", b"1")],
        ),
        (
            "a multipart without a boundary",
            b"Content-Type: multipart/mixed\n\n--b\n\n1\n",
            [("1", b"--b\n\n1\n")],
        ),
        (
            "the boundary of the parent again",
            MULTIPART + b"--b\r\n" + MULTIPART + b"--b\r\n\r\n1\r\n--b--\r\n--b\r\n\r\n2\r\n--b--\r\n",
            [("1.1", b"1"), ("2", b"2")],
        ),
        (
            "an inner boundary that begins like the outer",
            MULTIPART
            + b"--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n\r\n1\r\n--bb--\r\n--b--",
            [("1.1", b"1")],
        ),
        (
            "an inner multipart that is never closed",
            MULTIPART
            + b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--",
            [("1.1", b"1"), ("2", b"2")],
        ),
        (
            "a digest",
            b"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: in\r\n\r\nbody\r\n--b--",
            [("1.1", b"body")],
        ),
        (
            "an enclosed mail in base64 is a leaf",
            MULTIPART
            + b"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--b--",
            [("1", b"YQ==")],
        ),
        ("bare CR before a delimiter", MULTIPART + b"--b\r\n\r\none\r--b--", [("1", b"one")]),
    ],
)
def test_dirt(what: str, mail: bytes, expected: list[tuple[str, bytes]]) -> None:
    assert leaves(mail) == expected, what
    for size in (1, 2, 5):
        assert without_order_of_enclosed(told(mail, size)) == without_order_of_enclosed(told(mail)), what


def test_a_line_of_ten_million_octets_is_data() -> None:
    [(_, octets)] = leaves(b"Subject: x\r\n\r\n" + b"x" * 10_000_000)
    assert len(octets) == 10_000_000


def nested(depth: int, kind: str) -> bytes:
    if kind == "message":
        return b"Content-Type: message/rfc822\r\n\r\n" * depth + b"\r\nbody"
    heads = [b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth)]
    return b"".join(heads) + b"\r\nbody"


@pytest.mark.parametrize("kind", ["message", "multipart"])
def test_depth_at_the_limit_and_past_it(kind: str) -> None:
    assert told(nested(50, kind))[-1][0] == "end"
    assert told(nested(51, kind))[-1] == ("limit", "depth", 50)
    assert told(nested(985, kind), 100)[-1] == ("limit", "depth", 50)


def test_a_deep_mail_may_be_walked_without_recursion() -> None:
    assert told(nested(20_000, "message"), limits=Limits(depth=100_000, parts=100_000))[-1] == ("end", "1")


def test_parts_at_the_limit_and_past_it() -> None:
    mail = MULTIPART + b"--b\r\n\r\n" * 9
    assert told(mail, limits=Limits(parts=10))[-1][0] == "end"
    assert told(mail, limits=Limits(parts=9))[-1] == ("limit", "parts", 9)


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_line_at_the_limit_and_past_it(size: int) -> None:
    mail = b"Subject: x\r\n\r\n" + b"x" * 9 + b"\r\n"
    assert told(mail, size, Limits(line_bytes=10))[-1][0] == "end"
    assert told(mail, size, Limits(line_bytes=9))[-1] == ("limit", "line_bytes", 9)


@pytest.mark.parametrize("size", [100, 5_000, 1_000_000])
@pytest.mark.parametrize("where", [b"", MULTIPART + b"--b\r\n"])
def test_a_header_block_at_the_limit_and_past_it(size: int, where: bytes) -> None:
    block = b"X: " + b"x\r\n " * 5_000 + b"\r\n"
    limits = Limits(header_bytes=len(block))
    assert told(where + block + b"\r\nbody", size, limits)[-1][0] == "end"
    assert told(where + b"Y" + block + b"\r\nbody", size, limits)[-1] == ("limit", "header_bytes", len(block))


def test_many_parts_cost_no_more_each_than_few() -> None:
    listener = listened([MULTIPART + b"--b\r\n\r\nx\r\n" * 9_999])
    assert len(listener.leaves()) == 9_999


TEXT = st.text(alphabet="ab-=\n .", max_size=40)


@st.composite
def letters(draw: st.DrawFn, depth: int = 0) -> email.message.Message:
    """A well-formed mail as the standard library builds it."""
    message = email.message.Message(policy=email.policy.compat32)
    if depth < 3 and draw(st.booleans()):
        parts = draw(st.lists(letters(depth + 1), min_size=1, max_size=3))
        boundary = draw(st.sampled_from(["b", "bb", "b-b", "=_x", "b b", "'()+_,-./:=?"]))
        message["Content-Type"] = f'multipart/mixed; boundary="{boundary}{depth}"'
        message.set_payload(parts)
    elif depth < 3 and draw(st.booleans()):
        message["Content-Type"] = "message/rfc822"
        message.set_payload([draw(letters(depth + 1))])
    else:
        message["Content-Type"] = "text/plain"
        message.set_payload(draw(TEXT))
    return message


@settings(max_examples=200)
@given(letters(), st.integers(1, 80))
def test_well_formed_mail_has_the_leaves_the_standard_library_sees(
    message: email.message.Message, size: int
) -> None:
    mail = message.as_bytes().replace(b"\n", b"\r\n")
    expected = [
        part.get_payload(decode=False).encode()
        for part in email.message_from_bytes(mail).walk()
        if not part.is_multipart()
    ]
    assert [octets for path, octets in leaves(mail)] == expected
    assert without_order_of_enclosed(told(mail, size)) == without_order_of_enclosed(told(mail))


@pytest.mark.parametrize(
    ("parameter", "boundary"),
    [
        (b'boundary="a b"', b"a b"),
        (b'boundary="a  b"', b"a  b"),
        (b'boundary="a b  "', b"a b"),
        (b'boundary="=?utf-8?q?x?="', b"=?utf-8?q?x?="),
        (b'boundary="gr\xfc\xdf"', b"gr\xfc\xdf"),
        ("boundary=grüß".encode(), "grüß".encode()),
        (b'boundary="a\\"b"', b'a"b'),
        (b'boundary="a\\b"', b"a\\b"),
        (b"boundary*=us-ascii''a%20b", b"a b"),
        (b"boundary*0=a; boundary*1=b", b"ab"),
        (b"boundary=a/b:c?d=e (a comment)", b"a/b:c?d=e"),
        (b'x="boundary=y"; boundary=z', b"z"),
    ],
)
def test_a_boundary_is_octets(parameter: bytes, boundary: bytes) -> None:
    """Not text: nothing in it is decoded or evened out."""
    head = b"Content-Type: multipart/mixed; " + parameter + b"\r\n\r\n"
    assert leaves(head + b"--" + boundary + b"\r\n\r\nx\r\n--" + boundary + b"--\r\n") == [("1", b"x")]


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_delimiters_behind_each_other_have_no_part_between_them(size: int) -> None:
    """As an agent of old wrote them; an empty part would be the first text, and so the message."""
    mail = MULTIPART + b"--b\r\n--b\r\n--b\r\na: b\r\n\r\nx\r\n--b\r\n--b--\r\n"
    assert [octets for _, octets in leaves(mail)] == [b"x"]
    assert told(mail, size) == told(mail)
    almost = MULTIPART + b"--b\r\n--bb\r\n--b--\r\n"
    assert [octets for _, octets in leaves(almost)] == [b"--bb"]
    assert told(almost, size) == told(almost)


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n", b"\r\r\n", b"\r\r\r\n", b" \t\r\r\n"])
@pytest.mark.parametrize("rest", [b"", b"x", b"\r\nx", b"a: b\r\n\r\nx"])
def test_a_delimiter_line_is_one_however_its_end_was_cut(line_end: bytes, rest: bytes) -> None:
    mail = MULTIPART + b"--b" + line_end + rest
    for size in (1, 2, 3):
        assert told(mail, size) == told(mail)


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [
                b"--b",
                b"--bb",
                b"--",
                b"\r\n",
                b"\n",
                b"\r",
                b"\r\r\n",
                b" ",
                b"x",
                b":",
                b"From ",
                b"From a@b Mon ",
                b"a: b\r\n",
                MULTIPART,
            ]
            + [b"Content-Type: message/rfc822\r\n\r\n", b"Content-Type: multipart/mixed; boundary=bb\n\n"]
        ),
        max_size=30,
    ).map(b"".join),
    st.integers(1, 40),
)
def test_garbage_is_told_the_same_at_every_cut(mail: bytes, size: int) -> None:
    assert without_order_of_enclosed(told(mail, size)) == without_order_of_enclosed(told(mail))


def test_of_multiparts_with_one_boundary_only_the_innermost_is_looked_for() -> None:
    """Fifty of them around a mail of delimiters made each octet cost fifty searches."""
    head = b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\n"
    listener = Listener()
    parser = MimeParser(listener)
    parser.feed(b"".join(head % (name, name) for name in (b"a", b"a", b"b", b"a")))
    assert [(index, level.needle) for index, level in parser._met] == [(3, b"--a"), (2, b"--b")]
    parser.feed(b"\r\ninnermost\r\n--a--\r\n--b--\r\n--a\r\n\r\nabove\r\n--a--\r\n--a--\r\n")
    parser.close()
    assert parser._met == []
    assert listener.leaves() == [("1.1.1.1", b"innermost"), ("1.2", b"above")]
