"""How does alembic reach the database? By the connection that store.py already holds."""

from __future__ import annotations

from alembic import context

from jupyter_sandbox_spawner.control import tables_data, tables_egress, tables_ledger, tables_usage
from jupyter_sandbox_spawner.control.tables import METADATA

__all__ = ["PARTS"]

# Their tables are known to METADATA once they are imported.
PARTS = (tables_data, tables_egress, tables_ledger, tables_usage)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    transactional_ddl=True,
)
# store.py opened the transaction; one of alembic's own would commit before the whole step is done.
context.run_migrations()
