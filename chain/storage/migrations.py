"""A database that an older version of the program wrote becomes this version's, or is refused. Used by the block store alone.

Whoever holds a database upgrades it when it is opened: every step in one transaction, so that a node that is killed meanwhile
leaves the old one. Before version 5 the state had another form: there is no way from there but a new data folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from learningchain.chain.storage import schema


def _archive(connection: sa.Connection) -> None:
    """What leaves the state is kept beside it; nothing had left before."""
    schema.archived.create(connection)
    schema.archived_numbers.create(connection)


STEPS: Mapping[int, Callable[[sa.Connection], None]] = {5: _archive}
"""What makes the next version of each: as the tables were then, whatever they became later."""


def leads_on(found: int) -> bool:
    """Whether a database of the version `found` is older than this program's and can be upgraded."""
    return found < schema.SCHEMA_VERSION and all(version in STEPS for version in range(found, schema.SCHEMA_VERSION))


def upgrade(connection: sa.Connection, found: int) -> None:
    """In one transaction. Only where `leads_on`."""
    for version in range(found, schema.SCHEMA_VERSION):
        STEPS[version](connection)
    name = schema.meta.c.name
    connection.execute(sa.update(schema.meta).where(name == "schema").values(value=str(schema.SCHEMA_VERSION).encode()))
