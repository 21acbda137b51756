"""Run by alembic, with a connection that ``database.migrate`` gives it."""

from alembic import context
from sqlmodel import SQLModel

from castline.service import tables  # noqa: F401 - fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,  # SQLite alters a table by making it anew
)
with context.begin_transaction():
    context.run_migrations()
