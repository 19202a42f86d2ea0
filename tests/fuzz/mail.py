"""Targets: the content of a mail, from single words to the whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from unittest import mock

from fuzz.invariant import cut

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import LimitExceeded
from airflow_pop3_gateway.mail import extract, tnef, unpack, words
from airflow_pop3_gateway.mail.classify import RULES
from airflow_pop3_gateway.mail.encodings import decoder_for
from airflow_pop3_gateway.mail.extract import Policy, Understanding, understand
from airflow_pop3_gateway.mail.headers import Head, identity, split_subject
from airflow_pop3_gateway.mail.mime import MimeParser
from airflow_pop3_gateway.mail.names import Names, contradicts, safe_name, sniff
from airflow_pop3_gateway.mail.parameters import parse_parameters
from airflow_pop3_gateway.mail.parts import Part
from airflow_pop3_gateway.mail.zips import Zips
from airflow_pop3_gateway.records import Defect

RULE_IDS = {"whole-mail", "limit", *(rule.id for rule in RULES)}
CONTROLS = frozenset(map(chr, (*range(32), *range(0x7F, 0xA0))))
ENCODINGS = ("base64", "quoted-printable", "x-uuencode", "7bit")
FIELDS = ("subject", "from", "to", "cc", "date", "message-id", "content-type", "content-disposition")


def clean(text: str) -> str:
    """Text that may leave the parsers: no control characters, valid Unicode."""
    assert not CONTROLS.intersection(text), f"a control character in {text!r}"
    text.encode()
    return text


def read_head(data: bytes) -> None:
    """A header block, and everything that is asked of one."""
    try:
        head = Head.from_bytes(data)
    except LimitExceeded:
        return
    for name in FIELDS:
        clean(head.text(name))
    for found in (head.to, head.cc, head.bcc, (head.from_, head.message_id, head.encoding)):
        for text in found:
            clean(text)
    for value in (head.content_type, head.disposition):
        clean("".join((value.value, *value.parameters, *value.parameters.values())))
    clean(identity(head)[0])
    subject, parameters = split_subject(head.subject)
    clean("".join((subject, *parameters.values())))
    for defect in head.defects:
        clean(defect.detail)
    assert head.date is None or len(head.date) == len("2026-11-23T08:00:00Z")
    assert {type(head.auto_submitted), type(head.is_list), type(head.from_system)} == {bool}


def read_words(data: bytes) -> None:
    """One field body, read as each kind of field."""
    clean(words.text_of(data))
    for address in words.addresses_of(data):
        assert clean(address)
    found = parse_parameters(data)
    clean("".join((found.value, *found.parameters, *found.parameters.values())))
    words.date_of(data)
    charset, _, octets = data.partition(b"\n")
    words.decode_octets(octets, charset.decode("latin-1"))


def choose_names(data: bytes) -> None:
    """File names: safe, short, different."""
    wanted = [line.decode("utf-8", "surrogateescape") for line in data.split(b"\n", 30)[:30]]
    names = Names(60)
    given = [names.take(one, "1", "application/pdf") for one in wanted]
    assert len({name.casefold() for name in given}) == len(given), "two files of one name"
    for name in (*given, *filter(None, (safe_name(one, 200) for one in wanted))):
        clean(name)
        assert name not in ("", ".", "..") and not set('/\\:*?"<>|') & set(name), f"an unsafe name {name!r}"
        assert len(name.encode()) <= 200
    assert all(len(name.encode()) <= 60 for name in given)
    kind = sniff(data[:16])
    assert kind is None or not contradicts(kind, kind)


def decode(data: bytes) -> None:
    """Transfer encodings: no cut changes the octets or the defects."""
    for encoding in ENCODINGS:
        outcomes = []
        for pieces in ([data], cut(data, 1), cut(data, 17), cut(data, 76)):
            decoder = decoder_for(encoding)
            out = [decoder.feed(piece) for piece in pieces]
            outcomes.append((b"".join((*out, decoder.finish())), decoder.defects))
        assert all(outcome == outcomes[0] for outcome in outcomes), f"the cut changed {encoding}"
        # A uuencoded line without its characters has zeros: agents cut the blanks that stand for them.
        assert len(outcomes[0][0]) <= (23 if "uu" in encoding else 1) * len(data) + 2


class _Listener:
    """What the parser tells, without the cuts."""

    def __init__(self) -> None:
        self.order: list[tuple[str, ...]] = []
        self.octets: dict[tuple[str, int], bytearray] = {}
        self._numbers: dict[Part, int] = {}

    def begin(self, head: Head) -> Limits:
        return Limits()

    def start(self, part: Part) -> None:
        self._numbers[part] = len(self._numbers)
        self.order.append(("start", part.path, part.kind, part.content_type))

    def data(self, part: Part, piece: memoryview) -> None:
        self._add("data", part, bytes(piece))

    def enclosed(self, part: Part, piece: bytes) -> None:
        self._add("enclosed", part, piece)

    def _add(self, what: str, part: Part, piece: bytes) -> None:
        assert piece, "nothing was handed out"
        self.octets.setdefault((what, self._numbers[part]), bytearray()).extend(piece)

    def end(self, part: Part) -> None:
        self.order.append(("end", part.path))

    def defect(self, defect: Defect) -> None:
        self.order.append(("defect", defect.code, defect.where))


def walk(data: bytes) -> None:
    """The structure, the same at every cut; what starts also ends; no octet is handed out twice."""
    outcomes: list[Any] = []
    for pieces in ([data], cut(data, 61)):
        listener, exceeded = _Listener(), ""
        parser = MimeParser(listener)
        try:
            for piece in pieces:
                parser.feed(piece)
            parser.close()
        except LimitExceeded as error:
            exceeded = error.limit
        else:
            starts = sum(told[0] == "start" for told in listener.order)
            assert starts == sum(told[0] == "end" for told in listener.order)
        of_leaves = sum(len(octets) for (what, _), octets in listener.octets.items() if what == "data")
        assert of_leaves <= len(data)
        outcomes.append((listener.order, listener.octets, exceeded))
    assert outcomes[0][2] == outcomes[1][2], "the cut changed the bound"
    assert outcomes[0][2] or outcomes[0] == outcomes[1], "the cut changed the structure"


class Desk:
    """Files that nobody keeps; knows which are open and which were published."""

    def __init__(self) -> None:
        self.open: set[_File] = set()
        self.published: dict[str, bytes] = {}

    def __call__(self, name: str, content_type: str) -> _File:
        clean(name)
        return _File(self, name)


class _File:
    def __init__(self, desk: Desk, name: str) -> None:
        self._desk, self._name, self._octets = desk, name, bytearray()
        desk.open.add(self)

    def write(self, data: bytes) -> None:
        self._octets += data

    def commit(self) -> str:
        self._desk.open.remove(self)
        assert self._name not in self._desk.published, "a file was published twice"
        self._desk.published[self._name] = bytes(self._octets)
        return self._name

    def discard(self) -> None:
        self._desk.open.discard(self)


def understand_letter(data: bytes) -> None:
    """The whole: one rule, every octet accounted for at most once, nothing left open, the same at every cut."""
    for policy in (Policy(), Policy(multiple_attachments="extract", unzip=True)):
        first, published = _understood([data], policy)
        with mock.patch.object(extract, "_GATHERED", 1):
            second, again = _understood(cut(data, 61), policy)
        assert first.octets == second.octets == len(data)
        assert first.to_compare == second.to_compare and published == again, "the cut changed the mail"


class _Facts:
    def __init__(self, understanding: Understanding) -> None:
        self.octets = understanding.octets
        self.to_compare = (
            understanding.rule,
            understanding.type,
            understanding.file_name,
            understanding.user_message,
            understanding.rejected and understanding.rejected.code,
            understanding.files,
            understanding.unpacked,
            understanding.evidence,
            [] if understanding.rule == "limit" else understanding.leaves,
            [] if understanding.rule == "limit" else understanding.captured,
            [] if understanding.rule == "limit" else sorted(map(str, understanding.defects)),
        )


def _understood(pieces: Iterable[bytes], policy: Policy) -> tuple[_Facts, dict[str, bytes]]:
    desk = Desk()
    understanding = understand(pieces, lambda head: policy, desk)
    assert understanding.rule in RULE_IDS
    assert not desk.open, "a file was left open"
    if understanding.rejected is not None:
        assert not (understanding.files or understanding.unpacked or understanding.evidence)
        # Of several files each is published as it ends; whoever stores them takes back what was in vain.
        assert not desk.published or policy.multiple_attachments == "extract", "published in vain"
    for stored in (*understanding.files, *understanding.unpacked, *understanding.evidence):
        assert len(desk.published[stored.path]) == stored.size
    outer = (leaf for leaf in understanding.leaves if leaf.why != "within-enclosed-mail")
    assert sum(leaf.octets for leaf in outer) <= understanding.octets
    for leaf in understanding.leaves:
        clean(leaf.content_type + (leaf.name or "") + leaf.why + leaf.disposition)
    return _Facts(understanding), desk.published


def read_winmail(data: bytes) -> None:
    """TNEF: what comes out is not more than what went in."""
    files, defect = unpack.from_tnef(data)
    for name, _ in files:
        name.encode("utf-8", "replace")
    assert sum(len(octets) for _, octets in files) <= len(data) * max(1, len(files))
    assert files == [] or defect in ("", "tnef-partly")
    try:
        assert len(tnef.attachments(data)) >= len(files)
    except ValueError:
        assert not files


def read_zip(data: bytes) -> None:
    """A zip: what comes out is whole and within the bounds, or a bound is named."""
    limits = Limits(zip_ratio=50, zip_members=20, zip_depth=2, zip_bytes=1 << 20)
    room = Zips(limits)
    one = room.begin()
    for piece in cut(data, 61):
        one.feed(piece)
    try:
        defect = one.look()
        files = [(name, b"".join(pieces)) for name, pieces in one.files()]
    except LimitExceeded as error:
        assert error.limit.startswith("zip_")
        return
    finally:
        room.close()
    assert defect in ("", "zip-broken", "zip-partly") and not (files and defect == "zip-broken")
    assert len(files) <= limits.zip_members
    assert sum(len(octets) for _, octets in files) <= limits.zip_ratio * len(data)


def read_uuencoded(data: bytes) -> None:
    """uuencode in a text: what comes out is less than what went in."""
    files, _ = unpack.from_text(data)
    assert sum(len(octets) for _, octets in files) <= len(data)
