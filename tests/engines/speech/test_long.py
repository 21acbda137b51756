"""Long sound (an hour at scale) goes through both stages, in chunks: no word is lost, doubled or moved.

Every "word" is a chord of four tones out of forty, one per decimal digit, so a small engine that analyses the signal
distinguishes ten thousand of them with certainty, and what should be heard is known exactly.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from castline import keys
from castline.engines.base import EngineInfo, Speech, Transcription
from castline.events import object_created
from castline.media.chunks import SAMPLE_RATE
from castline.records import AudioUnit, Manifest, Result, Segment, Word
from castline.runs.common import read_result
from castline.settings import Settings
from castline.stages import analyse_event, split_event
from castline.storage import MemoryStore
from tests.conftest import at_scale

pytestmark = pytest.mark.slow

_LENGTH_S = float(at_scale(1200, 3600))
_MEDIA = "long/hour"
#: Hz of digit d (second index) at decimal place p (first).
_TONES = np.array([[400 + 960 * place + 80 * digit for digit in range(10)] for place in range(4)])
_HOP, _WINDOW = 160, 480
_MIN_HOPS = 5  # a shorter run is the blur between two chords
_MUMBLE = "mumble"

Said = list[tuple[float, float, str]]
"""Start, end (seconds) and text of every word."""


class Chords:
    """Hears the number in every chord. A word cut by the chunk's edge is misheard, as human words are.

    Args:
        off_s: word times are wrong by up to this, seconds.
        words: whether words have times, or segments only.
    """

    info = EngineInfo(id="chords", role="transcriber", title="Chords", licence="none", languages=("*",))

    def __init__(self, off_s: float = 0.0, words: bool = True) -> None:
        time = np.arange(_WINDOW)[:, None] / SAMPLE_RATE
        waves = np.exp(-2j * np.pi * _TONES.ravel() * time) * np.hanning(_WINDOW)[:, None]
        self._waves = np.concatenate([waves.real, waves.imag], axis=1).astype(np.float32)
        self._off = random.Random(1)
        self._off_s = off_s
        self._has_words = words

    def transcribe(self, speech: Speech) -> Transcription:
        words = self._words(speech.samples)
        groups = [words[at : at + 10] for at in range(0, len(words), 10)]
        return Transcription(None, tuple(self._segment(group) for group in groups))

    def _segment(self, words: Sequence[Word]) -> Segment:
        text = " ".join(word.text for word in words)
        times = tuple(words) if self._has_words else ()
        return Segment(start_s=words[0].start_s, end_s=words[-1].end_s, text=text, words=times)

    def _words(self, samples: NDArray[np.float32]) -> list[Word]:
        # Silence at both ends, so that a window of three hops is centred on every hop.
        hops = np.pad(samples, (_HOP, _HOP + -len(samples) % _HOP)).reshape(-1, _HOP)
        parts = sum(hops[at : len(hops) - 2 + at] @ self._waves[at * _HOP :][:_HOP] for at in range(3))
        power = (parts[:, :40] ** 2 + parts[:, 40:] ** 2).reshape(-1, *_TONES.shape)
        number = power.argmax(axis=2) @ [1, 10, 100, 1000]
        number[power.max(axis=2).min(axis=1) < 30] = -1
        changes = np.flatnonzero(np.diff(number)) + 1
        last = len(samples) / SAMPLE_RATE
        words = []
        for start, end in zip([0, *changes], [*changes, len(number)], strict=True):
            if number[start] < 0 or end - start < _MIN_HOPS:
                continue
            begin, until = start * _HOP / SAMPLE_RATE, min(last, end * _HOP / SAMPLE_RATE)
            text = f"n{number[start]}" if begin > 0.02 and until < last - 0.02 else _MUMBLE
            off = self._off.uniform(-self._off_s, self._off_s)
            words.append(Word(start_s=max(0.0, begin + off), end_s=until + off, text=text))
        return words


def _compose(words: Callable[[random.Random], tuple[int, float, float]], seed: int) -> tuple[NDArray[np.float32], Said]:
    """Long sound made of chords.

    Args:
        words: gives the next word's number, its length and the pause after it (seconds).
    """
    chance = random.Random(seed)
    samples = np.zeros(int((_LENGTH_S + 2) * SAMPLE_RATE), np.float32)
    time = np.arange(SAMPLE_RATE, dtype=np.float32) / SAMPLE_RATE
    waves = np.sin(2 * np.pi * _TONES[..., None].astype(np.float32) * time) * np.float32(0.12)
    said: Said = []
    at = 0.7
    while at < _LENGTH_S:
        number, length, pause = words(chance)
        digits = [number // 10**place % 10 for place in range(4)]
        first, count = round(at * SAMPLE_RATE), round(length * SAMPLE_RATE)
        samples[first : first + count] = sum(waves[place, digit, :count] for place, digit in enumerate(digits))
        said.append((at, at + length, f"n{number}"))
        at += length + pause
    return samples, said


class _Counting:
    """1, 2, 3 … with ``pause`` after each word."""

    def __init__(self, length_s: tuple[float, float], pause: Callable[[random.Random], float]) -> None:
        self._number = 0
        self._length_s = length_s
        self._pause = pause

    def __call__(self, chance: random.Random) -> tuple[int, float, float]:
        self._number += 1
        return self._number, chance.uniform(*self._length_s), self._pause(chance)


class _Stammering:
    """Three words, each said one to nine times before the next."""

    def __init__(self) -> None:
        self._word, self._left = 0, 0

    def __call__(self, chance: random.Random) -> tuple[int, float, float]:
        if not self._left:
            self._word, self._left = (self._word + 1) % 3, chance.randint(1, 9)
        self._left -= 1
        return (1111, 2222, 3333)[self._word], chance.uniform(0.2, 0.35), chance.uniform(0.06, 0.15)


def _talk(chance: random.Random) -> float:
    """A breathing pause after about every tenth word."""
    return chance.uniform(0.3, 1.2) if chance.random() < 0.1 else chance.uniform(0.0, 0.12)


@dataclass(frozen=True, slots=True)
class Hour:
    """A film's sound as a compressed file, and what is said in it."""

    path: Path
    said: Said


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Callable[[str], Hour]:
    """``hour("talk")``: with pauses; ``unbroken``: without any; ``stammer``: short ones, words repeated."""
    folder = tmp_path_factory.mktemp("hours")
    made: dict[str, Hour] = {}
    mp3, aac = ("mp3", "-compression_level", "9"), ("m4a", "-aac_coder", "fast")  # encodes fast
    kinds: dict[str, tuple[Callable[[random.Random], tuple[int, float, float]], tuple[str, ...]]] = {
        "talk": (_Counting((0.25, 0.5), _talk), aac),
        "unbroken": (_Counting((0.37, 0.5), lambda _: 0.0), mp3),
        "stammer": (_Stammering(), mp3),
    }

    def build(kind: str) -> Hour:
        if kind not in made:
            words, (suffix, *encoder) = kinds[kind]
            samples, said = _compose(words, seed=len(kind))
            wave = folder / "hour.wav"
            soundfile.write(wave, samples, SAMPLE_RATE, subtype="PCM_16")
            made[kind] = Hour(folder / f"{kind}.{suffix}", said)
            ffmpeg("-i", wave, *encoder, "-b:a", "48k", made[kind].path)
        return made[kind]

    return build


