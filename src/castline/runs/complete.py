"""Assembly by whichever function writes the last piece of a run: checks that all parts are there, publishes the result.

This needs no lock and no database. S3 is strongly consistent, so the function that writes the last piece (a part, an
error part or the manifest) sees all the others. It looks at the published result *before* it reads anything else, and
may replace only that one: if another was published meanwhile, it reads everything again. So a result never goes back
to fewer parts, an older upload or outdated names.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aws_lambda_powertools import Logger

from castline import keys, metrics
from castline.assembly import Assembly, assemble, main_embedder
from castline.errors import OUT_OF_RETRIES, StorageError, UnreadableObject
from castline.gallery.load import GalleryLoader, PhotoEmbedder, fingerprint_now, load_gallery
from castline.gallery.voices import load_voices
from castline.records import AudioPart, ErrorPart, Failure, FramesPart, Gallery, Manifest, Result
from castline.runs.audit import Deleted
from castline.runs.common import read_result
from castline.runs.mouths import Watch, mouths_of
from castline.runs.publish import publish
from castline.runs.removal import discard_deleted, discard_run
from castline.runs.request import read_source
from castline.runs.sets import read_manifest, read_part, written_parts
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = Logger(child=True)

_READS = 8  # at once
_TRIES = 20  # attempts, each spoilt by another publication
_RANK = ("failed", "partial", "complete")

Remake = Callable[[keys.UnitId], object]
"""Makes the part of a unit again."""


@dataclass(frozen=True, slots=True)
class Assembler:
    """Attributes:
    embed_photo: how to embed gallery photos that have no embedding yet; None if there is no model.
    watch: how to look at mouths; None if there is no model: then earlier observations are used.
    remake: what to do about a part that cannot be read; if None, the run ends without it and `reconcile` makes it.
    """

    store: ObjectStore
    settings: Settings
    embed_photo: PhotoEmbedder | None = None
    remake: Remake | None = None
    load: GalleryLoader = load_gallery
    watch: Watch | None = None

    def complete(self, media: str, run: str) -> bool:
        """Publish a run if all its parts are there, it is the current one, and nobody else has published it.

        Returns:
            Whether the run has ended, even by being replaced or deleted meanwhile.

        Raises:
            UnreadableObject: the manifest cannot be read.
            StorageError: others kept publishing in between.
        """
        for _ in range(_TRIES):
            ended = self._try(media, run)
            if ended is not None:
                return ended
        raise StorageError(f"the result of {media} was replaced {_TRIES} times while it was being published")

    def _try(self, media: str, run: str) -> bool | None:
        """One attempt at `complete`; None if somebody else was faster, or a part had to be made again."""
        store, settings = self.store, self.settings
        shown = store.head(settings.output_bucket, keys.result_key(media))  # before all that is read for the new one
        try:
            manifest = read_manifest(media, run, store, settings)
        except UnreadableObject:
            if discard_deleted(media, run, store, settings):
                return True
            raise
        if manifest is None:
            discard_deleted(media, run, store, settings)
            return False
        done, failed = written_parts(media, run, store, settings)
        names = {unit.name for unit in manifest.units}
        if names - done.keys() - failed.keys():
            return False
        published = read_result(media, store, settings)
        if published is None or published.run != run:
            current = read_source(manifest.source.bucket, media, store)
            if current is None:
                logger.info("deleted before it was published; removed", media=media, run=run)
                discard_run(media, run, store, settings)
                return True
            if current.identity != manifest.source.identity:
                logger.info("a newer upload replaced this media file; not published", media=media, run=run)
                if published is None:
                    return True
                # An earlier attempt may have written this run's views beside the other run's result.
                return None if self._try(media, published.run) is None else True
        elif self._is_gone(media) and media in Deleted(store, settings):  # its writer died before it noticed
            logger.info("deleted while it was being published; removed", media=media, run=run)
            discard_run(media, run, store, settings)
            return True
        assembly = self._assemble(manifest, names, done, failed)
        if assembly is None:
            return None if self.remake else False
        if published and _worse(assembly.result, published):
            logger.info("a better result of this run is published; kept", media=media, run=run)
            return True
        first = _keep_manifest(manifest, store, settings)
        if not publish(assembly, shown, store, settings):
            return None
        again = published is not None and published.run == run  # of an upload that expired, a result stays
        if self._is_gone(media) and (not again or media in Deleted(store, settings)):
            logger.info("deleted while it was being published; removed", media=media, run=run)
            discard_run(media, run, store, settings)
            return True
        if first:  # a run counts once, however often it is assembled
            _count(assembly.result)
        known = assembly.result.gallery
        if known is not None and fingerprint_now(store, settings.gallery_bucket) != known:
            return None  # somebody was enrolled before there was a result to put the name into
        return True

    def _is_gone(self, media: str) -> bool:
        return self.store.head(self.settings.input_bucket, media) is None

    def _assemble(
        self, manifest: Manifest, names: set[str], done: dict[str, keys.UnitId], failed: dict[str, keys.UnitId]
    ) -> Assembly | None:
        """None if an unreadable part was removed and is being made again."""
        store, settings = self.store, self.settings
        parts: dict[str, FramesPart | AudioPart] = {}
        errors: dict[str, ErrorPart] = {}
        wanted = [unit for name, unit in (done | failed).items() if name in names]
        with ThreadPoolExecutor(_READS) as pool:  # two hours of video have hundreds of parts
            found = list(pool.map(self._read, wanted, [unit.name in failed for unit in wanted]))
        damaged = [unit for unit, part in zip(wanted, found, strict=True) if isinstance(part, UnreadableObject)]
        for unit in damaged:
            store.delete(settings.output_bucket, [unit.part_key if unit.name in done else unit.error_key])
            if self.remake:
                self.remake(unit)
        if damaged and self.remake:
            return None
        for unit, part in zip(wanted, found, strict=True):
            if isinstance(part, UnreadableObject):
                failure = Failure(code=OUT_OF_RETRIES, message=f"gave up: {part.message}")
                errors[unit.name] = ErrorPart(unit=unit.name, error=failure)
            elif isinstance(part, ErrorPart):
                errors[unit.name] = part
            else:
                parts[unit.name] = part
        with_faces = [part for part in parts.values() if isinstance(part, FramesPart)]
        model = main_embedder(with_faces) if any(frame.faces for part in with_faces for frame in part.frames) else None
        loaded = self.load(store, settings.gallery_bucket, model, self.embed_photo) if model else None
        gallery = loaded.gallery if loaded else None
        heard = any(isinstance(part, AudioPart) and part.voices for part in parts.values())
        if heard and manifest.options.speakers == "auto":
            if gallery is None:
                gallery = Gallery(model="", fingerprint=fingerprint_now(store, settings.gallery_bucket))
            gallery = gallery.model_copy(update={"voices": load_voices(store, settings.gallery_bucket)})
        mouths = mouths_of(manifest, parts, store, settings, self.watch)
        return assemble(manifest, parts, errors, gallery, loaded.warnings if loaded else (), mouths)

    def _read(self, unit: keys.UnitId, failed: bool) -> FramesPart | AudioPart | ErrorPart | UnreadableObject:
        try:
            return read_part(unit, self.store, self.settings, failed=failed)
        except UnreadableObject as error:
            logger.error("a part cannot be read; it is made again", unit=unit.name, reason=error.message)
            return error


def complete_run(
    media: str,
    run: str,
    store: ObjectStore,
    settings: Settings,
    embed_photo: PhotoEmbedder | None = None,
    remake: Remake | None = None,
    watch: Watch | None = None,
) -> bool:
    """`Assembler.complete` for a single run."""
    return Assembler(store, settings, embed_photo, remake, watch=watch).complete(media, run)


def _keep_manifest(manifest: Manifest, store: ObjectStore, settings: Settings) -> bool:
    """Keep the manifest beside the parts; returns whether none was there before."""
    key, body = keys.manifest_key(manifest.media, manifest.run), manifest.to_json()
    first = store.put(settings.output_bucket, key, body, if_absent=True)
    if not first and store.get(settings.output_bucket, key) != body:  # the media file was split again
        store.put(settings.output_bucket, key, body)
    return first


def _worse(new: Result, published: Result) -> bool:
    """Whether a result has less in it than the published one of the same run: parts expire, but failures stay."""
    if new.run != published.run:
        return False
    return (_RANK.index(new.status), -len(new.failures)) < (_RANK.index(published.status), -len(published.failures))


def _count(result: Result) -> None:
    metrics.record("Media")
    metrics.record("CostUSD", result.processing.cost.usd)
    if result.status == "failed":
        metrics.record("Failures")
