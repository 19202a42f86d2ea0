"""A partner who signs and encrypts, and us who read it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.identities import NOW, Identity, identity, keyring

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.smime import Opened, open_mail, protect

US, THEM = "us@us.example", "them@partner.example"
HEADER = b"From: them@partner.example\r\nTo: us@us.example\r\nMessage-ID: <1@partner.example>\r\nSubject: order\r\n"
CONTENT = b"Content-Type: text/plain\r\n\r\nten widgets\r\n"

Send = Callable[..., bytes]
Receive = Callable[..., Opened]


@pytest.fixture
def send() -> Send:
    """Protects a mail as a partner does: ``send(sign=True, encrypt=True, by=identity(…), content=…)``."""

    def protected(
        by: Identity | None = None, content: bytes = CONTENT, to: str = US, **options: bool
    ) -> bytes:
        ring = keyring(by or identity(THEM), identity(to), **options)
        partner = ring.partner(to)
        assert partner is not None
        return HEADER + protect(content, ring, [partner], NOW).entity

    return protected


@pytest.fixture
def receive() -> Receive:
    """Opens a mail as we do: ``receive(mail, identity(…), …)``, with the partners we know."""

    def opened(mail: bytes, *partners: Identity, limits: Limits = Limits()) -> Opened:
        ring = keyring(identity(US), *(partners or (identity(THEM),)))
        result = open_mail(mail, ring, limits, NOW)
        assert result is not None
        return result

    return opened
