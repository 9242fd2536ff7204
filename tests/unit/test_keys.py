"""Rotation and recovery: what the owner, the guardians and those who are neither can do. LC-KEY-1 to LC-KEY-9."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.keys import (
    GuardianSet,
    KeyCode,
    ObjectRecovery,
    Recover,
    Recovery,
    RotateKey,
    SetGuardians,
    guardians_key,
    new_key_digest,
    recovery_key,
)
from learningchain.chain.contracts.membership import ReportDouble
from learningchain.chain.contracts.membership import records as membership_records
from learningchain.chain.errors import Code, InvalidBlock
from learningchain.chain.host import ACTIVE, BANNED, SUSPENDED, Due, account_key, due_key
from learningchain.chain.ledger.transition import commit, validators_of
from learningchain.chain.types import LogEvent
from learningchain.chain.verification import standing
from tests.unit.ledger_kit import Chain, genesis_of, id_of, key_of
from tests.unit.membership_kit import doubled

DELAY, GATHER = 10_000, 60_000


def graph(**params: int) -> Chain:
    bounds: dict[str, Any] = {
        "recovery_delay_min": DELAY,
        "recovery_delay_max": 2 * DELAY,
        "recovery_gather": GATHER,
        "key_rest": 5_000,
    }
    return Chain(genesis_of("alice", "bob", "carol", "dora", **{**bounds, **params}))


def proof(chain: Chain, name: str, of: str) -> bytes:
    return key_of(name).sign(new_key_digest(chain.chain_id, id_of(of), key_of(name).public))


def rotate(chain: Chain, of: str, name: str) -> RotateKey:
    return RotateKey(key_of(name).public, proof(chain, name, of))


def word(chain: Chain, of: str, name: str) -> Recover:
    return Recover(id_of(of), key_of(name).public, proof(chain, name, of))


def guard(chain: Chain, of: str, threshold: int, *by: str) -> None:
    named = SetGuardians(sorted(map(id_of, by)), threshold, DELAY)
    assert chain.codes(chain.tx(of, named)) == [0]


def stand(chain: Chain, name: str, status: int, **held: int) -> None:
    a = chain.account(name)
    fields = {"balance": a.balance, "frozen": a.frozen} | held
    chain.put(account_key(id_of(name)), type(a)(a.key, status, fields["balance"], fields["frozen"], a.sequences, a.arrival))


def noted(chain: Chain) -> list[tuple[str, bytes]]:
    """What the last block noted outside its transactions."""
    assert chain.last is not None
    return [(e.topic, e.ref) for e in chain.last.receipts[0].events if isinstance(e, LogEvent)]


def recovery(chain: Chain, name: str) -> Recovery | None:
    found = chain.state.get(recovery_key(id_of(name)))
    assert found is None or isinstance(found, Recovery)
    return found


def pass_time(chain: Chain, ms: int) -> None:
    while ms > 0:
        chain.block(step=min(ms, 60_000))
        ms -= 60_000


# --- rotation -------------------------------------------------------------------------------------------------------------------


def test_an_owner_rotates_and_the_old_key_is_nothing() -> None:
    chain = graph()
    assert chain.codes(chain.tx("alice", rotate(chain, "alice", "new"))) == [0]
    assert chain.account("alice").key == key_of("new").public
    with pytest.raises(InvalidBlock, match="signature"):
        chain.try_(chain.tx("alice", rotate(chain, "alice", "newer"), sequence=1))


def test_nobody_takes_a_key_that_was_anybody_s() -> None:
    chain = graph()
    chain.block(chain.tx("alice", rotate(chain, "alice", "new")))
    pass_time(chain, 5_000)
    for name in ("new", "alice", "v1", "bob"):
        assert chain.codes(chain.tx("bob", rotate(chain, "bob", name))) == [KeyCode.KEY_TAKEN], name
    back = chain.tx("alice", rotate(chain, "alice", "alice"), signer="new")
    assert chain.codes(back) == [KeyCode.KEY_TAKEN], "the old key never comes back"


def test_a_key_whose_owner_did_not_agree_is_refused() -> None:
    """Otherwise anybody could make a key its own that somebody is about to use."""
    chain = graph()
    stolen = RotateKey(key_of("new").public, proof(chain, "new", "alice"))
    assert chain.codes(chain.tx("bob", stolen)) == [KeyCode.BAD_PROOF]
    assert chain.codes(chain.tx("alice", RotateKey(b"\5" * 33, bytes(64)))) == [KeyCode.BAD_KEY]


def test_a_key_rests_between_two_rotations() -> None:
    chain = graph()
    assert chain.codes(chain.tx("alice", rotate(chain, "alice", "new"))) == [0]
    assert chain.codes(chain.tx("alice", rotate(chain, "alice", "newer"), signer="new")) == [KeyCode.TOO_SOON]
    pass_time(chain, 5_000)
    assert chain.codes(chain.tx("alice", rotate(chain, "alice", "newer"), signer="new")) == [0]


def test_a_double_signing_before_a_rotation_is_judged_by_the_key_of_its_height() -> None:
    chain = graph()
    evidence = doubled(chain, "v2")
    assert chain.codes(chain.tx("v2", rotate(chain, "v2", "new"))) == [0]
    assert {v.id: v.key for v in validators_of(chain.state)}[id_of("v2")] == key_of("new").public
    assert chain.codes(chain.tx("alice", ReportDouble(evidence))) == [0]
    assert id_of("v2") not in {v.id for v in validators_of(chain.state)}


def test_rotations_cannot_push_out_the_sets_that_evidence_needs() -> None:
    """Who signs twice and then changes its key again and again stays within reach; and others can still be put out."""
    chain = graph(key_rest=1, evidence_age=1_000)
    evidence = doubled(chain, "v2")
    codes, signer = [], "v2"
    for n in range(60):
        code = chain.codes(chain.tx("v2", rotate(chain, "v2", f"key {n}"), signer=signer))[0]
        codes.append(code)
        signer = signer if code else f"key {n}"
    assert codes == [0] * 12 + [Code.NOT_ALLOWED] * 48, "four validators: a quarter of 48"
    assert chain.codes(chain.tx("alice", ReportDouble(evidence))) == [0]


def test_who_rotates_as_often_as_it_may_keeps_nobody_else_from_it() -> None:
    chain = graph(key_rest=1, evidence_age=1_000)
    for name in ("v1", "v2", "v3"):
        signer = name
        for n in range(13):
            code = chain.codes(chain.tx(name, rotate(chain, name, f"{name} {n}"), signer=signer))[0]
            assert code == (Code.NOT_ALLOWED if n == 12 else 0)
            signer = signer if code else f"{name} {n}"
    assert chain.codes(chain.tx("v4", rotate(chain, "v4", "mine"))) == [0]


def test_a_share_of_the_sets_comes_back_once_evidence_is_too_old_and_a_recovery_needs_none() -> None:
    chain = graph(key_rest=1, evidence_age=30)
    guard(chain, "v2", 1, "bob")
    signer, codes = "v2", []
    for n in range(12):
        codes += chain.codes(chain.tx("v2", rotate(chain, "v2", f"key {n}"), signer=signer))
        signer = f"key {n}"
    assert codes == [0] * 12
    assert chain.codes(chain.tx("v2", rotate(chain, "v2", "one more"), signer=signer)) == [Code.NOT_ALLOWED]
    assert chain.codes(chain.tx("bob", word(chain, "v2", "recovered"))) == [0]
    pass_time(chain, DELAY)
    assert chain.account("v2").key == key_of("recovered").public
    pass_time(chain, 400_000)
    for _ in range(30):
        chain.block()
    assert chain.codes(chain.tx("v2", rotate(chain, "v2", "later"), signer="recovered")) == [0]


# --- nothing is shortened -------------------------------------------------------------------------------------------------------


def test_a_suspended_account_stays_suspended_and_what_is_frozen_frozen() -> None:
    chain = graph()
    guard(chain, "alice", 1, "bob")
    stand(chain, "alice", SUSPENDED, balance=10, frozen=GRANTED - 10)
    assert chain.codes(chain.tx("alice", rotate(chain, "alice", "new"))) == [0]
    account = chain.account("alice")
    assert (account.status, account.balance, account.frozen) == (SUSPENDED, 10, GRANTED - 10)
    assert chain.codes(chain.tx("bob", word(chain, "alice", "newer"))) == [0]
    pass_time(chain, DELAY)
    account = chain.account("alice")
    assert account.key == key_of("newer").public
    assert (account.status, account.balance, account.frozen) == (SUSPENDED, 10, GRANTED - 10)


GRANTED = 1_000_000


# --- recovery -------------------------------------------------------------------------------------------------------------------


def test_two_of_three_guardians_bring_an_owner_back_with_its_balance() -> None:
    chain = graph()
    guard(chain, "alice", 2, "bob", "carol", "dora")
    assert chain.codes(chain.tx("bob", word(chain, "alice", "new"))) == [0]
    assert chain.codes(chain.tx("dora", word(chain, "alice", "new"))) == [0]
    pass_time(chain, DELAY - 2_000)
    assert chain.account("alice").key == key_of("alice").public, "the owner has time to object"
    pass_time(chain, 2_000)
    assert chain.account("alice").key == key_of("new").public and chain.account("alice").balance == GRANTED
    assert noted(chain) == [("key.recovered", id_of("alice"))] and recovery(chain, "alice") is None
    assert isinstance(chain.state.get(guardians_key(id_of("alice"))), GuardianSet)


def test_one_guardian_too_few_brings_nobody_back() -> None:
    chain = graph()
    guard(chain, "alice", 2, "bob", "carol")
    chain.block(chain.tx("bob", word(chain, "alice", "new")), chain.tx("bob", word(chain, "alice", "newer")))
    pass_time(chain, GATHER)
    assert chain.account("alice").key == key_of("alice").public
    assert noted(chain) == [("recovery.ended", id_of("alice"))] and recovery(chain, "alice") is None


def test_a_stranger_s_word_is_none() -> None:
    chain = graph()
    guard(chain, "alice", 1, "bob")
    assert chain.codes(chain.tx("carol", word(chain, "alice", "new"))) == [KeyCode.NOT_A_GUARDIAN]
    assert chain.codes(chain.tx("alice", word(chain, "alice", "new"))) == [KeyCode.NOT_A_GUARDIAN]
    assert chain.codes(chain.tx("alice", word(chain, "bob", "new"))) == [KeyCode.NOT_A_GUARDIAN], "nobody guards bob"


def objected(chain: Chain, of: str, signer: str = "") -> int:
    return chain.codes(chain.tx(of, ObjectRecovery(), signer=signer or of))[0]


def test_an_objection_asks_for_more_than_two_thirds_and_bars_a_recovery_that_fails() -> None:
    chain = graph()
    guard(chain, "alice", 1, "bob", "carol", "dora")
    chain.block(chain.tx("bob", word(chain, "alice", "new")))
    pass_time(chain, DELAY - 2_000)
    assert objected(chain, "alice") == 0
    assert objected(chain, "alice") == KeyCode.OBJECTED
    found = recovery(chain, "alice")
    assert found is not None and not found.key and found.until == found.gather > chain.clock + GATHER - 5_000
    pass_time(chain, GATHER)
    assert chain.account("alice").key == key_of("alice").public and recovery(chain, "alice") is None
    assert chain.codes(chain.tx("bob", word(chain, "alice", "new"))) == [KeyCode.RECOVERY_BARRED]
    pass_time(chain, DELAY)
    assert chain.codes(chain.tx("bob", word(chain, "alice", "new"))) == [0]


def test_nothing_is_open_to_object_to() -> None:
    assert objected(graph(), "alice") == KeyCode.NO_RECOVERY


def test_a_thief_that_rotates_objects_and_renames_guardians_loses_to_two_thirds() -> None:
    """Whatever it does with the key: one delay after the last word that is needed, the account is the owner's."""
    chain = graph(key_rest=1)
    guard(chain, "alice", 1, "bob", "carol", "dora")
    thief = [chain.tx("alice", rotate(chain, "alice", "stolen"))]
    assert chain.codes(*thief) == [0]
    renamed = SetGuardians([id_of("v1")], 1, DELAY)
    assert chain.codes(chain.tx("alice", renamed, signer="stolen")) == [0]
    chain.block(chain.tx("bob", word(chain, "alice", "home")))
    assert objected(chain, "alice", "stolen") == 0
    assert chain.codes(chain.tx("alice", rotate(chain, "alice", "stolen again"), signer="stolen")) == [0]
    pass_time(chain, DELAY)
    assert chain.codes(chain.tx("v1", word(chain, "alice", "thief's"))) == [KeyCode.NOT_A_GUARDIAN], "a recovery is open"
    chain.block(chain.tx("carol", word(chain, "alice", "home")), chain.tx("dora", word(chain, "alice", "home")))
    assert objected(chain, "alice", "stolen again") == KeyCode.OBJECTED
    pass_time(chain, DELAY)
    assert chain.account("alice").key == key_of("home").public
    of = chain.state.get(guardians_key(id_of("alice")))
    assert isinstance(of, GuardianSet) and of.guardians == sorted(map(id_of, ("bob", "carol", "dora"))) and not of.coming


