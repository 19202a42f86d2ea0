"""Octets into answers: exact bodies at every chunking, the three forgivenesses, and the bounds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.errors import Pop3Error, ProtocolViolation
from airflow_pop3_gateway.pop3.inbox import LARGE, MAX_LINE, Bodies, Inbox, Line, Lines


def stuffed(mail: bytes, end: bytes) -> bytes:
    """A mail as a server sends it: said line by line, unlike the code under test."""
    lines = mail.split(end)
    return end.join(b"." + line if line.startswith(b".") else line for line in lines)


def feed(
    answer: Bodies | Line | Lines, octets: bytes, cuts: list[int], probing: bool = False
) -> tuple[bool, bytes]:
    """Give the octets to an answer, cut there; whether it is complete, and what it left."""
    inbox = Inbox()
    inbox.resize(LARGE)
    done = fill(answer, inbox, octets, cuts, probing)
    return done, bytes(inbox.view[inbox.start : inbox.end])


def fill(
    answer: Bodies | Line | Lines, inbox: Inbox, octets: bytes, cuts: list[int], probing: bool = False
) -> bool:
    """The octets arrive, cut there; whether the answer is complete. In doubt, probe if asked to."""
    borders = sorted({0, len(octets), *(cut % (len(octets) + 1) for cut in cuts)})
    done = False
    for start, stop in itertools.pairwise(borders):
        inbox.space()[: stop - start] = octets[start:stop]
        inbox.end += stop - start
        done = done or answer.feed(inbox)
        if probing and isinstance(answer, Bodies) and answer.doubtful(inbox):
            answer.probe()
    return done


pieces = st.sampled_from(
    [
        b".",
        b"..",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n.",
        b"\n.",
        b"a",
        b"text",
        b"\0",
        b"+OK",
        b"-ERR",
        b"\r\n..\r\n",
    ]
)
mails = st.lists(pieces, max_size=20).map(b"".join)
cuts = st.lists(st.integers(0, 2000), max_size=30)


@given(st.lists(mails, min_size=1, max_size=5), cuts)
def test_mails_arrive_octet_for_octet_at_every_chunking(box_type, contents, cuts):
    whole = [mail + b"\r\n" if mail and not mail.endswith(b"\r\n") else mail for mail in contents]
    octets = b"".join(b"+OK go\r\n" + stuffed(mail, b"\r\n") + b".\r\n" for mail in whole)
    box = box_type()
    run = Bodies("RETR", range(1, len(whole) + 1), box)
    assert feed(run, octets + b"+OK the next answer", cuts) == (True, b"+OK the next answer")
    assert box.mails == dict(enumerate(whole, 1))
    assert run.octets == sum(map(len, whole))


@given(st.lists(mails, min_size=1, max_size=3), cuts)
def test_a_server_with_bare_line_feeds_is_read_by_its_own_line_end(box_type, contents, cuts):
    whole = [mail + b"\n" if mail and not mail.endswith(b"\n") else mail for mail in contents]
    # A line of a carriage return behind a dot would end such a body: ".\r\n" ends with this server's line end.
    whole = [mail.replace(b".\r\n", b"?\r\n") for mail in whole]
    octets = b"".join(b"+OK\n" + stuffed(mail, b"\n") + b".\n" for mail in whole)
    box = box_type()
    assert feed(Bodies("RETR", range(1, len(whole) + 1), box), octets, cuts) == (True, b"")
    assert box.mails == dict(enumerate(whole, 1))


@pytest.mark.parametrize("size", [0, 1, MAX_LINE, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE])
def test_a_mail_larger_than_the_buffer_passes_through_it(box, size):
    line = b"x" * size
    inbox, run = Inbox(), Bodies("RETR", [7], box)
    octets = b"+OK\r\n.." + line + b"\r\n.\r\n"
    done = False
    while octets:
        space = inbox.space()
        count = min(len(space), len(octets))
        space[:count] = octets[:count]
        inbox.end += count
        octets = octets[count:]
        done = run.feed(inbox)
    assert done and box.mails == {7: b"." + line + b"\r\n"}


def test_a_dot_and_bare_line_feed_after_a_line_end_ends_a_body(box):
    """A mail's own line of one dot would have come with two."""
    assert feed(Bodies("RETR", [1], box), b"+OK\r\nmail\r\n.\n", []) == (True, b"")
    assert box.mails == {1: b"mail\r\n"}


