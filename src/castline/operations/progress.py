"""The progress of a media file, derived from the buckets alone: the same on a laptop and on AWS."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from castline import keys
from castline.cost import work
from castline.errors import UnreadableObject
from castline.records import Options, Result, Source
from castline.runs.sets import current_run, finished, written_parts
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.objects import read_object

State = Literal["waiting", "splitting", "analysing", "complete", "partial", "failed"]
FINISHED: frozenset[State] = frozenset({"complete", "partial", "failed"})


@dataclass(frozen=True, slots=True)
class MediaProgress:
    """Attributes:
    frames, audio: (parts written, units made so far). ``splitting`` means more units may come.
    result: set once the run has ended.
    problem: why it ended without a readable result; mostly empty.
    expected: how many units of frames and of audio there will be, if known.
    work: relative work of splitting, of a unit of frames, and of a unit of audio (``cost.work``).
    """

    media: str
    state: State
    frames: tuple[int, int] = (0, 0)
    audio: tuple[int, int] = (0, 0)
    result: Result | None = None
    problem: str = ""
    expected: tuple[int, int] | None = None
    work: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def fraction(self) -> float | None:
        """The share of the work that is done, 0 to 1, weighted by how long each piece takes; None while unknown."""
        if self.finished:
            return 1.0
        if not self.expected:
            return None
        split, *units = self.work
        made = min(1.0, (self.frames[1] + self.audio[1]) / max(sum(self.expected), 1))
        done = split * made + self.frames[0] * units[0] + self.audio[0] * units[1]
        return min(1.0, done / (split + self.expected[0] * units[0] + self.expected[1] * units[1]))

    @property
    def finished(self) -> bool:
        return self.state in FINISHED or bool(self.problem)

    @property
    def done(self) -> int:
        return self.frames[0] + self.audio[0]

    @property
    def units(self) -> int:
        return self.frames[1] + self.audio[1]


class Lookout:
    """Follows many media without querying each of them every time.

    Media are processed roughly in order, so only the first few unfinished ones are queried; finished ones stay
    finished. A query costs about five requests.

    Args:
        sources: the uploads, in their order.
        durations: seconds by key, if known before the splitter reports them.
    """

    _ASKED = 16

    def __init__(
        self,
        sources: Sequence[Source],
        store: ObjectStore,
        settings: Settings,
        durations: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self._sources = sources
        self._durations = durations
        self._store = store
        self._settings = settings
        self._seen = {source.key: MediaProgress(source.key, "waiting") for source in sources}

    def __call__(self) -> list[MediaProgress]:
        unfinished = [source for source in self._sources if not self._seen[source.key].finished]
        for source in unfinished[: self._ASKED]:
            length = self._durations.get(source.key, 0.0)
            self._seen[source.key] = progress_of(source, self._store, self._settings, length)
        return list(self._seen.values())


def progress_of(source: Source, store: ObjectStore, settings: Settings, duration_s: float = 0.0) -> MediaProgress:
    """The state of the current upload of one media file.

    Args:
        duration_s: its length, if known before the splitter reports it.
    """
    media = source.key
    result = finished(source, store, settings)
    if result:
        return MediaProgress(media, result.status, *_counts(result), result=result)
    run, manifest = current_run(source, store, settings)
    if manifest:
        kinds = [unit.kind for unit in manifest.units]
    else:  # still being split: the units made so far
        found = (keys.parse_unit(item.key) for item in store.find(settings.stage1_bucket, f"{media}/{run}/"))
        kinds = [unit.kind for unit in found if unit]
    made = {"frames": kinds.count("frames"), "audio": kinds.count("audio")}
    written = written_parts(media, run, store, settings)
    ended = [unit.kind for units in written for unit in units.values()]
    done = {"frames": ended.count("frames"), "audio": ended.count("audio")}
    state: State = "analysing" if manifest else "splitting" if made["frames"] or made["audio"] else "waiting"
    counts = (done["frames"], made["frames"]), (done["audio"], made["audio"])
    problem = ""
    if manifest and done == made:
        try:
            read_object(Result, store, settings.output_bucket, keys.result_key(media))
        except UnreadableObject as error:
            problem = f"{error.message}; castline reconcile makes it again"
    expected = (made["frames"], made["audio"]) if manifest else _expected(duration_s, settings.options())
    options = manifest.options if manifest else settings.options()
    duration_s = duration_s or (manifest.probe.duration_s or 0.0 if manifest and manifest.probe else 0.0)
    return MediaProgress(media, state, *counts, problem=problem, expected=expected, work=work(duration_s, options))


def _counts(result: Result) -> tuple[tuple[int, int], tuple[int, int]]:
    """Frames and audio units of an ended run: analysed, and made."""
    done = {timing.stage: timing.invocations for timing in result.processing.timings}
    lost = Counter(failure.unit.partition("-")[0] for failure in result.failures)
    frames, audio = done.get("faces", 0), done.get("speech", 0)
    return (frames, frames + lost["frames"]), (audio, audio + lost["audio"])


def _expected(duration_s: float, options: Options) -> tuple[int, int] | None:
    if not duration_s:
        return None
    frames = math.ceil(duration_s / options.interval_s / options.frames_per_unit)
    return frames, math.ceil(duration_s / options.chunk_s)
