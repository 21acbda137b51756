"""A folder in which files grow, are renamed and disappear: each is uploaded once, complete, across restarts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from castline import keys
from castline.cli.watch import Watch
from castline.errors import StorageError
from castline.settings import Settings
from castline.storage import MemoryStore
from tests.report.conftest import Make, make

__all__ = ["make"]
_SETTLE_S = 10.0


class Scene:
    """A folder, its watcher, and the time."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "incoming"
        self.folder.mkdir()
        self.store, self.settings = MemoryStore(), Settings()
        self.journal = tmp_path / "journal.json"
        self.now = 0.0
        self.watch = self.start()

    def start(self, **options: object) -> Watch:
        self.watch = Watch(
            self.folder, self.store, self.settings, self.journal, settle_s=_SETTLE_S, clock=lambda: self.now, **options  # type: ignore[arg-type]
        )  # fmt: skip
        return self.watch

    def look(self, later_s: float = 0.0) -> list[str]:
        self.now += later_s
        return list(self.watch.look())

    def settle(self) -> list[str]:
        return [*self.look(), *self.look(_SETTLE_S)]

    def uploads(self) -> list[str]:
        return [key for bucket, key in self.store.writes if bucket == self.settings.input_bucket]

    def body(self, key: str) -> bytes | None:
        return self.store.get(self.settings.input_bucket, key)

    def publish(self, make: Make, media: str) -> None:
        result = make.result(media=media, segments=[make.segment(1, "A budget.", 0, 5)])
        self.store.put(self.settings.output_bucket, keys.result_key(media, "transcript.srt"), b"1\n00:00")
        self.store.put(self.settings.output_bucket, keys.result_key(media), result.to_json())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_file_is_uploaded_when_it_no_longer_grows(scene: Scene) -> None:
    path = scene.folder / "week 1" / "talk.mp4"
    path.parent.mkdir()
    with path.open("wb") as file:
        for _ in range(5):
            file.write(b"x" * 1000)
            file.flush()
            assert scene.look(_SETTLE_S) == [] == scene.uploads()
    assert scene.look(_SETTLE_S / 2) == []
    assert scene.look(_SETTLE_S / 2) == ["week 1/talk.mp4: uploaded"]
    assert scene.body("week 1/talk.mp4") == b"x" * 5000
    assert scene.settle() == []
    assert scene.uploads() == ["week 1/talk.mp4"]


def test_a_preallocated_file_is_not_complete_while_it_is_written(scene: Scene) -> None:
    path = scene.folder / "talk.mp4"
    with path.open("wb") as file:
        file.truncate(3000)
        for at in range(3):
            file.seek(at * 1000)
            file.write(b"x" * 1000)
            file.flush()
            os.utime(path, ns=(at, at))  # clocks of file systems are coarser than this test
            assert scene.look(_SETTLE_S) == []
    assert scene.look(_SETTLE_S) == ["talk.mp4: uploaded"]


def test_empty_hidden_and_other_files_wait(scene: Scene) -> None:
    for name in ("empty.mp4", ".hidden.mp4", "talk.mp4.part", "notes.txt", ".tmp/talk.mp4"):
        path = scene.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"" if name == "empty.mp4" else b"x")
    assert scene.settle() == []
    (scene.folder / "talk.mp4.part").rename(scene.folder / "talk.mp4")
    assert scene.settle() == ["talk.mp4: uploaded"]


def test_a_restart_uploads_nothing_twice_and_restores_nothing(scene: Scene) -> None:
    (scene.folder / "a.mp4").write_bytes(b"a")
    scene.settle()
    scene.store.delete(scene.settings.input_bucket, ["a.mp4"])  # castline delete
    scene.start()
    assert scene.settle() == []
    assert scene.uploads() == ["a.mp4"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"a.mp4": 7}', None])
def test_without_a_journal_files_already_in_the_bucket_are_not_uploaded_again(
    scene: Scene, damage: bytes | None
) -> None:
    (scene.folder / "a.mp4").write_bytes(b"a")
    scene.settle()
    if damage is None:
        scene.journal.unlink()
    else:
        scene.journal.write_bytes(damage)
    scene.start()
    assert scene.settle() == ["a.mp4: is already in the library"]
    assert scene.uploads() == ["a.mp4"]


def test_a_renamed_file_is_not_another_recording(scene: Scene) -> None:
    (scene.folder / "a.mp4").write_bytes(b"a")
    scene.settle()
    (scene.folder / "a.mp4").rename(scene.folder / "b.mp4")
    assert scene.settle() == ["b.mp4: was a.mp4, as which the library knows it"]
    scene.start()
    assert scene.settle() == []
    assert scene.uploads() == ["a.mp4"]


