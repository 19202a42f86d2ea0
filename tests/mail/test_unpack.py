"""Files within parts come out, whatever else is in there; what is damaged stays where it is."""

from __future__ import annotations

import binascii
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.mail.extract import Policy
from airflow_pop3_gateway.mail.unpack import MOST_FILES, from_text, from_tnef


def attribute(number: int, data: bytes, level: int = 2) -> bytes:
    return struct.pack("<BII", level, number, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def properties(*values: tuple[int, int, bytes]) -> bytes:
    """Name, type and value of variable length, padded to four octets."""
    out = [struct.pack("<I", len(values))]
    for name, kind, value in values:
        out.append(struct.pack("<HHII", kind, name, 1, len(value)) + value + bytes(-len(value) % 4))
    return b"".join(out)


def winmail(*attachments: tuple[str, bytes], long_names: bool = False) -> bytes:
    """What Outlook sends: some attributes of the message, then each attachment."""
    out = [struct.pack("<IH", 0x223E9F78, 1)]
    out.append(attribute(0x89006, struct.pack("<I", 0x10000), 1))
    out.append(attribute(0x69007, struct.pack("<II", 1252, 0), 1))
    out.append(attribute(0x78008, b"IPM.Microsoft Mail.Note\0", 1))
    for name, data in attachments:
        out.append(attribute(0x69002, bytes(14)))
        out.append(attribute(0x18010, (name[:8] if long_names else name).encode("cp1252", "replace") + b"\0"))
        out.append(attribute(0x6800F, data))
        long_name = (0x3707, 0x1F, name.encode("utf-16-le") + b"\0\0")
        out.append(
            attribute(0x69005, properties((0x3703, 0x1E, b".x\0"), *([long_name] if long_names else [])))
        )
    return b"".join(out)


FILES = (("a.pdf", b"%PDF-1.7 one"), ("tèst.txt", b"two"), ("empty.bin", b""))


@pytest.mark.parametrize("long_names", [False, True])
def test_every_attachment_comes_out_under_its_name(long_names: bool) -> None:
    found, defect = from_tnef(winmail(*FILES, long_names=long_names))
    assert [(name, bytes(data)) for name, data in found] == list(FILES) and defect == ""


def test_another_parser_finds_the_same() -> None:
    tnefparse = pytest.importorskip("tnefparse")
    octets = winmail(*FILES[:2], long_names=True)
    ours = [(name, bytes(data)) for name, data in from_tnef(octets)[0]]
    assert ours == [(one.long_filename(), one.data) for one in tnefparse.TNEF(octets).attachments]


def test_contents_in_a_property_count_as_well() -> None:
    data = properties((0x3701, 0x102, b"content"), (0x3707, 0x1E, b"long name.bin\0"))
    octets = winmail() + attribute(0x69002, bytes(14)) + attribute(0x69005, data)
    assert from_tnef(octets) == ([("long name.bin", b"content")], "")


def test_a_mail_in_outlooks_own_format_stays_inside() -> None:
    data = properties((0x3701, 0x0D, bytes(16) + winmail(FILES[0])))
    octets = winmail(FILES[1]) + attribute(0x69002, bytes(14)) + attribute(0x69005, data)
    assert from_tnef(octets) == ([FILES[1]], "tnef-partly")


def test_of_a_damaged_one_nothing_is_believed() -> None:
    octets = winmail(*FILES)
    for broken in (octets[:-1], octets[:30], octets.replace(b"one", b"One"), b"\0" + octets, b""):
        assert from_tnef(broken) == ([], "tnef-broken")


@pytest.mark.parametrize("kind", [0x0001, 0x1001, 0x1003, 0x101E, 0x001F, 0x0102])
def test_counts_are_not_believed(kind: int) -> None:
    """Four thousand million values of nothing are not looked for."""
    data = struct.pack("<IHHI", 0xFFFFFFFF, kind, 0x3707, 0xFFFFFFFF)
    octets = winmail(FILES[0]) + attribute(0x69005, data)
    assert from_tnef(octets) == ([], "tnef-broken")


@given(st.binary(max_size=300), st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_any_octets_are_files_or_broken(data: bytes, at: int, dirt: bytes) -> None:
    octets = bytearray(winmail(*FILES, long_names=True) + attribute(0x69002, b"") + attribute(0x69005, data))
    from_tnef(bytes(octets))
    octets[at : at + len(dirt)] = dirt
    from_tnef(bytes(octets))


def test_a_winmail_is_the_transfer_and_what_is_in_it_comes_out_beside_it(desk) -> None:
    octets = winmail(*FILES[:2], ("../../etc/passwd", b"x"))
    mail = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n"
        b'--b\r\nContent-Type: application/ms-tnef; name="winmail.dat"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + binascii.b2a_base64(octets)
        + b"--b--\r\n"
    )
    understanding = desk.understand(mail)
    assert (understanding.type, understanding.file_name) == ("XFER", "winmail.dat")
    assert [file.name for file in understanding.files] == ["winmail.dat"]
    assert [file.name for file in understanding.unpacked] == ["a.pdf", "tèst.txt", "passwd"]
    assert understanding.unpacked[2].original_name == "../../etc/passwd"
    assert desk.files["winmail.dat"] == octets and desk.files["a.pdf"] == b"%PDF-1.7 one"

    desk.files.clear()
    desk.chosen.clear()
    broken = desk.understand(mail.replace(b"Content-Transfer-Encoding: base64", b"X: x"))
    assert list(desk.files) == ["winmail.dat"] and broken.unpacked == ()
    assert "tnef-broken" in {defect.code for defect in broken.defects}


def uuencoded(name: str, data: bytes, end: bytes = b"end") -> bytes:
    lines = b"".join(binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45))
    return b"begin 644 %b\n%b`\n%b\n" % (name.encode(), lines, end)


