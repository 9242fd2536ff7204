"""The fence around deadlines and messages: LC-BLK-15, LC-BLK-20, LC-BLK-21, LC-MEM-13, LC-MEM-14."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import reduce
from operator import or_

import msgspec
import pytest

from learningchain.chain import contracts
from learningchain.chain.contracts.credits import Allowance, Transfer
from learningchain.chain.contracts.membership import MemberCode, Release, ReportDouble
from learningchain.chain.errors import BrokenInvariant, Code, Reject, StateDamaged, SupplyBroken, TxCode
from learningchain.chain.host import (
    Contract,
    Datum,
    Due,
    HeldDue,
    Host,
    MessageSpec,
    Parked,
    Service,
    due_key,
    escrow_key,
    parked_key,
)
from learningchain.chain.ledger.state import Overlay
from learningchain.chain.ledger.tx import signed_with
from learningchain.chain.types import LogEvent, TransferEvent
from tests.unit.ledger_kit import GRANT, NUMBER, VALIDATORS, Act, Chain, Nothing, genesis_of, id_of
from tests.unit.membership_kit import doubled

REF = b"the one reference"
OTHER = b"another"
KEY = parked_key(NUMBER, REF)


def escrow_of(ref: bytes) -> bytes:
    return ref.ljust(32, b".")


class Fragile:
    """A contract with one escrow and one deadline for each reference; the test says what happens at the deadline."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rung: list[tuple[bytes, int]] = []
        self.breaks: Callable[[Host, bytes], None] = lambda host, ref: None
        made = Contract(
            "fragile",
            NUMBER,
            {Act: MessageSpec(self._act, subject=lambda m: m.what.encode())},
            Nothing,
            {},
            on_due=self._ring,
            events={"said": (Datum("number"),)},
            on_give_back=lambda host, ref: host.pay(escrow_of(ref), id_of("alice"), 10, "given.back", ref),
        )
        monkeypatch.setitem(contracts.MESSAGES, Act, (made, made.messages[Act]))
        monkeypatch.setitem(contracts.BY_NUMBER, NUMBER, made)
        monkeypatch.setattr("learningchain.chain.ledger.tx._SIGNED", signed_with(reduce(or_, contracts.MESSAGES)))
        self.chain = Chain(genesis_of("alice", "bob"))

    def _act(self, host: Host, sender: bytes, m: Act) -> None:
        ref = m.what.encode()
        host.lock(sender, escrow_of(ref), 10, "locked", ref)
        host.schedule(host.clock + 1, NUMBER, ref, sender)

    def _ring(self, host: Host, ref: bytes, at: int) -> None:
        self.rung.append((ref, at))
        host.pay(escrow_of(ref), id_of("bob"), 10, "paid", ref)
        if ref == REF:
            self.breaks(host, ref)

    def begin(self, *refs: bytes) -> int:
        """References whose deadlines come in the next block. Returns the time of these."""
        assert self.chain.codes(*[self.chain.tx("alice", Act(ref.decode())) for ref in refs]) == [0] * len(refs)
        return self.chain.clock + 1

    @property
    def parked(self) -> Parked | None:
        found: Parked | None = self.chain.state.get(KEY)
        return found

    def release(self, *names: str, give_back: bool = False) -> list[int]:
        return self.chain.codes(*[self.chain.tx(name, Release(NUMBER, REF, give_back)) for name in names])


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> Fragile:
    return Fragile(monkeypatch)


def raising(fault: BaseException) -> Callable[[Host, bytes], None]:
    def fail(host: Host, ref: bytes) -> None:
        raise fault

    return fail


def scan_unknown(host: Host, ref: bytes) -> None:
    list(host.store.scan(b"zz/", 5))


def scan_unlisted(host: Host, ref: bytes) -> None:
    host.store.scan(b"ca/", 5)


def say_what_was_not_declared(host: Host, ref: bytes) -> None:
    host.emit("claim", ref)


def say_it_with_other_data(host: Host, ref: bytes) -> None:
    host.emit("said", ref, "no number")


def take_a_power(host: Host, ref: bytes) -> None:
    host.ban(id_of("bob"), ref)


def use_nothing(host: Host, ref: bytes) -> None:
    host.service(Service[object]("weather"))


