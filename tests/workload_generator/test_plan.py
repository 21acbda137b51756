"""Which files are uploaded under which keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from castline.errors import KeyLayoutError, OptionsError
from castline.workload_generator.load import plan


def test_classic_keys_are_the_names_of_the_files(folder: Path) -> None:
    assert [job.key for job in plan(folder, None, "classic")] == [
        "test_00.mp4", "test_01.mp4", "test_02.mp4", "test_03.MOV"]  # fmt: skip
    assert [job.key for job in plan(folder, 2, "classic")] == ["test_00.mp4", "test_01.mp4"]


def test_classic_keys_are_numbered_when_files_repeat(folder: Path) -> None:
    jobs = plan(folder, 101, "classic")
    assert [job.key for job in jobs[:5]] == ["test_00.mp4", "test_01.mp4", "test_02.mp4", "test_03.mov", "test_04.mp4"]
    assert jobs[100].key == "test_100.mp4"
    assert [job.path.name for job in jobs[:5]] == [
        "test_00.mp4", "test_01.mp4", "test_02.mp4", "test_03.MOV", "test_00.mp4"]  # fmt: skip


def test_full_keys_keep_the_tree_and_copies_get_a_folder(folder: Path) -> None:
    keys = [job.key for job in plan(folder, 10, "full")]
    assert keys[:4] == ["test_00.mp4", "test_01.mp4", "week 1/test_02.mp4", "week 1/test_03.MOV"]
    assert keys[4:8] == [f"copy-01/{key}" for key in keys[:4]]
    assert keys[8:] == ["copy-02/test_00.mp4", "copy-02/test_01.mp4"]


def test_only_media_files_count_and_only_videos_in_the_classic_profile(folder: Path) -> None:
    for name in ("note.ogg", "notes.txt", "test_00.mp4.json", "._test_00.mp4", "clip.mp4/inside.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert len(plan(folder, None, "classic")) == 4
    assert "note.ogg" in [job.key for job in plan(folder, None, "full")]


def test_two_files_for_one_result_are_refused(folder: Path) -> None:
    (folder / "test_00.mov").write_bytes(b"x")
    with pytest.raises(OptionsError, match=r"2 files .* would share one result, test_00\.txt"):
        plan(folder, None, "classic")
    assert len(plan(folder, None, "full")) == 5


def test_a_folder_named_like_a_copy_is_refused(folder: Path) -> None:
    (folder / "copy-01").mkdir()
    (folder / "copy-01" / "test_00.mp4").write_bytes(b"x")
    with pytest.raises(OptionsError, match="would share one result"):
        plan(folder, 7, "full")


def test_an_empty_folder_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="there is no folder"):
        plan(tmp_path / "nowhere", None, "classic")
    with pytest.raises(OptionsError, match="no video in"):
        plan(tmp_path, None, "classic")
    with pytest.raises(OptionsError, match="no media in"):
        plan(tmp_path, 5, "full")


def test_a_name_that_cannot_be_a_key_is_refused(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(6):
        deep /= "d" * 200
    deep.mkdir(parents=True)
    (deep / "test.mp4").write_bytes(b"x")
    with pytest.raises(KeyLayoutError, match="longer than"):
        plan(tmp_path, None, "full")
