"""The S3 layout, defined only here.

    input     <media>, <media>.json                         the sidecar: options for this media file
    stage-1   <media>/<run>/options.json                    what the run was asked for; before its units
              <media>/<run>/manifest.json                   after its units
              <media>/<run>/frames/0000.zip
              <media>/<run>/audio/0000.flac
              <media>/<run>/proxy.mp4                   what browsers play instead, where they need it
              <media>/<run>/motion/000060000.jpgs               25 small grey pictures a second, for mouths
    output    <media>/<run>/parts/frames-0000.json          part
              <media>/<run>/parts/mouths.json               whose mouth moves while somebody speaks
              <media>/<run>/parts/frames-0000.error.json    a unit that is out of retries
              <date>/<from>-<time>-<id>.json                a message of WhatsApp
              .whatsapp/<date>/<media id>/<name>            the messages that a media file belongs to
              .batches/<run>                                which marker or batch started it, where they do
              .batches/<marker>/<batch>                     its media, and the task that waits for them
              <media>/result.json, transcript.*, report.html, people/<slug>.jpg
              <media>/corrections.json                      what people put right in it
    gallery   <name>/<photo>                                photos; .embeddings/<model>.json is derived from them
              <name>/<digest>.voice                         what an enrolled voice sounds like
              .changes/0000.json                            who was enrolled, renamed or merged, to take it back

With ``TranscriptLayout=flat`` output has ``<stem>.txt`` too.

The classic profile (``stages.classic``) has ``<stem>.jpg`` in stage-1 and ``<stem>.txt`` in output instead.

``<media>`` is the whole key of the input object, slashes and all; ``<run>`` is 16 hex digits.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
import unicodedata
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from castline.display import is_plain, without_acting
from castline.errors import KeyLayoutError

UnitKind = Literal["frames", "audio"]

#: Suffixes (lower case) of objects in the input bucket that are media. Everything else is ignored.
VIDEO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        "mp4 m4v mov qt mj2 3gp 3gpp 3g2 3gpp2 f4v mkv mk3d webm avi divx flv ogv ogx wmv asf wtv mxf dv "
        "mpg mpeg mpe m1v m2v mpv vob mod ts mts m2ts m2t trp tod h264 h265 hevc"
    ).split()
)
AUDIO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        "mp3 mp2 mpa m4a m4b m4r f4a aac ac3 eac3 dts wav wave w64 flac ogg oga opus spx mka weba wma "
        "amr awb aiff aif aifc caf au snd tta wv ape mpc"
    ).split()
)
MEDIA_SUFFIXES = VIDEO_SUFFIXES | AUDIO_SUFFIXES

PHOTO_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".avif"))
#: Suffix of an enrolled voice, beside the photos.
VOICE_SUFFIX = ".voice"
UNREAD_PHOTO = f"photos are {', '.join(sorted(PHOTO_SUFFIXES))}; save it as one of them"
#: Python's own table of suffixes, without additions from the machine.
_TYPES = mimetypes.MimeTypes()
#: Files that people keep beside media and do not expect to be processed, sidecars and subtitles among them.
_BESIDE_SUFFIXES = PHOTO_SUFFIXES | frozenset(
    f".{suffix}" for suffix in "json txt md csv tsv srt vtt ttml xml html pdf gif heic heif bmp tif tiff svg".split()
)

_OF_THE_SYSTEM = frozenset(("thumbs.db", "desktop.ini"))

_VIEW = re.compile(r"result\.json|report\.html|transcript\.\w+|people/[^/]+\.jpg")
_UNIT_EXTENSION: dict[UnitKind, str] = {"frames": "zip", "audio": "flac"}
_RUN_OF_MEDIA = r"(?s:(?P<media>.+))/(?P<run>[0-9a-f]{16})"  # a key may contain anything, even line breaks
_UNIT_KEY = re.compile(_RUN_OF_MEDIA + r"/(?P<kind>frames|audio)/(?P<index>[0-9]{4,})\.(?:zip|flac)")
_MOTION_KEY = re.compile(_RUN_OF_MEDIA + r"/motion/(?P<start>[0-9]{9,})\.jpgs")
_MOUTHS_KEY = re.compile(_RUN_OF_MEDIA + r"/parts/mouths\.json")
_MANIFEST_KEY = re.compile(_RUN_OF_MEDIA + r"/manifest\.json")
_RANGE_KEY = re.compile(_RUN_OF_MEDIA + r"/ranges/(?P<index>[0-9]{4,})\.range")
_OF_RANGES = re.compile(_RUN_OF_MEDIA + r"/ranges/(?:plan\.json|[0-9]{4,}\.(?:range|json))")
_PROXY_KEY = re.compile(_RUN_OF_MEDIA + r"/proxy\.mp4")
_OPTIONS_KEY = re.compile(_RUN_OF_MEDIA + r"/options\.json")
_PART_KEY = re.compile(_RUN_OF_MEDIA + r"/parts/(?P<kind>frames|audio)-(?P<index>[0-9]{4,})(?P<error>\.error)?\.json")

#: Not allowed in a name: invisible characters, and those that change the direction of the text around them. The joiners
#: are allowed: Persian, Sinhala, Malayalam and emoji need them.
_UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_JOINERS = "\u200c\u200d"
#: Unicode categories that are not allowed either: control characters, lone surrogates, ends of lines and paragraphs.
#: Unassigned characters (Cn) are allowed: most are newer than this Python, such as emoji and scripts.
_NO_LETTERS = frozenset(("Cc", "Cs", "Zl", "Zp"))

_DATE = r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
_MESSAGE_KEY = re.compile(_DATE + r"/(?P<name>[\w-]+-[0-9]{2}-[0-9]{2}-[0-9]{2}-[0-9a-f]{16})\.json", re.ASCII)
_BATCH_KEY = re.compile(r"\.batches/[0-9a-f]{32}/[0-9a-f]{16}")
_NOTE_KEY = re.compile(_DATE + r"/(?P<id>[A-Za-z0-9]+)\.[A-Za-z0-9]+")

_PLAIN_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")

_FRAME = ".jpg"  # of the classic profile

#: Names of the views of a result, beside ``result.json``.
RESULT = "result.json"
REPORT = "report.html"
#: What browsers play if they do not play the media file; in stage 1 of its run, and beside a report on disk.
PROXY = "proxy.mp4"
#: People's corrections; they belong to the media file like its result, and are not a view of it.
CORRECTIONS = "corrections.json"

# S3 limits a key to 1024 bytes of UTF-8; the longest thing we append is
# "/<16 hex>/parts/frames-0000.error.json".
MAX_KEY_BYTES = 1024
MAX_MEDIA_KEY_BYTES = MAX_KEY_BYTES - 64

# File systems allow 255 bytes for a name.
_MAX_NAME_BYTES = 240
_KEPT_NAME_BYTES = 160
_HASHED = re.compile(r"--[0-9a-f]{16}(?:\.\w{1,8})?$", re.ASCII)


class UnitId(NamedTuple):
    """One unit of one run."""

    media: str
    run: str
    kind: UnitKind
    number: int

    @property
    def name(self) -> str:
        """``frames-0000``: unique within the run, and the stem of the part's key."""
        return f"{self.kind}-{self.number:04d}"

    @property
    def stage1_key(self) -> str:
        return f"{self.media}/{self.run}/{self.kind}/{self.number:04d}.{_UNIT_EXTENSION[self.kind]}"

    @property
    def part_key(self) -> str:
        return f"{parts_prefix(self.media, self.run)}{self.name}.json"

    @property
    def error_key(self) -> str:
        return f"{parts_prefix(self.media, self.run)}{self.name}.error.json"


