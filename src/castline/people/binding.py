"""Late binding: names are bound again in published results, from parts, without running a model on media."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

from castline import keys
from castline.errors import ModelError, UnreadableObject
from castline.gallery.load import PhotoEmbedder, RememberedGalleries, fingerprint_now
from castline.records import PhotoEmbedding, Result
from castline.runs.common import read_result
from castline.runs.complete import Assembler
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = logging.getLogger(__name__)


class _OtherModel(ModelError):
    """The photos were embedded by another model than the faces of the result."""


def reassemble(
    store: ObjectStore,
    settings: Settings,
    embed: PhotoEmbedder,
    *,
    everything: bool = False,
    tell: Callable[[str], None] = logger.warning,
) -> Iterator[str]:
    """Bind names again in every published result that the present gallery may change.

    A result of another face model than ``embed``'s is bound with that model's embeddings in the gallery; photos without
    them are named in its warnings.

    Args:
        everything: include results that are up to date, or show nobody.
        tell: called with a line about each recording whose names could not be bound.

    Yields:
        The key of each recording for which at least one file was written, once its result has been.
    """

    now = fingerprint_now(store, settings.gallery_bucket)
    bind = _Binder(store, settings, embed)
    published = [
        info.key.removesuffix(f"/{keys.RESULT}")
        for info in store.find(settings.output_bucket)
        if info.key.endswith(f"/{keys.RESULT}")
    ]
    for media in published:
        result = read_result(media, store, settings)
        if result is None:
            tell(f"{media}: its result cannot be read and stays as it is; see: castline reconcile")
            continue
        if not (everything or _outdated(result, now)):
            continue
        before = _published(media, store, settings)
        try:
            bind(result)
        except UnreadableObject as error:
            tell(f"{media}: names are not bound anew: {error.message}")
            continue
        if _published(media, store, settings) != before:
            yield media


def _outdated(result: Result, fingerprint: str) -> bool:
    if result.gallery is None or not {"embedder", "voice_encoder"} & result.engines.keys():  # there is nobody to name
        return False
    # A gallery warning may be about a photo for which the earlier assembly had no model.
    unsure = any(warning.code == "gallery_photo" for warning in result.warnings)
    return unsure or result.gallery != fingerprint


class _Binder:
    """Assembles one run after the other; shared data is read once."""

    def __init__(self, store: ObjectStore, settings: Settings, embed: PhotoEmbedder) -> None:
        self._embed = embed
        self._model = ""  # of the current result
        self._foreign: set[str] = set()  # models other than ``embed``'s
        galleries = RememberedGalleries()
        self._without_model = Assembler(store, settings, load=galleries)
        self._with_model = replace(self._without_model, embed_photo=self._embed_here)

    def __call__(self, result: Result) -> None:
        self._model = result.engines.get("embedder", "")
        if self._model not in self._foreign:
            try:
                self._with_model.complete(result.media, result.run)
                return
            except _OtherModel:
                self._foreign.add(self._model)
        self._without_model.complete(result.media, result.run)

    def _embed_here(self, body: bytes) -> PhotoEmbedding:
        embedding = self._embed(body)
        if embedding.model != self._model:
            raise _OtherModel(embedding.model)
        return embedding


def _published(media: str, store: ObjectStore, settings: Settings) -> dict[str, str]:
    """ETags of the published files of a recording, by name."""
    prefix = f"{media}/"
    return {
        name: info.etag
        for info in store.find(settings.output_bucket, prefix)
        if keys.is_view(name := info.key.removeprefix(prefix))
    }
