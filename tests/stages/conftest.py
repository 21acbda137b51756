"""A pipeline in memory with scripted engines: tests decide who is in a frame and what is said."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from castline import keys
from castline.engines.base import DetectedFace, EngineInfo, Image, Speech, Transcription
from castline.events import object_created
from castline.media.chunks import SAMPLE_RATE
from castline.media.pictures import encode_jpeg
from castline.records import (
    AudioUnit,
    Frame,
    FramesUnit,
    Manifest,
    ObjectInfo,
    Result,
    Segment,
    Usage,
)
from castline.runs.common import read_result
from castline.runs.request import Request, read_request, read_source
from castline.settings import Settings
from castline.stages import analyse_event
from castline.storage import MemoryStore

MODEL = "dlib-resnet-v1"


class FakeDetector:
    """Finds one face, in the middle, in every picture that is not black."""

    info = EngineInfo(id="fake-detector", role="detector", title="Fake", licence="MIT")

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None

    def detect(self, images: Sequence[Image]) -> list[list[DetectedFace]]:
        self.calls += 1
        if self.error:
            raise self.error
        return [[self._face(image)] if image.mean() > 16 else [] for image in images]

    def _face(self, image: Image) -> DetectedFace:
        height, width = image.shape[:2]
        box = np.array([width / 4, height / 4, 3 * width / 4, 3 * height / 4], np.float32)
        points = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.42, 0.6], [0.58, 0.6]], np.float32)
        return DetectedFace(box, points * np.float32([width, height]), 0.999)


class FakeEmbedder:
    """Tells people apart by the colour of the picture: mostly red, green or blue."""

    info = EngineInfo(id=MODEL, role="embedder", title="Fake", licence="MIT", dimension=128)

    def embed(self, image: Image, faces: Sequence[DetectedFace]) -> NDArray[np.float32]:
        vectors = np.zeros((len(faces), 128), np.float32)
        vectors[:, int(np.argmax(image.mean(axis=(0, 1))))] = 1
        return vectors


class FakeTranscriber:
    """Says the script, whatever it hears."""

    info = EngineInfo(id="fake-speech", role="transcriber", title="Fake", licence="MIT")

    def __init__(self) -> None:
        self.calls = 0
        self.error: Exception | None = None
        self.script: tuple[Segment, ...] = (Segment(start_s=0.1, end_s=0.4, text="hello"),)

    def transcribe(self, speech: Speech) -> Transcription:
        self.calls += 1
        if self.error:
            raise self.error
        return Transcription("en", self.script)


@dataclass
class FakeEngines:
    detector: FakeDetector = field(default_factory=FakeDetector)
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    transcriber: FakeTranscriber = field(default_factory=FakeTranscriber)


_COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200), "black": (0, 0, 0)}


class World:
    """The buckets, and short ways to fill them."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.settings = Settings(ffmpeg=imageio_ffmpeg.get_ffmpeg_exe(), ffmpeg_timeout_s=60, detector="fake")
        self.engines = FakeEngines()

    def picture(self, colour: str, size: int = 96) -> bytes:
        """A chequered picture: a face without detail would be useless, and 8 px squares would look like JPEG blocks."""
        rows, columns = np.indices((size, size)) // (size * 3 // 32)
        shade = np.where((rows + columns) % 2, 1.0, 0.5)[..., np.newaxis]
        return encode_jpeg((shade * _COLOURS[colour]).astype(np.uint8))

    def zip_of(self, **colours: str) -> bytes:
        """``zip_of(t0="red", t1000="green")``"""
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            for name, colour in colours.items():
                archive.writestr(f"{int(name.removeprefix('t')):09d}.jpg", self.picture(colour))
        return body.getvalue()

    def flac(self, seconds: float = 1.0) -> bytes:
        body = io.BytesIO()
        soundfile.write(body, np.zeros(int(seconds * SAMPLE_RATE), np.int16), SAMPLE_RATE, format="FLAC")
        return body.getvalue()

    def upload(self, key: str, body: bytes = b"media") -> ObjectInfo:
        self.store.put(self.settings.input_bucket, key, body)
        info = self.store.head(self.settings.input_bucket, key)
        assert info
        return info

    def run(self, key: str) -> str:
        """The run id of the current upload under the key."""
        return self.request(key).run

    def request(self, key: str) -> Request:
        source = read_source(self.settings.input_bucket, key, self.store)
        assert source
        return read_request(source, self.store, self.settings)

    def split(self, key: str = "talk.mp4", colours: Sequence[str] = ("red",), chunks: int = 1) -> list[keys.UnitId]:
        """What the splitter would write: one frames unit per colour (two frames each), and audio chunks."""
        self.upload(key)
        request = self.request(key)
        run = request.run
        self.store.put(self.settings.stage1_bucket, keys.options_key(key, run), request.options.to_json())
        made: list[FramesUnit | AudioUnit] = []
        units = []
        for at, colour in enumerate(colours):
            times = (at * 2000, at * 2000 + 1000)
            unit = keys.UnitId(key, run, "frames", at)
            self.store.put(
                self.settings.stage1_bucket, unit.stage1_key, self.zip_of(**{f"t{time}": colour for time in times})
            )
            made.append(FramesUnit(index=at, frames=tuple(Frame(time_ms=time, until_ms=time) for time in times)))
            units.append(unit)
        for at in range(chunks):
            unit = keys.UnitId(key, run, "audio", at)
            self.store.put(self.settings.stage1_bucket, unit.stage1_key, self.flac())
            made.append(AudioUnit(index=at, start_s=float(at), end_s=at + 1.0))
            units.append(unit)
        manifest = Manifest(
            run=run,
            source=request.source,
            options=request.options,
            probe=None,
            duration_s=2.0 * len(colours),
            sample_times_ms=tuple(at * 1000 for at in range(2 * len(colours))),
            units=tuple(made),
            usage=Usage(stage="split", seconds=1, memory_mb=1024),
        )
        self.store.put(self.settings.stage1_bucket, keys.manifest_key(key, run), manifest.to_json())
        return units

    def event(self, item: keys.UnitId | str) -> dict[str, Any]:
        key = item if isinstance(item, str) else item.stage1_key
        return object_created(self.settings.stage1_bucket, key)

    def analyse(self, *items: keys.UnitId | str) -> list[dict[str, Any]]:
        return [analyse_event(self.event(item), self.store, self.settings, self.engines) for item in items]

    def result(self, key: str = "talk.mp4") -> Result | None:
        return read_result(key, self.store, self.settings)

    def written(self, bucket: str) -> list[str]:
        """Keys in the order in which they were written."""
        return [key for name, key in self.store.writes if name == bucket]

    def keys_in(self, bucket: str, prefix: str = "") -> list[str]:
        return [info.key for info in self.store.find(bucket, prefix)]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def failure_envelope() -> Callable[..., dict[str, Any]]:
    """What Lambda sends to an on-failure destination."""

    def build(event: dict[str, Any], function: str = "face-recognition") -> dict[str, Any]:
        return {
            "requestContext": {"functionArn": f"arn:aws:lambda:us-east-1:1:function:{function}:$LATEST"},
            "requestPayload": event,
            "responsePayload": {"errorType": "Runtime.ExitError", "errorMessage": "signal: killed"},
        }

    return build
