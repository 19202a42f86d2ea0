"""The examination of a server: what it finds, and that it leaves every mail where it is."""

from __future__ import annotations

import json
import re
import ssl
from datetime import datetime, timezone

import pytest

from airflow_pop3_gateway.pop3.doctor import examine


class Maildrop:
    """A small POP3 server that answers from a list of mails, with what a test wants wrong."""

    def __init__(
        self, *mails: bytes, greeting=b"ready", capa=b"USER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n", **wrong
    ):
        self.mails, self.greeting, self.capabilities, self.wrong = mails, greeting, capa, wrong
        self.heard: list[str] = []
        self.logins = 0

    def __call__(self, peer):
        peer.say(b"+OK " + self.greeting + b"\r\n")
        while line := peer.hear().decode():
            verb, *words = line.split()
            self.heard.append(verb)
            answer = getattr(self, verb.lower(), None)
            peer.say(answer(*words) if answer else b"+OK\r\n")
            if verb == "QUIT":
                return

    def capa(self):
        return b"+OK\r\n" + self.capabilities + b".\r\n"

    def user(self, name):
        self.logins += 1
        return self.wrong.get("login" if self.logins == 1 else "again", b"+OK\r\n")

    def stat(self):
        return b"+OK %d %d\r\n" % (len(self.mails), sum(map(len, self.mails)))

    def list(self):
        sizes = [self.wrong.get("size", len)(mail) for mail in self.mails]
        return b"+OK\r\n" + b"".join(b"%d %d\r\n" % row for row in enumerate(sizes, 1)) + b".\r\n"

    def uidl(self):
        ids = self.wrong.get("uidl", lambda login: [b"id%d" % n for n in range(len(self.mails))])(self.logins)
        if ids is None:
            return b"-ERR what?\r\n"
        return b"+OK\r\n" + b"".join(b"%d %s\r\n" % row for row in enumerate(ids, 1)) + b".\r\n"

    def top(self, number, lines):
        head = self.mails[int(number) - 1].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        return b"+OK\r\n" + self.wrong.get("top", head) + b".\r\n"

    def retr(self, number):
        mail = self.mails[int(number) - 1]
        stuffed = mail if self.wrong.get("unstuffed") else mail.replace(b"\r\n.", b"\r\n..")
        return b"+OK\r\n" + stuffed + b".\r\n"


@pytest.fixture
def examined(serve):
    """Examine a maildrop: the findings by name, and the whole result."""

    def run(maildrop, **options):
        result = examine(serve(maildrop, maildrop, maildrop).site(**options))
        assert json.loads(json.dumps(result)) == result
        assert "secret" not in json.dumps(result)
        assert "DELE" not in maildrop.heard
        return {row["name"]: row["outcome"] for row in result["checks"]}, result

    return run


MAIL = b"Subject: x\r\n\r\n.dots\r\n"


def test_a_good_server_passes_everything(examined):
    maildrop = Maildrop(MAIL, MAIL + b"more\r\n")
    outcomes, result = examined(maildrop)
    assert result["ok"] and result["error"] is None
    assert {name for name, outcome in outcomes.items() if outcome != "pass"} == {"tls"}
    assert maildrop.heard.index("RSET") < maildrop.heard.index("QUIT", maildrop.heard.index("RSET"))


def test_an_unprotected_session_is_advised_against(examined):
    _, result = examined(Maildrop(MAIL, capa=b"USER\r\nSTLS\r\n"))
    assert any("security=starttls" in advice for advice in result["advice"])


def test_what_is_wrong_is_found(examined):
    maildrop = Maildrop(
        MAIL,
        MAIL + b"\r\n",
        capa=b"USER\r\n",
        unstuffed=True,
        top=MAIL,
        uidl=lambda login: [b"same", b"same"],
    )
    outcomes, result = examined(maildrop)
    assert not result["ok"]
    assert outcomes["dot-stuffing"] == "fail" and outcomes["uidl unique"] == "fail"
    assert outcomes["top 0 gives headers only"] == "note" and outcomes["pipelining"] == "skip"


def test_a_server_without_uidl_fails(examined):
    outcomes, result = examined(Maildrop(MAIL, uidl=lambda login: None))
    assert outcomes["uidl"] == "fail" and any("retention=delete" in advice for advice in result["advice"])


def test_ids_that_change_with_every_session_fail(examined):
    outcomes, _ = examined(Maildrop(MAIL, uidl=lambda login: [b"session-%d" % login]))
    assert outcomes["uidl stable"] == "fail"


def test_a_second_login_that_must_wait_is_no_fault(examined):
    outcomes, result = examined(Maildrop(MAIL, again=b"-ERR [LOGIN-DELAY] 900 seconds\r\n"))
    assert outcomes["uidl stable"] == "skip" and result["ok"]


