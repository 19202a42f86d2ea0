"""One mail over a connection of smtplib: options for the mail and for each recipient, its octets streamed.

Strategy: what the server's EHLO offers is used (SIZE, 8BITMIME, SMTPUTF8, DSN); what the mail needs and the server does
not offer is refused here, before it is told anything. Every reply is handed back; nothing is decided by it.

Invariant: the octets go out as they are, with dots doubled at the beginning of lines (RFC 5321 §4.5.2); a mail whose
octets break off is never completed: its connection is closed.
"""

from __future__ import annotations

import contextlib
import re
import smtplib
from collections.abc import Iterable, Iterator

from airflow_pop3_gateway.errors import ConfigurationError, RelayRefused, RelayUnavailable
from airflow_pop3_gateway.gateway.send import Envelope, Submitted
from airflow_pop3_gateway.mail.compose import Chunks
from airflow_pop3_gateway.mail.words import printable

LAST_REPLY = 600.0
"""Seconds to wait for the reply to a mail at least (RFC 5321 §4.5.3.2.6)."""
_TAKEN = ("250", "251")
_GO_ON = "354"
_LOGIN_NEEDED = "530"
_CLOSING = 421
_BUFFER = 64 << 10
_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")
_NOT_UNITEXT = re.compile(r"[^!-*,-<>-\[\]-~]")


def submit(client: smtplib.SMTP, envelope: Envelope, octets: Chunks) -> Submitted:
    """Give a mail to the server of a connection.

    :param octets: with CRLF line ends.
    :raises RelayRefused: the server does not offer what the mail needs; it was told nothing.
    :raises RelayUnavailable: the server is closing the connection.
    :raises ConfigurationError: the server wants a login.
    :raises OSError: the connection broke; it is closed.
    """
    client.ehlo_or_helo_if_needed()
    international = _check(client, envelope)
    dsn = bool(envelope.envid) and client.has_extn("dsn")
    options = list(_mail_options(client, envelope, international, dsn))
    reply = _text(client, client.mail(envelope.mail_from, options))
    if reply.startswith(_LOGIN_NEEDED):
        raise ConfigurationError(f"The relay wants a login: {reply}", field="login")
    replies = dict.fromkeys(envelope.recipients, reply)
    if reply.startswith(_TAKEN):
        for one in envelope.recipients:
            replies[one] = _text(client, client.rcpt(one, list(_recipient_options(one)) if dsn else ()))
    taken = [one for one, reply in replies.items() if reply.startswith(_TAKEN)]
    if taken:
        replies |= dict.fromkeys(taken, _data(client, octets))
    if not taken or not replies[taken[0]].startswith(_TAKEN):
        with contextlib.suppress(OSError):
            client.rset()
    return Submitted(replies, dsn)


def _check(client: smtplib.SMTP, envelope: Envelope) -> bool:
    """Whether the server takes what the mail needs. :returns: whether an address needs SMTPUTF8."""
    addresses = [one for one in (envelope.mail_from, *envelope.recipients) if not one.isascii()]
    if not all(map(str.isprintable, (envelope.mail_from, *envelope.recipients))):
        raise _refused("An address cannot be given to a relay: it has a control character.", envelope)
    if addresses and not client.has_extn("smtputf8"):
        raise _refused(
            f"An address cannot be given to this relay, it offers no SMTPUTF8: {', '.join(addresses)}",
            envelope,
        )
    if envelope.eight_bit and not client.has_extn("8bitmime"):
        raise _refused("The mail has octets of eight bits, and the relay offers no 8BITMIME.", envelope)
    limit = client.esmtp_features.get("size", "")
    if limit.isdigit() and 0 < int(limit) < envelope.size:
        raise _refused(f"The mail has {envelope.size} octets, and the relay takes {limit}.", envelope)
    return bool(addresses)


def _refused(why: str, envelope: Envelope) -> RelayRefused:
    return RelayRefused(why, refused=dict.fromkeys(envelope.recipients, ""))


def _mail_options(client: smtplib.SMTP, envelope: Envelope, international: bool, dsn: bool) -> Iterator[str]:
    if client.has_extn("size"):
        yield f"SIZE={envelope.size}"
    if envelope.eight_bit:
        yield "BODY=8BITMIME"
    if international:
        yield "SMTPUTF8"
    if dsn:
        yield "RET=HDRS"
        yield f"ENVID={_NOT_XTEXT.sub(_xtext, envelope.envid)}"


def _recipient_options(recipient: str) -> Iterator[str]:
    """Every word there may be of a recipient, and its address as we know it (RFC 3461 §4, RFC 6533 §3)."""
    yield "NOTIFY=SUCCESS,FAILURE,DELAY"
    if recipient.isascii():
        yield f"ORCPT=rfc822;{_NOT_XTEXT.sub(_xtext, recipient)}"
    else:
        yield f"ORCPT=utf-8;{_NOT_UNITEXT.sub(_unitext, recipient)}"


def _xtext(found: re.Match[str]) -> str:
    return f"+{ord(found[0]):02X}"


def _unitext(found: re.Match[str]) -> str:
    return f"\\x{{{ord(found[0]):X}}}"


def _data(client: smtplib.SMTP, octets: Chunks) -> str:
    client.putcmd("data")
    reply = _text(client, client.getreply())
    if not reply.startswith(_GO_ON):
        return reply
    try:
        for piece in _on_the_wire(octets()):
            client.send(piece)
        with _patience(client):
            return _text(client, client.getreply())
    except BaseException:
        client.close()
        raise


@contextlib.contextmanager
def _patience(client: smtplib.SMTP) -> Iterator[None]:
    """Who gives up on this reply sends the mail twice, for the server goes on with it."""
    sock = client.sock
    timeout = sock.gettimeout() if sock else None
    if sock is not None and timeout is not None:
        sock.settimeout(max(timeout, LAST_REPLY))
    yield
    if sock is not None:
        sock.settimeout(timeout)


def _on_the_wire(octets: Iterable[bytes]) -> Iterator[bytearray]:
    """Dots doubled and the end marked; small pieces go together, for each alone would wait for the packet before."""
    buffer = bytearray()
    begins = True
    for piece in octets:
        if begins and piece.startswith(b"."):
            buffer += b"."
        begins = piece.endswith(b"\n") if piece else begins
        buffer += piece.replace(b"\n.", b"\n..")
        if len(buffer) >= _BUFFER:
            yield buffer
            buffer = bytearray()
    if not begins:
        buffer += b"\r\n"
    buffer += b".\r\n"
    yield buffer


def on_one_line(code: int, words: bytes | str) -> str:
    """A reply for logs, records and errors, without control characters."""
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return " ".join(f"{code} {printable(text)}".split())


def _text(client: smtplib.SMTP, reply: tuple[int, bytes]) -> str:
    """A reply on one line. :raises RelayUnavailable: when the server closes the connection with it."""
    text = on_one_line(*reply)
    if reply[0] == _CLOSING:
        client.close()
        raise RelayUnavailable(f"The relay closes the connection: {text}")
    return text
