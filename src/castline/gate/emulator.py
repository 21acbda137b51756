"""``python -m castline.gate.emulator``: ministack's application behind the gate, in one process.

ministack alone would listen on a port that accepts requests from anybody. Here the port is the gate's and the emulator
is a function call behind it, so that there is no second port to find. Secrets come as one line of JSON on standard
input, not in the environment, which child processes inherit.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from castline.gate.credentials import Credentials, Keyring


def secrets_line(keyring: Keyring, proxies: dict[str, str]) -> bytes:
    """The line that this program expects on its standard input.

    Args:
        proxies: URL that runs the function, by function name.
    """
    document = {
        "user": [keyring.user.access_key, keyring.user.secret_key],
        "deployer": [keyring.deployer.access_key, keyring.deployer.secret_key],
        "proxies": proxies,
    }
    return json.dumps(document).encode() + b"\n"


def main() -> None:
    """Serve until SIGTERM."""
    document: dict[str, Any] = json.loads(sys.stdin.readline())
    keyring = Keyring(Credentials(*document["user"]), Credentials(*document["deployer"]))
    os.environ.update({f"MINISTACK_LAMBDA_PROXY_{name}": url for name, url in document["proxies"].items()})
    # ministack checks presigned URLs once more, with this secret.
    os.environ.update(keyring.user.environment)
    asyncio.run(_serve(keyring))


async def _serve(keyring: Keyring) -> None:
    # ministack reads its environment when it is imported.
    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app
    from ministack.core.router import detect_service

    from castline.gate.gate import Gate
    from castline.gate.persistence import keep_deletes, tell_of_deletes

    keep_deletes()
    tell_of_deletes()
    config = Config()
    config.bind = [f"{os.environ['BIND_HOST']}:{os.environ['GATEWAY_PORT']}"]
    config.keep_alive_timeout = 75
    config.loglevel = os.environ["LOG_LEVEL"]
    await serve(Gate(app, keyring, detect_service), config)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