def test_sizes_that_count_a_line_end_as_one_octet_are_told(examined):
    _, result = examined(Maildrop(MAIL, size=lambda mail: len(mail.replace(b"\r\n", b"\n"))))
    row = next(row for row in result["checks"] if row["name"] == "list and retr agree")
    assert row == {"name": row["name"], "outcome": "note", "detail": "LIST counts a line end as one octet"}


@pytest.mark.parametrize(
    "maildrop",
    [
        Maildrop(MAIL, greeting=b"Gpop ready for requests"),
        Maildrop(MAIL, capa=b"USER\r\nTOP\r\nEXPIRE 0\r\n"),
    ],
    ids=["gmail", "expire 0"],
)
def test_no_mail_is_retrieved_where_that_may_cost_it(examined, maildrop):
    outcomes, _ = examined(maildrop)
    assert "RETR" not in maildrop.heard and outcomes["retr"] == "skip"


def test_in_gmails_recent_mode_mails_are_looked_at_and_nobody_is_told_to_use_it(examined):
    maildrop = Maildrop(MAIL, greeting=b"Gpop ready for requests")
    _, result = examined(maildrop, login="recent:box")
    assert "RETR" in maildrop.heard and result["profile"] == "gmail"
    assert "recent:" not in str(result["advice"])


def test_microsoft_365_wants_tokens_which_is_said_to_who_has_none(examined):
    greeting = b"The Microsoft Exchange POP3 service is ready. [RwBW]"
    assert "tenant_id" in str(examined(Maildrop(greeting=greeting))[1]["advice"])
    _, result = examined(Maildrop(greeting=greeting), token_source=lambda refused: "token", auth="basic")
    assert "tenant_id" not in str(result["advice"])


def test_the_way_of_the_login_is_told(examined):
    _, result = examined(Maildrop(MAIL))
    assert {"name": "login", "outcome": "pass", "detail": "as box, by basic"} in result["checks"]


def test_without_a_login_only_what_anybody_can_see_is_looked_at(examined):
    maildrop = Maildrop(MAIL)
    outcomes, result = examined(maildrop, login="")
    assert maildrop.heard == ["CAPA", "QUIT"]
    assert outcomes["login"] == "skip" and result["ok"] and "UIDL" in result["capabilities"]


def test_ids_of_which_some_changed_are_noted_for_others_may_have_deleted_mails(examined):
    outcomes, _ = examined(Maildrop(MAIL, MAIL, uidl=lambda login: [b"id", b"session-%d" % login]))
    assert outcomes["uidl stable"] == "note"


def test_a_certificate_nobody_vouches_for_is_shown_and_its_server_told_nothing(serve, server_context):
    def script(peer):
        peer.start_tls(server_context)
        assert peer.hear() == b""

    server = serve(script, script)
    result = examine(server.site(security="tls"))
    assert result["error"]["kind"] == "TlsFailed" and not result["ok"]
    (advice,) = result["advice"]
    assert re.search(r"fingerprint=[0-9a-f]{64}\Z", advice)


def test_a_certificate_that_is_not_the_one_pinned_is_not_recommended(serve, server_context):
    server = serve(lambda peer: peer.start_tls(server_context))
    assert examine(server.site(security="tls", fingerprint="00" * 32))["advice"] == []


@pytest.mark.parametrize(
    ("greeting", "profile"),
    [
        (b"The Microsoft Exchange POP3 service is ready. [RwBWADEAMABFAFUAUgAwADEA]", "microsoft-365"),
        (b"The Microsoft Exchange POP3 service is ready.", "exchange"),
        (b"Dovecot (Debian) ready.", "dovecot"),
        (b"Hello there.", "courier"),
        (b"mail Cyrus POP3 3.6.1 server ready", "cyrus"),
        (b"Qpopper (version 4.1.0) starting.", "qpopper"),
        (b"welcome", "unknown"),
    ],
)
def test_the_provider_is_known_by_its_greeting(examined, greeting, profile):
    assert examined(Maildrop(greeting=greeting))[1]["profile"] == profile


def test_a_refused_login_is_a_result_not_an_exception(examined):
    _, result = examined(Maildrop(MAIL, login=b"-ERR [AUTH] no\r\n"))
    assert result["error"]["kind"] == "AuthenticationFailed" and not result["ok"]


def test_a_certificate_that_ends_soon_is_told(serve, authority, ca_file):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", not_after=datetime(2040, 1, 11, tzinfo=timezone.utc)).configure_cert(
        context
    )

    def script(peer):
        peer.start_tls(context)
        peer.say(b"+OK\r\n")
        peer.answer(b"CAPA", b"-ERR\r\n")
        peer.answer(b"QUIT", b"+OK\r\n")

    site = serve(script, lambda peer: None).site(security="tls", ca_file=ca_file)
    result = examine(site, now=lambda: datetime(2040, 1, 1, tzinfo=timezone.utc))
    assert "The server's certificate ends in 10 days." in result["advice"]
    assert result["tls"]["days_left"] == 10 and "trustme" in result["tls"]["issuer"]
    assert result["tls"]["version"].startswith("TLS") and result["error"]["kind"] == "ConnectionLost"
