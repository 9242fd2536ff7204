"""Whether a node may trust its guard, rule by rule: what shows that it is too old, how long that is looked for. LC-NODE-30, 31."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from learningchain.chain.consensus.messages import SignVote
from learningchain.chain.host import K_CHAIN, K_HISTORY, BeaconCommitment, History, Validators
from learningchain.chain.ledger.transition import chain_record, validators_of
from learningchain.chain.node import double_sign_check
from learningchain.chain.node import events as e
from learningchain.chain.node.double_sign_check import ABSTAIN_MARGIN, FALLBACK_MS, MAX_HELD, STABLE_TICKS, DoubleSignCheck, Place
from learningchain.chain.node.sync import Sync
from learningchain.chain.types import NIL, PRECOMMIT, PREVOTE, Certificate, Header, Validator
from tests.unit.node_kit import PARAMS, fresh, genesis, ident, propose, state_of, vote

OWN = ident(0)
GENESIS = state_of(genesis(4, PARAMS))
VALIDATORS = validators_of(GENESIS)
INDEX = next(i for i, v in enumerate(VALIDATORS) if v.id == OWN)
OTHERS = [i for i in range(4) if i != INDEX]


def is_old(check: DoubleSignCheck) -> bool:
    return check._guard_is_old


def of(signed: Place = (0, 0, 0)) -> DoubleSignCheck:
    return DoubleSignCheck(OWN, signed)


def heard(check: DoubleSignCheck, *peers: int) -> DoubleSignCheck:
    for peer in peers:
        check.heard(ident(peer))
    return check


class Ticks:
    """Ticks of a node at height 5; `told` is what its peers say."""

    def __init__(self, check: DoubleSignCheck) -> None:
        self.check, self.sync = check, Sync()

    def __call__(self, count: int = 1, *, now: int = 0, height: int = 5, told: int = 5) -> list[e.Effect]:
        self.sync.peer(ident(1), told)
        found: list[e.Effect] = []
        for _ in range(count):
            found += self.check.tick(now, height, self.sync, VALIDATORS, fresh().consensus.round_state)
        return [effect for effect in found if not isinstance(effect, e.Gossip)]


# --- what shows it ----------------------------------------------------------------------------------------------------------------

PLACES = [(4, 9, PRECOMMIT), (5, 0, PRECOMMIT), (5, 1, 0), (5, 1, PREVOTE), (5, 1, PRECOMMIT), (5, 2, 0), (6, 0, 0)]
"""In the order in which an honest key signs; the guard knows the one in the middle."""
KNOWN = 3


@pytest.mark.parametrize("at", range(len(PLACES)))
def test_only_what_lies_behind_the_last_that_the_guard_knows_shows_it(at: int) -> None:
    """A vote, a proposal, a block that was decided, a certificate: each in its own round."""
    height, round_, kind = PLACES[at]
    expected = at > KNOWN
    check = of(PLACES[KNOWN])
    check.saw(vote(0, kind, height, round_, NIL) if kind else propose(0, height, round_, b"b" * 32))
    assert is_old(check) is expected
    if kind == 0:
        check = of(PLACES[KNOWN])
        header = cast(Header, SimpleNamespace(proposer=OWN, height=height, round=round_))
        check.decided(header, Certificate(height, round_, bytes(32), OTHERS, []), VALIDATORS)
        assert is_old(check) is expected
    if kind == PRECOMMIT:
        check = of(PLACES[KNOWN])
        header = cast(Header, SimpleNamespace(proposer=ident(1), height=height, round=0))
        check.decided(header, Certificate(height, round_, bytes(32), [INDEX, *OTHERS], []), VALIDATORS)
        assert is_old(check) is expected


def test_what_others_signed_shows_nothing() -> None:
    check = of()
    for message in (vote(1, PRECOMMIT, 9, 9, NIL), propose(1, 9, 9, b"b" * 32)):
        check.saw(message)
    check.decided(
        cast(Header, SimpleNamespace(proposer=ident(1), height=9, round=0)), Certificate(9, 0, bytes(32), OTHERS, []), VALIDATORS
    )
    assert not is_old(check)


def test_what_shows_once_is_not_taken_back() -> None:
    check = of((5, 0, PREVOTE))
    check.saw(vote(0, PREVOTE, 7, 0, NIL))
    check.saw(vote(0, PREVOTE, 3, 0, NIL))
    assert is_old(check)


# --- what a state shows at the start ----------------------------------------------------------------------------------------------


def begun(
    signed: Place,
    certificate: Certificate | None = None,
    *,
    proposed: BeaconCommitment | None = None,
    sets: Sequence[tuple[int, list[Validator]]] = (),
) -> DoubleSignCheck:
    """On a state at height 7: what the node proposed last, and since when which sets were."""
    given = {
        b"gb/" + OWN: proposed,
        K_HISTORY: History([Validators(since, members) for since, members in sets]),
        K_CHAIN: replace(chain_record(GENESIS), height=7),
    }
    state = SimpleNamespace(get=lambda key: given[key] if key in given else GENESIS.get(key))
    return DoubleSignCheck(OWN, signed, cast(Any, state), certificate)


@pytest.mark.parametrize(("signed", "old"), [((6, 0, 0), True), ((7, 0, 0), False), ((7, 0, PREVOTE), False)])
def test_the_last_block_that_it_proposed_stands_in_the_state(signed: Place, old: bool) -> None:
    assert is_old(begun(signed, proposed=BeaconCommitment(7, bytes(32)))) is old


@pytest.mark.parametrize(("signed", "old"), [((7, 1, PREVOTE), True), ((7, 1, PRECOMMIT), False), ((7, 0, PRECOMMIT), True)])
def test_the_certificate_of_its_snapshot_shows_what_it_signed_there_in_which_round(signed: Place, old: bool) -> None:
    certificate = Certificate(7, 1, bytes(32), [INDEX], [bytes(64)])
    assert is_old(begun(signed, certificate, sets=[(0, VALIDATORS)])) is old


def test_the_certificate_is_read_with_the_set_that_signed_it() -> None:
    """The newest one that was the set at this height already: places in others are other members' places."""
    own, other = [VALIDATORS[INDEX]], [VALIDATORS[OTHERS[0]]]
    first = Certificate(7, 0, bytes(32), [0], [bytes(64)])
    for sets, old in (
        ([(0, other), (7, own)], True),
        ([(0, own), (7, other)], False),
        ([(0, own), (8, other)], True),
        ([(0, other), (8, own)], False),
    ):
        assert is_old(begun((6, 0, PRECOMMIT), first, sets=sets)) is old
    assert not is_old(begun((6, 0, PRECOMMIT), replace(first, signers=[5]), sets=[(0, own)])), "there is no such place"
    assert not is_old(begun((5, 0, PRECOMMIT), replace(first, height=6), sets=[(0, own)])), "that is not this state's"


