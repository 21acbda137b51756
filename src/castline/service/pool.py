"""Worker processes, one thread for each, and jobs while they run.

The database is the only truth: a thread asks it twice a second whether its job is still its own, so that cancelling
works from any service of a group. A worker that dies, takes too long or whose job is canceled is ended with everything
it started; the next job gets a new one.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from castline.errors import CastlineError
from castline.service.asked import ACCEPTED, Format, JobRequest, view
from castline.service.engines import transcriber_for
from castline.service.gpus import gpus_of_workers
from castline.service.jobs import Jobs
from castline.service.settings import ServiceSettings, cores
from castline.service.tables import Job
from castline.service.wire import Rules
from castline.service.worker import Ended, Progress, Task, Text, work
from castline.settings import Settings

logger = logging.getLogger(__name__)

_SENT: tuple[Format, ...] = ("json", "vtt", "txt", "csv")
_LOOK_S = 0.25  # between checks whether a job is still wanted
_POLL_S = 1.0  # between reads of a database that others also write
_SLOW_S = 2.0  # pause after the database could not be reached


class Work(Protocol):
    """A task, and where its outcome goes."""

    def task(self, folder: Path) -> Task: ...
    def wanted(self) -> bool:
        """Whether it should continue; called continually."""
        ...

    def tell(self, heard: Text | Progress) -> None: ...
    def end(self, ended: Ended) -> None: ...
    def lost(self, *, died: bool) -> None:
        """Its worker died, or the service stops."""
        ...

    def stuck(self) -> None:
        """It could not be begun or ended: the disk is full, or the database does not answer."""
        ...


class QueuedWork:
    """A job of the database."""

    def __init__(self, job: Job, jobs: Jobs, settings: Settings) -> None:
        self._job, self._jobs, self._settings = job, jobs, settings
        self._progress = 0.0
        self._zero = job.start_time - time.monotonic()

    def task(self, folder: Path) -> Task:
        request = JobRequest.model_validate_json(self._job.request, context=ACCEPTED)
        asked = request.options
        meta = asked.outputs.meta_url
        return Task(
            source=asked.input,
            folder=folder,
            transcriber=transcriber_for(asked.engine, asked.model, self._settings, asked.language),
            options={"language": None if asked.language == "auto" else asked.language},
            style=asked.engine,
            outputs=tuple((each, url) for each in _SENT if (url := asked.outputs.of(each))),
            meta=(meta, view(self._job).model_dump()) if meta else None,
            zero=self._zero,
        )

    def wanted(self) -> bool:
        return self._jobs.renew(self._job, self._progress)

    def tell(self, heard: Text | Progress) -> None:
        if isinstance(heard, Progress):
            self._progress = heard.share

    def end(self, ended: Ended) -> None:
        self._jobs.finish(
            self._job,
            ended.state,
            ended.message,
            at=ended.at,
            media_length=ended.length_s,
            language_used=ended.language,
        )

    def lost(self, *, died: bool) -> None:
        self._jobs.requeue(self._job, died=died)

    def stuck(self) -> None:
        pass  # it returns when its lease ends


class DirectWork:
    """A request whose client waits for the answer; ``post`` receives all events, from another thread."""

    def __init__(self, make: Callable[[Path], Task], post: Callable[[Text | Ended], None]) -> None:
        self._make, self.post = make, post
        self._deaths = 0
        self.canceled = False
        self.again: Callable[[], None] = lambda: None
        self._told = False

    def task(self, folder: Path) -> Task:
        return self._make(folder)

    def wanted(self) -> bool:
        return not self.canceled

    def tell(self, heard: Text | Progress) -> None:
        if isinstance(heard, Text):
            self._told = True
            self.post(heard)

    def end(self, ended: Ended) -> None:
        self.post(ended)

    def lost(self, *, died: bool) -> None:
        self._deaths += died
        if not died or self._deaths > 1 or self._told:
            message = "the worker process died" if died else "the service stops"
            self.post(Ended("error", message, code="unavailable"))
        else:
            self.again()

    def stuck(self) -> None:
        self.post(Ended("error", "the service cannot work on this now", code="unavailable"))


class Pool:
    """The worker processes of this service.

    Raises:
        SettingsError, DeviceMissing: as ``gpus_of_workers``.
    """

    def __init__(self, service: ServiceSettings, settings: Settings, jobs: Jobs) -> None:
        gpus = gpus_of_workers(service, settings)
        threads = settings.threads or max(1, cores() // len(gpus))
        self._settings = settings.model_copy(update={"threads": threads})
        self._service, self._jobs = service, jobs
        self._direct: deque[DirectWork] = deque()
        self._more = threading.Condition()
        self._stopping = False
        self._slots = [_Slot(self, number, gpu) for number, gpu in enumerate(gpus)]
        self.died = 0
        jobs.arrived = self.wake

    def start(self) -> None:
        for left in ("work", "uploads"):
            shutil.rmtree(self._service.folder / left, ignore_errors=True)
        for slot in self._slots:
            slot.start()

    def stop(self) -> None:
        """End all workers; their jobs are queued again."""
        with self._more:
            self._stopping = True
            self._more.notify_all()
        for slot in self._slots:
            slot.join()
        for left in self._direct:
            left.lost(died=False)

    def wake(self) -> None:
        with self._more:
            self._more.notify()

    def submit(self, work: DirectWork) -> bool:
        """Run a request before all queued jobs; False if too many are already waiting."""
        with self._more:
            if self._stopping or len(self._direct) >= self._service.waiting:
                return False
            work.again = lambda: self._put_back(work)
            self._direct.append(work)
            self._more.notify()
        return True

    def _put_back(self, work: DirectWork) -> None:
        with self._more:
            self._direct.appendleft(work)
            self._more.notify()

    @property
    def stopping(self) -> bool:
        return self._stopping

    @property
    def busy(self) -> int:
        return sum(slot.busy for slot in self._slots)

    @property
    def pids(self) -> list[int]:
        """Process ids of the existing workers."""
        return [pid for slot in self._slots if (pid := slot.pid)]

    def next(self) -> Work | None:
        """The next work; waits a while if there is none."""
        with self._more:
            while self._direct:
                if not (waited := self._direct.popleft()).canceled:
                    return waited
        job = self._jobs.take()
        if job is not None:
            return QueuedWork(job, self._jobs, self._settings)
        with self._more:
            if not self._direct and not self._stopping:
                self._more.wait(_POLL_S)
        return None


class _Slot(threading.Thread):
    """One worker process at a time, and its work."""

    def __init__(self, pool: Pool, number: int, gpu: str) -> None:
        super().__init__(name=f"slot-{number}", daemon=True)
        self._pool, self._gpu = pool, gpu
        self._service, self._settings = pool._service, pool._settings
        self._process: Any = None
        self._pipe: Any = None
        self._jobs_done = 0
        self.busy = False

    @property
    def pid(self) -> int | None:
        process = self._process
        with contextlib.suppress(ValueError):  # closed meanwhile
            return process.pid if process is not None else None
        return None

    def run(self) -> None:
        idle_since = time.monotonic()
        while not self._pool.stopping:
            work = None
            try:
                work = self._pool.next()
                if work is not None:
                    self.busy = True
                    self._do(work)
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since > self._service.worker_idle_s:
                    self._kill()
            except Exception:  # most likely the database
                logger.exception("a worker's thread continues after an error")
                self._kill()
                if work is not None:
                    work.stuck()
                time.sleep(_SLOW_S)
            finally:
                self.busy = False
        self._kill()

    def _do(self, work: Work) -> None:
        folder = self._service.folder / "work" / str(uuid4())
        folder.mkdir(parents=True)
        try:
            try:
                task = work.task(folder)
            except CastlineError as error:
                work.end(Ended("error", error.message, code=error.code))
                return
            self._watch(work, task)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _watch(self, work: Work, task: Task) -> None:
        deadline = time.monotonic() + self._service.job_timeout_s
        asked = time.monotonic()
        try:
            self._ensure()
            self._pipe.send(task)
            while True:
                if self._pipe.poll(_LOOK_S):
                    message = self._pipe.recv()
                    if isinstance(message, Ended):
                        self._jobs_done += 1
                        work.end(message)
                        self._recycle(message.rss_mb)
                        return
                    work.tell(message)
                now = time.monotonic()
                if self._pool.stopping:
                    self._kill()
                    work.lost(died=False)
                    return
                if now > deadline:
                    self._kill()
                    work.end(Ended("error", f"it took longer than {self._service.job_timeout_s:.0f} s", "too_slow"))
                    return
                if now - asked >= _LOOK_S:
                    asked = now
                    if not work.wanted():
                        self._kill()
                        return
        except (EOFError, ConnectionError, BrokenPipeError):
            self._pool.died += 1
            self._kill()
            work.lost(died=not self._pool.stopping)

    def _ensure(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        self._kill()
        # Not forked: this process has threads, and model libraries do not survive a fork.
        context = multiprocessing.get_context("spawn")
        pipe, theirs = context.Pipe()
        told = theirs, self._settings, Rules.of(self._service), self._gpu
        process = context.Process(target=work, args=told, name="castline-worker", daemon=True)
        try:
            process.start()
        except BaseException:  # the machine is out of memory, or of processes
            pipe.close()
            raise
        finally:
            theirs.close()
        self._process, self._pipe = process, pipe
        self._jobs_done = 0

    def _recycle(self, rss_mb: float) -> None:
        if self._jobs_done >= self._service.worker_jobs or rss_mb > self._service.worker_memory_mb:
            self._kill()

    def _kill(self) -> None:
        """End the worker with everything it started."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has no process group yet, or is gone
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
        pipe.close()
        with contextlib.suppress(ValueError):  # its exit status was collected elsewhere, so Popen does not know it
            process.close()