def is_media(key: str) -> bool:
    """Whether an object of the input bucket is ours to process, judged by its suffix."""
    return _suffix(key) in MEDIA_SUFFIXES and not _is_of_the_system(key)


def _is_of_the_system(key: str) -> bool:
    """What macOS and Windows write beside people's files, for themselves: ``._photo.jpg``, ``Thumbs.db``."""
    name = key.rpartition("/")[2].lower()
    return name.startswith("._") or name in _OF_THE_SYSTEM


def is_left_out(key: str) -> bool:
    """Whether an upload is not processed although one might expect it: neither media nor photo nor text."""
    name = key.rpartition("/")[2]
    beside = name.startswith(".") or _is_of_the_system(key)
    return bool(name) and not beside and _suffix(key) not in MEDIA_SUFFIXES | _BESIDE_SUFFIXES


def run_id(bucket: str, key: str, version: str, options: str) -> str:
    """The id of one processing of one version of a media file.

    Args:
        version: the object's VersionId, or its ETag if the bucket has no versions.
        options: canonical JSON of every option that changes what is computed.

    Returns:
        16 hex digits (64 bits of SHA-256).
    """
    parts = (bucket, key, version.strip('"'), options)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def run_prefix(media: str, run: str) -> str:
    """The prefix of all stage-1 keys of a run."""
    return f"{media}/{run}/"


