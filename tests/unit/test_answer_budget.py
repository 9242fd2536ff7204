"""What a node answers with over all peers (LC-NODE-72): how much, who goes first, what waits, what is dropped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from learningchain.chain.codec import encode
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.answer_budget import ANSWERS, KIND, VALIDATORS, AnswerBudget
from learningchain.chain.node.answer_budget import AnswerKind as K
from learningchain.chain.node.candidates import encoded
from learningchain.chain.node.node import Node
from learningchain.chain.node.service import BODIES, MAX_OPEN, POOL, QUESTIONS, READS, PeerService
from learningchain.chain.types import Block
from learningchain.p2p.content.cid import Cid, Codec
from learningchain.p2p.content.serving import MAX_PER_PEER, Serving
from tests.unit.node_kit import T0, Net, fresh, ident, of_kind, receive, sent, transfer

A, B, MEMBER = b"validator a", b"validator b", b"member"
SHARE = VALIDATORS.per_s // 2
"""Of each of the two validators in these cases."""
SECOND = 1_000
EMPTY = ("spent", MEMBER, K.MEMORY, ANSWERS.burst)


def budget() -> AnswerBudget:
    made = AnswerBudget()
    made.of_validators([A, B], 0)
    return made


Step = tuple[str, bytes, K, int]

CASES: list[tuple[str, list[Step], tuple[bytes, K, int], bool]] = [
    ("after a rest all is there", [("spent", MEMBER, K.MEMORY, ANSWERS.burst - 1)], (MEMBER, K.MEMORY, 0), True),
    ("and not a byte more", [EMPTY], (MEMBER, K.MEMORY, 0), False),
    ("nobody else has more of it from memory", [EMPTY], (b"another", K.MEMORY, 0), False),
    ("it comes back with time", [EMPTY], (MEMBER, K.MEMORY, 1), True),
    (
        "what went beyond is owed",
        [EMPTY, ("spent", MEMBER, K.MEMORY, ANSWERS.per_s)],
        (MEMBER, K.MEMORY, SECOND),
        False,
    ),
    ("and paid", [EMPTY, ("spent", MEMBER, K.MEMORY, ANSWERS.per_s)], (MEMBER, K.MEMORY, SECOND + 1), True),
    (
        "a rest saves one burst, not two",
        [("allows", MEMBER, K.MEMORY, 60 * SECOND), EMPTY],
        (MEMBER, K.MEMORY, 60 * SECOND),
        False,
    ),
    (
        "a clock that is set back gives nothing",
        [("allows", MEMBER, K.MEMORY, 99), EMPTY],
        (MEMBER, K.MEMORY, 0),
        False,
    ),
    ("a validator has its share of an empty bucket", [EMPTY], (A, K.MEMORY, 0), True),
    ("of blocks from the disk as well", [EMPTY], (A, K.DISK, 0), True),
    ("until the share is empty", [EMPTY, ("spent", A, K.MEMORY, SHARE)], (A, K.MEMORY, 0), False),
    (
        "what it takes from the disk is of the same share",
        [EMPTY, ("spent", A, K.DISK, SHARE)],
        (A, K.MEMORY, 0),
        False,
    ),
    ("the other's share is the other's", [EMPTY, ("spent", A, K.MEMORY, 9 * SHARE)], (B, K.MEMORY, 0), True),
    (
        "with an empty share it may have what is left",
        [("spent", A, K.MEMORY, 9 * SHARE // 9)],
        (A, K.MEMORY, 0),
        True,
    ),
    ("the blocks of a newcomer have a share", [EMPTY], (MEMBER, K.DISK, 0), True),
    ("of all newcomers together", [EMPTY, ("spent", MEMBER, K.DISK, KIND.burst)], (b"another", K.DISK, 0), False),
    ("which validators do not use up", [EMPTY, ("spent", A, K.DISK, 9 * SHARE)], (MEMBER, K.DISK, 0), True),
    ("files have a share", [EMPTY], (b"", K.CONTENT, 0), True),
    ("until it is empty", [EMPTY, ("spent", b"", K.CONTENT, KIND.burst)], (b"", K.CONTENT, 0), False),
    (
        "files for a validator use up no share of a height",
        [EMPTY, ("spent", A, K.CONTENT, 9 * SHARE)],
        (A, K.MEMORY, 0),
        True,
    ),
    ("and have none of its own", [EMPTY, ("spent", A, K.CONTENT, KIND.burst)], (A, K.CONTENT, 0), False),
    (
        "small answers from shares count over all",
        [("spent", A, K.DISK, ANSWERS.burst)],
        (MEMBER, K.MEMORY, 0),
        False,
    ),
]


@pytest.mark.parametrize(("what", "steps", "question", "answered"), CASES, ids=[case[0] for case in CASES])
def test_whether_an_answer_may_be_begun(what: str, steps: list[Step], question: tuple[bytes, K, int], answered: bool) -> None:
    tried = budget()
    for step, peer, kind, number in steps:
        getattr(tried, step)(peer, kind, number)
    assert tried.allows(*question) is answered, what


@pytest.mark.parametrize(
    ("after", "peer", "first"),
    [
        ([A, B], A, True),
        ([A, B], MEMBER, False),
        ([B], A, False),
        ([A, B, MEMBER], MEMBER, True),
        ([A], A, False),  # it owes what it owed, whoever left
    ],
)
def test_the_present_set_has_the_shares(after: list[bytes], peer: bytes, first: bool) -> None:
    changed = budget()
    changed.spent(A, K.MEMORY, SHARE + 1 if after == [A] else 1)
    changed.of_validators(after, 0)
    assert changed.goes_first(peer, 0) is first


def test_the_shares_are_less_than_what_comes_back() -> None:
    """Or they could keep the bucket empty for ever, and the bound over all would be none."""
    assert VALIDATORS.per_s + 2 * KIND.per_s < ANSWERS.per_s


def flooded(seconds: int, answer: int) -> dict[tuple[bytes, K], int]:
    """Everybody asks for everything all the time: bytes that each got of each kind."""
    tried, got = budget(), dict[tuple[bytes, K], int]()
    askers = [(b"flooder %d" % i, K.MEMORY) for i in range(8)] + [(A, K.MEMORY), (B, K.DISK)]
    askers += [(MEMBER, K.DISK), (b"", K.CONTENT)]
    for now in range(seconds * SECOND):
        for asker in askers:
            if tried.allows(*asker, now):
                tried.spent(*asker, answer)
                got[asker] = got.get(asker, 0) + answer
    return got


@pytest.mark.parametrize("answer", [100_000, 2_000_000])
def test_whatever_is_asked_the_bound_over_all_holds_and_every_share_is_served(answer: int) -> None:
    seconds = 20
    got = flooded(seconds, answer)
    at_once = ANSWERS.burst + VALIDATORS.burst + 2 * KIND.burst + 12 * answer
    assert sum(got.values()) <= seconds * ANSWERS.per_s + at_once
    for asker, share in (((A, K.MEMORY), SHARE), ((B, K.DISK), SHARE), ((MEMBER, K.DISK), KIND.per_s)):
        assert got[asker] >= seconds * share
    assert got[b"", K.CONTENT] >= seconds * KIND.per_s


def test_of_a_peer_as_many_questions_are_looked_at_as_may_be_answered() -> None:
    answered = (READS.rate, BODIES.rate, POOL.rate)
    assert sum(rate.per_s for rate in answered) <= QUESTIONS.rate.per_s
    assert sum(rate.burst for rate in answered) <= QUESTIONS.rate.burst
    service = PeerService()
    asked = ((MEMBER, 0), (MEMBER, SECOND), (b"another", SECOND))
    counts = [sum(service.hears(peer, now) for _ in range(999)) for peer, now in asked]
    assert counts == [QUESTIONS.rate.burst, QUESTIONS.rate.per_s, QUESTIONS.rate.burst]


# --- whose turn it is -------------------------------------------------------------------------------------------------------------


def test_validators_with_a_share_are_read_for_before_who_waits_longer() -> None:
    service = PeerService()
    service.budget.of_validators([A, B], 0)
    for peer in (MEMBER, A, B):
        service.ask(peer, m.GetBlocks(1, 1))
    service.budget.spent(A, K.DISK, SHARE)
    turns = []
    while (turn := service.next(0)) is not None:
        turns.append(turn[0])
        service.done(turn[0])
    assert turns == [B, MEMBER, A]


def test_what_is_asked_from_memory_is_dropped_and_what_is_read_waits() -> None:
    service = PeerService()
    for kind in (K.MEMORY, K.DISK):
        service.budget.spent(MEMBER, kind, ANSWERS.burst)
    assert not service.allows(MEMBER, POOL, 0)
    assert service.ask(MEMBER, m.GetBlocks(1, 1)) and service.next(0) is None
    assert service.open(MEMBER) == 1
    later = ANSWERS.burst * SECOND // ANSWERS.per_s + 1
    assert service.next(later) == (MEMBER, m.GetBlocks(1, 1))
    assert service.allows(MEMBER, POOL, later)


# --- in a node --------------------------------------------------------------------------------------------------------------------


def empty(node: Node) -> None:
    """Others were answered as much as there is."""
    budget = node.service.budget
    assert budget.allows(ident(4), K.MEMORY, node._monotonic_ms)
    budget.spent(ident(4), K.MEMORY, ANSWERS.burst)


def test_a_node_that_answered_enough_answers_validators_alone() -> None:
    """Peers 1 to 3 are validators, 4 and 5 are none."""
    node = fresh(0, peers=(1, 2, 3, 4, 5))
    short = node.submit(raw := transfer(0, 0), T0)[:8]
    empty(node)
    assert [sent(receive(node, peer, m.GetTxs([short])), m.Txs) for peer in (4, 1, 5)] == [[], [m.Txs([raw])], []]
    assert sent(receive(node, 5, m.GetTxs([short]), T0 + SECOND), m.Txs) == [m.Txs([raw])]


def proposed() -> Iterator[tuple[Net, bytes]]:
    """A graph before a decision, and the block that waits for it at node 0."""
    net = Net(lost=lambda source, target, message: isinstance(message, m.VoteMessage))
    net.submit(0, transfer(0, 0))
    net.run(300)
    yield from ((net, key) for key in net.nodes[0]._bodies.blocks._blocks)


def test_every_byte_of_an_answer_counts() -> None:
    """Bodies, transactions, decided blocks from memory and from the disk: what is not counted is a way around the bound."""
    net, key = next(proposed())
    node = net.nodes[0]
    taken: list[tuple[bytes, K, int]] = []
    node.service.budget.spent = lambda *what: taken.append(what)  # type: ignore[method-assign]
    block = encode(m.FullBlock(encoded(node._bodies.blocks._blocks[key])))
    assert [s.payload for s in of_kind(receive(node, 4, m.GetBlock(1, key, []), net.now), e.Send)] == [block]
    part = of_kind(receive(node, 4, m.GetBlock(1, key, [0]), net.now), e.Send)
    told = of_kind(receive(node, 4, m.GetTxs(node.pool.oldest(1)), net.now), e.Send)
    none = of_kind(receive(node, 4, m.GetBlocks(7, 1), net.now), e.Send)
    read = of_kind(node.handle(e.Answered(ident(4), bytes(99)), net.now), e.Send)
    sizes = [len(s.payload) for s in (*part, *told, *none, *read)]
    kinds = [K.MEMORY] * 3 + [K.DISK] * 2
    assert taken == [(ident(4), kind, size) for kind, size in zip(kinds, [len(block), *sizes], strict=True)]


def test_a_block_is_encoded_once_for_log_database_and_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    for module in ("candidates", "decided"):
        monkeypatch.setattr(f"learningchain.chain.node.{module}.encode", lambda value: (made.append(value), encode(value))[1])
    net = Net()
    net.submit(0, transfer(0, 0))
    net.reach(1)
    assert all(node._last[0][0] is net.commits[index][1].block for index, node in enumerate(net.nodes))
    assert sum(isinstance(value, Block) for value in made) == len(net.nodes)


# --- files ------------------------------------------------------------------------------------------------------------------------


def test_blocks_of_files_wait_for_room_over_all_peers() -> None:
    room, root = [True, True, False], Cid(Codec.RAW, bytes(32))
    serving = Serving(lambda *_: True, lambda peer: 0, lambda: room.pop(0) if room else False)
    assert len(serving.want(b"a", root, [root] * MAX_OPEN)) == 2
    assert serving.next() == [] and serving.waiting, "what waits is not lost"
    room += [True] * 9
    assert len(serving.next()) == MAX_PER_PEER - 2