def _process(path: Path, engine: Chords) -> tuple[Manifest, Result]:
    """Both stages with default settings; the chunks are analysed in random order."""
    store = MemoryStore()
    settings = Settings(ffmpeg=imageio_ffmpeg.get_ffmpeg_exe())
    key = _MEDIA + path.suffix
    store.put(settings.input_bucket, key, path)
    (run,) = split_event(object_created(settings.input_bucket, key), store, settings)["runs"]
    body = store.get(settings.stage1_bucket, keys.manifest_key(key, run))
    assert body
    manifest = Manifest.from_json(body)
    units = [keys.UnitId(key, run, "audio", unit.index) for unit in manifest.units]
    random.Random(1).shuffle(units)
    for unit in units:
        analyse_event(
            object_created(settings.stage1_bucket, unit.stage1_key),
            store,
            settings,
            SimpleNamespace(transcriber=engine),  # type: ignore[arg-type]
        )
    result = read_result(key, store, settings)
    assert result
    return manifest, result


@pytest.mark.parametrize(
    ("kind", "hard", "off_s"), [("talk", False, 0.0), ("unbroken", True, 0.0), ("stammer", True, 0.05)]
)
def test_long_sound_loses_doubles_and_moves_no_word(
    kind: str, hard: bool, off_s: float, hour: Callable[[str], Hour]
) -> None:
    made = hour(kind)
    manifest, result = _process(made.path, Chords(off_s))
    assert (result.status, result.warnings) == ("complete", ())
    chunks = [unit for unit in manifest.units if isinstance(unit, AudioUnit)]
    assert len(chunks) > _LENGTH_S / 72
    assert [chunk.hard_cut for chunk in chunks] == [hard] * (len(chunks) - 1) + [False]
    heard = [word for segment in result.transcript.segments for word in segment.words]
    assert [word.text for word in heard] == [text for _, _, text in made.said]
    apart = [
        max(abs(word.start_s - start), abs(word.end_s - end))
        for word, (start, end, _) in zip(heard, made.said, strict=True)
    ]
    assert max(apart) <= 0.03 + off_s
    assert math.isclose(result.duration_s or 0, _LENGTH_S + 2, abs_tol=0.1)


def test_an_engine_without_word_times_loses_and_doubles_no_word_either(hour: Callable[[str], Hour]) -> None:
    made = hour("unbroken")
    _, result = _process(made.path, Chords(words=False))
    segments = result.transcript.segments
    assert not any(segment.words for segment in segments)
    assert " ".join(segment.text for segment in segments).split() == [text for _, _, text in made.said]
    starts = {text: start for start, _, text in made.said}
    # Where a segment was divided, its times are estimates.
    assert max(abs(segment.start_s - starts[segment.text.split()[0]]) for segment in segments) <= 0.4
