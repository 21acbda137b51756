"""The main job on real input: who is on screen, what is said, and what is not claimed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from castline.engines.process import Engines
from castline.evaluation.normalise import plain
from castline.people import add_photo, forget, photos_in, reassemble, rename
from castline.recognition.photo import embed_photo
from castline.records import Result

pytestmark = pytest.mark.e2e
CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def embed(pipeline):
    engines = Engines(pipeline.settings)
    return lambda body: embed_photo(body, engines)


@pytest.fixture(scope="module")
def demo_result(pipeline, demo: Path, embed) -> Result:
    for folder in sorted((CHECKOUT / "examples" / "gallery").iterdir()):
        for photo in photos_in([folder]):
            add_photo(folder.name, photo, pipeline.store, pipeline.settings, embed)
    key = pipeline.upload(demo)
    return pipeline.results([key])[key]


def test_demo_names_both_people(demo_result: Result) -> None:
    assert demo_result.status == "complete"
    assert [(person.name, person.identity) for person in demo_result.people] == [
        ("Eileen Collins", "known"),
        ("Grace Hopper", "known"),
    ]
    first, second = demo_result.people
    assert first.ranges[0].start_s < second.ranges[0].start_s
    together = [(max(a.start_s, b.start_s), min(a.end_s, b.end_s)) for a in first.ranges for b in second.ranges]
    assert any(end - start > 4 for start, end in together), "they are on screen together at the end"


def test_demo_speech_is_read(demo_result: Result) -> None:
    text = plain(demo_result.transcript.text)
    for words in ("hello and welcome to this short film", "was an officer in the navy", "here they are together"):
        assert words in text
    for segment in demo_result.transcript.segments:
        assert segment.words
        assert all(word.start_s < word.end_s for word in segment.words)
    starts = [segment.start_s for segment in demo_result.transcript.segments]
    assert starts == sorted(starts)
    assert {segment.visible for segment in demo_result.transcript.segments} >= {"Eileen Collins", "Grace Hopper"}


def test_demo_views_are_published(pipeline, demo_result: Result) -> None:
    files = pipeline.output(demo_result.media)
    expected = {"result.json", "report.html", "people/eileen-collins.jpg", "people/grace-hopper.jpg"}
    assert files.keys() >= expected | {f"transcript.{kind}" for kind in ("txt", "srt", "vtt", "json")}
    assert files["people/eileen-collins.jpg"].startswith(b"\xff\xd8")
    schema = json.loads((CHECKOUT / "docs" / "result.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(json.loads(files["result.json"]))


def test_a_third_face_stays_unknown(pipeline, demo_result: Result, shared_data: Path) -> None:
    clip = shared_data / "video" / "grid" / "sbwe5n_h264_aac_derived.mp4"
    key = pipeline.upload(clip, "third.mp4")
    (person,) = pipeline.results([key])[key].people
    assert person.identity == "unknown"
    assert person.name == "Person 1"


def test_renaming_and_forgetting_reach_results_without_a_model_run(pipeline, demo_result: Result, embed) -> None:
    parts = [
        info
        for info in pipeline.store.find(pipeline.settings.output_bucket, f"{demo_result.media}/")
        if "/parts/" in info.key
    ]
    rename("Grace Hopper", "Rear Admiral Grace Hopper", pipeline.store, pipeline.settings)
    assert demo_result.media in list(reassemble(pipeline.store, pipeline.settings, embed))
    names = [person.name for person in pipeline.look(demo_result.media).result.people]
    assert names == ["Eileen Collins", "Rear Admiral Grace Hopper"]

    forget("Rear Admiral Grace Hopper", pipeline.store, pipeline.settings)
    list(reassemble(pipeline.store, pipeline.settings, embed))
    again = pipeline.look(demo_result.media).result
    assert [(person.name, person.identity) for person in again.people] == [
        ("Eileen Collins", "known"),
        ("Person 1", "unknown"),
    ]
    # "Grace Hopper was an officer" is spoken, and stays; her enrolled name is nowhere.
    published = pipeline.output(demo_result.media)
    assert not any(b"Rear Admiral" in body or "hopper" in name for name, body in published.items())
    now = [
        info
        for info in pipeline.store.find(pipeline.settings.output_bucket, f"{demo_result.media}/")
        if "/parts/" in info.key
    ]
    assert [(info.key, info.etag) for info in now] == [(info.key, info.etag) for info in parts]


def test_each_talking_head_is_one_person(pipeline, shared_data: Path) -> None:
    clips = sorted((shared_data / "video" / "grid").glob("*.m*"))
    keys = [pipeline.upload(path, f"grid/{path.name}") for path in clips]
    for key, result in pipeline.results(keys).items():
        assert result.status == "complete"
        assert len(result.people) == 1, key
        assert result.people[0].identity == "unknown"
        assert result.transcript.text, key


def test_a_crowd_is_clustered_without_merges_or_duplicates(pipeline, shared_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "crowd.mp4"
    shutil.copy(shared_data / "video" / "facenet_pytorch_video.mp4", path)
    key = pipeline.upload(path)
    result = pipeline.results([key])[key]
    # A small blurred face may look a little like one of the enrolled; nobody may be given a name.
    assert all(person.identity != "known" and person.name.startswith("Person ") for person in result.people)
    assert all(person.image for person in result.people)
    # Seven people, frame by frame; one of them is half hidden at first, and may count twice.
    assert 7 <= len(result.people) <= 8
    # The two who walk towards the camera are in every sampled frame in which they were found, and each is one person.
    assert sorted(person.on_screen_s for person in result.people)[-2:] >= [4.0, 4.0]
    seen = [sighting for person in result.people for track in person.tracks for sighting in track.sightings]
    assert len({(sighting.time_s, sighting.box) for sighting in seen}) == len(seen)
    for person in result.people:
        times = [sighting.time_s for track in person.tracks for sighting in track.sightings]
        assert len(times) == len(set(times)), "one person appears once in a frame"


def test_silence_and_noise_give_no_words(pipeline, quiet_media: dict[str, Path]) -> None:
    keys = [pipeline.upload(path, f"quiet/{name}") for name, path in quiet_media.items()]
    for key, result in pipeline.results(keys).items():
        assert result.status == "complete", key
        assert result.transcript.text == "", key
        assert not result.transcript.segments, key
        assert not result.people, key
