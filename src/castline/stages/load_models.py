"""Fills the models folder from S3: the one-off loader of ``ModelStorage=efs``."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from castline.events import Event
from castline.settings import Settings
from castline.storage.base import ObjectStore
from castline.weights.from_s3 import copy_models

logger = Logger(service="model-loader")


def load_models_event(_event: Event, store: ObjectStore, settings: Settings) -> dict[str, Any]:
    """Copy the models that the settings ask for, whatever the event says.

    Returns:
        ``{"written": [names], "kept": [names], "bytes": written}``.

    Raises:
        CastlineError: as ``copy_models``; the loader is invoked by hand, so its user reads the reason.
    """
    copied = copy_models(store, settings)
    logger.info("models are in place", folder=str(settings.models_dir), written=len(copied.written))
    return {"written": list(copied.written), "kept": list(copied.kept), "bytes": copied.size}
