"""What every decided block did, compared with the second implementation (`tests.conformance.machine`), which executes it as well.

A height is looked at once, when the first honest machine commits it; the others must have decided the same block and the same root.
Compared are the records that changed, byte by byte, and the receipts with all their events. The second implementation shares
nothing with the product but the way in which a run verifies signatures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

from learningchain.chain.codec import encode
from learningchain.chain.node.events import Commit
from learningchain.chain.types import Block, Receipt
from tests.conformance import keys, machine
from tests.conformance import records as r
from tests.conformance.checks import Refused
from tests.conformance.light import block_id
from tests.conformance.trees import list_root
from tests.conformance.wire import decode, decode_plain
from tests.sim.checks_bytes import BytesCheck, Sent
from tests.sim.signatures import simulated, verified


class Broken(AssertionError):
    """A decided block that the rules do not allow."""


def must(right: bool, what: str) -> None:
    if not right:
        raise Broken(what)


class ChainCheck:
    """`records` is the state after the last block. `due` replaces what contracts do at their deadlines, by number."""

    def __init__(self, chain_id: bytes, genesis: list[tuple[bytes, bytes | None]]) -> None:
        self.records = {key: raw for key, raw in genesis if raw is not None}
        self.bytes = BytesCheck(self.records)
        self.due: dict[int, Callable[[machine.State, bytes, int], None]] = {}
        self.postponed: Counter[bytes] = Counter()
        """How often deadlines of an account were due and waited for another block."""
        self.head, self.height = chain_id, 0
        self._waiting: dict[int, tuple[bytes, list[bytes]]] = {}
        """Receipts of heights whose receipts were not looked at, behind the root in the header."""

    def committed(self, commit: Commit, block: Block) -> None:
        """Raises `Broken`. A height that was looked at is not looked at again."""
        if commit.height <= self.height:
            return
        before = self.records
        with _as_the_run_verifies(), mock.patch.dict(machine.DUE, self.due):
            try:
                header, state, receipts = machine.run(before, self.head, commit.block)
                machine.the_next_set_is_what_executing_gives(header, state)
            except Refused as fault:
                raise Broken(f"the block {commit.height} was decided, and is refused: {fault}") from None
        must(block_id(encode(block.header)) == commit.block_id, f"block {commit.height} was decided under another id than its own")
        self.height, self.head, self.records = commit.height, commit.block_id, state.records
        _compare(before, state.records, commit.state)
        self._waiting[commit.height] = (header.receipt_root, receipts)
        self._count_postponed(before, state)
        self.bytes.block(before, state, [_sent(*told) for told in zip(block.txs, receipts[1:], strict=True)])

    def receipts(self, height: int, receipts: list[Receipt]) -> None:
        """What the block's receipts say is what happened, and their root is in the header."""
        told = self._waiting.pop(height, None)
        if told is None:
            return
        root, expected = told
        for number, (receipt, raw) in enumerate(zip(receipts, expected, strict=True)):
            ours = encode(receipt)
            must(ours == raw, f"receipt {number} of height {height} is {_read(ours)}, by the rules {_read(raw)}")
        must(list_root(expected) == root, f"height {height}: the receipts have another root than the header's")

    def _count_postponed(self, before: dict[bytes, bytes], state: machine.State) -> None:
        for key in (key for key in before if key.startswith(b"d/") and key in state.records):
            self.postponed[key[2:22]] += int.from_bytes(key[22:30], "big") <= state.clock

    def supply(self) -> int:
        """What accounts and escrows hold together."""
        state = machine.State(self.records)
        minted, burned = state.get(b"gs/")
        accounts = (state.get(key) for key in self.records if key.startswith(b"a/"))
        held = sum(account[2] + account[3] for account in accounts)
        held += sum(state.get(key)[0] for key in self.records if key.startswith(b"e/"))
        must(held == minted - burned, "credits appeared or vanished")
        return int(held)


@contextmanager
def _as_the_run_verifies() -> Iterator[None]:
    """Simulated signatures have no lower half."""
    low_s = mock.patch.object(keys, "s_lies_in_the_lower_half", lambda signature: None) if simulated() else nullcontext()
    with mock.patch.object(keys, "_verified", verified), low_s:
        yield


def _compare(before: dict[bytes, bytes], expected: dict[bytes, bytes], changes: list[tuple[bytes, bytes | None]]) -> None:
    """Every record that the nodes changed, and every one that should have changed."""
    found = dict(before)
    for key, raw in changes:
        if raw is None:
            found.pop(key, None)
        else:
            found[key] = raw
    if found != expected:
        key = min(key for key in {*found, *expected} if found.get(key) != expected.get(key))
        raise Broken(f"the record {_named(key)}: {_difference(key, expected.get(key), found.get(key))}")


def _sent(raw: bytes, receipt: bytes) -> Sent:
    sender, messages = (body := decode(r.SIGNED_TX, raw, machine.MAX_TX_BYTES)[0])[1], body[5]
    urgent = all(message[0] in machine.URGENT for message in messages)
    done = all(message[0] in machine.ONCE for message in messages) and decode(r.RECEIPT, receipt, 10**7)[1] == 0
    return Sent(sender, len(raw), urgent, done)


def _difference(key: bytes, expected: bytes | None, found: bytes | None) -> str:
    """Field by field, for people."""
    if found is None or expected is None:
        return "there should be none" if expected is None else "it is missing"
    names = [name for name, _ in r.STATE[key[: key.index(b"/") + 1]].fields]
    pairs = zip(names, _read(found), _read(expected), strict=True)
    return ", ".join(f"{name} is {_short(has)}, by the rules {_short(want)}" for name, has, want in pairs if has != want)


def _read(raw: bytes) -> Any:
    return decode_plain(raw)


def _short(value: Any) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) < 40 else text[:40] + " …"


def _named(key: bytes) -> str:
    prefix, _, rest = key.partition(b"/")
    return f"{prefix.decode()}/{rest.hex()[:16]}"