# --- how long it is looked for ----------------------------------------------------------------------------------------------------


def test_a_node_without_a_guard_to_doubt_signs_at_once() -> None:
    check, request = DoubleSignCheck(OWN, None), SignVote(PREVOTE, 6, 0, NIL)
    assert check.sign(request) == [e.SignRequest(request)]
    assert Ticks(check)(5) == []


def test_all_must_be_well_in_ticks_that_follow_each_other() -> None:
    """The own votes that come back take a moment: one that interrupts it begins it anew."""
    check = heard(of(), 1, 2, 3)
    ticks = Ticks(check)
    ticks(STABLE_TICKS)
    check.heard(ident(3), here=False)
    check.heard(ident(2), here=False)
    ticks()
    heard(check, 2, 3)
    ticks(STABLE_TICKS)
    assert check.on_probation
    ticks()
    assert not check.on_probation


def test_what_was_told_before_a_quorum_was_lost_is_not_what_has_to_be_here() -> None:
    check = heard(of(), 1, 2, 3)
    ticks = Ticks(check)
    ticks(1, height=5, told=5)
    check.heard(ident(3), here=False)
    check.heard(ident(2), here=False)
    ticks(1, height=5, told=9)
    heard(check, 2, 3)
    ticks(STABLE_TICKS + 3, height=5, told=9)
    assert check.on_probation, "a quorum tells 9 now"
    ticks(STABLE_TICKS + 1, height=9, told=9)
    assert not check.on_probation


