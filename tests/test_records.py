"""Records: strict, frozen, and the same bytes for the same content."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from castline import keys, records
from castline.errors import NotMedia, UnreadableObject
from castline.records import (
    AudioUnit,
    Embedding,
    Failure,
    Frame,
    FramesUnit,
    Options,
    Record,
    Segment,
    Unit,
    Word,
    merge_ranges,
    spell,
)

_SCHEMA = Path(__file__).parents[1] / "docs" / "result.schema.json"

_RANGES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 30)).map(lambda pair: (pair[0], pair[0] + pair[1])))


def _every_record() -> list[type[Record]]:
    found: list[type[Record]] = []
    waiting = [Record]
    while waiting:
        kind = waiting.pop()
        subclasses = [sub for sub in kind.__subclasses__() if sub.__module__.startswith(f"{records.__name__}.")]
        found += subclasses
        waiting += subclasses
    return found


def test_the_committed_schema_matches_the_code() -> None:
    assert json.loads(_SCHEMA.read_text()) == records.json_schema()
    beside = _SCHEMA.with_name("corrections.schema.json")
    assert json.loads(beside.read_text()) == records.corrections_schema()


def test_the_schema_forbids_unknown_fields() -> None:
    schema = records.json_schema()
    assert schema["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values() if part["type"] == "object"
               and "properties" in part)  # fmt: skip


@pytest.mark.parametrize("kind", _every_record(), ids=lambda kind: kind.__name__)
def test_all_records_are_frozen_and_strict_about_names(kind: type[Record]) -> None:
    assert kind.model_config["frozen"] is True
    assert kind.model_config["extra"] == "forbid"


def test_a_record_cannot_be_changed_and_accepts_no_unknown_field() -> None:
    frame = Frame(time_ms=1, until_ms=2)
    with pytest.raises(ValidationError, match="frozen"):
        frame.time_ms = 3  # type: ignore[misc]
    with pytest.raises(UnreadableObject, match="Frame cannot be read: colour: Extra"):
        Frame.from_json('{"time_ms": 1, "until_ms": 2, "colour": 3}')


def test_json_is_compact_and_ordered_as_declared() -> None:
    assert Frame(until_ms=20, time_ms=10).to_json() == b'{"time_ms":10,"until_ms":20}'
    options = Options(interval_s=2)
    assert Options.from_json(options.to_json()) == options
    assert Options.from_json(options.to_json()).to_json() == options.to_json()


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval_s": 0},
        {"interval_s": 1e-9},
        {"interval_s": float("inf")},
        {"hotwords": ["x" * 201]},
        {"long_side": 63},
        {"frames_per_unit": 0},
        {"chunk_s": 4},
        {"sampling": "all"},
    ],
)
def test_options_out_of_bounds_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Options.model_validate(wrong)


def test_units_are_distinguished_by_kind_and_named_as_in_the_layout() -> None:
    units: TypeAdapter[FramesUnit | AudioUnit] = TypeAdapter(Unit)
    audio = units.validate_json('{"kind": "audio", "index": 3, "start_s": 1.5, "end_s": 9}')
    frames = units.validate_json('{"kind": "frames", "index": 3, "frames": [{"time_ms": 12480, "until_ms": 12480}]}')
    assert isinstance(audio, AudioUnit)
    assert isinstance(frames, FramesUnit)
    assert frames.frames[0].name == "000012480.jpg"
    for unit in (audio, frames):
        assert unit.name == keys.UnitId("m.mp4", "0" * 16, unit.kind, unit.index).name


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=600))
def test_an_embedding_keeps_every_bit(values: list[float]) -> None:
    vector = np.array(values, np.float32)
    back = Embedding.from_json(Embedding.of("m", vector).to_json()).vector()
    assert back.dtype == np.float32
    assert back.tobytes() == vector.tobytes()


def test_an_embedding_is_little_endian_whatever_the_input() -> None:
    vector: NDArray[np.float32] = np.array([0.5, -1.0], ">f4")
    assert Embedding.of("m", vector).data == Embedding.of("m", np.array([0.5, -1.0], "<f4")).data


def test_a_failure_says_what_went_wrong_and_keeps_the_end_of_the_log() -> None:
    failure = Failure.of(NotMedia("the file is empty", detail="x" * 5000 + "end"))
    assert (failure.code, failure.message) == ("not_media", "the file is empty")
    assert len(failure.detail) == 4000
    assert failure.detail.endswith("end")
    foreign = Failure.of(ZeroDivisionError("by zero" * 200))
    assert foreign.code == "internal"
    assert foreign.message.startswith("ZeroDivisionError: by zero")
    assert len(foreign.message) == 500


def test_an_upload_is_identified_by_its_version_if_it_has_one() -> None:
    source = records.Source(bucket="b", key="k", etag="e", version=None, size=1)
    assert source.identity == "e"
    assert source.model_copy(update={"version": "v"}).identity == "v"


def test_the_three_statuses_and_identities() -> None:
    assert get_args(records.Status) == ("complete", "partial", "failed")
    assert get_args(records.Identity) == ("known", "ambiguous", "unknown")


@given(_RANGES, st.integers(0, 5))
def test_merged_ranges_are_sorted_and_separate(ranges: list[tuple[int, int]], gap: int) -> None:
    merged = merge_ranges(ranges, gap)
    assert all(later[0] > earlier[1] + gap for earlier, later in pairwise(merged))
    assert merge_ranges(merged, gap) == merged
    assert merge_ranges(list(reversed(ranges)), gap) == merged


@given(_RANGES)
def test_merging_covers_the_same_moments(ranges: list[tuple[int, int]]) -> None:
    def covered(spans: list[tuple[float, float]]) -> set[int]:
        return {moment for start, end in spans for moment in range(int(start), int(end))}

    assert covered(merge_ranges(ranges)) == covered(ranges)


def test_touching_ranges_become_one() -> None:
    assert merge_ranges([(4, 5), (0, 1), (1, 2)]) == [(0, 2), (4, 5)]
    assert merge_ranges([(0, 1), (1.5, 2)], gap_s=0.5) == [(0, 2)]
    assert merge_ranges([(0, 10), (2, 3)]) == [(0, 10)]


def _segment(text: str, *words: str) -> Segment:
    """As in records from before words kept their spaces."""
    spoken = [{"start_s": at, "end_s": at + 1, "text": word} for at, word in enumerate(words)]
    return Segment.model_validate_json(json.dumps({"start_s": 0, "end_s": 9, "text": text, "words": spoken}))


@pytest.mark.parametrize(
    ("text", "words", "written"),
    [
        ("In twenty-one days.", ("In", "twenty", "-one", "days."), " In| twenty|-one| days."),
        ("你好 again", ("你", "好", "again"), " 你|好| again"),
        ("Well, yes! – no…", ("Well", "yes", "no"), " Well,| yes! –| no…"),
        ("¿Qué tal?", ("Qué", "tal"), " ¿Qué| tal?"),
        ("a  b\nc", ("a", "b", "c"), " a|  b|\nc"),
    ],
)
def test_words_of_older_records_are_derived_from_the_text(text: str, words: tuple[str, ...], written: str) -> None:
    segment = _segment(text, *words)
    assert "|".join(word.written for word in segment.words) == written
    assert spell(segment.words) == segment.text == text
    assert segment.spelled
    again = Segment.model_validate_json(segment.model_dump_json())
    assert again == segment


def test_words_between_spaces_are_written_as_before() -> None:
    assert '"space"' not in _segment("one two", "one", "two").model_dump_json()
    assert Word(start_s=0, end_s=1, text=" one ").text == "one"


@pytest.mark.parametrize(("text", "words"), [("?", ("yes",)), ("one", ("one", "two")), (" " * 500_000, ("a",) * 99)])
def test_words_that_do_not_spell_the_text_are_kept_as_they_are(text: str, words: tuple[str, ...]) -> None:
    segment = _segment(text, *words)
    assert tuple(word.text for word in segment.words) == words
    assert not segment.spelled
    assert not _segment(text).spelled
