"""The HTTP application."""

from __future__ import annotations

import contextlib
import fcntl
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from castline import __version__
from castline.errors import CastlineError, ServiceError
from castline.service import queue, voice
from castline.service.border import UNAUTHORIZED, Border, refusal
from castline.service.caretaker import Caretaker
from castline.service.database import open_database
from castline.service.jobs import Jobs
from castline.service.pages import actions, corrections, login, uploads, views
from castline.service.pages.doorkeeper import Doorkeeper
from castline.service.pages.render import page
from castline.service.pages.shelf import Find, Shelf
from castline.service.pool import Pool
from castline.service.queue import bearer
from castline.service.settings import ServiceSettings
from castline.service.state import Service
from castline.service.tokens import Tokens, User
from castline.settings import Settings

logger = logging.getLogger(__name__)


def create_app(service: ServiceSettings, settings: Settings, find: Find | None = None) -> FastAPI:
    """The application, its database opened; its workers live as long as its lifespan.

    Args:
        find: finds the deployment whose library is shown in the browser; without it, there are no such pages.

    Raises:
        ServiceError: the database cannot be used.
    """
    engine = open_database(service)
    jobs = Jobs(engine, lease_s=service.lease_s, unclaimed_s=service.unclaimed_s)
    state = Service(service, settings, jobs, Tokens(engine), Pool(service, settings, jobs))

    shelf = Shelf(find, service.pages_refresh_s) if find else None
    doorkeeper = Doorkeeper(service, state.tokens) if find else None

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with _alone(service):
            jobs.requeue_abandoned(all_running=service.embedded)
            caretaker = Caretaker(service, jobs, state.pool)
            state.pool.start()
            caretaker.start()
            if shelf:
                shelf.start()
            try:
                yield
            finally:
                if shelf:
                    shelf.stop()
                caretaker.stop()
                state.pool.stop()
                engine.dispose()

    app = FastAPI(
        title="Castline transcription",
        version=__version__,
        root_path=service.root,
        lifespan=lifespan,
        redoc_url=None,
        description="A queue of transcription jobs, OpenAI's audio API, and whisper-asr-webservice's.",
    )
    app.state.service = state
    app.state.shelf, app.state.doorkeeper = shelf, doorkeeper
    app.add_middleware(Border, service=service, tokens=state.tokens, doorkeeper=doorkeeper)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(CastlineError, _failed)
    app.include_router(queue.router)
    app.include_router(voice.router)
    if shelf:
        app.include_router(uploads.router)
        app.include_router(actions.router)
        app.include_router(login.router)
        app.include_router(corrections.router)
        app.include_router(views.router)
    registry = CollectorRegistry()
    registry.register(_Numbers(state))

    @app.get("/health", tags=["service"])
    def health() -> dict[str, str]:
        """Whether the database answers."""
        jobs.waiting()
        return {"status": "ok"}

    refused: dict[int | str, dict[str, Any]] = {
        401: {"description": UNAUTHORIZED},
        403: {"description": "Unauthorized"},
    }

    @app.get("/metrics", tags=["service"], response_class=Response, dependencies=[Depends(bearer)], responses=refused)
    def metrics(request: Request) -> Response:
        """For Prometheus; needs an administrator's token."""
        user: User = request.state.user
        if not user.admin:
            raise HTTPException(403, "Unauthorized")
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    return app


@contextlib.contextmanager
def _alone(service: ServiceSettings) -> Iterator[None]:
    """Lock the folder, and the SQLite, which may be in another, and on a file system that other machines share: two
    services on it would consider each other's jobs abandoned. (On NFS, Linux makes flock a lock of the server's.)

    Raises:
        ServiceError: another service runs in it, or it cannot be locked.
    """
    service.folder.mkdir(parents=True, exist_ok=True)
    file = service.database_file
    with contextlib.ExitStack() as held:
        for path in (service.folder / "lock", *([file.with_name(f"{file.name}.lock")] if file else [])):
            try:
                lock = held.enter_context(path.open("w"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ServiceError(f"another service runs in {path.parent}") from error
            except OSError as error:
                raise ServiceError(f"{path} cannot be locked: {error.strerror}") from error
        yield


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    code = getattr(error, "code", "")
    return refusal(request.url.path.removeprefix(request.scope.get("root_path", "")), error.status_code,
                   str(error.detail), error.headers, code)  # fmt: skip


async def _failed(request: Request, error: Exception) -> Response:
    """Answer that the library cannot be shown: no stack runs, or S3 does not answer."""
    assert isinstance(error, CastlineError)  # noqa: S101 - what it is registered for
    logger.warning("%s", error.message)
    return page(request, "nothing.html.j2", 503, q="", reason=error.message)


async def _invalid(request: Request, error: Exception) -> Response:
    """Answer what was wrong, without repeating the input: that may be anything, and is not always printable."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    found: list[dict[str, Any]] = [
        {"loc": [str(step)[:100] for step in each["loc"]], "msg": each["msg"], "type": each["type"]}
        for each in error.errors()
    ]
    if path.startswith("/v1/"):
        first = found[0]
        return refusal(path, 400, f"{'.'.join(first['loc'][1:])}: {first['msg']}")
    return JSONResponse({"detail": found}, 422)


class _Numbers:
    """Read when Prometheus asks, so that the numbers are right in every process."""

    def __init__(self, state: Service) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("castline_jobs", "Jobs in the database, by state", labels=["state"])
        for name, count in self._state.jobs.by_state().items():
            jobs.add_metric([name], count)
        yield jobs
        pool = self._state.pool
        yield GaugeMetricFamily("castline_workers", "Worker processes that exist", len(pool.pids))
        yield GaugeMetricFamily("castline_workers_busy", "Worker processes at work", pool.busy)
        yield CounterMetricFamily("castline_workers_died", "Worker processes that died at work", pool.died)
