"""The objects that the routes use."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from castline.service.jobs import Jobs
from castline.service.pool import Pool
from castline.service.settings import ServiceSettings
from castline.service.tokens import Tokens
from castline.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """In ``app.state.service``."""

    service: ServiceSettings
    settings: Settings
    jobs: Jobs
    tokens: Tokens
    pool: Pool


def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
