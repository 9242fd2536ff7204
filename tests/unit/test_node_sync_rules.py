"""Catching up rule by rule: what a peer's word is worth, how long an answer is waited for, what that costs. LC-NODE-22, 24, 64."""

from __future__ import annotations

from learningchain.chain.node.messages import MAX_SYNC_BLOCKS
from learningchain.chain.node.sync import BACKOFF_MS, DEADLINE, HELD, MAX_BACKOFF_MS, MAX_PEERS, Sync

A, B, C = b"a", b"b", b"c"


def at(height: int, **peers: int) -> Sync:
    s = Sync()
    s.at(height, 0)
    for name, told in peers.items():
        s.peer(name.encode(), told)
    return s


def ask(s: Sync, now: int) -> bytes:
    request = s.next_request(now)
    assert request is not None
    return request[0]


# --- heights ------------------------------------------------------------------------------------------------------------------


def test_a_peer_s_highest_word_counts_until_it_goes() -> None:
    """A vote that comes late tells a height from before."""
    s = at(5, a=9)
    s.peer(A, 7)
    assert s.best == 9
    s.peer(A, None)
    assert (s.best, s.ahead()) == (0, None)
    s.peer(A, 7)
    assert s.best == 7, "it comes again with what it says then"


def test_who_tells_a_height_and_who_tells_one_far_ahead() -> None:
    s = at(5, a=6, b=15, c=14)
    assert s.reported(14) == {B, C} and s.reported(16) == frozenset()
    assert s.far_ahead(10, 0) == [B], "ten above 5, not eleven"
    assert s.far_ahead(9, 0) == [B, C]
    assert s.ahead() in (A, B, C)
    assert at(6, a=6).ahead() is None


def test_a_word_that_did_not_hold_is_trusted_again_when_its_time_is_over() -> None:
    s = at(5, a=100, b=50)
    s.failed(A, 1_000)
    s.peer(A, 100)
    assert (s.trusted_height(1_000), s.far_ahead(10, 1_000)) == (50, [B])
    assert s.trusted_height(1_000 + BACKOFF_MS - 1) == 50
    assert s.trusted_height(1_000 + BACKOFF_MS) == 100
    assert s.far_ahead(10, 1_000 + BACKOFF_MS) == [A, B]
    assert s.trusted_height(1_000 + BACKOFF_MS, {B}) == 50 and s.trusted_height(0, set()) == 0


def test_a_useless_answer_takes_back_the_word_on_the_height() -> None:
    """It is believed when it is said again: else a lie about a height would be asked for without end."""
    s = at(5, a=100)
    s.failed(A, 0)
    assert s.best == 0 and s.next_request(10**6) is None
    s.peer(A, 6)
    assert s.best == 6


def test_the_time_for_which_others_are_asked_instead_has_an_end() -> None:
    """A peer with a bad link for an hour is asked again within five minutes of being well."""
    s = at(0, b=9)
    for n in range(40):
        s.failed(A, n * 10**6)
    s.peer(A, 20)
    assert s.trusted_height(39 * 10**6 + MAX_BACKOFF_MS - 1) == 9
    assert s.trusted_height(39 * 10**6 + MAX_BACKOFF_MS) == 20


def test_one_useful_answer_wipes_out_what_a_peer_failed_at() -> None:
    s = at(0, a=9)
    for _ in range(5):
        s.failed(A, 0)
    s.useful(A)
    s.peer(A, 9)
    assert s.trusted_height(0) == 9
    s.failed(A, 0)
    s.peer(A, 9)
    assert s.trusted_height(BACKOFF_MS) == 9, "the shortest time again, not the doubled one"


# --- the request that is out ------------------------------------------------------------------------------------------------------


def test_a_peer_that_goes_frees_its_own_request_only() -> None:
    """Whoever goes while another one is asked would otherwise bring a second question for the same blocks."""
    s = at(0, a=9, b=9)
    asked = ask(s, 0)
    other = B if asked == A else A
    s.peer(other, None)
    assert s.next_request(1) is None
    assert s.answered(asked) == 1
    asked = ask(s, 2)
    s.peer(asked, None)
    s.peer(other, 9)
    assert s.next_request(3) is not None


