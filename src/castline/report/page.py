"""``report.html``: one page without external requests, on which a result can be watched.

The page contains its style, its scripts, the crops and the data. Names, words and file names
are hostile input: HTML goes through autoescaping, data through `_script_json`, and a content security
policy with hashes lets nothing else run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from jinja2 import Environment
from markupsafe import Markup

from castline.cues import pieces
from castline.display import visible
from castline.keys import AUDIO_SUFFIXES, PROXY, disk_name
from castline.records import Person, Result
from castline.report.html import environment
from castline.report.text import amount, clock, file_size, initials, length_of, money, seconds, similarity
from castline.report.writers import WRITERS

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPTS = ("player.js", "timeline.js", "transcript.js", "main.js")
_NO_IMAGES: Mapping[str, bytes] = MappingProxyType({})

#: Colours of known people repeat after this many; the style sheet defines them.
HUES = 6
# A face seen in one sampled frame has a range of zero length, which must still be visible on the page.
_MIN_VISIBLE_S = 0.25

_HEADLINES: Mapping[str, str] = MappingProxyType(
    {
        "not_media": "This file cannot be read as a video or a sound recording",
        "forbidden_media": "This file refers to other files, which is not allowed",
        "no_streams": "This file has no picture and no sound that can be used",
        "media_too_large": "This file is too large",
        "media_gone": "This file was deleted or replaced before it was read",
        "undecodable_media": "Nothing in this file could be decoded",
    }
)


def render_report(
    result: Result,
    images: Mapping[str, bytes] = _NO_IMAGES,
    *,
    media_sources: Sequence[str] | None = None,
) -> str:
    """The report as one HTML document.

    Args:
        images: JPEG or PNG crops by ``Person.image``. A person without one gets initials.
        media_sources: URLs the player tries in turn, relative to the page or absolute. Default: a file
            of the media's name beside the page, then its proxy. If none can be played, the page asks for the file.
    """
    if media_sources is None:
        media_sources = ("./" + quote(disk_name(PurePosixPath(result.media).name), safe=""), f"./{PROXY}")
    style, script = _assets()
    template = _environment().get_template("report.html.j2")
    return template.render(
        csp=_policy(style, script),
        style=style,
        script=script,
        data=_script_json(_data(result, media_sources)),
        **_view(result, images),
    )


@cache
def _environment() -> Environment:
    made = environment(_TEMPLATES)
    made.filters.update(
        {
            "clock": clock,
            "seconds": seconds,
            "length_of": length_of,
            "amount": amount,
            "money": money,
            "similarity": similarity,
            "file_size": file_size,
        }
    )
    return made


@cache
def _assets() -> tuple[Markup, Markup]:
    """The style sheet, and the scripts as one function body, so that they share names and leak none."""
    style = (_TEMPLATES / "report.css").read_text("utf-8")
    body = "\n".join((_TEMPLATES / name).read_text("utf-8") for name in _SCRIPTS)
    return Markup(style), Markup(f'(() => {{\n"use strict";\n{body}}})();\n')  # noqa: S704 - our own files


def _policy(style: str, script: str) -> str:
    """Content security policy: only our style and script, crops as data, and media from anywhere."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_source_hash(script)}",
            f"style-src {_source_hash(style)}",
            "img-src data:",
            "media-src 'self' blob: file: https: http:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _source_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _script_json(value: Any) -> Markup:
    """JSON that cannot end its script element, whatever strings are in it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 - escaped above


def _duration(result: Result) -> float:
    """Length of the timeline in seconds, never zero."""
    ends = [r.end_s for person in result.people for r in person.ranges]
    ends += [segment.end_s for segment in result.transcript.segments]
    return max([result.duration_s or 0.0, *ends]) or 1.0


def _kind(result: Result) -> str:
    """``video``, ``audio``, or ``none`` if there is nothing to play."""
    if result.status == "failed" and not (result.people or result.transcript.segments):
        return "none"
    if result.probe is not None:
        return "video" if result.probe.video else "audio"
    return "audio" if PurePosixPath(result.media.lower()).suffix in AUDIO_SUFFIXES else "video"


def _label(person: Person) -> str:
    if person.identity == "ambiguous" and person.candidates:
        return f"maybe {person.candidates[0].name}?"
    return person.name


def _spans(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(round(start, 3), round(max(end, start + _MIN_VISIBLE_S), 3)) for start, end in pairs]


def _path(pairs: Sequence[tuple[float, float]]) -> str:
    """SVG path of one lane, x in seconds: one element for any number of ranges."""
    return "".join(f"M{start:g} 0H{end:g}V1H{start:g}z" for start, end in _spans(pairs))


def _looks(people: Sequence[Person]) -> list[str]:
    """CSS class of each person: known people in rotating colours, the others by their identity."""
    looks, known = [], 0
    for person in people:
        looks.append(f"known hue-{known % HUES}" if person.identity == "known" else person.identity)
        known += person.identity == "known"
    return looks


def _voice_looks(result: Result, look_of: Mapping[str, str]) -> dict[str, str]:
    """CSS class of each voice: that of its person's face, or another colour for known people who are not on screen."""
    looks: dict[str, str] = {}
    known = sum(person.identity == "known" for person in result.people)
    for speaker in result.transcript.speakers:
        if speaker.identity == "known":
            looks[speaker.name] = look_of.get(speaker.name) or f"known hue-{known % HUES}"
            known += speaker.name not in look_of
        else:
            looks[speaker.name] = "unknown"
    return looks


