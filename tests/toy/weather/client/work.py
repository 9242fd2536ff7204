"""The work of a weather station: a node that is a verifier measures what others forecast. It is always dry in Bonn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from learningchain.chain.host import Reader
from learningchain.client.work.events import Chain, Changed, Effect, Forget, Input, Settled, Submit
from learningchain.client.work.machine import LedgerStatus, Machine, Recalled, Watch, WorkPart, knows_no_ref

from .. import Measure, Standing, key_of, ref_of

_FORECAST = key_of(b"")


class Station(Machine):
    name = "station"

    def __init__(self, known: Recalled) -> None:
        self._known = known
        self._due: set[bytes] = set()
        """Forecasts that are new to it."""

    def handle(self, given: Input) -> Sequence[Effect]:
        match given:
            case Changed():
                self._due |= set(given.under(_FORECAST))
            case Settled(kind="weather"):
                return [Forget(given.ref)]
            case Chain():
                due, self._due = self._due, set()
                return list(self._measure(given.reader, due)) if self._known.config.measure else []  # type: ignore[attr-defined]
        return []

    def _measure(self, reader: Reader, due: set[bytes]) -> Iterator[Effect]:
        for ref in sorted(due):
            found = reader.get(key_of(ref))
            if isinstance(found, Standing) and found.by != self._known.me:
                yield Submit("weather", f"measure:{found.place}:{found.until}", ref, Measure(found.place, found.place != "Bonn"))


def measured(reader: Reader, me: bytes, clock: int, op: Measure) -> tuple[LedgerStatus, int | None]:
    found = reader.get(key_of(ref_of(op.place)))
    return (LedgerStatus.OPEN, found.until) if isinstance(found, Standing) else (LedgerStatus.STANDS, None)


PART = WorkPart(
    name="weather",
    knows=knows_no_ref,
    machines=lambda known: [Station(known)],
    ledger_statuses={Measure: measured},
    watch=Watch((_FORECAST,), _FORECAST, _FORECAST),
)
