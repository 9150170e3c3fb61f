"""Debian's chromium without a screen, driven over the DevTools protocol: tabs, clicks, scripts, and its cookies.

Rules of this file:

* The protocol goes over a pipe (``--remote-debugging-pipe``): no port is opened, and a browser whose pipe closes ends
  by itself, also when the tests are killed.
* Nothing sleeps. Each step waits for the browser's own word that it is done, for ``PATIENCE`` seconds at most.
* A context is a browser of its own: its cookies are nobody else's, and go when it is closed.
* It needs the standard library alone. Playwright's synchronous interface runs on greenlets in the test's own thread,
  where neither coverage nor the event loops of other tests expect any.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections import deque
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

__all__ = ["BrowserFailed", "Chromium", "Context", "Tab"]

PATIENCE = 30.0
"""Seconds that any one step may take, on a machine that has other things to do."""

FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    # It looks for updates and the like at every start, and waits for what a closed network does not answer.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # containers have 64 MB of it
    "--host-resolver-rules=MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)

_FREE = 10
"""File descriptors from here on are in nobody's way; the browser wants 3 and 4."""


class BrowserFailed(Exception):  # noqa: N818 - read in test reports
    """The browser refused a command, a script in it threw, or it said nothing for too long."""


class Chromium:
    """One browser process; entering starts it, leaving ends it and all that it started.

    Args:
        profile: an empty folder.
        trusted: hash of a public key (SHA-256 of its SubjectPublicKeyInfo, base64) whose certificates are good.
    """

    def __init__(self, profile: Path, *, trusted: str) -> None:
        self._arguments = [*FLAGS, f"--user-data-dir={profile}", f"--ignore-certificate-errors-spki-list={trusted}"]
        if os.geteuid() == 0:
            self._arguments.append("--no-sandbox")  # it refuses to run as root otherwise
        self._log = profile / "output.txt"
        self._ids = count(1)
        self._read = b""
        self._events: deque[dict[str, Any]] = deque()

    def __enter__(self) -> Self:
        program = shutil.which("chromium")
        if program is None:
            raise BrowserFailed("there is no chromium: apt-get install chromium")
        theirs_in, self._out = _pipe()
        self._in, theirs_out = _pipe()
        # A shell puts the pipe's ends where the browser looks for them: Popen passes on descriptors by their number.
        command = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        try:
            with self._log.open("wb") as output:
                self._process = subprocess.Popen(
                    ["bash", "-c", command, program, *self._arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs_in, theirs_out),
                    start_new_session=True,  # a group of its own, to be ended as one
                )
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        try:
            self.call("Browser.getVersion")  # answered as soon as it is up
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(BrowserFailed, OSError):
            self.call("Browser.close")
        self._end()

    def _end(self) -> None:
        os.close(self._out)
        os.close(self._in)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)  # its helpers too, which end by themselves otherwise
            self._process.wait()

    def context(self) -> Context:
        """Return a new browser profile without cookies."""
        return Context(self, self.call("Target.createBrowserContext")["browserContextId"])

    # --- the protocol -------------------------------------------------------------------------------------------------

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Give a command and return its result.

        Args:
            method: as the protocol names it.
            session: of the tab it is meant for.
            parameters: of the command.

        Raises:
            BrowserFailed: if it is refused.
        """
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        deadline = time.monotonic() + PATIENCE
        while (answer := self._next(method, deadline)).get("id") != number:
            self._events.append(answer)
        if "error" in answer:
            raise BrowserFailed(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def wait(self, what: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for an event, which may have come already, and return it; forget those before it.

        Raises:
            BrowserFailed: if it does not come.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            event = self._events.popleft() if self._events else self._next(what, deadline)
            if condition(event):
                return event

    def _next(self, what: str, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self._in, 1 << 16) if ready else b""
            if not data:
                said = self._log.read_text("utf-8", "replace")[-2000:]
                raise BrowserFailed(f"{what}: the browser {'has ended' if ready else 'does not answer'}\n{said}")
            self._read += data
        message, _, self._read = self._read.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded


def _pipe() -> tuple[int, int]:
    """Return the ends of a pipe, to read from and to write to, both with a high number."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FREE) for end in ends]
    for end in ends:
        os.close(end)
    return high[0], high[1]


class Context:
    """A browser profile: tabs that share cookies.

    Args:
        browser: where it lives.
        identity: the browser's name for it.
    """

    def __init__(self, browser: Chromium, identity: str) -> None:
        self._browser = browser
        self._identity = identity

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._browser.call("Target.disposeBrowserContext", browserContextId=self._identity)

    def tab(self) -> Tab:
        """Open a tab."""
        browser = self._browser
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=self._identity)["targetId"]
        session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.call("Page.enable", session)
        browser.call("Page.setLifecycleEventsEnabled", session, enabled=True)
        return Tab(browser, target, session)

    def cookies(self) -> list[dict[str, Any]]:
        """Return all cookies as the protocol tells them, by name."""
        held: list[dict[str, Any]] = self._browser.call("Storage.getCookies", browserContextId=self._identity)[
            "cookies"
        ]
        return sorted(held, key=lambda cookie: (cookie["name"], str(cookie.get("partitionKey"))))

    def names(self) -> list[str]:
        """Return the names of all cookies, in order."""
        return [cookie["name"] for cookie in self.cookies()]

    def plant(self, name: str, value: str, url: str) -> None:
        """Put a cookie in that nobody set."""
        cookie = {"name": name, "value": value, "url": url, "secure": url.startswith("https")}
        self._browser.call("Storage.setCookies", browserContextId=self._identity, cookies=[cookie])

    def clear(self) -> None:
        """Forget all cookies."""
        self._browser.call("Storage.clearCookies", browserContextId=self._identity)


class Tab:
    """A tab of a context.

    Args:
        browser: where it lives.
        target: the browser's name for it.
        session: the protocol's name for the connection to it.
    """

    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session
        self._document = ""

    def goto(self, url: str) -> None:
        """Go to a page and wait until it is loaded.

        Raises:
            BrowserFailed: if it cannot be reached.
        """
        answer = self._call("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserFailed(f"{url}: {answer['errorText']}")
        self._loaded(answer["loaderId"])

    def reload(self) -> None:
        """Load the page again, as its user would by F5."""
        self._call("Page.reload")
        self._loaded()

    def click(self, selector: str) -> None:
        """Click on something that leads to another page, and wait until that is loaded."""
        self.run(f"document.querySelector({json.dumps(selector)}).click()")
        self._loaded()

    def run(self, expression: str) -> Any:
        """Evaluate JavaScript in the page; a promise is waited for.

        Raises:
            BrowserFailed: if it throws.
        """
        answer = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            told = answer["exceptionDetails"]
            raise BrowserFailed(told.get("exception", {}).get("description", told["text"]))
        return answer["result"].get("value")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def _loaded(self, document: str | None = None) -> None:
        """Wait until a document is loaded: the one named, or another than the last one."""

        def is_it(event: dict[str, Any]) -> bool:
            if event.get("sessionId") != self._session or event["method"] != "Page.lifecycleEvent":
                return False
            told = event["params"]
            if told["name"] != "load" or told["frameId"] != self._target:
                return False
            return bool(told["loaderId"] == document if document else told["loaderId"] != self._document)

        self._document = self._browser.wait("load", is_it)["params"]["loaderId"]
