"""One instance of a validator as a table, (state, inputs) -> (state, messages): the real machine works it out, then it is known.

Tens of millions of cases share a few thousand states of an instance. Each state is kept as the machine that is in it, named by a
number; two machines with the same contents (see `_contents`) are the same state. The driver's duties are done here at once: a
signature is given (each instance has a guard of its own, so its twin's signatures never hinder it), a block is built, a block is
good. Timers that were set are part of the state; somebody else says when they fire.

Who has decided is at the next height: it takes in nothing more, but answers those that tell that they are behind.

Nothing here knows of networks. Messages, too, are numbers: `Table.message`.
"""

from __future__ import annotations

import copyreg
import hashlib
import io
import pickle
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from learningchain.chain.codec import encode
from learningchain.chain.consensus.machine import Consensus
from learningchain.chain.consensus.messages import (
    BlockBuilt,
    BlockChecked,
    Broadcast,
    BuildBlock,
    CheckBlock,
    Decide,
    Effect,
    Input,
    ReportEvidence,
    RoundState,
    Schedule,
    SendTo,
    Sign,
    SignProposal,
    SignVote,
    StartHeight,
    StateReceived,
    Step,
    TimeoutKind,
)
from learningchain.chain.consensus.votes import VoteSet
from learningchain.chain.params import Params
from learningchain.chain.types import Certificate, Proposal, Validator, Vote
from tests.unit import consensus_kit as kit

N = 4
Message = Proposal | Vote | Certificate | RoundState


class Unsafe(AssertionError):
    """An instance did what no honest node may do, whatever the network does."""


class Who(NamedTuple):
    """An instance: validator and copy (0 or 1)."""

    validator: int
    copy: int


class Result(NamedTuple):
    """What an input led to: the new state, messages sent to all, and (receiver, message) sent to one."""

    state: int
    sent: tuple[int, ...]
    answered: tuple[tuple[int, int], ...]


class Facts(NamedTuple):
    """What is known of a state without its machine. `timers` are (round, kind)."""

    who: Who
    round: int
    decided: bytes | None
    timers: frozenset[tuple[int, int]]


def block_of(who: Who, round_: int) -> bytes:
    """Each instance builds blocks of its own."""
    return hashlib.sha256(f"block of {who.validator}.{who.copy} in round {round_}".encode()).digest()


@cache
def _verified(message: Vote | Proposal, validator: Validator) -> bool:
    return kit.verify(message, validator)


def _fresh_machine(who: Who) -> Consensus:
    made = Consensus(kit.CHAIN, kit.ident(who.validator), kit.PARAMS, verify=_verified, check=kit.check_certificate)
    made.handle(StartHeight(kit.HEIGHT, kit.validators(N), 0, "twins"))
    return made


# --- states: the same contents are the same state -----------------------------------------------------------------------------

_NO_MATTER = frozenset({"_verify", "_check_certificate", "params", "_effects", "_good", "unlogged", "validators", "index_of"})
"""Never changed, or without influence on what the machine does: `_good` spares a second verification, `unlogged` fills the log."""


def _itself(value: Any) -> Any:
    return value


def _of_dict(value: dict[Any, Any]) -> Any:
    return tuple((key, _contents(value[key])) for key in sorted(value))


def _of_list(value: list[Any] | tuple[Any, ...]) -> Any:
    return tuple(map(_contents, value))


def _of_set(value: set[Any]) -> Any:
    return tuple(sorted(value))


def _of_fields(kind: type, sample: Any) -> Callable[[Any], Any]:
    names = [name for name in getattr(kind, "__slots__", None) or sorted(vars(sample)) if name not in _NO_MATTER]
    return lambda value: tuple([_contents(getattr(value, name)) for name in names])


def _of_tally(value: VoteSet) -> Any:
    """A signature follows from what it signs here, so a vote is its validator and its block."""
    first = tuple([(i, value.first[i].block_id) for i in sorted(value.first)])
    return first, tuple([(block, *sorted(value.by_id[block])) for block in sorted(value.by_id)]), value.majority


_OF_TYPE: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys((type(None), bool, int, str, bytes, Step, Vote, Proposal, SignVote, SignProposal), _itself),
    dict: _of_dict,
    list: _of_list,
    tuple: _of_list,
    set: _of_set,
    frozenset: _of_set,
    Certificate: encode,
    VoteSet: _of_tally,
}


def _contents(value: Any) -> Any:
    """Everything that a machine consists of, in one order, hashable: no field is left out but those of `_NO_MATTER`."""
    kind = type(value)
    known = _OF_TYPE.get(kind)
    if known is None:
        known = _OF_TYPE[kind] = _of_fields(kind, value)
    return known(value)


# --- states as bytes: what all machines share is named, not repeated ----------------------------------------------------------

_SHARED: list[Any] = []
_PLACE: dict[Any, int] = {}


def _shared(place: int) -> Any:
    return _SHARED[place]


def _by_place(value: Any) -> tuple[Any, ...]:
    place = _PLACE.get(value)
    if place is None:
        place = _PLACE[value] = len(_SHARED)
        _SHARED.append(value)
    return _shared, (place,)