def test_more_guardians_than_those_who_agreed_first_have_the_last_word() -> None:
    """Two bad ones of five, where two are enough, and three good ones: their number counts, not who was first."""
    chain = graph()
    guard(chain, "alice", 2, "bob", "carol", "dora", "v1", "v2")
    chain.block(*(chain.tx(name, word(chain, "alice", "thief's")) for name in ("bob", "carol")))
    chain.block(*(chain.tx(name, word(chain, "alice", "home")) for name in ("dora", "v1")))
    found = recovery(chain, "alice")
    assert found is not None and found.key == key_of("thief's").public, "as many are not more"
    chain.block(chain.tx("v2", word(chain, "alice", "home")))
    pass_time(chain, DELAY)
    assert chain.account("alice").key == key_of("home").public


def test_other_guardians_are_in_force_when_those_of_now_had_their_time() -> None:
    chain = graph()
    guard(chain, "alice", 1, "bob")
    guard(chain, "alice", 1, "carol")
    assert chain.codes(chain.tx("carol", word(chain, "alice", "new"))) == [KeyCode.NOT_A_GUARDIAN]
    pass_time(chain, DELAY)
    assert chain.codes(chain.tx("bob", word(chain, "alice", "new"))) == [KeyCode.NOT_A_GUARDIAN]
    assert chain.codes(chain.tx("carol", word(chain, "alice", "new"))) == [0]


