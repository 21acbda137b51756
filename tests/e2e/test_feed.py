"""The library follows publications, corrections and removals by their events; it lists only once an hour here."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from castline import keys
from castline.archive.search import search
from castline.corrections import change_lines
from castline.local.stack import LocalStack
from castline.operations import delete_media
from castline.records.corrections import SaidLine
from castline.runs.corrections import correct
from castline.service.pages.shelf import Deployment
from castline.settings import Settings
from tests.report.conftest import Make, make
from tests.service.conftest import Running, running, service_settings, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
__all__ = ["make"]
_SOON_S = 2.0


@pytest.fixture(scope="module")
def pipeline(make_settings: Callable[..., Settings], attach: Any) -> Iterator[Any]:
    config = make_settings(prefix="feed")
    with LocalStack(config, slots=2) as stack:
        yield attach(stack, config)


@pytest.fixture(scope="module")
def library(pipeline: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    there = Deployment(pipeline.store, pipeline.settings, "feed", pipeline.stack.client)
    service = service_settings(tmp_path_factory.mktemp("service"), pages_refresh_s=3600)
    with running(service, pipeline.settings, lambda: there) as up:
        until(lambda: up.app.state.shelf.looked)
        yield up


def _seconds_until(condition: Callable[[], Any]) -> float:
    start = time.monotonic()
    until(condition)
    return time.monotonic() - start


def test_published_corrected_and_deleted_within_two_seconds(
    pipeline: Any, library: Running, odd_media: dict[str, Path], make: Make
) -> None:
    index = library.app.state.shelf.index
    store, settings = pipeline.store, pipeline.settings
    media = "week 1/Été + talk.mp4"
    key = keys.result_key(media)
    pipeline.upload(odd_media["both.mp4"], media)
    pipeline.results([media])
    until(lambda: media in index.etags())

    # A correction writes the result again. The first ones wait for the announcer's processes to start.
    body, took = store.get(settings.output_bucket, key), []
    for number in range(7):
        run = f"{number:016x}"
        store.put(settings.output_bucket, key, re.sub(rb'"run": ?"[^"]*"', f'"run":"{run}"'.encode(), body, count=1))
        took.append(_seconds_until(lambda run=run: _run(index, media) == run))
    assert statistics.median(took) < _SOON_S, took

    # Corrections lie beside the result.
    spoken = make.result(media=media, segments=[make.segment(1, "The budgit is small.", 0, 5)])
    store.put(settings.output_bucket, key, spoken.to_json())
    until(lambda: search(index, "budgit").hits)
    put_right = [SaidLine(text="The budget is small.")]
    correct(media, "Ada", lambda shown: change_lines(shown.view, shown.corrections, 0, 0, put_right), store, settings)
    assert _seconds_until(lambda: search(index, "budget").hits) < _SOON_S

    # DeleteObjects, which every command uses; and S3's own DeleteObject.
    delete_media(media, store, settings)
    assert _seconds_until(lambda: not index.etags()) < _SOON_S
    store.put(settings.output_bucket, key, body)
    until(lambda: list(index.etags()) == [media])
    pipeline.stack.client("s3").delete_object(Bucket=settings.output_bucket, Key=key)
    assert _seconds_until(lambda: not index.etags()) < _SOON_S


def test_missed_events_are_found_by_listing(pipeline: Any, library: Running, odd_media: dict[str, Path]) -> None:
    shelf = library.app.state.shelf
    queues = pipeline.stack.client("sqs")
    url = queues.get_queue_url(QueueName="feed-library")["QueueUrl"]
    pipeline.upload(odd_media["text.mp4"], "missed.mp4")
    pipeline.results(["missed.mp4"])
    until(lambda: "missed.mp4" in shelf.index.etags())
    shelf.index.drop(["missed.mp4"])  # as if its event had never come
    queues.purge_queue(QueueUrl=url)
    shelf.look()
    assert search(shelf.index, "file:missed").hits


def _run(index: Any, media: str) -> str:
    with index.reading() as connection:
        row = connection.execute("SELECT run FROM recording WHERE media = ?", (media,)).fetchone()
    return str(row[0]) if row else ""
