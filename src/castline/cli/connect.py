"""Finds a command's S3: ``--endpoint-url``, the AWS environment, or the running local stack."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console

from castline import aws, keys
from castline.cli import ahead
from castline.cli.shown import escape, wrapped
from castline.display import visible
from castline.errors import CastlineError, LocalStackError, OptionsError
from castline.settings import Settings, settings
from castline.storage import ObjectStore, S3Store

if TYPE_CHECKING:
    from castline.local.session import Session
    from castline.local.state import Keep

#: Whether errors show their detail (``castline --verbose``).
verbose = False
#: What the running command has to release when it ends.
_held = contextlib.ExitStack()
_LOCAL_ACCOUNT = ":000000000000:"  # the local stack's, in which everybody is root
_INTERRUPTED = 130  # as in shells: 128 + SIGINT
#: For messages while a command works; off with ``--quiet``, and on stderr with ``--json``.
console = Console(highlight=False)
#: For the answer of a command.
answer = Console(highlight=False)
errors = Console(stderr=True, highlight=False)
OF_THE_STACK = ("aiohttp", "hypercorn", "ministack", "samtranslator", "yaml")
_OF_THE_SERVICE = frozenset(
    {
        "alembic",
        "fastapi",
        "httpcore",
        "httpx",
        "opentimelineio",
        "prometheus_client",
        "sqlalchemy",
        "sqlmodel",
        "uvicorn",
    }
)


@dataclass(frozen=True, slots=True)
class Connection:
    """Attributes:
    where: a description for people: "local stack at …", or "AWS".
    client: makes a boto3 client for a service there.
    own: whether this is the library of this machine, through its stack or by its files.
    """

    store: ObjectStore
    settings: Settings
    where: str
    client: Callable[[str], Any] = aws.client
    own: bool = False

    @property
    def place(self) -> str:
        """The key of its search index: one per library, whether it is reached through a port or by its files.

        If there were several, a forgotten name would stay in those that are not in use.
        """
        return "the library" if self.own else self.where

    def who(self) -> str:
        """Who gives the command: the caller's ARN; the user of this machine where AWS does not know one."""
        caller = ""
        with contextlib.suppress(ClientError, BotoCoreError, KeyError):
            caller = str(self.client("sts").get_caller_identity()["Arn"])
        if caller and _LOCAL_ACCOUNT not in caller:
            return caller
        with contextlib.suppress(OSError, KeyError):
            return getpass.getuser()
        return "somebody"


def hush() -> None:
    """Print nothing but the answer and errors (``castline --quiet``)."""
    console.quiet = True


def print_json(found: Any) -> None:
    """An answer as JSON: the only thing on stdout."""
    sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def say_on_stderr() -> None:
    """Everything but the answer goes to stderr, because the answer is JSON."""
    console.stderr = True


def as_at_first() -> None:
    """Undo what the last command's options chose."""
    global verbose
    verbose = console.quiet = console.stderr = False


def tell(line: str) -> None:
    """Print a line about an object that could not be read; the others are processed."""
    wrapped(errors, f"[yellow]left aside[/] {escape(line)}")


@contextlib.contextmanager
def friendly_errors() -> Iterator[None]:
    """Print one readable line instead of a traceback, and the detail with ``--verbose`` or ``CASTLINE_DEBUG=1``."""
    try:
        with _held:
            yield
    except BrokenPipeError:
        raise  # the reader of our output has closed it; typer ends quietly
    except (CastlineError, ModuleNotFoundError, OSError, ClientError, BotoCoreError) as error:
        line, detail = _words(error)
        wrapped(errors, f"[red]error[/] {escape(line)}")
        if detail and (verbose or os.environ.get("CASTLINE_DEBUG")):
            errors.print(visible(detail, lines=True), style="dim", markup=False)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        errors.print("stopped", style="yellow")
        raise typer.Exit(_INTERRUPTED) from error


def _words(error: Exception) -> tuple[str, str]:
    """An error as one line, and its detail."""
    if isinstance(error, CastlineError):
        return error.message, error.detail
    if isinstance(error, ModuleNotFoundError):
        if (error.name or "").partition(".")[0] == "castline":
            raise error
        extras = "analyser,local,service" if error.name in _OF_THE_SERVICE else "analyser,local"
        return f"this command needs {error.name}, which is not installed: pip install 'castline[{extras}]'", ""
    line = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        line = f"{os.fspath(error.filename)}: {error.strerror}" if error.filename else error.strerror
    return line, "".join(traceback.format_exception(error))


