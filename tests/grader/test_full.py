"""The full profile: results, subtitles, people and words, timelines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from castline.grader.full import timeline_problem
from castline.grader.subtitles import subtitles_problem
from castline.grader.truth import TruthTable, read_truth
from castline.records import TimelineEntry
from tests.grader.conftest import NAMES, Deployment, person, sample

SRT = "1\n00:00:00,500 --> 00:00:01,500\nhello\n"
VTT = "WEBVTT\n\n00:00.500 --> 00:01.500\nhello\n"
TTML = (
    '<tt xmlns="http://www.w3.org/ns/ttml"><body><div>'
    '<p begin="00:00:00.500" end="00:00:01.500">x</p></div></body></tt>'
)


@pytest.fixture
def answered(full: Deployment) -> Deployment:
    """All four clips are there, with good results."""
    full.upload()
    for media in NAMES:
        full.publish(media)
    return full


@pytest.fixture
def truth(tmp_path: Path) -> Callable[..., TruthTable]:
    """Ground truth from lines of ``file|people|reference``."""

    def table(*rows: str) -> TruthTable:
        path = tmp_path / "truth.tsv"
        path.write_text("\n".join(["file\tpeople\treference", *(row.replace("|", "\t") for row in rows)]))
        return read_truth(path)

    return table


@pytest.mark.parametrize("number", [4, 5, 7])
def test_good_results_pass(answered: Deployment, number: int) -> None:
    result = answered.look(number)
    assert (result.status, result.points) == ("passed", answered.check(number).points), result.lines


@pytest.mark.parametrize("number", [4, 5, 7])
def test_missing_results_get_no_points(full: Deployment, number: int) -> None:
    full.upload()
    result = full.look(number)
    assert (result.status, result.points) == ("failed", 0)
    assert "test_00.mp4: no result.json" in result.lines


@pytest.mark.parametrize("number", [4, 5, 6, 7])
def test_a_missing_output_bucket_is_a_finding(full: Deployment, truth: Callable[..., TruthTable], number: int) -> None:
    full.upload()
    full.target.s3.delete_bucket(Bucket="grade-output")
    result = full.look(number, truth=truth("test_00.mp4|Ada|hello"))
    assert (result.status, result.lines) == ("failed", ("the bucket grade-output does not exist",))


def test_a_schema_violation_is_located(answered: Deployment) -> None:
    broken = json.loads(sample(answered.target, "test_00.mp4").to_json())
    for field, value, line in (
        ("identity", "probably", "result.json cannot be read: people.0.identity: Input should be 'known'"),
        ("confidence", "0.9", "breaks the schema at $.people[0].confidence: '0.9' is not"),
    ):
        person = broken["people"][0] | {field: value}
        answered.put("grade-output", "test_00.mp4/result.json", json.dumps(broken | {"people": [person]}))
        result = answered.look(4)
        assert (result.status, result.points) == ("partial", 15)
        assert result.lines[1].startswith(f"test_00.mp4: {line}")


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 200_000, b'{"a": NaN}', b"\xff", b"null", b'"x"', b"{}"])
def test_invalid_results_cost_points_and_crash_nothing(answered: Deployment, body: bytes) -> None:
    answered.put("grade-output", "test_00.mp4/result.json", body)
    for number in (4, 5, 7):
        result = answered.look(number)
        assert (result.status, result.points) == ("partial", answered.check(number).points * 0.75), result.lines
        assert result.lines[1].startswith("test_00.mp4: ")


def test_the_result_of_an_earlier_upload_is_not_accepted(answered: Deployment) -> None:
    answered.put("grade-input", "test_00.mp4", b"another film")
    result = answered.look(4)
    assert (result.status, result.points) == ("partial", 15)
    assert "test_00.mp4: the result is of another upload" in result.lines


def test_in_versioned_buckets_equal_bytes_are_another_upload(full: Deployment) -> None:
    full.target.s3.put_bucket_versioning(Bucket="grade-input", VersioningConfiguration={"Status": "Enabled"})
    full.upload()
    for media in NAMES:
        full.publish(media)
    assert full.look(4).status == "passed"
    full.upload()
    assert full.look(4).status == "failed"
    # moto keeps versions, and the bucket must be empty before it is deleted
    for item in full.target.s3.list_object_versions(Bucket="grade-input")["Versions"]:
        full.target.s3.delete_object(Bucket="grade-input", Key=item["Key"], VersionId=item["VersionId"])


def test_a_failed_file_with_a_valid_result_is_reported_and_costs_nothing(answered: Deployment) -> None:
    answered.publish("test_03.mp4", status="failed", people=(), words="")
    result = answered.look(4)
    assert result.status == "passed"
    assert result.lines[-1] == "1 failed: test_03.mp4"


def test_broken_subtitles_are_named_and_cost_points(answered: Deployment) -> None:
    answered.put("grade-output", "test_00.mp4/transcript.srt", "not a subtitle")
    answered.target.s3.delete_object(Bucket="grade-output", Key="test_01.mp4/transcript.ttml")
    result = answered.look(5)
    assert (result.status, result.points) == ("partial", 5)
    assert "test_00.mp4: transcript.srt does not parse: ValueError" in result.lines
    assert "test_01.mp4: transcript.ttml is missing" in result.lines


@pytest.mark.parametrize(
    ("format_", "text", "trouble"),
    [
        ("srt", SRT + "\n2\n00:00:01,400 --> 00:00:02,000\nyou\n", "transcript.srt: cue 2 overlaps the one before"),
        ("vtt", VTT.replace("01.500", "00.500"), "transcript.vtt: cue 1 ends before it begins"),
        ("vtt", "hello", "transcript.vtt does not parse: MalformedFileError"),
        ("ttml", "<tt/>", "transcript.ttml does not parse: ValueError"),
        ("ttml", "<!DOCTYPE a><tt/>", "transcript.ttml does not parse: ValueError"),
        ("ttml", TTML.replace("00:00:01.500", "soon"), "transcript.ttml does not parse: ValueError"),
        ("ttml", TTML[:-3], "transcript.ttml does not parse: ParseError"),
        ("srt", "", "the formats differ in their cues: srt 0, vtt 1, ttml 1"),
        ("srt", SRT, ""),
    ],
)  # fmt: skip
def test_subtitles_are_validated(format_: str, text: str, trouble: str) -> None:
    bodies: dict[str, bytes | None] = {"srt": SRT.encode(), "vtt": VTT.encode(), "ttml": TTML.encode()}
    assert subtitles_problem(bodies | {format_: text.encode()}, speech=True) == trouble


def test_speech_without_cues_is_not_a_valid_subtitle_file() -> None:
    empty: dict[str, bytes | None] = {
        "srt": b"\n",
        "vtt": b"WEBVTT\n",
        "ttml": b'<tt xmlns="http://www.w3.org/ns/ttml"/>',
    }
    assert subtitles_problem(empty, speech=True) == "something is said, but there are no cues"
    assert subtitles_problem(empty, speech=False) == ""


def test_right_people_and_words_pass(answered: Deployment, truth: Callable[..., TruthTable]) -> None:
    table = truth("test_00.mp4|Ada Lovelace|Hello, there!", "test_01.mp4|Grace Hopper|", "test_02.mp4||hello there")
    result = answered.look(6, truth=table)
    assert (result.status, result.points) == ("passed", 20), result.lines
    assert result.lines == (
        "people of 2 media files: precision 1.00, recall 1.00",
        "words of 2 media files: word error rate 0.00, the limit is 0.60",
    )


def test_a_named_stranger_is_worse_than_a_missed_person(answered: Deployment, truth: Callable[..., TruthTable]) -> None:
    two = (person(1, "Ada Lovelace"), person(2, "Mallory", 1.0))
    answered.publish("test_00.mp4", people=two)
    answered.publish("test_01.mp4", people=(person(1, "Grace Hopper"), person(2, "Person 2", identity="unknown")))
    table = truth("test_01.mp4|Grace Hopper; Ada Lovelace|", "test_00.mp4|Ada Lovelace|", "test_02.mp4|Ada Lovelace|")
    result = answered.look(6, truth=table)
    assert (result.status, result.points) == ("partial", 10)  # (0.5 + 0 + 1) / 3 of 20
    assert result.lines == (
        "people of 3 media files: precision 0.75, recall 0.75",
        "test_00.mp4: a stranger was given the name Mallory",
        "test_01.mp4: Ada Lovelace was not recognised",
    )


def test_an_empty_screen_can_be_right(answered: Deployment, truth: Callable[..., TruthTable]) -> None:
    answered.publish("test_00.mp4", people=(person(1, "Person 1", identity="unknown"),))
    assert answered.look(6, truth=truth("test_00.mp4|-|")).status == "passed"
    assert answered.look(6, truth=truth("test_01.mp4|-|")).status == "failed"


def test_too_many_word_errors_cost_in_proportion(answered: Deployment, truth: Callable[..., TruthTable]) -> None:
    answered.publish("test_00.mp4", words="bin glue")
    table = truth("test_00.mp4||bin blue at f two")  # one of five is right
    result = answered.look(6, truth=table)
    assert (result.status, result.points) == ("partial", 10)
    assert result.lines[1] == 'test_00.mp4: 0.80, said "bin blue at f two", heard "bin glue"'
    assert answered.look(6, truth=table, max_wer=0.8).status == "passed"
    assert answered.look(6, truth=table, max_wer=0.0).points == pytest.approx(4)


def test_a_file_without_a_result_has_neither_people_nor_words(
    full: Deployment, truth: Callable[..., TruthTable]
) -> None:
    full.upload()
    result = full.look(6, truth=truth("test_00.mp4|Ada Lovelace|hello", "test_01.mp4|-|"))
    assert (result.status, result.points) == ("failed", 0)


def test_missing_ground_truth_is_an_error(answered: Deployment, truth: Callable[..., TruthTable]) -> None:
    assert answered.look(6).status == "error"
    assert answered.look(6, truth=truth("other.mp4|Ada|")).status == "error"
    assert answered.look(6, truth=truth("test_00.mp4||")).status == "error"


def test_the_timeline_shows_everything_once_and_in_order(full: Deployment) -> None:
    full.upload()
    good = sample(full.target, "test_00.mp4")
    late = TimelineEntry(start_s=9.0, end_s=9.5, kind="speech", ref="speech-1", label="hello there")
    assert timeline_problem(good) == ""
    for trouble, change in (
        ("the timeline is not in order of time", {"timeline": good.timeline[::-1]}),
        ("speech-1 is at 9-9.5 s of 2.0 s", {"timeline": (good.timeline[0], late)}),
        ("the timeline does not agree about speech-1", {"timeline": good.timeline[:1]}),
        ("the timeline does not agree about speech-1", {"timeline": (*good.timeline, good.timeline[-1])}),
        ("the timeline does not agree about person-1", {"people": (person(1, "Mallory"),)}),
    ):
        assert timeline_problem(good.model_copy(update=change)) == trouble
