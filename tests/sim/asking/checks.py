"""What must hold where members own, serve, ask and cheat, on top of what must hold in every run.

That every block did what the rules say is the second execution's (`tests.sim.checks_chain`). Here is what they are for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from learningchain.chain.codec import decode
from learningchain.chain.contracts.prediction import records
from learningchain.chain.contracts.prediction.tally import AnswerCode, PredictionOutcome
from learningchain.chain.contracts.prediction.verdicts import AppealVerdict
from learningchain.chain.host import Account, Escrow, account_key
from learningchain.chain.ledger.state import State
from learningchain.chain.node import events as e
from learningchain.chain.types import Event, LogEvent, Receipt
from tests.sim.asking.people import TOL, Asked, models, requests, truth
from tests.sim.checks import Checks
from tests.sim.machine import Machine
from tests.sim.world import GRANT

if TYPE_CHECKING:
    from tests.sim.asking.member import MemberAsking
    from tests.sim.asking.world import AskingWorld


class AskingChecks(Checks):
    world: AskingWorld

    def __init__(self, world: AskingWorld) -> None:
        super().__init__(world)
        self._looked = 0
        self._judged: set[bytes] = set()
        self._overturned: set[bytes] = set()

    def committed(self, machine: Machine, c: e.Commit) -> None:
        super().committed(machine, c)
        if machine.honest and c.height > self._looked:
            self._looked = c.height
            for raw in c.receipts:
                receipt = decode(Receipt, raw, 10**7)
                self.world.codes[receipt.tx] = receipt.code
                for event in receipt.events:
                    self._event(event)
            self._values(machine)
            self._overturns(machine)

    def _event(self, event: Event) -> None:
        world = self.world
        if not isinstance(event, LogEvent):
            return
        if event.topic in ("request.failed", "request.answered"):
            world.acts[f"{event.topic} {event.data[1]}"] += 1
        elif event.topic.startswith(("banned", "server.", "appeal.", "request.", "model.", "policy.", "royalty.")):
            world.acts[event.topic] += 1

    # --- values -----------------------------------------------------------------------------------------------------------------

    def _values(self, machine: Machine) -> None:
        """Where most of the seats of a request opened the truth, its values are true: whatever the others said."""
        honest, state = self._honest(), cast(Any, machine.node.state)
        for request in requests(state):
            result = state.get(records.result_key(request.id))
            if request.record.outcome != PredictionOutcome.AGREED or request.id in self._judged or result is None:
                continue
            self._judged.add(request.id)
            seats, wanted = self._seats(state, request), request.record.wanted
            true = sum(who in honest for who in seats)
            if 2 * true <= wanted:
                self.world.acts["honest seats are few"] += 1
                continue
            self.world.acts["values by honest seats"] += 1
            for row, value in enumerate(result.values):
                if value.support and abs(value.score - truth(request, row)) > TOL:
                    self._fail(
                        machine, f"request {request.id.hex()[:8]} has a wrong value, {true} of {wanted} seats told the truth"
                    )

    def _honest(self) -> set[bytes]:
        return {one.id for one in (*self.world.servers, *self.world.requesters, *self.world.judges, self.world.owner)}

    def _overturns(self, machine: Machine) -> None:
        """A true value falls only where those who told the truth, in the draw and as judges, are fewer than those who did not."""
        honest, state = self._honest(), cast(Any, machine.node.state)
        for request in requests(state):
            result = state.get(records.result_key(request.id))
            if request.record.appeal != AppealVerdict.OVERTURNED or request.id in self._overturned or result is None:
                continue
            self._overturned.add(request.id)
            opened = [seat for seat in result.seats if seat.code]
            true = sum(seat.account in honest and seat.code == AnswerCode.OK for seat in opened)
            for new in result.changed:
                old, right = result.values[new.row], truth(request, new.row)
                fell = old.support and abs(old.score - right) <= TOL and abs(new.score - right) > 5 * TOL
                if fell and 2 * true >= len(opened):
                    self._fail(machine, f"a true value of {request.id.hex()[:8]} fell, which {true} of {len(opened)} said")

    @staticmethod
    def _seats(state: Any, request: Asked) -> list[bytes]:
        """Who opened an answer before an appeal; of a request that has ended the result knows."""
        if request.record.state in records.ENDED:
            result = state.get(records.result_key(request.id))
            return [seat.account for seat in result.seats if seat.round != 3 and seat.code == AnswerCode.OK]
        drawn = [(one.round, who) for one in request.record.rounds if one.round != 3 for who in one.seats]
        seats = [(who, state.get(records.seat_key(request.id, round_, who))) for round_, who in drawn]
        return [who for who, seat in seats if seat.answer and seat.answer[0].code == AnswerCode.OK]

    # --- at the end -------------------------------------------------------------------------------------------------------------

    def final(self) -> None:
        super().final()
        state, machine = self.world.honest[0].node.state, self.world.honest[0]
        self.chain.supply()
        if any(one.record.state not in records.ENDED for one in requests(state)):
            self._fail(machine, "a request never ends")
        for name in sorted({one.name for one in self.world.cheats}):
            group = [one for one in self.world.cheats if one.name == name]
            gained = wealth(state, group) - GRANT * len(group)
            self.world.acts[f"{name}: gained"] += gained > 0
            self.world.acts[f"{name}: lost"] += gained < 0
            # Who keeps its keys pays all that sat for nothing, cheats among them.
            kept_keys = self.world.acts[f"request.failed {PredictionOutcome.NO_KEYS:d}"] > 0
            if gained > 0 and not kept_keys and all(one.never_gains for one in group):
                self._fail(machine, f"{name} gained {gained} micro-credits")


def wealth(state: State, group: Iterable[MemberAsking]) -> int:
    """What they hold together, with what stands for them in escrows: stakes, charges, bonds, deposits, royalties."""
    total = 0
    ids = [one.id for one in group]
    for identity in ids:
        account = state.get(account_key(identity))
        total += account.balance + account.frozen if isinstance(account, Account) else 0
    for model, record, _ in models(state):
        total += sum(_held(state, records.stake_escrow(model, identity)) for identity in ids)
        if record.owner in ids:
            total += _held(state, records.deposit_escrow(model)) + _held(state, records.royalty_escrow(model))
    for one in requests(state):
        if one.posting.requester in ids:
            total += _held(state, records.charge_escrow(one.id))
        if one.record.appellant in ids:
            total += _held(state, records.bond_escrow(one.id))
    return total


def _held(state: State, escrow: bytes) -> int:
    found = state.get(b"e/" + escrow)
    return found.amount if isinstance(found, Escrow) else 0
