"""Who can be drawn, without looking at every member: indexes of the members and of the votes that mark them.

A verifier is available from one moment on: when its rest is over and fewer than three of its strikes live. Members that declared
the same are counted together, so a posting looks at different capacities, not at members: 4 microseconds of a processor where
there are four of them, whether of 300 or of 65,536 members; 0.1 ms for 300 different ones, 1 ms for 3,000, 25 ms for 65,536. To
make the index of 65,536 members takes about a second, once. A draw lists those that can judge: 0.06, 1.5 and 35 ms for 300, 3,000
and 65,536 of them.

    m/  ──> Pool   by capacity: how many, and when those that are not available will be
    mv/ ──> Marks  by origin: who has bad votes
    mw/ ──> Trainers  how long those train that do, by architecture
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from msgspec.structs import astuple

from learningchain.chain.contracts.membership.records import Member, Training, VotesFor, member_key, split_votes, training_key
from learningchain.chain.host import Indexed, Reader
from learningchain.chain.host.terms import Capacity
from learningchain.chain.verification.standing import BARRED_BY, is_marked


@dataclass(frozen=True, slots=True)
class Entry:
    """A verifier: what it declared, since when flag and capacity stand, and from when on it is available."""

    capacity: Capacity | None
    since: int
    available: int


def entry_of(member: Member) -> Entry | None:
    """None for a member without the flag."""
    if not member.verifier:
        return None
    barred = member.strikes[-BARRED_BY].end if len(member.strikes) >= BARRED_BY else 0
    declared = member.capacity[0] if member.capacity else None
    return Entry(declared, max(member.verifier_since, member.capacity_since), max(member.rests_until, barred))


@dataclass(slots=True)
class Group:
    """Verifiers that are counted together. `later` sorts the times from which on those are available that once were not."""

    members: dict[bytes, Entry] = field(default_factory=dict)
    later: list[int] = field(default_factory=list)

    def add(self, identity: bytes, entry: Entry) -> None:
        self.members[identity] = entry
        if entry.available:
            insort(self.later, entry.available)

    def remove(self, identity: bytes) -> None:
        entry = self.members.pop(identity)
        if entry.available:
            del self.later[bisect_left(self.later, entry.available)]

    def available(self, clock: int) -> int:
        return len(self.members) - len(self.later) + bisect_right(self.later, clock)


class Pool:
    """The verifiers of the records under `m/`."""

    prefix: ClassVar[bytes] = b"m/"

    def __init__(self) -> None:
        self.all = Group()
        self.groups: dict[tuple[int, ...], Group] = {}
        """By the fields of what their members declared; who declared nothing is in none."""

    def put(self, key: bytes, record: Any | None) -> None:
        identity = key[len(self.prefix) :]
        entry = entry_of(record) if isinstance(record, Member) else None
        old = self.all.members.get(identity)
        if entry == old:
            return
        if old is not None:
            self.all.remove(identity)
            if old.capacity is not None:
                fields = astuple(old.capacity)
                self.groups[fields].remove(identity)
                if not self.groups[fields].members:
                    del self.groups[fields]
        if entry is not None:
            self.all.add(identity, entry)
            if entry.capacity is not None:
                self.groups.setdefault(astuple(entry.capacity), Group()).add(identity, entry)

    def covering(self, needed: Capacity) -> list[Group]:
        """`Capacity.covers`, for all groups at once: a posting pays for each of them."""
        arch, cpus, mem, image, model, seconds = astuple(needed)
        return [
            group
            for (a, c, m, i, o, s), group in self.groups.items()
            if c >= cpus and m >= mem and i >= image and o >= model and s >= seconds and a == arch
        ]

    def count(self, owner: bytes, needed: Capacity, clock: int) -> tuple[int, int]:
        """How many are available, and how many of them can judge this, the owner left out."""
        flagged = self.all.available(clock)
        able = sum(group.available(clock) if group.later else len(group.members) for group in self.covering(needed))
        own = self.all.members.get(owner)
        if own is not None and own.available <= clock:
            flagged -= 1
            able -= own.capacity is not None and own.capacity.covers(needed)
        return flagged, able

    def able(self, needed: Capacity, before: int, clock: int) -> Iterator[bytes]:
        """In no order."""
        for group in self.covering(needed):
            for identity, entry in group.members.items():
                if entry.since < before and entry.available <= clock:
                    yield identity


class Marks:
    """The votes under `mv/`, by origin and identity."""

    prefix: ClassVar[bytes] = b"mv/"

    def __init__(self) -> None:
        self.of: dict[bytes, dict[bytes, VotesFor]] = {}

    def put(self, key: bytes, record: Any | None) -> None:
        origin, identity = split_votes(key)
        if isinstance(record, VotesFor):
            self.of.setdefault(origin, {})[identity] = record
        elif identity in self.of.get(origin, {}):
            del self.of[origin][identity]
            if not self.of[origin]:
                del self.of[origin]


class Trainers:
    """The trainings under `mw/` that somebody takes on."""

    prefix: ClassVar[bytes] = b"mw/"

    def __init__(self) -> None:
        self.of: dict[bytes, tuple[int, int]] = {}
        """By identity: architecture and seconds."""
        self.sorted: list[tuple[int, int]] = []

    def put(self, key: bytes, record: Any | None) -> None:
        identity = key[len(self.prefix) :]
        if (old := self.of.pop(identity, None)) is not None:
            del self.sorted[bisect_left(self.sorted, old)]
        if isinstance(record, Training) and record.train_s:
            self.of[identity] = record.arch, record.train_s
            insort(self.sorted, self.of[identity])

    def count(self, arch: int, train_s: int) -> int:
        return bisect_left(self.sorted, (arch + 1, 0)) - bisect_left(self.sorted, (arch, train_s))


def flagged(reader: Indexed, clock: int, owner: bytes, needed: Capacity) -> tuple[int, int]:
    """LC-MEM-2: how many have the flag, stand and do not rest, the owner left out; how many of them declared enough for this."""
    layers = reader.index(Pool)
    counts = [pool.count(owner, needed, clock) for pool in (layers.base, layers.gone, layers.new)]
    (all_base, base), (all_gone, gone), (all_new, new) = counts
    return all_base - all_gone + all_new, base - gone + new


def is_available(reader: Reader, clock: int, identity: bytes) -> bool:
    """LC-MEM-2: it has the flag, stands and does not rest. One record is looked at."""
    found = reader.get(member_key(identity))
    entry = entry_of(found) if isinstance(found, Member) else None
    return entry is not None and entry.available <= clock


def able(reader: Indexed, clock: int, needed: Capacity, before: int) -> list[bytes]:
    """LC-MEM-2: those of them that can judge this, and had flag and capacity before that time; by id."""
    return sorted(each_able(reader, clock, needed, before))


def each_able(reader: Indexed, clock: int, needed: Capacity, before: int) -> Iterator[bytes]:
    """The same in no order, one by one: who counts to a few looks at no more."""
    layers = reader.index(Pool)
    prefix, touched = Pool.prefix, layers.touched
    yield from (identity for identity in layers.base.able(needed, before, clock) if prefix + identity not in touched)
    yield from layers.new.able(needed, before, clock)


def marked(reader: Indexed, clock: int, life: int, identities: list[bytes], origin: bytes) -> set[bytes]:
    """LC-MEM-17: those of them that bear a mark of this root."""
    layers = reader.index(Marks)
    gone = layers.gone.of.get(origin, {})
    votes = {i: found for i, found in layers.base.of.get(origin, {}).items() if i not in gone} | layers.new.of.get(origin, {})
    bearing = {identity for identity, found in votes.items() if is_marked(found.votes, clock, life)}
    return bearing & set(identities) if bearing else bearing


def training(reader: Indexed, owner: bytes, arch: int, train_s: int) -> int:
    """LC-MEM-34: how many members declared that they take on a training of so many seconds (at least 1), the owner left out."""
    layers = reader.index(Trainers)
    base, gone, new = (one.count(arch, train_s) for one in (layers.base, layers.gone, layers.new))
    own = reader.get(training_key(owner))
    return base - gone + new - (isinstance(own, Training) and own.arch == arch and own.train_s >= train_s)
