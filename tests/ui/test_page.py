"""The page as a person has it: a real browser before a real Airflow; what it shows, what it does, what it never runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest
from support.chromium import Page
from support.maildrop import Maildrop, attachment, letter, multipart
from support.transfers import send

from airflow_pop3_gateway.config import Application
from airflow_pop3_gateway.gateway import dismiss, quarantined, release, suspend
from airflow_pop3_gateway.store import Store, sent, suspensions
from airflow_pop3_gateway.testing import letters

Open = Callable[..., Page]
Receive = Callable[..., Maildrop]

HOSTILE = '</td><script>ran = 1</script><img src=x onerror="ran = 1"><b>\'"&amp;'
TWO_FILES = multipart(
    1, attachment(b"a.txt", b"a"), attachment(b"b.txt", b"b"), headers=b"Subject: Orders\r\n"
)
SEVERAL = {"MAIL": Application("MAIL", multiple_attachments="extract")}
FOUR_HOURS = timedelta(hours=4)


def now() -> datetime:
    return datetime.now(timezone.utc)


def rows(page: Page, body: str) -> list[str]:
    """What a person reads of each row that is shown, on one line."""
    found = page.run(f"[...document.getElementById('{body}').rows].map((one) => one.innerText)")
    return [line for one in found if (line := re.sub(r"\s+", " ", one).strip())]


def row(page: Page, body: str, words: str) -> str:
    """The only row that has these words."""
    (found,) = [one for one in rows(page, body) if words in one]
    return found


def shown(selector: str) -> str:
    return f"document.querySelector('{selector}').checkVisibility()"


# -- what it shows ----------------------------------------------------------------------------------------------


def test_where_nothing_is_it_says_so(look: Open, store: Store) -> None:
    page = look()
    assert page.text("#told").startswith("There is no connection of type pop3 yet")
    assert page.text("#looked").startswith("Nothing. Looked at: 30 days without mail, the tasks")
    assert (rows(page, "sites"), rows(page, "attention"), rows(page, "sent")) == ([], [], [])
    assert page.complaints == []


def test_each_site_shows_how_it_stands(look: Open, store: Store, received: Receive) -> None:
    received("orders", letter(1), letters.asks_for_receipt())
    received("salaries", letter(1))
    suspend("salaries", store, now(), by="ops", reason="the bank moves")
    page = look()
    assert re.match(
        r"orders a-login at pop.example.com:110 allowed – [\d-]+ [\d:]+ UTC \S+ \w+ ago – 1 2 deleted",
        row(page, "sites", "orders"),
    )
    assert " by ops: the bank moves" in row(page, "sites", "salaries")
    assert "Poll now" not in row(page, "sites", "salaries")
    assert page.text("#looked").startswith("Nothing. Looked at: the last 2 sessions with mail (since ")


def test_what_needs_a_person_says_why_and_what_to_do(
    look: Open,
    store: Store,
    received: Receive,
    connection: Callable[..., str],
    watcher: Callable[..., None],
) -> None:
    refused, overdue = send(store, "refused"), send(store, "overdue", expected_in=-FOUR_HOURS)
    drop = received("orders", letter(1), letter(1), TWO_FILES, letters.bounce(1, refused.xfer_ident))
    *_, orders = quarantined(store, drop.site)
    connection(received("broken", letter(1)).site.name, conn_type="pop3", host="", login="x")
    late = received("late")
    late.mailbox.deliver(letter(1))
    late.now.time -= FOUR_HOURS
    late.poll()
    noted = {"state": "TlsFailed", "message": "no TLS", "noted_at": now().isoformat()}
    watcher("orders", noted)
    page = look()
    assert len(rows(page, "attention")) == 6, "the exact duplicate needs nobody"
    assert "TlsFailed: no TLS airflow pop3-gateway doctor orders" in row(page, "attention", "Its watcher")
    broken = row(page, "attention", "airflow pop3-gateway doctor broken")
    assert "host is empty" in broken and "Correct what it says, then" in broken
    assert "4 hours ago late 1 session waits to be classified" in row(page, "attention", "late")
    assert "silent: b@x.example" in row(page, "attention", f"airflow pop3-gateway sent dismiss {overdue.key}")
    assert "negative DSN: nobody@supplier.example 550 5.1.1" in row(page, "attention", refused.xfer_ident)
    assert re.search(
        r"orders In quarantine: Orders from p@partner.example multiple-attachments: .* "
        rf"To take each file: airflow pop3-gateway quarantine release orders {orders['local_ident']} "
        r"--multiple-attachments extract "
        rf"If nobody wants it: airflow pop3-gateway quarantine dismiss orders {orders['local_ident']}$",
        row(page, "attention", "In quarantine"),
    )


def test_what_was_released_needs_nobody(look: Open, store: Store, received: Receive) -> None:
    drop = received("orders", TWO_FILES)
    (line,) = quarantined(store, drop.site)
    release(drop.site, store, [line["local_ident"]], applications=SEVERAL)
    page = look(hash="#orders")
    page.until(shown("#transfers"))
    assert rows(page, "attention") == []
    assert [one.rpartition(" ")[2] for one in rows(page, "transfers")] == ["ended", "since"]
    assert "multiple-attachments, released since" in rows(page, "transfers")[1]


def test_what_was_dismissed_needs_nobody(look: Open, store: Store, received: Receive) -> None:
    drop = received("orders", letter(1), TWO_FILES)
    (line,) = quarantined(store, drop.site)
    dismiss(drop.site, store, [line["local_ident"]], by="ops")
    page = look(hash="#orders")
    page.until(shown("#transfers"))
    assert rows(page, "attention") == []
    assert row(page, "transfers", "Orders").endswith("multiple-attachments, dismissed since")
    page.run("only.click()")
    assert page.text("#shown") == "0 of the last 2 mails"


def test_a_task_that_failed_is_there_and_its_log_says_why(
    look: Open, received: Receive, ran: Callable[[str], None]
) -> None:
    received("orders", letter(1))
    for state in ("success", "failed", "failed"):
        ran(state)
    page = look()
    assert re.search(r"allowed failed, \d+ \w+ ago", row(page, "sites", "orders")), "its last session"
    assert "orders Task retrieve of poll_orders failed, 2 times in a day" in row(
        page, "attention", "poll_orders"
    )
    page.click("What its log says")
    page.until(shown("#record"))
    assert page.text("#record-title") == "Log of poll_orders, retrieve, try 1"
    assert "Refused: [AUTH] no" in page.text("#record")
    assert "Downloading" not in page.text("#record")


def test_a_session_that_failed_is_forgotten_when_the_next_went_well(
    look: Open, received: Receive, ran: Callable[[str], None]
) -> None:
    received("orders", letter(1))
    for state in ("failed", "success"):
        ran(state)
    page = look()
    assert re.search(r"allowed success, \d+ \w+ ago", row(page, "sites", "orders"))
    assert rows(page, "attention") == []


def test_what_was_sent_and_waits_is_listed_the_overdue_first(look: Open, store: Store) -> None:
    send(store, "early", expected_in=FOUR_HOURS)
    late = send(store, "late", expected_in=-FOUR_HOURS)
    page = look()
    assert [("Prices late" in one, "overdue" in one) for one in rows(page, "sent")] == [
        (True, True),
        (False, False),
    ]
    assert "1 yes, 0 no, 1 silent ENDED_TO_ACK" in row(page, "sent", "Prices early")
    page.click("Prices late", "#sent")
    page.until(shown("#record"))
    assert page.text("#record-title") == f"Sent {late.xfer_ident}: ENDED_TO_ACK"
    assert '"name": "r-1"' in page.text("#record")
    sent.settle(store, late.key)


def test_what_partners_write_is_text_and_nothing_of_it_runs(
    look: Open, store: Store, received: Receive
) -> None:
    long = "so long " * 1000
    received(
        "orders",
        letters.letter(
            "hostile", 1, letters.text(HOSTILE), subject=HOSTILE, sender=f'"{HOSTILE}" <p@x.example>'
        ),
        letters.letter(
            "hostile",
            2,
            letters.multipart("mixed", letters.text("x"), letters.file(b"", HOSTILE.replace('"', ""))),
        ),
        letters.letter(
            "hostile",
            3,
            letters.multipart("mixed", letters.file(b"a", "a"), letters.file(b"b", "b")),
            subject=long,
        ),
        letters.letter("hostile", 4, letters.file(b"", content_type="x/y"), subject="\u202eevil \u05d0"),
    )
    suspend("orders", store, now(), by=HOSTILE, reason=HOSTILE)
    page = look(hash="#orders")
    page.until(shown("#transfers"))
    assert HOSTILE in row(page, "transfers", '</td><script>ran = 1</script><img src=x onerror="')
    assert f"by {HOSTILE}: {HOSTILE}"[:100] in row(page, "sites", "suspended")
    assert len(row(page, "attention", "so long")) < 600
    assert page.run(
        f"[...document.querySelectorAll('[title]')].some((one) => one.title === '{long.strip()}')"
    )
    assert page.run("document.querySelectorAll('#attention bdi').length") > 0, "a direction of its own"
    for button, words in (
        ("tr:last-child button", HOSTILE[:20]),
        ("tr:first-child button", "\\u202eevil \u05d0"),
    ):
        page.run(f"document.querySelector('#transfers {button}').click()")
        page.until(f"document.getElementById('record').textContent.includes({json.dumps(words)})")
    assert page.run("[typeof ran, document.scripts.length, document.images.length]") == ["undefined", 1, 0]
    assert page.complaints == []


# -- what it does -----------------------------------------------------------------------------------------------


def test_mails_of_a_site_can_be_sifted_and_more_can_be_had(look: Open, received: Receive) -> None:
    received("orders", TWO_FILES, *(letters.message(number) for number in range(100, 160)))
    page = look()
    page.click("orders", "#sites")
    page.until(shown("#transfers"))
    assert page.text("#shown") == "50 of the last 50 mails"
    page.click("Show up to 500")
    page.until("shown.innerText === '61 of the last 61 mails'")
    assert not page.run(shown("#more"))
    page.run("document.getElementById('find').focus()")
    page.call("Input.insertText", text="message 15")
    assert page.text("#shown") == "10 of the last 61 mails"
    page.run("document.getElementById('find').select()")
    page.call("Input.insertText", text="PARTNER")
    page.run("only.click()")
    assert page.text("#shown") == "1 of the last 61 mails"
    assert row(page, "transfers", "Orders").endswith("in quarantine: multiple-attachments")


def test_an_address_leads_to_a_record(look: Open, received: Receive) -> None:
    received("orders", letter(1))
    page = look(hash="#orders")
    page.until(shown("#transfers"))
    page.run("document.querySelector('#transfers button').click()")
    page.until(shown("#record"))
    again = look(hash=page.run("location.hash"))
    again.until(shown("#record"))
    assert again.text("#record") == page.text("#record")
    assert '"destination": "edi"' in again.text("#record")


def test_who_may_suspends_with_a_reason_and_resumes(look: Open, store: Store, received: Receive) -> None:
    received("orders", letter(1))
    page = look("op")
    page.run("document.querySelector('[aria-label=\"Why orders is suspended\"]').focus()")
    page.call("Input.insertText", text="quiet <please>")
    page.click("Suspend")
    page.until("sites.innerText.includes('by a op: quiet <please>')")
    found = suspensions.find(store, "orders")
    assert found is not None
    assert found.reason == "quiet <please>"
    page.until("document.activeElement.innerText === 'Resume'")
    page.click("Resume")
    page.until("!sites.innerText.includes('suspended')")
    page.until("document.activeElement.innerText === 'Suspend'")
    assert suspensions.find(store, "orders") is None


def test_who_may_not_is_told_and_sees_no_login(look: Open, store: Store, received: Receive) -> None:
    received("orders", letter(1))
    page = look("viewer", "#orders")
    page.until(shown("#transfers"))
    page.click("Suspend")
    page.until("told.innerText === 'You may not do that.'")
    assert suspensions.find(store, "orders") is None
    page.run("document.querySelector('#transfers button').click()")
    page.until(shown("#record"))
    assert "pop.example.com" not in page.text("body")
    assert "a-login" not in page.text("body")
    assert '"destination": ""' in page.text("#record")


def test_poll_now_rings_the_bell_of_a_dag_that_listens(
    look: Open, received: Receive, listened_to: Callable[[str], Callable[[], int]]
) -> None:
    received("orders", letter(1))
    page = look("op")
    page.click("Poll now")
    page.until("told.innerText.startsWith('No DAG is scheduled on mailbox(\"orders\")')")
    rung = listened_to("orders")
    page.click("Poll now")
    page.until("told.innerText.startsWith('Asked the DAGs')")
    assert rung() == 1


# -- when something is wrong ------------------------------------------------------------------------------------


def test_what_cannot_be_looked_at_is_said_in_a_sentence(
    look: Open, store: Store, received: Receive, monkeypatch: pytest.MonkeyPatch
) -> None:
    received("orders", letter(1))
    page = look()
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__BASE_PATH", "s3://nobody@bucket")
    page.click("Refresh")
    page.until("told.innerText.startsWith('Could not look at sites, what was sent, mails: ')")
    assert page.text("#told").count("there is no connection 'nobody'") == 1
    assert page.text("#looked") == "Looked at: the tasks of the last 24 hours."
    assert "orders" in row(page, "sites", "allowed"), "what was seen before stays"


def test_who_is_not_logged_in_any_more_is_told(look: Open, received: Receive) -> None:
    received("orders", letter(1))
    page = look()
    page.call("Network.clearBrowserCookies")
    page.click("orders", "#sites")
    page.until("told.innerText === 'You are not logged in any more.'")


# -- for everybody ----------------------------------------------------------------------------------------------


def test_everything_has_a_name_and_a_keyboard_is_enough(look: Open, received: Receive) -> None:
    received("orders", letter(1), TWO_FILES)
    page = look()
    page.press("Tab", 9)
    assert page.run("document.activeElement.innerText") == "Refresh"
    for _ in range(20):
        page.press("Tab", 9)
        if page.run("document.activeElement.closest('#sites') !== null"):
            break
    page.press("Enter", 13)
    page.until(shown("#transfers"))
    assert page.run("document.activeElement.innerText") == "Mails of orders", "where reading goes on"
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    operable = [
        (node["role"]["value"], node["name"]["value"])
        for node in nodes
        if node.get("role", {}).get("value") in ("button", "textbox", "searchbox", "checkbox", "columnheader")
    ]
    assert ("searchbox", "Find") in operable
    assert ("textbox", "Why orders is suspended") in operable
    assert [role for role, name in operable if not name.strip()] == []
    assert page.run("told.getAttribute('role') + told.getAttribute('aria-live')") == "statuspolite"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_by_day_and_by_night(look: Open, received: Receive, scheme: str) -> None:
    """WCAG 2.2 asks for a contrast of 4.5 to 1 of text."""
    received("orders", letter(1), TWO_FILES)
    page = look()
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    contrasts = page.run(
        """(() => {
            const luminance = (colour) => {
                const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((one) => one / 255);
                const [r, g, b] = parts.map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const probe = document.body.appendChild(document.createElement("i"));
            const colour = (name) => { probe.style.color = name; return luminance(getComputedStyle(probe).color); };
            const ground = colour("Canvas");
            const words = ["var(--quiet)", "var(--good)", "var(--held)", "var(--bad)", "CanvasText", "LinkText"];
            return [ground, ...words.map((name) => {
                const [high, low] = [colour(name), ground].sort((a, b) => b - a);
                return (high + 0.05) / (low + 0.05);
            })];
        })()"""
    )
    assert (contrasts[0] < 0.5) == (scheme == "dark")
    assert [one for one in contrasts[1:] if one < 4.5] == []


def test_half_a_screen_is_wide_enough(look: Open, received: Receive) -> None:
    received("orders", letter(1), TWO_FILES)
    page = look(hash="#orders")
    page.call("Emulation.setDeviceMetricsOverride", width=700, height=900, deviceScaleFactor=1, mobile=False)
    page.until(shown("#transfers"))
    wide = "[document.documentElement, ...document.querySelectorAll('.wide')].map((one) => one.scrollWidth - one.clientWidth)"
    assert set(page.run(wide)) == {0}


def test_it_stands_in_airflows_menu_and_takes_over_its_colours(look: Open, received: Receive) -> None:
    received("orders", letter(1))
    page = look()
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    page.run("localStorage.setItem('theme', 'dark')")
    page.go(page.run("location.origin") + "/plugin/pop3_gateway")
    framed = "document.querySelector('iframe')?.contentDocument"
    page.until(f"Boolean({framed}?.querySelector('#sites .link'))")
    scheme = f"getComputedStyle({framed}.documentElement).colorScheme"
    assert page.run(scheme) == "dark"
    page.run(f"{framed}.querySelector('#sites .link').click()")
    page.until(f"{framed}.querySelector('#transfers').checkVisibility()")
    page.run("document.documentElement.style.colorScheme = 'light'")
    page.until(f"{scheme} === 'light'")
