"""Debian's Chromium without a window, driven by its own protocol (DevTools) over two inherited file descriptors.

Strategy: no driver and no port; the browser ends when the test's end of the line is closed. A page waits for what is
asked of it, as a person does: nothing sleeps.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from support.programs import program, until


class Chromium:
    """A browser that runs while its context is open."""

    def __init__(self) -> None:
        self._path = program("chromium", "chromium")
        self._numbers = itertools.count(1)
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Chromium:
        self._folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self._line, theirs = socket.socketpair()
        self._line.settimeout(30)
        with theirs:
            descriptor = theirs.fileno()
            # The protocol's line is descriptor 3 for what the browser reads, and 4 for what it writes.
            self._process = subprocess.Popen(
                [
                    *("/bin/bash", "-c", f'exec "$0" "$@" 3<&{descriptor} 4>&{descriptor}', self._path),
                    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                    *("--no-first-run", "--remote-debugging-pipe", "--lang=en-US"),
                    *("--no-proxy-server", f"--user-data-dir={self._folder.name}", "about:blank"),
                ],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self.call("Browser.close")
        self._line.close()
        self._process.wait(30)
        self._folder.cleanup()

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """One command of the protocol and its answer; what happens meanwhile is added to :attr:`events`."""
        number = next(self._numbers)
        message = {
            "id": number,
            "method": method,
            "params": params,
            **({"sessionId": session} if session else {}),
        }
        self._line.sendall(json.dumps(message).encode() + b"\0")
        for told in self._messages():
            if told.get("id") == number:
                assert "error" not in told, f"{method}: {told['error']}"
                return dict(told["result"])
            self.events.append(told)
        raise ConnectionError("the browser is gone")

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            message, end, rest = self._rest.partition(b"\0")
            if end:
                self._rest = rest
                yield json.loads(message)
            elif piece := self._line.recv(1 << 16):
                self._rest += piece
            else:
                return

    @contextlib.contextmanager
    def page(self, cookies: dict[str, str], url: str) -> Iterator[Page]:
        """An empty page of a person's own, with these cookies for a site."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        for name, value in cookies.items():
            page.call("Network.setCookie", name=name, value=value, url=url, httpOnly=True)
        self.events.clear()
        try:
            yield page
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)


class Page:
    """One page as a person has it before them."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol for this page."""
        return self._browser.call(method, self._session, **params)

    def go(self, url: str) -> None:
        """Open an address; what :meth:`until` sees from now on is the new document."""
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, answer["errorText"]

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression. :raises AssertionError: it threw."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until an expression is true. :returns: its value."""
        found: list[Any] = []

        def happened() -> bool:
            found[:] = [self.run(expression)]
            return bool(found[0])

        try:
            until(happened, expression, seconds=20)
        except AssertionError as error:
            raise AssertionError(f"{error}; the page says:\n{self.run('document.body.innerText')}") from None
        return found[0]

    def text(self, selector: str) -> str:
        """What a person reads of an element that is there."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def click(self, words: str, within: str = "body") -> None:
        """Press the only button with this name."""
        found = f"[...document.querySelectorAll({json.dumps(within + ' button')})]"
        named = f"{found}.filter((one) => one.innerText === {json.dumps(words)})"
        assert self.until(f"{named}.length") == 1, f"{words} is there more than once"
        self.run(f"{named}[0].click()")

    def press(self, key: str, code: int) -> None:
        """One key, where the focus is."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text
            )

    @property
    def complaints(self) -> list[str]:
        """What ran that should not, and what failed: dialogs, exceptions, refused by the content's policy."""
        self.run("1")
        bad = ("Page.javascriptDialogOpening", "Runtime.exceptionThrown", "Log.entryAdded")
        return [
            json.dumps(event["params"])
            for event in self._browser.events
            if event.get("sessionId") == self._session and event["method"] in bad
        ]
