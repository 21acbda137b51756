"""Clients of the local stack, and which keys belong to an endpoint."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from castline import aws
from castline.gate.credentials import Credentials, read_credentials
from castline.local.state import read_state
from castline.settings import Settings

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def aws_client(endpoint_url: str, service: str, credentials: Credentials) -> Any:
    """A boto3 client of the emulator."""
    return aws.client(service, endpoint=endpoint_url, keys=credentials.environment, local=True)


def local_credentials(endpoint_url: str, settings: Settings) -> Credentials | None:
    """The keys of an endpoint, if it is the stack running in the settings' state folder.

    AWS keys from the environment are never sent there.

    Raises:
        LocalStackError: it is that stack, but its keys cannot be read.
    """
    state = read_state(settings.state_dir)
    try:
        parts = urlsplit(endpoint_url)
        ours = state is not None and parts.hostname in _LOOPBACK and parts.port == state.port
    except ValueError:  # not a URL; whatever uses it will say so
        return None
    return read_credentials(settings.state_dir) if ours else None
