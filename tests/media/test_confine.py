"""A program that reads hostile input has no network, whatever it is told; its parent process keeps its own."""

from __future__ import annotations

import platform
import socket
import sys
import threading
from pathlib import Path

import imageio_ffmpeg
import pytest

from castline.cli.doctor import checks
from castline.media.confine import refuses_sockets, spawn

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"), reason="seccomp is Linux's"
)


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX"])
def test_it_can_open_no_socket_of_any_kind(family: str) -> None:
    program = f"import socket\ntry: socket.socket(socket.{family})\nexcept PermissionError: print('refused')"
    started = spawn([sys.executable, "-c", program], {})
    out, err = started.communicate(timeout=600)
    assert (out, err) == (b"refused\n", b"")


def test_nor_can_a_program_that_it_starts() -> None:
    inner = "import socket; socket.socket()"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    started = spawn([sys.executable, "-c", program], {})
    assert b"PermissionError" in started.communicate(timeout=600)[1]


def test_ffmpeg_reaches_nobody_even_if_its_protocols_would(tmp_path: Path) -> None:
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)

        def listen() -> None:
            with server.accept()[0]:
                reached.set()

        waiting = threading.Thread(target=listen, daemon=True)
        waiting.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.wav"
        started = spawn([imageio_ffmpeg.get_ffmpeg_exe(), "-i", url, "-f", "null", "-"], {})
        _, said = started.communicate(timeout=600)
        assert started.returncode != 0
        assert b"Permission denied" in said
        assert not reached.is_set()
        socket.create_connection(server.getsockname()).close()  # ours is unchanged
        waiting.join(60)
        assert reached.is_set()


def test_if_no_filter_is_possible_the_doctor_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refuses_sockets()
    socket.socket().close()  # the parent keeps its own
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert not refuses_sockets()
    (line,) = [says for _, says in checks() if "seccomp" in says]
    assert line == "ffmpeg is kept to local files by its protocols alone: no seccomp filter here (SECURITY.md)"
