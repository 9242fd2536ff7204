"""Transactions that wait for a block. Pure and bounded, for each account and in all; no operation looks through the pool.

    add --> GAP --(predecessor came)--> ready: COMMON, URGENT or LOCAL --(a block holds it, used, expired)--> gone
             ^                            |
             +---(predecessor left)-------+      no space: the last one of who holds most leaves, and may come again

Within one lane of one account the sequences from `next` (the state's) up to `end` are here without a gap: they are ready, their
turn can come. What lies behind a gap waits in a small space of its own. A transaction's signature is checked once, on entry.

LC-NODE-15 says what is taken, LC-NODE-61 and 62 how the space is shared (`chain.node.space`), LC-NODE-16 what goes into a block
(`chain.node.selection`), LC-NODE-19 what leaves, LC-NODE-63 what may come again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

from learningchain.chain.errors import InvalidTx, TxCode
from learningchain.chain.host import account_key
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.transition import chain_record
from learningchain.chain.ledger.tx import ParsedTx, charge_bandwidth, check_sender, find_sender, parse_tx
from learningchain.chain.node import space
from learningchain.chain.node.messages import SHORT
from learningchain.chain.node.selection import Selection
from learningchain.chain.node.space import COMMON, GAP, LOCAL, URGENT, Space, charge
from learningchain.chain.params import LANES, MAX_VALID_FOR, Params
from learningchain.chain.types import tx_id

MAX_PER_LANE = 8_192
MAX_GONE = 16_384
"""Ids kept of transactions that left, in a block or without one: a peer's late copy is dropped unread."""
MAX_LEFT = 16_384
"""Ids kept in each of two lists of transactions that found no space: they are not asked for again for a while."""
LEFT_HEIGHTS = 16
"""After so many heights the older of the two lists is forgotten."""
REST_MS = 10_000
"""Of the chain clock, for which the transactions of an account whose bandwidth does not let the next one in are not looked at."""
MAX_EXPIRED = 1_024
"""Transactions whose time is over that leave at one height; the rest leave at the next ones."""


class Held:
    """A transaction in the pool. `kind` is its kind of space, `order` its place among all that became ready."""

    __slots__ = ("kind", "local", "order", "size", "tx")

    def __init__(self, tx: ParsedTx, local: bool) -> None:
        self.tx, self.local, self.kind, self.order = tx, local, GAP, 0
        self.size = charge(tx.raw)

    @property
    def ready_kind(self) -> int:
        """Its kind of space once it is ready."""
        return LOCAL if self.local else URGENT if self.tx.urgent else COMMON


class Lane:
    """`next` is the next sequence of the state; those from there up to `end` are ready."""

    __slots__ = ("end", "next", "txs")

    def __init__(self, sequence: int) -> None:
        self.next = self.end = sequence
        self.txs: dict[int, Held] = {}


