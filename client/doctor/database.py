"""The block store's database where a PostgreSQL server has it: reached, fit for a node, this node's, and quick enough."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from learningchain.client.doctor.findings import DoctorFinding, failure, fine, warning

if TYPE_CHECKING:
    from learningchain.chain.storage.server_look import ServerFacts

SLOW_TRIP_MS: Final = 5.0
"""The node reads the state between two votes, some keys one by one."""
SLOW_COMMIT_MS: Final = 100.0
_CHECK: Final = "database"


def look_at_database(url: str, chain_id: bytes | None, runs: bool) -> list[DoctorFinding]:
    """`chain_id`: of the network's file, where that is there. `runs`: a node runs on this data folder. No password is in a text."""
    from learningchain.chain.storage.errors import StorageError
    from learningchain.chain.storage.server_look import look_at_server

    try:
        found = judge_server(look_at_server(url), chain_id, runs)
    except StorageError as fault:
        text = f"{fault.what}: {fault.why}"
        found = [failure(_CHECK, text, f"{fault.todo}; learningchain config show storage.url says where it is looked for")]
    return [_without(url, finding) for finding in found]


def _without(url: str, finding: DoctorFinding) -> DoctorFinding:
    """Whatever a driver or a server puts into its words."""
    from learningchain.chain.storage.database_url import without_secrets

    return replace(finding, text=without_secrets(finding.text, url), remedy=without_secrets(finding.remedy, url))


def judge_server(facts: ServerFacts, chain_id: bytes | None, runs: bool) -> list[DoctorFinding]:
    found = [*_fit(facts), *_lock(facts, runs), *_tables(facts, chain_id, runs), *_pace(facts)]
    version = f"{facts.version // 10_000}.{facts.version % 10_000}"
    size = f"PostgreSQL {version} at {facts.where}, {facts.size / 2**20:,.0f} MiB; what is free there only its own machine can tell"
    return [*found, fine(_CHECK, size)]


def _fit(facts: ServerFacts) -> list[DoctorFinding]:
    from learningchain.chain.storage.server import MIN_VERSION, MOST

    found = []
    if facts.version < MIN_VERSION * 10_000:
        text = f"the server is PostgreSQL {facts.version // 10_000}, and a node needs {MIN_VERSION}"
        found.append(failure(_CHECK, text, f"Upgrade it to {MIN_VERSION} or newer"))
    if facts.standby:
        todo = "learningchain config set storage.url with the address of the primary server"
        found.append(failure(_CHECK, "the server is a standby, which takes no writes", todo))
    for why in facts.unsafe:
        name = why.rpartition("(")[2].partition(" ")[0]
        todo = f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf(); SHOW {name} in this database tells whether it holds"
        found.append(failure(_CHECK, f"{why}: what a node has signed for could be lost", todo))
    if facts.encoding != "UTF8":
        text = f"the database is encoded as {facts.encoding}; the tests know UTF8 alone"
        found.append(warning(_CHECK, text, "createdb -E UTF8 -T template0 NAME, then learningchain db copy URL --use"))
    if facts.connections < MOST:
        text = f"the server lets this role have {facts.connections} connections at a time, and a node opens up to {MOST}"
        found.append(warning(_CHECK, text, "Raise max_connections, or the CONNECTION LIMIT of the role or the database"))
    if facts.space is None:
        found.append(
            failure(_CHECK, "none of the schemas of its search_path is there", "CREATE SCHEMA with the name in storage.url")
        )
    return found


def _lock(facts: ServerFacts, runs: bool) -> list[DoctorFinding]:
    if facts.space is None or facts.held == runs:
        return []
    if facts.held:
        text = "a node holds the database, and none runs on this data folder"
        return [failure(_CHECK, text, "Stop the node that has it, or give this one a database of its own: learningchain db copy")]
    text = "a node runs on this data folder, and none holds the database: it starts or ends just now, or has its blocks elsewhere"
    return [warning(_CHECK, text, "Look again in a minute; if it stays, the log says what the node waits for")]


def _tables(facts: ServerFacts, chain_id: bytes | None, runs: bool) -> list[DoctorFinding]:
    from learningchain.chain.storage import migrations, schema
    from learningchain.chain.storage.versions import other_version

    if facts.tables is None:
        if facts.space is None or runs:
            return []
        return [fine(_CHECK, "it has no tables yet: the node makes them when it starts")]
    found = []
    raw = facts.tables.get("schema", b"")[:20]
    number = int(raw) if raw.isdigit() else None
    if number != schema.SCHEMA_VERSION:
        why, todo = other_version(number, schema.SCHEMA_VERSION)
        if number is not None and migrations.leads_on(number):
            found.append(
                warning(_CHECK, f"its tables are of version {number}", "Start the node with this program: it upgrades them")
            )
        else:
            found.append(failure(_CHECK, why, todo))
    if chain_id is not None and (chain := facts.tables.get("chain", b"")) != chain_id:
        text = f"it belongs to the network {chain.hex()[:16]}, and genesis.json to {chain_id.hex()[:16]}"
        found.append(failure(_CHECK, text, "Give each network its own database: learningchain config set storage.url URL"))
    if "copying" in facts.tables:
        todo = "Finish it (learningchain db copy, from where it came), or use another database"
        found.append(failure(_CHECK, "a copy into it did not end", todo))
    return found


def _pace(facts: ServerFacts) -> list[DoctorFinding]:
    times = f"a question takes {facts.round_trip_ms:.1f} ms"
    if facts.commit_ms is not None:
        times += f", a commit {facts.commit_ms:.1f} ms"
    if facts.round_trip_ms > SLOW_TRIP_MS:
        todo = "Bring the server onto this machine or its local network: a node reads between two votes"
        return [warning(_CHECK, times, todo)]
    if facts.commit_ms is not None and facts.commit_ms > SLOW_COMMIT_MS:
        return [
            warning(_CHECK, times, "Give the server's log of changes (pg_wal) a faster disk; synchronous replicas add their own")
        ]
    return [fine(_CHECK, times)]
