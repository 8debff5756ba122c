"""Debian's Chromium, for tests of what a reader sees: where it is, how it is started, and pages opened in it one after another."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# continuous integration sets DENSESEG_BROWSER=required: without a browser these tests then fail instead of being skipped
REQUIRED = os.environ.get("DENSESEG_BROWSER") == "required"
needs_browser = pytest.mark.skipif(CHROMIUM is None and not REQUIRED, reason="no chromium is installed: no page was opened in it")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


def command(profile: Path, *options: str) -> list[str]:
    """The command that starts Chromium with a fresh profile folder."""
    assert CHROMIUM is not None, "DENSESEG_BROWSER=required, and there is no chromium: apt-get install chromium"
    return [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *options]


class Tab:
    """A tab of a running Chromium, spoken to in its DevTools protocol: JSON messages, each ended by a zero byte."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self.to_browser, self.from_browser = to_browser, from_browser
        self.session: dict[str, str] = {}
        self.count, self.rest, self.events = 0, b"", list[dict[str, Any]]()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def message(self) -> dict[str, Any]:
        """The next message from the browser."""
        while b"\0" not in self.rest:
            assert select.select([self.from_browser], [], [], 60)[0], "the browser has been silent for a minute"
            new = os.read(self.from_browser, 65536)
            assert new, "the browser has gone"
            self.rest += new
        first, self.rest = self.rest.split(b"\0", 1)
        return json.loads(first)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command. Events that come meanwhile are kept in `events`."""
        self.count += 1
        order = {"id": self.count, "method": method, "params": parameters, **self.session}
        os.write(self.to_browser, json.dumps(order).encode() + b"\0")
        while (answer := self.message()).get("id") != self.count:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        return answer["result"]

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded; `events` then holds what happened on it."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.message())

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression on the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def errors(self) -> list[str]:
        """Exceptions, console.error and failed loads since the page was opened."""
        found = []
        for event in self.events:
            method, what = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                details = what["exceptionDetails"]
                found.append(details.get("exception", {}).get("description", details["text"]))
            elif method == "Runtime.consoleAPICalled" and what["type"] == "error":
                found.append(" ".join(str(word.get("value", word.get("description"))) for word in what["args"]))
            elif method == "Log.entryAdded" and what["entry"]["level"] == "error":
                found.append(f"{what['entry']['text']} {what['entry'].get('url', '')}")
        return found


@contextmanager
def tab(profile: Path, width: int, height: int = 900, *flags: str) -> Iterator[Tab]:
    """A tab of the given size in a Chromium of its own, started with these flags too, which is ended with it."""
    (read_orders, write_orders), (read_answers, write_answers) = os.pipe(), os.pipe()
    start = command(profile, "--remote-debugging-pipe", f"--window-size={width},{height}", "--hide-scrollbars", *flags)
    pipes = f'exec "$@" 3<&{read_orders} 4>&{write_answers}'  # the browser reads from 3 and writes to 4
    process = subprocess.Popen(
        ["bash", "-c", pipes, "bash", *start], pass_fds=(read_orders, write_answers), stderr=subprocess.DEVNULL
    )
    os.close(read_orders)
    os.close(write_answers)
    try:
        page = Tab(write_orders, read_answers)
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        yield page
    finally:
        process.terminate()
        process.wait(timeout=20)
        os.close(write_orders)
        os.close(read_answers)
