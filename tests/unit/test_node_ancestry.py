"""A trusted block: what former validators sign is no history for a node whose owner names a block of now."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.node import ancestry, decided
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node.ancestry import REST, ForeignHistory
from learningchain.chain.node.node import Node
from learningchain.chain.types import Checkpoint, Header, block_id, decode_block, parse_checkpoint
from tests.unit.node_kit import T0, Net, fresh, ident, of_kind, receive, sent, transfer
from tests.unit.test_node_snapshot import SETS, a_set, certified, change, header_of, offer_of
from tests.unit.test_node_snapshot import net as net
from tests.unit.test_node_sync import chain_of

HEIGHTS, TRUSTED = 40, 33
HONEST, LIAR = 1, 2
Answers = dict[int, Callable[[m.Message], m.Message | None]]
"""What each peer answers."""


def chain_with(amount: int, heights: int) -> Net:
    """Signed by the same keys as every other one: `amount` is paid in its first block."""
    made = Net()
    for n in range(heights):
        made.submit(0, transfer(0, n, amount=amount if n == 0 else 5))
        made.reach(n + 1)
    return made


@pytest.fixture(scope="module")
def true() -> Net:
    return chain_of(HEIGHTS)


@pytest.fixture(scope="module")
def forged() -> Net:
    return chain_with(877, HEIGHTS)


def key_at(chain: Net, height: int) -> bytes:
    return chain.commits[0][height].block_id


def trusting(chain: Net, height: int = TRUSTED) -> Checkpoint:
    return Checkpoint(height, key_at(chain, height))


def header_at(chain: Net, height: int) -> Header:
    return decode_block(chain.commits[0][height].block).header


def of(chain: Net, blocks: Net | None = None) -> Callable[[m.Message], m.Message | None]:
    """What a peer with this history answers; `blocks`: it shows those of another one."""

    def answer(question: m.Message) -> m.Message | None:
        match question:
            case m.GetHeaders(height, count):
                below = range(min(height, HEIGHTS), max(0, height - count), -1)
                return m.Headers([header_at(chain, at) for at in below])
            case m.GetBlocks(start, count):
                held = [(blocks or chain).commits[0][at] for at in range(start, min(start + count, HEIGHTS + 1))]
                return m.decode_message(encode(decided.answer([(c.block, c.certificate) for c in held])))
        return None

    return answer


def follow(node: Node, peers: Answers, rounds: int = 60) -> list[e.Effect]:
    """Ticks, and what comes of them, until nothing is asked any more. Who is penalized says nothing more."""
    index = {ident(peer): peer for peer in peers}
    seen: list[e.Effect] = []
    now = T0
    for _ in range(rounds):
        now += 1_000
        effects = [f for peer in peers for f in receive(node, peer, m.Status(HEIGHTS, 1), now)]
        effects += node.handle(e.Fired(e.Tick()), now)
        while effects:
            effect = effects.pop(0)
            seen.append(effect)
            if isinstance(effect, e.Penalize):
                peers = {peer: told for peer, told in peers.items() if ident(peer) != effect.peer}
                effects += node.handle(e.PeerDown(effect.peer), now)
            elif isinstance(effect, e.Send) and index.get(effect.peer) in peers:
                told = peers[index[effect.peer]](m.decode_message(effect.payload))
                effects += receive(node, index[effect.peer], told, now) if told else []
    return seen


def took(effects: list[e.Effect]) -> list[bytes]:
    return [commit.block_id for commit in of_kind(effects, e.Commit)]


def blamed(effects: list[e.Effect]) -> set[bytes]:
    return {penalty.peer for penalty in of_kind(effects, e.Penalize)}


def test_a_forged_history_is_taken_where_nothing_but_the_genesis_is_trusted(forged: Net) -> None:
    node = fresh(4)
    follow(node, {LIAR: of(forged)})
    assert node.head_id == key_at(forged, HEIGHTS), "its signatures are good: only a trusted block tells it from the true one"


@pytest.mark.parametrize("trusts", [0, 8])
@pytest.mark.parametrize("order", [(HONEST, LIAR), (LIAR, HONEST)])
def test_with_a_trusted_block_no_forged_block_is_taken(true: Net, forged: Net, order: tuple[int, int], trusts: int) -> None:
    for forger in (of(forged), of(true, forged)):
        peers: Answers = {HONEST: of(true), LIAR: forger}
        node = fresh(4, checkpoint=trusting(true), trusting=trusts)
        effects = follow(node, {peer: peers[peer] for peer in order})
        assert (node.height, node.head_id) == (HEIGHTS, key_at(true, HEIGHTS))
        assert took(effects) == [key_at(true, height) for height in range(1, HEIGHTS + 1)]
        assert ident(HONEST) not in blamed(effects)


def test_who_has_another_history_alone_is_told_apart_and_nothing_of_it_is_taken(true: Net, forged: Net) -> None:
    node = fresh(4, checkpoint=trusting(true))
    effects = follow(node, {LIAR: of(forged)})
    assert (node.height, node.ancestry.denied, blamed(effects)) == (0, True, set())
    follow(node, {LIAR: of(forged), HONEST: of(true)})
    assert node.head_id == key_at(true, HEIGHTS), "an honest peer that comes later is enough"


def test_a_header_below_the_trusted_one_proves_itself(true: Net, forged: Net) -> None:
    """It costs its sender; the walk goes on where it was."""

    def lies(question: m.Message) -> m.Message | None:
        told = of(true)(question)
        return replace(told, headers=[*told.headers[:7], header_at(forged, TRUSTED - 7)]) if isinstance(told, m.Headers) else None

    node = fresh(4, checkpoint=trusting(true))
    effects = follow(node, {LIAR: lies, HONEST: of(true)})
    assert blamed(effects) <= {ident(LIAR)} and node.height == HEIGHTS


def test_below_the_trusted_block_no_vote_decides(true: Net, forged: Net) -> None:
    commit = forged.commits[0][1]
    told: list[m.Message] = [m.FullBlock(commit.block), m.CertificateMessage(m.decode_certificate(commit.certificate))]
    for checkpoint, height in ((trusting(true), 0), (None, 1)):
        node = fresh(4, checkpoint=checkpoint)
        for message in told[1:] + told:
            receive(node, LIAR, message)
        assert node.height == height


def test_of_a_long_way_few_ids_are_kept(true: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ancestry, "SEGMENT", 8)
    monkeypatch.setattr(m, "MAX_HEADERS", 3)
    held: list[int] = []

    def watched(question: m.Message) -> m.Message | None:
        held.append(len(node.ancestry._ids))
        return of(true)(question)

    node = fresh(4, checkpoint=trusting(true))
    effects = follow(node, {HONEST: watched}, 120)
    assert node.height == HEIGHTS and max(held) <= 8
    assert took(effects) == [key_at(true, height) for height in range(1, HEIGHTS + 1)]


def test_a_node_on_another_history_ends_and_says_what_to_do(true: Net, forged: Net) -> None:
    node = fresh(4, checkpoint=trusting(true))
    receive(node, HONEST, m.Status(HEIGHTS, 1))
    node.handle(e.Fired(e.Tick()), T0)
    node.head_id = key_at(forged, 1)
    with pytest.raises(ForeignHistory, match=r"sync\.trusted"):
        receive(node, HONEST, m.Headers([header_at(true, height) for height in range(TRUSTED, 0, -1)]))


def test_who_does_not_help_rests_and_a_silent_one_is_passed_over(true: Net) -> None:
    node = fresh(4, checkpoint=trusting(true))
    effects = follow(node, {LIAR: lambda question: None, HONEST: of(true)})
    assert node.height == HEIGHTS and not blamed(effects)
    node = fresh(4, checkpoint=trusting(true))
    effects = follow(node, {LIAR: lambda question: m.Headers([])}, rounds=20)
    assert node.ancestry.lacking and len(sent(effects, m.GetHeaders)) == 20_000 // REST


def test_who_answers_little_by_little_delays_by_its_own_part_alone(true: Net) -> None:
    """One header at a time, or late: others are asked meanwhile."""
    slow = {
        LIAR: lambda question: (
            replace(told, headers=told.headers[:1]) if isinstance(told := of(true)(question), m.Headers) else told
        )
    }
    node = fresh(4, checkpoint=trusting(true))
    effects = follow(node, {**slow, HONEST: of(true)}, rounds=4)
    assert len(sent(effects, m.GetHeaders)) <= 2 and node.height == HEIGHTS


def test_the_text_of_a_trusted_block() -> None:
    found = parse_checkpoint(f"354-{'7f' * 32}")
    assert found == Checkpoint(354, b"\x7f" * 32) and str(found) == f"354-{'7f' * 32}"
    assert parse_checkpoint("") is None
    for wrong in ("354", f"0-{'7f' * 32}", f"354-{'7F' * 32}", f"354-{'7f' * 31}", f"354:{'7f' * 32}", f"3x-{'7f' * 32}"):
        with pytest.raises(ValueError, match="a height and the id"):
            parse_checkpoint(wrong)


# --- snapshots ----------------------------------------------------------------------------------------------------------------

OUT = a_set(0, 1, 2, 3, 10)
"""A set that the first validators, whose keys are old, could name."""


def test_a_snapshot_is_signed_by_whom_the_trusted_block_names(net: Net) -> None:
    """At 30, where `SETS[1]` signs since 10: who signed before that signs no snapshot any more, directly or by others."""
    trusted = header_of(net, 30, SETS[1], SETS[1])
    true = [change(net, 10, SETS[0], SETS[1]), change(net, 60, SETS[1], SETS[2])]
    lies = {
        "old keys alone": (SETS[0], []),
        "another set before it": (OUT, [change(net, 12, SETS[0], OUT)]),
        "another set after it": (OUT, [change(net, 50, SETS[0], OUT)]),
        "the true set, and old keys again": (SETS[0], [change(net, 10, SETS[0], SETS[1]), change(net, 50, SETS[0], SETS[0])]),
    }
    for name, (signers, shown) in {**lies, "": (SETS[2], true)}.items():
        node = fresh(4, snapshot_after=20, checkpoint=Checkpoint(30, block_id(trusted)))
        receive(node, LIAR, m.Status(100, 1))
        assert sent(node.handle(e.Fired(e.Tick()), T0), m.GetSnapshot) == [], "which block is trusted comes first"
        receive(node, LIAR, m.Headers([trusted]))
        assert sent(node.handle(e.Fired(e.Tick()), T0), m.GetSnapshot)
        header = header_of(net, 90, signers, signers)
        offer = replace(offer_of(net), header=header, certificate=certified(header, signers))
        effects = receive(node, LIAR, m.Snapshot(False, [offer]))
        effects += receive(node, LIAR, m.ValidatorChanges(shown))
        assert bool(of_kind(effects, e.StageSnapshot)) == (not name), name


def test_a_snapshot_below_the_trusted_block_is_left(net: Net) -> None:
    trusted = header_of(net, 95, SETS[0], SETS[0])
    node = fresh(4, snapshot_after=20, checkpoint=Checkpoint(95, block_id(trusted)))
    receive(node, LIAR, m.Status(100, 1))
    node.handle(e.Fired(e.Tick()), T0)
    receive(node, LIAR, m.Headers([trusted]))
    node.handle(e.Fired(e.Tick()), T0)
    header = header_of(net, 90, SETS[0], SETS[0])
    offer = replace(offer_of(net), header=header, certificate=certified(header, SETS[0]))
    effects = receive(node, LIAR, m.Snapshot(False, [offer]))
    assert of_kind(effects, e.StageSnapshot) == [] == of_kind(effects, e.Penalize)
