"""Uploads media and downloads results; folders keep their tree."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from castline import keys
from castline.errors import KeyLayoutError, NotMedia, OptionsError, UnreadableObject
from castline.records import Result
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.multipart import Progress

_AT_ONCE = 4
#: The marker of the batch transcriber that this replaces.
DEFAULT_MARKER = "done.txt"


def media_files(path: Path, output: Path | None = None) -> list[tuple[Path, str]]:
    """(file, key) of one media file, or of all below a folder; keys keep the tree below it.

    Hidden folders and results, with their copies of media, are skipped.

    Args:
        output: folder of results.

    Raises:
        NotMedia: no such path, a file with another suffix, or a folder without media.
    """
    if path.is_file():
        if not keys.is_media(path.name):
            raise NotMedia(f"{path.name}: the suffix {path.suffix or '(none)'} is not one of {_suffixes()}")
        return [(path, keys.check_media_key(path.name))]
    if not path.is_dir():
        raise NotMedia(f"{path} does not exist")
    found = [item for item in inside(path, output) if keys.is_media(item.name)]
    if not found:
        raise NotMedia(f"no media in {path}; suffixes are {_suffixes()}")
    return [(item, keys.check_media_key(item.relative_to(path).as_posix())) for item in found]


def left_out(path: Path, output: Path | None = None) -> list[str]:
    """Files below a folder that one might expect to be uploaded: no media suffix, but neither photos nor text."""
    found = inside(path, output) if path.is_dir() else ()
    return [item.relative_to(path).as_posix() for item in found if keys.is_left_out(item.name)]


def inside(path: Path, output: Path | None) -> list[Path]:
    """The files below a folder, sorted, except those in hidden folders and results."""
    found: list[Path] = []
    results = output.resolve() if output else None
    for folder, below, names in os.walk(path):
        here = Path(folder)
        below[:] = [name for name in below if not name.startswith(".") and (here / name).resolve() != results]
        if not {keys.RESULT, keys.REPORT} <= set(names):
            found += [item for name in names if (item := here / name).is_file()]
    return sorted(found)


def upload(
    files: Sequence[tuple[Path, str]],
    sidecars: Sequence[bytes | None],
    store: ObjectStore,
    settings: Settings,
    progress: Progress | None = None,
) -> Iterator[tuple[str, bool]]:
    """Upload several files at a time, each with its sidecar; existing ones are not sent again.

    Args:
        sidecars: of each file; None for none (`cli.asked.sidecars`).
        progress: called as bytes arrive.

    Yields:
        Each key, in the order of the files, and whether anything of it was sent.
    """

    def send(file: tuple[Path, str], asked: bytes | None) -> bool:
        path, key = file
        new = None
        if asked is not None:  # first, so that the file is not processed without it
            name = keys.sidecar_key(key)
            if store.get(settings.input_bucket, name) != asked:
                store.put(settings.input_bucket, name, asked)
                new = store.head(settings.input_bucket, name)
        version = new.version if new else None
        return store.upload(settings.input_bucket, key, path, progress, sidecar=version) or new is not None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for (_, key), sent in zip(files, pool.map(send, files, sidecars), strict=True):
            yield key, sent


def check_names(media_keys: Sequence[str], pattern: str) -> None:
    """Refuse all if one key does not match the batch's pattern.

    Raises:
        OptionsError: the pattern is no regular expression.
        KeyLayoutError: a key does not match it; the first one is named.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise OptionsError(f"--pattern {pattern}: {error}") from error
    for key in media_keys if pattern else ():
        if not wanted.fullmatch(key):
            raise KeyLayoutError(f"{key} does not match {pattern}; nothing was uploaded")


def write_marker(store: ObjectStore, settings: Settings) -> str:
    """Write the batch marker, after everything that it is to start; returns its key."""
    key = settings.batch_marker or DEFAULT_MARKER
    store.put(settings.input_bucket, key, b"")
    return f"s3://{settings.input_bucket}/{key}"


