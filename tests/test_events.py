"""Events as AWS sends them: the files in events/ are named after their contents; a stage accepts each of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castline import keys
from castline.errors import EventError
from castline.events import InvocationFailed, ObjectCreated, invocations_failed, object_created, objects_created

_FOLDER = Path(__file__).parents[1] / "events"
_RUN = "week1/lesson1/video0.mp4/0123456789abcdef"

_EXPECTED: dict[str, list[ObjectCreated]] = {
    "input_video": [ObjectCreated("castline-input", "week1/lesson1/video0.mp4", 1_048_576, written=True)],
    "input_multipart": [ObjectCreated("castline-input", "long.mkv", 20_000_000, written=True)],
    "input_not_media": [ObjectCreated("castline-input", "week1/notes.txt", 12, written=True)],
    "input_two_records": [
        ObjectCreated("castline-input", "a.mp4", 10, written=True),
        ObjectCreated("castline-input", "b.mp3", 10, written=True),
    ],
    "input_unicode_plus_space": [ObjectCreated("castline-input", "wöche 1/a+b 100% c.mp4", 1_048_576, written=True)],
    "input_zero_bytes": [ObjectCreated("castline-input", "week1/lesson1/", 0, written=True)],
    "stage1_audio": [ObjectCreated("castline-stage-1", f"{_RUN}/audio/0000.flac", 204_800, written=True)],
    "stage1_classic": [ObjectCreated("castline-stage-1", "test_00.jpg", 20_480, written=True)],
    "stage1_frames": [ObjectCreated("castline-stage-1", f"{_RUN}/frames/0000.zip", 204_800, written=True)],
    "stage1_manifest": [ObjectCreated("castline-stage-1", f"{_RUN}/manifest.json", 900, written=True)],
    "failure_analyser": [],
    "failure_splitter": [],
    "eventbridge_video": [ObjectCreated("castline-input", "wöche 1/a+b 100% c.mp4", 1_048_576, written=True)],
    "input_sidecar": [ObjectCreated("castline-input", "week1/lesson1/video0.mp4.json", 19, written=True)],
    "input_sidecar_removed": [ObjectCreated("castline-input", "week1/lesson1/video0.mp4.json", 0)],
    "step_unit": [ObjectCreated("castline-stage-1", f"{_RUN}/frames/0000.zip", 1, written=True)],
    "step_identify": [],
    "step_split": [],
    "stage1_range": [ObjectCreated("castline-stage-1", f"{_RUN}/ranges/0001.range", 60, written=True)],
    "model_loader": [],
}


def _load(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text())
    return event


def test_every_file_is_covered() -> None:
    assert {path.stem for path in _FOLDER.glob("*.json")} == set(_EXPECTED)


@pytest.mark.parametrize("name", sorted(_EXPECTED))
def test_objects_are_as_the_file_s_name_says(name: str) -> None:
    if _EXPECTED[name]:
        assert list(objects_created(_load(name))) == _EXPECTED[name]
    else:
        with pytest.raises(EventError):
            list(objects_created(_load(name)))


def _sqs(*contents: object) -> dict[str, Any]:
    return {"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": json.dumps(each)} for each in contents]}


def _sns(content: object) -> dict[str, Any]:
    return {"Records": [{"EventSource": "aws:sns", "Sns": {"Type": "Notification", "Message": json.dumps(content)}}]}


def _notification(content: object) -> dict[str, Any]:
    """What SNS puts into a queue."""
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:t", "Message": json.dumps(content)}


_ENVELOPES: dict[str, Callable[[object], dict[str, Any]]] = {
    "plain": lambda content: dict(content),  # type: ignore[call-overload]
    "SQS": _sqs,
    "SNS": _sns,
    "SNS in SQS": lambda content: _sqs(_notification(content)),
    "SQS in SNS in SQS": lambda content: _sqs(_notification(_sqs(content))),
}


@pytest.mark.parametrize("name", ["input_video", "input_two_records", "input_unicode_plus_space", "eventbridge_video"])
@pytest.mark.parametrize("envelope", _ENVELOPES)
def test_objects_are_found_in_every_envelope(name: str, envelope: str) -> None:
    assert list(objects_created(_ENVELOPES[envelope](_load(name)))) == _EXPECTED[name]


@pytest.mark.parametrize("envelope", _ENVELOPES)
@pytest.mark.parametrize(
    "content",
    [
        {},
        {"source": "aws.s3", "detail": {"bucket": {"name": "b"}}},
        {"source": "aws.s3", "detail": {"bucket": {"name": "b"}, "object": {"key": "\udfff.mp4"}}},
        {"source": "aws.ec2", "detail": {}},
        {"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": 7}, "object": {"key": "k"}}}]},
        {
            "Records": [
                {"eventSource": "aws:s3", "s3": {"bucket": {"name": "b"}, "object": {"key": "k", "size": 1e400}}}
            ]
        },
    ],
)
def test_an_unknown_event_is_an_error_in_every_envelope(content: dict[str, Any], envelope: str) -> None:
    with pytest.raises(EventError):
        list(objects_created(_ENVELOPES[envelope](content)))


@pytest.mark.parametrize("envelope", _ENVELOPES)
def test_s3_s_own_test_event_is_ignored(envelope: str) -> None:
    told = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "castline-input"}
    assert list(objects_created(_ENVELOPES[envelope](told))) == []


def test_one_bad_message_of_a_batch_does_not_hide_the_others() -> None:
    found = []
    with pytest.raises(EventError):  # so that the batch does not succeed
        found.extend(objects_created(_sqs({"hello": 1}, _load("input_video"), [], _load("eventbridge_video"))))
    good = objects_created(_sqs({"hello": 1}, _load("input_video"), [], _load("eventbridge_video")))
    assert [next(good), next(good)] == _EXPECTED["input_video"] + _EXPECTED["eventbridge_video"]


def test_envelopes_are_opened_to_a_limited_depth() -> None:
    event: dict[str, Any] = _load("input_video")
    for _ in range(6):
        event = _sqs(event)
    with pytest.raises(EventError):
        list(objects_created(event))


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "Records eventSource s3 bucket object key name size body Sns Message source detail Event".split()
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["Records", "source", "detail", "requestPayload", "body"]), _values))
def test_any_event_is_understood_or_a_typed_error(event: dict[str, Any]) -> None:
    for read in (objects_created, invocations_failed):
        with contextlib.suppress(EventError):
            list(read(event))


@given(st.text() | st.binary().map(lambda body: body.decode("latin-1")))
def test_any_text_in_an_envelope_is_understood_or_a_typed_error(text: str) -> None:
    for record in ({"eventSource": "aws:sqs", "body": text}, {"EventSource": "aws:sns", "Sns": {"Message": text}}):
        with pytest.raises(EventError):
            list(objects_created({"Records": [record]}))


def test_a_message_of_brackets_is_an_error_like_any_other() -> None:
    with pytest.raises(EventError):
        list(objects_created({"Records": [{"eventSource": "aws:sqs", "body": "[" * 100_000}]}))


def test_the_layout_agrees_with_the_events() -> None:
    kinds = {name: keys.is_media(items[0].key) for name, items in _EXPECTED.items() if name.startswith("input")}
    assert kinds == {
        "input_video": True,
        "input_multipart": True,
        "input_not_media": False,
        "input_two_records": True,
        "input_unicode_plus_space": True,
        "input_zero_bytes": False,
        "input_sidecar": False,
        "input_sidecar_removed": False,
    }
    assert keys.parse_unit(_EXPECTED["stage1_audio"][0].key) == keys.UnitId(
        "week1/lesson1/video0.mp4", "0123456789abcdef", "audio", 0
    )
    assert keys.parse_unit(_EXPECTED["stage1_classic"][0].key) is None
    assert keys.parse_manifest(_EXPECTED["stage1_manifest"][0].key) == ("week1/lesson1/video0.mp4", "0123456789abcdef")


@pytest.mark.parametrize(
    ("name", "function", "reason", "inner"),
    [
        ("failure_splitter", "video-splitting", "Sandbox.Timedout: ", "input_video"),
        ("failure_analyser", "face-recognition", "Runtime.ExitError: ", "stage1_frames"),
    ],
)
def test_failures_come_through_sns(name: str, function: str, reason: str, inner: str) -> None:
    (failed,) = invocations_failed(_load(name))
    assert failed.function == function
    assert failed.reason.startswith(reason)
    assert "\n" not in failed.reason
    assert list(objects_created(failed.event)) == _EXPECTED[inner]


def test_failures_come_plain_and_through_sqs_too() -> None:
    envelope = json.loads(_load("failure_analyser")["Records"][0]["Sns"]["Message"])
    (plain,) = invocations_failed(envelope)
    (queued,) = invocations_failed({"Records": [{"eventSource": "aws:sqs", "body": json.dumps(envelope)}]})
    assert plain == queued
    assert plain.function == "face-recognition"


@pytest.mark.parametrize("answer", [None, "crashed", 5, []])
def test_a_failure_without_a_readable_answer_still_has_a_reason(answer: object) -> None:
    (failed,) = invocations_failed(
        {
            "requestContext": {"functionArn": "arn:aws:lambda:eu-west-1:1:function:f", "condition": "EventAgeExceeded"},
            "requestPayload": {},
            "responsePayload": answer,
        }
    )
    assert failed == InvocationFailed({}, "f", "error: EventAgeExceeded")


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"Records": None},
        {"Records": []},
        {"Records": [{"eventSource": "aws:sqs", "body": "{}"}]},
        {"Records": [{"eventSource": "aws:s3"}]},
    ],
)
def test_other_events_contain_no_objects(event: dict[str, Any]) -> None:
    with pytest.raises(EventError):
        list(objects_created(event))


def test_object_events_are_not_failures() -> None:
    with pytest.raises(EventError):
        list(invocations_failed(_load("input_video")))


def test_a_failure_is_described_as_far_as_it_is_understood() -> None:
    event = _sqs(_load("input_video"), {"hello": 1})
    assert InvocationFailed(event, "f", "gone").objects() == _EXPECTED["input_video"]
    assert InvocationFailed({"hello": 1}, "f", "gone").objects() == []


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), st.integers(0, 2**40))
def test_our_own_events_read_back_whatever_the_key(key: str, size: int) -> None:
    event = json.loads(json.dumps(object_created("bucket", key, size)))
    assert list(objects_created(event)) == [ObjectCreated("bucket", key, size, written=True)]
    encoded = event["Records"][0]["s3"]["object"]["key"]
    assert encoded.isascii()
    assert " " not in encoded
