"""What notifies stage 2 of a new stage-1 object: S3 itself, or the splitter.

``Orchestration=queue`` and ``events`` leave it to the bucket's notifications, ``invoke`` has the splitter invoke the
analyser asynchronously, and with ``stepfunctions`` a state machine does it (``stages.steps``); a splitter that is
invoked outside the machine, for a repair, invokes it, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from castline import keys
from castline.aws import invoke_later
from castline.events import object_created
from castline.settings import Settings

Announce = Callable[[str], None]
"""Called with the key of a stage-1 object once it is written."""


def nobody(_key: str) -> None:
    """Do nothing: something else notifies stage 2."""


def announcer(settings: Settings) -> Announce:
    """What the splitter does to announce a new stage-1 object."""
    if settings.orchestration in ("queue", "events"):
        return nobody

    def invoke(key: str) -> None:
        function = settings.splitter_function if keys.parse_range(key) else settings.analyser_function
        invoke_later(function, json.dumps(object_created(settings.stage1_bucket, key)).encode())

    return invoke
