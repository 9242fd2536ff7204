"""The edges of rotation and recovery, and what is left when one ends. LC-KEY-2 to LC-KEY-9."""

from __future__ import annotations

from dataclasses import replace as replaced

import pytest

from learningchain.chain import contracts
from learningchain.chain.contracts.keys import NUMBER, KeyChanges, KeyCode, ObjectRecovery, SetGuardians, changes_key
from learningchain.chain.contracts.keys import params as key_params
from learningchain.chain.contracts.keys.records import guardians_of
from learningchain.chain.contracts.keys.recovery import RETRY_MS, due_work
from learningchain.chain.contracts.membership import Leave, Release
from learningchain.chain.errors import Malformed
from learningchain.chain.host import BANNED, Host
from learningchain.chain.types import LogEvent
from tests.unit.ledger_kit import Chain, id_of, key_of
from tests.unit.test_keys import DELAY, GATHER, graph, guard, pass_time, recovery, rotate, stand, word


def changes(chain: Chain, name: str) -> KeyChanges:
    found = chain.state.get(changes_key(id_of(name)))
    assert isinstance(found, KeyChanges)
    return found


def told(chain: Chain, topic: str) -> list[list[object]]:
    assert chain.last is not None
    events = [event for receipt in chain.last.receipts for event in receipt.events]
    return [list(event.data) for event in events if isinstance(event, LogEvent) and event.topic == topic]


def first_last(*names: str) -> list[str]:
    return sorted(names, key=id_of)


# --- guardians ----------------------------------------------------------------------------------------------------------------


def test_guardians_are_members_of_good_name_each_once() -> None:
    """LC-KEY-4"""
    chain = graph()
    bob = id_of("bob")

    def code(*ids: bytes) -> int:
        return chain.codes(chain.tx("alice", SetGuardians(list(ids), 1, DELAY)))[0]

    assert code(bob, bob) == KeyCode.BAD_GUARDIANS
    assert chain.codes(chain.tx("carol", Leave())) == [0]
    assert code(id_of("carol")) == KeyCode.BAD_GUARDIANS, "it left"
    stand(chain, "dora", BANNED, balance=0)
    assert code(id_of("dora")) == KeyCode.BAD_GUARDIANS
    assert code(bob) == 0


def test_without_guardians_nobody_has_a_word() -> None:
    """LC-KEY-4: neither threshold nor delay means anything then; those before have theirs for their delay, to the millisecond."""
    chain = graph()
    guard(chain, "alice", 1, "bob")
    none = [SetGuardians([], 1, 0), SetGuardians([], 0, 1)]
    assert [chain.codes(chain.tx("alice", m))[0] for m in none] == [KeyCode.BAD_THRESHOLD, KeyCode.BAD_DELAY]
    assert chain.codes(chain.tx("alice", SetGuardians([], 0, 0))) == [0]
    over = chain.clock + DELAY
    assert guardians_of(chain.state, id_of("alice"), over - 1) is not None
    assert guardians_of(chain.state, id_of("alice"), over) is None
    pass_time(chain, DELAY - 1_000)
    assert chain.codes(chain.tx("bob", word(chain, "alice", "new"))) == [KeyCode.NOT_A_GUARDIAN]


# --- words --------------------------------------------------------------------------------------------------------------------


def test_a_key_that_was_agreed_stays_it_while_enough_say_so() -> None:
    """LC-KEY-6: where one of two is enough, the second pushes no other key in, however low its id."""
    chain = graph()
    low, high = first_last("bob", "carol")
    guard(chain, "alice", 1, low, high)
    chain.block(chain.tx(high, word(chain, "alice", "new")))
    before = recovery(chain, "alice")
    chain.block(chain.tx(low, word(chain, "alice", "thief's")))
    found = recovery(chain, "alice")
    assert before is not None and found is not None
    assert (found.key, found.until) == (key_of("new").public, before.until)