class Mempool:
    def __init__(self, chain_id: bytes, params: Params) -> None:
        self._chain_id, self.params = chain_id, params
        self._all: dict[bytes, Held] = {}
        self._short: dict[bytes, Held] = {}
        self._lanes: dict[bytes, list[Lane]] = {}
        """The lanes of each account of which something waits here."""
        self._turns: dict[bool, dict[bytes, None]] = {True: {}, False: {}}
        """Accounts with a lane whose next transaction is ready and urgent, or not; whose turn is longest ago comes first."""
        self._owed: dict[bytes, int] = {}
        """Bytes of each account that wait here and will be charged: the next one must find bandwidth beside them."""
        self._resting: dict[tuple[bytes, bool], int] = {}
        """Accounts that have no turn, for their urgent ones or for the others, until a chain clock; the earliest first."""
        self.space = Space()
        self._bytes = self._order = 0
        self._expiring: dict[int, dict[bytes, None]] = {}
        """Ids by the last height at which they can stand in a block."""
        self._heights: list[int] = []
        """A heap with every key of `_expiring`."""
        self._gone: dict[bytes, None] = {}
        self._left: tuple[dict[bytes, None], dict[bytes, None]] = ({}, {})
        self._evicted: list[tuple[bytes, InvalidTx]] = []
        self._own: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, tx: object) -> bool:
        return tx in self._all

    @property
    def size(self) -> int:
        """Bytes of all waiting transactions."""
        return self._bytes

    @property
    def own(self) -> int:
        """How many of those that wait came from this node's own users."""
        return len(self._own)

    @property
    def waiting(self) -> bool:
        """Whether something could go into a block now."""
        return bool(self._turns[True] or self._turns[False])

    def fill(self) -> dict[str, dict[str, int]]:
        """For people: bytes in each kind of space with those before it, their limit, and how many accounts hold some."""
        return {
            name: {"bytes": self.space.used(kind), "limit": limit, "accounts": len(self.space.kinds[kind])}
            for kind, (name, limit) in enumerate(zip(space.NAMES, space.LIMITS, strict=True))
        }

    def get(self, tx: bytes) -> ParsedTx | None:
        held = self._all.get(tx)
        return held.tx if held is not None else None

    def by_short(self, short: bytes) -> ParsedTx | None:
        held = self._short.get(short)
        return held.tx if held is not None else None

    def left(self, short: bytes) -> bool:
        """LC-NODE-63: whether it found no space here lately."""
        return short in self._left[0] or short in self._left[1]

    def next_sequence(self, state: State, sender: bytes, lane: int) -> int:
        """The first sequence that is neither used nor taken by a waiting transaction."""
        lanes = self._lanes.get(sender)
        return lanes[lane].end if lanes else _sequences(state, sender)[lane]

    def oldest(self, count: int) -> list[bytes]:
        """Short ids of ready ones: as many of each account, of those whose turn is longest ago."""
        accounts = list(islice(dict.fromkeys(chain(*(islice(turns, count) for turns in self._turns.values()))), count))
        found: list[bytes] = []
        for account in accounts:
            ready = (lane.txs[at] for lane in self._lanes[account] for at in range(lane.next, lane.end))
            found += [held.tx.id[:SHORT] for held in islice(ready, count // len(accounts))]
        return found

    def evicted(self) -> list[tuple[bytes, InvalidTx]]:
        """What found no space any more since the last call, with the reason."""
        found, self._evicted = self._evicted, []
        return found

    # --- what comes in ----------------------------------------------------------------------------------------------------------

    def add(self, state: State, raw: bytes, height: int, *, local: bool) -> ParsedTx | None:
        """Take a transaction for a block at `height` or later; None when it is known.

        Raises `InvalidTx` saying why not. One that left without a block is taken again only from a `local` submitter.
        """
        key = tx_id(raw)
        if key in self._all or (not local and key in self._gone):
            return None
        held = Held(parse_tx(raw, key), local)
        try:
            self._admit(state, held, height)
        except InvalidTx as fault:
            if fault.code in (TxCode.MEMPOOL_FULL, TxCode.BANDWIDTH):
                self._note_left(key)
            raise
        self._gone.pop(key, None)
        if local:
            self._own.add(key)
        return held.tx

    def _admit(self, state: State, held: Held, height: int) -> None:
        """The signature comes last: a node that lags gets much whose sequence is used by now, and a full one gets much."""
        tx, body = held.tx, held.tx.body
        account = find_sender(state, self._chain_id, tx)
        if not height <= body.valid_until <= height + MAX_VALID_FOR:
            late = body.valid_until < height
            code = TxCode.EXPIRED if late else TxCode.TOO_FAR_AHEAD
            raise InvalidTx(code, f"valid_until is {body.valid_until}, the next block is {height}, at most {MAX_VALID_FOR} ahead")
        expected = account.sequences[body.lane]
        if body.sequence < expected:
            raise InvalidTx(TxCode.SEQUENCE_USED, f"sequence {body.sequence} of lane {body.lane} was used, next is {expected}")
        if body.sequence >= expected + MAX_PER_LANE:
            raise InvalidTx(TxCode.SEQUENCE_GAP, f"sequence {body.sequence} of lane {body.lane} is far ahead of {expected}")
        lanes = self._lanes.get(body.sender)
        if lanes is not None and body.sequence in lanes[body.lane].txs:
            raise InvalidTx(TxCode.SEQUENCE_USED, f"another transaction with sequence {body.sequence} waits already")
        charge_bandwidth(self.params, account, tx, chain_record(state).clock, 0 if tx.once else self._owed.get(body.sender, 0))
        fits = self._make_room(held, expected, looking=True)
        check_sender(self._chain_id, tx, account)
        if not fits:
            self._make_room(held, expected, looking=False)
        self._insert(held, account.sequences)

    def _end(self, held: Held, expected: int) -> int:
        lanes = self._lanes.get(held.tx.body.sender)
        return lanes[held.tx.body.lane].end if lanes else expected

    def _make_room(self, held: Held, expected: int, *, looking: bool) -> bool:
        """LC-NODE-61, 62. Whether it fits. Raises `InvalidTx`; `looking` evicts nothing yet and tells only what would surely
        find no space.

        What leaves may be its predecessor: then it waits for that one, in the space for such.
        """
        account = held.tx.body.sender
        while True:
            end = self._end(held, expected)
            kind = held.ready_kind if held.tx.body.sequence == end else GAP
            if kind == GAP and self.space.kinds[GAP].of(account) + held.size > space.GAP_SHARE:
                raise self._full(f"{space.GAP_SHARE} bytes of this account wait for an earlier sequence", held, end)
            bound = self.space.short_of(kind, held.size)
            if bound is None:
                return True
            victim = self.space.victim(bound, kind, account, held.size)
            if victim is None and bound == GAP:
                raise self._full("others fill the room for what waits for an earlier sequence", held, end)
            if victim is None:
                name, used = space.NAMES[bound], self.space.used(bound)
                why = f"{used} of {space.LIMITS[bound]} bytes are taken ({name}), and no account holds more than this one would"
                raise InvalidTx(TxCode.MEMPOOL_FULL, f"{why}; wait until a block holds some of it, then send it again")
            if looking:
                return False
            self._evict(victim)

    @staticmethod
    def _full(why: str, held: Held, end: int) -> InvalidTx:
        lane = held.tx.body.lane
        return InvalidTx(TxCode.MEMPOOL_FULL, f"{why}; send sequence {end} of lane {lane} first, then this one again")

    def _insert(self, held: Held, sequences: list[int]) -> None:
        tx, body = held.tx, held.tx.body
        self._all[tx.id] = self._short[tx.id[:SHORT]] = held
        self._bytes += len(tx.raw)
        if not tx.once:
            self._owed[body.sender] = self._owed.get(body.sender, 0) + len(tx.raw)
        if body.valid_until not in self._expiring:
            self._expiring[body.valid_until] = {}
            heapq.heappush(self._heights, body.valid_until)
        self._expiring[body.valid_until][tx.id] = None
        lanes = self._lanes.get(body.sender)
        if lanes is None:
            lanes = self._lanes[body.sender] = [Lane(sequence) for sequence in sequences]
        lane = lanes[body.lane]
        lane.txs[body.sequence] = held
        held.kind = held.ready_kind if body.sequence == lane.end else GAP
        self.space.kinds[held.kind].put(body.sender, tx.id, held.size)
        if held.kind != GAP:
            self._promote(lane)
            self._take_turns(body.sender, lanes)

    def _promote(self, lane: Lane) -> None:
        """What follows without a gap is ready."""
        while (held := lane.txs.get(lane.end)) is not None:
            if held.kind == GAP:
                self._move(held, held.ready_kind)
            self._order += 1
            held.order = self._order
            lane.end += 1

    def _move(self, held: Held, kind: int) -> None:
        account, key = held.tx.body.sender, held.tx.id
        self.space.kinds[held.kind].take(account, key)
        self.space.kinds[kind].put(account, key, held.size)
        held.kind = kind

    def _take_turns(self, account: bytes, lanes: list[Lane], *, served: bool = False) -> None:
        """Who was `served` goes to the end."""
        heads = [lane.txs[lane.next].tx.urgent for lane in lanes if lane.next < lane.end]
        for urgent, turns in self._turns.items():
            if served:
                turns.pop(account, None)
            if urgent in heads and (account, urgent) not in self._resting:
                turns.setdefault(account)
            else:
                turns.pop(account, None)

    # --- what goes into a block -------------------------------------------------------------------------------------------------

    def selection(self, size: int, state: State | None = None, clock: int = 0) -> Selection:
        """For a block of `size` bytes on top of a state, at a chain clock; without a state whatever bandwidth there is."""
        return Selection(self, size, self.params, state, clock)

    def rest(self, account: bytes, urgent: bool, clock: int) -> None:
        """LC-NODE-67: no turn for a while."""
        self._turns[urgent].pop(account, None)
        self._resting[account, urgent] = clock + REST_MS

    def _wake(self, clock: int) -> None:
        while self._resting:
            key, until = next(iter(self._resting.items()))
            if until > clock:
                return
            del self._resting[key]
            if (lanes := self._lanes.get(key[0])) is not None:
                self._take_turns(key[0], lanes)

    def turns(self, urgent: bool) -> Iterable[bytes]:
        return self._turns[urgent]

    def ready(self, account: bytes, lane: int, ahead: int) -> Held | None:
        of = self._lanes[account][lane]
        return of.txs[of.next + ahead] if of.next + ahead < of.end else None

    # --- what leaves ------------------------------------------------------------------------------------------------------------

    def remove(self, tx: bytes, *, again: bool = False) -> None:
        """Forget one that cannot stand in a block, for good or, with `again`, for a while; its successors wait again."""
        held = self._all.get(tx)
        if held is not None:
            self._cut(held)
            if again:
                self._note_left(tx)
            else:
                self._note_gone([tx])

    def _evict(self, tx: bytes) -> None:
        held = self._all[tx]
        self._cut(held)
        self._note_left(tx)
        why = "this node's room went to accounts that hold less of it; send it again when blocks have taken some of yours"
        self._evicted.append((tx, InvalidTx(TxCode.MEMPOOL_FULL, why)))

    def _cut(self, held: Held) -> None:
        """Take one out of its lane: those behind it wait for a predecessor, as far as there is space for such."""
        body = held.tx.body
        lanes = self._lanes[body.sender]
        lane = lanes[body.lane]
        behind = range(body.sequence + 1, lane.end)
        lane.end = min(lane.end, body.sequence)
        self._forget(held)
        for sequence in behind:
            follower = lane.txs[sequence]
            waiting = self.space.kinds[GAP].of(body.sender)
            if waiting + follower.size > space.GAP_SHARE or not self.space.waits(follower.kind, follower.size):
                self._forget(follower)
                self._note_left(follower.tx.id)
                why = f"sequence {body.sequence} of its lane left, and there is no room for all that waits for it"
                self._evicted.append((follower.tx.id, InvalidTx(TxCode.MEMPOOL_FULL, why)))
            else:
                self._move(follower, GAP)
        self._settle(body.sender, lanes)

    def _settle(self, account: bytes, lanes: list[Lane], *, served: bool = False) -> None:
        self._take_turns(account, lanes, served=served)
        if not any(lane.txs for lane in lanes):
            del self._lanes[account]
            self._owed.pop(account, None)

    def _forget(self, held: Held) -> None:
        """Everywhere but in the order of its lane."""
        tx, body = held.tx, held.tx.body
        del self._all[tx.id], self._lanes[body.sender][body.lane].txs[body.sequence]
        if self._short.get(tx.id[:SHORT]) is held:
            del self._short[tx.id[:SHORT]]
        self._bytes -= len(tx.raw)
        if not tx.once:
            self._owed[body.sender] -= len(tx.raw)
        self._own.discard(tx.id)
        self.space.kinds[held.kind].take(body.sender, tx.id)
        ending = self._expiring[body.valid_until]
        del ending[tx.id]
        if not ending:
            del self._expiring[body.valid_until]
            if len(self._heights) > 2 * len(self._expiring) + space.SPARE:
                self._heights = sorted(self._expiring)

    def decided(
        self, state: State, txs: list[ParsedTx], height: int, accounts: Iterable[bytes] = (), rekeyed: Iterable[bytes] = ()
    ) -> list[tuple[bytes, InvalidTx]]:
        """A block was decided: its transactions leave, and so does what can no longer stand in any block.

        `accounts` may have used sequences in it by transactions that are not among `txs`; those `rekeyed` got another key. Returns
        the others that were dropped, with the reason.
        """
        held = {tx.id for tx in txs}
        dropped = []
        self._wake(chain_record(state).clock)
        for account in dict.fromkeys([*(tx.body.sender for tx in txs), *accounts]):
            if account in self._lanes:
                dropped += [(tx, _USED) for tx in self._advance(account, _sequences(state, account)) if tx not in held]
        self._note_gone([*held])
        for account in rekeyed:
            dropped += [(tx, _REPLACED) for tx in self._drop_signed_before(account, state)]
        dropped += [(tx, InvalidTx(TxCode.EXPIRED, f"valid until block {at}, now at {height}")) for tx, at in self._expire(height)]
        self._note_gone([tx for tx, _ in dropped])
        if height % LEFT_HEIGHTS == 0:
            self._left = ({}, self._left[0])
        return dropped

    def _advance(self, account: bytes, sequences: list[int]) -> list[bytes]:
        """The state's sequences went on: what was used leaves, what follows is ready."""
        lanes, used, served = self._lanes[account], list[bytes](), False
        for lane, expected in zip(lanes, sequences, strict=True):
            if expected == lane.next:
                continue
            served = True
            steps = expected - lane.next
            passed = range(lane.next, expected) if steps <= len(lane.txs) else [at for at in lane.txs if at < expected]
            for held in [lane.txs[at] for at in passed if at in lane.txs]:
                used.append(held.tx.id)
                self._forget(held)
            lane.next = expected
            lane.end = max(lane.end, expected)
            self._promote(lane)
        self._settle(account, lanes, served=served)
        return used

    def _drop_signed_before(self, account: bytes, state: State) -> list[bytes]:
        """LC-NODE-19: what the account's key of before signed can stand in no block."""
        record: Any = state.get(account_key(account))
        lanes = self._lanes.get(account)
        if lanes is None or record is None:
            return []
        stale = [held for lane in lanes for held in lane.txs.values() if held.tx.checked_key != record.key]
        for held in stale:
            self._forget(held)
        for lane in lanes:
            lane.end = lane.next
            self._promote(lane)
        self._settle(account, lanes)
        return [held.tx.id for held in stale]

    def _expire(self, height: int) -> list[tuple[bytes, int]]:
        found: list[tuple[bytes, int]] = []
        while self._heights and self._heights[0] <= height and len(found) < MAX_EXPIRED:
            at = self._heights[0]
            due = list(islice(self._expiring.get(at, ()), MAX_EXPIRED - len(found)))
            for tx in due:
                if (held := self._all.get(tx)) is not None:  # else it went with its predecessor
                    self._cut(held)
            found += [(tx, at) for tx in due]
            if at not in self._expiring and self._heights and self._heights[0] == at:
                heapq.heappop(self._heights)
        return found

    def _note_gone(self, txs: list[bytes]) -> None:
        self._gone.update(dict.fromkeys(txs))
        for key in list(islice(self._gone, max(0, len(self._gone) - MAX_GONE))):
            del self._gone[key]

    def _note_left(self, tx: bytes) -> None:
        """LC-NODE-63: the oldest of too many is forgotten."""
        newer = self._left[0]
        newer[tx[:SHORT]] = None
        if len(newer) > MAX_LEFT:
            del newer[next(iter(newer))]


_REPLACED = InvalidTx(TxCode.BAD_SIGNATURE, "the key that signed it was replaced on the ledger: sign it with the account's new one")
_USED = InvalidTx(TxCode.SEQUENCE_USED, "another transaction used this sequence")


def _sequences(state: State, account: bytes) -> list[int]:
    """The next sequence of each lane."""
    record: Any = state.get(account_key(account))
    return record.sequences if record else [0] * LANES
