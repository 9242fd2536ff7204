"""Undecided blocks that arrive in pieces, and answers of peers that are taken apart: what wrong pieces leave behind."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.consensus.wal import Polka, Record, SignIntent
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import InvalidBlock
from learningchain.chain.ledger.state_diff import StateDiff
from learningchain.chain.ledger.transition import params_of, validators_of
from learningchain.chain.ledger.tx import ParsedTx, parse_tx
from learningchain.chain.merkle import list_root
from learningchain.chain.node import batches, candidates
from learningchain.chain.node import messages as m
from learningchain.chain.node.batches import Batch, DecodedBlock, checks_of, mark, open_answer, take_hashes
from learningchain.chain.node.candidates import MAX_CANDIDATES, MAX_DELAY_ROUNDS, Candidate, Candidates, build, execute, is_timely
from learningchain.chain.node.checks import hash_blocks
from learningchain.chain.node.mempool import Mempool
from learningchain.chain.node.messages import SHORT
from learningchain.chain.node.recovery import Recovered
from learningchain.chain.params import Params
from learningchain.chain.types import Block, Certificate, Header, block_id, tx_id
from tests.unit.node_kit import CHAIN, T0, genesis, ident, key_of, state_of, transfer

RIGHT, WRONG, OTHER = transfer(0, 0), transfer(0, 0, amount=6), transfer(1, 0)
SIGNED = Certificate(1, 0, bytes(32), [0], [bytes(64)])
PARAMS = Params()


def header_of(*raws: bytes, time: int = 0, round_: int = 0, height: int = 1) -> Header:
    root = list_root([tx_id(raw) for raw in raws])
    return Header(1, CHAIN, height, round_, ident(0), time, bytes(32), root, *[bytes(32)] * 6)


def candidate(*slots: bytes | None, of: tuple[bytes, ...], stated: tuple[bytes, ...] = ()) -> Candidate:
    return Candidate(header_of(*of), list(slots), 0, None, stated=[tx_id(raw)[:SHORT] for raw in stated])


def pool_with(*raws: bytes) -> Mempool:
    pool = Mempool(CHAIN, PARAMS)
    for raw in raws:
        assert pool.add(state_of(genesis()), raw, 1, local=True) is not None
    return pool


# --- pieces of a candidate ------------------------------------------------------------------------------------------------------


def test_a_block_is_complete_after_a_wrong_transaction_once_the_right_one_came() -> None:
    """Whoever sends junk first does not keep the block from those who send what it holds."""
    block = candidate(WRONG, OTHER, of=(RIGHT, OTHER))
    assert not block.verify_header() and block.missing == [0, 1], "which of them was wrong nobody knows: all come again"
    assert not block.fill([0], [RIGHT])
    assert block.fill([1], [OTHER])
    assert block.complete and block.ids == [tx_id(RIGHT), tx_id(OTHER)] and block.block().txs == [RIGHT, OTHER]


def test_a_block_that_may_be_locked_makes_room_for_no_other() -> None:
    kept, keep = Candidates(), frozenset([b"0"])
    for number in range(MAX_CANDIDATES + 3):
        kept.put(str(number).encode(), candidate(RIGHT, of=(RIGHT,)), keep)
    assert len(kept) == MAX_CANDIDATES
    assert kept.get(b"0") is not None and kept.get(b"1") is None and kept.get(b"4") is not None


def test_blocks_of_the_next_height_outlive_the_decision_of_this_one() -> None:
    kept = Candidates()
    for height in (1, 2, 3):
        kept.put(bytes((height,)), Candidate(header_of(RIGHT, height=height), [], 0, None), frozenset())
    kept.clear(1)
    assert [kept.get(bytes((height,))) is not None for height in (1, 2, 3)] == [False, True, True]


# --- its time -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("round_", "doubled"), [(0, 0), (1, 1), (MAX_DELAY_ROUNDS, MAX_DELAY_ROUNDS), (MAX_DELAY_ROUNDS + 3, MAX_DELAY_ROUNDS)]
)
def test_how_old_a_fresh_block_may_be_grows_with_the_round_to_a_bound(round_: int, doubled: int) -> None:
    """Behind its arrival by the drift and the round's time to propose, ahead by the drift alone."""
    arrived, oldest = 10**9, PARAMS.drift + PARAMS.timeout_propose * 2**doubled
    for time, timely in (
        (arrived - oldest - 1, False),
        (arrived - oldest, True),
        (arrived + PARAMS.drift, True),
        (arrived + PARAMS.drift + 1, False),
    ):
        block = Candidate(header_of(RIGHT, time=time, round_=round_), [], arrived, None)
        assert is_timely(block, round_, PARAMS) is timely
        assert not is_timely(block, round_ + 1, PARAMS), "one that is proposed again is not fresh"


