"""Sidecars: options of one media file, whether uploaded before it or after; mistakes are reported, not ignored."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from castline import keys
from castline.engines.base import EngineInfo
from castline.errors import OptionsError
from castline.events import object_created
from castline.records import Manifest, Options, Segment, SpeechOptions, Word
from castline.runs.request import PER_MEDIA, override, read_request, read_source, uploaded_media
from castline.runs.sets import finished
from castline.stages import analyse_event, failure_event, split_event

MEDIA = "week 1/Été + talk.mp4"


def _sidecar(world, body: bytes | dict[str, Any], media: str = MEDIA) -> str:
    key = keys.sidecar_key(media)
    world.upload(key, body if isinstance(body, bytes) else json.dumps(body).encode())
    return key


def _split(world, key: str) -> list[str]:
    return split_event(object_created(world.settings.input_bucket, key), world.store, world.settings)["runs"]


def _manifest(world) -> Manifest:
    return Manifest.from_json(world.store.get(world.settings.stage1_bucket, keys.manifest_key(MEDIA, world.run(MEDIA))))


def _through(world, key: str) -> None:
    """An upload's event all the way: split, analyse, assemble."""
    (run,) = _split(world, key)
    for info in list(world.store.find(world.settings.stage1_bucket, f"{MEDIA}/{run}/")):
        if not info.key.endswith("options.json"):
            analyse_event(
                object_created(world.settings.stage1_bucket, info.key), world.store, world.settings, world.engines
            )


class _Recording:
    """Hears nothing and remembers its requests."""

    info = EngineInfo(
        id="fake", role="transcriber", title="Fake", licence="MIT", languages=("*",), translates=True, prompts=True
    )

    def __init__(self) -> None:
        self.asked: list[SpeechOptions] = []

    def transcribe(self, speech):
        from castline.engines.base import Transcription

        self.asked.append(speech.options)
        word = Word(start_s=0.1, end_s=0.3, text="hello")
        return Transcription("en", (Segment(start_s=0.1, end_s=0.4, text="hello", words=(word,)),))


def test_a_sidecar_before_its_media_file_counts(world, odd_media: dict[str, Path]) -> None:
    world.engines.transcriber = _Recording()
    sidecar = _sidecar(world, {"language": "pt-BR", "task": "translate", "hotwords": ["Ada"], "word_times": False})
    assert _split(world, sidecar) == []  # there is nothing to split yet
    world.upload(MEDIA, odd_media["both.mp4"].read_bytes())
    _through(world, MEDIA)
    result = world.result(MEDIA)
    assert result.status == "complete"
    assert (result.options.language, result.options.task) == ("pt-BR", "translate")
    assert {(asked.language, asked.task, asked.hotwords) for asked in world.engines.transcriber.asked} == {
        ("pt-BR", "translate", ("Ada",))
    }
    assert result.transcript.segments
    assert all(segment.words == () for segment in result.transcript.segments)


