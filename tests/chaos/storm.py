"""One storm over a local stack: the faults, and what must hold once it is over."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from castline import keys
from castline.events import object_created, objects_created
from castline.local import LocalStack
from castline.local.deploy import function_specs
from castline.local.stack import ffmpeg_layer, settings_environment
from castline.operations import delete_media, reconcile
from castline.operations.pending import pending
from castline.queues import GIVEN_UP, RANGES, UNITS, UPLOADS, queue_of, queue_url, send
from castline.records import Result
from castline.report import render_views
from castline.runs.audit import PREFIX as AUDIT
from castline.runs.removal import owner_of
from castline.runs.request import read_source
from castline.runs.sets import finished
from castline.settings import Settings
from castline.storage import S3Store
from tests.chaos.faults import FaultyProxy

_FUNCTIONS = ("video-splitting", "face-recognition", "failure-recorder")
_OF_QUEUES = ("repeat an event", "kill a process", "drop a message")
# Of this process, as root or under `unshare --map-root-user --mount`.
MAY_MOUNT = sys.platform == "linux" and os.geteuid() == 0
#: Waits are for events; this limit only ends a run that hangs. A message may lose all its five attempts, 930 s each.
_ENDS_S = 4800.0


def content(result: Result) -> dict[str, Any]:
    """What a result says, without the upload's identity and durations."""
    return result.model_dump(exclude={"media", "run", "source", "processing"})


