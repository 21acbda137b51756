"""The gallery's commands on a real stack: strangers get names, names are merged, names are forgotten."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from castline.cli import connect as connecting
from castline.cli import main as commands
from castline.cli import people as people_commands
from castline.cli.connect import Connection
from castline.engines.process import Engines
from castline.keys import slug
from castline.operations import rerun
from castline.people import list_people, reassemble
from castline.recognition.photo import embed_photo

pytestmark = pytest.mark.e2e
CHECKOUT = Path(__file__).resolve().parents[2]
_BOTH, _CLIP = "gallery tests/two people.mp4", "gallery tests/one person.mp4"
_ADA = "Zoë O'Neil-Ødegård 😀"
Run = Callable[..., str]


@pytest.fixture(scope="module")
def empty_gallery(pipeline) -> Iterator[None]:
    """Nobody is known during these tests; afterwards the gallery is restored."""
    bucket = pipeline.settings.gallery_bucket
    before = {info.key: pipeline.store.get(bucket, info.key) for info in pipeline.store.find(bucket)}
    _replace(pipeline, {})
    yield
    _replace(pipeline, before)
    engines = Engines(pipeline.settings)
    list(reassemble(pipeline.store, pipeline.settings, lambda body: embed_photo(body, engines)))


def _replace(pipeline, objects: dict[str, bytes | None]) -> None:
    bucket = pipeline.settings.gallery_bucket
    there = [info.key for info in pipeline.store.find(bucket)]
    if there:
        pipeline.store.delete(bucket, there)
    for key, body in objects.items():
        pipeline.store.put(bucket, key, body or b"")


@pytest.fixture(scope="module")
def excerpt(demo: Path, ffmpeg: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven seconds of the demo: "welcome" is said while one person is on screen, and then comes the other."""
    path = tmp_path_factory.mktemp("gallery") / "excerpt.mp4"
    kept = "'lt(t,4)+between(t,9,12)'"
    picture, sound = f"select={kept},setpts=N/FRAME_RATE/TB,scale=-2:270", f"aselect={kept},asetpts=N/SR/TB"
    ffmpeg("-i", demo, "-vf", picture, "-af", sound, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", path)
    return path


@pytest.fixture(scope="module")
def strangers(pipeline, empty_gallery: None, excerpt: Path, short_clips: list[Path]) -> None:
    """Two people, and a clip of the one who appears first; nobody is known."""
    pipeline.upload(excerpt, _BOTH)
    pipeline.upload(short_clips[0], _CLIP)
    results = pipeline.results([_BOTH, _CLIP])
    found = [(person.name, person.identity) for person in results[_BOTH].people]
    assert found == [("Person 1", "unknown"), ("Person 2", "unknown")]
    assert [person.name for person in results[_CLIP].people] == ["Person 1"]


@pytest.fixture
def run(pipeline, strangers: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs ``castline people …`` and returns its output; nobody is known before and after a test."""
    connection = Connection(pipeline.store, pipeline.settings, "the stack of the tests")
    monkeypatch.setattr(people_commands, "connect", lambda url=None, **_: connection)

    def invoke(*arguments: str, status: int = 0) -> str:
        for console in (connecting.console, connecting.errors):
            monkeypatch.setattr(console, "_width", 300)
        done = CliRunner().invoke(commands.app, ["people", *arguments])
        assert done.exit_code == status, f"{done.output}\n{done.exception!r}"
        return done.output

    try:
        yield invoke
    finally:
        for name in list_people(pipeline.store, pipeline.settings):
            CliRunner().invoke(commands.app, ["people", "forget", name, "--yes"])
        _run_again(pipeline)


def _run_again(pipeline) -> None:
    """A forgotten person is no longer in the parts: the next test begins with new ones."""
    for media, count in ((_BOTH, 2), (_CLIP, 1)):
        if [identity for _, identity in _people(pipeline, media)] != ["unknown"] * count:
            rerun(media, pipeline.stack.client, pipeline.store, pipeline.settings)
            deadline = time.monotonic() + 600
            while len(_people(pipeline, media)) != count:
                assert time.monotonic() < deadline, "the rerun produced no result"
                time.sleep(0.1)


def _people(pipeline, media: str) -> list[tuple[str, str]]:
    return [(person.name, person.identity) for person in pipeline.look(media).result.people]


def _parts(pipeline) -> list[tuple[str, str]]:
    listed = pipeline.store.find(pipeline.settings.output_bucket, "gallery tests/")
    return [(info.key, info.etag) for info in listed if "/parts/" in info.key]


def test_a_person_named_in_one_result_is_known_in_all(pipeline, run: Run) -> None:
    parts = _parts(pipeline)
    said = run("name", _BOTH, "Person 1", _ADA)
    assert f"of Person 1 enrolled as {_ADA}" in said
    assert "brought up to date" in said
    assert _people(pipeline, _BOTH) == [(_ADA, "known"), ("Person 1", "unknown")]
    assert _people(pipeline, _CLIP) == [(_ADA, "known")]
    assert f"people/{slug(_ADA)}.jpg" in pipeline.output(_BOTH)
    assert "there are: " in run("name", _BOTH, "Person 7", "Ada", status=2)
    assert "there is no recording" in run("name", "gallery tests/none.mp4", "Person 1", "Ada", status=2)
    assert _parts(pipeline) == parts, "no model processed media"

    said = run("forget", _ADA, "--yes")
    assert f"forgotten: nobody is called {_ADA} any more" in said
    assert "left alone" not in said
    assert _people(pipeline, _BOTH) == [("Person 1", "unknown")], "the face was removed with the name"
    assert _people(pipeline, _CLIP) == []
    listed = [info.key for info in pipeline.store.find(pipeline.settings.output_bucket)]
    assert not any(slug(_ADA) in key for key in listed)
    assert not list_people(pipeline.store, pipeline.settings)


def test_several_names_of_one_person_are_merged(pipeline, run: Run) -> None:
    run("add", "E. Collins", str(CHECKOUT / "examples" / "gallery" / "Eileen Collins"))
    run("name", _CLIP, "E. Collins", "E. Collins")  # more photos of a known person
    run("rename", "E. Collins", _ADA)
    run("add", "Eileen 'Mom' Collins", str(CHECKOUT / "examples" / "gallery" / "Eileen Collins" / "close.jpg"))
    assert _people(pipeline, _CLIP)[0][1] != "unknown"
    said = run("merge", _ADA, "Eileen 'Mom' Collins")
    assert "1 photo given to" in said
    assert _people(pipeline, _CLIP) == [(_ADA, "known")]
    rows = [line.split() for line in run("list").splitlines()]
    assert len(rows) == 2
    assert int(rows[1][-2]) >= 4, "three photos, one of them a duplicate, and the clip's"
    assert rows[1][-1].startswith("20"), "a date"
    assert "nobody is called" in run("merge", _ADA, "Nobody", status=2)


def test_a_person_is_enrolled_from_a_video(pipeline, run: Run, demo: Path, short_clips: list[Path]) -> None:
    said = run("add", "Two People", str(demo), status=2)
    assert "demo.mp4: 2 people are in the video; enrol videos that show one person" in said
    assert not list_people(pipeline.store, pipeline.settings)
    assert "enrolled clip-0.mp4 at " in run("add", "张伟", str(short_clips[0]))
    assert _people(pipeline, _BOTH) == [("张伟", "known"), ("Person 1", "unknown")]
    assert "forgotten" in run("forget", "张伟", "--yes")


def test_a_name_that_is_also_spoken_is_forgotten_but_the_words_stay(
    pipeline, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people_commands, "_SHOWN", 1000)  # other tests' recordings contain the word, too
    run("name", _BOTH, "Person 2", "Welcome")
    assert ("Welcome", "known") in _people(pipeline, _BOTH)
    said = run("forget", "Welcome", "--yes")
    _, _, alone = said.partition("spoken or part of a key, left alone (")
    for file in ("transcript.txt", "transcript.srt", "result.json", "report.html"):
        assert f"\n    s3://{pipeline.settings.output_bucket}/{_BOTH}/{file}\n" in alone
    assert "still there" not in said
    assert "welcome" in pipeline.look(_BOTH).result.transcript.text
    assert all(identity == "unknown" for _, identity in _people(pipeline, _BOTH))