@pytest.mark.parametrize(
    ("noted", "event", "runs"),
    [
        ("first", "ObjectCreated:Put", 0),
        ("first", "ObjectRemoved:Delete", 1),
        ("an older one", "ObjectCreated:Put", 1),
        (None, "ObjectCreated:Put", 1),
    ],
)
def test_a_sidecar_that_came_first_is_not_split_for(
    noted: str | None, event: str, runs: int, world, odd_media: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecar = _sidecar(world, {"beam": 1})
    world.upload(MEDIA, odd_media["both.mp4"].read_bytes())
    head, facts = world.store.head, {sidecar: {"version": "first"}, MEDIA: {"sidecar": noted}}
    monkeypatch.setattr(
        world.store,
        "head",
        lambda bucket, key: (
            found and found.model_copy(update=facts.get(key, {})) if (found := head(bucket, key)) else None
        ),
    )
    said = object_created(world.settings.input_bucket, sidecar)
    said["Records"][0]["eventName"] = event
    assert len(split_event(said, world.store, world.settings)["runs"]) == runs
    assert len(_split(world, MEDIA)) == 1 - runs  # the media file's own event


def test_a_sidecar_after_its_media_file_starts_another_run(world, odd_media: dict[str, Path]) -> None:
    world.engines.transcriber = _Recording()
    world.upload(MEDIA, odd_media["both.mp4"].read_bytes())
    _through(world, MEDIA)
    before = world.result(MEDIA)
    assert before.transcript.segments[0].words
    sidecar = _sidecar(world, {"prompt": "Minutes of a meeting."})
    source = read_source(world.settings.input_bucket, MEDIA, world.store)
    assert not finished(source, world.store, world.settings)
    _through(world, sidecar)
    after = finished(source, world.store, world.settings)
    assert after
    assert after.run != before.run
    assert after.options.prompt == "Minutes of a meeting."
    assert world.engines.transcriber.asked[-1].prompt == "Minutes of a meeting."
    assert _split(world, sidecar) == _split(world, MEDIA) == []  # both events mean the existing run


def test_a_run_superseded_by_a_sidecar_is_not_published(world) -> None:
    units = world.split(MEDIA)
    world.analyse(*units[:-1])
    _sidecar(world, {"beam": 1})
    world.analyse(units[-1])
    assert world.result(MEDIA) is None


def test_a_run_that_ended_while_superseded_is_published_when_it_counts_again(world, odd_media: dict[str, Path]) -> None:
    world.upload(MEDIA, odd_media["both.mp4"].read_bytes())
    (run,) = _split(world, MEDIA)
    sidecar = _sidecar(world, {"beam": 1})
    for info in list(world.store.find(world.settings.stage1_bucket, f"{MEDIA}/{run}/")):
        world.analyse(info.key)
    assert world.result(MEDIA) is None, "it was superseded"
    world.store.delete(world.settings.input_bucket, [sidecar])
    before = len(world.store.writes)
    assert _split(world, sidecar) == []
    ((_, key),) = world.store.writes[before:]
    world.analyse(key)
    assert world.result(MEDIA).run == run


def test_chunk_length_and_sampling_can_be_set_per_file(world, odd_media: dict[str, Path]) -> None:
    _sidecar(world, {"interval_s": 0.25, "sampling": "interval"})
    world.upload(MEDIA, odd_media["no-audio.mp4"].read_bytes())
    _split(world, MEDIA)
    manifest = _manifest(world)
    assert manifest.options.interval_s == 0.25
    assert max(after - before for before, after in pairwise(manifest.sample_times_ms)) < 500


def test_restoring_or_removing_a_sidecar_publishes_the_run_that_it_means(world, odd_media: dict[str, Path]) -> None:
    world.upload(MEDIA, odd_media["both.mp4"].read_bytes())
    _through(world, MEDIA)
    plain = world.result(MEDIA).run
    sidecar = _sidecar(world, {"beam": 1})
    _through(world, sidecar)
    fast = world.result(MEDIA).run
    assert fast != plain
    for change, expected in ((lambda: world.store.delete(world.settings.input_bucket, [sidecar]), plain),
                             (lambda: _sidecar(world, {"beam": 1}), fast)):  # fmt: skip
        change()
        before = len(world.store.writes)
        assert _split(world, sidecar) == []  # nothing is split or analysed again
        ((bucket, key),) = world.store.writes[before:]
        analyse_event(object_created(bucket, key), world.store, world.settings, world.engines)
        assert world.result(MEDIA).run == expected


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"langauge": "de"}', "unknown key 'langauge', did you mean 'language'?; known keys: language, task"),
        (b'{"xyzzy": 1}', "unknown key 'xyzzy'; known keys"),
        (b'{"transcriber": "auto"}', "'transcriber' is the deployment's to decide"),
        (b'{"beam": 0}', "beam: input should be greater than or equal to 1"),
        (b'{"task": "sing"}', "task: input should be 'transcribe' or 'translate'"),
        (b'{"hotwords": "Ada"}', "hotwords: input should be a valid tuple"),
        (b"[1]", "is not a JSON object of options"),
        (b"", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b"{" + b" " * 70_000 + b"}", "has 70002 bytes; 65536 are the most it can have"),
    ],
)
def test_an_invalid_sidecar_becomes_the_result(body: bytes, said: str, world, odd_media: dict[str, Path]) -> None:
    sidecar = _sidecar(world, body)
    world.upload(MEDIA, odd_media["both.mp4"].read_bytes())
    _through(world, MEDIA)
    result = world.result(MEDIA)
    assert (result.status, result.error.code) == ("failed", "options")
    assert result.error.message.startswith(sidecar)
    assert said in result.error.message
    _sidecar(world, {})  # corrected
    _through(world, sidecar)
    assert world.result(MEDIA).status == "complete"


