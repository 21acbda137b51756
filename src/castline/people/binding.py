"""Late binding: names are bound anew in published results, from parts, without a model run on media."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cache

from castline import keys
from castline.errors import UnreadableObject
from castline.gallery import PhotoEmbedder, load_gallery
from castline.records import PhotoEmbedding, Result
from castline.settings import Settings
from castline.stages.common import read_result
from castline.stages.complete import complete_run
from castline.storage.base import ObjectStore

logger = logging.getLogger(__name__)


class _OtherModel(Exception):
    """Photos are embedded by another model here than the faces of a result were."""


def reassemble(
    store: ObjectStore,
    settings: Settings,
    embed: PhotoEmbedder,
    *,
    everything: bool = False,
    tell: Callable[[str], None] = logger.warning,
) -> Iterator[str]:
    """Bind names anew in every published result that the gallery as it is now may change.

    A result of another face model than ``embed``'s is bound with the embeddings that model left in the
    gallery; photos that are newer are named in its warnings.

    Args:
        everything: also results that are up to date, or show nobody.
        tell: called with a line about each media whose names could not be bound.

    Yields:
        Each media of which at least one file was written, after its result was.
    """

    @cache
    def fingerprint(model: str) -> str:
        return load_gallery(store, settings.gallery_bucket, model).gallery.fingerprint

    medias = [
        info.key.removesuffix(f"/{keys.RESULT}")
        for info in store.find(settings.output_bucket)
        if info.key.endswith(f"/{keys.RESULT}")
    ]
    for media in medias:
        result = read_result(media, store, settings)
        if result is None:
            tell(f"{media}: its result cannot be read and stays as it is; see: castline reconcile")
            continue
        if not (everything or _outdated(result, fingerprint)):
            continue
        before = _published(media, store, settings)
        try:
            _complete(result, store, settings, embed)
        except UnreadableObject as error:
            tell(f"{media}: names are not bound anew: {error.message}")
            continue
        if _published(media, store, settings) != before:
            yield media


def _outdated(result: Result, fingerprint: Callable[[str], str]) -> bool:
    model = result.engines.get("embedder")
    if result.gallery is None or model is None:  # no face was seen
        return False
    # A gallery warning may be about a photo that whoever assembled had no model for.
    unsure = any(warning.code == "gallery_photo" for warning in result.warnings)
    return unsure or result.gallery != fingerprint(model)


def _complete(result: Result, store: ObjectStore, settings: Settings, embed: PhotoEmbedder) -> None:
    model = result.engines.get("embedder")

    def same_model(body: bytes) -> PhotoEmbedding:
        embedding = embed(body)
        if embedding.model != model:
            raise _OtherModel
        return embedding

    try:
        complete_run(result.media, result.run, store, settings, same_model)
    except _OtherModel:
        complete_run(result.media, result.run, store, settings)


def _published(media: str, store: ObjectStore, settings: Settings) -> dict[str, str]:
    """ETags of a media's files by name."""
    prefix = f"{media}/"
    return {
        name: info.etag
        for info in store.find(settings.output_bucket, prefix)
        if keys.is_view(name := info.key.removeprefix(prefix))
    }
