"""Roots, strikes, duties, marks and what members declare: LC-MEM-1, 2, 3, 15, 16, 17, 18, 34."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.membership import (
    Leave,
    MemberCode,
    SetCapacity,
    SetTraining,
    VotesFor,
    member_key,
    training,
    votes_key,
)
from learningchain.chain.host import STANDING, VERIFIERS, Host
from learningchain.chain.host.terms import LIMITS, MAX_IMAGE_BYTES, Arch, Capacity
from learningchain.chain.ledger.state import Overlay
from learningchain.chain.types import LogEvent
from tests.unit.ledger_kit import VALIDATORS, id_of
from tests.unit.membership_kit import JOB, LIFE, SMALL, Court


@pytest.fixture
def court(monkeypatch: pytest.MonkeyPatch) -> Court:
    return Court(monkeypatch)


def wait(court: Court, until: int) -> None:
    """Blocks up to one at this time."""
    while court.chain.clock < until:
        court.chain.block(step=min(60_000, until - court.chain.clock))


def standing(court: Court, who: str = "bob") -> tuple[int, bool]:
    live, stands = court.do(
        lambda host: host.service(STANDING).live(id_of(who)), lambda host: host.service(STANDING).stands(id_of(who))
    )
    return live, stands


def invited(court: Court, who: str, by: str) -> Any:
    """What an invitation will do to a member's root: they come later."""
    return lambda host: host.put(member_key(id_of(who)), replace(court.member(who), root=id_of(by)))


# --- roots and strikes --------------------------------------------------------------------------------------------------------


def test_a_member_of_genesis_is_its_own_root(court: Court) -> None:
    """LC-MEM-15: so is an account that nobody knows."""
    assert [court.member(name).root for name in ("v1", "bob")] == [id_of("v1"), id_of("bob")]
    assert court.do(lambda host: host.service(STANDING).root_of(b"\x07" * 20)) == [b"\x07" * 20]


def test_of_each_root_the_last_strike_is_kept(court: Court) -> None:
    """LC-MEM-1: one contractor, under however many names, bars nobody."""
    court.do(invited(court, "dave", "carol"))
    for owner in ("alice", "carol", "dave", "carol", "dave"):
        court.strike(owner)
    last = court.chain.clock
    assert [(s.origin, s.end) for s in court.member().strikes] == [
        (id_of("alice"), last - 4_000 + LIFE),
        (id_of("carol"), last + LIFE),
    ]
    assert court.last_events("strike") == [LogEvent("strike", id_of("bob"), ["test", JOB, id_of("dave")])]
    assert standing(court) == (2, True)


def test_with_live_strikes_of_three_roots_an_account_does_not_stand(court: Court) -> None:
    for owner in ("alice", "carol", "dave"):
        court.strike(owner)
    first = court.member().strikes[0].end
    assert standing(court) == (3, False)
    wait(court, first - 1_000)
    assert standing(court) == (2, True), "with the moment at which it ends it counts no more"


# --- duties -------------------------------------------------------------------------------------------------------------------


def test_of_each_root_the_last_duty_counts_and_every_silence(court: Court) -> None:
    """LC-MEM-3"""
    for owner, bad, silent in (
        ("alice", True, False),
        ("alice", True, True),
        ("carol", False, False),
        ("alice", True, True),
        ("alice", False, False),
    ):
        court.draw(owner, bad=bad, silent=silent)
    a, c = id_of("alice"), id_of("carol")
    assert [(d.origin, d.bad, d.silent) for d in court.member("v1").draws] == [
        (a, True, True),
        (c, False, False),
        (a, True, True),
        (a, False, False),
    ]


def test_more_than_five_bad_ones_of_the_last_ten_and_the_flag_rests_for_a_month(court: Court) -> None:
    """LC-MEM-18: nothing is recorded meanwhile, and it comes back by itself with an empty record."""
    for _ in range(6):
        court.draw("v2", bad=False, silent=True)
    for _ in range(5):
        court.draw("alice", bad=True, silent=True)
    assert [d.bad for d in court.member("v1").draws] == [False] * 5 + [True] * 5, "of eleven the first one is forgotten"
    assert court.member("v1").rests_until == 0
    court.draw("carol", bad=True)
    until = court.member("v1").rests_until
    assert until == court.chain.clock + LIFE and court.member("v1").draws == []
    assert court.last_events("verifier.rests") == [LogEvent("verifier.rests", id_of("v1"), [until])]
    court.draw("alice", bad=True)
    assert court.member("v1").draws == [] and court.member("v1").verifier
    declare(court, "v1")
    assert flagged(court) == (3, 0)
    assert flagged(court, owner="v1") == (3, 0), "one that rests is left out once, also where the work is its own"
    wait(court, until - 1_000)
    assert flagged(court) == (4, 1), "the block at that moment"
    court.draw("alice", bad=True)
    assert len(court.member("v1").draws) == 1


