"""The federation contract a second time: the executable model of its page (`tests.federation`) inside the second ledger
(`checks_models`). Its records are compared in the words of `tests.federation_views`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from chain.contracts import federation
from chain.contracts.federation import messages as m
from chain.contracts.federation import records
from chain.contracts.federation.messages import AggregationRule, FederationCode, FileCode, MeasureCode, PaySplit, Secrecy
from chain.losses import BadOpening, check_opening, draw_probe
from tests.federation import machine, messages, play, scenario
from tests.federation.events import Flow, Struck
from tests.federation.formulas import cd
from tests.federation.graph import Graph
from tests.federation.money import Money
from tests.federation.records import DRAW, DRAWING, END, MEASURE, OPENING, READY
from tests.federation.refused import Refused as ModelRefused
from tests.federation.scenario import Measure, Params
from tests.federation_views import as_told, view_of
from tests.hashes import tagged
from tests.sim.checks_ledger import Ledger, must
from tests.sim.checks_members import Members
from tests.sim.checks_models import Deadline, Modelled, People, balances, same

NUMBER = records.NUMBER
PREFIXES = tuple(sorted(federation.CONTRACT.state))
"""Of the contract's records."""


class FederationMoney(Money):
    """The model's credits are those of the second ledger."""

    def __init__(self, ledger: Ledger, tell: Callable[[Flow], None]) -> None:
        self.ledger, self.tell = ledger, tell
        self.balance = balances(ledger)

    def held(self, ref: bytes, purpose: bytes) -> int:
        return self.ledger.held(ref + b"f" + purpose)

    def lock(self, account: bytes, ref: bytes, purpose: bytes, amount: int) -> None:
        self.ledger.lock(account, ref + b"f" + purpose, amount)

    def burn(self, ref: bytes, purpose: bytes, why: str, amount: int) -> None:
        self.ledger.release(ref + b"f" + purpose, None, amount)

    def pay(self, ref: bytes, purpose: bytes, to: bytes, why: str, amount: int | None = None) -> None:
        self.ledger.release(ref + b"f" + purpose, to, amount)


class FederationGraph(Graph):
    """The model's state; who is there and what they hold it asks."""

    def __init__(self, ledger: Ledger, people: Members) -> None:
        self._ledger, self._people = ledger, people
        super().__init__(Params(), (), 0)
        self.accounts = cast(Any, People(ledger, people, serves=False))
        self.money = FederationMoney(ledger, self.tell)

    def now(self) -> None:
        """Take over what this block is."""
        chain, p = self._ledger.chain, self._ledger.params
        self.clock, self.height, self.beacon = chain.clock, chain.height, chain.beacon
        self.validators = len(self._ledger.validators)
        self.params = Params(
            v0=p.fed_base,
            w_h=p.fed_ready,
            w_c=p.fed_open,
            pending=p.fed_pending,
            keep=p.fed_keep,
            month=p.standing_life,
            t_min=p.fed_least,
            longest=p.fed_longest,
            rate=p.fed_rate,
            live=p.fed_live,
            dropped=p.fed_dropped,
        )

    def strike(self, who: bytes, origin: bytes, why: str) -> None:
        if not self.accounts[who].banned:
            self._people.strike_root(who, origin)
            self.tell(Struck(who, origin, why))


