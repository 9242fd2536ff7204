"""Bodies of undecided blocks: put together from short ids, filled from peers, never believed before their root is compared."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.consensus.messages import CheckBlock
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.tx import parse_tx
from learningchain.chain.node import bodies, candidates
from learningchain.chain.node import messages as m
from learningchain.chain.node.bodies import Bodies
from learningchain.chain.node.candidates import MAX_CANDIDATES, Candidate, Candidates
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.params import Params
from learningchain.chain.types import Header, block_id, tx_id
from tests.unit.node_kit import CHAIN, T0, genesis, ident, propose, state_of, transfer

STATE = state_of(genesis())
RAWS = [transfer(0, 0), transfer(1, 0), transfer(2, 0)]
SHORT = [tx_id(raw)[: m.SHORT] for raw in RAWS]
A, B, C = ident(1), ident(2), ident(3)
NOBODY: frozenset[bytes] = frozenset()


def built(*raws: bytes, now: int = T0 + 5) -> Candidate:
    txs = [parse_tx(raw) for raw in raws]
    proposer = genesis().validators[0].id
    return candidates.build(STATE, proposer, bytes(32), 0, CHAIN, now, txs)[0]


WHOLE = built(*RAWS)
KEY = block_id(WHOLE.header)


def pool(*raws: bytes) -> Mempool:
    found = Mempool(CHAIN, Params())
    for raw in raws:
        found.add(STATE, raw, 1, local=True)
    return found


def opened(ids: list[bytes], *held: bytes) -> tuple[Bodies, Candidate]:
    b = Bodies()
    return b, b.blocks.open(WHOLE.header, ids, pool(*held), T0, A, NOBODY)


def test_a_block_whose_transactions_are_here_is_complete_at_once() -> None:
    _, candidate = opened(SHORT, *RAWS)
    assert candidate.complete
    assert candidate.block() == WHOLE.block()
    assert candidate.short == SHORT


def test_only_who_has_a_block_tells_of_its_proposal() -> None:
    """Whoever asked for its body then would get none."""
    proposed = propose(1, 1, 0, KEY)
    assert Bodies().wire(proposed) is None
    partly, _ = opened(SHORT, *RAWS[:2])
    assert partly.wire(proposed) is None
    whole, _ = opened(SHORT, *RAWS)
    assert whole.wire(proposed) == m.CompactProposal(proposed, WHOLE.header, SHORT)


def test_with_a_decided_height_its_open_questions_end() -> None:
    """A block of a past height that still came would be asked about by nobody, and each tick would ask peers for it."""
    b = Bodies()
    b.want(CheckBlock(1, 0, KEY, True), NOBODY)
    b.clear(1)
    assert not b.wanted and b.take_full(A, encode(WHOLE.block()), T0, NOBODY) is None


def test_only_what_is_missing_is_asked_for_and_its_sender_first() -> None:
    b, candidate = opened(SHORT, RAWS[0])
    assert not candidate.complete
    assert b.ask(KEY, 1, [B, A, C], 0) == (A, m.GetBlock(1, KEY, [1, 2]))
    assert b.take_txs(A, m.BlockTxs(KEY, [1, 2], RAWS[1:])) is candidate
    assert candidate.block() == WHOLE.block()
    assert b.ask(KEY, 1, [A], 0) is None


def test_a_block_of_which_nothing_is_here_is_asked_for_whole() -> None:
    """A list of all its places would be a longer question with the same answer."""
    b, _ = opened(SHORT)
    assert b.ask(KEY, 1, [A], 0) == (A, m.GetBlock(1, KEY, []))
    b, _ = opened(SHORT, RAWS[0])
    assert b.ask(KEY, 1, [A], 0) == (A, m.GetBlock(1, KEY, [1, 2]))


def test_whoever_asks_again_asks_another_peer_for_everything() -> None:
    b, _ = opened(SHORT, RAWS[0])
    b.ask(KEY, 1, [A, B, C], 0)
    again = [b.ask(KEY, 1, [A, B, C], 0) for _ in range(3)]
    assert again == [(peer, m.GetBlock(1, KEY, [])) for peer in (B, C, A)]


@pytest.mark.parametrize("ids", [[], SHORT[:2], SHORT[::-1], [*SHORT, b"nonsense"], [SHORT[0]] * 3], ids=str)
def test_a_wrong_list_of_ids_makes_no_wrong_block(ids: list[bytes]) -> None:
    """The list is not signed: anybody on the way may change it. The empty one once made a good block look invalid for ever."""
    b, candidate = opened(ids, *RAWS)
    assert not candidate.complete
    asked = [b.ask(KEY, 1, [A], 0) for _ in range(2)]
    assert asked[-1] == (A, m.GetBlock(1, KEY, []))
    assert b.take_full(A, candidates.encoded(WHOLE), T0, NOBODY) is candidate
    assert candidate.block() == WHOLE.block()


def test_transactions_from_peers_that_were_not_asked_count_for_nothing() -> None:
    b, candidate = opened(SHORT, RAWS[0])
    b.ask(KEY, 1, [A], 0)
    assert b.take_txs(B, m.BlockTxs(KEY, [1, 2], [b"junk", b"junk"])) is None
    assert candidate.missing == [1, 2]


@pytest.mark.parametrize("answer", [([1, 2], RAWS[1:2]), ([1, 9], RAWS[1:]), ([1, 2], [b"junk", RAWS[2]])])
def test_wrong_transactions_are_asked_for_again(answer: tuple[list[int], list[bytes]]) -> None:
    b, candidate = opened(SHORT, RAWS[0])
    b.ask(KEY, 1, [A], 0)
    assert b.take_txs(A, m.BlockTxs(KEY, *answer)) is None
    assert not candidate.complete
    assert b.take_full(A, candidates.encoded(WHOLE), T0, NOBODY) is candidate


def test_an_answer_has_the_places_asked_for_or_the_whole_block() -> None:
    b = Bodies()
    b.blocks.put(KEY, WHOLE, NOBODY)
    assert b.answer(m.GetBlock(1, KEY, [0, 2])) == m.BlockTxs(KEY, [0, 2], [RAWS[0], RAWS[2]])
    full = m.FullBlock(candidates.encoded(WHOLE))
    assert b.answer(m.GetBlock(1, KEY, [])) == full
    assert b.answer(m.GetBlock(1, KEY, [0, 3])) == full, "the asker's list is wrong"
    assert b.answer(m.GetBlock(1, sha256(b"other"), [])) is None


def test_nobody_gets_more_than_a_block_for_a_request() -> None:
    """A place named a thousand times would be answered a thousand times."""
    b = Bodies()
    b.blocks.put(KEY, WHOLE, NOBODY)
    for places in ([0] * 1_000, [2, 1]):
        with pytest.raises(Malformed):
            b.answer(m.GetBlock(1, KEY, places))


def test_an_incomplete_block_is_given_to_nobody() -> None:
    b, _ = opened(SHORT, RAWS[0])
    assert b.answer(m.GetBlock(1, KEY, [])) is None
    assert b.answer(m.GetBlock(1, KEY, [0])) is None


def test_a_full_block_counts_only_where_it_is_wanted() -> None:
    b = Bodies()
    raw = candidates.encoded(WHOLE)
    assert b.take_full(A, raw, T0, NOBODY) is None
    assert len(b.blocks) == 0
    b.want(CheckBlock(1, 0, KEY, False), NOBODY)
    came = b.take_full(A, raw, T0, NOBODY)
    assert came is not None
    assert came.complete
    assert b.take_full(A, raw, T0, NOBODY) is None, "it is here already"


def test_a_full_block_with_other_transactions_is_refused() -> None:
    b = Bodies()
    wrong = Candidate(WHOLE.header, list(RAWS[:2]), T0, None)
    b.want(CheckBlock(1, 0, KEY, False), NOBODY)
    with pytest.raises(Malformed):
        b.take_full(A, candidates.encoded(wrong), T0, NOBODY)
    with pytest.raises(Malformed):
        b.take_full(A, b"junk", T0, NOBODY)


def header(n: int, height: int) -> Header:
    return replace(WHOLE.header, time=T0 + n, height=height)


def fill(c: Candidates, n: int, height: int, keep: frozenset[bytes] = NOBODY) -> bytes:
    key = block_id(header(n, height))
    c.put(key, Candidate(header(n, height), [], T0, None), keep)
    return key


def test_room_is_made_by_blocks_of_the_next_height_then_by_the_oldest_never_by_the_locked_one() -> None:
    c = Candidates()
    locked = fill(c, 0, 1)
    keep = frozenset({locked})
    keys = [fill(c, n, 1, keep) for n in range(1, MAX_CANDIDATES - 1)]
    early = fill(c, MAX_CANDIDATES, 2, keep)
    assert len(c) == MAX_CANDIDATES
    late = [fill(c, MAX_CANDIDATES + 1, 1, keep)]
    assert c.get(early) is None, "though it came last"
    assert all(c.get(k) is not None for k in (locked, *keys, *late)), "and for no block of this height"
    late += [fill(c, MAX_CANDIDATES + n, 1, keep) for n in (2, 3)]
    assert len(c) == MAX_CANDIDATES
    assert c.get(locked) is not None
    assert [c.get(k) is None for k in keys[:3]] == [True, True, False]
    assert all(c.get(k) is not None for k in late)


def test_early_blocks_stay_when_their_height_begins() -> None:
    c = Candidates()
    old, early = fill(c, 0, 1), fill(c, 1, 2)
    c.clear(1)
    assert (c.get(old), c.get(early) is not None) == (None, True)


def test_wanted_blocks_are_bounded_and_the_kept_ones_stay() -> None:
    b = Bodies()
    first = sha256(b"0")
    keep = frozenset({first})
    for n in range(200):
        b.want(CheckBlock(1, n, sha256(b"%d" % n), False), keep)
    assert len(b.wanted) == bodies.MAX_WANTED
    assert first in b.wanted
    assert sha256(b"199") in b.wanted