def test_a_rest_is_over_at_its_moment_for_draws_and_for_what_is_kept_of_them(court: Court) -> None:
    """LC-MEM-2, 3, 18: in the block of that time it is drawn, and its duties count."""
    declare(court, "v1")
    for _ in range(6):
        court.draw("alice", bad=True, silent=True)
    until = court.member("v1").rests_until
    wait(court, until - 1_000)
    drawn, _ = court.do(
        lambda host: host.service(VERIFIERS).able(SMALL, host.clock),
        lambda host: host.service(VERIFIERS).record_draw(id_of("v1"), id_of("carol"), bad=True, silent=False),
    )
    assert court.chain.clock == until and id_of("v1") in drawn and len(court.member("v1").draws) == 1


# --- marks --------------------------------------------------------------------------------------------------------------------


def marked(court: Court, owner: str, *names: str) -> set[bytes]:
    found: set[bytes] = court.do(lambda host: host.service(VERIFIERS).marked([id_of(n) for n in names], id_of(owner)))[0]
    return found


def test_two_bad_votes_in_work_of_a_root_mark_for_a_month(court: Court) -> None:
    """LC-MEM-17: by root, and among those that were asked for."""
    court.do(invited(court, "dave", "alice"))
    court.vote("alice", bad=True)
    assert marked(court, "alice", "v1") == set()
    court.vote("dave", bad=True)
    last = court.chain.clock
    court.vote("carol", bad=True)
    assert marked(court, "alice", "v1", "v2") == marked(court, "dave", "v1") == {id_of("v1")}
    assert marked(court, "carol", "v1") == marked(court, "alice", "v2") == set()
    wait(court, last + LIFE - 2_000)
    assert marked(court, "alice", "v1") == {id_of("v1")}
    assert marked(court, "alice", "v1") == set(), "a month after the last of them"


def test_good_votes_before_a_bad_one_are_not_kept(court: Court) -> None:
    """LC-MEM-17: they change nothing, and every verifier has some for every contractor."""
    key = votes_key(id_of("v1"), id_of("alice"))
    court.vote("alice", bad=False)
    assert court.chain.state.get(key) is None
    court.vote("alice", bad=True)
    court.vote("alice", bad=False)
    record = court.chain.state.get(key)
    assert isinstance(record, VotesFor) and [v.bad for v in record.votes] == [True, False]
    for _ in range(9):
        court.vote("alice", bad=False)
    assert court.chain.state.get(key) is None


# --- capacity -----------------------------------------------------------------------------------------------------------------


def declare(court: Court, name: str, capacity: Capacity = SMALL) -> int:
    return court.chain.codes(court.chain.tx(name, SetCapacity(capacity)))[0]


def flagged(court: Court, needed: Capacity = SMALL, owner: str = "alice") -> tuple[int, int]:
    found: tuple[int, int] = court.do(lambda host: host.service(VERIFIERS).flagged(id_of(owner), needed))[0]
    return found


def able(court: Court, needed: Capacity = SMALL, before: int | None = None) -> list[bytes]:
    def ask(host: Host) -> list[bytes]:
        return host.service(VERIFIERS).able(needed, host.clock + 1 if before is None else before)

    found: list[bytes] = court.do(ask)[0]
    return found


def test_who_declared_nothing_or_too_little_is_not_drawn(court: Court) -> None:
    """LC-MEM-2, 16"""
    assert able(court) == [] and flagged(court) == (4, 0)
    assert declare(court, "v1") == declare(court, "v2", replace(SMALL, mem_mb=511)) == 0
    assert able(court) == [id_of("v1")] and flagged(court) == (4, 1)
    assert able(court, replace(SMALL, arch=Arch.ARM64)) == []
    assert declare(court, "bob") == 0 and able(court) == [id_of("v1")], "without the flag nobody is drawn"
    assert flagged(court, owner="v1") == (3, 0) and flagged(court, owner="v2") == (3, 1)


@pytest.mark.parametrize("field", ["cpus_milli", "mem_mb", "image", "model_cap", "eval_s"])
def test_a_capacity_covers_what_is_no_larger_in_any_way(court: Court, field: str) -> None:
    declare(court, "v1")
    assert able(court, replace(SMALL, **{field: getattr(SMALL, field) + 1})) == []
    assert able(court, replace(SMALL, **{field: getattr(SMALL, field) - 1})) == [id_of("v1")]