def test_who_names_the_guardians_of_now_takes_a_change_back() -> None:
    chain = graph()
    guard(chain, "alice", 1, "bob")
    guard(chain, "alice", 1, "carol")
    guard(chain, "alice", 1, "bob")
    pass_time(chain, 2 * DELAY)
    assert chain.codes(chain.tx("carol", word(chain, "alice", "new"))) == [KeyCode.NOT_A_GUARDIAN]


def test_guardians_are_done_away_with_after_their_delay_only() -> None:
    chain = graph()
    guard(chain, "alice", 1, "bob")
    assert chain.codes(chain.tx("alice", SetGuardians([], 0, 0))) == [0]
    pass_time(chain, DELAY - 2_000)
    assert chain.codes(chain.tx("bob", word(chain, "alice", "new"))) == [0], "it is open still"
    pass_time(chain, DELAY)
    assert chain.account("alice").key == key_of("new").public
    chain = graph()
    guard(chain, "alice", 1, "bob")
    chain.block(chain.tx("alice", SetGuardians([], 0, 0)))
    pass_time(chain, DELAY)
    assert chain.codes(chain.tx("bob", word(chain, "alice", "new"))) == [KeyCode.NOT_A_GUARDIAN]
    guard(chain, "alice", 1, "carol")
    assert chain.codes(chain.tx("carol", word(chain, "alice", "new"))) == [0], "the first ones are in force at once"