def test_of_two_keys_at_once_the_one_of_the_first_guardian_is_agreed() -> None:
    """LC-KEY-6"""
    chain = graph()
    low, middle, high = first_last("bob", "carol", "dora")
    guard(chain, "alice", 1, low, middle, high)
    chain.block(chain.tx(middle, word(chain, "alice", "m")))
    chain.block(chain.tx(low, word(chain, "alice", "l")), chain.tx(high, word(chain, "alice", "h")))
    chain.block(chain.tx(middle, word(chain, "alice", "x")))
    found = recovery(chain, "alice")
    assert found is not None and (found.key, found.until) == (key_of("l").public, chain.clock + DELAY)


def test_guardians_gather_from_the_first_word_on_however_they_change_their_minds() -> None:
    """LC-KEY-6: going back and forth makes no recovery longer, and leaves one deadline."""
    chain = graph()
    guard(chain, "alice", 2, "bob", "carol")
    chain.block(chain.tx("bob", word(chain, "alice", "new")))
    since, account = chain.clock, id_of("alice")
    assert chain.deadlines() == [(account, since + GATHER, NUMBER, account)]
    chain.block(chain.tx("carol", word(chain, "alice", "new")))
    assert chain.deadlines() == [(account, chain.clock + DELAY, NUMBER, account)]
    chain.block(chain.tx("carol", word(chain, "alice", "other")))
    found = recovery(chain, "alice")
    assert found is not None and (found.key, found.since, found.until) == (b"", since, since + GATHER)
    assert chain.deadlines() == [(account, since + GATHER, NUMBER, account)]


# --- ends ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["expired", "void"])
def test_a_recovery_that_ends_says_why_and_leaves_nothing(end: str) -> None:
    """LC-KEY-9: nor does it bar the next one, to which nobody objected."""
    chain = graph()
    guard(chain, "alice", 1 if end == "void" else 2, "bob", "carol")
    chain.block(chain.tx("bob", word(chain, "alice", "new")))
    if end == "expired":
        pass_time(chain, GATHER)
    else:
        stand(chain, "bob", BANNED, balance=0)
        pass_time(chain, DELAY)
    assert told(chain, "recovery.ended") == [[end]]
    assert recovery(chain, "alice") is None and chain.deadlines() == []
    assert chain.codes(chain.tx("carol", word(chain, "alice", "new"))) == [0]


def test_an_objection_bars_for_the_delay_and_not_a_moment_longer() -> None:
    """LC-KEY-5, 7, 9: from the end of what was objected to; and it is no way to rotate sooner."""
    chain = graph(key_rest=1_000_000)
    guard(chain, "alice", 1, "bob", "carol")
    chain.block(chain.tx("alice", rotate(chain, "alice", "own")))
    rotated, account = chain.clock, id_of("alice")
    chain.block(chain.tx("bob", word(chain, "alice", "new")))
    chain.block(chain.tx("alice", ObjectRecovery(), signer="own"))
    assert told(chain, "recovery.objected") == [[2, chain.clock + GATHER]]
    assert chain.deadlines() == [(account, chain.clock + GATHER, NUMBER, account)]
    pass_time(chain, GATHER)
    assert told(chain, "recovery.ended") == [["expired"]] and chain.deadlines() == []
    barred = chain.clock + DELAY
    assert changes(chain, "alice") == KeyChanges(1, rotated, barred)
    chain.block(step=DELAY - 2_000)
    assert chain.codes(chain.tx("bob", word(chain, "alice", "new"))) == [KeyCode.RECOVERY_BARRED]
    assert chain.codes(chain.tx("bob", word(chain, "alice", "new"))) == [0], "in the block of that time"
    assert chain.codes(chain.tx("alice", rotate(chain, "alice", "mine"), signer="own")) == [KeyCode.TOO_SOON]


