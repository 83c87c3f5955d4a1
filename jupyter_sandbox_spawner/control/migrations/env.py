"""How does alembic reach the database? By the connection that store.py already holds."""

from __future__ import annotations

from alembic import context

from jupyter_sandbox_spawner.control import tables_usage  # noqa: F401 METADATA is whole with it
from jupyter_sandbox_spawner.control.tables import METADATA

__all__: list[str] = []

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    transactional_ddl=True,
)
# store.py opened the transaction; one of alembic's own would commit before the whole step is done.
context.run_migrations()
