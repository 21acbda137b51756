"""Foreign web sites in a real browser."""

from __future__ import annotations

import base64
import json
import time

from tests.report.browser.conftest import Browser, Page, browser

__all__ = ["Browser", "Visitor", "browser"]


class Visitor(Page):
    """A tab that can open any address."""

    def visit(self, url: str) -> Visitor:
        """Opens an address, whatever answers there."""
        self.call("Page.navigate", url=url)
        self.wait(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")
        return self

    def pretend(self, url: str, html: str) -> Visitor:
        """Opens an address whose first answer is this page: a name that points elsewhere afterwards."""
        self.call("Fetch.enable", patterns=[{"urlPattern": url}])
        self.js(f"setTimeout(() => {{ location.href = {json.dumps(url)}; }}, 0)")
        deadline = time.monotonic() + 60
        paused: list[str] = []
        while not paused:
            assert time.monotonic() < deadline, "the page was not requested"
            self.browser.call("Target.getTargets")  # events come with answers
            found = self.browser.events(self.session)
            paused = [event["params"]["requestId"] for event in found if event["method"] == "Fetch.requestPaused"]
        body = base64.b64encode(html.encode()).decode()
        content = [{"name": "Content-Type", "value": "text/html"}]
        self.call("Fetch.fulfillRequest", requestId=paused[0], responseCode=200, responseHeaders=content, body=body)
        self.call("Fetch.disable")
        self.wait(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")
        return self
