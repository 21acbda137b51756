"""Writes a result and its views, so that everything shown together was made together."""

from __future__ import annotations

from aws_lambda_powertools import Logger

from castline import keys
from castline.assembly import Assembly
from castline.corrections import corrected
from castline.records import ObjectInfo
from castline.report import content_type, render_views
from castline.runs.flat import holds, publish_flat
from castline.runs.written import etag_now, read_written
from castline.settings import Settings
from castline.storage.base import ObjectStore

logger = Logger(child=True)


def publish(assembly: Assembly, instead_of: ObjectInfo | None, store: ObjectStore, settings: Settings) -> bool:
    """Write the views, and the result last, because it is what people wait for.

    Here, and nowhere else, corrections enter the views; the result stays as the machine made it.

    Args:
        instead_of: ``result.json`` as it was before any input of the assembly was read.

    Returns:
        False if somebody else published or corrected meanwhile. The views are then of this assembly, but the result is
        the other one: the caller reads everything again and publishes once more.
    """
    result, bucket = assembly.result, settings.output_bucket
    written = read_written(result.media, store, settings)
    shown = corrected(result, written.corrections.now()).result
    files = {**assembly.images, **render_views(shown, assembly.images)}
    crops = keys.result_key(result.media, "people/")
    stale = [
        info.key
        for info in store.find(bucket, crops)
        if (name := info.key.removeprefix(f"{result.media}/")) not in files and keys.is_view(name)
    ]
    for name, body in sorted(files.items()):
        key = keys.result_key(result.media, name)
        if not holds(store.head(bucket, key), body):
            store.put(bucket, key, body, content_type=content_type(name))
    if stale:
        store.delete(bucket, stale)
    if settings.transcript_layout == "flat":
        publish_flat(shown, store, settings)
    key, body = keys.result_key(result.media), result.to_json()
    if instead_of and holds(instead_of, body):
        now = store.head(bucket, key)
        unchanged = now is not None and now.etag == instead_of.etag
        return unchanged and etag_now(result.media, store, settings) == written.etag
    if not store.put(bucket, key, body, if_absent=instead_of is None, if_match=instead_of.etag if instead_of else None):
        return False
    if etag_now(result.media, store, settings) != written.etag:
        return False
    logger.info("assembled", media=result.media, run=result.run, status=result.status, people=len(result.people))
    return True
