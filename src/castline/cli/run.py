"""``castline run``: the whole pipeline on this machine, from upload to report."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from castline.cli import connect
from castline.cli.asked import sidecars
from castline.cli.connect import (
    OF_THE_STACK,
    Connection,
    answer,
    check_installed,
    check_writable,
    console,
    errors,
    local_session,
    print_json,
    refuse_classic,
    tell,
)
from castline.cli.earlier import send
from castline.cli.index import write_index
from castline.cli.inputs import Inputs, inputs
from castline.cli.render import print_summary, problem_of, relative, show_left_out, transfer_bar, watch
from castline.cli.shown import below, escape
from castline.cli.transfer import download_proxy, download_result, place_media, place_of
from castline.display import counted, some
from castline.engines.base import EngineInfo, check_request
from castline.engines.plugins import ROLES
from castline.engines.process import Engines
from castline.engines.report import english_engine, prepare
from castline.errors import CastlineError, GalleryError, LocalStackError, ModelError, NoSpeechEngine
from castline.gallery.load import fingerprint_now, load_gallery, looks_known
from castline.keys import REPORT, RESULT
from castline.media import probe
from castline.media.ffmpeg import Limits
from castline.operations.pending import without_result
from castline.operations.progress import Lookout, MediaProgress, progress_of
from castline.people import Picture, enrol, photos_in, picture_of, reassemble
from castline.recognition.photo import embed_photo
from castline.records import PhotoEmbedding, Source, SpeechOptions
from castline.runs.request import override
from castline.settings import Settings, settings

if TYPE_CHECKING:
    from castline.local.session import Session

DEMO_GALLERY = "gallery"  # beside the demo video
_OF_THE_ENGINES = ("language_guessed", "no_speech_engine")  # warnings about the engines, not about a file
#: The values of ``speakers`` that need a role.
_ASKED_BY = {"voice_encoder": {"voices", "auto"}, "active_speaker": {"auto"}}
_NAMED = 3  # unfinished media files that a message names


@dataclass(frozen=True, slots=True)
class Asked:
    """The flags of ``run``.

    Attributes:
        name: key to use instead of the file's name; for a folder, what its keys begin with.
        replace: whether another recording of the same name is replaced.
        again: whether files that already have a result are processed, too.
        flags: options for all media files, as a sidecar names them.
    """

    what: str
    output: Path
    slots: int
    gallery: Path | None
    name: str
    replace: bool
    again: bool
    as_json: bool
    flags: Mapping[str, Any]


def run_media(asked: Asked) -> int:
    """Process a file, a folder or an address; print and download the results.

    Returns:
        Exit status: 0 when every file ended ``complete``, 1 otherwise.
    """
    check_installed("onnxruntime", "cv2", *OF_THE_STACK)
    config = settings()
    refuse_classic(config)
    with (
        transfer_bar(console, "fetching") as arrived,
        inputs(asked.what, asked.name, asked.output, config, arrived) as given,
    ):
        check_writable(asked.output)
        return _run(given, asked, config)


def _run(given: Inputs, asked: Asked, config: Settings) -> int:
    from castline.local.engine import has_bucket  # after check_installed
    from castline.local.files import LibraryFiles

    show_left_out(console, given.left_out)
    people = _folders(asked.gallery or _demo_gallery(asked.what))
    options = sidecars(given.files, asked.flags, config)
    engines = Engines(config)
    judged = _of_speech(given.files, options, config)
    with ThreadPoolExecutor(3) as pool:
        used_before = has_bucket(config.state_dir, config.gallery_bucket)

        # The stack starts in a process of its own, and is waited for here only when it is needed.
        def start() -> Future[tuple[Connection, Session]]:
            return pool.submit(local_session, config, asked.slots, prewarm=True)

        stack = None if judged else start()
        # Listed while the stack starts: once it runs, other commands may be working on them.
        left = pool.submit(without_result, LibraryFiles(config.state_dir), config)
        _say_engines(options, config)
        # Only now: preparing the engines may have fetched a better model.
        known = english_engine(config) if judged else None
        if known:
            _check_speech(judged, known)
        stack = stack or start()
        if judged and not known:
            _check_loaded(judged, engines)
        # A library that was used before has its photos indexed; for a new one, that is done while the stack starts.
        looks = (lambda: _looks_known(engines, stack.result()[0])) if used_before else dict[str, PhotoEmbedding]
        pictures = pool.submit(_pictures, people, engines, looks) if people else None
        with console.status("starting the local stack"):
            local, session = stack.result()
        how = f"{counted(asked.slots, 'process', 'processes')} per function" if session.started else "already running"
        if not session.started and (others := session.differences()):
            raise LocalStackError(
                f"the stack that runs in {config.state_dir} was started with {', '.join(others)}: end what uses it "
                "(castline down), or give this run a --library of its own"
            )
        below(console, f"stack: {local.where.rpartition(' ')[2]} ({how})")
        sources = send(given.files, options, local, replace=asked.replace, again=asked.again)
        if session.started:  # otherwise another command may be working on them
            _say_unfinished(sources, left.result())
        if pictures:
            _enrol(pictures.result(), engines, local)
    durations = {key: _length(path, config) for path, key in given.files}
    try:
        processed = watch(console, Lookout(sources, local.store, config, durations))
    except KeyboardInterrupt:
        console.print("  run the same command again to continue from here")
        raise
    if _named_by_others(processed, _fingerprint(local)):
        processed = _named_anew(sources, engines, local)
    return _show(given.files, processed, asked, local)


def _say_engines(options: Sequence[bytes | None], config: Settings) -> None:
    """Prepare the engines that these files need, and say which they are.

    Args:
        options: the sidecar of each file; None for none.
    """
    asked = {override(config.options(), body or b"{}", "").speakers for body in options}
    unused = {role for role, kinds in _ASKED_BY.items() if not asked & kinds}
    roles = [role for role in ROLES if role not in unused]
    console.print(f"[bold]Castline[/]  {counted(len(options), 'file')}, engines on this machine:")
    with console.status("preparing models (the first run builds the face networks)") as status:
        lines = prepare(config, lambda done, _: status.update(f"fetching a model: {done / 1e6:.0f} MB"), roles=roles)
    for line in lines:
        said = line if connect.verbose else line.partition("; ")[0]
        below(console, f"{escape(said)}")
    if any("; " in line for line in lines) and not connect.verbose:
        console.print("  [dim]castline doctor says what would give you better ones[/]")


def _of_speech(
    files: Sequence[tuple[Path, str]], options: Sequence[bytes | None], config: Settings
) -> dict[SpeechOptions, str]:
    """What is asked of speech that not every engine can do, and the first file for which it is."""
    found: dict[SpeechOptions, str] = {}
    for (path, _), body in zip(files, options, strict=True):
        whole = override(config.options(), body or b"{}", "")
        if whole.language or whole.task == "translate":
            found.setdefault(SpeechOptions(language=whole.language, task=whole.task), path.name)
    return found


def _check_speech(judged: Mapping[SpeechOptions, str], info: EngineInfo) -> None:
    """Refuse what the speech engine cannot do, before anything is sent.

    Raises:
        ModelError: the engine does not support the language or the task.
    """
    for options, name in judged.items():
        try:
            check_request(info, options)
        except ModelError as error:
            raise ModelError(f"{name}: {error.message}") from error


def _check_loaded(judged: Mapping[SpeechOptions, str], engines: Engines) -> None:
    with contextlib.suppress(NoSpeechEngine):  # the result will say that there is none
        _check_speech(judged, engines.transcriber.info)


def _say_unfinished(sources: Sequence[Source], found: Sequence[str]) -> None:
    """Name what an interrupted run left unfinished, apart from what is asked for now."""
    ours = {source.key for source in sources}
    left = [key for key in found if key not in ours]
    if left:
        below(console, f"left unfinished earlier: {escape(some(left, _NAMED))} (castline reconcile finishes it)")


def _length(path: Path, config: Settings) -> float:
    """Duration in seconds, for the progress bar only; 0 if unknown."""
    try:
        return probe(path, Limits.of(config)).duration_s or 0.0
    except CastlineError:
        return 0.0


def _demo_gallery(what: str) -> Path | None:
    """The gallery that comes with the demo; None for any other media."""
    beside = Path(what).parent / DEMO_GALLERY
    return beside if Path(what).name == "demo.mp4" and beside.is_dir() else None


def _folders(gallery: Path | None) -> list[Path]:
    """The folders of a gallery, one per person with photos of them.

    Raises:
        GalleryError: it is not a folder, or has no people in it.
    """
    if gallery is None:
        return []
    if not gallery.is_dir():
        raise GalleryError(f"{gallery} is not a folder")
    people = sorted(folder for folder in gallery.iterdir() if folder.is_dir())
    if not people:
        raise GalleryError(f"no people in {gallery}: put one folder of photos per name there")
    return people


@dataclass(frozen=True, slots=True)
class _Enrolled:
    """Attributes:
    pictures: by the person's name.
    looks: embeddings, by the photo's bytes.
    """

    pictures: dict[str, list[Picture]]
    looks: dict[bytes, PhotoEmbedding]


def _looks_known(engines: Engines, local: Connection) -> dict[str, PhotoEmbedding]:
    return looks_known(local.store, local.settings.gallery_bucket, engines.embedder.info.id)


def _pictures(people: Sequence[Path], engines: Engines, known: Callable[[], Mapping[str, PhotoEmbedding]]) -> _Enrolled:
    """Embed the photos that are not in the index yet.

    Args:
        known: returns the indexed embeddings by ETag, which is a photo's MD5.
    """
    looks: dict[bytes, PhotoEmbedding] = {}
    indexed = known()

    def embed(body: bytes) -> PhotoEmbedding:
        if body not in looks:
            digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
            looks[body] = indexed.get(digest) or embed_photo(body, engines)
        return looks[body]

    found = {folder.name: [picture_of(path, embed) for path in photos_in([folder])] for folder in people}
    return _Enrolled(found, looks)


def _enrol(people: _Enrolled, engines: Engines, local: Connection) -> None:
    for name, pictures in people.pictures.items():
        enrol(name, pictures, local.store, local.settings)
    # The index of the gallery is written here, so that no function has to embed the photos again.
    load_gallery(
        local.store,
        local.settings.gallery_bucket,
        engines.embedder.info.id,
        lambda body: people.looks.get(body) or embed_photo(body, engines),
    )
    below(console, f"people known: {escape(', '.join(people.pictures))}")


def _fingerprint(local: Connection) -> str:
    return fingerprint_now(local.store, local.settings.gallery_bucket)


def _named_by_others(processed: Sequence[MediaProgress], fingerprint: str) -> bool:
    """Whether a result was bound to other people than those of this gallery; one without faces and voices never is."""
    return any(item.result and item.result.gallery not in (None, fingerprint) for item in processed)


def _named_anew(sources: Sequence[Source], engines: Engines, local: Connection) -> list[MediaProgress]:
    """Bind names again in results that were made before somebody was enrolled."""
    list(reassemble(local.store, local.settings, lambda body: embed_photo(body, engines), tell=tell))
    return [progress_of(source, local.store, local.settings) for source in sources]


def _shared_warnings(processed: Sequence[MediaProgress]) -> dict[str, int]:
    """Warnings about the engines that several files share, to be shown once, and how many files have them."""
    notices = [notice for item in processed if item.result for notice in item.result.warnings]
    said = Counter(notice.message for notice in notices if notice.code in _OF_THE_ENGINES)
    return {message: count for message, count in said.items() if count > 1}


def _show(
    files: Sequence[tuple[Path, str]], processed: Sequence[MediaProgress], asked: Asked, local: Connection
) -> int:
    found = []
    shared = _shared_warnings(processed) if not asked.as_json else {}
    for (source, key), item in zip(files, processed, strict=True):
        place = place_of(key, asked.output)
        if item.result is None:
            tell(f"{key}: {item.problem}")
        else:
            download_result(key, asked.output, local.store, local.settings)
            place_media(source, key, asked.output)
            download_proxy(item.result, asked.output, local.store, local.settings)
            if console.quiet and item.result.error:  # else the summary says it
                errors.print(f"[yellow]{item.state}[/] {escape(key)}: {escape(problem_of(item))}", soft_wrap=True)
            if not asked.as_json:
                print_summary(console, item.result, place, brief=len(files) > 1, but=shared)
                answer.print(f"report: {escape(relative(place / REPORT))}", soft_wrap=True)
        found.append(
            {
                "media": key,
                "state": item.state if item.result else "failed",
                "problem": item.result.error.message if item.result and item.result.error else item.problem,
                "people": [person.name for person in item.result.people] if item.result else [],
                "result": str(place / RESULT) if item.result else None,
                "report": str(place / REPORT) if item.result else None,
            }
        )
    complete = sum(item.state == "complete" for item in processed)
    index = write_index(asked.output)
    if len(processed) > 1:
        console.print(f"\n{complete} of {len(processed)} complete")
    for message, count in shared.items():
        below(console, f"[yellow]warning[/] for {count} of them: {escape(message)}")
    if index and not asked.as_json:
        console.print(f"all results: {escape(relative(index))}", soft_wrap=True)
    if asked.as_json:
        print_json(found)
    return 0 if complete == len(processed) else 1
