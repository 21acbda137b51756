"""The ``castline`` command: its parts are imported when they are needed, so that ``--help`` answers at once.

The list describes a command by the first line of its docstring (or the ``help`` of its group), read from
the source without running it.
"""

from __future__ import annotations

import ast
import logging
import os
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from castline import __version__
from castline.cli import ahead
from castline.cli.plain import Commands, Plain, PlainGroup
from castline.cli.variables import remarks

#: ``module:function``, or ``module:app`` for a group, in the order of a day's work.
COMMANDS = {
    "run": "everyday:run",
    "up": "everyday:up",
    "upload": "everyday:upload_command",
    "watch": "watch:watch_command",
    "status": "everyday:status",
    "results": "everyday:results",
    "search": "search:search_command",
    "mcp": "mcp:mcp_command",
    "people": "people:app",
    "correct": "correct:app",
    "down": "everyday:down",
    "doctor": "everyday:doctor",
    "models": "models:app",
    "eval": "eval:app",
    "messages": "messages:messages_command",
    "preflight": "account:preflight_command",
    "smoke": "account:smoke_command",
    "teardown": "account:teardown_command",
    "cost": "operations:cost_command",
    "reconcile": "operations:reconcile_command",
    "redrive": "operations:redrive_command",
    "rerun": "operations:rerun_command",
    "delete": "operations:delete_command",
    "serve": "service:serve",
    "tokens": "service:tokens_app",
    "task": "service:task",
}


class _Lazy(PlainGroup):
    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        _give_everywhere(self)

    def main(self, *given: Any, **named: Any) -> Any:
        """Run one command. Another one in the same process starts fresh, whatever options the first had."""
        disabled, library = logging.root.manager.disable, os.environ.get("CASTLINE_STATE_DIR")
        try:
            return super().main(*given, **named)
        finally:
            ahead.end()
            logging.disable(disabled)
            if library is None:
                os.environ.pop("CASTLINE_STATE_DIR", None)
            else:
                os.environ["CASTLINE_STATE_DIR"] = library
            if connect := sys.modules.get("castline.cli.connect"):
                connect.as_at_first()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if ctx.meta.get("listing"):
            return Plain(cmd_name, help=_said(cmd_name))
        if cmd_name in ahead.STARTERS.intersection(sys.argv) and not set(_HELP).intersection(sys.argv):
            ahead.begin()
        return _loaded(cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        ctx.meta["listing"] = True
        super().format_help(ctx, formatter)


@cache
def _loaded(name: str) -> Any:
    module, _, attribute = COMMANDS[name].partition(":")
    found: Any = getattr(import_module(f"castline.cli.{module}"), attribute)
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
    else:
        alone = Commands(context_settings=_SETTINGS)
        alone.command(name)(found)
        command = typer.main.get_command(alone)
    command.name = name
    _give_everywhere(command)
    return command


def _give_everywhere(command: Any) -> None:
    alone = Commands()
    alone.command()(_everywhere)
    options = typer.main.get_command(alone).params
    for option in options:
        option.expose_value = False
    command.params += options
    for inner in getattr(command, "commands", {}).values():
        _give_everywhere(inner)


def _said(name: str) -> str:
    """The first paragraph of a command's description."""
    module, _, attribute = COMMANDS[name].partition(":")
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == attribute:
            return (ast.get_docstring(node) or "").partition("\n\n")[0]
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == attribute:
            words = (word for word in ast.walk(node) if isinstance(word, ast.keyword) and word.arg == "help")
            return str(ast.literal_eval(next(words).value))
    raise LookupError(f"{COMMANDS[name]} is not there")


_HELP = ("-h", "--help")
_SETTINGS = {"help_option_names": [*_HELP]}
app = typer.Typer(
    cls=_Lazy,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Who is on screen and what is said, on one timeline.",
    context_settings=_SETTINGS,
)


def quiet_logs() -> None:
    """Commands talk through the console; the stages' JSON log lines belong to functions."""
    logging.disable(logging.WARNING)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


def _verbose(asked: bool) -> None:
    if asked:
        from castline.cli import connect

        connect.verbose = True
        logging.disable(logging.NOTSET)


def _quiet(asked: bool) -> None:
    if asked:
        from castline.cli import connect

        connect.hush()


def _library(folder: Path | None) -> None:
    if folder:
        # As a variable, so that the stack, which is a separate process, finds it, too.
        os.environ["CASTLINE_STATE_DIR"] = str(folder.expanduser().absolute())


def _everywhere(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print more: logs, and the detail of errors.", callback=_verbose)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only the answer, and errors.", callback=_quiet)
    ] = False,
    library: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of uploads, results and people.", callback=_library),
    ] = None,
) -> None:
    """Options of every command, given before or after its name."""


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    quiet_logs()
    for remark in remarks(os.environ):
        typer.secho(remark, err=True, fg="yellow")
