"""Sample results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from castline.cues import cues_of
from castline.records import (
    AudioStream,
    Candidate,
    Cost,
    CostItem,
    Notice,
    Options,
    Person,
    Probe,
    Processing,
    Range,
    Result,
    Sighting,
    Source,
    SpokenSegment,
    StageTiming,
    Track,
    Transcript,
    VideoStream,
    Word,
)


class Make:
    """Builds records; everything that a test does not set is filled in."""

    def words(self, text: str, start: float, end: float) -> tuple[Word, ...]:
        """Words of equal duration."""
        parts = text.split()
        step = (end - start) / len(parts)
        return tuple(
            Word(start_s=start + i * step, end_s=start + (i + 1) * step, text=part) for i, part in enumerate(parts)
        )

    def segment(
        self, number: int, text: str, start: float, end: float, *, timed: bool = False, **fields: Any
    ) -> SpokenSegment:
        words = self.words(text, start, end) if timed else fields.pop("words", ())
        return SpokenSegment(id=f"speech-{number}", start_s=start, end_s=end, text=text, words=words, **fields)

    def transcript(self, segments: Sequence[SpokenSegment]) -> Transcript:
        text = " ".join(segment.text for segment in segments)
        return Transcript(
            engine="sample 1", language="en", text=text, segments=tuple(segments), cues=cues_of(segments, "en")
        )

    def person(
        self, number: int, name: str, *ranges: tuple[float, float], identity: str = "known", **fields: Any
    ) -> Person:
        """A person whose face drifts slowly, sighted every second."""
        left = 0.08 + 0.22 * ((number - 1) % 4)
        tracks = tuple(
            Track(
                id=f"track-{number}-{i}",
                start_s=start,
                end_s=end,
                sightings=tuple(
                    Sighting(
                        time_s=t,
                        box=(left + t % 8 / 100, 0.2, left + t % 8 / 100 + 0.16, 0.6),
                        score=0.99,
                    )
                    for t in (start + k for k in range(int(end - start) + 1))
                ),
            )
            for i, (start, end) in enumerate(ranges)
        )
        if identity == "ambiguous":
            fields.setdefault("candidates", (Candidate(name=name, similarity=0.52),))
        return Person(
            id=f"person-{number}",
            name=name if identity == "known" else f"Person {number}",
            identity=identity,  # type: ignore[arg-type]
            confidence=fields.pop("confidence", {"known": 0.83, "ambiguous": 0.52, "unknown": 0.91}[identity]),
            on_screen_s=sum(end - start for start, end in ranges),
            ranges=tuple(Range(start_s=start, end_s=end) for start, end in ranges),
            tracks=tracks,
            **fields,
        )

    def notice(self, message: str) -> Notice:
        return Notice(code="damaged_input", message=message)

    def result(self, *, segments: Sequence[SpokenSegment] = (), people: Sequence[Person] = (), **fields: Any) -> Result:
        values: dict[str, Any] = {
            "media": "week1/interview.mp4",
            "run": "0123456789abcdef",
            "status": "complete",
            "error": None,
            "failures": (),
            "warnings": (),
            "source": Source(
                bucket="castline-input",
                key="week1/interview.mp4",
                etag="9a0364b9e99bb480dd25e1f0284c8555",
                version=None,
                size=1_234_567,
            ),
            "options": Options(),
            "sampling": "interval",
            "probe": Probe(
                container="mov,mp4",
                duration_s=60.0,
                video=VideoStream(codec="h264", width=640, height=360, fps=25.0),
                audio=AudioStream(codec="aac", sample_rate=48000, channels=2),
            ),
            "duration_s": 60.0,
            "engines": {"detector": "mtcnn", "embedder": "dlib-resnet-v1", "transcriber": "faster-whisper:tiny.en"},
            "gallery": "g1",
            "people": tuple(people),
            "transcript": self.transcript(segments),
            "timeline": (),
            "processing": Processing(
                timings=(
                    StageTiming(stage="split", invocations=1, seconds=1.42, steps={"decode": 1.1, "upload": 0.2}),
                    StageTiming(stage="faces", invocations=2, seconds=8.31, steps={"detect": 5.9, "embed": 1.7}),
                    StageTiming(stage="speech", invocations=1, seconds=12.6, steps={"transcribe": 12.0}),
                ),
                cost=Cost(
                    usd=0.000421,
                    items=(
                        CostItem(what="Lambda compute", quantity=22.3, unit="GB-s", usd=0.000372),
                        CostItem(what="S3 requests", quantity=14, unit="PUT", usd=0.000049),
                    ),
                    prices_as_of="2026-01-15",
                ),
            ),
        }
        return Result(**{**values, **fields})


@pytest.fixture(scope="session")
def make() -> Make:
    return Make()
