"""Variables that look like ours but are not: a typo would silently have no effect."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

_OURS = "CASTLINE_"
_NEIGHBOURS = "PIPELINE_"
#: Read outside of ``settings.py``.
_OTHERS = frozenset({"CASTLINE_DEBUG"})


def known() -> set[str]:
    """Every variable that some part of Castline reads."""
    from castline.settings import variables

    found = variables() | _OTHERS
    if importlib.util.find_spec("sqlalchemy"):  # otherwise the service is not installed, and its variables are ignored
        from castline.service.settings import ServiceSettings

        prefix = str(ServiceSettings.model_config["env_prefix"])
        found |= {f"{prefix}{field.upper()}" for field in ServiceSettings.model_fields}
    return found


def remarks(names: Iterable[str]) -> Iterator[str]:
    """A line about each variable that looks like ours but is not.

    Args:
        names: of all variables. Other programs' variables that merely begin like ``PIPELINE_PROFILE`` are ignored.
    """
    suspects = sorted(name for name in names if name.startswith((_OURS, _NEIGHBOURS)))
    ours = known() if suspects else set()
    service = any("SERVICE" in name for name in ours)
    for name in suspects:
        if name in ours or (name.startswith("CASTLINE_SERVICE_") and not service):
            continue
        prefix = _OURS if name.startswith(_OURS) else _NEIGHBOURS
        alike = [each.removeprefix(prefix) for each in ours if each.startswith(prefix)]
        near = get_close_matches(name.removeprefix(prefix), alike, n=1, cutoff=0.7)
        if near:
            yield f"{name} is not a variable that Castline reads; did you mean {prefix}{near[0]}?"
        elif prefix == _OURS:
            yield f"{name} is not a variable that Castline reads"
