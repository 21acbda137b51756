"""How every command explains itself, and the options that many of them have."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

F = TypeVar("F", bound=Callable[..., Any])

Endpoint = Annotated[
    str | None,
    typer.Option(
        "--endpoint-url", metavar="URL", help="S3 endpoint; default: AWS_ENDPOINT_URL, the local stack, or AWS."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON; messages go to stderr.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
#: Of an argument.
Media = Annotated[str, typer.Argument(help="Key of the recording, as castline status lists it.")]


def unwrapped(text: str) -> str:
    """A docstring with one line a paragraph, for a terminal to break; indented lines (examples) stay as they are."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(each if "\n    " in f"\n{each}" else " ".join(each.split("\n")) for each in paragraphs)


class _Plainly:
    """Help in people's words."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **{**named, "help": unwrapped(named.get("help") or "")})

    def get_params(self, ctx: Any) -> Any:
        return _described(super().get_params(ctx))  # type: ignore[misc]


class Plain(_Plainly, TyperCommand):
    """One command."""


class PlainGroup(_Plainly, TyperGroup):
    """A group of commands."""


class Commands(typer.Typer):
    """Commands that have something in common: ``castline people``."""

    def __init__(self, **named: Any) -> None:
        usual = {"cls": PlainGroup, "add_completion": False, "pretty_exceptions_enable": False}  # locals may hold keys
        super().__init__(**{**usual, **named})

    def command(self, name: str | None = None, **named: Any) -> Callable[[F], F]:
        return super().command(name, **{"cls": Plain, **named})


def with_flags(
    command: Callable[..., None],
    receives: str,
    flags: Sequence[inspect.Parameter],
    make: Callable[[dict[str, Any]], Any],
) -> Callable[..., None]:
    """Give a command flags that are declared elsewhere.

    Args:
        receives: the parameter of the command that receives all of them.
        make: what it receives, from their values by name.
    """
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def extended(**given: Any) -> None:
        values = {flag.name: given.pop(flag.name) for flag in flags}
        command(**given, **{receives: make(values)})

    parameters = [*(each for each in own.parameters.values() if each.name != receives), *flags]
    extended.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    extended.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
    return extended


def _described(params: Any) -> Any:
    """A flag takes nothing, an argument is called as in the line above, and a value is what people call it."""
    for param in params:
        if isinstance(param, TyperArgument):
            param.metavar = param.metavar or str(param.name).upper()
            usage = param.metavar if param.required else f"[{param.metavar}]"
            pieces = [usage if param.nargs == 1 else f"{usage}..."]
            vars(param).update(display_type_rich=lambda ctx: "", get_usage_pieces=lambda ctx, pieces=pieces: pieces)
        elif param.metavar is None:
            param.metavar = _word(param)
    return params


def _word(param: Any) -> str:
    """What an option takes."""
    kind = param.type_descriptor
    if param.is_flag:
        return ""
    if kind.is_path:
        return "PATH"
    if kind.annotation in (int, float):
        return "NUMBER"
    return "|".join(map(str, kind.choices)) if kind.is_choice else "TEXT"
