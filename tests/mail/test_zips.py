"""What is in a zip comes out where it is wanted: whole and within the bounds, or not at all."""

from __future__ import annotations

import base64
import io
import random
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import LimitExceeded, StoreUnavailable
from airflow_pop3_gateway.mail import zips
from airflow_pop3_gateway.mail.extract import Policy
from airflow_pop3_gateway.mail.zips import Zips

NOISE = random.Random(2026).randbytes(3000)  # does not shrink
FILES = (("order.csv", b"a;b\n1;2\n"), ("photo.jpg", NOISE), ("empty.txt", b""))
UNZIP = Policy(unzip=True)


def zipped(*files: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


def looked(octets: bytes, limits: Limits = Limits()) -> tuple[list[tuple[str, bytes]], str]:
    """What comes out of one zip, and the defect."""
    room = Zips(limits)
    one = room.begin()
    for at in range(0, len(octets), 1000):
        one.feed(octets[at : at + 1000])
    try:
        defect = one.look()
        return [(name, b"".join(pieces)) for name, pieces in one.files()], defect
    finally:
        room.close()


def letter(*files: tuple[str, bytes], content_type: str = "application/zip") -> bytes:
    parts = b"".join(
        f"--b\r\nContent-Type: {content_type}\r\nContent-Disposition: attachment; filename={name}\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n".encode()
        + base64.encodebytes(data)
        for name, data in files
    )
    return b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n" + parts + b"--b--\r\n"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_every_member_comes_out(method: int) -> None:
    assert looked(zipped(*FILES, method=method)) == (list(FILES), "")


def test_the_zip_is_the_transfer_and_its_members_lie_beside_it(desk) -> None:
    octets = zipped(*FILES)
    understanding = desk.understand(letter(("orders.zip", octets)), UNZIP)
    assert (understanding.type, understanding.file_name) == ("XFER", "orders.zip")
    assert [file.name for file in understanding.files] == ["orders.zip"]
    assert [file.name for file in understanding.unpacked] == [name for name, _ in FILES]
    assert desk.files == {"orders.zip": octets, **dict(FILES)}
    assert desk.most_open <= 3


def test_nothing_comes_out_unless_it_is_wanted(desk) -> None:
    understanding = desk.understand(letter(("orders.zip", zipped(*FILES))))
    assert understanding.unpacked == () and list(desk.files) == ["orders.zip"]


@pytest.mark.parametrize(
    ("name", "content_type", "found"),
    [
        ("a.zip", "application/octet-stream", True),
        ("A.ZIP", "application/octet-stream", True),
        ("a", "application/x-zip-compressed", True),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", False),
    ],
)
def test_a_zip_is_one_by_its_type_or_name(desk, name: str, content_type: str, found: bool) -> None:
    """Documents that are zips inside are documents."""
    understanding = desk.understand(letter((name, zipped(*FILES)), content_type=content_type), UNZIP)
    assert bool(understanding.unpacked) == found and understanding.rejected is None


def test_every_zip_of_a_mail_is_looked_into(desk) -> None:
    mail = letter(("a.zip", zipped(("x", b"1"))), ("b.zip", zipped(("x", b"2"))))
    understanding = desk.understand(mail, Policy(unzip=True, multiple_attachments="extract"))
    assert [file.name for file in understanding.unpacked] == ["x", "x-2"]
    assert (desk.files["x"], desk.files["x-2"]) == (b"1", b"2")


def test_names_are_made_safe_and_differ(desk) -> None:
    names = ["/etc/passwd", "../../up.txt", "a/b/c.txt", "c:\\d\\c.txt", "c.txt", "C.TXT", "dir/"]
    octets = zipped(*((name, b"x") for name in names))
    understanding = desk.understand(letter(("n.zip", octets)), UNZIP)
    assert [file.name for file in understanding.unpacked] == [
        *("passwd", "up.txt", "c.txt", "c-2.txt", "c-3.txt", "C-4.TXT")
    ]
    assert [file.original_name for file in understanding.unpacked] == names[:-1]


def test_a_member_without_a_name_gets_one(desk) -> None:
    changed = bytearray(zipped(("?", b"x")).replace(b"?", b""))
    entry = changed.find(b"PK\1\2")
    struct.pack_into("<H", changed, 26, 0)
    struct.pack_into("<H", changed, entry + 28, 0)
    struct.pack_into("<II", changed, len(changed) - 10, len(changed) - 22 - entry, entry)
    understanding = desk.understand(letter(("n.zip", bytes(changed))), UNZIP)
    assert [file.name for file in understanding.unpacked] == ["part-2.bin"]


def test_two_members_of_one_name_are_two_files() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        octets = zipped(("a", b"1"), ("a", b"2"))
    assert looked(octets) == ([("a", b"1"), ("a", b"2")], "")


def test_a_zip_written_as_a_stream_is_read() -> None:
    """Sizes behind the octets (data descriptors), as who writes to a pipe has to."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.octets = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data) -> int:
            self.octets += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES:
            archive.writestr(name, data)
    assert looked(bytes(pipe.octets)) == (list(FILES), "")


def test_zip64_is_read() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("a", "w", force_zip64=True) as member:
        member.write(NOISE)
    assert looked(out.getvalue()) == ([("a", NOISE)], "")


def test_octets_before_the_zip_do_not_matter() -> None:
    assert looked(b"#!/bin/unzip\n" + zipped(*FILES)) == (list(FILES), "")


# -- what is left in the zip ------------------------------------------------------------------------------------


def flagged(octets: bytes, at: int, value: int) -> bytes:
    """A field of the directory's first entry and the first local header changed (offsets of the directory)."""
    changed = bytearray(octets)
    entry = changed.find(b"PK\1\2")
    struct.pack_into("<H", changed, entry + at, value)
    struct.pack_into("<H", changed, at - 2, value)
    return bytes(changed)


@pytest.mark.parametrize(("at", "value"), [(8, 1), (10, 12), (10, 14), (10, 99)])
def test_encrypted_members_and_unusual_methods_stay_where_they_are(at: int, value: int) -> None:
    octets = flagged(zipped(("a", b"1"), ("b", b"2"), method=zipfile.ZIP_STORED), at, value)
    assert looked(octets) == ([("b", b"2")], "zip-partly")


def test_links_stay_where_they_are() -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    assert looked(zipped((link, b"/etc/passwd"), ("a", b"1"))) == ([("a", b"1")], "zip-partly")


def damaged() -> dict[str, bytes]:
    whole = zipped(("a", b"first"), ("b", NOISE), method=zipfile.ZIP_STORED)
    entry = whole.find(b"PK\1\2")
    second = whole.find(b"PK\1\2", entry + 1)
    longer, overlapping = bytearray(whole), bytearray(whole)
    struct.pack_into("<I", longer, entry + 24, 6)
    struct.pack_into("<I", overlapping, second + 42, 0)
    overlapping[second + 46 : second + 47] = b"a"
    deflated = zipped(("a", b"long " * 1000))
    lying = bytearray(deflated)
    struct.pack_into("<I", lying, deflated.find(b"PK\1\2") + 24, 4000)
    struct.pack_into("<I", lying, deflated.find(b"PK\1\2") + 16, zlib.crc32(b"long " * 800))
    return {
        "empty": b"",
        "no zip": b"PK\3\4" + bytes(100),
        "cut at its end": whole[:-1],
        "cut at its start": whole[10:],
        "another octet": whole.replace(b"first", b"First"),
        "longer than it is": bytes(longer),
        "wrong checksum": whole.replace(struct.pack("<I", zlib.crc32(b"first")), b"\0\0\0\0"),
        "members overlap": bytes(overlapping),
        "a directory that is not there": whole[: entry + 3] + b"\7" + whole[entry + 4 :],
        "deflated dirt": deflated[:31] + b"\xff" * 8 + deflated[39:],
    }


@pytest.mark.parametrize("what", damaged())
def test_of_a_damaged_one_nothing_is_believed(desk, what: str) -> None:
    understanding = desk.understand(letter(("a.zip", damaged()[what])), UNZIP)
    assert (understanding.type, understanding.unpacked) == ("XFER", ())
    assert list(desk.files) == ["a.zip"] and desk.files["a.zip"] == damaged()[what]
    assert "zip-broken" in {defect.code for defect in understanding.defects}


def test_a_member_that_says_it_is_shorter_gives_what_it_says_or_nothing() -> None:
    """Cut at the size that stands in the directory, with a checksum that fits: every reader sees this file."""
    deflated = bytearray(zipped(("a", b"long " * 1000)))
    entry = deflated.find(b"PK\1\2")
    struct.pack_into("<I", deflated, entry + 24, 4000)
    assert looked(bytes(deflated)) == ([], "zip-broken")


def test_a_file_that_is_only_called_zip_is_a_file() -> None:
    assert looked(zipped(("not.zip", b"text"))) == ([("not.zip", b"text")], "")


# -- the bounds -------------------------------------------------------------------------------------------------


def nested(depth: int, data: bytes = b"content") -> bytes:
    octets = zipped(("inner.txt", data))
    for _ in range(depth - 1):
        octets = zipped(("inner.zip", octets), ("beside.txt", b"beside"))
    return octets


def test_zips_in_zips_come_out_in_their_place() -> None:
    assert looked(nested(3)) == (
        [("inner.txt", b"content"), ("beside.txt", b"beside"), ("beside.txt", b"beside")],
        "",
    )


BOUNDED = {
    "zip_depth": (nested(3), 3),
    "zip_members": (zipped(*((f"{number}", b"x") for number in range(20))), 20),
    "zip_bytes": (zipped(("a", NOISE), ("b", NOISE)), 2 * len(NOISE)),
    "zip_ratio": (zipped(("a", bytes(100_000))), 100_000 // len(zipped(("a", bytes(100_000)))) + 1),
}


@pytest.mark.parametrize("limit", BOUNDED)
def test_at_the_bound_all_comes_out(desk, limit: str) -> None:
    octets, bound = BOUNDED[limit]
    understanding = desk.understand(
        letter(("a.zip", octets)), Policy(unzip=True, limits=Limits(**{limit: bound}))
    )
    assert understanding.rejected is None and understanding.unpacked


@pytest.mark.parametrize("limit", BOUNDED)
@pytest.mark.parametrize("several", ["recover", "extract"])
def test_past_the_bound_the_mail_is_quarantined_by_its_name(desk, limit: str, several) -> None:
    octets, bound = BOUNDED[limit]
    policy = Policy(unzip=True, multiple_attachments=several, limits=Limits(**{limit: bound - 1}))
    understanding = desk.understand(letter(("a.zip", octets)), policy)
    assert understanding.rejected is not None and understanding.rejected.code == limit
    assert (understanding.rule, understanding.files, understanding.unpacked) == ("limit", (), ())
    assert several == "extract" or desk.files == {}


def test_the_bounds_are_those_of_all_zips_of_a_mail(desk) -> None:
    mail = letter(("a.zip", zipped(("a", NOISE))), ("b.zip", zipped(("b", NOISE))))
    for limits in (Limits(zip_members=1), Limits(zip_bytes=2 * len(NOISE) - 1)):
        desk.chosen.clear()
        desk.files.clear()
        policy = Policy(unzip=True, multiple_attachments="extract", limits=limits)
        assert desk.understand(mail, policy).rejected is not None


def test_a_zip_bomb_of_overlapping_members_is_past_the_ratio() -> None:
    """One megabyte of zeros, named a hundred times in the directory."""
    whole = zipped(("a", bytes(1 << 20)))
    entry, end = whole.find(b"PK\1\2"), whole.find(b"PK\5\6")
    directory = whole[entry:end] * 100
    tail = bytearray(whole[end:])
    struct.pack_into("<HHI", tail, 8, 100, 100, len(directory))
    bomb = whole[:entry] + directory + bytes(tail)
    with pytest.raises(LimitExceeded, match="zip_ratio"):
        looked(bomb)
    assert looked(bomb, Limits(zip_ratio=1 << 30)) == ([], "zip-broken")


def test_zips_in_zips_without_end_are_past_the_depth() -> None:
    """As with the one that unpacks to itself; no recursion of ours."""
    with pytest.raises(LimitExceeded, match="zip_depth"):
        looked(nested(40), Limits(zip_ratio=1 << 20))


@pytest.mark.parametrize("count", [5_000, 60_000])
def test_a_list_of_members_is_not_read_beyond_the_bound(count: int) -> None:
    """Each entry of 46 octets costs memory a hundred times as much."""
    entry = b"PK\1\2" + bytes(42)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count & 0xFFFF, count & 0xFFFF, 46 * count, 0, 0)
    with pytest.raises(LimitExceeded, match="zip_members"):
        looked(entry * count + end)


def test_what_zips_take_lies_outside_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "MEMORY", 1000)
    room = Zips(Limits())
    room.begin().feed(NOISE)
    assert room._spool is not None and room._spool._rolled  # type: ignore[attr-defined]
    room.close()


def test_a_full_temporary_folder_is_no_fault_of_the_mail(monkeypatch: pytest.MonkeyPatch, desk) -> None:
    """The mail waits in the spool; the task may be tried again."""

    def full(size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        desk.understand(letter(("a.zip", zipped(*FILES))), UNZIP)
    assert desk.files == {} and desk.open == []


@given(
    st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=6)), min_size=1, max_size=5),
    st.sampled_from([zipped(*FILES[::2]), nested(2), zipped(("a", b"x" * 500))]),
)
def test_any_octets_are_files_or_broken(dirt: Sequence[tuple[int, bytes]], octets: bytes) -> None:
    changed = bytearray(octets)
    for at, value in dirt:
        at %= len(changed)
        changed[at : at + len(value)] = value
    try:
        files, defect = looked(bytes(changed))
    except LimitExceeded:
        return
    assert files == [] or defect in ("", "zip-partly")
