"""Processes forked from one that has imported what they need."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from castline.local.nursery import Nursery

_PROBE = """
import json, os, sys, time
wanted = sys.argv[1]
if wanted == "tell":
    names = dict(os.environ)
    mask = os.umask(0)
    print(json.dumps({"loaded": "plistlib" in sys.modules, "environment": names, "argv": sys.argv[1:],
                      "umask": mask, "cwd": os.getcwd(), "session": os.getsid(0) == os.getpid(),
                      "open": sorted(os.listdir("/dev/fd"))}))
elif wanted == "wait":
    time.sleep(600)
else:
    sys.exit(int(wanted))
"""


async def _run(nursery: Nursery, folder: Path, wanted: str, **environment: str) -> tuple[int, asyncio.Future[int]]:
    return await nursery.spawn("probe", wanted, cwd=folder, environment=environment, log=folder / "log")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "probe.py").write_text(_PROBE)
    return tmp_path


def _nursery(folder: Path, *preload: str) -> Nursery:
    return Nursery(preload, {"PATH": os.environ["PATH"], "OF_THE_IMPORTS": "x"}, folder / "nursery.log")


def test_a_process_has_its_parent_s_imports_and_nothing_else(folder: Path) -> None:
    async def check() -> None:
        nursery = _nursery(folder, "plistlib", "no_such_module", "castline")
        _, ended = await _run(nursery, folder, "tell", ONE="1")
        assert await ended == 0
        told: dict[str, Any] = json.loads((folder / "log").read_text())
        assert told.pop("environment") == {
            "ONE": "1",
            "OPENCV_IO_MAX_IMAGE_PIXELS": "120000000",  # set by imports, which are not repeated
            "ORT_DISABLE_TELEMETRY": "1",
        }
        assert told.pop("open")[:3] == ["0", "1", "2"]
        assert told == {"loaded": True, "argv": ["tell"], "umask": 0o077, "cwd": str(folder), "session": True}
        assert (folder / "log").stat().st_mode & 0o777 == 0o600
        await nursery.stop()

    asyncio.run(check())


def test_every_exit_status_is_reported(folder: Path) -> None:
    async def check() -> None:
        nursery = _nursery(folder)
        ends = [await _run(nursery, folder, status) for status in ("3", "0", "wait")]
        os.kill(ends[2][0], signal.SIGKILL)
        assert [await ended for _, ended in ends] == [3, 0, -signal.SIGKILL]
        with pytest.raises(OSError, match="nowhere"):
            await nursery.spawn("probe", "0", cwd=folder, environment={}, log=folder / "nowhere" / "log")
        _, ended = await nursery.spawn("no_such_module", cwd=folder, environment={}, log=folder / "log")
        assert await ended == 1
        assert "No module named no_such_module" in (folder / "log").read_text()
        await nursery.stop()

    asyncio.run(check())


def test_nobody_has_to_wait_for_a_child(folder: Path) -> None:
    async def check() -> None:
        nursery = _nursery(folder)
        pid, ended = await _run(nursery, folder, "wait")
        ended.cancel()  # with its waiting caller
        os.kill(pid, signal.SIGKILL)
        for status in (0, 3):  # its end is reported before theirs
            _, another = await _run(nursery, folder, str(status))
            assert await asyncio.wait_for(another, 120) == status
        await nursery.stop()

    asyncio.run(check())


def test_when_the_forking_process_dies_its_children_die_and_the_next_request_starts_another(folder: Path) -> None:
    async def check() -> None:
        nursery = _nursery(folder)
        pid, ended = await _run(nursery, folder, "wait")
        parent = psutil.Process(pid).parent()
        assert parent
        parent.kill()
        assert await ended == -signal.SIGKILL
        _, another = await _run(nursery, folder, "0")
        assert await another == 0
        await nursery.stop()

    asyncio.run(check())