def test_a_dot_that_a_server_forgot_to_double_is_kept(box):
    feed(Bodies("RETR", [1], box), b"+OK\r\n.profile\r\n.\r\n", [])
    assert box.mails == {1: b".profile\r\n"}


def test_a_refused_mail_is_reported_and_the_run_goes_on(box):
    octets = b"+OK\r\none\r\n.\r\n-ERR [SYS/TEMP] not now\r\n+OK\r\nthree\r\n.\r\n"
    assert feed(Bodies("RETR", [1, 2, 3], box), octets, [])[0]
    assert box.mails == {1: b"one\r\n", 3: b"three\r\n"} and box.order == [1, 2, 3]
    assert box.errors[2].code == "SYS/TEMP"


def test_an_empty_mail_begins_and_ends_without_octets(box):
    feed(Bodies("RETR", [1], box), b"+OK\r\n.\r\n", [])
    assert box.mails == {1: b""}


@pytest.mark.parametrize("ending", [b".\r\n", b".\n"])
@pytest.mark.parametrize("following", [b"+OK", b"-ERR"])
@given(cuts=cuts)
def test_an_end_without_the_line_end_before_it_is_proven_by_the_next_reply(box_type, ending, following, cuts):
    """The octets after the doubtful end come after the NOOP, one by one."""
    box, doubtful = box_type(), b"+OK\r\nno final newline" + ending
    run, inbox = Bodies("RETR", [1], box, alone=True), Inbox()
    assert not fill(run, inbox, doubtful, cuts) and run.doubtful(inbox)
    run.probe()
    assert not run.doubtful(inbox)
    assert fill(run, inbox, following, [1, 2, 3])
    assert box.mails == {1: b"no final newline"}


@pytest.mark.parametrize("ending", [b".\r\n", b".\n"])
@given(cuts=cuts)
def test_what_only_looked_like_an_end_was_text(box_type, ending, cuts):
    box, doubtful = box_type(), b"+OK\r\na sentence" + ending
    run, inbox = Bodies("RETR", [1], box, alone=True), Inbox()
    assert not fill(run, inbox, doubtful, cuts) and run.doubtful(inbox)
    run.probe()
    assert fill(run, inbox, b"+O, and more.\r\n.\r\n", cuts)
    assert box.mails == {1: b"a sentence" + ending + b"+O, and more.\r\n"}


def test_in_a_pipelined_run_nothing_is_doubtful(box):
    inbox, run = Inbox(), Bodies("RETR", [1, 2], box)
    octets = b"+OK\r\nsentence.\r\n"
    inbox.space()[: len(octets)] = octets
    inbox.end = len(octets)
    assert not run.feed(inbox) and not run.doubtful(inbox)


def test_deletions_are_answered_one_line_each():
    run = Lines("DELE", [4, 5, 6])
    assert feed(run, b"+OK gone\r\n-ERR [X] no\r\n+OK\r\n", [3, 14])[0]
    assert list(run.refused) == [5] and run.refused[5].code == "X"


def test_a_challenge_is_only_one_where_it_is_awaited():
    line = Line("AUTH", challenges=True)
    assert feed(line, b"+ PDEyMz4=\r\n", [])[0] and line.challenge == b"PDEyMz4="
    with pytest.raises(ProtocolViolation):
        feed(Line("PASS"), b"+ PDEyMz4=\r\n", [])


@pytest.mark.parametrize(
    "answer", [lambda box: Line("STAT"), lambda box: Lines("DELE", [1]), lambda box: Bodies("RETR", [1], box)]
)
def test_a_status_line_without_end_is_bounded(box, answer):
    feed(answer(box), b"+OK " + b"x" * (MAX_LINE - 6) + b"\r\n", [])
    with pytest.raises(ProtocolViolation):
        feed(answer(box), b"+OK " + b"x" * MAX_LINE, [])


@given(
    octets=st.lists(st.one_of(pieces, st.binary(max_size=9)), max_size=30).map(b"".join),
    cuts=cuts,
    probing=st.booleans(),
)
def test_garbage_is_read_or_is_one_of_our_errors(box_type, octets, cuts, probing):
    for answer in (
        Line("AUTH", challenges=True),
        Lines("DELE", [1, 2]),
        Bodies("RETR", [1, 2], box_type()),
        Bodies("RETR", [1], box_type(), alone=True),
    ):
        try:
            feed(answer, octets, cuts, probing)
        except Pop3Error:
            pass
