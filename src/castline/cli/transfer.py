"""Media up, results down; trees stay trees."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from castline import keys
from castline.cli.asked import sidecar
from castline.errors import KeyLayoutError, NotMedia
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.storage.multipart import Progress

_AT_ONCE = 4


def media_files(path: Path) -> list[tuple[Path, str]]:
    """(file, key) of one media file, or of all below a folder; keys keep the tree below it.

    Raises:
        NotMedia: no such path, a file with a foreign suffix, or a folder without media.
    """
    if path.is_file():
        if not keys.is_media(path.name):
            raise NotMedia(f"{path.name}: the suffix {path.suffix or '(none)'} is none of {_suffixes()}")
        return [(path, keys.check_media_key(path.name))]
    if not path.is_dir():
        raise NotMedia(f"{path} does not exist")
    found = sorted(item for item in path.rglob("*") if item.is_file() and keys.is_media(item.name))
    if not found:
        raise NotMedia(f"no media in {path}; suffixes are {_suffixes()}")
    return [(item, keys.check_media_key(item.relative_to(path).as_posix())) for item in found]


def upload(
    files: Sequence[tuple[Path, str]],
    flags: Mapping[str, Any],
    store: ObjectStore,
    settings: Settings,
    progress: Progress | None = None,
) -> Iterator[tuple[str, bool]]:
    """Upload several files at a time, each with its sidecar; what is there already stays as it is.

    Args:
        flags: options for all of them, over what their sidecars say.
        progress: told of bytes as they arrive.

    Yields:
        Each key, in the order of the files, and whether anything of it was sent.

    Raises:
        OptionsError: a sidecar or a flag says what the pipeline would refuse; nothing is uploaded then.
    """
    sidecars = [sidecar(path, flags, settings) for path, _ in files]

    def send(file: tuple[Path, str], asked: bytes | None) -> bool:
        path, key = file
        changed = False
        if asked is not None:  # first, so that the media is not run without it
            name = keys.sidecar_key(key)
            changed = store.get(settings.input_bucket, name) != asked
            if changed:
                store.put(settings.input_bucket, name, asked)
        return store.upload(settings.input_bucket, key, path, progress) or changed

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for (_, key), sent in zip(files, pool.map(send, files, sidecars), strict=True):
            yield key, sent


def download_results(
    medias: Sequence[str], folder: Path, store: ObjectStore, settings: Settings, progress: Callable[[], None]
) -> dict[str, int]:
    """Results of many media, side by side, as a tree below the folder; several at a time.

    Args:
        progress: called after each media.

    Returns:
        Number of files by media.

    Raises:
        KeyLayoutError: a key that would leave the folder.
    """

    def fetch(media: str) -> int:
        count = len(download_result(media, folder, store, settings))
        progress()
        return count

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(medias, pool.map(fetch, medias), strict=True))


def download_result(media: str, folder: Path, store: ObjectStore, settings: Settings) -> list[Path]:
    """All published files of one media into ``folder/<media>/``; parts stay where they are.

    Raises:
        KeyLayoutError: a key that would leave the folder.
    """
    prefix = f"{media}/"
    written = []
    for info in store.find(settings.output_bucket, prefix):
        if not keys.is_view(info.key.removeprefix(prefix)):
            continue
        target = _inside(folder, info.key)
        body = store.get(settings.output_bucket, info.key)
        if body is not None:
            target.write_bytes(body)
            written.append(target)
    return written


def download_media(media: str, folder: Path, store: ObjectStore, settings: Settings) -> bool:
    """The media itself, beside its report, where the player looks for it; False when it is gone.

    Raises:
        KeyLayoutError: a key that would leave the folder.
    """
    info = store.head(settings.input_bucket, media)
    target = _inside(folder, f"{media}/{PurePosixPath(media).name}")
    return info is not None and store.download(settings.input_bucket, info, target)


def _inside(folder: Path, key: str) -> Path:
    root = folder.resolve()
    target = (root / key.lstrip("/")).resolve()
    if not target.is_relative_to(root):
        raise KeyLayoutError(f"refusing to write outside {folder}: {key}")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def place_media(path: Path, media: str, folder: Path) -> None:
    """Put the media beside its report, where the player looks for it: linked if possible, else copied."""
    target = folder / media / Path(media).name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _suffixes() -> str:
    return " ".join(sorted(keys.MEDIA_SUFFIXES))
