"""The real servers, once for all tests of this folder; each test takes a mailbox of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from support.dovecot import Dovecot
from support.mailutils import Mailutils
from support.postfix import Postfix

from airflow_pop3_gateway.testing.certificates import Certificates


@pytest.fixture(scope="session")
def dovecot(certificates: Certificates) -> Iterator[Dovecot]:
    with Dovecot(certificates) as server:
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


@pytest.fixture(scope="session")
def new_name() -> Callable[[], str]:
    """A name that no test had before."""
    numbers = count(1)
    return lambda: f"box{next(numbers)}"
