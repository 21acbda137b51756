"""Takes the pictures of a report that the documentation shows: wide, dark, and on a phone.

    .venv/bin/python scripts/report_pictures.py out/demo.mp4/report.html docs/report.png

Writes docs/report.png, docs/report-dark.png and docs/report-phone.png; needs Chromium.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.report.browser.conftest import Browser, Page, chromium  # noqa: E402

_MOMENT = "#t=19.3"
_LOOKS = {"": ((1280, 800), False), "-dark": ((1280, 800), True), "-phone": ((390, 844), False)}
_READY = "(v => !v || v.readyState >= 2 && !v.seeking)(document.querySelector('video'))"
_PAINTED = (
    "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(true), 500))))"
)


def main(report: Path, target: Path) -> None:
    program = chromium()
    if program is None:
        raise SystemExit("no Chromium on this machine")
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(program, Path(profile))
        try:
            for name, (size, dark) in _LOOKS.items():
                page = Page(browser, size=size, dark=dark).open(report.resolve(), _MOMENT)
                page.wait(_READY)
                page.js(_PAINTED)
                page.screenshot(target.with_stem(target.stem + name))
        finally:
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
