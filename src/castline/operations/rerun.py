"""Processes a media file again: what was made from its current upload is discarded, and it is split again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from castline.errors import OptionsError
from castline.events import object_created
from castline.operations.reconcile import Sender
from castline.runs.common import no_recording
from castline.runs.removal import keys_of_run
from castline.runs.request import read_source
from castline.runs.sets import current_run
from castline.settings import Settings
from castline.storage.base import ObjectStore


def rerun(media: str, client: Callable[[str], Any], store: ObjectStore, settings: Settings) -> str:
    """Split and analyse the current upload of a media file again; the published result stays until then.

    Args:
        client: makes a boto3 client of a service.

    Returns:
        The id of the run.

    Raises:
        OptionsError: there is no such upload.
    """
    source = read_source(settings.input_bucket, media, store)
    if source is None:
        raise OptionsError(no_recording(media, store, settings))
    run, _ = current_run(source, store, settings)
    forget_run(media, run, store, settings)
    Sender(client, settings)(settings.splitter_function, object_created(settings.input_bucket, media, source.size))
    return run


def forget_run(media: str, run: str, store: ObjectStore, settings: Settings) -> None:
    """Remove the units and parts of a run, so that it is made anew; its published result stays."""
    for bucket in (settings.stage1_bucket, settings.output_bucket):
        store.delete(bucket, list(keys_of_run(bucket, media, run, store)))
