"""Trees are uploaded and downloaded as trees, and stay inside their folder."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest

from castline.cli.asked import sidecars
from castline.cli.transfer import (
    download_media,
    download_result,
    download_results,
    left_out,
    media_files,
    place_media,
    upload,
)
from castline.display import is_plain
from castline.errors import KeyLayoutError, NotMedia, OptionsError
from castline.settings import Settings
from castline.storage import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def settings() -> Settings:
    return Settings()


def _tree(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def _send(
    files: list[tuple[Path, str]], flags: dict[str, object], store: MemoryStore, settings: Settings
) -> list[tuple[str, bool]]:
    return list(upload(files, sidecars(files, flags, settings), store, settings))


def test_sidecars_are_uploaded_first_and_flags_override_them(
    tmp_path: Path, store: MemoryStore, settings: Settings
) -> None:
    _tree(tmp_path, "a.mp4", "week 1/b.ogg", "week 1/c.ogg")
    (tmp_path / "a.mp4.json").write_text('{"language": "de", "beam": 2}')
    (tmp_path / "notes.json").write_text("{}")
    _send(media_files(tmp_path), {}, store, settings)
    written = [key for _, key in store.writes]
    assert sorted(written) == ["a.mp4", "a.mp4.json", "week 1/b.ogg", "week 1/c.ogg"]
    assert written.index("a.mp4.json") < written.index("a.mp4")
    _send(media_files(tmp_path), {"beam": 1, "hotwords": ["Zoë"]}, store, settings)
    said = {key: json.loads(body) for (_, key), body in store.objects.items() if key.endswith(".json")}
    assert said["a.mp4.json"] == {"language": "de", "beam": 1, "hotwords": ["Zoë"]}
    assert said["week 1/c.ogg.json"] == {"beam": 1, "hotwords": ["Zoë"]}


@pytest.mark.parametrize(("beside", "flags"), [("{", {}), ('{"speed": 2}', {}), ("{}", {"language": "x"})])
def test_an_invalid_sidecar_or_flag_is_refused(
    beside: str, flags: dict[str, str], tmp_path: Path, settings: Settings
) -> None:
    _tree(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "b.mp4.json").write_text(beside)
    with pytest.raises(OptionsError):
        sidecars(media_files(tmp_path), flags, settings)


def test_a_folder_s_tree_becomes_the_keys(tmp_path: Path, store: MemoryStore, settings: Settings) -> None:
    _tree(tmp_path, "week 1/lesson/b.MP4", "week 1/a.ogg", "top.mkv", "notes.txt", "week 1/photo.jpg")
    (tmp_path / "odd.mp4").mkdir()
    files = media_files(tmp_path)
    assert [key for _, key in files] == ["top.mkv", "week 1/a.ogg", "week 1/lesson/b.MP4"]
    assert _send(files, {}, store, settings) == [(key, True) for _, key in files]
    assert _send(files, {}, store, settings) == [(key, False) for _, key in files], "it exists already"
    assert {key: body.decode() for (_, key), body in store.objects.items()} == {key: key for _, key in files}
    assert {bucket for bucket, _ in store.objects} == {settings.input_bucket}


def test_a_single_file_s_key_is_its_name(tmp_path: Path) -> None:
    _tree(tmp_path, "deep/er/a b.mp4")
    assert media_files(tmp_path / "deep/er/a b.mp4") == [(tmp_path / "deep/er/a b.mp4", "a b.mp4")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("notes.txt", r"^notes\.txt: the suffix \.txt is not one of \.3g2 .*\.mp4.*\.wmv.*"),
        ("README", r"^README: the suffix \(none\) is not one of"),
        ("nowhere.mp4", r"nowhere\.mp4 does not exist$"),
        ("empty", r"^no media in .*empty; suffixes are"),
    ],
)
def test_files_that_are_not_media_are_explained(name: str, message: str, tmp_path: Path) -> None:
    _tree(tmp_path, "notes.txt", "README", "empty/x.txt")
    with pytest.raises(NotMedia, match=message) as caught:
        media_files(tmp_path / name)
    assert "\n" not in caught.value.message


def test_published_files_are_downloaded_and_parts_are_not(
    tmp_path: Path, store: MemoryStore, settings: Settings
) -> None:
    media = "week 1/a.mp4"
    for name in ("result.json", "report.html", "people/ada.jpg", "0123456789abcdef/parts/frames-0000.json"):
        store.put(settings.output_bucket, f"{media}/{name}", name.encode())
    store.put(settings.output_bucket, "week 1/a.mp4x/result.json", b"another media file")
    written = download_result(media, tmp_path, store, settings)
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        f"{media}/people/ada.jpg",
        f"{media}/report.html",
        f"{media}/result.json",
    ]
    assert all(path.read_bytes().decode() == path.relative_to(tmp_path / media).as_posix() for path in written)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "ada.jpg",
        "report.html",
        "result.json",
    ]


def test_the_media_file_is_downloaded_beside_its_report(tmp_path: Path, store: MemoryStore, settings: Settings) -> None:
    store.put(settings.input_bucket, "week 1/a.mp4", b"film")
    assert download_media("week 1/a.mp4", tmp_path, store, settings)
    assert (tmp_path / "week 1/a.mp4/a.mp4").read_bytes() == b"film"
    assert not download_media("gone.mp4", tmp_path, store, settings)


def test_a_leading_slash_stays_below_the_folder(tmp_path: Path, store: MemoryStore, settings: Settings) -> None:
    store.put(settings.output_bucket, "/tmp/abs.mp4/result.json", b"x")
    assert download_result("/tmp/abs.mp4", tmp_path, store, settings) == [
        tmp_path / "_--e3b0c44298fc1c14/tmp/abs.mp4/result.json"
    ]


def test_a_result_below_another_media_file_is_its_own(tmp_path: Path, store: MemoryStore, settings: Settings) -> None:
    store.put(settings.output_bucket, "a.mp4/result.json", b"mine")
    store.put(settings.output_bucket, "a.mp4/people/x.mp4/result.json", b"another's")
    assert download_result("a.mp4", tmp_path, store, settings) == [tmp_path / "a.mp4/result.json"]


@pytest.mark.parametrize("media", ["..", "../up.mp4", "a/../../up.mp4"])
def test_nothing_is_written_outside_the_folder(
    media: str, tmp_path: Path, store: MemoryStore, settings: Settings
) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    store.put(settings.output_bucket, f"{media}/result.json", b"x")
    with pytest.raises(KeyLayoutError, match="refusing to write outside"):
        download_result(media, folder, store, settings)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_name_below_people_cannot_climb_out(tmp_path: Path, store: MemoryStore, settings: Settings) -> None:
    store.put(settings.output_bucket, "a.mp4/people/../../../up.jpg", b"x")
    assert download_result("a.mp4", tmp_path / "results", store, settings) == []
    assert not list(tmp_path.rglob("*.jpg"))


def test_the_report_finds_the_media_file_beside_it(tmp_path: Path) -> None:
    _tree(tmp_path, "in/a.mp4")
    for _ in range(2):  # a second run replaces the first
        place_media(tmp_path / "in/a.mp4", "week 1/a.mp4", tmp_path / "out")
    assert (tmp_path / "out/week 1/a.mp4/a.mp4").read_bytes() == b"in/a.mp4"


def _published(store: MemoryStore, settings: Settings, *medias: str) -> None:
    for media in medias:
        store.put(settings.output_bucket, f"{media}/result.json", media.encode())


def test_one_key_that_cannot_be_written_does_not_stop_the_others(
    tmp_path: Path, store: MemoryStore, settings: Settings
) -> None:
    medias = ["a.mp4", "a/../../evil.wav", "b/blocked.mp4", "z.mp4"]
    _published(store, settings, *medias)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/b").write_text("a file where a folder should be")
    told: list[str] = []
    files = download_results(medias, tmp_path / "results", store, settings, lambda: None, told.append)
    assert files == {"a.mp4": 1, "z.mp4": 1}
    assert [line.partition(": ")[0] for line in sorted(told)] == ["a/../../evil.wav", "b/blocked.mp4"]
    assert all("\n" not in line for line in told)
    assert not list(tmp_path.glob("evil*"))


def test_no_two_keys_share_a_path(tmp_path: Path, store: MemoryStore, settings: Settings) -> None:
    long = "é" * 450 + ".wav"
    medias = ["/lead.wav", "lead.wav", "k//x.wav", "k/x.wav", "Case.WAV", "case.wav", long, long.replace("é", "è")]
    medias += ["caf\u00e9.wav", "cafe\u0301.wav", "gpj\u202ewav.wav", "a\\b.wav", "a\nb.wav"]
    _published(store, settings, *medias)
    told: list[str] = []
    files = download_results(medias, tmp_path, store, settings, lambda: None, told.append)
    assert (files, told) == (dict.fromkeys(medias, 1), [])
    found = {path.relative_to(tmp_path).as_posix(): path.read_bytes().decode() for path in tmp_path.rglob("*.json")}
    assert sorted(found.values()) == sorted(medias)
    folded = {unicodedata.normalize("NFC", path).casefold() for path in found}
    assert len(folded) == len(medias), "also on file systems that ignore case"
    assert found["lead.wav/result.json"] == "lead.wav"
    assert found["k/x.wav/result.json"] == "k/x.wav"
    assert all(len(name.encode()) <= 240 and is_plain(name) for path in found for name in path.split("/"))


def test_files_left_out_of_a_folder_are_named(tmp_path: Path) -> None:
    _tree(tmp_path, "a.mp4", "a.mp4.json", "deep/b.xyz", "notes.txt", "photo.JPG", ".DS_Store", "book.m4b")
    assert left_out(tmp_path) == ["deep/b.xyz"]
    assert left_out(tmp_path / "a.mp4") == []


def test_a_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).write_bytes(b"x")
    with pytest.raises(KeyLayoutError, match=r"not Unicode text: caf\?\.mp4"):
        media_files(tmp_path)


def test_a_flag_that_is_not_text_is_refused(tmp_path: Path, settings: Settings) -> None:
    _tree(tmp_path, "a.mp4")
    with pytest.raises(OptionsError):
        sidecars(media_files(tmp_path), {"hotwords": ["\udce9"]}, settings)
