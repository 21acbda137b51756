"""Routes events to the stages: the one place that knows the profile, and the steps of the state machine."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger

from castline import keys
from castline.engines.process import EngineSet, process_engines
from castline.events import Event, InvocationFailed, ObjectCreated, invocations_failed, objects_created
from castline.queues import DEAD, RECORDER, Message, each_message, of_queue, send, stage_messages
from castline.runs.common import Split, each
from castline.settings import Settings
from castline.stages import classic
from castline.stages.analyse import analyse_object
from castline.stages.announce import Announce, announcer
from castline.stages.failure import as_letter, give_up
from castline.stages.ranges import split_range
from castline.stages.split import split_media
from castline.stages.steps import run_step
from castline.storage.base import ObjectStore

logger = Logger(service="failure-recorder")


def _classic(settings: Settings) -> bool:
    return settings.profile == "classic"


def split_event(
    event: Event,
    store: ObjectStore,
    settings: Settings,
    announce: Announce | None = None,
    queues: Any | None = None,
) -> dict[str, Any]:
    """Split every media file of an S3 event, or of the messages of a queue, or do a step of the state machine.

    Args:
        announce: notifies stage 2 of each new object; by default according to the settings' orchestration.

        queues: a client of SQS; default: AWS's.

    Returns:
        ``{"runs": [run ids]}``, without those that were already split; ``{"frames": [keys]}`` in the
        classic profile. For a step: what ``stages.steps`` returns. For messages of a queue: which of them are to be
            delivered again.
    """
    return stage_messages(event, lambda one: _split(one, store, settings, announce), settings, queues)


def _split(event: Event, store: ObjectStore, settings: Settings, announce: Announce | None) -> dict[str, Any]:
    split = classic.split_media if _classic(settings) else _split_object
    if "step" in event:
        return run_step(event, store, settings, split)
    tell = announce or announcer(settings)
    found = each(objects_created(event), lambda item: split(item, store, settings, tell))
    new = [one for one in found if one and one.new]
    if _classic(settings):
        return {"frames": [one.prefix + unit for one in new for unit in one.units]}
    return {"runs": [one.run for one in new]}


def _split_object(item: ObjectCreated, store: ObjectStore, settings: Settings, announce: Announce) -> Split | None:
    """A media file, or one range of a long one."""
    of_range = item.bucket == settings.stage1_bucket and keys.parse_range(item.key)
    return (split_range if of_range else split_media)(item, store, settings, announce)


def analyse_event(
    event: Event,
    store: ObjectStore,
    settings: Settings,
    engines: EngineSet | None = None,
    queues: Any | None = None,
) -> dict[str, Any]:
    """Analyse every unit of an S3 event, or of the messages of a queue; a manifest only checks whether its run is
    complete.

    Args:
        queues: a client of SQS; default: AWS's.

    Returns:
        ``{"parts": [unit names], "assembled": [media]}``; ``{"answers": [keys]}`` in the classic profile. For messages
        of a queue: which of them are to be delivered again.
    """
    return stage_messages(event, lambda one: _analyse(one, store, settings, engines), settings, queues)


def _analyse(event: Event, store: ObjectStore, settings: Settings, engines: EngineSet | None) -> dict[str, Any]:
    loaded = engines or process_engines(settings, store)
    if _classic(settings):
        answers = each(objects_created(event), lambda item: classic.recognise(item, store, settings, loaded))
        return {"answers": [key for key in answers if key]}
    done = each(objects_created(event), lambda item: analyse_object(item, store, settings, loaded))
    return {
        "parts": [one.part for one in done if one.part],
        "assembled": [one.assembled for one in done if one.assembled],
    }


def failure_event(event: Event, store: ObjectStore, settings: Settings, queues: Any | None = None) -> dict[str, Any]:
    """Record every failed invocation of an event, and assemble the runs that this completes.

    Messages from the queue of given-up messages are put into the dead-letter queue once they are recorded.

    Args:
        queues: a client of SQS; default: AWS's.

    Returns:
        ``{"recorded": [media]}``; keys of answers in the classic profile. For messages of a queue: which of them are to
        be delivered again.

    Raises:
        EventError: something in the event is not a failed invocation; the others are recorded.
    """
    if not of_queue(event):
        return _record(event, store, settings)

    def record_and_keep(message: Message) -> None:
        letter = as_letter(message, settings)
        _record(letter, store, settings)
        send(letter, DEAD, settings, queues)

    return each_message(event, record_and_keep, settings, queues, RECORDER)


def _record(event: Event, store: ObjectStore, settings: Settings) -> dict[str, Any]:

    def end(failed: InvocationFailed, item: ObjectCreated) -> str | None:
        logger.error("out of retries", key=item.key, function=failed.function, reason=failed.reason)
        if _classic(settings):
            return classic.give_up(item, store, settings)
        return give_up(failed, item, store, settings)

    def record(failed: InvocationFailed) -> list[str]:
        answers = each(failed.objects(), lambda item: end(failed, item))
        if not answers:  # it stays in the dead-letter queue, for a person
            logger.error("an unknown event failed", function=failed.function, reason=failed.reason)
        return [answer for answer in answers if answer]

    return {"recorded": [answer for answers in each(invocations_failed(event), record) for answer in answers]}
