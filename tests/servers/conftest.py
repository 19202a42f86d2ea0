"""The real servers, once for all tests of this folder; each test takes a mailbox of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.clients import connect
from support.courier import Courier
from support.dovecot import Dovecot
from support.mailutils import Mailutils
from support.postfix import Postfix
from support.served import SECURITIES, Served, embedded, real

from airflow_pop3_gateway.testing.certificates import Certificates

__all__ = ["connect"]


@pytest.fixture(scope="session")
def dovecot(certificates: Certificates) -> Iterator[Dovecot]:
    with Dovecot(certificates) as server:
        yield server


@pytest.fixture(scope="session")
def courier(certificates: Certificates) -> Iterator[Courier]:
    with Courier(certificates) as server:
        yield server


@pytest.fixture(scope="session")
def mailutils(certificates: Certificates) -> Iterator[Mailutils]:
    with Mailutils(certificates) as server:
        yield server


@pytest.fixture(scope="session")
def postfix(dovecot: Dovecot) -> Iterator[Postfix]:
    """Delivers into the mailboxes that Dovecot serves."""
    with Postfix(dovecot) as server:
        yield server


@pytest.fixture(params=["courier", "dovecot", "mailutils", "twisted"])
def server_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SECURITIES)
def security(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(request: pytest.FixtureRequest, certificates: Certificates) -> Callable[[str, str], Served]:
    """A server by name, protected in this way."""

    def find(name: str, security: str) -> Served:
        if name == "twisted":
            server = request.getfixturevalue("pop3_server")({}, security=security)
            return embedded(server, security, certificates)
        return real(request.getfixturevalue(name), security, certificates)

    return find


@pytest.fixture
def served(serve: Callable[[str, str], Served], server_name: str, security: str) -> Served:
    """Every server, protected in every way."""
    return serve(server_name, security)
