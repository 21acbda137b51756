"""The database: SQLite in a folder, or any that SQLAlchemy can reach by URL, migrated to this version's tables."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from castline.errors import ServiceError
from castline.gate.private import open_private, private_folder
from castline.service.clock import teach
from castline.service.settings import ServiceSettings

_BUSY_MS = 30_000


def open_database(settings: ServiceSettings) -> Engine:
    """Connect, and migrate the tables.

    Raises:
        ServiceError: it cannot be reached, or belongs to a later version.
    """
    if settings.embedded:
        private_folder(settings.folder)
        if settings.database_file == settings.folder.resolve() / "service.db":
            open_private(settings.folder / "service.db").close()  # SQLite's other files get the same mode
    try:
        # Requests are served by threads; each may use a connection.
        engine = create_engine(
            settings.database_url, pool_size=16, max_overflow=48, pool_pre_ping=not settings.embedded
        )
        if settings.embedded:
            event.listen(engine, "connect", partial(_pragmas, settings.journal))
        migrate(engine)
    except (SQLAlchemyError, ModuleNotFoundError, CommandError) as error:
        reason = str(error).partition("\n")[0]
        raise ServiceError(f"the database cannot be used: {reason}", detail=str(error)) from error
    return engine


def migrate(engine: Engine, revision: str = "head") -> None:
    """Run the migrations up to a revision. Services that start at the same time take turns (PostgreSQL)."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(3061718)")
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _pragmas(journal: str, connection: Any, _record: object) -> None:
    """Set SQLite so that readers do not wait for writers (WAL), and writers wait for each other."""
    teach(connection)
    cursor = connection.cursor()
    for pragma in (f"journal_mode={journal}", "synchronous=NORMAL", f"busy_timeout={_BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