class Federations(Modelled):
    refused = ModelRefused

    def __init__(self, ledger: Ledger, people: Members) -> None:
        self.graph = FederationGraph(ledger, people)
        self.reached: Counter[str] = self.graph.reached
        self._probes: dict[tuple[bytes, int, int], bytes] = {}
        """Beacons of the blocks in which openings began."""
        super().__init__(ledger, people, self.graph, federation.CONTRACT, messages.HANDLERS, FederationCode)

    # --- what comes -------------------------------------------------------------------------------------------------------------

    def _handle(self, sender: bytes, message: Any) -> None:
        super()._handle(sender, message)
        if isinstance(message, m.OpenFederation):
            self.graph.federations[self._id()].base = message.terms.model

    def _on_due(self, ref: bytes, at: int) -> None:
        one = self.graph.federations.get(ref)
        if one is not None and one.deadline == at and not (one.state in DRAWING and self.graph.height < one.draw_height):
            machine.deadline(self.graph, one)

    def _wanted(self) -> Iterator[Deadline]:
        for one in self.graph.federations.values():
            if one.state == OPENING:
                self._probes.setdefault((one.id, one.r, one.again), self.graph.beacon)
            yield one.sponsor, one.deadline, one.id, one.draw_height if one.state in DRAWING else 0

    def _due_work(self, ref: bytes) -> int:
        """LC-FED-52"""
        one = self.graph.federations.get(ref)
        if one is None:
            return 0
        if one.state == END:
            return min(one.records, 1_024) + 16
        draws = one.state in (DRAW, READY, MEASURE, OPENING)
        return 256 + (cd(self.people.flags(), 16) if draws else 0)

    # --- words ------------------------------------------------------------------------------------------------------------------

    def _id(self) -> bytes:
        """LC-FED-49"""
        return tagged(b"lc/federation", self.l.tx, bytes((self.l.op,)))

    def _translated(self, sender: bytes, o: Any) -> scenario.Message:
        """A message of the ledger in the model's words."""
        if isinstance(o, m.OpenFederation):
            return scenario.OpenFederation(self._id(), _terms(o.terms))
        if isinstance(o, m.SealKey):
            return scenario.SealKey(o.federation, len(o.boxes))
        if isinstance(o, m.ReadyKey):
            return scenario.ReadyKey(o.federation, o.attempt)
        if isinstance(o, m.HaveUpdates):
            return scenario.HaveUpdates(o.federation, o.attempt, int.from_bytes(o.files, "little"), o.reference)
        if isinstance(o, m.PinParts):
            parts = tuple((part.mask, part.digest) for part in o.parts)
            return scenario.PinParts(o.federation, o.attempt, o.stage, parts)
        if isinstance(o, m.ScreenUpdates):
            codes = tuple(FileCode(code).name for code in o.codes)
            return scenario.ScreenUpdates(o.federation, o.attempt, codes, tuple(o.points), o.norm, o.digest)
        if isinstance(o, m.SumUpdates):
            return scenario.SumUpdates(o.federation, o.attempt, o.model)
        if isinstance(o, m.CommitMeasure):
            return scenario.CommitMeasure(o.federation, o.r, o.again, cast(Any, o.commitment))
        if isinstance(o, m.OpenMeasure):
            return self._opening(sender, o)
        plain: Callable[..., scenario.Message] = getattr(scenario, type(o).__name__)
        return plain(*(getattr(o, name) for name in o.__struct_fields__))

    def _opening(self, sender: bytes, o: m.OpenMeasure) -> scenario.OpenMeasure:
        """The model holds what a commitment binds; here it holds the hash until that is opened."""
        one = self.graph.federations.get(o.federation)
        seat = next((seat for seat in one.panel if seat.who == sender), None) if one is not None else None
        sealed = m.measure_commitment(self.l.chain.chain_id, o.federation, o.r, o.again, sender, o.measure, o.salt)
        said = self._measure(o)
        if seat is not None and seat.committed is not None and cast(Any, seat.committed) == sealed:
            seat.committed = said
        return scenario.OpenMeasure(o.federation, o.r, o.again, said)

    def _measure(self, o: m.OpenMeasure) -> Measure:
        probe = self._probes.get((o.federation, o.r, o.again))
        holds = True
        for measured in o.measure.measured:
            try:
                check_opening(measured, draw_probe(probe or bytes(32), o.federation, 0, o.again, measured.count), o.opening[0])
            except (BadOpening, IndexError):
                holds = False
        loss = o.measure.measured[0].mean if o.measure.measured else 0
        return Measure(MeasureCode(o.measure.code).name, loss, holds)

    # --- what is so -------------------------------------------------------------------------------------------------------------

    def _compare(self, stored: Mapping[bytes, bytes], get: Callable[[bytes], Any]) -> None:
        graph = self.graph
        there = {key[3:] for key in stored if key.startswith(b"fb/")}
        must(there == set(graph.federations), f"{len(there)} federations are in the state, by the rules {len(graph.federations)}")

        def below(prefix: bytes) -> list[tuple[bytes, Any]]:
            return [(key[len(prefix) :], get(key)) for key in sorted(stored) if key.startswith(prefix)]

        for one, theirs in graph.federations.items():
            same(f"federation {one.hex()[:8]}", as_told(view_of(one, get, below)), as_told(play.federation_view(theirs)))
        serving = {key[3:] for key in stored if key.startswith(records.SERVING)}
        must(all(graph.accounts[who].serves == (who in serving) for who in graph.accounts), "who serves federations")
        live = {key[2:] for key in stored if key.startswith(records.LIVE)}
        must(live == {one.id for one in graph.federations.values() if one.state != END}, "which federations have not ended")
        roots = Counter(one.root for one in graph.federations.values() if one.state != END)
        counted = {key[3:]: get(key).live for key in stored if key.startswith(b"fl/")}
        must(counted == dict(roots), "how many federations of a root have not ended")
        lost = [key for key in stored if key.startswith(OF_ONE) and key[3:35] not in graph.federations]
        must(not lost, f"records that belong to nothing: {[key[:3] + key[3:].hex()[:16].encode() for key in lost][:3]}")

    def unfinished(self) -> int:
        """Federations that have not ended."""
        return sum(one.state != END for one in self.graph.federations.values())


OF_ONE = tuple(b"f%c/" % letter for letter in b"acegmoprsu")
"""Keys that go on with a federation."""


def _terms(t: m.FederationTerms) -> scenario.Terms:
    return scenario.Terms(
        bounty=t.bounty,
        fee=t.fee,
        target=t.target,
        rounds=t.rounds,
        ends=t.ends,
        pace_ms=t.pace_ms,
        round_ms=t.round_ms,
        dims=t.dims,
        size=t.size,
        float_kind=t.float_kind,
        tol=t.tol,
        min_members=t.min_members,
        max_members=t.max_members,
        min_sum=t.min_sum,
        vetted=t.vetted,
        secrecy={Secrecy.SUM: scenario.SUM, Secrecy.OPEN: scenario.OPENED}[Secrecy(t.secrecy)],
        rule=AggregationRule(t.rule).name.lower(),
        split=PaySplit(t.split).name.lower(),
        reference=t.reference,
        clip=t.clip,
        patience=t.patience,
        admit_open=t.admit_open,
        outside=t.outside,
        hidden=bool(t.hidden),
        dp_milli=t.dp_milli,
        eval_s=t.limits.eval_s,
        cpus_milli=t.limits.cpus_milli,
        params=len(t.params.encode()),
    )
