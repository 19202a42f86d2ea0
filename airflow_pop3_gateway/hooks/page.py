"""Where the page *POP3 Gateway* stands: below Airflow's own address, for the browser that is logged in there."""

from __future__ import annotations

from urllib.parse import quote

from airflow.sdk.configuration import conf

PREFIX = "/pop3-gateway"


def page_address(site: str = "") -> str:
    """The address of the page, with a site's transfers open where one is named.

    A path of this host where Airflow does not know its own ``[api] base_url``.
    """
    base = str(conf.get("api", "base_url", fallback=None) or "").rstrip("/")
    return f"{base}{PREFIX}/" + (f"#{quote(site, safe='')}" if site else "")
