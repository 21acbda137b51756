"""``python -m castline.local``: run the stack in the foreground until told to end."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from typing import get_args

from castline.errors import CastlineError, LocalStackError
from castline.gate.private import UMASK
from castline.local.session import LOOK, Orphan
from castline.local.stack import LocalStack
from castline.local.state import Keep
from castline.settings import Settings, settings

logger = logging.getLogger("castline.local")

_WATCH_S = 1.0


def main() -> int:
    """Start, re-drive what is unfinished, wait for SIGTERM, SIGINT or the end of the last user, and stop."""
    parser = argparse.ArgumentParser(prog="python -m castline.local", description=__doc__)
    parser.add_argument("--slots", type=int, default=2, help="processes per function")
    parser.add_argument("--prewarm", action="store_true", help="start the processes now, not with their first event")
    parser.add_argument("--keep", choices=get_args(Keep), default="always", help="how long it stays")
    parser.add_argument("--when-told", action="store_true", help="import, and read the rest from standard input")
    arguments = parser.parse_args()
    if arguments.when_told:
        asked = _told()
        if asked is None:
            return 0
        arguments = parser.parse_args(asked)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    ended, woken = threading.Event(), threading.Event()

    def told(number: int, _frame: object) -> None:
        if number != LOOK:
            ended.set()
        woken.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, LOOK):
        signal.signal(number, told)
    config = settings()
    try:
        with LocalStack(config, arguments.slots, prewarm=arguments.prewarm, keep=arguments.keep) as stack:
            logger.info("ready at %s", stack.endpoint_url)
            if arguments.keep == "always":
                _catch_up(stack, config)
            orphan = Orphan(config.state_dir)
            while not ended.is_set():
                woken.wait(_WATCH_S)
                woken.clear()
                if not stack.alive:
                    raise LocalStackError("the AWS emulator died; the end of its log is in logs/ministack.log")
                if orphan.look(busy=stack.host is not None and stack.host.busy):
                    break
    except CastlineError as error:
        if error.detail:
            logger.error("%s", error.detail)
        logger.error("%s", error)
        return 1
    return 0


def _told() -> list[str] | None:
    """Import what a stack needs, then wait for its arguments (of ``start_detached``); None if standard input ends."""
    import castline.local.deploy
    import castline.local.lambda_host  # noqa: F401

    line = sys.stdin.buffer.readline()
    if not line:
        return None
    orders = json.loads(line)
    os.umask(UMASK)
    os.chdir(orders["folder"])
    os.environ.clear()
    os.environ.update(orders["environment"])
    for flags, path, targets in ((os.O_WRONLY | os.O_APPEND, orders["log"], (1, 2)), (os.O_RDONLY, os.devnull, (0,))):
        opened = os.open(path, flags)
        for target in targets:
            os.dup2(opened, target)
        os.close(opened)
    asked: list[str] = orders["arguments"]
    return asked


def _catch_up(stack: LocalStack, config: Settings) -> None:
    from castline.operations import reconcile
    from castline.storage import S3Store

    try:
        reconcile(stack.client, S3Store(stack.client("s3")), config)
    except Exception:
        # A damaged object in a bucket must not prevent everything else from running.
        logger.exception("could not re-drive everything that was unfinished")


if __name__ == "__main__":
    sys.exit(main())
