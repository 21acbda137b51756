"""A real browser for looking at reports, controlled over the DevTools protocol.

Two pipes carry the protocol, so there is no driver to install and no port to open.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# DevTools pipes are descriptors 3 and 4 of the browser; this makes ours 3 and 4.
_LAUNCH = "import os,sys; os.dup2(int(sys.argv[1]),3); os.dup2(int(sys.argv[2]),4); os.execv(sys.argv[3],sys.argv[3:])"


class Browser:
    """One headless Chromium."""

    def __init__(self, executable: str, profile: Path) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        high_in, high_out = (fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (theirs_in, theirs_out))
        command = [sys.executable, "-c", _LAUNCH, str(high_in), str(high_out), executable, *_FLAGS]
        self.process = subprocess.Popen(
            [*command, f"--user-data-dir={profile}"],
            pass_fds=(high_in, high_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for fd in (theirs_in, theirs_out, high_in, high_out):
            os.close(fd)
        self._in, self._out = ours_in, ours_out
        self._buffer = b""
        self._ids = itertools.count(1)
        self._events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            answer = self._read(deadline)
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._events.append(answer)
        raise TimeoutError(method)

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("browser")
            data = os.read(self._in, 1 << 20)
            if not data:
                raise ConnectionError("the browser is gone")
            self._buffer += data
        message, self._buffer = self._buffer.split(b"\0", 1)
        parsed: dict[str, Any] = json.loads(message)
        return parsed

    def events(self, session: str) -> list[dict[str, Any]]:
        return [event for event in self._events if event.get("sessionId") == session]

    def close(self) -> None:
        with contextlib.suppress(OSError, AssertionError, TimeoutError, ConnectionError):
            self.call("Browser.close")
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._in)
        os.close(self._out)


class Page:
    """One tab with one document."""

    def __init__(self, browser: Browser, *, size: tuple[int, int] = (1400, 900), dark: bool = False) -> None:
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        width, height = size
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **params)

    def open(self, path: Path, fragment: str = "") -> Page:
        """Loads a file and waits until its script has run."""
        self.call("Page.navigate", url=path.as_uri() + fragment)
        self.wait("document.documentElement?.dataset.ready === 'true'")
        return self

    def js(self, expression: str) -> Any:
        """Value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 120) -> None:
        """Wait until an expression is true, on whatever page is loaded meanwhile."""
        deadline = time.monotonic() + seconds
        while not self._is_true(expression):
            assert time.monotonic() < deadline, f"still not true: {expression}; {self.problems()}"
            time.sleep(0.03)

    def _is_true(self, expression: str) -> bool:
        try:
            return bool(self.js(expression))
        except AssertionError as error:
            if "navigated or closed" not in str(error):
                raise
            return False

    def click(self, selector: str, fraction: float = 0.5) -> None:
        """A real mouse click inside an element, at a fraction of its width."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.js(f"(b => [b.x + b.width * {fraction}, b.y + b.height / 2])({box})")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def key(self, key: str) -> None:
        code = {"Enter": 13, "ArrowRight": 39, "End": 35}.get(key, 0)
        text = {"Enter": "\r"}.get(key, "")
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def problems(self) -> list[str]:
        """Script errors and policy violations; missing media are not a problem."""
        found = []
        for event in self.browser.events(self.session):
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(event["params"]["exceptionDetails"])[:600])
            if event["method"] == "Log.entryAdded" and "ERR_FILE_NOT_FOUND" not in event["params"]["entry"]["text"]:
                found.append(event["params"]["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """URLs that the page requested."""
        return [
            event["params"]["request"]["url"]
            for event in self.browser.events(self.session)
            if event["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))


def chromium() -> str | None:
    """The browser's program, if this machine has one."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    executable = chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine")
    started = Browser(executable, tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@pytest.fixture
def page_of(browser: Browser) -> Callable[..., Page]:
    """Opens an empty tab."""

    def page(**how: Any) -> Page:
        return Page(browser, **how)

    return page


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Callable[..., Page]:
    """Writes a report into its own folder and opens it."""

    def open_(html: bytes | str, fragment: str = "", **page: Any) -> Page:
        path = tmp_path / "report.html"
        path.write_bytes(html.encode() if isinstance(html, str) else html)
        return Page(browser, **page).open(path, fragment)

    return open_
