"""A job as its poster sees it at one moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from learningchain.client.contracts.job.http.schema import JobView
    from learningchain.client.schema.bodies import EventView, ParkedView, TransferView


class Shown:
    """What is known at one moment. `clock` is the chain clock in milliseconds, read at `at` of the monotonic clock. `parked`: the
    job's entry in the status, where it is parked. `events`: what happened since the last reading, oldest first. `coming`: what this
    node fetches for the job."""

    def __init__(
        self,
        job: JobView,
        runs: list[Any],
        clock: int,
        parked: ParkedView | None = None,
        events: list[EventView] | None = None,
        coming: list[TransferView] | None = None,
    ) -> None:
        self.job, self.runs, self.clock, self.parked, self.at = job, runs, clock, parked, time.monotonic()
        self.events, self.coming = events or [], coming or []

    def now(self) -> int:
        """The chain clock, counted on from the last reading."""
        return self.clock + round(1000 * (time.monotonic() - self.at))

    def left(self) -> float | None:
        """Seconds until the present deadline."""
        deadline = self.job.get("deadline")
        return None if deadline is None else (deadline - self.now()) / 1000
