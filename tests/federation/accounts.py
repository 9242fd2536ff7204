"""What an account carries from federation to federation: flag, strikes and the draw record, both by origin."""

from __future__ import annotations

from dataclasses import dataclass, field

BARRED_BY = 3
STRIKES = 16
DRAWS = 10
BAD_DRAWS = 5


@dataclass(frozen=True, slots=True)
class DrawEntry:
    origin: bytes
    bad: bool
    silent: bool


@dataclass(slots=True, eq=False)
class Account:
    id: bytes
    root: bytes
    flag: bool
    box: bool
    able: bool
    serves: bool = False
    serves_cells: bool = False
    unready: int | None = None
    """When it last failed by not being ready; since it served anew."""
    suspended: bool = False
    banned: bool = False
    strikes: dict[bytes, int] = field(default_factory=dict)
    """Time of the last strike of each origin."""
    draws: list[DrawEntry] = field(default_factory=list)
    rests_until: int = 0

    def stands(self, clock: int, month: int) -> bool:
        return len(self.strikes) < BARRED_BY or sum(1 for time in self.strikes.values() if clock - time < month) < BARRED_BY

    def strike(self, origin: bytes, clock: int) -> None:
        """LC-MEM-1: of each origin the last one, of all these the 16 that are latest."""
        self.strikes.pop(origin, None)
        self.strikes[origin] = clock
        while len(self.strikes) > STRIKES:
            del self.strikes[next(iter(self.strikes))]

    def flagged(self, clock: int, month: int) -> bool:
        return self.flag and not self.banned and clock >= self.rests_until and self.stands(clock, month)

    def drawn(self, entry: DrawEntry, clock: int, month: int) -> None:
        if self.banned or clock < self.rests_until:
            return
        if not entry.silent:
            self.draws = [old for old in self.draws if old.silent or old.origin != entry.origin]
        self.draws.append(entry)
        del self.draws[:-DRAWS]
        if sum(draw.bad for draw in self.draws) > BAD_DRAWS:
            self.draws = []
            self.rests_until = clock + month