def manifest_key(media: str, run: str) -> str:
    return f"{run_prefix(media, run)}manifest.json"


def parts_prefix(media: str, run: str) -> str:
    return f"{media}/{run}/parts/"


def result_key(media: str, name: str = RESULT) -> str:
    """Key in the output bucket of ``result.json`` or of one of its views."""
    return f"{media}/{name}"


def is_view(name: str) -> bool:
    """Whether a name below ``<media>/`` is a published file, not a part or another media file's."""
    return _VIEW.fullmatch(name) is not None


def proxy_key(media: str, run: str) -> str:
    return f"{run_prefix(media, run)}{PROXY}"


def options_key(media: str, run: str) -> str:
    return f"{media}/{run}/options.json"


def plan_key(media: str, run: str) -> str:
    """Key of the plan of a long recording's ranges."""
    return f"{run_prefix(media, run)}ranges/plan.json"


def range_key(media: str, run: str, number: int) -> str:
    """Key of the request for a range; its event starts the splitter."""
    return f"{run_prefix(media, run)}ranges/{number:04d}.range"


def range_done_key(media: str, run: str, number: int) -> str:
    """Key of the outcome of a range."""
    return f"{run_prefix(media, run)}ranges/{number:04d}.json"


def motion_prefix(media: str, run: str) -> str:
    """Prefix of the 25 small pictures per second of the film, by the time (ms) of the first."""
    return f"{run_prefix(media, run)}motion/"


def motion_key(media: str, run: str, start_ms: int) -> str:
    return f"{motion_prefix(media, run)}{start_ms:09d}.jpgs"


def parse_motion(stage1_key: str) -> tuple[str, str, int] | None:
    """(media, run, time of the first picture in ms) of small pictures; None for other keys."""
    match = _MOTION_KEY.fullmatch(stage1_key)
    return (match["media"], match["run"], int(match["start"])) if match else None


def mouths_key(media: str, run: str) -> str:
    """Key of what was seen of mouths in a recording."""
    return f"{parts_prefix(media, run)}mouths.json"


def parse_mouths(output_key: str) -> tuple[str, str] | None:
    """(media, run) of what was seen of mouths; None for other keys."""
    match = _MOUTHS_KEY.fullmatch(output_key)
    return (match["media"], match["run"]) if match else None


def sidecar_key(media: str) -> str:
    return f"{media}.json"


def media_of(input_key: str) -> str | None:
    """The media file that an object of the input bucket is, or whose sidecar it is; None for foreign objects."""
    media = input_key.removesuffix(".json")
    return media if is_media(media) else None


def classic_frame_key(media: str) -> str:
    """``test_00.mp4`` -> ``test_00.jpg``: the only frame that the classic profile keeps of a video."""
    return _stem(media) + _FRAME


def classic_answer_key(key: str) -> str:
    """``test_00.txt``, from the key of the media or of its frame."""
    return _stem(key) + ".txt"


def flat_transcript_key(media: str) -> str:
    """``week1/lesson1/video1.mp4`` -> ``week1/lesson1/video1.txt``, in the output bucket."""
    return _stem(media) + ".txt"


def batch_claim_key(run: str) -> str:
    """Key in the output bucket of the record of which marker, or batch of a marker, started a run."""
    return f".batches/{run}"


def batch_key(marker: str, batch: str) -> str:
    """Key in the output bucket of the record of a marker's batch; both are hex digits."""
    return f".batches/{marker}/{batch}"


def is_batch(output_key: str) -> bool:
    return _BATCH_KEY.fullmatch(output_key) is not None


def message_key(date: str, name: str) -> str:
    """Key of a WhatsApp message in the output bucket; ``date`` is ``2026-11-26``."""
    return f"{date}/{name}.json"


def parse_message(output_key: str) -> tuple[str, str] | None:
    """(date, name) of a message's key; None for other keys."""
    match = _MESSAGE_KEY.fullmatch(output_key)
    return (match["date"], match["name"]) if match else None


def note_prefix(date: str, media_id: str) -> str:
    """Prefix of the notes with the names of the messages to which a fetched media file belongs."""
    return f".whatsapp/{date}/{media_id}/"


def answer_key(note: str) -> str:
    """Key of the record that the message of a note was answered."""
    return note.replace(".whatsapp/", ".whatsapp/answered/", 1)


def parse_note(media: str) -> tuple[str, str] | None:
    """(date, id at Meta) of a media file that was fetched for a message; None for other media."""
    match = _NOTE_KEY.fullmatch(media)
    return (match["date"], match["id"]) if match else None


