"""Exports found moments for other programs: a table, and lists for editing software.

Times are counted in frames of one rate for the whole list, by default 25 a second: the hits may come from recordings of
several rates, but a list belongs to a project, which has one. A moment includes the frames in which it begins and ends.
Timecode counts from the recording's first frame, as results contain no other; it drops frames only at the ``df`` rates
(29.97 and 59.94), where it must follow the clock.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from castline import keys
from castline.archive.index import Index
from castline.archive.moments import Answer, Moment
from castline.archive.search import MAX_PAGE, search
from castline.display import cell, without_acting
from castline.errors import SearchError

#: Frames per second, and whether timecode drops frame numbers.
RATES: Mapping[str, tuple[float, bool]] = {
    "23.976": (24000 / 1001, False),
    "24": (24.0, False),
    "25": (25.0, False),
    "29.97": (30000 / 1001, False),
    "29.97df": (30000 / 1001, True),
    "30": (30.0, False),
    "50": (50.0, False),
    "59.94": (60000 / 1001, False),
    "59.94df": (60000 / 1001, True),
    "60": (60.0, False),
}
DEFAULT_RATE = "25"
_RECORD_S = 3600  # where the programme of an edit list begins, by convention
_COLUMNS = ("recording", "start", "end", "text", "people", "speaker", "language", "uploaded", "link")


@dataclass(frozen=True, slots=True)
class Export:
    """Attributes:
    most: how many moments the format can contain.
    write: writes an answer at a frame rate.
    """

    content_type: str
    most: int
    write: Callable[[Answer, str], bytes]


def gather(index: Index, query: str, limit: int, after: str | None = None) -> Answer:
    """Join several pages of hits into one.

    Raises:
        SearchError: as `search`.
    """
    answer = search(index, query, limit=min(limit, MAX_PAGE), after=after)
    hits = list(answer.hits)
    while answer.next is not None and len(hits) < limit:
        answer = search(index, query, limit=min(limit - len(hits), MAX_PAGE), after=answer.next)
        hits += answer.hits
    return answer.model_copy(update={"hits": tuple(hits)})


def export(index: Index, query: str, kind: str, rate: str = DEFAULT_RATE, limit: int | None = None) -> bytes:
    """The moments of a query in one of the formats of ``EXPORTS``.

    Args:
        limit: moments; the format's own limit by default, and at most.

    Raises:
        SearchError: as `search`; or there is no such format or rate.
    """
    if kind not in EXPORTS:
        raise SearchError(f"{kind} is not a format; there are {' '.join(EXPORTS)}")
    if rate not in RATES:
        raise SearchError(f"{rate} is not a frame rate; there are {' '.join(RATES)}")
    form = EXPORTS[kind]
    return form.write(gather(index, query, min(limit or form.most, form.most)), rate)


def _csv(answer: Answer, _rate: str) -> bytes:
    """Times in seconds; with a byte order mark, because spreadsheets read other files in a legacy encoding."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\r\n")
    table.writerow(_COLUMNS)
    for hit in answer.hits:
        people = "; ".join(person.name for person in hit.people)
        words = (hit.media, f"{hit.start_s:.3f}", f"{hit.end_s:.3f}", hit.text, people, hit.speaker or "",
                 hit.language or "", hit.uploaded.strftime("%Y-%m-%d %H:%M:%S"), hit.path)  # fmt: skip
        table.writerow([cell(without_acting(word, " ")) for word in words])
    return b"\xef\xbb\xbf" + file.getvalue().encode()