def _poster(result: Result) -> float:
    """The time of the poster: somebody is visible then, or the film has begun; 0 is its first frame."""
    first = min((r for person in result.people for r in person.ranges), key=lambda r: r.start_s, default=None)
    moment = (first.start_s + first.end_s) / 2 if first else _duration(result) / 10
    return round(moment, 3) if _kind(result) == "video" else 0.0


def _data(result: Result, media_sources: Sequence[str]) -> dict[str, Any]:
    """The data that the scripts need, and no more: the sightings of hours of media alone are megabytes."""
    return {
        "kind": _kind(result),
        "duration": round(_duration(result), 3),
        "aspect": video.width / video.height
        if (video := result.probe and result.probe.video) and video.height
        else None,
        "sources": list(media_sources),
        "poster": _poster(result),
        "people": [
            {
                "label": visible(_label(person)),
                "look": look,
                "ranges": _spans([(r.start_s, r.end_s) for r in person.ranges]),
                "tracks": [
                    {
                        "span": _spans([(track.start_s, track.end_s)])[0],
                        "sightings": [[round(s.time_s, 3), *(round(x, 4) for x in s.box)] for s in track.sightings],
                    }
                    for track in person.tracks
                ],
            }
            for person, look in zip(result.people, _looks(result.people), strict=True)
        ],
        "segments": [
            {
                "span": [round(segment.start_s, 3), round(max(segment.end_s, segment.start_s), 3)],
                "pieces": [
                    [(" " if piece.space and at else "") + piece.text, round(piece.start_s, 3), round(piece.end_s, 3)]
                    for at, piece in enumerate(pieces(segment))
                ],
                "timed": bool(segment.words),
            }
            for segment in result.transcript.segments
        ],
    }


def _view(result: Result, images: Mapping[str, bytes]) -> dict[str, Any]:
    """The values that the template shows as HTML, which can be read and printed without scripts."""
    looks = _looks(result.people)
    look_of = {person.name: look for person, look in zip(result.people, looks, strict=True)}
    voice_looks = _voice_looks(result, look_of)
    path = PurePosixPath(result.media)
    return {
        "result": result,
        "title": path.name,
        "folder": "" if str(path.parent) == "." else f"{path.parent}/",
        "kind": _kind(result),
        "duration": round(_duration(result), 3),
        "headline": _HEADLINES.get(result.error.code, "This media could not be processed") if result.error else "",
        "formats": list(WRITERS),
        "has_speech": bool(result.transcript.segments),
        "has_words": any(segment.words for segment in result.transcript.segments),
        "speech_path": _path([(s.start_s, s.end_s) for s in result.transcript.segments if not s.suspect]),
        "suspect_path": _path([(s.start_s, s.end_s) for s in result.transcript.segments if s.suspect]),
        "segments": [
            {
                "start_s": segment.start_s,
                "text": "".join((" " if p.space else "") + p.text for p in pieces(segment)).strip(),
                "visible": segment.visible,
                "speaker": segment.speaker,
                "said_by": segment.said_by,
                "voice": voice_looks.get(segment.speaker or "", "unknown"),
                "look": look_of.get(segment.visible or "", "unknown"),
                "suspect": segment.suspect,
            }
            for segment in result.transcript.segments
        ],
        "voices": [
            {
                "record": speaker,
                "look": voice_looks[speaker.name],
                "path": _path([(s.start_s, s.end_s) for s in result.transcript.segments if s.speaker == speaker.name]),
            }
            for speaker in result.transcript.speakers
        ],
        "people": [
            {
                "record": person,
                "label": _label(person),
                "look": look,
                "initials": initials(person.name if person.identity != "ambiguous" else "?"),
                "image": _data_uri(images.get(person.image or "")),
                "path": _path([(r.start_s, r.end_s) for r in person.ranges]),
            }
            for person, look in zip(result.people, looks, strict=True)
        ],
    }


def _data_uri(image: bytes | None) -> str | None:
    if not image:
        return None
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