def is_classic_frame(stage1_key: str) -> bool:
    return _suffix(stage1_key) == _FRAME


def parse_unit(stage1_key: str) -> UnitId | None:
    """The unit of a stage-1 key; None for the manifest and for foreign keys."""
    match = _UNIT_KEY.fullmatch(stage1_key)
    return _unit(match) if match else None


def parse_manifest(stage1_key: str) -> tuple[str, str] | None:
    """(media, run) of a manifest's key; None for other keys."""
    match = _MANIFEST_KEY.fullmatch(stage1_key)
    return (match["media"], match["run"]) if match else None


def parse_range(stage1_key: str) -> tuple[str, str, int] | None:
    """(media, run, number) of the request for a range; None for other keys."""
    match = _RANGE_KEY.fullmatch(stage1_key)
    return (match["media"], match["run"], int(match["index"])) if match else None


def parse_of_ranges(stage1_key: str) -> tuple[str, str] | None:
    """(media, run) of anything that belongs to the ranges of a run, except units; None for other keys."""
    match = _OF_RANGES.fullmatch(stage1_key)
    return (match["media"], match["run"]) if match else None


def parse_options(stage1_key: str) -> tuple[str, str] | None:
    """(media, run) of the key of a run's options; None for other keys."""
    match = _OPTIONS_KEY.fullmatch(stage1_key)
    return (match["media"], match["run"]) if match else None


def parse_proxy(stage1_key: str) -> tuple[str, str] | None:
    """(media, run) of a proxy's key; None for other keys."""
    match = _PROXY_KEY.fullmatch(stage1_key)
    return (match["media"], match["run"]) if match else None


def parse_part(output_key: str) -> tuple[UnitId, bool] | None:
    """The unit of a part's key, and whether it is an error part; None for other keys."""
    match = _PART_KEY.fullmatch(output_key)
    return (_unit(match), match["error"] is not None) if match else None


def retention_class(output_key: str) -> Literal["part", "crop", "message"] | None:
    """The retention rule of the template for an object of the output bucket, used as its tag."""
    if parse_part(output_key) or parse_mouths(output_key):
        return "part"
    if parse_message(output_key) or output_key.startswith(".whatsapp/"):
        return "message"
    media, _, picture = output_key.rpartition("/people/")
    return "crop" if is_media(media) and is_view(f"people/{picture}") else None


def _unit(match: re.Match[str]) -> UnitId:
    kind: UnitKind = "frames" if match["kind"] == "frames" else "audio"
    return UnitId(match["media"], match["run"], kind, int(match["index"]))


def is_storable(key: str) -> bool:
    """Whether S3 takes an object under a key."""
    return len(key.encode()) <= MAX_KEY_BYTES


def has_room(media: str) -> bool:
    """Whether S3 takes a manifest and a result beside a media file; the longest keys leave no room."""
    return is_storable(manifest_key(media, "0" * 16))


def check_media_key(key: str) -> str:
    """Refuse an input key that would not survive as a prefix of other keys.

    Raises:
        KeyLayoutError: not Unicode text, too long, or with ``.``/``..`` segments that clients collapse.
    """
    if (text := key.encode(errors="replace").decode()) != key:
        raise KeyLayoutError(f"key is not Unicode text: {text}")
    if len(key.encode()) > MAX_MEDIA_KEY_BYTES:
        raise KeyLayoutError(f"key is longer than {MAX_MEDIA_KEY_BYTES} bytes: {key[:60]}…")
    if any(segment in (".", "..") for segment in key.split("/")):
        raise KeyLayoutError(f"key has a '.' or '..' segment: {key}")
    return key


def disk_path(key: str) -> str:
    """A key as a relative path, with each segment unchanged if every file system accepts it.

    Other segments (empty, too long, with control characters or a change of reading direction) are cleaned and
    end in ``--`` and a hash, and so do those that look as if they were: no two keys share a path.

    Raises:
        KeyLayoutError: it has a ``.`` or ``..`` segment.
    """
    segments = key.split("/")
    if any(segment in (".", "..") for segment in segments):
        raise KeyLayoutError(f"refusing to write outside of the folder: {key}")
    return "/".join(map(disk_name, segments))


def disk_name(segment: str) -> str:
    """One segment of a key as a file name: see `disk_path`."""
    usual = is_plain(segment) and "\\" not in segment and segment not in ("", ".", "..")
    fits = usual and len(segment.encode()) <= _MAX_NAME_BYTES
    return segment if fits and not _HASHED.search(segment) else hashed_name(segment)


