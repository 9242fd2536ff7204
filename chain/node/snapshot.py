"""Catching up from a snapshot: whom to ask for the state after a recent block, what to believe, which buckets to ask for. Pure.

    far behind --> seek: GetSnapshot to peers that tell so; an offer is proven by its certificate, whose validators follow from this
                   node's own by validator set changes; from then on the block is the target, and its subroots say which buckets
                   there are
               --> take: buckets from every peer whose snapshot has them in the same form, `MAX_ASKED` questions each; what fits its
                   subroot is on disk at once and stays, whatever becomes of the peer, the target or this process
               --> Switch: all are here

What is wrong costs who sent it. Peers that have no snapshot are left alone for a while: blocks are asked for then. LC-NODE-40, 66.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from learningchain.chain.codec import encode
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.snapshot import (
    Offer,
    UnknownVersion,
    ValidatorSetChange,
    check_signed,
    decode_subroots,
    follow_validator_change,
    root_of,
)
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record, validators_of
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.ancestry import Ancestry
from learningchain.chain.node.sync import DEADLINE, Sync
from learningchain.chain.types import Header, Validator, validators_hash

MAX_SOURCES = 4
MAX_ASKED = 2
"""Questions for buckets that are out to one peer."""
MAX_CHECKING = 8
"""Answers whose buckets are being checked and written; no bucket is asked for beyond that."""
AGAIN = 1_000
"""Milliseconds until a peer that makes a snapshot is asked again."""
PATIENCE = 120_000
"""For how long that goes on."""
PRUNED = 5_000
"""For how long no peer has kept the next block before a snapshot is taken for that reason: one that keeps all may come yet."""
REST = 600_000
"""For how long a peer without a snapshot is not asked for one."""
LITTLE = m.MAX_BUCKETS_BYTES // 2
"""Bytes; an answer that lacks buckets and has no more than that was cut off on purpose."""
MAX_FOLLOWED = 10_000
"""Validator set changes that lead to a target."""


@dataclass
class _Source:
    """A peer with a snapshot. `differs` are the buckets that are not those of the target."""

    height: int
    offer: Offer | None
    """Until it is proven, or compared with the target."""
    until: int
    validators: list[Validator]
    """The set that signs from height `since` on, as the changes say that this peer showed."""
    since: int
    followed: list[ValidatorSetChange] = field(default_factory=list)
    differs: frozenset[int] = frozenset()
    asked: list[tuple[list[int], int]] = field(default_factory=list)
    """Bucket numbers, and until when an answer is waited for."""


class SnapshotSync:
    """`after`: how many heights behind a snapshot is taken; 0: never for that reason. `if_pruned`: also when for `PRUNED` no peer
    that is ahead has kept the next block."""

    def __init__(self, chain_id: bytes, sync: Sync, ancestry: Ancestry, after: int, *, if_pruned: bool = False) -> None:
        self._chain_id, self._sync, self._ancestry, self.after = chain_id, sync, ancestry, after
        self._if_pruned = if_pruned
        self._pruned_since: int | None = None
        if after or if_pruned:
            sync.holds = self.holds
        self._seeking: dict[bytes, int] = {}
        """Asked for a snapshot, and until when an answer is waited for."""
        self._making: dict[bytes, tuple[int, int]] = {}
        """Peers that make one: when to ask again, and since when."""
        self._without: dict[bytes, int] = {}
        self._sources: dict[bytes, _Source] = {}
        self._validators: list[Validator] = []
        """The set that signs from height `_from` on, as this node's own state says."""
        self._from = 0
        self._target: Offer | None = None
        self._subroots: dict[int, bytes] = {}
        self._wanted: dict[int, None] = {}
        self._missing = -1
        """Buckets of the target that are not here; -1 while it is not known."""
        self._ticket = 0
        self._checking: dict[int, tuple[bytes, list[int]]] = {}
        self._done = False
        self._since: int | None = None
        """When it first waited for a snapshot."""

    # --- seeking --------------------------------------------------------------------------------------------------------------

    def far(self, now: int) -> bool:
        """Whether a snapshot is what this node waits for. Only peers that may have one count."""
        return bool(self._able(now)) or (self._target is not None and bool(self._sources))

    def holds(self, now: int) -> bool:
        """Whether no blocks are asked for. However many peers say that they make a snapshot, one after the other: not for long."""
        if not self.far(now):
            return False
        self._since = now if self._since is None else self._since
        return self._target is not None or now < self._since + PATIENCE

    def _able(self, now: int) -> list[bytes]:
        gap = self._gap(now)
        return [p for p in self._sync.far_ahead(gap, now) if self._without.get(p, 0) <= now] if gap else []

    def _gap(self, now: int) -> int:
        """How many heights behind a snapshot is worth it now; 0: it is not."""
        if not self._if_pruned or not self._sync.next_is_pruned:
            self._pruned_since = None
            return self.after
        self._pruned_since = now if self._pruned_since is None else self._pruned_since
        return 1 if now >= self._pruned_since + PRUNED else self.after

    def tick(self, state: State, now: int) -> list[e.Effect]:
        """At every tick of the node."""
        if self._done or not (self._sources or self._seeking or self.far(now)):
            return []
        if not self._from:
            self._from, self._validators = chain_record(state).height + 1, validators_of(state)
        self._expire(now)
        if self._ancestry.below(self._from - 1) and self._ancestry.header is None:
            return []  # whose snapshot holds is not known yet
        out: list[e.Effect] = []
        free = [p for p in self._able(now) if p not in self._sources | self._seeking and self._making.get(p, (0, 0))[0] <= now]
        for peer in free[: max(0, MAX_SOURCES - len(self._sources) - len(self._seeking))]:
            self._seeking[peer] = now + DEADLINE
            out.append(_send(peer, m.GetSnapshot()))
        return out + self._ask(now)

    def _expire(self, now: int) -> None:
        for peer in [p for p, until in self._seeking.items() if until <= now]:
            del self._seeking[peer]
            self._sync.failed(peer, now)
        for peer, source in list(self._sources.items()):
            until = source.asked[0][1] if source.asked else source.until if source.offer else now + 1
            if until <= now:
                self._drop(peer)
                self._sync.failed(peer, now)

    def _drop(self, peer: bytes) -> None:
        source = self._sources.pop(peer, None)
        for numbers, _ in source.asked if source else ():
            self._wanted.update(dict.fromkeys(numbers))

    def _leave(self, peer: bytes, now: int) -> None:
        """It has nothing that helps."""
        self._drop(peer)
        self._making.pop(peer, None)
        self._without[peer] = now + REST
        while len(self._without) > 1_024:
            del self._without[next(iter(self._without))]

    # --- inputs ---------------------------------------------------------------------------------------------------------------

    def event(self, event: e.SnapshotStaged | e.BucketsTaken, now: int) -> list[e.Effect]:
        match event:
            case e.SnapshotStaged(held):
                self._missing = len(self._subroots) - len(held)
                gone = frozenset(held)
                self._wanted = {number: None for number in self._subroots if number not in gone}
                return self._ask(now)
            case e.BucketsTaken(ticket, wrong):
                return self._taken(ticket, wrong, now)

    def message(self, peer: bytes, message: m.SnapshotAnswer, state: State, now: int) -> list[e.Effect]:
        if self._done:
            return []
        try:
            match message:
                case m.Snapshot():
                    return self._offered(peer, message, chain_record(state).height, now)
                case m.ValidatorChanges(validator_changes):
                    return self._changes_came(peer, validator_changes, now)
                case m.Buckets():
                    return self._came(peer, message, now)
        except UnknownVersion as later:
            self._done = True
            return [e.Outdated(later.height, later.version)]
        except Malformed as fault:
            self._drop(peer)
            self._sync.failed(peer, now)
            return [e.Penalize(peer, f"snapshot: {fault}")]

    def _offered(self, peer: bytes, told: m.Snapshot, height: int, now: int) -> list[e.Effect]:
        if self._seeking.pop(peer, None) is None:
            return []
        _, since = self._making.pop(peer, (0, now))
        if not told.offers and told.making and now < since + PATIENCE:
            self._making[peer] = (now + AGAIN, since)
            return []
        # A peer's word on how far ahead it is proves nothing: the block of the snapshot has to be far ahead itself.
        least = height + max(1, self._gap(now) // 2)
        trusted = self._trusted
        if not told.offers or told.offers[0].header.height < (least if trusted is None else max(least, trusted.height)):
            self._leave(peer, now)
            return []
        offer = told.offers[0]
        if trusted is not None and offer.header.height == trusted.height and offer.header != trusted:
            raise Malformed("of another block than the one that this node trusts")
        self._sources[peer] = _Source(offer.header.height, offer, now + DEADLINE, self._validators, self._from)
        return self._prove(peer, now)

    @property
    def _trusted(self) -> Header | None:
        """The checkpoint's header, where it is above this node."""
        return self._ancestry.header if self._ancestry.below(self._from - 1) else None

    def _passes(self, source: _Source, height: int) -> bool:
        """Whether the set that a source leads to may sign this height: the first one above the checkpoint is signed by those whom
        the checkpoint names, whatever a set before it signed since."""
        trusted = self._trusted
        if trusted is None or height <= trusted.height or source.since > trusted.height + 1:
            return True
        return validators_hash(source.validators) == trusted.next_validators_hash

    def _check_change(self, source: _Source, header: Header) -> None:
        """Raises `Malformed` where a change is of another history than the checkpoint, as far as that can be seen."""
        if not self._passes(source, header.height):
            raise Malformed("the validators after the trusted block are not those that it names")
        trusted = self._trusted
        if trusted is not None and header.height <= trusted.height and header.version > trusted.version:
            raise Malformed("a header of a later version of the protocol than the trusted block above it")

    def _prove(self, peer: bytes, now: int) -> list[e.Effect]:
        """The first offer that is proven is the target; with it the others are compared."""
        source = self._sources[peer]
        offer = source.offer
        if offer is None:
            return []
        if self._target is not None:
            self._compare(source)
            return self._ask(now)
        if offer.header.validators_hash != validators_hash(source.validators) or not self._passes(source, source.height):
            source.until = now + DEADLINE
            return [_send(peer, m.GetValidatorChanges(source.since))]
        check_signed(self._chain_id, offer.header, offer.certificate, source.validators)
        subroots = decode_subroots(offer.subroots)
        if root_of(subroots) != offer.header.state_root:
            raise Malformed("the subroots of the buckets are not those of the header's state")
        self._target, self._subroots = offer, subroots
        for other in list(self._sources):
            with suppress(Malformed):
                self._compare(self._sources[other])
        return [e.StageSnapshot(offer, source.followed)]

    def _compare(self, source: _Source) -> None:
        """Buckets that are the same in both snapshots may come from either. Raises `Malformed`."""
        if source.offer is not None:
            offer, source.offer = source.offer, None
            subroots = self._subroots if offer is self._target else decode_subroots(offer.subroots)
            source.differs = frozenset(number for number, subroot in self._subroots.items() if subroots.get(number) != subroot)

    def _changes_came(self, peer: bytes, validator_changes: list[ValidatorSetChange], now: int) -> list[e.Effect]:
        """LC-BLK-18: each is signed by the set that the one before it names."""
        source = self._sources.get(peer)
        if source is None or source.offer is None or (validator_changes and validator_changes[-1].header.height < source.since):
            return []
        before = source.since
        for validator_change in validator_changes if self._target is None else ():
            height = validator_change.header.height
            if source.since <= height < source.height:
                self._check_change(source, validator_change.header)
                source.validators = follow_validator_change(self._chain_id, validator_change, source.validators)
                source.since = height + 1
                source.followed.append(validator_change)
        if self._target is None and (source.since == before or len(source.followed) > MAX_FOLLOWED):
            self._leave(peer, now)  # it cannot show who signed its block
            return []
        return self._prove(peer, now)

    # --- taking ---------------------------------------------------------------------------------------------------------------

    def _ask(self, now: int) -> list[e.Effect]:
        """Questions for buckets; when all are here, the switch; when nobody has the rest, other peers are sought at the next
        tick."""
        if self._target is None or self._done or self._missing < 0:
            return []
        if self._target.header.height <= self._sync.height:
            self._missing, self._target, self._wanted = -1, None, {}  # blocks brought this node further meanwhile
            self._sources.clear()
            return []
        if not self._missing:
            self._done = True
            return [e.Switch(self._target.header.height)]
        out: list[e.Effect] = []
        for peer, source in list(self._sources.items()):
            while source.offer is None and len(source.asked) < MAX_ASKED and self._open < MAX_CHECKING:
                numbers = self._pick(source)
                if not numbers:
                    if not source.asked and self._wanted and not self._checking:
                        self._drop(peer)
                    break
                source.asked.append((numbers, now + DEADLINE))
                out.append(_send(peer, m.GetBuckets(source.height, numbers)))
        if not self._sources and not self._checking:
            self._missing, self._target, self._wanted = -1, None, {}
        return out

    @property
    def _open(self) -> int:
        return len(self._checking) + sum(len(source.asked) for source in self._sources.values())

    def _pick(self, source: _Source) -> list[int]:
        numbers: list[int] = []
        for number in self._wanted:
            if number not in source.differs:
                numbers.append(number)
                if len(numbers) == m.MAX_BUCKETS:
                    break
        for number in numbers:
            del self._wanted[number]
        return sorted(numbers)

    def _came(self, peer: bytes, told: m.Buckets, now: int) -> list[e.Effect]:
        if len(told.buckets) != len(told.numbers):
            raise Malformed("buckets without their numbers")
        source, got = self._sources.get(peer), told.numbers
        asked = [] if source is None or source.height != told.height else source.asked
        question = next((q for q in asked if q[0][: len(got)] == got), None)
        if source is None or question is None:
            return []
        if not got:
            self._drop(peer)  # its snapshot has gone
            return self._ask(now)
        source.asked.remove(question)
        self._wanted.update(dict.fromkeys(question[0][len(got) :]))
        if len(got) < len(question[0]) and sum(map(len, told.buckets)) < LITTLE:
            self._drop(peer)  # others may bring at once what it brings little by little
            self._sync.failed(peer, now)
        else:
            self._sync.useful(peer)
        self._ticket += 1
        self._checking[self._ticket] = (peer, got)
        sent = [(number, self._subroots[number], raw) for number, raw in zip(got, told.buckets, strict=True)]
        return [e.TakeBuckets(self._ticket, sent), *self._ask(now)]

    def _taken(self, ticket: int, wrong: list[int], now: int) -> list[e.Effect]:
        found = self._checking.pop(ticket, None)
        if found is None:
            return []
        peer, got = found
        self._missing -= len(got) - len(wrong)
        if not wrong:
            return self._ask(now)
        self._wanted.update(dict.fromkeys(wrong))
        self._drop(peer)
        self._sync.failed(peer, now)
        return [e.Penalize(peer, f"snapshot: bucket {wrong[0]} is not what its subroot says"), *self._ask(now)]


def _send(peer: bytes, message: m.SnapshotQuestion) -> e.Effect:
    return e.Send(peer, encode(message), e.REQUESTS)