def _edl(answer: Answer, rate: str) -> bytes:
    """CMX 3600: an event for each moment, one after the other; a reel for each recording, whose name is a comment."""
    _, drop = RATES[rate]
    title = without_acting(answer.query, " ").encode("ascii", "replace").decode()[:70]
    lines = [f"TITLE: {title}", f"FCM: {'DROP FRAME' if drop else 'NON-DROP FRAME'}", ""]
    reels: dict[str, str] = {}
    at = _first_of_programme(rate)
    for number, hit in enumerate(answer.hits, 1):
        reel = reels.setdefault(hit.media, f"R{len(reels) + 1:06}")
        first, last = _frames(hit, rate)
        channels = "A " if _is_sound(hit.media) else "B "
        times = (first, last, at, at + last - first)
        lines += [
            f"{number:03}  {reel:8} {channels:5} C        {' '.join(_timecode(each, rate) for each in times)}",
            f"* FROM CLIP NAME: {_line(PurePosixPath(hit.media).name)}",
            f"* SOURCE FILE: {_line(hit.media)}",
            *([f"* COMMENT: {_line(hit.text)}"] if hit.text else []),
            "",
        ]
        at += last - first
    return "\r\n".join(lines).encode()


def _otio(answer: Answer, rate: str) -> bytes:
    """OpenTimelineIO: a clip for each moment, its line in the metadata; media are named by their keys, relative."""
    import opentimelineio as otio

    fps, _ = RATES[rate]
    timeline = otio.schema.Timeline(name=without_acting(answer.query, " "))
    timeline.metadata["castline"] = {"query": without_acting(answer.query, " "), "rate": rate}
    track = otio.schema.Track(name="moments", kind=otio.schema.TrackKind.Video)
    if answer.hits and all(_is_sound(hit.media) for hit in answer.hits):
        track.kind = otio.schema.TrackKind.Audio
    timeline.tracks.append(track)
    for hit in answer.hits:
        first, last = _frames(hit, rate)
        start, duration = (otio.opentime.RationalTime(count, fps) for count in (first, last - first))
        clip = otio.schema.Clip(
            name=_line(PurePosixPath(hit.media).name),
            media_reference=otio.schema.ExternalReference(target_url=quote(hit.media)),
            source_range=otio.opentime.TimeRange(start, duration),
        )
        people = [without_acting(person.name, " ") for person in hit.people]
        clip.metadata["castline"] = {"recording": _line(hit.media), "text": _line(hit.text), "people": people}
        track.append(clip)
    return str(timeline.to_json_string(indent=2)).encode()


#: By the suffix of a file name.
EXPORTS: Mapping[str, Export] = {
    "csv": Export("text/csv; charset=utf-8", 10_000, _csv),
    "edl": Export("text/plain; charset=utf-8", 999, _edl),  # event numbers have three digits
    "otio": Export("application/json", 5_000, _otio),
}


def _is_sound(media: str) -> bool:
    return PurePosixPath(media.lower()).suffix in keys.AUDIO_SUFFIXES


def _frames(hit: Moment, rate: str) -> tuple[int, int]:
    """First frame, and the one after the last."""
    fps, _ = RATES[rate]
    first = math.floor(max(hit.start_s, 0.0) * fps + 1e-6)
    return first, max(math.ceil(hit.end_s * fps - 1e-6), first + 1)


def _whole(rate: str) -> int:
    """Frame numbers per second of timecode."""
    return round(RATES[rate][0])


def _dropped(frame: int, rate: str) -> int:
    """The timecode number of a frame: two numbers (four at 60) are skipped in each minute except every tenth."""
    per_second, skip = _whole(rate), _whole(rate) // 15
    ten_minutes = per_second * 600 - 9 * skip
    minute = per_second * 60 - skip
    tens, rest = divmod(frame, ten_minutes)
    return frame + tens * 9 * skip + (max(0, (rest - skip) // minute) * skip if rest >= skip else 0)


def _first_of_programme(rate: str) -> int:
    """The frame at 01:00:00:00 of timecode."""
    frames = _whole(rate) * _RECORD_S
    return frames - 54 * (_whole(rate) // 15) if RATES[rate][1] else frames  # 54 of 60 minutes skip numbers


def _timecode(frame: int, rate: str) -> str:
    _, drop = RATES[rate]
    number = _dropped(frame, rate) if drop else frame
    seconds, frames = divmod(number, _whole(rate))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours % 24:02}:{minutes:02}:{seconds:02}{';' if drop else ':'}{frames:02}"


def _line(text: str) -> str:
    return " ".join(without_acting(text, " ").split())