_REDUCTIONS = copyreg.dispatch_table | dict.fromkeys((Vote, Proposal, Validator, Params, SignVote, SignProposal), _by_place)


def _saved(machine: Consensus) -> bytes:
    out = io.BytesIO()
    pickler = pickle.Pickler(out, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _REDUCTIONS
    pickler.dump(machine)
    return out.getvalue()


def _can_act(machine: Consensus, round_: int, kind: int) -> bool:
    """False for a timer that does nothing any more, whenever it fires."""
    if round_ != machine.round or machine.step is Step.DECIDED:
        return False
    if kind == TimeoutKind.PRECOMMIT:
        return True
    return machine.step is (Step.PROPOSE if kind == TimeoutKind.PROPOSE else Step.PREVOTE)


class Table:
    """All states and messages seen so far in cases where `twin` is the duplicated validator: only that one may ever be accused."""

    def __init__(self, twin: int) -> None:
        self.twin = twin
        self.facts: list[Facts] = []
        self.messages: list[Message] = []
        self._machines: list[bytes] = []
        self._state_of: dict[Any, int] = {}
        self._number_of: dict[bytes, int] = {}
        self._results: dict[tuple[int, Any], Result] = {}

    # --- numbers --------------------------------------------------------------------------------------------------------------

    def number(self, message: Message) -> int:
        key = type(message).__name__.encode() + encode(message)
        found = self._number_of.get(key)
        if found is None:
            found = self._number_of[key] = len(self.messages)
            self.messages.append(message)
        return found

    def start(self, who: Who) -> int:
        return self._keep(who, _fresh_machine(who), set())

    def _keep(self, who: Who, machine: Consensus, set_timers: set[tuple[int, int]]) -> int:
        timers = frozenset(timer for timer in set_timers if _can_act(machine, *timer))
        decided = machine.last_certificate if machine.step is Step.DECIDED else None
        if decided is not None:
            # Until the network heals nobody hears of it; then it answers with its certificate. Nothing else of it matters.
            key: Any = (who, decided.round, decided.block_id)
        else:
            key = (who, tuple(sorted(timers)), _contents(machine))
        state = self._state_of.get(key)
        if state is None:
            state = self._state_of[key] = len(self.facts)
            self.facts.append(Facts(who, machine.round, decided.block_id if decided else None, timers))
            self._machines.append(_saved(machine))
        return state

    @property
    def size(self) -> tuple[int, int, int]:
        """States, messages, transitions."""
        return len(self.facts), len(self.messages), len(self._results)

    # --- transitions ----------------------------------------------------------------------------------------------------------

    def step(self, state: int, key: Any, events: Callable[[], list[Input]]) -> Result:
        """What `events`, one after the other, do to a state; `key` names them among all lists of inputs."""
        result = self._results.get((state, key))
        if result is None:
            result = self._results[state, key] = self._work_out(state, events())
        return result

    def _work_out(self, state: int, events: list[Input]) -> Result:
        who, _, _, timers = self.facts[state]
        machine: Consensus = pickle.loads(self._machines[state])  # noqa: S301 - made above
        run = _Run(self, who, machine, set(timers))
        for event in events:
            if machine.step is not Step.DECIDED or isinstance(event, StateReceived):
                run.feed(event)
        return Result(self._keep(who, machine, run.timers), tuple(run.sent), tuple(run.answered))


class _Run:
    """Inputs and all that follows from them within the instance."""

    def __init__(self, table: Table, who: Who, machine: Consensus, timers: set[tuple[int, int]]) -> None:
        self.table, self.who, self.machine, self.timers = table, who, machine, timers
        self.sent: list[int] = []
        self.answered: list[tuple[int, int]] = []

    def feed(self, event: Input) -> None:
        for effect in self.machine.handle(event):
            self._run(effect)

    def _run(self, effect: Effect) -> None:
        match effect:
            case Sign(SignVote() | SignProposal() as request):
                self.feed(kit.sign(request, self.who.validator))
            case BuildBlock(height, round_):
                self.feed(BlockBuilt(height, round_, block_of(self.who, round_)))
            case CheckBlock(height, _, block_id, _):
                self.feed(BlockChecked(height, block_id, True))
            case Broadcast(message):
                self.sent.append(self.table.number(message))
            case SendTo(peer, message):
                self.answered.append((peer[-1], self.table.number(message)))
            case Schedule(timeout) if timeout.kind is not TimeoutKind.RESEND:
                self.timers.add((timeout.round, int(timeout.kind)))
            case ReportEvidence(evidence):
                a = evidence.a
                accused = (a.validator if isinstance(a, Vote) else a.proposer)[-1]
                if accused != self.table.twin:
                    raise Unsafe(f"{self.who} accuses the honest validator {accused}")
            case Decide(height, block_id, cert):
                if height != kit.HEIGHT or cert.block_id != block_id or len(set(cert.signers)) < 3:
                    raise Unsafe(f"{self.who} decided on {len(set(cert.signers))} of {N} precommits")
