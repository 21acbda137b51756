"""The border: whatever bytes are in a bucket, reading them gives a record or one typed error, in bounded time."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from castline.errors import OptionsError, UnreadableObject
from castline.gallery.load import Index
from castline.records import (
    AudioPart,
    AudioUnit,
    Embedding,
    ErrorPart,
    Failure,
    Frame,
    FrameFaces,
    FramesPart,
    FramesUnit,
    Manifest,
    Options,
    Part,
    Record,
    Segment,
    Source,
    Usage,
    Word,
)
from castline.records.reading import Kind, read_json, read_record
from castline.runs.request import override
from castline.storage import MemoryStore
from castline.storage.objects import read_object

_VECTOR = "AACAPwAAAAA="  # 1, 0
_USAGE = Usage(stage="faces", seconds=1.5, memory_mb=1024, steps={"load": 0.5})
_SOURCE = Source(bucket="b", key="k.mp4", etag="e", version=None, size=5)
_PARTS: TypeAdapter[FramesPart | AudioPart] = TypeAdapter(Part)
_FACE = {
    "box": [0.1, 0.1, 0.5, 0.5],
    "landmarks": [[0.2, 0.2]] * 5,
    "score": 0.9,
    "size_px": 80.0,
    "sharpness": 100.0,
    "quality": 0.5,
    "embedding": {"model": "m", "data": _VECTOR},
    "crop": "/9j/",
}
_FRAMES_PART = FramesPart(
    unit="frames-0000",
    detector="d",
    embedder="m",
    frames=(FrameFaces.model_validate({"time_ms": 0, "faces": [_FACE], "look": "A" * 192}),),
    usage=_USAGE,
)
_AUDIO_PART = AudioPart(
    unit="audio-0000",
    transcriber="t",
    language="en",
    segments=(Segment(start_s=0, end_s=1, text="hi", words=(Word(start_s=0, end_s=1, text="hi"),)),),
    usage=_USAGE,
)
_MANIFEST = Manifest(
    run="0" * 16,
    source=_SOURCE,
    options=Options(),
    probe=None,
    duration_s=2.0,
    units=(
        FramesUnit(index=0, frames=(Frame(time_ms=0, until_ms=0),)),
        AudioUnit(index=0, start_s=0, end_s=1),
    ),
    usage=_USAGE,
)
_INDEX = Index.model_validate({"entries": {"Ada/1.jpg": {"etag": "e", "embedding": {"model": "m", "data": _VECTOR}}}})
_ERROR = ErrorPart(unit="frames-0000", error=Failure(code="x", message="y"))

#: Each kind of object in a bucket, with a good one.
_KINDS: dict[str, tuple[Kind[Any], Record]] = {
    "options": (Options, Options(hotwords=("Ada",))),
    "manifest": (Manifest, _MANIFEST),
    "frames part": (_PARTS, _FRAMES_PART),
    "audio part": (_PARTS, _AUDIO_PART),
    "error part": (ErrorPart, _ERROR),
    "index": (Index, _INDEX),
}

_HOSTILE = {
    "nothing": b"",
    "brackets": b"[" * 60_000,
    "braces": b'{"a":' * 60_000,
    "surrogate": b'{"hotwords":["\\udfff"]}',
    "encoded surrogate": b'{"hotwords":["\xed\xbf\xbf"]}',
    "no UTF-8": b'{"hotwords":["\xff"]}',
    "infinite": b'{"interval_s":Infinity}',
    "too large to be finite": b'{"interval_s":1e999}',
    "no number": b'{"interval_s":NaN}',
    "many digits": b'{"beam":' + b"9" * 1_000_000 + b"}",
    "a list": b"[]",
    "a word": b"null",
    "cut off": b'{"beam": 1',
    "zeros": b"\0" * 1000,
}


@pytest.mark.parametrize("body", _HOSTILE.values(), ids=_HOSTILE)
@pytest.mark.parametrize("kind", _KINDS)
def test_a_bad_object_is_one_typed_error_that_names_it(kind: str, body: bytes) -> None:
    store = MemoryStore()
    store.put("b", "a/object.json", body)
    began = time.process_time()
    with pytest.raises(UnreadableObject, match=r"^s3://b/a/object\.json cannot be read: ") as caught:
        read_object(_KINDS[kind][0], store, "b", "a/object.json")
    assert time.process_time() - began < 1
    assert len(caught.value.message) < 500
    assert not caught.value.retryable
    assert Failure.of(caught.value).to_json(), "it can be recorded"


@pytest.mark.parametrize("kind", _KINDS)
def test_a_good_object_is_read_back(kind: str) -> None:
    reader, record = _KINDS[kind]
    store = MemoryStore()
    store.put("b", "k", record.to_json())
    assert read_object(reader, store, "b", "k") == record
    assert read_object(reader, store, "b", "gone") is None
    with pytest.raises(UnreadableObject, match="are the most it can have"):
        read_object(reader, store, "b", "k", max_bytes=len(record.to_json()) - 1)


_odd = (
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(st.characters(), max_size=6)
    | st.just([])
    | st.just({})
    | st.just("9" * 5000)
)


@st.composite
def _mutated(draw: st.DrawFn, record: Record) -> bytes:
    """A record's JSON in which one thing is replaced, missing or doubled; or some of its bytes are."""
    value = json.loads(record.to_json())
    body = json.dumps(_change(draw, value)).encode()
    if draw(st.booleans()):
        return body
    at = draw(st.integers(0, len(body)))
    return body[:at] + draw(st.binary(max_size=4)) + body[at + draw(st.integers(0, 3)) :]


