"""``castline people`` as typed, on a store in memory, with engines that read a picture's first letter."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from castline import keys
from castline.cli import connect as connecting
from castline.cli import main as commands
from castline.cli import people as people_commands
from castline.cli.connect import Connection
from castline.engines.base import EngineInfo
from castline.engines.process import Engines
from castline.errors import GalleryError
from castline.people import Picture, SeenPerson, SeveralPeople
from castline.records import (
    Embedding,
    Face,
    Frame,
    FrameFaces,
    FramesPart,
    FramesUnit,
    Manifest,
    Options,
    PhotoEmbedding,
    Usage,
)
from castline.runs.common import read_result
from castline.runs.complete import complete_run
from castline.runs.request import read_source
from castline.settings import Settings
from castline.storage import MemoryStore

Run = Callable[..., Result]
_MODEL = "dlib-resnet-v1"
_RUN = "0123456789abcdef"
_INFO = EngineInfo(id=_MODEL, role="embedder", title="Fake", licence="MIT")
_NAME = "Zoë [b] O'Neil"


def _look(letter: str) -> Embedding:
    vector = np.random.default_rng(ord(letter)).normal(size=128).astype(np.float32)
    return Embedding.of(_MODEL, vector / np.linalg.norm(vector))


def _embed(body: bytes, engines: object) -> PhotoEmbedding:
    if body.startswith(b"?"):
        raise GalleryError("no face found in the photo")
    grade = "poor" if body.endswith(b"-blurred") else "clear"
    return PhotoEmbedding(**_look(chr(body[0])).model_dump(), grade=grade)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    """The store that every command uses."""
    store = MemoryStore()
    monkeypatch.setattr(people_commands, "connect", lambda url=None, **_: Connection(store, Settings(), "memory"))
    monkeypatch.setattr(people_commands, "embed_photo", _embed)
    return store


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:

    def invoke(*arguments: str) -> Result:
        for console in (connecting.console, connecting.answer, connecting.errors):
            monkeypatch.setattr(console, "_width", 200)
        return CliRunner().invoke(commands.app, ["people", *arguments])

    return invoke


@pytest.fixture
def photo(tmp_path: Path) -> Callable[[str, bytes], str]:
    def make(name: str, body: bytes) -> str:
        (tmp_path / name).write_bytes(body)
        return str(tmp_path / name)

    return make


def _publish(store: MemoryStore, media: str, *letters: str) -> None:
    """A result that shows everybody once, side by side."""
    settings = Settings()
    usage = Usage(stage="faces", seconds=1, memory_mb=1024)
    faces = tuple(
        Face(
            box=(0.2 * at, 0.1, 0.2 * at + 0.1, 0.5),
            landmarks=((0.15, 0.2), (0.25, 0.2), (0.2, 0.3), (0.15, 0.4), (0.25, 0.4)),
            score=0.999,
            size_px=120,
            sharpness=200,
            quality=0.9,
            embedding=_look(letter.upper()),
            crop=base64.b64encode(letter.replace("x", "?").encode()).decode(),
        )
        for at, letter in enumerate(letters)
    )
    unit = FramesUnit(index=0, frames=(Frame(time_ms=0, until_ms=0),))
    part = FramesPart(
        unit=unit.name,
        detector="mtcnn",
        embedder=_MODEL,
        frames=(FrameFaces(time_ms=0, faces=faces),),
        usage=usage,
    )
    store.put(settings.input_bucket, media, b"media")
    source = read_source(settings.input_bucket, media, store)
    assert source
    manifest = Manifest(
        run=_RUN,
        source=source,
        options=Options(),
        probe=None,
        duration_s=1.0,
        sample_times_ms=(0,),
        units=(unit,),
        usage=usage,
    )
    store.put(settings.stage1_bucket, keys.manifest_key(media, _RUN), manifest.to_json())
    store.put(settings.output_bucket, keys.UnitId(media, _RUN, "frames", 0).part_key, part.to_json())
    assert complete_run(media, _RUN, store, settings)


def _names(store: MemoryStore, media: str) -> list[str]:
    result = read_result(media, store, Settings())
    assert result
    return [person.name for person in result.people]


def _photos(store: MemoryStore) -> dict[str, bytes]:
    return {
        key: body for (bucket, key), body in store.objects.items() if bucket == "castline-gallery" and key[0] != "."
    }


@pytest.mark.parametrize("command", ["add", "name", "list", "rename", "merge", "split", "forget"])
def test_every_command_explains_itself(command: str, run: Run) -> None:
    found = run(command, "--help")
    assert found.exit_code == 0
    assert "Usage: " in found.output.replace("\x1b[1m", "").replace("\x1b[0m", "")


def test_forget_says_what_stays(run: Run) -> None:
    text = " ".join(run("forget", "--help").output.replace("│", " ").split())
    assert "only possible matches, without a name" in text
    assert "Exit status 1" in text


def test_a_person_is_added_listed_renamed_and_forgotten(
    run: Run, store: MemoryStore, photo: Callable[[str, bytes], str]
) -> None:
    _publish(store, "talk.mp4", "A", "B")
    found = run("add", _NAME, photo("[1].jpg", b"A1"), photo("2.png", b"A2"))
    assert found.exit_code == 0
    assert "enrolled [1].jpg" in found.output
    assert "1 result brought up to date" in found.output
    assert _names(store, "talk.mp4") == [_NAME, "Person 1"]
    assert run("add", "Bob", photo("b.jpg", b"B1")).exit_code == 0
    rows = [line.split() for line in run("list").output.splitlines()]
    assert rows == [["name", "photos", "newest"], ["Bob", "1", "–"], [*_NAME.split(), "2", "–"]]

    found = run("rename", _NAME, "Ada")
    assert "renamed to Ada, with 2 photos" in found.output
    assert _names(store, "talk.mp4") == ["Ada", "Bob"]

    found = run("forget", "Ada", "--yes")
    assert found.exit_code == 0
    assert "2 photos removed" in found.output
    assert "checked 14 keys and 12 files in castline-gallery and castline-output" in found.output
    assert "forgotten: nobody is called Ada any more" in found.output
    assert _names(store, "talk.mp4") == ["Bob"]
    (audit,) = [key for _, key in store.objects if key.startswith(".audit/")]
    assert b"Ada" not in store.objects["castline-output", audit]


def test_either_all_photos_are_enrolled_or_none(
    run: Run, store: MemoryStore, photo: Callable[[str, bytes], str]
) -> None:
    good = photo("good.jpg", b"A1")
    for bad, message in (
        (photo("bad.jpg", b"?"), "bad.jpg: no face found in the photo"),
        (photo("doc.pdf", b"A"), "doc.pdf: photos are"),
        (photo("voice.ogg", b"A"), "voice.ogg: photos are"),
    ):
        found = run("add", "Ada", good, bad)
        assert found.exit_code == 2
        assert message in found.stderr
        assert found.stderr.count("\n") == 1
    assert run("add", "../Ada", good).exit_code == 2
    assert not store.objects


def test_a_video_is_searched_for_its_only_person_or_the_chosen_one(
    run: Run, store: MemoryStore, photo: Callable[[str, bytes], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def pictures(path: Path, settings: Settings, engines: object, embed: object, person: int | None) -> list[Picture]:
        if path.name.startswith("two") and not person:
            seen = [SeenPerson(f"{letter}-face".encode(), at, at + 0.5) for at, letter in enumerate("AB")]
            raise SeveralPeople(f"{path.name}: 2 people are in the video; enrol videos that show one person", seen)
        letter = "XAB"[person or 1]
        return [Picture(f"{path.name} at {at}.0 s", ".jpg", f"{letter}{at}".encode()) for at in range(3)]

    monkeypatch.chdir(tmp_path)
    (tmp_path / ".castline").mkdir()
    monkeypatch.setattr("castline.people.pictures_in_video", pictures)
    _publish(store, "talk.mp4", "A", "B")
    found = run("add", "Ada", photo("me.MP4", b"video"), photo("still.jpg", b"A9"))
    assert found.exit_code == 0
    assert "enrolled me.MP4 at 2.0 s" in found.output
    assert sorted(_photos(store).values()) == [b"A0", b"A1", b"A2", b"A9"]
    assert _names(store, "talk.mp4") == ["Ada", "Person 1"]
    film = photo("two [x].mkv", b"video")
    found = run("add", "Bob", film)
    assert found.exit_code == 2
    assert found.stderr == (
        "error two [x].mkv: 2 people are in the video; enrol videos that show one person, "
        "or say which of them with --person\n"
    )
    faces = [Path(".castline/people/two [x].mkv") / f"person-{number}.jpg" for number in (1, 2)]
    assert [line.strip() for line in found.stdout.splitlines()] == [
        f"--person 1: 0:00.0 to 0:00.5, {faces[0]}",
        f"--person 2: 0:01.0 to 0:01.5, {faces[1]}",
    ]
    assert [face.read_bytes() for face in faces] == [b"A-face", b"B-face"]
    assert run("add", "Bob", film, film, "--person", "2").exit_code == 2
    assert run("add", "Bob", photo("b.jpg", b"B"), "--person", "2").exit_code == 2
    assert run("add", "Bob", film, "--person", "2").exit_code == 0
    assert _names(store, "talk.mp4") == ["Ada", "Bob"]


def test_photos_of_little_or_no_use_are_reported(
    run: Run, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ada").mkdir()
    for name, body in (("1.jpg", b"A-blurred"), ("2.jpg", b"A2"), ("phone.heic", b"x")):
        (tmp_path / "ada" / name).write_bytes(body)
    found = run("add", "Ada", str(tmp_path / "ada"))
    assert f"left out: {tmp_path}/ada/phone.heic: photos are .avif, .jpeg" in found.output
    assert "enrolled 1.jpg: small or blurred" in found.output
    assert "enrolled 2.jpg\n" in found.output
    lines = run("list").output.splitlines()
    assert len(lines) == 3
    assert lines[2].endswith(
        ".jpg: small or blurred, so it names only who is more alike, and clear; clearer photos are better"
    )
    store.put("castline-gallery", "Ada/new [1].jpg", b"?")
    store.put("castline-gallery", "\u202eBob/phone.heic", b"x")
    monkeypatch.setattr(people_commands, "Engines", lambda _: SimpleNamespace(embedder=SimpleNamespace(info=_INFO)))
    lines = run("list").output.splitlines()
    assert lines[3:] == [
        "Ada/new [1].jpg: no face found in the photo",
        f"\\u202eBob/phone.heic: {keys.UNREAD_PHOTO}",
    ]
    assert run("forget", "\\u202eBob", "--yes").exit_code == 0
    assert not any("Bob" in key for key in _photos(store))


def test_changes_are_undone_in_results_too(run: Run, store: MemoryStore, photo: Callable[[str, bytes], str]) -> None:
    _publish(store, "talk.mp4", "A", "B")
    run("name", "talk.mp4", "Person 2", "Bob")
    run("add", "Ada", photo("a.jpg", b"A1"))
    found = run("rename", "Bob", "Ada")
    assert found.exit_code == 2
    assert "castline people merge 'Ada' 'Bob'" in found.stderr
    run("rename", "Bob", "Robert")
    assert _names(store, "talk.mp4") == ["Ada", "Robert"]
    found = run("undo", "--yes")
    assert "undone: Bob renamed to Robert" in found.output
    assert "1 result brought up to date" in found.output
    assert _names(store, "talk.mp4") == ["Ada", "Bob"]
    run("merge", "Ada", "Bob")
    assert "undone: Bob merged into Ada" in run("undo", "-y").output
    assert _names(store, "talk.mp4") == ["Ada", "Bob"]
    assert "undone: 1 photo enrolled as Ada" in run("undo", "-y").output
    assert "undone: 1 photo enrolled as Bob" in run("undo", "-y").output
    assert _names(store, "talk.mp4") == ["Person 1", "Person 2"]
    assert not _photos(store)
    found = run("undo")
    assert found.exit_code == 2
    assert "there is nothing to undo" in found.stderr


def test_a_wrong_merge_is_split(run: Run, store: MemoryStore, photo: Callable[[str, bytes], str]) -> None:
    _publish(store, "one.mp4", "A")
    _publish(store, "two.mp4", "B")

    def names() -> list[str]:
        return _names(store, "one.mp4") + _names(store, "two.mp4")

    run("add", "Ada", photo("a.jpg", b"A1"), photo("b.jpg", b"B1"))
    assert names() == ["Ada", "Ada"]
    [ada] = json.loads(run("list", "--json").output)
    keys_ = {store.objects["castline-gallery", each["key"]]: each["key"] for each in ada["photos"]}
    found = run("split", "Ada", "Bob", "Ada/nobody.jpg")
    assert found.exit_code == 2 and "Ada/nobody.jpg is not a photo of Ada" in found.stderr
    found = run("split", "Ada", "Bob", keys_[b"B1"].rpartition("/")[2])
    assert "1 photo of Ada given to Bob" in found.output and "brought up to date" in found.output
    assert names() == ["Ada", "Bob"]
    assert "undone" in run("undo", "-y").output
    assert run("split", "Ada", "Bob", *keys_.values()).exit_code == 0
    assert names() == ["Bob", "Bob"]
    assert run("split", "Ada", "Bob", keys_[b"A1"]).exit_code == 2


def test_somebody_in_a_result_gets_a_name(run: Run, store: MemoryStore) -> None:
    _publish(store, "week 1/talk.mp4", "A", "B")
    _publish(store, "other.mp4", "B")
    found = run("name", "week 1/talk.mp4", "Person 2", _NAME)
    assert found.exit_code == 0, found.stderr
    assert f"1 picture of Person 2 enrolled as {_NAME}" in found.output
    assert "2 results brought up to date" in found.output
    assert _names(store, "week 1/talk.mp4") == ["Person 1", _NAME]
    assert _names(store, "other.mp4") == [_NAME]
    for arguments, message in (
        (("week 1/talk.mp4", "Person 7", "Ada"), "there are: Person 1, "),
        (("nowhere.mp4", "Person 1", "Ada"), "there is no recording nowhere.mp4"),
    ):
        found = run("name", *arguments)
        assert found.exit_code == 2
        assert message in found.stderr


def test_a_name_that_does_not_bind_is_reported(run: Run, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _publish(store, "talk.mp4", "A")
    for bucket in ("castline-stage-1", "castline-output"):  # so the result is not written again
        store.delete(bucket, [keys.manifest_key("talk.mp4", _RUN)])
    found = run("name", "talk.mp4", "Person 1", "Ada")
    assert found.exit_code == 2
    assert "'Ada' is enrolled, but nobody in talk.mp4 looks enough like it" in found.stderr


def test_merging(run: Run, store: MemoryStore) -> None:
    for key in ("Ada/1.jpg", "Lovelace/1.jpg", "A. L./1.jpg"):
        store.put("castline-gallery", key, f"A{key}".encode())
    _publish(store, "talk.mp4", "A")
    found = run("merge", "Ada", "Lovelace", "A. L.")
    assert found.exit_code == 0
    assert "2 photos given to Ada" in found.output
    assert {key.partition("/")[0] for key in _photos(store)} == {"Ada"}
    assert _names(store, "talk.mp4") == ["Ada"]
    found = run("merge", "Ada", "Ada")
    assert found.exit_code == 2
    assert "cannot be merged into itself" in found.stderr


def test_a_name_left_somewhere_is_shown_and_fails(run: Run, store: MemoryStore) -> None:
    store.put("castline-gallery", "Ada/1.jpg", b"A1")
    _publish(store, "Ada's talk.mp4", "A")
    for number in range(25):
        store.put("castline-output", f"notes [{number}].txt", b"Ada was here")
    found = run("forget", "Ada", "--yes")
    assert found.exit_code == 1
    alone = "spoken or part of a key, left alone (part of the key):\n    s3://castline-output/Ada's talk.mp4"
    assert alone in found.output
    assert "still there (not written by Castline):\n    s3://castline-output/notes [" in found.output
    assert "    s3://castline-output/notes [3].txt\n" in found.output and "    and 5 more\n" in found.output
    assert "forgotten" not in found.output
    assert not _photos(store)


def test_an_interrupted_forgetting_can_be_resumed(run: Run, store: MemoryStore) -> None:
    store.put("castline-gallery", "Ada/1.jpg", b"A1")
    _publish(store, "talk.mp4", "A")
    run("rename", "Ada", "Ada L.")
    assert _names(store, "talk.mp4") == ["Ada L."]
    store.delete("castline-gallery", ["Ada L./" + key.partition("/")[2] for key in _photos(store)])
    found = run("forget", "Ada L.", "--yes")
    assert found.exit_code == 0
    assert "0 photos removed" in found.output
    assert _names(store, "talk.mp4") == [], "the result said which faces to remove from the parts"
    found = run("forget", "Ada L.", "--yes")
    assert found.exit_code == 2
    assert "nobody is called 'Ada L.'" in found.stderr


def test_models_are_listed_with_size_dimension_and_thresholds(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from castline.cli import models
    from castline.weights.locate import MTCNN_FILES

    for name, size in (("facenet-vggface2.onnx", 2_500_000), *((name, 500_000) for name in MTCNN_FILES.values())):
        (tmp_path / name).write_bytes(b"\0" * size)
    monkeypatch.setattr(models, "settings", lambda: Settings(models_dir=tmp_path))
    found = CliRunner().invoke(commands.app, ["models", "list"])
    assert found.exit_code == 0
    lines = [" ".join(line.split()) for line in found.output.splitlines()]
    rows = {line.split()[1]: (line, said) for line, said in pairwise(lines) if len(line.split()) > 2}
    assert rows["facenet-vggface2"][0].endswith(" 512 2.5 0.700 0.600")
    assert "MIT; VGGFace2: " in rows["facenet-vggface2"][1]
    assert rows["mtcnn"][0].endswith(" 1.5")
    assert rows["facenet-casia"][0].endswith(" 0.620 0.530")
    assert "MIT; CASIA-WebFace: " in rows["facenet-casia"][1]
    assert " 128 " in rows["dlib-resnet-v1"][0]
    assert rows["dlib-resnet-v1"][0].endswith("0.940 0.920")
    assert "CC0-1.0; " in rows["dlib-resnet-v1"][1]
    assert rows["arcface"][0].endswith("0.400 0.300")


def test_the_legal_basis_is_kept_with_the_photos_and_removed_with_them(
    run: Run, store: MemoryStore, photo: Callable[[str, bytes], str]
) -> None:
    run("add", "Bob", photo("b.jpg", b"B1"))
    assert "basis" not in run("list").output
    assert run("add", "Ada", photo("a.jpg", b"A1"), "--basis", "consent of 2026-11-25 [file 7]").exit_code == 0
    assert "consent of 2026-11-25 [file 7]" in run("list").output
    assert run("rename", "Ada", "Grace").exit_code == 0
    assert ["Grace", "1", "–", "consent", "of", "2026-11-25", "[file", "7]"] in [
        line.split() for line in run("list").output.splitlines()
    ]
    assert run("forget", "Grace", "--yes").exit_code == 0
    assert not [key for _, key in store.objects if key.endswith("basis.txt")]


class _Encoder:
    """All speech has the same voice."""

    info = EngineInfo(id="ge2e", role="voice_encoder", title="Fake", licence="MIT")

    def embed_voices(self, samples: np.ndarray, windows: list[tuple[float, float]]) -> np.ndarray:
        return np.tile(np.eye(256, dtype=np.float32)[0], (len(windows), 1))


def test_a_voice_is_enrolled_from_a_recording_of_it_but_not_from_too_little(
    run: Run, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Engines, "voice_encoder", property(lambda self: _Encoder()))
    spoken = [(0.0, 4.0)]
    monkeypatch.setattr("castline.engines.speech.voice.stretches", lambda samples: spoken)
    recording = tmp_path / "ada.wav"
    soundfile.write(recording, 0.1 * np.sin(np.arange(16000 * 8) / 20), 16000)
    answer = run("add-voice", "Ada", str(recording), "--basis", "consent of 2026-11-26")
    assert answer.exit_code != 0
    assert "4.0 s of speech in ada.wav are too little" in answer.output
    assert not list(store.find(Settings().gallery_bucket))
    spoken[:] = [(0.0, 7.0)]
    answer = run("add-voice", "Ada", str(recording), "--basis", "consent of 2026-11-26")
    assert answer.exit_code == 0, answer.output
    assert "7.0 s of speech enrolled as the voice of Ada" in answer.output
    (known,) = json.loads(run("list", "--json").stdout)
    assert (known["name"], len(known["voices"]), known["basis"]) == ("Ada", 1, "consent of 2026-11-26")
    assert run("forget", "Ada", "--yes").exit_code == 0
    assert not [info for info in store.find(Settings().gallery_bucket) if info.key.startswith("Ada/")]