def test_a_thief_s_guardians_do_not_wait_behind_a_bar_of_its_own_making() -> None:
    """An accomplice opens a recovery, the thief objects to it: while its change waits, no bar keeps the others from speaking."""
    chain = graph()
    guard(chain, "alice", 1, "bob", "carol", "dora")
    chain.block(chain.tx("dora", word(chain, "alice", "bait")))
    assert objected(chain, "alice") == 0
    pass_time(chain, GATHER)
    assert chain.codes(chain.tx("bob", word(chain, "alice", "home"))) == [KeyCode.RECOVERY_BARRED]
    chain.block(chain.tx("alice", SetGuardians([id_of("v1")], 1, DELAY)))
    home = word(chain, "alice", "home")
    assert chain.codes(*(chain.tx(name, home) for name in ("bob", "carol", "dora"))) == [0, 0, 0]
    assert objected(chain, "alice") == 0, "in vain"
    pass_time(chain, DELAY)
    assert chain.account("alice").key == key_of("home").public


def test_bad_guardians_cannot_keep_an_owner_from_naming_others() -> None:
    """They may hold one recovery open after the other; at the end of the first one the change that waited is in force."""
    chain = graph()
    guard(chain, "alice", 2, "bob", "carol", "dora")
    chain.block(chain.tx("bob", word(chain, "alice", "bait")))
    assert chain.codes(chain.tx("alice", SetGuardians([id_of("v1")], 1, DELAY))) == [0]
    pass_time(chain, GATHER)
    assert recovery(chain, "alice") is None
    assert chain.codes(chain.tx("bob", word(chain, "alice", "bait"))) == [KeyCode.NOT_A_GUARDIAN]


