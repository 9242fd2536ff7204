"""What the inferences of this node took in the last 24 hours, on its disk: a restart does not begin a new day.

    take    before the message leaves: what the request locks, or a refusal where that goes beyond what a day may take
    settle  when it is known what it cost; 0 where nothing was locked

A row a request, by the wall clock. What was not settled, for its caller went away or the node died, counts as it was taken until
somebody looks (`unsettled`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from learningchain.client.kept import KeptFile

FILE: Final = "inferences.db"
DAY_MS: Final = 86_400_000
LOOKED_AT: Final = 256
"""Requests that are looked up before one is refused for them."""


class DayBudget(KeptFile):
    """Amounts in micro-credits, times in milliseconds of the wall clock. Raises as `KeptFile` does."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._transaction() as db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS taken (request BLOB PRIMARY KEY, at INTEGER NOT NULL, amount INTEGER NOT NULL, "
                "settled INTEGER NOT NULL) WITHOUT ROWID"
            )
            db.execute("CREATE INDEX IF NOT EXISTS taken_by_time ON taken (at, amount, settled)")

    def take(self, request: bytes, amount: int, now: int, most: int) -> int | None:
        """None where it is taken; what is spent where it would be more than `most`."""
        with self._transaction() as db:
            db.execute("DELETE FROM taken WHERE at <= ?", (now - DAY_MS,))
            # A clock that was set back must not keep anything for longer than a day.
            db.execute("UPDATE taken SET at = ? WHERE at > ?", (now, now))
            spent = int(db.execute("SELECT coalesce(sum(amount), 0) FROM taken").fetchone()[0])
            if spent + amount > most:
                return spent
            db.execute("INSERT INTO taken VALUES (?, ?, ?, 0) ON CONFLICT DO NOTHING", (request, now, amount))
        return None

    def settle(self, request: bytes, cost: int) -> None:
        """What became of it; nothing happens where it is not known, or was settled."""
        with self._transaction() as db:
            db.execute("UPDATE taken SET amount = ?, settled = 1 WHERE request = ? AND settled = 0", (cost, request))

    def unsettled(self) -> list[bytes]:
        """The oldest of them."""
        rows = self._rows("SELECT request FROM taken WHERE settled = 0 ORDER BY at LIMIT ?", LOOKED_AT)
        return [bytes(row[0]) for row in rows]  # type: ignore[call-overload]
