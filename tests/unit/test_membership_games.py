"""Cases as games: whom a ban takes where judges are parties, and what those cannot do who are no more than a chain withstands."""

from __future__ import annotations

import pytest

from learningchain.chain.contracts.membership import confirmations_needed
from learningchain.chain.host import ACTIVE, BANNED, SUSPENDED
from tests.unit.ledger_kit import id_of
from tests.unit.membership_kit import JOB, JOB2, JOB3, Court

LEAST = {4: (3, 2, 1), 7: (4, 3, 2), 10: (6, 4, 3), 16: (9, 6, 5), 22: (12, 8, 7)}
"""By validators: the least in collusion that ban where every judge counts, the least where they make others parties, and how many
the chain withstands. The table of docs/verification.md."""


def graph(monkeypatch: pytest.MonkeyPatch, validators: int) -> tuple[Court, list[str]]:
    names = [f"v{n}" for n in range(1, validators + 1)]
    return Court(monkeypatch, validators=tuple(names)), names


@pytest.mark.parametrize("validators", LEAST)
def test_a_ban_takes_more_validators_than_the_chain_withstands_whoever_is_made_a_party(validators: int) -> None:
    whole, parties, withstood = LEAST[validators]
    needed = [confirmations_needed(validators, counted, corroborated=True) for counted in range(validators + 1)]
    assert needed[validators] == whole
    assert min(one for one in needed if one is not None) == parties > withstood == (validators - 1) // 3
    for counted, one in enumerate(needed):
        alone = confirmations_needed(validators, counted, corroborated=False)
        assert (one is None) is (alone is None) is (2 * counted < validators)
        assert one is None or alone is None or one <= alone <= counted


def test_a_cheater_that_lied_to_two_of_four_validators_is_banned_by_the_other_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two invited by one founder corroborate nothing: both others have to say it."""
    for words, banned in ((["v3", "v4"], True), (["v3"], False)):
        with monkeypatch.context() as patch:
            court, _ = graph(patch, 4)
            court.parties = {(JOB, id_of("v1")), (JOB2, id_of("v2"))}
            court.accuse(ref=JOB)
            court.accuse(ref=JOB2)
            court.judge(True, *words)
            court.end()
            assert (court.chain.account("bob").status == BANNED) is banned


def test_who_lied_to_three_of_four_is_left_to_a_proposal(monkeypatch: pytest.MonkeyPatch) -> None:
    court, _ = graph(monkeypatch, 4)
    court.parties = {(JOB, id_of("v1")), (JOB2, id_of("v2")), (JOB3, id_of("v3"))}
    for ref, owner in ((JOB, "alice"), (JOB2, "carol"), (JOB3, "dave")):
        court.accuse(ref=ref, owner=owner)
    assert court.judge(True, "v4") == [0]
    court.end()
    assert court.chain.account("bob").status == ACTIVE, "its case lapsed, with three strikes"
    assert len(court.member().strikes) == 3


@pytest.mark.parametrize("made", range(8))
@pytest.mark.parametrize("liars", [3, 4])
def test_three_liars_of_ten_ban_nobody_however_many_of_the_others_they_make_parties(
    monkeypatch: pytest.MonkeyPatch, liars: int, made: int
) -> None:
    """Their puppets of two roots posted, so they are no parties; `made` honest judges claimed in those jobs or were suspended by
    them. Four of ten, more than the chain withstands, ban where three to five others are parties."""
    court, names = graph(monkeypatch, 10)
    court.parties = {(JOB, id_of(name)) for name in names[liars : liars + made]}
    court.accuse(owner="alice", ref=JOB)
    court.accuse(owner="carol", ref=JOB2)
    assert court.judge(True, *names[:liars]) == [0] * liars
    court.end()
    assert (court.chain.account("bob").status == BANNED) is (liars == 4 and made in (3, 4, 5))


def test_an_accuser_does_not_come_back_into_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """An accuser that posted itself is a party as long as the case lasts, and so is a friend of it that is suspended."""
    court, _ = graph(monkeypatch, 4)
    court.parties = {(JOB, id_of("v1"))}
    court.accuse(ref=JOB, owner="v1")
    court.accuse(ref=JOB2, owner="carol")
    court.accuse(who="v2", ref=JOB3)
    assert court.chain.account("v2").status == SUSPENDED
    for _ in range(2):
        assert 0 not in court.judge(True, "v1", "v2")
        court.chain.block(step=1_000)
    court.judge(True, "v3")
    court.end()
    assert court.chain.account("bob").status == ACTIVE, "one of the two that count is no half of four, and no more than half of two"
