"""Decides whether a recording is cut into ranges, and requests them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aws_lambda_powertools import Logger

from castline import keys
from castline.cost import Sizes, cost_of, estimate
from castline.cost.model import decode_seconds
from castline.errors import MediaTooLarge
from castline.media import probe, sampling
from castline.media.decode import Part
from castline.media.ffmpeg import Limits
from castline.media.missing import is_even
from castline.media.mp4 import Index, NotIndexed, read_index
from castline.media.packets import packets
from castline.media.ranges import Pictures, bytes_of, bytes_of_track, cut, opening
from castline.media.sampling import Grid
from castline.media.split import check_length, grid_of
from castline.records import PlannedRange, Probe, RangeBytes, RangePlan, Source
from castline.runs.common import Stopwatch, check_upload, download, fetch
from castline.runs.ranges import ended, read_done, read_plan
from castline.runs.request import Request
from castline.settings import Settings
from castline.stages.announce import Announce
from castline.storage.base import ObjectStore

logger = Logger(child=True)

_SMALL_BYTES = 1_000_000  # not worth reading the index first
_FULL_HD = 1920 * 1080
_LEAST_WEIGHT, _MOST_WEIGHT = 0.25, 16.0  # of a second: with few pixels, other costs dominate
_MOST_RANGES = 240
_REQUESTS = 16  # written at once: S3 takes 100 to 200 ms for each


class Cutting:
    """The current upload of a media file, with as little of it fetched as its container allows.

    Attributes:
        path: the file; with holes where there is an ``index``.
        index: where its samples are; None means that the whole file was fetched.
        probed: what the container says.
        whole_because: why it is decoded in one piece; empty if it is cut, or short.
    """

    def __init__(self, request: Request, path: Path, store: ObjectStore, settings: Settings, limits: Limits) -> None:
        self.request, self.path, self.limits = request, path, limits
        self._store, self._settings = store, settings
        self.index: Index | None = None
        self.probed: Probe
        self.whole_because = ""

    def open(self, watch: Stopwatch) -> bool:
        """Fetch and probe it; False if the upload is gone or was replaced.

        Raises:
            CastlineError: as ``download`` and ``probe``.
        """
        source = self.request.source
        with watch.step("download"):
            self.index = self._index(source)
            if self.index is None:
                there = download(source, self.path, self._store, self._settings)
            else:
                there = fetch(source, self._first_bytes(self.index), self.path, self._store)
        if there:
            with watch.step("probe"):
                self.probed = probe(self.path, self.limits, self.request.options)
        return there

    def whole(self, watch: Stopwatch) -> bool:
        """Fetch what is still missing; False if the upload is gone or was replaced."""
        if self.index is None:
            return True
        with watch.step("download"):
            return download(self.request.source, self.path, self._store, self._settings)

    def _index(self, source: Source) -> Index | None:
        if source.size < _SMALL_BYTES or not self._settings.cut_above_s:
            return None

        def read(offset: int, length: int) -> bytes:
            body = self._store.read(source.bucket, source, offset, length)
            if body is None or len(body) < min(length, source.size - offset):
                raise NotIndexed("it was replaced meanwhile")
            return body

        try:
            index = read_index(read, source.size)
        except NotIndexed as reason:
            logger.info("read as a whole", reason=str(reason))
            return None
        films = [track for track in index.tracks if track.kind == "vide" and len(track.start_s) > 1]
        longest_s = max((float(track.start_s.max() - track.start_s.min()) for track in films), default=0.0)
        return index if longest_s * _MOST_WEIGHT > self._settings.cut_above_s else None

    def _first_bytes(self, index: Index) -> list[tuple[int, int]]:
        """The pieces that probing reads: all sound tracks if there are several, because a silent one is passed over."""
        sounds = [number for number, track in enumerate(index.tracks) if track.kind == "soun"]
        return bytes_of_track(index, *sounds) if len(sounds) > 1 else opening(index)

    def plan(self, before: RangePlan | None, watch: Stopwatch) -> tuple[RangePlan, list[RangeBytes]] | None:
        """How a recording is cut; None if it is decoded as a whole.

        Args:
            before: how it was cut at an earlier attempt.

        Raises:
            MediaTooLarge: longer or larger than allowed.
        """
        check_length(self.probed, self._settings.max_duration_s)
        if before is None and not self._is_long():
            return None
        with watch.step("plan"):
            pictures = self._pictures()
            if pictures is None or not pictures.in_order:
                self.whole_because = "its times are missing, go back or are not what its index says"
                return None
            options = self.request.options
            grid, _ = grid_of(self.probed, options, self.limits)
            mode = sampling.decide(options.sampling, grid.interval_s, pictures.extent)
            length_s = float((pictures.start_s + pictures.duration_s).max(initial=0.0))
            if before is None:
                wanted_s = max(grid.stretch_s, length_s / _MOST_RANGES)
                parts = cut(pictures, grid, mode == "keyframes", wanted_s)
                if len(parts) < 2 or length_s > self._settings.max_duration_s:
                    self.whole_because = "it has too few keyframes"
                    return None
                even = self.index is None and is_even(pictures.start_s)
                plan = self._planned(parts, grid, mode, length_s, even, watch)
            else:
                plan = before
            needed = [RangeBytes(spans=tuple(self._spans(planned, plan, grid))) for planned in plan.ranges]
        for one in needed:
            self._check_size(one)
        return plan, needed

    def check_ranges(self, plan: RangePlan, left_s: float) -> None:
        """Like ``check_time``, for its longest range.

        Raises:
            MediaTooLarge: it would be cut off.
        """
        length_s, video = self.probed.duration_s, self.probed.video
        longest_s = max((one.end_s - one.start_s for one in plan.ranges if one.kind == "frames"), default=0.0)
        if self._settings.off_lambda or not length_s or not video:
            return
        options = self.request.options.model_copy(update={"sampling": plan.sampling})
        megabits = self.request.source.size * 8 / 1e6 * longest_s / length_s
        needed_s = decode_seconds(longest_s, options, video, self._settings.memory_mb, megabits)
        if needed_s > left_s:
            raise MediaTooLarge(
                f"decoding {longest_s:.0f} s of {video.width}x{video.height}, the longest of its ranges, "
                f"would take about {needed_s:.0f} s, and a splitter has {left_s:.0f} s; raise SplitterMemory, or ask "
                'for keyframes alone ({"sampling": "keyframes"} in the sidecar)'
            )

    def check_cost(self) -> None:
        """Check what it would cost, as far as that is known before it is decoded.

        Raises:
            MediaTooLarge: more than ``max_cost_usd``.
        """
        most_usd, length_s, video = self._settings.max_cost_usd, self.probed.duration_s, self.probed.video
        if not most_usd or not length_s:
            return
        source, sizes = self.request.source, Sizes(orchestration=self._settings.orchestration)
        grid, per_unit = grid_of(self.probed, self.request.options, self.limits)
        options = self.request.options.model_copy(update={"interval_s": grid.interval_s, "frames_per_unit": per_unit})
        usages, units = estimate(length_s, options, video, audio=self.probed.audio is not None, sizes=sizes)
        usd = cost_of(usages, units, source.size, sizes).usd
        if usd > most_usd:
            raise MediaTooLarge(
                f"it would cost about {usd:.2g} USD, and {most_usd:g} are allowed (CASTLINE_MAX_COST_USD); "
                "fewer frames cost less (interval_s in the sidecar)"
            )

    def check_time(self, left_s: float) -> None:
        """Check that one invocation can decode an uncut recording. Off Lambda, that is not known beforehand.

        Args:
            left_s: seconds available for decoding.

        Raises:
            MediaTooLarge: it would be cut off.
        """
        length_s, video = self.probed.duration_s, self.probed.video
        if self._settings.off_lambda or not length_s or not video:
            return
        options, memory_mb = self.request.options, self._settings.memory_mb
        megabits = self.request.source.size * 8 / 1e6
        needed_s = decode_seconds(length_s, options, video, memory_mb, megabits)
        if needed_s > left_s and options.sampling == "auto":  # keyframes alone may do
            grid, _ = grid_of(self.probed, options, self.limits)
            found = Pictures.of_packets(packets(self.path, [video.index], self.limits))
            mode = sampling.decide("auto", grid.interval_s, found.extent) if found else "interval"
            options = options.model_copy(update={"sampling": mode})
            needed_s = decode_seconds(length_s, options, video, memory_mb, megabits)
        if needed_s > left_s:
            raise MediaTooLarge(
                f"decoding {length_s / 3600:.1f} h of {video.width}x{video.height} would take about {needed_s:.0f} s, "
                f"and a splitter has {left_s:.0f} s; it is not cut into ranges: {self.whole_because or 'it is short'}. "
                "Make an MP4 of it (ffmpeg -i IN -c copy OUT.mp4), ask for keyframes alone "
                '({"sampling": "keyframes"} in the sidecar), or raise SplitterMemory'
            )

    def _is_long(self) -> bool:
        """Whether decoding takes long, and the recording is of a kind that can be cut."""
        video, above_s = self.probed.video, self._settings.cut_above_s
        films = [each for each in self.probed.streams if each.kind == "video" and each.decodable and not each.cover]
        if not video:
            return False
        weight = min(max(video.width * video.height / _FULL_HD, _LEAST_WEIGHT), _MOST_WEIGHT)
        if above_s and (self.probed.duration_s or 0.0) * weight <= above_s:
            return False
        if not above_s:
            self.whole_because = "CutAboveSeconds is 0"
        elif len(films) != 1:
            self.whole_because = f"it has {len(films)} films"
        elif self.probed.joined:
            self.whole_because = "it was joined from several recordings"
        elif not ("mov" in self.probed.container or "matroska" in self.probed.container):
            self.whole_because = f"{self.probed.container} has no index"
        return not self.whole_because

    def _pictures(self) -> Pictures | None:
        video, audio = self.probed.video, self.probed.audio
        if video is None:
            return None
        found = packets(self.path, [video.index], self.limits)
        if self.index is None:
            return Pictures.of_packets(found)
        kinds = [track.kind for track in self.index.tracks]
        if len(kinds) <= max(video.index, audio.index if audio else 0) or kinds[video.index] != "vide":
            return None
        pictures = Pictures.of_track(self.index.tracks[video.index], self.probed.start_s)
        if (audio and kinds[audio.index] != "soun") or not pictures.agree(found):
            logger.info("the index is not read as ffmpeg reads it")
            return None
        return pictures

    def _planned(
        self, parts: Sequence[Part], grid: Grid, mode: sampling.Mode, length_s: float, even: bool, watch: Stopwatch
    ) -> RangePlan:
        ranges = [
            PlannedRange(
                kind="frames",
                begin=part.begin,
                end=part.end,
                seek_s=part.seek_s,
                start_s=round(part.begin * grid.interval_s, 3),
                end_s=round(length_s if part.end is None else part.end * grid.interval_s, 3),
            )
            for part in parts
        ]
        if self.probed.audio:  # first: it takes longest, and so does the analysis of speech
            ranges.insert(0, PlannedRange(kind="audio", end_s=self.probed.duration_s or round(length_s, 3)))
        return RangePlan(
            run=self.request.run,
            source=self.request.source,
            options=self.request.options,
            probe=self.probed,
            sampling=mode,
            ranges=tuple(ranges),
            even=even,
            usage=watch.usage(),
        )

    def _spans(self, planned: PlannedRange, plan: RangePlan, grid: Grid) -> list[tuple[int, int]]:
        video, audio = self.probed.video, self.probed.audio
        if self.index is None or video is None:
            return []
        if planned.kind == "audio":
            return bytes_of_track(self.index, audio.index) if audio else []
        return bytes_of(part_of(planned, plan), self.index, video.index, grid, self.probed.start_s)

    def _check_size(self, needed: RangeBytes) -> None:
        size = sum(end - begin for begin, end in needed.spans) if needed.spans else self.request.source.size
        check_upload(size, self._settings)


def part_of(planned: PlannedRange, plan: RangePlan) -> Part:
    """A range of pictures as the decoder needs it."""
    return Part(planned.begin, planned.end, plan.sampling == "keyframes", planned.seek_s)


def ask(
    plan: RangePlan, needed: Sequence[RangeBytes], store: ObjectStore, settings: Settings, announce: Announce
) -> tuple[str, ...]:
    """Request all ranges that have not ended, the first one first: the sound, which takes longest.

    Returns:
        Their keys.
    """
    media, run, bucket = plan.source.key, plan.run, settings.stage1_bucket
    store.put(bucket, keys.options_key(media, run), plan.options.to_json())
    new = read_plan(media, run, store, settings) is None
    if new:  # it is written once; ranges are numbered by it
        store.put(bucket, keys.plan_key(media, run), plan.to_json())

    def request(number: int) -> str | None:
        if not new and ended(read_done(plan, number, store, settings)):
            return None
        key = keys.range_key(media, run, number)
        store.put(bucket, key, needed[number].to_json())
        announce(key)
        return key

    with ThreadPoolExecutor(_REQUESTS) as pool:
        asked = [request(0), *pool.map(request, range(1, len(needed)))]
    return tuple(key for key in asked if key)
