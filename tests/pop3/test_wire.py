"""The queue of answers: nothing is paired wrongly, nothing secret is shown."""

from __future__ import annotations

import pytest

from airflow_pop3_gateway.errors import ConnectionLost, ProtocolViolation
from airflow_pop3_gateway.pop3.inbox import LARGE, MAX_LINE, SMALL, Bodies, Line
from airflow_pop3_gateway.pop3.wire import Wire


def hear(wire: Wire, octets: bytes) -> None:
    wire.inbox.space()[: len(octets)] = octets
    wire.received(len(octets))


def test_answers_are_paired_in_the_order_of_the_commands():
    wire, first, second = Wire(), Line("STAT"), Line("NOOP")
    wire.send(first)
    wire.send(second)
    assert wire.pending == b"STAT\r\nNOOP\r\n" and not wire.idle
    hear(wire, b"+OK 2 320\r\n-ERR what?\r\n")
    assert (first.status.text, second.status.ok) == ("2 320", False) and wire.idle


def test_the_protocol_log_shows_the_conversation_without_secrets():
    shown: list[str] = []
    wire = Wire(lambda who, text: shown.append(f"{who}: {text}"))
    wire.send(Line("USER"), "box")
    hear(wire, b"+OK\r\n")
    wire.send(Line("PASS"), "secret")
    hear(wire, b"-ERR no\r\n")
    wire.send(Line("AUTH", challenges=True), "PLAIN", "AGJveABzZWNyZXQ=")
    hear(wire, b"+ c2VjcmV0\r\n")
    wire.send_secret(Line("AUTH", challenges=True), b"c2VjcmV0")
    hear(wire, b"+OK welcome\r\n")
    assert shown == [
        "C: USER ***",
        "S: +OK",
        "C: PASS ***",
        "S: -ERR no",
        "C: AUTH PLAIN ***",
        "S: + ***",
        "C: ***",
        "S: +OK welcome",
    ]


def test_the_protocol_log_counts_bodies_and_does_not_show_them(box):
    shown: list[str] = []
    wire = Wire(lambda who, text: shown.append(f"{who}: {text}"))
    wire.send_run(Bodies("RETR", [1, 2], box), [1, 2])
    hear(wire, b"+OK\r\nsecret\r\n.\r\n-ERR\r\n")
    assert shown == ["C: RETR for 2 messages, pipelined", "S: 2 replies, 8 octets"]


def test_octets_that_nobody_asked_for_are_a_violation_before_the_next_command():
    wire = Wire()
    hear(wire, b"+OK surprise\r\n")
    with pytest.raises(ProtocolViolation):
        wire.send(Line("STAT"))
    assert not wire.pending


def test_an_unasked_refusal_is_the_server_hanging_up():
    wire = Wire()
    hear(wire, b"-ERR Disconnected for inactivity.\r\n")
    with pytest.raises(ConnectionLost, match="inactivity"):
        wire.send(Line("STAT"))


def test_octets_that_nobody_asked_for_are_bounded():
    wire = Wire()
    hear(wire, b"x" * MAX_LINE)
    with pytest.raises(ProtocolViolation):
        hear(wire, b"x")


def test_the_buffer_is_small_until_bodies_are_retrieved(box):
    wire = Wire()
    assert len(wire.inbox.buffer) == SMALL
    wire.send_run(Bodies("RETR", [1], box, alone=True), [1])
    assert len(wire.inbox.buffer) == LARGE


def test_only_a_doubtful_end_is_probed(box):
    wire = Wire()
    assert not wire.probe()
    wire.send_run(Bodies("RETR", [1], box, alone=True), [1])
    hear(wire, b"+OK\r\nmail without newline.\r")
    assert not wire.probe()
    hear(wire, b"\n")
    assert wire.probe() and wire.pending.endswith(b"NOOP\r\n")
    assert not wire.probe()
    hear(wire, b"+OK\r\n")
    assert wire.idle and box.mails == {1: b"mail without newline"}
