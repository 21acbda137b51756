"""Mutations of a stored object: a changed value somewhere in it, a missing end, other bytes."""

from __future__ import annotations

import json

from hypothesis import strategies as st

_odd = st.none() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=4) | st.just([]) | st.just({})


def mutated(data: st.DataObject, body: bytes) -> bytes:
    """A JSON object in which one value is replaced."""
    value = at = json.loads(body)
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        inside = at[key]
        if not isinstance(inside, dict | list) or not inside or data.draw(st.integers(0, 4)) == 0:
            at[key] = data.draw(_odd)
            return json.dumps(value).encode()
        at = inside


def damaged(data: st.DataObject, body: bytes) -> bytes:
    """Bytes of which some are missing or different."""
    how = data.draw(st.sampled_from(("cut", "changed", "replaced")))
    at = data.draw(st.integers(0, len(body) - 1))
    if how == "cut":
        return body[:at]
    if how == "changed":
        return body[:at] + data.draw(st.binary(min_size=1, max_size=4)) + body[at + 1 :]
    return data.draw(st.binary(max_size=64))


def spoilt(data: st.DataObject, body: bytes) -> bytes:
    """A JSON object, mutated or damaged."""
    return data.draw(st.sampled_from((mutated, mutated, damaged)))(data, body)