def test_removed_and_changed_files_are_noticed(scene: Scene) -> None:
    path = scene.folder / "a.mp4"
    path.write_bytes(b"a")
    scene.look()
    path.unlink()  # before it was complete
    assert scene.look(_SETTLE_S) == []
    path.write_bytes(b"first")
    scene.settle()
    path.write_bytes(b"second")
    assert scene.settle() == ["a.mp4: uploaded"]
    assert scene.body("a.mp4") == b"second"
    path.unlink()
    assert scene.settle() == []
    assert scene.body("a.mp4") == b"second", "nothing is removed from the library"


def test_a_file_that_changes_during_its_upload_is_uploaded_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    path = scene.folder / "a.mp4"
    path.write_bytes(b"half")
    sending = MemoryStore.upload

    def slow(self: MemoryStore, bucket: str, key: str, file: Path, progress: object = None, **_: object) -> bool:
        sent = sending(self, bucket, key, file)
        with path.open("ab") as more:
            more.write(b" and half")
        return sent

    scene.look()
    with monkeypatch.context() as busy:
        busy.setattr(MemoryStore, "upload", slow)
        assert "has changed while it was sent" in scene.look(_SETTLE_S)[0]
    assert scene.settle() == ["a.mp4: uploaded"]
    assert scene.body("a.mp4") == b"half and half"


def test_temporary_failures_are_retried_and_permanent_ones_reported_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scene.folder / "a.mp4").write_bytes(b"a")
    (scene.folder / "b.mp4").write_bytes(b"b")
    (scene.folder / "b.mp4.json").write_text('{"langauge": "de"}')

    def away(*_: object, **__: object) -> None:
        raise StorageError("S3 is away")

    with monkeypatch.context() as broken:
        broken.setattr(MemoryStore, "upload", away)
        lines = scene.settle()
    assert "a.mp4: S3 is away; it is tried again" in lines
    assert any("did you mean 'language'" in line for line in lines)
    assert scene.look(_SETTLE_S) == ["a.mp4: uploaded"]
    assert scene.settle() == []
    (scene.folder / "b.mp4.json").write_text('{"language": "de"}')
    assert scene.settle() == ["b.mp4: uploaded"]
    assert scene.uploads() == ["a.mp4", "b.mp4.json", "b.mp4"]


def test_results_appear_beside_the_files(scene: Scene, make: Make, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (scene.folder / name).write_bytes(b"a")
    own = scene.folder / "b.srt"
    own.write_text("somebody's own")
    scene.start(beside=("srt", "vtt"), results=scene.folder / "results")
    scene.settle()
    assert scene.look() == []
    for name in ("a.mp4", "b.mp4"):
        scene.publish(make, name)
    assert sorted(scene.look()) == ["a.mp4: has its result, in a.srt", "b.mp4: has its result"]
    assert (scene.folder / "a.srt").read_bytes() == b"1\n00:00"
    assert own.read_text() == "somebody's own"
    assert (scene.folder / "results" / "a.mp4" / "result.json").exists()
    assert scene.settle() == [], "results are not media"

    # Another upload of the file is awaited anew: the earlier result does not belong to it.
    (scene.folder / "a.mp4").write_bytes(b"another")
    assert scene.settle() == ["a.mp4: uploaded"]
    assert scene.look() == []


def test_a_folder_has_one_watcher_and_ctrl_c_ends_it(tmp_path: Path, slow_file: Callable[[Path], None]) -> None:
    """The command itself, on files that a thread writes as slowly as it can."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    code = (
        "from castline.cli import watch, connect; from castline.storage import MemoryStore;"
        "from castline.settings import Settings; import castline.cli.main as main, sys;"
        "there = connect.Connection(MemoryStore(), Settings(), 'memory');"
        "watch.connect = lambda url, make: there;"
        f"main.app(['watch', {str(folder)!r}, '--settle', '0.5', '--every', '0.05'])"
    )
    environment = {**os.environ, "CASTLINE_STATE_DIR": str(tmp_path / "library"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("watching")
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert second.returncode == 2 and "is already being watched" in second.stderr
        slow_file(folder / "talk.mp4")
        assert process.stdout.readline() == "talk.mp4: uploaded\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stdout.read() == ""


@pytest.fixture
def slow_file() -> Callable[[Path], None]:
    """Writes a file in pieces, and returns when it exists."""

    def write(path: Path) -> None:
        def work() -> None:
            with path.open("wb") as file:
                for _ in range(20):
                    file.write(b"x" * 1000)
                    file.flush()
                    time.sleep(0.05)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    return write