def _change(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: _change(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _change(draw, value[at]), *value[at + 1 :]]
    return draw(_odd)


@pytest.mark.parametrize("kind", _KINDS)
@settings(max_examples=150)
@given(data=st.data())
def test_any_mutation_is_a_record_that_can_be_written_or_the_typed_error(kind: str, data: st.DataObject) -> None:
    reader, record = _KINDS[kind]
    body = data.draw(_mutated(record) | st.binary(max_size=200))
    try:
        found = read_record(reader, body)
    except UnreadableObject:
        return
    assert read_record(reader, found.to_json()) == found


@given(st.binary(max_size=300) | st.recursive(_odd, lambda inner: st.dictionaries(
    st.sampled_from(sorted(Options.model_fields)), inner | st.lists(inner), max_size=5)).map(
        lambda value: json.dumps(value).encode()))  # fmt: skip
def test_any_sidecar_is_options_that_can_be_written_or_an_options_error(body: bytes) -> None:
    with contextlib.suppress(OptionsError):
        asked = override(Options(), body, "x.mp4.json")
        assert Options.from_json(asked.to_json()) == asked


@pytest.mark.parametrize("body", [body for name, body in _HOSTILE.items() if name != "a word"])
def test_a_hostile_sidecar_is_an_options_error(body: bytes) -> None:
    with pytest.raises(OptionsError):
        override(Options(), body, "x.mp4.json")


@pytest.mark.parametrize("number", [b"Infinity", b"-Infinity", b"NaN", b"1e999", b"1e-9", b"0", b"86400"])
def test_a_number_out_of_range_is_reported_with_the_range(number: bytes) -> None:
    with pytest.raises(OptionsError, match=r"^x\.mp4\.json: interval_s: input should be .* \(0\.0001 to 3600\)$"):
        override(Options(), b'{"interval_s": ' + number + b"}", "x.mp4.json")
    with pytest.raises(OptionsError, match=r"chunk_s: .* \(10\.0 to 600\.0\)$|chunk_s: .* \(10 to 600\)$"):
        override(Options(), b'{"chunk_s": ' + number + b"}", "x.mp4.json")


def test_a_sidecar_may_have_any_unicode_encoding() -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert override(Options(), '{"hotwords": ["Zoë"]}'.encode(encoding), "x").hotwords == ("Zoë",)


def test_what_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(UnreadableObject, match="cannot be written"):
        Segment(start_s=0, end_s=1, text="\udfff").to_json()
    assert Failure(code="x", message="half a \udfff character").message == "half a ? character"


@pytest.mark.parametrize("data", ["AAA=", "!!!!", "AACAfw==", "AADAfw==", "A" * 100_000])
def test_an_embedding_is_whole_finite_floats(data: str) -> None:
    with pytest.raises(UnreadableObject):
        Embedding.from_json(json.dumps({"model": "m", "data": data}))


def test_a_json_value_is_bounded() -> None:
    with pytest.raises(UnreadableObject, match="11 bytes; 10 are"):
        read_json(b'"123456789"', "x", max_bytes=10)
