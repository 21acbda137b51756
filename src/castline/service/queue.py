"""The queue's routes: fields, words and status codes as published (docs/SERVICE.md)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.security import HTTPBearer
from pydantic_core import to_json
from sqlalchemy import Row

from castline.service.asked import ENDED, PROGRESS, JobRequest, JobView, Ok, view
from castline.service.state import service_of
from castline.service.tokens import User

#: The border requires it; here it is only documented.
bearer = HTTPBearer(auto_error=False, description="user:secret, as `castline tokens add` prints it")
router = APIRouter(
    prefix="/transcription",
    tags=["queue"],
    dependencies=[Depends(bearer)],
    responses={
        400: {"description": "A body that is not text"},
        401: {"description": "Invalid authorization token"},
        403: {"description": "Unauthorized"},
        404: {"description": "Job not found"},
        429: {"description": "Too many requests, or too many jobs that wait"},
        503: {"description": "Submitting new jobs is prohibited"},
    },
)
_FIRST_MAX = 2**31


def _user(request: Request) -> User:
    user: User = request.state.user
    return user


def _admin(request: Request) -> User:
    user = _user(request)
    if not user.admin:
        raise HTTPException(403, "Unauthorized")
    return user


def _own_job(job_id: str, request: Request) -> Row[Any]:
    job = service_of(request).jobs.get(job_id) if job_id.isascii() and job_id.isprintable() else None
    if job is None:
        raise HTTPException(404, "Job not found")
    user = _user(request)
    if not user.admin and job.owner != user.name:
        raise HTTPException(403, "Unauthorized")
    return job


def _answer(found: JobView | list[JobView], headers: dict[str, str] | None = None) -> Response:
    """What clients ask for again and again: written here, in this thread, and not checked once more by FastAPI."""
    return Response(to_json(found), media_type="application/json", headers=headers)


@router.post("/")
def submit(body: JobRequest, request: Request) -> JobView:
    """Queue a job."""
    service, user = service_of(request), _user(request)
    if service.jobs.locked:
        raise HTTPException(503, "Submitting new jobs is prohibited")
    if service.jobs.waiting(user.name) >= service.service.queued_per_user:
        raise HTTPException(429, "Too many jobs that wait", headers={"Retry-After": "60"})
    return view(service.jobs.add(user.name, body))


@router.get("/", response_model=list[JobView])
def list_(
    request: Request,
    offset: Annotated[int, Query(ge=0, le=_FIRST_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 100,
) -> Response:
    """The user's jobs, or all for an administrator, in the order in which they are processed."""
    return _answer([view(job) for job in service_of(request).jobs.page(_user(request), offset, limit)])


@router.get("/lock", dependencies=[Depends(_admin)])
def lock(request: Request) -> Ok:
    """Take no more jobs."""
    service_of(request).jobs.lock(True)
    return Ok()


@router.get("/unlock", dependencies=[Depends(_admin)])
def unlock(request: Request) -> Ok:
    """Take jobs again."""
    service_of(request).jobs.lock(False)
    return Ok()


@router.get("/{job_id}", response_model=JobView)
def info(job_id: str, request: Request) -> Response:
    """A job. Getting a job with notification_type poll that has ended deletes it. The header ``Castline-Progress`` says
    how far a running one is, from 0 to 1.
    """
    job = _own_job(job_id, request)
    if job.notification == "poll" and job.state in ENDED and not service_of(request).jobs.claim_result(job.id):
        raise HTTPException(404, "Job not found")
    return _answer(view(job), {PROGRESS: f"{job.progress:.3f}"} if job.state == "running" else None)


@router.delete("/{job_id}")
def delete(job_id: str, request: Request) -> Ok:
    """Cancel a running job; delete any other."""
    service_of(request).jobs.cancel_or_delete(_own_job(job_id, request).id)
    return Ok()