def hashed_name(segment: str) -> str:
    """Another file name for a segment: the part that is safe everywhere, and a hash of the whole."""
    suffix = PurePosixPath(segment).suffix
    suffix = suffix if re.fullmatch(r"\.\w{1,8}", suffix, re.ASCII) else ""
    stem = without_acting(segment.removesuffix(suffix), "_").replace("\\", "_")
    short = stem.encode()[:_KEPT_NAME_BYTES].decode(errors="ignore")
    digest = hashlib.sha256(segment.encode(errors="replace")).hexdigest()[:16]
    return f"{short or '_'}--{digest}{suffix}"


def check_person_name(name: str) -> str:
    """A new name for somebody, as a gallery prefix: free text of any script, one path segment.

    Returns:
        As ``spelled``.

    Raises:
        KeyLayoutError: empty, over 200 bytes, or with a slash, a forbidden character, or a leading dot.
    """
    name = spelled(name)
    if any(map(_is_no_letter, name)):
        raise KeyLayoutError(f"a name cannot contain control characters: '{shown(name)}'")
    if not name.strip(_JOINERS) or len(name.encode()) > 200:
        raise KeyLayoutError("a name must be 1 to 200 bytes long")
    if "/" in name or "\\" in name or name.startswith("."):
        raise KeyLayoutError(f"a name cannot contain a slash or start with a dot: {name!r}")
    return name


def spelled(name: str) -> str:
    """A name in Unicode NFC without outer white space: the same name, however a file system composes its letters."""
    return unicodedata.normalize("NFC", name).strip()


def shown(name: str) -> str:
    """A name for a terminal, with forbidden characters as ``\\u202e``; people may also type it so."""
    return "".join(f"\\u{ord(char):04x}" if _is_no_letter(char) else char for char in name)


def _is_no_letter(char: str) -> bool:
    never = ord(char) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(char) <= 0xFDEF  # noncharacters, for ever
    return never or unicodedata.category(char) in _NO_LETTERS or _UNSEEN.match(char) is not None


def gallery_prefix(name: str) -> str:
    return f"{check_person_name(name)}/"


def gallery_basis_key(name: str) -> str:
    """Key of the reason why a person may be known: consent, a contract, …; plain text."""
    return f"{gallery_prefix(name)}basis.txt"


def gallery_index_key(model: str) -> str:
    """Key of one model's embeddings of all photos; can be deleted, and is then rebuilt."""
    return f".embeddings/{model if _PLAIN_ID.fullmatch(model) else slug(model)}.json"


def gallery_name(key: str) -> str:
    """The name in a gallery key, as ``spelled``. Other clients may have made names that we would refuse."""
    return spelled(key.partition("/")[0])


def parse_photo(key: str) -> str | None:
    """The name of the person whose photo a gallery key is; None if it is not a photo that we can read."""
    is_photo = _suffix(key.partition("/")[2]) in PHOTO_SUFFIXES and not _is_of_the_system(key)
    return _person(key) if is_photo else None


def parse_voice(key: str) -> str | None:
    """The name of the person to whom an enrolled voice belongs; None for other keys."""
    return _person(key) if key.endswith(VOICE_SUFFIX) else None


def is_unread_photo(key: str) -> bool:
    """Whether a gallery key is meant as a photo, but in an unsupported format: HEIC, or unknown.

    Files that are clearly something else (a text, a table) are ignored, and so are hidden files.
    """
    file = key.rpartition("/")[2]
    ours = parse_photo(key) or parse_voice(key)
    if ours or not _person(key) or not file or file.startswith(".") or _is_of_the_system(key):
        return False
    kind = _TYPES.guess_type(file)[0]
    return kind is None or kind.startswith(("image/", "video/"))


def _person(key: str) -> str | None:
    """The name of the person to whom a gallery object belongs; None for our own objects."""
    name = gallery_name(key)
    return name if name and not name.startswith(".") and "/" in key else None


def slug(text: str) -> str:
    """A file-name-safe form of a person's name: ``Grace Hopper`` -> ``grace-hopper``.

    Unique per name: any other spelling of the same letters ends in ``--`` and a hash.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:60]
    if plain and text == " ".join(word.capitalize() for word in plain.split("-")):
        return plain
    return f"{plain or 'name'}--{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _stem(key: str) -> str:
    return key.removesuffix(PurePosixPath(key).suffix)


def _suffix(key: str) -> str:
    """Lower-case suffix of an object's name; empty for the placeholder of a folder (``clip.mp4/``)."""
    return "" if key.endswith("/") else PurePosixPath(key.lower()).suffix
