"""Logging in with a certified OpenID provider (npm's ``oidc-provider``), in a real Chromium.

The provider is another site than the service (``localhost`` and ``127.0.0.1``), so that SameSite counts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.archive.conftest import Shelf
from tests.local.browser.conftest import Browser, Visitor, browser
from tests.service.conftest import free_port
from tests.service.pages.conftest import Pages

__all__ = ["browser"]
_HERE = Path(__file__).parent / "node"
_READY = "document.documentElement?.dataset.ready === 'true'"
_SECRET = "a secret & more"


@pytest.fixture
def shelf(sqlite_shelf: Shelf) -> Shelf:
    return sqlite_shelf


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def issuer(port: int) -> Iterator[str]:
    node = shutil.which("node")
    if not node or not (_HERE / "node_modules").is_dir():
        pytest.skip("no OpenID provider is installed: Node.js, and npm ci in tests/service/pages/node (make test)")
    own = free_port()
    back = f"http://127.0.0.1:{port}/login/oidc/back"
    command = [node, _HERE / "provider.mjs", str(own), back]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == "listens\n"
            yield f"http://localhost:{own}"
        finally:
            process.terminate()


def _picture(tab: Visitor, name: str) -> None:
    """Saves a picture into ``$CASTLINE_PICTURES``, for people to look at."""
    import base64

    if folder := os.environ.get("CASTLINE_PICTURES"):
        data = tab.call("Page.captureScreenshot")["data"]
        (Path(folder) / f"{name}.png").write_bytes(base64.b64decode(data))


def _click(tab: Visitor, selector: str) -> None:
    tab.js(f"document.querySelector('{selector}').click()")


def _consent(tab: Visitor, issuer: str, who: str) -> None:
    tab.wait(f"location.href.startsWith('{issuer}/interaction/') && document.querySelector('[name=login]') !== null")
    tab.js(f"document.querySelector('[name=login]').value = '{who}'")
    tab.js("document.querySelector('[name=password]').value = 'any'")
    _click(tab, "form [type=submit]")
    tab.wait("document.body?.innerText.includes('Authorize')")
    _click(tab, "form [type=submit]")


def test_in_and_out_with_a_certified_provider(browser: Browser, pages: Pages, issuer: str, port: int) -> None:
    pages.shelf.publish("week 1/a & b.mp4", [pages.shelf.make.segment(0, "The budget is too small.", 1.0, 3.0)])
    moment = f"/recordings/{quote('week 1/a & b.mp4', safe='')}/edit"
    settings = {
        "port": port, "url": f"http://127.0.0.1:{port}", "oidc_issuer": issuer, "oidc_client_id": "castline",
        "oidc_client_secret": _SECRET, "oidc_scopes": "openid email groups", "oidc_edit": "groups=desk",
        "oidc_read": "@example.org",
    }  # fmt: skip
    with pages.open(**settings) as up:
        tab = Visitor(browser)
        # From a shared moment to the provider, and back to that moment.
        tab.call("Page.navigate", url=f"{up.url}{moment}#t=1.5")
        tab.wait(f"location.pathname === '/login' && {_READY}")
        _picture(tab, "login")
        _click(tab, "a[data-onward]")
        _consent(tab, issuer, "ada")
        tab.wait(f"location.href === '{up.url}{moment}#t=1.5' && {_READY}")
        assert tab.js("document.cookie") == ""
        shown = tab.js("document.querySelector('header').innerText")
        assert "Log out ada@example.org" in shown
        # A link on another site needs no login.
        tab.visit(f"{issuer}/.well-known/openid-configuration")
        tab.js(f"location.href = '{up.url}/?q=budget'")
        tab.wait(f"location.href === '{up.url}/?q=budget' && {_READY} && document.querySelector('.moment') !== null")
        # Logged out here and at the provider.
        _click(tab, "header form[action$=logout] button")
        tab.wait(f"location.pathname === '/login' && {_READY}")
        _picture(tab, "left")
        _click(tab, ".notice a")
        tab.wait(f"location.href.startsWith('{issuer}/session/end') && document.readyState === 'complete'")
        _click(tab, "button[name=logout]")
        tab.wait(f"location.href.startsWith('{up.url}/login') && {_READY}")
        # Somebody without a rule.
        _click(tab, "a[data-onward]")
        _consent(tab, issuer, "eve")
        tab.wait(f"location.pathname === '/login/oidc/back' && {_READY}")
        assert "eve@evil.example may not see this library" in tab.js("document.body.innerText")
        _picture(tab, "refused")
        tab.visit(f"{up.url}/")
        assert tab.js("location.pathname") == "/login"
        assert not [line for line in tab.problems() if "Content Security Policy" in line]