def download_results(
    media_keys: Sequence[str],
    folder: Path,
    store: ObjectStore,
    settings: Settings,
    progress: Callable[[], None],
    tell: Callable[[str], None],
) -> dict[str, int]:
    """Results of many media files, side by side, as a tree below the folder; several at a time.

    Args:
        progress: called after each media file.
        tell: called with a line about each result that cannot be written here; the others are written.

    Returns:
        Number of downloaded files by media.
    """
    places = places_of(media_keys)

    def fetch(media: str) -> int | None:
        try:
            return len(download_result(media, folder, store, settings, places.get(media)))
        except (KeyLayoutError, UnreadableObject) as error:
            tell(f"{media}: {error.message}")
        except OSError as error:
            tell(f"{media}: {error.strerror or error}")
        finally:
            progress()
        return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        counts = zip(media_keys, pool.map(fetch, media_keys), strict=True)
        return {media: count for media, count in counts if count is not None}


def places_of(media_keys: Sequence[str]) -> dict[str, str]:
    """Another path for each key whose path, compared without case, equals that of an earlier one."""
    taken: set[str] = set()
    places: dict[str, str] = {}
    for media in sorted(media_keys):
        with contextlib.suppress(KeyLayoutError):
            path = keys.disk_path(media)
            folded = unicodedata.normalize("NFC", path).casefold()
            if folded in taken:
                parent, slash, name = media.rpartition("/")
                places[media] = f"{keys.disk_path(parent) if slash else ''}{slash}{keys.hashed_name(name)}"
            taken.add(folded)
    return places


def download_result(
    media: str, folder: Path, store: ObjectStore, settings: Settings, place: str | None = None
) -> list[Path]:
    """Download all published files of one media file into the folder of ``place_of``, but not its parts.

    Args:
        place: path below the folder, instead of the key.

    Raises:
        KeyLayoutError: a key that would leave the folder.
    """
    prefix = f"{media}/"
    below = folder / (place or keys.disk_path(media))
    written = []
    for info in store.find(settings.output_bucket, prefix):
        name = info.key.removeprefix(prefix)
        body = store.get(settings.output_bucket, info.key) if keys.is_view(name) else None
        if body is not None:
            target = below / keys.disk_path(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
            written.append(target)
    return written


def place_of(media: str, folder: Path) -> Path:
    """The path of a media file's results below a folder of results.

    Raises:
        KeyLayoutError: a key that would leave the folder.
    """
    return folder / keys.disk_path(media)


def _beside_report(media: str, folder: Path) -> Path:
    """The path of the media file, where the player looks for it."""
    target = place_of(media, folder) / keys.disk_name(PurePosixPath(media).name)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def download_media(media: str, folder: Path, store: ObjectStore, settings: Settings) -> bool:
    """Download the media file beside its report, where the player looks for it; False if it is gone.

    Raises:
        KeyLayoutError: a key that would leave the folder.
    """
    info = store.head(settings.input_bucket, media)
    target = _beside_report(media, folder)
    return info is not None and store.download(settings.input_bucket, info, target)


def download_proxy(result: Result, folder: Path, store: ObjectStore, settings: Settings) -> bool:
    """Download the proxy of a recording beside its report; False if there is none.

    Raises:
        KeyLayoutError: a key that would leave the folder.
    """
    info = store.head(settings.stage1_bucket, keys.proxy_key(result.media, result.run))
    target = place_of(result.media, folder) / keys.PROXY
    target.unlink(missing_ok=True)
    return info is not None and store.download(settings.stage1_bucket, info, target)


def place_media(path: Path, media: str, folder: Path) -> None:
    """Put the media file beside its report, where the player looks for it: linked if possible, else copied."""
    target = _beside_report(media, folder)
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _suffixes() -> str:
    return " ".join(sorted(keys.MEDIA_SUFFIXES))
