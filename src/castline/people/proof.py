"""Proves, after forgetting, that the name is nowhere.

Everything in the gallery and output buckets is listed, and everything published is read. A name that still occurs is
either left over or legitimate: spoken in the recording, part of its key, or part of somebody else's name. It is
legitimate if the file is exactly what its result renders to, and the result gives nobody this name.

Parts contain the embeddings of everybody who was seen or heard, but no names. What is recognised there as the person's
is left over, and so is what was seen of a mouth whose face is in no part any more. A part that cannot be read may
contain anybody.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote

from markupsafe import escape

from castline import keys
from castline.assembly.attribution import names_told
from castline.corrections import names_in
from castline.errors import UnreadableObject
from castline.gallery.changes import recorded
from castline.gallery.index import PREFIX, indexes
from castline.people.erase import mouths_of_nobody
from castline.people.likeness import Likeness
from castline.records import Result
from castline.report import flat_transcript, may_hold_names, render_views
from castline.runs.common import read_result
from castline.runs.removal import owner_of
from castline.runs.written import as_shown, read_written
from castline.settings import Settings
from castline.storage.base import ObjectStore

_UNSURE = "it cannot be read, and may contain them"
_VOICE = re.compile(r"Speaker \d+")
_GENERATED = re.compile(r"Person \d+")


class Trace(NamedTuple):
    """Attributes:
    where: ``s3://bucket/key``.
    why: one line for people.
    """

    where: str
    why: str


@dataclass(slots=True)
class Proof:
    """Attributes:
    objects: how many keys were listed.
    files: how many of them were read.
    parts: how many parts still contain their face or voice.
    left: where the person still is, or may be; empty if they are forgotten.
    alone: where the same letters occur but mean something else.
    """

    objects: int = 0
    files: int = 0
    parts: int = 0
    left: list[Trace] = field(default_factory=list)
    alone: list[Trace] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """Whether the person is anywhere for certain."""
        return any(trace.why != _UNSURE for trace in self.left)


class Mentions:
    """Finds a name in text: whole words, any case, composed or not, and as HTML, XML, TSV, JSON and URLs spell it."""

    def __init__(self, name: str) -> None:
        plain = json.dumps(name, ensure_ascii=False)[1:-1]
        in_script = "".join(f"\\u{ord(char):04x}" if char in "<>&" else char for char in plain)
        xml = html.escape(name, quote=False)
        url = quote(name, errors="replace")
        spellings = {name, str(escape(name)), html.escape(name), plain, json.dumps(name)[1:-1], in_script, url}
        spellings |= {xml, xml.replace('"', "&quot;"), name.replace('"', '""')}  # TTML's text and attributes, TSV
        self._pattern = re.compile("|".join(sorted(map(_whole, map(_fold, spellings)), key=len, reverse=True)))

    def within(self, text: str) -> bool:
        return self._pattern.search(_fold(text)) is not None


def prove_forgotten(name: str, store: ObjectStore, settings: Settings, likeness: Likeness | None = None) -> Proof:
    """Search for a name in everything that is stored and published, and for the person in parts.

    Args:
        name: as in the gallery, even one that we would refuse now.
        likeness: how the person was recognised before photos and names were removed; default: by what is there now.
    """
    name = keys.spelled(name)
    mentions, proof = Mentions(name), Proof()
    _gallery(name, mentions, store, settings, proof)
    published: dict[str, list[str]] = {}
    in_keys: dict[str, None] = {}
    unowned: dict[str, bytes] = {}
    for info in store.find(settings.output_bucket):
        proof.objects += 1
        owner = owner_of(info.key)
        media = owner.media or info.key
        if owner.view:
            published.setdefault(media, []).append(owner.view)
        elif not owner.media and may_hold_names(info.key):  # written by other software
            proof.files += 1
            body = _read(settings.output_bucket, info.key, store, proof)
            if mentions.within(body.decode("utf-8", "replace")):
                unowned[info.key] = body
        if mentions.within(media):
            in_keys[media] = None
    proof.alone += [_trace(settings.output_bucket, media, "part of the key") for media in in_keys]
    for media, views in published.items():
        _views(media, views, name, mentions, store, settings, proof)
    for key, mouths, gone in mouths_of_nobody(store, settings):
        proof.files += 1
        if gone or mouths is None:
            why = "what was seen of a mouth, and its face is gone" if gone else _UNSURE
            proof.left.append(_trace(settings.output_bucket, key, why))
    _parts(likeness or Likeness(name, store, settings), settings, proof)
    flat = {keys.flat_transcript_key(media): media for media in sorted(published)}
    for key, body in unowned.items():
        result = read_result(flat[key], store, settings) if key in flat else None
        says_it = result is not None and body == flat_transcript(as_shown(result, store, settings))
        _unowned(key, says_it, settings, proof)
    return proof


def _parts(likeness: Likeness, settings: Settings, proof: Proof) -> None:
    for unit, _, theirs, sure in likeness.in_parts():
        proof.files += 1
        proof.parts += any(theirs)
        if any(theirs) or not sure:
            what = "a face" if unit.kind == "frames" else "a moment of the voice"
            why = f"{what}, recognised as theirs" if any(theirs) else _UNSURE
            proof.left.append(_trace(settings.output_bucket, unit.part_key, why))


def _unowned(key: str, says_its_result: bool, settings: Settings, proof: Proof) -> None:
    """A mention in an object of no media file. Messages contain what was written and spoken, but no names of ours."""
    if keys.parse_message(key):
        proof.alone.append(_trace(settings.output_bucket, key, "part of a message as received, or spoken in it"))
    elif says_its_result:
        proof.alone.append(_trace(settings.output_bucket, key, "spoken"))
    else:
        proof.left.append(_trace(settings.output_bucket, key, "not written by Castline"))


def _gallery(name: str, mentions: Mentions, store: ObjectStore, settings: Settings, proof: Proof) -> None:
    bucket = settings.gallery_bucket
    for info in store.find(bucket):
        proof.objects += 1
        if "/" in info.key and keys.gallery_name(info.key) == name:
            kind = "a voice" if keys.parse_voice(info.key) else "a photo"
            proof.left.append(_trace(bucket, info.key, kind))
        elif not info.key.startswith(PREFIX) and mentions.within(info.key):
            proof.alone.append(_trace(bucket, info.key, "part of another name"))
    for key, change in recorded(store, settings):
        proof.files += 1
        if change is None:
            proof.left.append(_trace(bucket, key, _UNSURE))
        elif name in change.names:
            proof.left.append(_trace(bucket, key, "a change that can be undone"))
    for key, index in indexes(store, settings):
        proof.files += 1
        photos = index.entries if index else ()
        unread = index is None and mentions.within(_read(bucket, key, store, proof).decode("utf-8", "replace"))
        if unread or any(keys.gallery_name(photo) == name for photo in photos):
            proof.left.append(_trace(bucket, key, "embeddings"))


def _views(
    media: str, views: list[str], name: str, mentions: Mentions, store: ObjectStore, settings: Settings, proof: Proof
) -> None:
    """The published files of one media file."""
    bucket = settings.output_bucket
    bodies = {view: _read(bucket, keys.result_key(media, view), store, proof) for view in views}
    proof.files += len(bodies)
    if keys.CORRECTIONS in bodies:
        _put_right(media, bodies.pop(keys.CORRECTIONS), name, mentions, store, settings, proof)
    result = read_result(media, store, settings)
    shown = as_shown(result, store, settings) if result else None
    found = [
        view
        for view, body in bodies.items()
        if may_hold_names(view) and mentions.within(body.decode("utf-8", "replace"))
    ]
    named = any(name in set(_bound_names(each)) for each in (result, shown) if each)
    picture = f"people/{keys.slug(name)}.jpg"
    # A picture may have this file name because of "Person 1", which is not a name.
    if picture in views and (named or not result or all(person.image != picture for person in result.people)):
        proof.left.append(_trace(bucket, keys.result_key(media, picture), "a picture of the person"))
    says = _rendered(result, shown, bodies) if result and shown and found else {}
    for view in found:
        where = keys.result_key(media, view)
        if result is None:
            proof.left.append(_trace(bucket, where, "its result cannot be read"))
        elif named:
            proof.left.append(_trace(bucket, where, "named in the result"))
        elif bodies[view] != says.get(view):
            proof.left.append(_trace(bucket, where, "not what its result says"))
        else:
            proof.alone.append(
                _trace(bucket, where, "spoken, or part of a key, of another name, or of the page itself")
            )


def _read(bucket: str, key: str, store: ObjectStore, proof: Proof) -> bytes:
    """The text to search. An object that is too large to read cannot be shown to be free of the name."""
    try:
        return store.get(bucket, key) or b""
    except UnreadableObject as error:
        proof.left.append(_trace(bucket, key, error.message))
        return b""


def _put_right(
    media: str, body: bytes, name: str, mentions: Mentions, store: ObjectStore, settings: Settings, proof: Proof
) -> None:
    """The corrections of one media file."""
    where = keys.result_key(media, keys.CORRECTIONS)
    written = read_written(media, store, settings)
    given = {each for change in written.corrections.changes for added in change.added for each in names_in(added)}
    if written.problem and mentions.within(body.decode("utf-8", "replace")):
        proof.left.append(_trace(settings.output_bucket, where, "it cannot be read, and has the name"))
    elif name in given:
        proof.left.append(_trace(settings.output_bucket, where, "named in a correction"))
    elif mentions.within(body.decode("utf-8", "replace")):
        proof.alone.append(
            _trace(settings.output_bucket, where, "spoken, part of another name, or a correction's author")
        )


def _rendered(result: Result, shown: Result, bodies: dict[str, bytes]) -> dict[str, bytes]:
    """Every text file as the present result and its corrections would render it."""
    images = {person.image: bodies[person.image] for person in result.people if person.image in bodies}
    return {keys.RESULT: result.to_json(), **render_views(shown, images)}


def _bound_names(result: Result) -> Iterator[str]:
    """Names that the gallery gave to somebody in a result, or that its warnings mention."""
    own = {person.name for person in result.people if person.identity != "known" and _GENERATED.fullmatch(person.name)}
    yield from (person.name for person in result.people if person.name not in own)
    yield from (candidate.name for person in result.people for candidate in person.candidates)
    yield from (entry.label for entry in result.timeline if entry.kind == "person" and entry.label not in own)
    yield from (segment.visible for segment in result.transcript.segments if segment.visible)
    yield from (cue.visible for cue in result.transcript.cues if cue.visible)
    yield from (speaker.name for speaker in result.transcript.speakers if not _VOICE.fullmatch(speaker.name))
    yield from (speaker.maybe for speaker in result.transcript.speakers if speaker.maybe)
    said_by = [line.said_by for line in result.transcript.segments if line.said_by]
    yield from (each.name for each in said_by if each.name)
    reasons = [*(each.reasons for each in said_by), *(speaker.reasons for speaker in result.transcript.speakers)]
    yield from (name for each in reasons for reason in each for name in names_told(reason))
    for warning in result.warnings:
        if warning.code == "gallery_photo":
            yield keys.gallery_name(warning.about)


def _trace(bucket: str, key: str, why: str) -> Trace:
    return Trace(f"s3://{bucket}/{key}", why)


def _fold(text: str) -> str:
    text = unicodedata.normalize("NFC", text).casefold()
    return unicodedata.normalize("NFC", text)


def _whole(text: str) -> str:
    """A pattern for a spelling as a whole word or number.

    Words need no boundary in scripts without upper and lower case: those have no spaces, or append endings to names.
    """
    before, after = (_inner(char) for char in (text[:1], text[-1:]))
    return f"{before and f'(?<!{before})'}{re.escape(text)}{after and f'(?!{after})'}"


def _inner(edge: str) -> str:
    """A pattern for characters that would continue a word or number with this character at its edge."""
    if edge.isdigit():
        return r"\d"
    return r"[^\W\d_]" if edge != edge.swapcase() else ""