def test_the_deadline_is_the_last_moment_at_which_nobody_else_is_asked() -> None:
    s = at(0, a=9, b=9)
    first = ask(s, 100)
    assert s.next_request(100 + DEADLINE - 1) is None
    assert ask(s, 100 + DEADLINE) != first
    assert s.answered(first, now=100 + DEADLINE) is None, "its answer is nobody's any more"


def test_silence_until_the_deadline_is_a_failure_and_not_only_a_late_answer() -> None:
    s = at(0, a=9)
    assert ask(s, 0) == A
    assert s.next_request(DEADLINE) is None
    assert s.best == 0, "its word is taken back"


def test_only_the_answer_that_begins_where_the_question_did_counts() -> None:
    s = at(4, a=90)
    assert ask(s, 0) == A
    for first in (1, 4, 6, 50):
        assert s.answered(A, first, 1) is None
    assert s.next_request(2) is None, "the question is open still"
    assert s.answered(A, None, 3) == 5, "an empty one says that it has nothing"


def test_a_question_begins_behind_what_has_come_and_waits_to_be_executed() -> None:
    s = at(4, a=90, b=40)
    assert s.next_request(0, 40) == (A, 41, MAX_SYNC_BLOCKS), "and goes to who has that"
    assert at(4, a=40).next_request(0, 40) is None


def test_nothing_is_asked_for_while_a_snapshot_is_on_its_way() -> None:
    s = at(4, a=90)
    held = [True]
    s.holds = lambda now: held[0]
    assert s.next_request(0) is None
    held[0] = False
    assert s.next_request(0) is not None


def test_who_is_backed_off_is_asked_where_nobody_else_is_higher_and_passed_over_where_somebody_is() -> None:
    s = at(4, b=6)
    s.failed(A, 0)
    s.peer(A, 90)
    assert s.next_request(1) == (B, 5, MAX_SYNC_BLOCKS)
    s.answered(B, now=1)
    s.at(6, 1)
    assert s.next_request(2) == (A, 7, MAX_SYNC_BLOCKS)


def test_a_late_peer_is_left_early_only_for_one_whose_word_held() -> None:
    """Others say at any moment that they are ahead; who failed a moment ago takes no question from anybody."""
    s = at(0, a=9, b=9)
    asked = ask(s, 0)
    for _ in range(4):
        assert s.answered(asked, now=0) == 1
        asked = ask(s, 0)
    other = B if asked == A else A
    s._waited[asked] = 4 * DEADLINE
    s._backed_off[other] = (10 * DEADLINE, 10 * DEADLINE)
    assert s.next_request(DEADLINE - 1) is None, "it has until its deadline"
    s.useful(other)
    assert ask(s, DEADLINE - 1) == other


# --- patience --------------------------------------------------------------------------------------------------------------------


def test_what_is_here_lengthens_the_patience_of_those_who_vote_alone() -> None:
    """Who only follows gets no votes: it asks at once, whatever block it holds."""
    voter, follower = at(5, a=6), at(5, a=6)
    follower.patience = 0
    for s in (voter, follower):
        s.hold()
    assert voter.next_request(HELD - 1) is None and voter.next_request(HELD) is not None
    assert follower.patience == 0 and follower.next_request(0) is not None


# --- bounds ----------------------------------------------------------------------------------------------------------------------


def test_of_those_who_failed_and_were_waited_for_the_oldest_are_forgotten() -> None:
    s = Sync()
    s.at(0, 0)
    for n in range(MAX_PEERS + 5):
        peer = b"%d" % n
        s.peer(peer, 9)
        assert s.next_request(10 * n) is not None
        s.failed(s._asked.peer if s._asked else peer, 10 * n + 5)
        s.peer(peer, None)
    assert len(s._backed_off) == len(s._waited) == MAX_PEERS
    assert b"0" not in s._backed_off and b"%d" % (MAX_PEERS + 4) in s._backed_off
    assert b"0" not in s._waited
