"""A request as the gate sees it: what a signature covers, and how the emulator will interpret it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Request:
    """Attributes:
    raw_path: the path as sent, with its escapes; this is what is signed.
    path: the same, unescaped; this is what the emulator uses.
    query: as sent, without the question mark.
    fields: every header field, names in lower case, in the order sent.
    """

    method: str
    raw_path: str
    path: str
    query: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, scope: Mapping[str, Any]) -> Request:
        """The request of an ASGI scope."""
        return cls(
            method=scope["method"],
            raw_path=scope["raw_path"].decode("latin-1"),
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            fields=tuple((name.decode("latin-1").lower(), _text(value)) for name, value in scope["headers"]),
        )

    @cached_property
    def headers(self) -> dict[str, str]:
        """Each header once; repeated ones joined, as the emulator does it."""
        found: dict[str, str] = {}
        for name, value in self.fields:
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @cached_property
    def parameters(self) -> dict[str, list[str]]:
        return parse_qs(self.query, keep_blank_values=True)

    def parameter(self, name: str) -> str:
        """The value of a parameter that occurs exactly once; otherwise empty."""
        values = self.parameters.get(name, [])
        return values[0] if len(values) == 1 else ""

    @property
    def url(self) -> str:
        question = f"?{self.query}" if self.query else ""
        return f"http://{self.headers.get('host', '')}{self.raw_path}{question}"

    @property
    def is_form(self) -> bool:
        return self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