# --- answers of peers -----------------------------------------------------------------------------------------------------------


def sync_block(*raws: bytes, of: tuple[bytes, ...] | None = None, height: int = 1) -> m.SyncBlock:
    header = header_of(*(raws if of is None else of), height=height)
    return m.SyncBlock(encode(Block(header, list(raws))), SIGNED)


def test_a_long_answer_is_cut_and_each_piece_starts_where_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "PIECE", 2)
    blocks = [sync_block(RIGHT, height=7 + i) for i in range(5)]
    found = open_answer(ident(1), 7, blocks, pool_with())
    assert [(batch.start, len(batch.items), batch.last) for batch in found] == [(7, 2, False), (9, 2, False), (11, 1, True)]


def test_an_answer_ends_before_a_block_whose_transactions_are_not_its_header_s() -> None:
    (batch,) = open_answer(ident(1), 7, [sync_block(RIGHT), sync_block(WRONG, of=(RIGHT,)), sync_block(OTHER)], pool_with())
    assert [item.block.txs for item in batch.items] == [[RIGHT]]
    assert batch.fault == "the transactions are not those of the header"


def executed(*raws: bytes, of: tuple[bytes, ...]) -> DecodedBlock:
    block = Block(header_of(*of), list(raws))
    told = m.ExecutedBlock(encode(block), SIGNED, [], StateDiff([], []))
    return DecodedBlock(block, told.block, SIGNED, [], [], told)


def test_blocks_that_are_hashed_elsewhere_end_before_the_first_false_one_as_well() -> None:
    items = [executed(RIGHT, of=(RIGHT,)), executed(WRONG, of=(RIGHT,)), executed(OTHER, of=(OTHER,))]
    batch = Batch(ident(1), 7, list(items))
    take_hashes(batch, hash_blocks(batches.unhashed(items)))
    assert batch.items == items[:1] and batch.items[0].ids == [tx_id(RIGHT)]
    assert batch.fault == "the transactions are not those of the header"


def parsed(*raws: bytes) -> list[ParsedTx]:
    return [parse_tx(raw, tx_id(raw)) for raw in raws]


def test_a_signature_that_was_found_bad_or_not_looked_at_is_checked_again_in_its_block() -> None:
    txs = parsed(RIGHT, OTHER, transfer(2, 0))
    block = DecodedBlock(Block(header_of(), []), b"", SIGNED, [], txs)
    checks, about = checks_of([block], state_of(genesis()))
    assert about == txs and [key for key, _ in checks] == [key_of(i).public for i in range(3)]
    mark(about, checks, bytes((1, 0)))
    assert [tx.checked_key for tx in txs] == [key_of(0).public, None, None]
    again, left = checks_of([block], state_of(genesis()))
    assert left == txs[1:] and len(again) == 2, "what is known to be good is not checked twice"


def test_a_block_holds_exactly_as_much_as_the_network_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fills it to the last byte, or to the last transaction, made a good block."""
    state, parent = state_of(genesis()), genesis().chain_id
    turn = next(i for i in range(4) if ident(i) == validators_of(state)[1].id)
    made, _ = build(state, ident(turn), sha256(b"b%d" % turn), 0, parent, T0, parsed(RIGHT, OTHER))
    block, size = made.block(), len(RIGHT) + len(OTHER)
    params = params_of(state)
    for changes, good in (
        ({"block_bytes": size}, True),
        ({"block_bytes": size - 1}, False),
        ({"block_txs": 2}, True),
        ({"block_txs": 1}, False),
    ):
        now = replace(params, **changes)
        monkeypatch.setattr(candidates, "params_of", lambda _, now=now: now)
        if good:
            assert execute(state, block, parent, None).state_root == block.header.state_root
        else:
            with pytest.raises(InvalidBlock, match="larger than this network allows"):
                execute(state, block, parent, None)


def test_of_a_log_s_blocks_those_that_a_polka_names_come_last() -> None:
    """The last ones are the last to make room; what was only prevoted may go."""
    first, second, other = (Block(header_of(RIGHT, time=time, height=height), [RIGHT]) for time, height in ((1, 5), (2, 5), (3, 6)))
    ids = [block_id(block.header) for block in (first, second, other)]
    for polka, voted in ((ids[0], ids[1]), (ids[1], ids[0])):
        records: list[Record] = [Polka(5, 0, polka, False, [], [], []), SignIntent(5, 1, 1, -1, voted, [], [])]
        found = Recovered(dict(zip(ids, (first, second, other), strict=True)), {}, records)
        assert [key for key, _ in found.undecided(5)] == [voted, polka]
        assert found.of_height(6) == []
