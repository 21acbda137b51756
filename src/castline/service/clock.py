"""The clock of all times in the database: its own, as the clocks of the hosts that share a PostgreSQL may differ."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

#: The function's name in SQLite, which belongs to one host and reads its clock only in milliseconds.
_NAME = "castline_now_s"


class now_s(FunctionElement[float]):  # noqa: N801 - named as functions of SQL are
    """Seconds since 1970 when the statement began, as an expression of SQL."""

    type = Float()
    inherit_cache = True


@compiles(now_s, "postgresql")
def _postgresql(*_: Any, **__: Any) -> str:
    return "extract(epoch from statement_timestamp())::float8"


@compiles(now_s, "sqlite")
def _sqlite(*_: Any, **__: Any) -> str:
    return f"{_NAME}()"


def teach(connection: Any) -> None:
    """Add the function to a connection to SQLite."""
    connection.create_function(_NAME, 0, time.time)
