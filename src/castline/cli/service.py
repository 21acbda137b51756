"""``castline serve`` and ``castline tokens``: transcription as a service (docs/SERVICE.md)."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from castline.cli.connect import answer, connect, console, friendly_errors
from castline.cli.plain import Commands
from castline.cli.shown import escape
from castline.display import counted
from castline.settings import settings

if TYPE_CHECKING:
    from castline.service.pages.shelf import Deployment
    from castline.service.settings import ServiceSettings
    from castline.service.tokens import Tokens

tokens_app = Commands(
    no_args_is_help=True, help="Add, revoke, list and import the tokens of those who may use the service."
)
_FIRST_USER = "me"
# The event loop waits that long for each busy thread before the interpreter is given back to it (Python's own: 5 ms).
_SWITCH_S = 0.0005


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: 8000.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that transcribe; default: one per core, or per GPU.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of its database and temporary files.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="SQLAlchemy URL; default: SQLite in the folder.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML file of the published queue; options override it.")
    ] = None,
) -> None:
    """Serve the library and transcription over HTTP: a job queue, OpenAI's audio API, whisper-asr-webservice's.

    More in docs/SERVICE.md. Example: castline serve --port 8000
    """
    with friendly_errors():
        import uvicorn

        from castline.service.app import create_app
        from castline.service.published import read_published
        from castline.service.settings import service_settings

        asked = {"host": host, "port": port, "workers": workers, "folder": folder, "database": database}
        service, engines = service_settings(), settings()
        published = read_published(config, service, engines) if config else None
        if published:
            service, engines = published.service, published.settings
        service = service.model_copy(update={name: each for name, each in asked.items() if each is not None})
        app = create_app(service, engines, _deployment)
        tokens: Tokens = app.state.service.tokens
        if published and published.users.exists():
            console.print(
                f"{counted(tokens.import_file(published.users), 'token')} from {escape(str(published.users))}"
            )
        if service.admin_token:
            tokens.add("admin", admin=True, secret=service.admin_token)
        if not tokens.list():
            token = tokens.add(_FIRST_USER, admin=True)
            console.print("there was no token yet; here is one, shown only now and kept as a hash:")
            console.print(f"  [bold]{escape(token)}[/]", soft_wrap=True)
        console.print(f"the library at http://{service.host}:{service.port}{service.root}/")
        console.print(f"transcription at http://{service.host}:{service.port}{service.root}, its API at /docs")
        logging.disable(logging.NOTSET)
        sys.setswitchinterval(_SWITCH_S)
        uvicorn.run(
            app,
            host=service.host,
            port=service.port,
            log_level="warning",
            timeout_keep_alive=service.keep_alive_s,
            timeout_graceful_shutdown=5,
        )


def _deployment() -> Deployment:
    """The deployment that this machine uses, for the library's pages.

    Raises:
        LocalStackError: no local stack is running, and there are no AWS credentials either.
    """
    from castline.service.pages.shelf import Deployment

    there = connect()
    return Deployment(there.store, there.settings, there.place, cache(there.client))


def task() -> None:
    """Run one job that the environment describes, in one container.

    More in docs/SERVICE.md.
    """
    with friendly_errors():
        from pydantic import ValidationError

        from castline.errors import OptionsError
        from castline.service.run_task import TaskSettings
        from castline.service.settings import service_settings
        from castline.service.task import run_task

        logging.disable(logging.NOTSET)
        try:
            asked = TaskSettings()
        except ValidationError as error:
            names = ", ".join(str(each["loc"][0]).upper() for each in error.errors())
            raise OptionsError(f"not set, or not valid: {names}") from error
        raise typer.Exit(run_task(asked, service_settings(), settings()))


@tokens_app.command("add")
def add(
    user: Annotated[str, typer.Argument(help="The user's name: letters, digits and ._@- can be in it.")],
    admin: Annotated[bool, typer.Option("--admin", help="May see all jobs, lock the queue and forget people.")] = False,
    edits: Annotated[bool, typer.Option("--edit", help="May correct and add to what the library shows.")] = False,
) -> None:
    """Make a token for USER and print it; an old one is no longer valid."""
    with friendly_errors():
        typer.echo(_tokens().add(user, admin=admin, edits=edits))


@tokens_app.command("revoke")
def revoke(user: Annotated[str, typer.Argument(help="The user whose token to revoke.")]) -> None:
    """Revoke a user's token."""
    with friendly_errors():
        if not _tokens().revoke(user):
            console.print(f"{escape(user)} has no token")
            raise typer.Exit(1)


@tokens_app.command("list")
def list_() -> None:
    """List the users that have a token."""
    with friendly_errors():
        table = Table("user", "role", "since", box=None)
        for token in _tokens().list():
            since = datetime.fromtimestamp(token.created, UTC).strftime("%Y-%m-%d %H:%M")
            table.add_row(escape(token.user), "admin" if token.admin else "edit" if token.edits else "read", since)
        answer.print(table)


@tokens_app.command("import")
def import_(file: Annotated[Path, typer.Argument(help="Lines of y|n:user:token; y is an administrator.")]) -> None:
    """Import a users file of the published queue; the tokens in it stay valid."""
    with friendly_errors():
        console.print(counted(_tokens().import_file(file), "token"))


def _tokens() -> Tokens:
    from castline.service.database import open_database
    from castline.service.settings import service_settings
    from castline.service.tokens import Tokens

    service: ServiceSettings = service_settings()
    return Tokens(open_database(service))