@pytest.mark.parametrize("bad", range(8))
@pytest.mark.parametrize("threshold", range(1, 8))
def test_who_wins_the_key(threshold: int, bad: int) -> None:
    """docs/keys.md: with seven guardians, `bad` of them the thief's. The thief has the key, or the owner has it and objects."""
    names = ["bob", "carol", "dora", "v1", "v2", "v3", "v4"]
    needed = max(threshold, 5)
    for owner_has_it in (False, True):
        chain = graph()
        guard(chain, "alice", threshold, *names)
        thief = [chain.tx(name, word(chain, "alice", "thief's")) for name in names[:bad]]
        chain.block(*thief)  # the worst for the owner: the thief's are the first
        if not owner_has_it:
            chain.block(*(chain.tx(name, word(chain, "alice", "home")) for name in names[bad:]))
        objected(chain, "alice")
        pass_time(chain, GATHER + DELAY)
        key = chain.account("alice").key
        if owner_has_it:
            assert (key == key_of("alice").public) == (bad < needed), "the owner keeps it"
        else:
            assert (key == key_of("home").public) == (7 - bad >= needed), "the owner gets it back"


def test_a_guardian_cannot_push_another_key_in_at_the_last_moment() -> None:
    """A key on which others agree runs its whole delay; going back and forth delays, and shortens nothing."""
    chain = graph()
    guard(chain, "alice", 2, "bob", "carol", "dora")
    chain.block(chain.tx("bob", word(chain, "alice", "new")), chain.tx("carol", word(chain, "alice", "new")))
    pass_time(chain, DELAY - 3_000)
    chain.block(chain.tx("dora", word(chain, "alice", "thief's")))
    found = recovery(chain, "alice")
    assert found is not None and found.key == key_of("new").public
    chain.block(chain.tx("carol", word(chain, "alice", "thief's")))
    found = recovery(chain, "alice")
    assert found is not None and found.key == key_of("thief's").public and found.until == chain.clock + DELAY
    pass_time(chain, DELAY)
    assert chain.account("alice").key == key_of("thief's").public, "two of three are the owner's word"


def test_banned_guardians_have_no_word_at_the_end() -> None:
    chain = graph()
    guard(chain, "alice", 2, "bob", "carol", "dora")
    chain.block(chain.tx("bob", word(chain, "alice", "new")), chain.tx("carol", word(chain, "alice", "new")))
    stand(chain, "carol", BANNED, balance=0)
    pass_time(chain, DELAY)
    assert chain.account("alice").key == key_of("alice").public and recovery(chain, "alice") is None


def test_a_banned_account_is_not_brought_back() -> None:
    chain = graph()
    guard(chain, "alice", 1, "bob")
    chain.block(chain.tx("bob", word(chain, "alice", "new")))
    stand(chain, "alice", BANNED, balance=0)
    pass_time(chain, DELAY)
    assert chain.account("alice").key == key_of("alice").public
    assert chain.codes(chain.tx("bob", word(chain, "alice", "new"))) == [KeyCode.ACCOUNT_BANNED]


def test_two_accounts_cannot_be_recovered_with_one_key() -> None:
    chain = graph()
    guard(chain, "alice", 1, "dora")
    guard(chain, "bob", 1, "dora")
    chain.block(chain.tx("dora", word(chain, "alice", "new")), chain.tx("dora", word(chain, "bob", "new")))
    pass_time(chain, DELAY)
    owners = {name: chain.account(name).key for name in ("alice", "bob")}
    assert sorted(owners.values()).count(key_of("new").public) == 1
    assert recovery(chain, "alice") is None and recovery(chain, "bob") is None


def test_a_recovered_validator_signs_with_its_new_key_from_the_next_height() -> None:
    chain = graph()
    guard(chain, "v2", 1, "alice")
    guard(chain, "v3", 1, "alice")
    chain.block(chain.tx("alice", word(chain, "v2", "new")), chain.tx("alice", word(chain, "v3", "newer")))
    pass_time(chain, DELAY)
    keys = {v.id: v.key for v in validators_of(chain.state)}
    changed = {id_of("v2"): key_of("new").public, id_of("v3"): key_of("newer").public}
    assert len(changed.items() & keys.items()) == 1, "the set changes once in a block"
    pass_time(chain, 12_000)
    assert changed.items() <= {v.id: v.key for v in validators_of(chain.state)}.items()