def check_installed(*modules: str) -> None:
    """Check, before a command begins, that everything it will import is installed.

    Raises:
        ModuleNotFoundError: with the name of the first missing module.
    """
    for name in modules:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def check_writable(folder: Path) -> None:
    """Check, before the work, that results can be written there. Makes no folder, because it might stay empty.

    Raises:
        OptionsError: it is a file, or it cannot be written to.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise OptionsError(f"{folder}: no results can be written there: {error.strerror}") from error


def refuse_classic(config: Settings) -> None:
    """Refuse a command that shows results if the profile is classic, which has none.

    Raises:
        OptionsError: the profile is classic.
    """
    if config.profile == "classic":
        raise OptionsError(
            f"PIPELINE_PROFILE=classic keeps no results: the answers are the .txt objects of s3://{config.output_bucket}"
        )


def say_left_out(paths: Iterable[Path]) -> None:
    """Print which files in a folder of photos are not enrolled."""
    for path in paths:
        console.print(f"  [yellow]left out[/]: {escape(str(path))}: {keys.UNREAD_PHOTO}", soft_wrap=True)


def connect(
    endpoint_url: str | None = None, *, work: bool = False, make: bool = False, read: bool = False
) -> Connection:
    """Find S3: the given endpoint, ``AWS_ENDPOINT_URL``, the local stack, or AWS itself.

    A stack that is not running is started for the duration of the command, if the library has content under the prefix
    and the environment has no AWS credentials.

    Args:
        work: whether such a stack finishes the work that the command leaves before it stops.
        make: whether to create a library if there is neither one nor AWS.
        read: whether the command changes nothing, so that it reads the library's files and starts no stack.

    Raises:
        LocalStackError: there is no library here, and there are no AWS credentials either.
        OptionsError: the endpoint is not a URL.
    """
    config = settings()
    endpoint = endpoint_url or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        if not endpoint.startswith(("http://", "https://")):
            raise OptionsError(f"{endpoint} is not an endpoint: write http://HOST:PORT or https://HOST")
        ours = local_keys(endpoint, config)
        at = partial(aws.client, endpoint=endpoint, keys=ours)
        return Connection(S3Store(at("s3")), config, endpoint, at, own=bool(ours))
    try:
        from castline.local.engine import has_bucket
        from castline.local.stack import running_stack
    except ModuleNotFoundError as error:  # without the requirements of a stack, none runs here
        if not aws.has_credentials():
            raise LocalStackError(f"no AWS credentials, and no local stack without {error.name}") from error
        return Connection(S3Store(), config, f"AWS, {aws.default_region()}")
    named = "AWS_ACCESS_KEY_ID" in os.environ or "AWS_PROFILE" in os.environ
    here = any(has_bucket(config.state_dir, bucket) for bucket in (config.input_bucket, config.gallery_bucket))
    if not running_stack(config) and (named or not here):
        if named or aws.has_credentials():
            return Connection(S3Store(), config, f"AWS, {aws.default_region()}")
        if not make:
            raise LocalStackError(
                f"nothing is in the library {config.state_dir} yet (castline run FILE begins it, --library names "
                "another one), and there are no AWS credentials"
            )
    if read and here:
        from castline.local.files import LibraryFiles

        return Connection(LibraryFiles(config.state_dir), config, f"the library {config.state_dir}", own=True)
    return local_session(config, keep="busy" if work else "used")[0]


def local_session(
    config: Settings, slots: int = 2, *, prewarm: bool = False, keep: Keep = "used"
) -> tuple[Connection, Session]:
    """Attach to the local stack, or start it, until the command ends.

    Args:
        keep: how long it stays after that: ``busy`` until it has finished its work, or ``always``.

    Raises:
        LocalStackError: it does not start.
    """
    check_installed(*OF_THE_STACK)  # otherwise the error would only be in the log of its own process
    from castline.local.session import Session

    session = Session.join(config, slots, prewarm=prewarm, keep=keep, waiting=ahead.waiting)
    _held.callback(session.leave)
    stack = session.stack
    where = f"local stack at {stack.endpoint_url}"
    return Connection(S3Store(stack.client("s3")), config, where, stack.client, own=True), session


def local_keys(endpoint: str, config: Settings) -> dict[str, str]:
    """The keys for an endpoint, if it is our own stack."""
    try:
        from castline.local.access import local_credentials
    except ImportError:  # without the requirements of a stack, none runs here
        return {}
    found = local_credentials(endpoint, config)
    return found.environment if found else {}
