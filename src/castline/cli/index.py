"""The ``index.html`` of a folder of results, updated with every result that is written there."""

from __future__ import annotations

import json
from pathlib import Path

from castline import keys
from castline.errors import UnreadableObject
from castline.records import Result
from castline.report.index import Entry, render_index

#: What was read of each result the last time, so that a new one does not mean reading a thousand others again.
_SEEN = ".index.json"


def write_index(output: Path) -> Path | None:
    """List all results below a folder.

    Returns:
        The page; None if there are no results.
    """
    seen = _seen(output)
    now: dict[str, tuple[int, Entry]] = {}
    for path in sorted(output.rglob(keys.RESULT)):
        place, changed = path.parent.relative_to(output).as_posix(), path.stat().st_mtime_ns
        if place in seen and seen[place][0] == changed:
            now[place] = seen[place]
            continue
        try:
            now[place] = changed, Entry.of(Result.from_json(path.read_bytes()))
        except UnreadableObject:
            continue  # a file of the user's own with that name
    if not now:
        return None
    page = output / "index.html"
    page.write_text(render_index([(place, entry) for place, (_, entry) in now.items()]), encoding="utf-8")
    kept = {place: [changed, entry.model_dump(mode="json")] for place, (changed, entry) in now.items()}
    (output / _SEEN).write_text(json.dumps(kept), encoding="utf-8")
    return page


def _seen(output: Path) -> dict[str, tuple[int, Entry]]:
    try:
        kept = json.loads((output / _SEEN).read_bytes())
        return {place: (int(changed), Entry.model_validate(entry)) for place, (changed, entry) in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