def test_bounds_of_guardians() -> None:
    chain = graph()

    def code(ids: list[bytes], threshold: int, delay: int) -> int:
        return chain.codes(chain.tx("alice", SetGuardians(ids, threshold, delay)))[0]

    two = sorted((id_of("bob"), id_of("carol")))
    assert code(two, 3, DELAY) == code(two, 0, DELAY) == KeyCode.BAD_THRESHOLD
    assert code(two, 2, DELAY - 1) == code(two, 2, 2 * DELAY + 1) == KeyCode.BAD_DELAY
    assert code([id_of("alice")], 1, DELAY) == code(two[::-1], 1, DELAY) == KeyCode.BAD_GUARDIANS
    assert code([bytes(20)], 1, DELAY) == KeyCode.BAD_GUARDIANS
    assert code(two, 2, 2 * DELAY) == code([], 0, 0) == 0
    commit(chain.state, chain.try_())


# --- nothing is shortened, whatever is done in whatever order -------------------------------------------------------------------

CASE_MS = 90_000


def accused(chain: Chain) -> Chain:
    """Alice stands before the judges, with a strike and a frozen sum: until CASE_MS from now."""
    stand(chain, "alice", SUSPENDED, balance=GRANTED - 400, frozen=400)
    until, alice = chain.clock + CASE_MS, id_of("alice")
    ref = membership_records.CaseRef(b"\7" * 32, 3, id_of("dora"), id_of("dora"))
    chain.put(membership_records.case_key(alice), membership_records.Case(1, chain.clock, until, [ref], [], []))
    chain.put(due_key(alice, until, membership_records.NUMBER, alice), Due(membership_records.NUMBER, alice))
    member: Any = chain.state.get(membership_records.member_key(alice))
    strikes = standing.add_strike(member.strikes, id_of("dora"), chain.clock, 2 * CASE_MS)
    chain.put(membership_records.member_key(alice), replace(member, strikes=strikes))
    return chain


def standing_of(chain: Chain) -> tuple[Any, ...]:
    """All that must not depend on the key."""
    alice = chain.account("alice")
    case = chain.state.get(membership_records.case_key(id_of("alice")))
    return case, chain.state.get(membership_records.member_key(id_of("alice"))), alice.status, alice.balance, alice.frozen


@pytest.mark.parametrize("seed", range(12))
def test_no_schedule_of_rotations_and_recoveries_shortens_a_case_a_strike_or_a_frozen_sum(seed: int) -> None:
    """Beside a chain on which nobody touches a key: after each block alice stands on both as she does on the other."""
    rng, names = random.Random(seed), ["bob", "carol", "dora"]
    chain, still = accused(graph(key_rest=1)), accused(graph(key_rest=1))
    changed, shown = 0, {key_of("alice").public: "alice"}
    for turn in range(60):
        signer, txs = shown[chain.account("alice").key], list[Any]()
        name = f"key {seed} {turn + 3 if rng.random() < 0.3 else rng.randrange(3)}"
        shown[key_of(name).public] = name
        of_alice: list[Any] = [rotate(chain, "alice", name), ObjectRecovery(), SetGuardians([], 0, 0)]
        several = sorted(map(id_of, rng.sample(names, rng.randint(1, 3))))
        of_alice += [SetGuardians(several, rng.randint(1, len(several)), DELAY)] * 3
        coming = recovery(chain, "alice")
        if rng.random() < 0.4 and (coming is None or coming.until > chain.clock + 4_000):  # her key is the same in this block
            txs.append(chain.tx("alice", rng.choice(of_alice), signer=signer))
        txs += [chain.tx(by, word(chain, "alice", name)) for by in names if rng.random() < 0.3]
        step = rng.choice((500, 2_000, 4_000))
        chain.block(*txs, step=step)
        still.block(step=step)
        changed += chain.account("alice").key != key_of(signer).public
        assert standing_of(chain) == standing_of(still)
    assert changed, "a schedule that changes no key shows nothing"
    assert standing_of(chain)[2] == ACTIVE, "the case has lapsed, at its time"
