"""The documented tree of errors is the real one, and every error says whether a retry may help."""

from __future__ import annotations

import re

import pytest

from castline import errors
from castline.errors import CastlineError


def _real_tree() -> dict[str, str | None]:
    """Parent by name, for every class of the module."""
    tree: dict[str, str | None] = {}
    waiting: list[tuple[type[CastlineError], str | None]] = [(CastlineError, None)]
    while waiting:
        kind, parent = waiting.pop()
        tree[kind.__name__] = parent
        waiting += [(sub, kind.__name__) for sub in kind.__subclasses__() if sub.__module__ == errors.__name__]
    return tree


def _printed_tree() -> dict[str, str | None]:
    """Parent by name, read from the drawing: four columns are one level."""
    tree: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+)(?:  |$)", line)
        if match:
            level = len(match[1]) // 4
            del path[level:]
            tree[match[2]] = path[-1] if path else None
            path.append(match[2])
    return tree


def _every_error() -> list[type[CastlineError]]:
    return [getattr(errors, name) for name in _real_tree()]


def test_the_printed_tree_is_the_real_one() -> None:
    assert _printed_tree() == _real_tree()


def test_codes_are_unique_and_stable_in_form() -> None:
    codes = [kind.code for kind in _every_error()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("kind", _every_error(), ids=lambda kind: kind.__name__)
def test_retryable_is_as_drawn(kind: type[CastlineError]) -> None:
    branch = next(base for base in kind.__mro__ if base.__base__ in (CastlineError, Exception))
    line = next(line for line in (errors.__doc__ or "").splitlines() if f" {branch.__name__} " in line + " ")
    if "never retryable" in line:
        assert kind.retryable is False
    elif "retryable" in line:
        assert kind.retryable is True
    if issubclass(kind, errors.ModelError | errors.KeyLayoutError):
        assert kind.retryable is False  # the same machine would give the same answer


def test_an_error_is_one_line_and_details_are_separate() -> None:
    error = errors.NotMedia("the file is empty", detail="line 1\nline 2")
    assert str(error) == error.message == "the file is empty"
    assert error.detail == "line 1\nline 2"
    assert errors.NotMedia("x").detail == ""