def test_a_quorum_is_of_validators_the_node_itself_counted() -> None:
    """Three of four: itself and two. Members outside the set are none of them, nor is it a second time."""
    for peers, enough in (((1, 2), True), ((1,), False), ((1, 4), False), ((1, 0), False), ((1, 4, 5, 0), False)):
        check = heard(of(), *peers)
        Ticks(check)(STABLE_TICKS + 1)
        assert check.on_probation is not enough, peers


def test_after_a_while_one_peer_s_word_is_enough_and_nobody_s_never_is() -> None:
    for peers, ends in (((4,), True), ((), False)):
        check = heard(of(), *peers)
        ticks = Ticks(check)
        ticks(5, now=0)
        ticks(5, now=FALLBACK_MS - 1)
        assert check.on_probation
        ticks(STABLE_TICKS + 1, now=FALLBACK_MS)
        assert check.on_probation is not ends


TRUTH, LIE = 50, 5
"""The last height that the key's former life signed in, and the one that the only peer in reach tells."""


@pytest.mark.parametrize("shown", ["the operator's word", "an own vote that came back"])
def test_the_only_peer_in_reach_gets_no_second_signature_of_a_key_that_came_back_from_a_backup(shown: str) -> None:
    """It tells a height of long ago and serves the chain up to there. If its word were enough, the key would abstain from the few
    heights above that one, and then sign anew wherever its former life signed already: evidence that costs the seat."""
    check = of(double_sign_check.UNKNOWN) if shown == "the operator's word" else of()
    check.saw(vote(0, PREVOTE, LIE, 0, NIL))
    heard(check, 1)
    ticks = Ticks(check)
    signed_before = [SignVote(PREVOTE, height, 0, NIL) for height in range(LIE + ABSTAIN_MARGIN + 1, LIE + MAX_HELD)]
    ticks(1, height=LIE, told=LIE)
    for request in signed_before:
        assert check.sign(request) == []
    for now in (FALLBACK_MS, 10 * FALLBACK_MS, 10**9):
        assert ticks(STABLE_TICKS + 1, now=now, height=LIE, told=LIE) == []
    assert check.on_probation
    assert check.lacks == (2, 1)
    heard(check, 2)
    ticks.sync.peer(ident(2), TRUTH)
    assert ticks(STABLE_TICKS + 1, now=10**9, height=LIE, told=LIE) == [], "what a quorum told has to be here first"
    assert check.lacks is None
    assert ticks(STABLE_TICKS + 1, now=10**9, height=TRUTH, told=LIE) == [e.Abstain(TRUTH + ABSTAIN_MARGIN)]


def test_the_operator_s_word_up_to_where_it_signed_does_without_a_quorum() -> None:
    """`node --signed-up-to`: what the guard then knows is no doubt, and the guard signs nothing up to there."""
    check = of((TRUTH, 2**31 - 1, PRECOMMIT))
    check.saw(vote(0, PRECOMMIT, TRUTH, 7, NIL))
    heard(check, 4)
    assert check.lacks is None
    wanted = SignVote(PREVOTE, TRUTH + 1, 0, NIL)
    check.sign(wanted)
    ticks = Ticks(check)
    ticks(1, height=TRUTH, told=TRUTH)
    assert ticks(STABLE_TICKS + 1, now=FALLBACK_MS, height=TRUTH, told=TRUTH) == [e.SignRequest(wanted)]


# --- what follows -----------------------------------------------------------------------------------------------------------------


def test_of_what_waited_only_what_lies_above_the_abstention_is_signed() -> None:
    check = heard(of(double_sign_check.UNKNOWN), 1, 2, 3)
    wanted = [SignVote(PREVOTE, height, 0, NIL) for height in (5 + ABSTAIN_MARGIN, 6 + ABSTAIN_MARGIN)]
    for request in wanted:
        check.sign(request)
    assert Ticks(check)(STABLE_TICKS + 1) == [e.Abstain(5 + ABSTAIN_MARGIN), e.SignRequest(wanted[1])]
    assert Ticks(check)(3) == [], "once"


def test_a_node_that_is_further_than_all_others_say_abstains_from_its_own_height_on() -> None:
    check = heard(of(double_sign_check.UNKNOWN), 1, 2, 3)
    assert Ticks(check)(STABLE_TICKS + 1, height=9, told=5) == [e.Abstain(9 + ABSTAIN_MARGIN)]
