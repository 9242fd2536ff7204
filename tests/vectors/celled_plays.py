"""The script's pen for federations with a cell (LC-FED-55 to 62): as `Train`, with seals, parts, sums and lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.federation import messages as m
from learningchain.chain.contracts.federation import records
from learningchain.chain.contracts.federation.formulas import of_bitmap, update_size
from learningchain.chain.contracts.federation.records import CellRecord, FederationState
from learningchain.chain.losses import LossTree, Opening, draw_probe, open_losses
from tests.vectors.federation_plays import BEGIN, FIRST, HELPERS, NAMES, OWNERS, SALT, TERMS, Train, cid, digest
from tests.vectors.kit import id_of

CELL: dict[str, Any] = {
    "dims": 21,
    "size": 284,
    "reference": True,
    "dp_milli": 251,
    "round_ms": 600_000,
    "ends": BEGIN + 100_000_000,
}
"""What makes TERMS those of a federation with a cell."""
SIZE = update_size(replace(TERMS, **CELL))
Losses = Sequence[int | None]
Says = Callable[[str], m.StepsMeasure | None]


@dataclass
class Cells(Train):
    def cells(self) -> CellRecord:
        found = self.state.get(records.cell_key(self.federation))
        assert isinstance(found, CellRecord), self.name
        return found

    def inside(self) -> list[bytes]:
        """Bitmaps of the living cells."""
        return [cell.members for cell in self.cells().cells]

    def of_cell(self, number: int) -> list[str]:
        """Who is left of it."""
        cell = next(one for one in self.cells().cells if one.number == number)
        bits = of_bitmap(cell.members) << 1
        return [name for name in NAMES.values() if self.knows(name) and bits >> self.member(name).index & 1]

    def serving(self, *names: str) -> Cells:
        super().serving(*names)
        self.all({name: m.ServeCells(True) for name in names})
        return self

    def files(self, *names: str) -> None:
        at = self.attempt().number
        self.all({name: m.CommitUpdate(self.federation, at, cid(f"{name} {at}"), SIZE) for name in names})

    def refers(self) -> None:
        self.do("alice", m.ReferUpdate(self.federation, self.attempt().number, cid("reference")))

    def shares(self, name: str, stage: int, **lies: str) -> list[m.MaskDigest]:
        """`lies`: `share0` and so on."""
        place = self.attempt().seats.index(id_of(name)) + 1
        known = [share for share in (0, 1, 2, 3) if share != place and (share or stage == 1)]
        return [m.MaskDigest(k, digest(lies.get(f"share{k}", f"part {stage} {k}"))) for k in known]

    def seal(self, name: str, stage: int, **lies: str) -> m.SealParts:
        at, digests = self.attempt().number, [part.digest for part in self.shares(name, stage, **lies)]
        seal = m.parts_seal(self.chain_id, self.federation, self.read().r, at, id_of(name), stage, digests, SALT)
        return m.SealParts(self.federation, at, stage, seal)

    def pin(self, name: str, stage: int, **lies: str) -> m.PinSealed:
        return m.PinSealed(self.federation, self.attempt().number, stage, self.shares(name, stage, **lies), SALT)

    def seals(self, stage: int, of: dict[str, dict[str, str]] | None = None) -> None:
        self.all({name: self.seal(name, stage, **(of or {}).get(name, {})) for name in self.aggregators()})

    def pins(self, stage: int, *names: str) -> None:
        self.seals(stage)
        self.all({name: self.pin(name, stage) for name in names or self.aggregators()})

    def screen(self, codes: Sequence[int], points: Sequence[int] = (), norm: int = 0, what: str = "rows") -> m.ScreenUpdates:
        return super().screen(codes, points, norm, what)

    def screens(self, codes: Sequence[int]) -> None:
        self.all({name: self.screen(codes) for name in self.aggregators()})

    def sum_of(self, what: str, directions: int = 3, without: Sequence[int] = ()) -> m.SumCells:
        at = self.attempt().number
        if not what:
            return m.SumCells(self.federation, at, b"", [])
        models = [b"" if n in without else cid(f"{what} {n}") for n in range(4 * directions)]
        return m.SumCells(self.federation, at, cid(what), models)

    def to_have(self, *owners: str) -> None:
        """From TRAIN to HAVE, with all files and the reference."""
        self.files(*owners)
        self.refers()
        assert self.read().state == FederationState.HAVE, self.name

    def to_screen(self, *owners: str) -> None:
        self.to_have(*owners)
        self.have(reference=True)

    def to_sum(self, *owners: str) -> None:
        self.to_screen(*owners)
        self.pins(1)
        self.screens([1] * len(owners))

    def sums(self, *owners: str, what: str = "sum", directions: int = 3) -> None:
        """From TRAIN to MEASURE."""
        self.to_sum(*owners)
        self.pins(2)
        self.all({name: self.sum_of(what, directions) for name in self.aggregators()})

    # lists

    def list(self, *entries: tuple[int, int] | None) -> m.StepsMeasure:
        """(step, loss) of each direction; None is INVALID."""
        found = []
        for entry in entries:
            measured = [] if entry is None else self.found(entry[1]).measured
            found.append(m.DirectionMeasure(entry[0] if entry else 0, measured))
        return m.StepsMeasure(1, found)

    def list_commitment(self, name: str, measure: m.StepsMeasure) -> m.CommitMeasure:
        now = self.read()
        sealed = m.measure_commitment(self.chain_id, self.federation, now.r, now.again, id_of(name), measure, SALT)
        return m.CommitMeasure(self.federation, now.r, now.again, sealed)

    def list_opening(self, measure: m.StepsMeasure, lie: bool = False) -> m.OpenSteps:
        now, shown = self.read(), list[Opening]()
        found = [(number, one.measured[0]) for number, one in enumerate(measure.directions) if one.measured]
        if found:
            number, measured = found[int.from_bytes(now.probe, "big") % len(found)]
            tree: LossTree = self.trees[measured.root]
            opening = open_losses(tree, draw_probe(now.probe, self.federation, number, now.again, measured.count))
            shown = [replace(opening, leaves=[opening.leaves[0] + 1, *opening.leaves[1:]]) if lie else opening]
        return m.OpenSteps(self.federation, now.r, now.again, measure, shown, SALT)

    def lists(self, says: Says, *, lies: Sequence[str] = (), opens: Callable[[str], bool] = bool) -> None:
        said = {name: word for name in self.panel() if (word := says(name)) is not None}
        self.all({name: self.list_commitment(name, word) for name, word in said.items()})
        if self.read().state == FederationState.MEASURE:
            self.pass_deadline()
        if not said:
            return
        shown = {name: self.list_opening(word, name in lies) for name, word in said.items() if opens(name)}
        self.all(shown)
        if len(shown) < len(said):
            self.pass_deadline()

    def settles(self, *entries: tuple[int, int] | None) -> None:
        self.lists(lambda _: self.list(*entries))


def celled(name: str, rule: str, *owners: str, **changed: Any) -> Cells:
    """Opened, joined, the initial model measured: r = 1, IDLE."""
    play = Cells(name, rule)
    play.serving(*HELPERS).opens(**(CELL | changed))
    play.join(*(owners or OWNERS[:4]))
    play.begin(0)
    play.measured(FIRST)
    return play


def drawn(name: str, rule: str, *owners: str, **changed: Any) -> Cells:
    """In TRAIN of the first attempt of r = 1: the cell stands."""
    play = celled(name, rule, *owners, **changed)
    play.begin(1)
    play.ready()
    return play