def test_a_rotation_is_free_again_when_the_rest_is_over_and_forgets_no_objection() -> None:
    """LC-KEY-2, 7"""
    chain = graph(key_rest=5_000)
    guard(chain, "alice", 1, "bob", "carol")
    chain.block(chain.tx("bob", word(chain, "alice", "new")))
    chain.block(chain.tx("alice", ObjectRecovery()))
    pass_time(chain, GATHER)
    barred = chain.clock + DELAY
    chain.block(chain.tx("alice", rotate(chain, "alice", "one")))
    chain.block(step=4_000)
    assert chain.codes(chain.tx("alice", rotate(chain, "alice", "two"), signer="one")) == [0], "5,000 ms after the first"
    assert changes(chain, "alice") == KeyChanges(2, chain.clock, barred)


def test_a_recovery_counts_as_a_change_of_key_and_not_as_the_owner_s_rotation() -> None:
    """LC-KEY-8: who came back by its guardians may rotate at once; when it did before, it rests as before."""
    chain = graph(key_rest=100_000)
    guard(chain, "alice", 1, "bob")
    chain.block(chain.tx("bob", word(chain, "alice", "new")))
    pass_time(chain, DELAY)
    assert changes(chain, "alice") == KeyChanges(1, 0, 0)
    assert told(chain, "key.recovered") == [[key_of("new").public, 1]]
    assert chain.deadlines() == []
    assert chain.codes(chain.tx("alice", rotate(chain, "alice", "own"), signer="new")) == [0]
    assert told(chain, "key.rotated") == [[key_of("own").public, 2]]


def test_a_recovery_in_the_way_of_which_the_set_was_comes_again_after_a_while() -> None:
    """LC-KEY-8: ten seconds later, with its words, and what it does is weighed by these."""
    chain = graph()
    guard(chain, "v2", 1, "alice", "bob")
    guard(chain, "v3", 1, "alice", "bob")
    chain.block(*(chain.tx("alice", word(chain, who, new)) for who, new in (("v2", "new"), ("v3", "newer"))))
    chain.block(*(chain.tx("bob", word(chain, who, new)) for who, new in (("v2", "new"), ("v3", "newer"))))
    assert due_work(chain.state, id_of("v2")) == 2 and due_work(chain.state, id_of("alice")) == 0
    pass_time(chain, DELAY - 1_000)
    (late,) = [who for who in ("v2", "v3") if recovery(chain, who) is not None]
    found = recovery(chain, late)
    assert found is not None and len(found.words) == 2 and found.until == chain.clock + RETRY_MS
    assert chain.deadlines() == [(id_of(late), chain.clock + RETRY_MS, NUMBER, id_of(late))]


def test_a_parked_recovery_ends_without_a_new_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-KEY-9, LC-MEM-14"""

    def fail(host: Host, ref: bytes, at: int) -> None:
        raise ValueError("a fault of the contract")

    monkeypatch.setitem(contracts.BY_NUMBER, NUMBER, replaced(contracts.BY_NUMBER[NUMBER], on_due=fail))
    chain = graph()
    guard(chain, "alice", 1, "bob")
    chain.block(chain.tx("bob", word(chain, "alice", "new")))
    pass_time(chain, DELAY)
    assert recovery(chain, "alice") is not None
    chain.block(*(chain.tx(name, Release(NUMBER, id_of("alice"), True)) for name in ("v1", "v2", "v3")))
    assert told(chain, "recovery.ended") == [["void"]]
    assert recovery(chain, "alice") is None and chain.account("alice").key == key_of("alice").public


def test_the_delays_of_a_network_may_be_one_and_the_same() -> None:
    made = key_params.KeyParams(recovery_delay_min=5_000, recovery_delay_max=5_000)
    made.check()
    with pytest.raises(Malformed, match="recovery_delay_min is 5001"):
        key_params.KeyParams(recovery_delay_min=5_001, recovery_delay_max=5_000).check()
