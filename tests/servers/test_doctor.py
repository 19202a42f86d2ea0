"""The examination finds real servers good, in every way they are protected, and leaves their mails where they are."""

from __future__ import annotations

from support.served import Served

from airflow_pop3_gateway.pop3.doctor import examine
from airflow_pop3_gateway.testing import letters

MAILS = [letters.message(1), b"Subject: dots\r\n\r\n.a\r\n..\r\n", letters.message(2)]


def test_a_real_server_keeps_to_the_protocol(served: Served) -> None:
    site = served.mailbox(*MAILS)

    result = examine(site)

    assert result["ok"], result
    outcomes = {check["name"]: check["outcome"] for check in result["checks"]}
    expected = ("login", "uidl unique", "uidl stable", "dot-stuffing", "stat and list agree")
    assert {outcomes[name] for name in expected} == {"pass"}
    assert (result["tls"] is None) == (site.security == "plain")
    assert result["profile"] == (served.name if served.name in ("courier", "dovecot") else "unknown")
    assert len(served.left(site.login)) == len(MAILS)