def test_uuencoded_files_in_a_text_come_out(desk) -> None:
    data = bytes(range(256)) * 3
    text = b"see below\n\n" + uuencoded("a b.bin", data) + b"and\n" + uuencoded("c.txt", b"c") + b"regards\n"
    understanding = desk.understand(b"Subject: x\n\n" + text)
    assert (understanding.type, understanding.file_name) == ("MSG", "MAIL")
    assert [file.name for file in understanding.unpacked] == ["a b.bin", "c.txt"]
    assert (desk.files["a b.bin"], desk.files["c.txt"]) == (data, b"c")
    assert desk.files["MAIL.txt"] == text, "the text stays as it was sent"


@pytest.mark.parametrize("size", [1, 5, 64, 1000])
def test_how_the_text_was_cut_does_not_matter(desk, size: int) -> None:
    mail = b"Subject: x\r\n\r\n" + (b"text\n" * 10 + uuencoded("a.bin", b"data" * 100)).replace(
        b"\n", b"\r\n"
    )
    desk.understand(mail[at : at + size] for at in range(0, len(mail), size))
    assert desk.files["a.bin"] == b"data" * 100


@pytest.mark.parametrize(
    "text",
    [
        b"begin 644 a.bin\n#86)C\n`\n",
        b"begin 644 a.bin\n#86)C\nthis is prose\n`\nend\n",
        b"begin 644 a.bin\n#86\x7fC\n`\nend\n",
        uuencoded("a.bin", b"abc", b"not the end"),
    ],
)
def test_what_is_not_whole_is_left_in_the_text(text: bytes) -> None:
    assert from_text(text) == ([], "uuencode-in-text")
    whole = uuencoded("b.bin", b"b")
    assert from_text(text + whole) == ([("b.bin", b"b")], "uuencode-in-text")


@pytest.mark.parametrize("data", [b"abc", b"abcd", b"a" * 45])
def test_what_fills_a_line_up_and_its_checksum_are_no_part_of_the_file(data: bytes) -> None:
    line = binascii.b2a_uu(data)[: 1 + -(-len(data) * 4 // 3)]
    for more in (b"", b"X" * (-len(line[1:]) % 4), b"X" * (-len(line[1:]) % 4 + 1)):
        assert from_text(b"begin 644 a\n" + line + more + b"\n`\nend\n") == ([("a", data)], "")


def test_a_text_does_not_grow() -> None:
    """A line of one character can say that it is 45 octets: blanks at its end, which are zeros, may be cut."""
    data = b"a" * 42 + bytes(3)
    assert from_text(uuencoded("a", data).replace(b"    \n", b"\n")) == ([("a", data)], "")
    assert from_text(b"begin 644 a\n" + b"M\n" * 1000 + b"end\n") == ([], "uuencode-in-text")


@pytest.mark.parametrize("text", [b"begin 644\n", b"we begin 644 times\n", b"begin again\nend\n", b""])
def test_prose_is_prose(text: bytes) -> None:
    assert from_text(text) == ([], "")


def test_a_text_is_not_an_archive() -> None:
    files, defect = from_text(uuencoded("a", b"a") * (MOST_FILES + 1))
    assert (len(files), defect) == (MOST_FILES, "uuencode-in-text")


@pytest.mark.parametrize(("bound", "found"), [(0, ["a.bin"]), (-1, [])])
def test_parts_are_looked_into_up_to_the_limit(desk, bound: int, found: list[str]) -> None:
    text = uuencoded("a.bin", b"a" * 100)
    policy = Policy(limits=Limits(unpack_bytes=len(text) + 1 + bound))
    understanding = desk.understand(b"\n\n" + text, policy)
    assert [file.name for file in understanding.unpacked] == found
    assert ("unpack-limit" in {defect.code for defect in understanding.defects}) == (not found)


def test_of_a_mail_that_is_not_taken_nothing_comes_out(desk) -> None:
    part = b"--b\nContent-Type: application/ms-tnef\n\n" + winmail(FILES[0]) + b"\n"
    understanding = desk.understand(b"Content-Type: multipart/mixed; boundary=b\n\n" + part * 2 + b"--b--\n")
    assert understanding.rejected is not None and desk.files == {} and understanding.unpacked == ()