def write_too_much(host: Host, ref: bytes) -> None:
    host.put(b"ca/" + bytes(40), Allowance(2**63))


def write_elsewhere(host: Host, ref: bytes) -> None:
    host.put(b"zz/", Due(1, b""))


def say_too_much(host: Host, ref: bytes) -> None:
    host.emit("said", ref * 9, 1)


def say_what_no_receipt_holds(host: Host, ref: bytes) -> None:
    host.emit("said", ref, 2**64)


FAULTS: dict[str, Callable[[Host, bytes], None]] = {
    "a refusal": raising(Reject(7, "no")),
    "a broken invariant": raising(BrokenInvariant("bug")),
    "a key that is not there": raising(KeyError("bug")),
    "a type that is wrong": raising(TypeError("bug")),
    "a name of 40 letters": raising(type("A" * 40, (Exception,), {})()),
    "a listing that is none": scan_unknown,
    "a scan of what nobody lists": scan_unlisted,
    "an event that was not declared": say_what_was_not_declared,
    "an event with other data than declared": say_it_with_other_data,
    "a power that it does not have": take_a_power,
    "a service that nobody offers": use_nothing,
    "a record out of bounds": write_too_much,
    "a record of no prefix": write_elsewhere,
    "an event out of bounds": say_too_much,
    "an event that cannot be encoded": say_what_no_receipt_holds,
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_deadline_that_fails_parks_its_reference_alone(fragile: Fragile, what: str) -> None:
    """LC-BLK-20: what it did is undone, the other deadlines and the transactions of the block go on, and nothing is lost."""
    fragile.breaks = FAULTS[what]
    due = fragile.begin(REF, OTHER)
    chain = fragile.chain
    receipts = chain.block(chain.tx("bob", Transfer(id_of("alice"), 5, b"")))
    assert [r.code for r in receipts] == [0, 0]
    assert receipts[0].events == [
        TransferEvent("paid", escrow_of(OTHER), id_of("bob"), 10, OTHER),
        LogEvent("parked", REF, [NUMBER, "failed"]),
    ]
    assert fragile.parked is not None
    assert (fragile.parked.height, fragile.parked.reason) == (chain.height, "failed")
    assert [(held.account, held.time) for held in fragile.parked.held] == [(id_of("alice"), due)]
    assert chain.state.get(escrow_key(escrow_of(REF))).amount == 10  # type: ignore[union-attr]
    assert chain.account("bob").balance == GRANT + 5
    assert chain.state.earliest_due() is None
    chain.block(step=60_000)
    assert [ref for ref, _ in fragile.rung].count(REF) == 1


def test_messages_about_it_are_refused_and_about_others_not(fragile: Fragile) -> None:
    fragile.breaks = raising(KeyError("bug"))
    fragile.begin(REF)
    chain = fragile.chain
    chain.block()
    assert chain.codes(chain.tx("alice", Act(REF.decode())), chain.tx("alice", Act(OTHER.decode()))) == [Code.PARKED, 0]
    assert chain.state.get(escrow_key(escrow_of(REF))).amount == 10  # type: ignore[union-attr]


def test_two_nodes_park_the_same(monkeypatch: pytest.MonkeyPatch, fragile: Fragile) -> None:
    """Where the faults have other names and texts, the records are equal: another program has its own (LC-BLK-20)."""
    fragile.begin(REF)
    fragile.breaks = raising(ValueError(f"at {id(object())}"))
    one = fragile.chain.try_()
    fragile.breaks = raising(KeyError("another text"))
    two = fragile.chain.try_()
    assert (one.state_root, one.receipt_root) == (two.state_root, two.receipt_root)


@pytest.mark.parametrize("fault", [MemoryError(), RecursionError(), OSError(28, "no space"), StateDamaged("page 3")])
@pytest.mark.parametrize("building", [False, True])
def test_what_is_the_nodes_own_ends_it(fragile: Fragile, fault: Exception, building: bool) -> None:
    """Another node does not have this fault: to park here alone would split the graph."""
    fragile.breaks = raising(fault)
    fragile.begin(REF)
    with pytest.raises(type(fault)):
        fragile.chain.try_(building=building)
    fragile.breaks = lambda host, ref: None
    assert fragile.chain.block()[0].events == [TransferEvent("paid", escrow_of(REF), id_of("bob"), 10, REF)]


@pytest.mark.parametrize("fault", [MemoryError(), RecursionError(), OSError(28, "no space"), StateDamaged("page 3")])
@pytest.mark.parametrize("building", [False, True])
def test_what_is_the_nodes_own_is_not_blamed_on_a_message(
    monkeypatch: pytest.MonkeyPatch, fragile: Fragile, fault: Exception, building: bool
) -> None:
    def fail(host: Host, sender: bytes, m: Act) -> None:
        raise fault

    made = Contract("fails", NUMBER, {Act: MessageSpec(fail)}, Nothing, {})
    monkeypatch.setitem(contracts.MESSAGES, Act, (made, made.messages[Act]))
    with pytest.raises(type(fault)):
        fragile.chain.try_(fragile.chain.tx("alice", Act("x")), building=building)


def lose(host: Host, ref: bytes) -> None:
    host.lock(id_of("bob"), b"e" * 32, 10, "lost", b"")
    host.delete(escrow_key(b"e" * 32))


@pytest.mark.parametrize("building", [False, True])
def test_a_deadline_that_breaks_the_supply_ends_the_node(fragile: Fragile, building: bool) -> None:
    """LC-BLK-15: parking would hide it, and a nil vote would come from every node, for ever."""
    fragile.breaks = lose
    fragile.begin(REF)
    with pytest.raises(SupplyBroken, match="would change by -10, mints and burns by 0"):
        fragile.chain.try_(building=building)
    assert not issubclass(SupplyBroken, BrokenInvariant)


@pytest.mark.parametrize("write", [write_too_much, say_too_much, say_what_no_receipt_holds, lose, scan_unknown])
def test_a_message_that_writes_what_nobody_can_read_is_left_out(
    monkeypatch: pytest.MonkeyPatch, fragile: Fragile, write: Callable[[Host, bytes], None]
) -> None:
    """LC-BLK-15: it would have ended the encoding of the whole block, for every proposer."""
    made = Contract("writes", NUMBER, {Act: MessageSpec(lambda host, sender, m: write(host, b""))}, Nothing, {})
    monkeypatch.setitem(contracts.MESSAGES, Act, (made, made.messages[Act]))
    chain = fragile.chain
    bad, good = chain.tx("alice", Act("x")), chain.tx("bob", Transfer(id_of("alice"), 5, b""))
    built = chain.try_(bad, good, building=True)
    assert [(tx, fault.code) for tx, fault in built.skipped] == [(bad, TxCode.QUARANTINED)]
    assert built.state_root == chain.try_(good).state_root


@pytest.mark.parametrize("write", [say_what_no_receipt_holds, lose, scan_unknown])
def test_in_anothers_block_it_is_a_broken_invariant(
    monkeypatch: pytest.MonkeyPatch, fragile: Fragile, write: Callable[[Host, bytes], None]
) -> None:
    made = Contract("writes", NUMBER, {Act: MessageSpec(lambda host, sender, m: write(host, b""))}, Nothing, {})
    monkeypatch.setitem(contracts.MESSAGES, Act, (made, made.messages[Act]))
    with pytest.raises(BrokenInvariant):
        fragile.chain.try_(fragile.chain.tx("alice", Act("x")))


def test_a_deadline_of_nobody_is_parked(fragile: Fragile) -> None:
    chain = fragile.chain
    overlay = Overlay(chain.state)
    for contract in (1, 99):
        overlay.put(due_key(id_of("bob"), chain.clock, contract, b"x"), Due(contract, b"x"))
    changes, _, tree = overlay.finish()
    chain.state.commit(changes, tree)
    assert chain.block()[0].events == [LogEvent("parked", b"x", [n, "no handler"]) for n in (1, 99)]


# --- release ------------------------------------------------------------------------------------------------------------------


def test_more_than_two_thirds_of_the_validators_let_it_run_again(fragile: Fragile) -> None:
    """LC-MEM-13: the deadline comes again with the time that it had."""
    fragile.breaks = raising(KeyError("bug"))
    due = fragile.begin(REF)
    fragile.chain.block()
    fragile.breaks = lambda host, ref: None
    assert fragile.release("v1", "v2") == [0, 0]
    assert fragile.parked is not None and fragile.parked.retry == sorted([id_of("v1"), id_of("v2")])
    assert fragile.release("v3") == [0]
    assert fragile.parked is None and fragile.chain.state.earliest_due() == due
    receipts = fragile.chain.block(fragile.chain.tx("alice", Act(REF.decode())))
    assert fragile.rung == [(REF, due), (REF, due)]
    assert receipts[0].events == [TransferEvent("paid", escrow_of(REF), id_of("bob"), 10, REF)] and receipts[1].code == 0


def test_the_validators_can_end_it_and_everybody_gets_back_what_they_gave(fragile: Fragile) -> None:
    """LC-MEM-13: words for the one thing are none for the other."""
    fragile.breaks = raising(KeyError("bug"))
    fragile.begin(REF)
    fragile.chain.block()
    assert fragile.release("v1") == [0]
    assert fragile.release("v2", "v3", "v4", give_back=True) == [0, 0, 0]
    assert fragile.parked is None and fragile.chain.account("alice").balance == GRANT
    assert fragile.chain.state.get(escrow_key(escrow_of(REF))) is None and fragile.chain.state.earliest_due() is None


def test_a_validator_may_change_its_mind(fragile: Fragile) -> None:
    fragile.breaks = raising(KeyError("bug"))
    fragile.begin(REF)
    fragile.chain.block()
    assert fragile.release("v1", "v2") == [0, 0]
    assert fragile.release("v1", give_back=True) == [0]
    assert fragile.release("v3") == [0]
    assert fragile.parked is not None
    assert (fragile.parked.retry, fragile.parked.give_back) == (sorted([id_of("v2"), id_of("v3")]), [id_of("v1")])


@pytest.mark.parametrize(
    ("name", "message", "code"),
    [
        ("alice", Release(NUMBER, REF, False), MemberCode.NOT_A_VALIDATOR),
        ("v1", Release(NUMBER, OTHER, False), MemberCode.NOT_PARKED),
        ("v1", Release(77, REF, False), MemberCode.NOT_PARKED),
        ("v2", Release(NUMBER, REF, False), MemberCode.ALREADY_VOTED),
    ],
)
def test_what_is_no_word_on_it_is_refused(fragile: Fragile, name: str, message: Release, code: int) -> None:
    fragile.breaks = raising(KeyError("bug"))
    fragile.begin(REF)
    fragile.chain.block()
    assert fragile.release("v2") == [0]
    assert fragile.chain.codes(fragile.chain.tx(name, message)) == [code]


def test_a_contract_that_holds_nothing_can_only_run_again(monkeypatch: pytest.MonkeyPatch, fragile: Fragile) -> None:
    fragile.breaks = raising(KeyError("bug"))
    fragile.begin(REF)
    fragile.chain.block()
    bare = Contract("bare", NUMBER, {}, Nothing, {}, on_due=fragile._ring)
    monkeypatch.setitem(contracts.BY_NUMBER, NUMBER, bare)
    assert fragile.release("v1", give_back=True) == [MemberCode.NOTHING_TO_GIVE_BACK]


def test_a_deadline_that_comes_while_it_is_parked_waits_with_it(fragile: Fragile) -> None:
    chain = fragile.chain
    fragile.breaks = raising(KeyError("bug"))
    due = fragile.begin(REF)
    overlay = Overlay(chain.state)
    overlay.put(due_key(id_of("bob"), due + 5_000, NUMBER, REF), Due(NUMBER, REF))
    changes, _, tree = overlay.finish()
    chain.state.commit(changes, tree)
    chain.block()
    chain.block(step=5_000)
    assert [at for _, at in fragile.rung] == [due]
    assert fragile.parked is not None
    assert [(h.account, h.time) for h in fragile.parked.held] == [(id_of("alice"), due), (id_of("bob"), due + 5_000)]
    fragile.breaks = lambda host, ref: host.lock(id_of("bob"), escrow_of(ref), 10, "again", ref)
    fragile.release(*VALIDATORS[:3])
    chain.block()
    assert [at for _, at in fragile.rung] == [due, due, due + 5_000]


def test_a_deadline_that_comes_while_it_is_parked_takes_back_no_word(fragile: Fragile) -> None:
    """Else who has many deadlines of one reference puts its release off for ever."""
    chain = fragile.chain
    fragile.breaks = raising(KeyError("bug"))
    due = fragile.begin(REF)
    later = due + 20_000
    overlay = Overlay(chain.state)
    overlay.put(due_key(id_of("bob"), later, NUMBER, REF), Due(NUMBER, REF))
    changes, _, tree = overlay.finish()
    chain.state.commit(changes, tree)
    chain.block()
    assert fragile.release("v1", "v2") == [0, 0]
    assert fragile.release("v3", give_back=True) == [0]
    before = fragile.parked
    assert before is not None and (len(before.retry), len(before.give_back), len(before.held)) == (2, 1, 1)
    chain.block(step=20_000)
    held = [*before.held, HeldDue(id_of("bob"), later)]
    assert fragile.parked == msgspec.structs.replace(before, held=held)
    assert fragile.release("v4") == [0]
    assert fragile.parked is None


def test_the_word_of_who_is_no_validator_any_more_releases_nothing(fragile: Fragile) -> None:
    """LC-MEM-13: neither way."""
    chain = fragile.chain
    fragile.breaks = raising(KeyError("bug"))
    fragile.begin(REF)
    chain.block()
    fragile.breaks = lambda host, ref: None
    assert fragile.release("v1") == [0]
    assert chain.codes(chain.tx("alice", ReportDouble(doubled(chain, "v1")))) == [0]
    assert fragile.release("v2", "v3") == [0, 0]
    assert fragile.parked is not None and set(fragile.parked.retry) == {id_of("v2"), id_of("v3")}
    assert fragile.release("v4") == [0]
    assert fragile.parked is None


@pytest.mark.parametrize("seed", range(20))
def test_a_transaction_within_others_is_kept_or_dropped_with_them(seed: int) -> None:
    """Against copies of all that is held: a case's end runs within its deadline, and a job's part of it within that."""
    rng = random.Random(seed)
    keys = [b"ca/" + bytes([n]) * 40 for n in range(3)]
    overlay = Overlay(Chain(genesis_of("alice", "bob")).state)
    held: dict[bytes, int] = {}
    before: list[dict[bytes, int]] = []
    for _ in range(300):
        what = rng.choice(["put", "put", "delete", "begin", "keep", "drop"])
        if what == "begin" and len(before) < 4:
            overlay.begin()
            before.append(dict(held))
        elif what == "keep" and before:
            overlay.keep()
            before.pop()
        elif what == "drop" and before:
            overlay.drop()
            held = before.pop()
        elif what == "put":
            key, amount = rng.choice(keys), rng.randrange(1, 100)
            overlay.put(key, Allowance(amount))
            held[key] = amount
        elif what == "delete":
            key = rng.choice(keys)
            overlay.delete(key)
            held.pop(key, None)
        assert {key: record.amount for key in keys if (record := overlay.get(key)) is not None} == held


@pytest.mark.parametrize("since", [0, 4])
def test_a_handler_mended_from_a_height_on_executes_the_blocks_before_as_they_were(fragile: Fragile, since: int) -> None:
    """LC-BLK-20: the mended program keeps what the old one did below a height of this chain; from the start, it does otherwise."""
    chain, old = fragile.chain, raising(KeyError("bug"))
    words = [chain.tx(name, Release(NUMBER, REF, False)) for name in VALIDATORS[:3]]
    blocks = [[chain.tx("alice", Act(REF.decode()))], [], [], words, []]
    mended = {chain.chain_id: since}

    def run(breaks: Callable[[Host, bytes], None]) -> list[bytes]:
        fragile.breaks, fragile.chain, roots = breaks, Chain(genesis_of("alice", "bob")), []
        for txs in blocks:
            fragile.chain.block(*txs)
            roots.append(fragile.chain.state.root)
        return roots

    first = run(lambda host, ref: old(host, ref) if host.height < 4 else None)
    assert fragile.parked is None and fragile.chain.account("bob").balance == GRANT + 10, "it was released, and went on"
    again = run(lambda host, ref: old(host, ref) if host.height < mended.get(host.chain_id, 0) else None)
    assert (again == first) == (since == 4)