@dataclass
class Storm:
    """
    Attributes:
        clips: what is uploaded; each is processed once undisturbed, for comparison.
        rate: share of the functions' requests that get a fault.
    """

    settings: Settings
    clips: list[Path]
    seed: int
    slots: int = 2
    rate: float = 0.15
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)
        self._there: dict[str, Path] = {}
        self._expected: dict[str, dict[str, Any]] = {}

    def run(self, deeds: int) -> None:
        """Undisturbed results first, then ``deeds`` deeds under faults, then `castline reconcile` once.

        Raises:
            AssertionError: something is lost, doubled, left behind, or hangs.
        """
        with self._disturbed():
            for _ in range(deeds):
                self._do(list(self._deeds()))
                time.sleep(self._dice.uniform(0, 0.4))

    def burst(self, uploads: int) -> None:
        """Upload many files at once; until all are processed, kill processes, and repeat and drop messages.

        ``done["by reconcile"]`` counts the uploads that were given up on the way.

        Raises:
            AssertionError: as ``run``.
        """
        with self._disturbed():
            for _ in range(uploads):
                self._do([(("upload", self._upload), 1)])
            while self._busy():
                deeds = [each for each in self._deeds() if each[0][0] in _OF_QUEUES]
                # If every process is killed again and again, giving a unit up for good is right.
                if fair := [each for each in deeds if self.done[each[0][0]] < max(uploads // 4, 5)]:
                    self._do(fair)
                time.sleep(self._dice.uniform(0, 1.0))

    @contextlib.contextmanager
    def _small_disks(self) -> Iterator[None]:
        """Every process has its own file system for ``/tmp``, if this process may mount them."""
        folder = self.settings.state_dir / "tmp"
        self._disks = [folder / f"{name}-{slot}" for name in _FUNCTIONS for slot in range(self.slots)]
        if not MAY_MOUNT:
            self._disks = []
        try:
            for disk in self._disks:
                disk.mkdir(parents=True, mode=0o700)
                subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs", disk], check=True)
            yield
        finally:
            for disk in self._disks:
                subprocess.run(["umount", "--lazy", disk], check=False)

    @contextlib.contextmanager
    def _disturbed(self) -> Iterator[None]:
        with self._small_disks():
            yield from self._storm()

    def _storm(self) -> Iterator[None]:
        self._stack = LocalStack(self.settings, slots=self.slots).start()
        try:
            self._look_undisturbed()
            with FaultyProxy(self._stack.endpoint_url, self._dice, 0.0) as self._proxy:
                self._through_proxy()
                self._proxy.rate = self.rate
                yield
                self._until_idle()  # the remaining work meets faults, too
                self._proxy.rate = 0.0
                self.done["by reconcile"] = sum(1 for _ in pending(self._store, self.settings))
                reconcile(self._stack.client, self._store, self.settings)
                self._until_idle()
                self.done += self._proxy.done
                self._check()
        finally:
            self._stack.stop()

    def _do(self, deeds: list[tuple[tuple[str, Callable[[], bool]], int]]) -> None:
        name, deed = self._dice.choices(*zip(*deeds, strict=True))[0]
        if deed():
            self.done[name] += 1

    # --- what is done ---

    def _deeds(self) -> Iterator[tuple[tuple[str, Callable[[], bool]], int]]:
        yield ("upload", self._upload), 6
        yield ("overwrite", self._overwrite), 2
        yield ("delete", self._delete), 2
        yield ("repeat an event", self._repeat), 5
        yield ("lose a unit", self._lose_unit), 2
        yield ("damage an object", self._damage), 2
        yield ("kill a process", self._kill), 4
        if self._disks:
            yield ("fill a disk", self._fill_disk), 2
        if self._queued:
            yield ("drop a message", self._drop), 3
        if self.done["kill the emulator"] < 1:
            yield ("kill the emulator", self._restart), 1

    def _upload(self) -> bool:
        key = f"Été {len(self._there)} + {self.seed}/{self._dice.randrange(10**6)}.MP4"
        self._there[key] = clip = self._dice.choice(self.clips)
        self._store.put(self.settings.input_bucket, key, clip)
        return True

    def _overwrite(self) -> bool:
        if not self._there:
            return False
        key = self._dice.choice(sorted(self._there))
        self._there[key] = clip = self._dice.choice(self.clips)
        self._store.put(self.settings.input_bucket, key, clip)
        return True

    def _delete(self) -> bool:
        if not self._there:
            return False
        key = self._dice.choice(sorted(self._there))
        del self._there[key]
        delete_media(key, self._store, self.settings)
        return True

    def _repeat(self) -> bool:
        bucket, function = self._dice.choice(
            [
                (self.settings.input_bucket, self.settings.splitter_function),
                (self.settings.stage1_bucket, self.settings.analyser_function),
            ]
        )
        found = [info.key for info in self._store.find(bucket)]
        if not found:
            return False
        event = object_created(bucket, self._dice.choice(found))
        queue = queue_of(function, event, self.settings) if self._queued else None
        if queue:
            send(event, queue, self.settings, self._sqs)
        else:
            self._lambda.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
        return True

    def _drop(self) -> bool:
        """Receive a message like a poller that dies with it: it reappears a second later, with one more receive."""
        queue = self._dice.choice((UPLOADS, RANGES, UNITS, GIVEN_UP))
        url = queue_url(queue, self.settings, self._sqs)
        return bool(self._sqs.receive_message(QueueUrl=url, VisibilityTimeout=1).get("Messages"))

    def _lose_unit(self) -> bool:
        found = [info.key for info in self._store.find(self.settings.stage1_bucket) if keys.parse_unit(info.key)]
        if not found:
            return False
        self._store.delete(self.settings.stage1_bucket, [self._dice.choice(found)])
        return True

    def _damage(self) -> bool:
        """Cut off a part or a manifest of a run without a result."""
        found = [
            (bucket, info.key)
            for bucket in (self.settings.stage1_bucket, self.settings.output_bucket)
            for info in self._store.find(bucket)
            if (keys.parse_part(info.key) or (keys.parse_manifest(info.key) and bucket == self.settings.stage1_bucket))
            and not self._store.head(self.settings.output_bucket, keys.result_key(owner_of(info.key).media))
        ]
        if not found:
            return False
        bucket, key = self._dice.choice(found)
        body = self._store.get(bucket, key)
        seen = self._store.head(bucket, key)
        return bool(
            body and seen and self._store.put(bucket, key, body[: self._dice.randrange(len(body))], if_match=seen.etag)
        )

    def _kill(self) -> bool:
        host = self._stack.host
        assert host is not None
        found = [pid for name in _FUNCTIONS for pid in host.pids(name)]
        if not found:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._dice.choice(found), signal.SIGKILL)
        return True

    def _fill_disk(self) -> bool:
        """No block is free in a function's ``/tmp`` for a moment."""
        ballast = self._dice.choice(self._disks) / "ballast"
        try:
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while file.write(bytes(1 << 20)):
                    pass
            time.sleep(self._dice.uniform(0.5, 3))
        finally:
            ballast.unlink(missing_ok=True)  # a new process has emptied its disk
        return True

    def _restart(self) -> bool:
        """The emulator dies and forgets everything but objects; the stack is started again, as by `castline up`."""
        state = self._stack._state
        assert state is not None
        os.kill(state.engine.pid, signal.SIGKILL)
        self._stack.stop()
        self._stack = LocalStack(self.settings, slots=self.slots).start()
        self._proxy.target = self._stack.endpoint_url
        self._through_proxy()
        reconcile(self._stack.client, self._store, self.settings)
        return True

    # --- the stack ---

    @property
    def _store(self) -> S3Store:
        """A user's store: without faults."""
        return S3Store(self._stack.client("s3"))

    @property
    def _lambda(self) -> Any:
        return self._stack.client("lambda")

    def _through_proxy(self) -> None:
        layer = ffmpeg_layer(self.settings.state_dir)
        assert self._stack.host is not None
        self._stack.host.configure(
            function_specs(
                self._stack.deployment, self._stack.deployer, layer_path=(layer,) if layer else (), slots=self.slots
            ),
            endpoint_url=self._proxy.url,
            credentials=self._stack.credentials,
            extra_environment=settings_environment(self.settings),
            mappings=self._stack.deployment.mappings,
            sqs=self._sqs,
            retry_s=self.settings.retry_s,
        )

    def _look_undisturbed(self) -> None:
        for clip in self.clips:
            self._store.put(self.settings.input_bucket, f"undisturbed/{clip.name}", clip)
        self._wait(lambda: all(self._result(f"undisturbed/{clip.name}") for clip in self.clips))
        for clip in self.clips:
            result = self._result(f"undisturbed/{clip.name}")
            assert result
            assert result.status == "complete"
            self._expected[clip.name] = content(result)

    def _result(self, key: str) -> Result | None:
        source = read_source(self.settings.input_bucket, key, self._store)
        return finished(source, self._store, self.settings) if source else None

    def _until_idle(self) -> None:
        """Wait until nothing is queued, running, or waiting for a retry, and the buckets no longer change."""
        still, before = 0, None

        def idle() -> bool:
            nonlocal still, before
            time.sleep(0.5)
            if self._busy():
                still = 0
                return False
            now = sorted(
                (bucket, info.key, info.etag)
                for bucket in (self.settings.stage1_bucket, self.settings.output_bucket)
                for info in self._store.find(bucket)
            )
            still = still + 1 if now == before else 0
            before = now
            return still >= 20  # longer than the emulator's longest pause between two tries

        self._wait(idle)

    def _busy(self) -> bool:
        host = self._stack.host
        assert host is not None
        return host.busy or (self._queued and self._messages() > 0)

    @property
    def _queued(self) -> bool:
        return self.settings.orchestration == "queue"

    @property
    def _sqs(self) -> Any:
        return self._stack.client("sqs")

    def _messages(self) -> int:
        """In the stages' queues, including hidden ones."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        urls = [queue_url(queue, self.settings, self._sqs) for queue in (UPLOADS, RANGES, UNITS, GIVEN_UP)]
        found = [self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))["Attributes"] for url in urls]
        return sum(int(each[name]) for each in found for name in names)

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _ENDS_S
        while not condition():
            if time.monotonic() > deadline:
                left = self._messages() if self._queued else 0
                raise AssertionError(f"seed {self.seed} hangs, {left} messages are left: {self.done}")
            time.sleep(0.1)

    # --- what must hold ---

    def _check(self) -> None:
        config, store = self.settings, self._store
        left = [(function, item.key) for function, event in pending(store, config) for item in objects_created(event)]
        assert not left, f"reconciling once is not enough: {left[:5]}"
        for key, clip in self._there.items():
            result = self._result(key)
            assert result, f"{key} has no result"
            why = [result.error, *(failure.error for failure in result.failures)]
            assert content(result) == self._expected[clip.name], f"{key} is {result.status}: {why}"
            self._check_views(key, result)
        known = {*self._there, *(f"undisturbed/{clip.name}" for clip in self.clips)}
        for bucket in (config.stage1_bucket, config.output_bucket):
            left = {info.key for info in store.find(bucket) if not info.key.startswith(AUDIT)}
            strays = {key for key in left if owner_of(key).media not in known}
            assert not strays, f"left behind: {sorted(strays)[:5]}"

    def _check_views(self, key: str, result: Result) -> None:
        bucket = self.settings.output_bucket
        there = {
            owner.view: self._store.get(bucket, info.key)
            for info in self._store.find(bucket, f"{key}/")
            if (owner := owner_of(info.key)).media == key and owner.view
        }
        images = {person.image: there[person.image] or b"" for person in result.people if person.image}
        right = {keys.RESULT: result.to_json(), **images, **render_views(result, images)}
        wrong = sorted(name for name in there | right if there.get(name) != right.get(name))
        assert not wrong, f"{key} has other views than its result: {wrong}"
