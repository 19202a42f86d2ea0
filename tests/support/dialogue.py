"""Holds a dialogue without a socket; imported by tests as ``support.dialogue``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_pop3_gateway.errors import ConnectionLost, GatewayError
from airflow_pop3_gateway.pop3.dialogues import Dialogue, Flow, Protection, Session, StartTls, TlsInfo

PROTECTION = Protection(
    TlsInfo("TLSv1.3", "cipher", "00", "CN=x", "CN=y", ""), {"tls-server-end-point": b"digest"}
)


def drive(session: Session, dialogue: Dialogue[Any], said: Iterator[bytes], *, probing: bool = False) -> Any:
    """Fulfil wishes from what the server says, piece by piece; when it is used up, the connection is lost.

    :param probing: each piece comes so late that a doubtful end is asked about.
    """
    try:
        wish = next(dialogue)
        while True:
            try:
                while isinstance(wish, Flow) and not session.wire.idle:
                    if probing:
                        session.wire.probe()
                    piece = next(said, None)
                    if piece is None:
                        raise ConnectionLost("used up")
                    session.wire.inbox.space()[: len(piece)] = piece
                    session.wire.received(len(piece))
            except GatewayError as error:
                wish = dialogue.throw(error)
            else:
                wish = dialogue.send(PROTECTION if isinstance(wish, StartTls) else None)
    except StopIteration as stop:
        return stop.value