def test_null_restores_a_default() -> None:
    assert override(Options(language="de"), b'{"language": null}', "x").language is None


def test_every_key_but_the_deployment_s_own_can_be_set() -> None:
    assert set(Options.model_fields) - set(PER_MEDIA) == {
        "detector", "embedder", "transcriber", "frames_per_unit", "voice_encoder",
        "active_speaker",
    }  # fmt: skip
    own = {key: getattr(Options(), key) for key in PER_MEDIA}
    assert override(Options(), json.dumps(own).encode(), "x") == Options()
    with pytest.raises(OptionsError):
        override(Options(), b'{"frames_per_unit": 3}', "x")


def test_a_sidecar_is_not_media_and_other_json_is_ignored(world) -> None:
    world.upload(MEDIA)
    _sidecar(world, {})
    world.upload("notes.json", b"{}")
    (source,) = uploaded_media(world.store, world.settings)
    assert source.key == MEDIA
    assert source.sidecar
    assert _split(world, "notes.json") == []


def test_a_splitter_s_failure_is_recorded_for_the_sidecar_s_run(world, failure_envelope) -> None:
    world.upload(MEDIA)
    sidecar = _sidecar(world, {"beam": 2})
    event = object_created(world.settings.input_bucket, sidecar)
    failure_event(failure_envelope(event, "video-splitting"), world.store, world.settings)
    result = world.result(MEDIA)
    assert (result.run, result.error.code, result.options.beam) == (world.run(MEDIA), "retries_exhausted", 2)


def test_an_engine_that_cannot_do_what_is_asked_says_so(world, odd_media: dict[str, Path]) -> None:
    world.engines.transcriber.info = EngineInfo(
        id="only-english", role="transcriber", title="Listener", licence="MIT", languages=("en",)
    )
    world.upload(MEDIA, odd_media["both.mp4"].read_bytes())
    sidecar = _sidecar(world, {"language": "de"})
    _through(world, sidecar)
    result = world.result(MEDIA)
    assert result.status == "partial"  # the frames are fine
    assert result.error.message == "Listener does not know the language 'de', only en"
    assert world.engines.transcriber.calls == 0
    _through(world, _sidecar(world, {"language": "en-GB", "task": "translate"}))
    assert world.result(MEDIA).error.message == "Listener cannot translate, only transcribe"
    _through(world, _sidecar(world, {"prompt": "Hm."}))
    result = world.result(MEDIA)
    assert result.status == "complete"
    assert "Listener takes no prompt and no hot words; they were ignored" in map(str, result.warnings)


def test_a_sidecar_deleted_during_reading_counts_as_none(world) -> None:
    world.upload(MEDIA)
    sidecar = _sidecar(world, {"beam": 2})
    source = read_source(world.settings.input_bucket, MEDIA, world.store)
    world.store.delete(world.settings.input_bucket, [sidecar])
    request = read_request(source, world.store, world.settings)
    assert (request.options, request.error) == (world.settings.options(), None)