def test_only_a_capacity_from_before_counts(court: Court) -> None:
    """LC-MEM-2: what is declared once the claims are known chooses no committee."""
    declare(court, "v1")
    since = court.chain.clock
    assert court.member("v1").capacity_since == since
    assert able(court, before=since) == [] and able(court, before=since + 1) == [id_of("v1")]


def test_the_same_capacity_is_refused_and_keeps_its_time(court: Court) -> None:
    """LC-MEM-16"""
    declare(court, "v1")
    since = court.chain.clock
    assert court.last_events("capacity") == [LogEvent("capacity", id_of("v1"), [1, 1_000, 512, 10**6, 10**6, 60])]
    assert declare(court, "v1") == MemberCode.SAME_CAPACITY
    assert court.member("v1").capacity_since == since
    assert declare(court, "v1", replace(SMALL, eval_s=61)) == 0
    assert court.member("v1").capacity_since == court.chain.clock


BOUNDS = {name: LIMITS[name] for name in ("cpus_milli", "mem_mb", "model_cap", "eval_s")} | {"image": (1, MAX_IMAGE_BYTES)}


@pytest.mark.parametrize("field", BOUNDS)
def test_a_capacity_that_no_machine_has_is_refused(court: Court, field: str) -> None:
    low, high = BOUNDS[field]
    for value, code in ((low - 1, MemberCode.BAD_CAPACITY), (low, 0), (high, 0), (high + 1, MemberCode.BAD_CAPACITY)):
        assert declare(court, "v1", replace(SMALL, **{field: value})) == code
    assert declare(court, "v1", replace(SMALL, arch=3)) == MemberCode.BAD_CAPACITY


def test_a_suspended_verifier_keeps_its_seat_and_a_barred_one_loses_it(court: Court) -> None:
    """LC-MEM-2"""
    for name in VALIDATORS:
        declare(court, name)
    court.accuse(who="v1")
    for owner in ("alice", "carol", "dave"):
        court.strike(owner, who="v2")
    assert able(court) == sorted(map(id_of, ("v1", "v3", "v4"))) and flagged(court) == (3, 3)


# --- trainings ----------------------------------------------------------------------------------------------------------------


def trains(court: Court, name: str, train_s: int, arch: int = Arch.AMD64) -> int:
    return court.chain.codes(court.chain.tx(name, SetTraining(arch, train_s)))[0]


def trainers(court: Court, train_s: int, owner: str = "carol") -> int:
    return training(Overlay(court.chain.state), id_of(owner), Arch.AMD64, train_s)


def test_a_member_says_how_long_it_trains_with_or_without_the_flag(court: Court) -> None:
    """LC-MEM-34"""
    assert [trains(court, name, train_s) for name, train_s in (("v1", 60), ("bob", 3_600))] == [0, 0]
    assert [trainers(court, train_s) for train_s in (60, 61, 3_601)] == [2, 1, 0] and trainers(court, 60, owner="bob") == 1
    assert court.last_events("training") == [LogEvent("training", id_of("bob"), [1, 3_600])]
    assert trains(court, "bob", 3_600) == MemberCode.SAME_CAPACITY and trains(court, "bob", 3_600, Arch.ARM64) == 0
    assert trainers(court, 61) == 0
    assert trains(court, "bob", 0, Arch.ARM64) == 0 and trains(court, "alice", 0) == MemberCode.SAME_CAPACITY


def test_a_training_that_no_job_asks_for_is_refused(court: Court) -> None:
    longest = LIMITS["train_s"][1]
    for train_s, arch, code in ((longest + 1, 1, MemberCode.BAD_CAPACITY), (60, 3, MemberCode.BAD_CAPACITY), (longest, 1, 0)):
        assert trains(court, "bob", train_s, arch) == code


def test_who_left_or_is_banned_trains_for_nobody_and_says_it_again_where_it_comes_back(court: Court) -> None:
    """LC-MEM-26, 8, 34"""
    assert trains(court, "alice", 60) == trains(court, "bob", 60) == 0 and trainers(court, 1) == 2
    court.accuse()
    assert trains(court, "bob", 61) == 0 and trainers(court, 61) == 1, "who is suspended works on"
    court.judge(True, *VALIDATORS)
    court.end()
    assert trainers(court, 1) == 1
    assert court.chain.codes(court.chain.tx("alice", Leave())) == [0] and trainers(court, 1) == 0
