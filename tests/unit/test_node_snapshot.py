"""Beginning from a snapshot: whom a node asks, what it believes, what every lie costs, and that it never depends on one peer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from msgspec.structs import replace

from learningchain.chain.buckets import BUCKETS, build, records, subroot_of
from learningchain.chain.codec import decode, encode
from learningchain.chain.crypto import sha256
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger import snapshot as parts
from learningchain.chain.ledger.snapshot import (
    ENTRY,
    MAX_DEPTH,
    MAX_SUBBUCKETS,
    Offer,
    ValidatorSetChange,
    check_signed,
    decode_subroots,
    encode_bucket,
    encode_subroots,
    follow_validator_change,
    make_bucket,
    number_over,
    root_of,
    subbuckets,
    whole_buckets,
    whole_subroots,
)
from learningchain.chain.node import events as e
from learningchain.chain.node import messages as m
from learningchain.chain.node import snapshot
from learningchain.chain.node.checks import make_buckets
from learningchain.chain.node.node import Node
from learningchain.chain.node.service import MAX_OPEN
from learningchain.chain.node.snapshot import AGAIN, PATIENCE, PRUNED, REST
from learningchain.chain.node.sync import DEADLINE
from learningchain.chain.types import (
    PRECOMMIT,
    Certificate,
    Header,
    Validator,
    block_id,
    decode_block,
    quorum,
    validators_hash,
    vote_digest,
)
from tests.unit.node_kit import CHAIN, T0, Net, fresh, genesis, ident, key_of, of_kind, receive, sent, state_of
from tests.unit.test_node_sync import chain_of

HEIGHTS = 8
AFTER = 6


@pytest.fixture(scope="module")
def net() -> Net:
    return chain_of(HEIGHTS)


def buckets_of(net: Net) -> dict[int, bytes]:
    state = net.nodes[0].state
    return {n: bucket for n in range(1 << 16) if (bucket := state.bucket(n))}


def offer_of(net: Net) -> Offer:
    commit = net.commits[0][HEIGHTS]
    subroots = encode_subroots({number: subroot_of(bucket) for number, bucket in buckets_of(net).items()})
    return Offer(decode_block(commit.block).header, m.decode_certificate(commit.certificate), subroots)


def tick(node: Node, now: int = T0) -> list[e.Effect]:
    return node.handle(e.Fired(e.Tick()), now)


def asked(node: Node, height: int = HEIGHTS, peers: tuple[int, ...] = (1,), now: int = T0) -> list[e.Effect]:
    """After these peers told their height."""
    found: list[e.Effect] = []
    for peer in peers:
        found += receive(node, peer, m.Status(height, 1), now)
    return found + tick(node, now)


def staged(node: Node, net: Net, peers: tuple[int, ...] = (1,)) -> list[e.Effect]:
    """It knows what to take, and has nothing of it: its questions."""
    asked(node, peers=peers)
    for peer in peers:
        receive(node, peer, m.Snapshot(False, [offer_of(net)]))
    return node.handle(e.SnapshotStaged([]), T0)


def answer(
    node: Node, net: Net, peer: int, question: m.GetBuckets, twist: Callable[[list[bytes]], list[bytes]] = list
) -> list[e.Effect]:
    buckets = buckets_of(net)
    told = twist([encode_bucket(buckets[number]) for number in question.numbers])
    effects = receive(node, peer, m.Buckets(question.height, question.numbers[: len(told)], told))
    for work in of_kind(effects, e.TakeBuckets):
        effects = effects + node.handle(e.BucketsTaken(work.ticket, make_buckets(work.buckets)[1]), T0)
    return effects


def test_a_node_far_behind_takes_the_state_and_asks_for_no_block(net: Net) -> None:
    node = fresh(4, snapshot_after=AFTER)
    effects = asked(node)
    assert sent(effects, m.GetSnapshot) == [m.GetSnapshot()]
    assert sent(effects, m.GetBlocks) == []
    (stage,) = of_kind(receive(node, 1, m.Snapshot(False, [offer_of(net)])), e.StageSnapshot)
    assert (stage.offer, stage.validator_changes) == (offer_of(net), [])
    (question,) = sent(node.handle(e.SnapshotStaged([]), T0), m.GetBuckets)
    assert question == m.GetBuckets(HEIGHTS, sorted(buckets_of(net)))
    effects = answer(node, net, 1, question)
    assert [switch.height for switch in of_kind(effects, e.Switch)] == [HEIGHTS]
    assert of_kind(effects, e.Penalize) == []
    assert sent(tick(node), m.GetSnapshot) == [], "its work is done"


def test_whoever_is_less_behind_or_takes_no_snapshots_asks_for_blocks(net: Net) -> None:
    for node in (fresh(4, snapshot_after=HEIGHTS + 1), fresh(4)):
        effects = asked(node)
        assert sent(effects, m.GetSnapshot) == []
        assert sent(effects, m.GetBlocks) != []


def changed(offer: Offer, **fields: object) -> Offer:
    header = replace(offer.header, **fields)
    return replace(offer, header=header, certificate=replace(offer.certificate, block_id=block_id(header)))


def unsigned(offer: Offer) -> Offer:
    c = offer.certificate
    return replace(offer, certificate=replace(c, signers=c.signers[:1], signatures=c.signatures[:1]))


OFFERS: dict[str, Callable[[Offer], Offer]] = {
    "too few signatures": unsigned,
    "another state": lambda offer: changed(offer, state_root=bytes(32)),
    "another height": lambda offer: changed(offer, height=HEIGHTS + 1),
    "another chain": lambda offer: changed(offer, chain_id=bytes(32)),
    "another version": lambda offer: changed(offer, version=2),
    "another block's certificate": lambda offer: replace(offer, header=replace(offer.header, time=1)),
    "a head too few": lambda offer: replace(offer, subroots=offer.subroots[ENTRY:]),
    "cut off": lambda offer: replace(offer, subroots=offer.subroots[:-1]),
    "another hash": lambda offer: replace(offer, subroots=offer.subroots[:-1] + bytes([offer.subroots[-1] ^ 1])),
    "no head": lambda offer: replace(offer, subroots=offer.subroots[:8] + b"\x07" + offer.subroots[9:]),
    "not ascending": lambda offer: replace(offer, subroots=offer.subroots[ENTRY:] + offer.subroots[:ENTRY]),
    "nothing": lambda offer: replace(offer, subroots=b""),
}


@pytest.mark.parametrize("what", OFFERS)
def test_a_false_offer_costs_its_sender_and_leads_to_nothing(net: Net, what: str) -> None:
    node = fresh(4, snapshot_after=AFTER)
    asked(node, peers=(1, 2))
    effects = receive(node, 1, m.Snapshot(False, [OFFERS[what](offer_of(net))]))
    assert [p.peer for p in of_kind(effects, e.Penalize)] == [ident(1)]
    assert of_kind(effects, e.StageSnapshot) == []
    assert of_kind(receive(node, 2, m.Snapshot(False, [offer_of(net)])), e.StageSnapshot) != [], "another peer's is good"


FALSE_BUCKETS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "junk": lambda told: [b"junk", *told[1:]],
    "another page": lambda told: [told[1], *told[1:]],
    "no records": lambda told: [encode([]), *told[1:]],
    "a key alone": lambda told: [encode(decode(list[bytes], told[0], 10**6)[:1]), *told[1:]],
    "twice": lambda told: [encode(decode(list[bytes], told[0], 10**6) * 2), *told[1:]],
    "another record": lambda told: [encode([*decode(list[bytes], told[0], 10**6)[:-1], b"\x01"]), *told[1:]],
    "a long key": lambda told: [encode([bytes(256), b""]), *told[1:]],
    "too many": lambda told: [*told, told[0]],
}


@pytest.mark.parametrize("what", FALSE_BUCKETS)
def test_a_false_bucket_costs_its_sender_and_comes_from_another_peer(net: Net, what: str) -> None:
    node = fresh(4, snapshot_after=AFTER)
    (question,) = sent(staged(node, net, peers=(1, 2)), m.GetBuckets)
    effects = answer(node, net, 1, question, FALSE_BUCKETS[what])
    assert [p.peer for p in of_kind(effects, e.Penalize)] == [ident(1)]
    assert of_kind(effects, e.Switch) == []
    questions = sent(effects, m.GetBuckets) or sent(tick(node), m.GetBuckets)
    assert questions and of_kind(answer(node, net, 2, questions[0]), e.Switch) == [e.Switch(HEIGHTS)]


def test_buckets_come_in_parts_and_whoever_falls_silent_is_passed_over(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "LITTLE", 1)  # these buckets are small
    node = fresh(4, snapshot_after=AFTER)
    (question,) = sent(staged(node, net, peers=(1, 2)), m.GetBuckets)
    (rest,) = sent(answer(node, net, 1, question, lambda told: told[:1]), m.GetBuckets)
    assert rest.numbers == question.numbers[1:]
    effects = tick(node, T0 + DEADLINE)
    assert sent(effects, m.GetBuckets) == [rest]
    assert ident(2) in [s.peer for s in of_kind(effects, e.Send)]
    assert of_kind(answer(node, net, 2, rest), e.Switch) == [e.Switch(HEIGHTS)]


def test_buckets_that_two_snapshots_share_come_from_either(net: Net) -> None:
    """The second peer's snapshot is of another height: its subroots differ in one bucket, which only the first is asked for."""
    node = fresh(4, snapshot_after=AFTER)
    asked(node, peers=(1, 2))
    receive(node, 1, m.Snapshot(False, [offer_of(net)]))
    subroots = decode_subroots(offer_of(net).subroots)
    first = min(subroots)
    other = encode_subroots(subroots | {first: b"\x02" + bytes(32)})
    receive(node, 2, m.Snapshot(False, [replace(changed(offer_of(net), height=HEIGHTS - 1), subroots=other)]))
    (whole,) = sent(node.handle(e.SnapshotStaged([]), T0), m.GetBuckets)
    assert whole.height == HEIGHTS
    effects = receive(node, 1, m.Buckets(HEIGHTS, [], []))
    (shared,) = sent(effects, m.GetBuckets)
    assert (shared.height, shared.numbers) == (HEIGHTS - 1, sorted(subroots)[1:]), "the first one's snapshot has gone"
    effects = answer(node, net, 2, shared)
    assert of_kind(effects, e.Penalize) == [] and of_kind(effects, e.Switch) == []


def test_peers_without_a_snapshot_are_asked_for_blocks_instead(net: Net) -> None:
    node = fresh(4, snapshot_after=AFTER)
    asked(node)
    receive(node, 1, m.Snapshot(False, []))
    effects = tick(node)
    assert sent(effects, m.GetSnapshot) == [] and sent(effects, m.GetBlocks) != []
    asked(node, now=T0 + REST)  # what it asked for then was not answered
    assert sent(asked(node, now=T0 + REST + 2_000), m.GetSnapshot) != []


def test_who_makes_one_is_asked_again_for_a_while(net: Net) -> None:
    node = fresh(4, snapshot_after=AFTER)
    asked(node)
    now, times = T0, 0
    while now < T0 + PATIENCE + 10 * AGAIN:
        receive(node, 1, m.Status(HEIGHTS, 1), now)
        if sent(tick(node, now), m.GetSnapshot) or not times:
            receive(node, 1, m.Snapshot(True, []), now)
            times += 1
        now += AGAIN // 2
    assert times * AGAIN <= PATIENCE + 2 * AGAIN and times > 10


def test_who_gives_buckets_little_by_little_makes_room_for_others(net: Net) -> None:
    """Four members hold all places for sources, and answer each question with one bucket just before its time is over."""
    node = fresh(4, snapshot_after=AFTER, peers=(0, 1, 2, 3, 5))
    liars = (0, 1, 2, 3)
    staged(node, net, peers=liars)
    buckets = buckets_of(net)
    assert len(buckets) > 8
    late = T0 + DEADLINE - 1
    for peer in liars:
        for number in sorted(buckets):
            told = m.Buckets(HEIGHTS, [number], [encode_bucket(buckets[number])])
            for work in of_kind(receive(node, peer, told, late), e.TakeBuckets):
                node.handle(e.BucketsTaken(work.ticket, make_buckets(work.buckets)[1]), late)
    effects = asked(node, peers=(5,), now=late + 1)
    assert [s.peer for s in of_kind(effects, e.Send) if isinstance(m.decode_message(s.payload), m.GetSnapshot)] == [ident(5)]
    assert of_kind(effects, e.Penalize) == []


def test_a_false_height_makes_nobody_leave_its_chain(net: Net) -> None:
    """A liar says it is far ahead, and offers a snapshot that is good, of a block that is not."""
    node = fresh(4, snapshot_after=2 * HEIGHTS + 2)
    asked(node, height=2**40)
    effects = receive(node, 1, m.Snapshot(False, [offer_of(net)]))
    assert of_kind(effects, e.StageSnapshot) == []
    assert sent(receive(node, 2, m.Status(HEIGHTS, 1)), m.GetBlocks) != []


def test_answers_that_nobody_asked_for_are_dropped(net: Net) -> None:
    node = fresh(4, snapshot_after=AFTER)
    for message in (m.Snapshot(False, [offer_of(net)]), m.ValidatorChanges([]), m.Buckets(HEIGHTS, [1], [b"x"])):
        assert receive(node, 1, message) == []
    assert node.handle(e.BucketsTaken(7, [1]), T0) == []


def test_a_peer_s_questions_are_read_one_after_the_other_and_few_wait(net: Net) -> None:
    node = fresh(4)
    questions = [m.GetSnapshot(), m.GetValidatorChanges(1), m.GetBuckets(3, [1]), m.GetBuckets(3, [2]), m.GetBuckets(3, [3])]
    effects = [effect for question in questions for effect in receive(node, 1, question)]
    assert [r.question for r in of_kind(effects, e.ReadSnapshot)] == questions[:1]
    effects = node.handle(e.Answered(ident(1), encode(m.Buckets(3, [], []))), T0)
    assert sent(effects, m.Buckets) == [m.Buckets(3, [], [])]
    assert [r.question for r in of_kind(effects, e.ReadSnapshot)] == questions[1:2]
    rest = [r.question for _ in range(5) for r in of_kind(node.handle(e.Answered(ident(1), None), T0), e.ReadSnapshot)]
    assert rest == questions[2:MAX_OPEN], "what came beyond that was dropped"
    assert len(of_kind(receive(node, 1, questions[4]), e.ReadSnapshot)) == 1


# --- who signed ---------------------------------------------------------------------------------------------------------------


def a_set(*indices: int) -> list[Validator]:
    return sorted((Validator(ident(i), key_of(i).public) for i in indices), key=lambda v: v.id)


def certified(header: Header, validators: list[Validator]) -> Certificate:
    by_id = {ident(i): key_of(i) for i in range(12)}
    chosen = list(range(quorum(len(validators))))
    digest = vote_digest(CHAIN, PRECOMMIT, header.height, 0, block_id(header))
    return Certificate(header.height, 0, block_id(header), chosen, [by_id[validators[i].id].sign(digest) for i in chosen])


def header_of(net: Net, height: int, before: list[Validator], after: list[Validator]) -> Header:
    """Of the validator whose turn round 0 is."""
    sets = {"validators_hash": validators_hash(before), "next_validators_hash": validators_hash(after)}
    return replace(offer_of(net).header, height=height, round=0, proposer=before[height % len(before)].id, **sets)


def change(net: Net, height: int, before: list[Validator], after: list[Validator]) -> ValidatorSetChange:
    header = header_of(net, height, before, after)
    return ValidatorSetChange(header, certified(header, before), after)


SETS = [a_set(0, 1, 2, 3), a_set(1, 2, 3, 4, 5), a_set(6, 7, 8, 9)]


def handed(net: Net) -> tuple[Offer, list[ValidatorSetChange]]:
    """A snapshot that none of the first validators signed."""
    told = offer_of(net)
    header = header_of(net, 90, SETS[2], SETS[2])
    return (
        replace(told, header=header, certificate=certified(header, SETS[2])),
        [change(net, 10, SETS[0], SETS[1]), change(net, 60, SETS[1], SETS[2])],
    )


def test_the_validators_of_the_snapshot_follow_from_those_of_genesis(net: Net) -> None:
    node = fresh(4, snapshot_after=AFTER)
    offer, links = handed(net)
    asked(node, height=100)
    assert sent(receive(node, 1, m.Snapshot(False, [offer])), m.GetValidatorChanges) == [m.GetValidatorChanges(1)]
    assert sent(receive(node, 1, m.ValidatorChanges(links[:1])), m.GetValidatorChanges) == [m.GetValidatorChanges(11)]
    (stage,) = of_kind(receive(node, 1, m.ValidatorChanges(links[1:])), e.StageSnapshot)
    assert (stage.offer, stage.validator_changes) == (offer, links)


def later(header: Header) -> Header:
    """Of a version that only a newer program knows."""
    return replace(header, version=2)


@pytest.mark.parametrize("where", ["the snapshot", "a change of the set before it"])
def test_an_old_program_that_finds_a_later_version_ends_and_blames_nobody(net: Net, where: str) -> None:
    """LC-NODE-68: it slept through an upgrade; what it is shown is signed by the chain's own validators."""
    node = fresh(4, snapshot_after=AFTER)
    offer, (first, second) = handed(net)
    asked(node, height=100)
    if where == "the snapshot":
        header = later(header_of(net, HEIGHTS, SETS[0], SETS[0]))
        offer = replace(offer, header=header, certificate=certified(header, SETS[0]))
    effects = receive(node, 1, m.Snapshot(False, [offer]))
    if where != "the snapshot":
        header = later(second.header)
        second = replace(second, header=header, certificate=certified(header, SETS[1]))
        effects = receive(node, 1, m.ValidatorChanges([first, second]))
    assert of_kind(effects, e.Outdated) == [e.Outdated(HEIGHTS if where == "the snapshot" else 60, 2)]
    assert not of_kind(effects, e.Penalize)
    assert tick(node, T0 + 60_000) == [], "it has ended"


def test_a_later_version_that_nobody_signed_stops_no_node(net: Net) -> None:
    node = fresh(4, snapshot_after=AFTER)
    offer = offer_of(net)
    asked(node)
    effects = receive(node, 1, m.Snapshot(False, [replace(offer, header=later(offer.header))]))
    assert of_kind(effects, e.Penalize) and not of_kind(effects, e.Outdated)
    assert tick(node), "it goes on"


def test_a_change_that_its_own_set_did_not_sign_or_that_names_another_costs_its_sender(net: Net) -> None:
    offer, links = handed(net)
    c = links[0].certificate
    lies = [
        [links[1]],
        [replace(links[0], validators=SETS[2])],
        [replace(links[0], certificate=replace(c, signers=c.signers[:2], signatures=c.signatures[:2]))],
        [change(net, 10, SETS[1], SETS[2])],
        [links[0], change(net, 60, SETS[0], SETS[2])],
    ]
    for lie in lies:
        node = fresh(4, snapshot_after=AFTER)
        asked(node, height=100)
        receive(node, 1, m.Snapshot(False, [offer]))
        effects = receive(node, 1, m.ValidatorChanges(lie))
        assert [p.peer for p in of_kind(effects, e.Penalize)] == [ident(1)]
        assert of_kind(effects, e.StageSnapshot) == []


def test_who_cannot_show_the_changes_is_left_alone(net: Net) -> None:
    node = fresh(4, snapshot_after=AFTER)
    asked(node, height=100)
    receive(node, 1, m.Snapshot(False, [handed(net)[0]]))
    effects = receive(node, 1, m.ValidatorChanges([]))
    assert of_kind(effects, e.Penalize) == []
    assert sent(tick(node), m.GetBlocks) != []


# --- the parts ----------------------------------------------------------------------------------------------------------------


def test_parts_come_back_from_their_encoding(net: Net) -> None:
    state, buckets = net.nodes[0].state, buckets_of(net)
    subroots = {number: subroot_of(bucket) for number, bucket in buckets.items()}
    assert decode_subroots(encode_subroots(subroots)) == subroots
    assert root_of(subroots) == state.root and root_of({}) == bytes(32)
    keys: list[bytes] = []
    for number, bucket in buckets.items():
        made, shown = make_bucket(number, subroots[number], encode_bucket(bucket))
        assert made == bucket
        keys += shown
        with pytest.raises(Malformed):
            make_bucket(number ^ 1, subroots[number], encode_bucket(bucket))
    assert sorted(k for k in keys if not k.startswith(b"v/")) == sorted(k for p in (b"d/", b"m/", b"j/") for k in state.keys(p))
    assert sorted(b"m/" + k[2:] for k in keys if k.startswith(b"v/")) == state.listing(b"m/")
    genesis_root = state_of(net.genesis).root
    assert genesis_root != state.root


@cache
def paths(count: int) -> list[tuple[bytes, bytes, bytes]]:
    """Records of bucket 0, sorted by path."""
    found: list[tuple[bytes, bytes, bytes]] = []
    trial = 0
    while len(found) < count:
        key = b"a/" + trial.to_bytes(20, "big")
        path = sha256(key)
        if path[:2] == bytes(2):
            found.append((path, key, bytes(trial % 50)))
        trial += 1
    return sorted(found)


@pytest.fixture(scope="module")
def bucket() -> bytes:
    return build(paths(24))


@pytest.mark.parametrize("cut", [1, 60, 150, 400, 10**6])
def test_a_bucket_is_cut_and_put_together_again_wherever_it_is_cut(bucket: bytes, cut: int) -> None:
    found = list(subbuckets(0, bucket, cut))
    subroots = {number: subroot for number, subroot, _ in found}
    assert decode_subroots(encode_subroots(subroots)) == subroots
    assert whole_subroots(subroots) == {0: subroot_of(bucket)}
    assert root_of(subroots) == root_of({0: subroot_of(bucket)})
    made = {number: make_bucket(number, subroot, raw)[0] for number, subroot, raw in found}
    assert whole_buckets(made) == {0: bucket}
    assert all(len(raw) <= cut or subroot[:1] == b"\x02" for _, subroot, raw in found)
    if cut == 1:
        assert len(found) == 24, "every record is a subpage of its own"
    for path, key, _ in paths(24):
        over = number_over(path, frozenset(subroots))
        assert over is not None
        assert key in dict(records(made[over]))
    assert number_over(b"\xff" * 32, frozenset(subroots)) is None


def entry(number: int, kind: int = 3) -> bytes:
    return number.to_bytes(8, "big") + bytes([kind]) + bytes(32)


@pytest.mark.parametrize(
    "raw",
    [
        entry(5) + entry(4),
        entry(5) + entry(5),
        entry(BUCKETS),
        entry(2 * BUCKETS - 1),
        entry(1 << 63),
        entry(5) + entry(2 * (BUCKETS + 5)),
        entry(2 * (BUCKETS + 5)) + entry(5),
        entry(2 * (BUCKETS + 5) + 1) + entry(2 * (BUCKETS + 5)),
        entry(4 * (BUCKETS + 5) + 1) + entry(2 * (BUCKETS + 5)),
        entry(5, 1),
        entry(5)[:-1],
        b"".join(entry((BUCKETS << 14) + n) for n in range(MAX_SUBBUCKETS + 1)),
    ],
    ids=[
        "descending",
        "twice",
        "the first page by another number",
        "the last page by another number",
        "deeper than paths are cut",
        "a page and its half",
        "a half and its page",
        "halves the wrong way round",
        "a half and a part of it",
        "no head",
        "cut off",
        "too many subpages",
    ],
)
def test_subroots_that_do_not_cut_a_state_are_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        decode_subroots(raw)


def test_as_many_subbuckets_as_are_taken_cost_a_bounded_number_of_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as deep as it goes: from every one of them to the root of its bucket."""
    subroots = decode_subroots(b"".join(entry((1 << MAX_DEPTH) + (n << 33)) for n in range(MAX_SUBBUCKETS)))
    hashed = 0
    above = parts.above_of

    def counted(left: bytes, right: bytes) -> bytes:
        nonlocal hashed
        hashed += 1
        return above(left, right)

    monkeypatch.setattr(parts, "above_of", counted)
    assert len(root_of(subroots)) == 32
    assert hashed <= MAX_SUBBUCKETS * (MAX_DEPTH - 16)


def test_a_header_is_signed_by_the_set_that_it_names(net: Net) -> None:
    link = change(net, 10, SETS[0], SETS[1])
    assert follow_validator_change(CHAIN, link, SETS[0]) == SETS[1]
    check_signed(CHAIN, link.header, link.certificate, SETS[0])
    with pytest.raises(Malformed, match="another validator set"):
        check_signed(CHAIN, link.header, link.certificate, SETS[1])
    with pytest.raises(Malformed, match="another chain"):
        check_signed(bytes(32), link.header, link.certificate, SETS[0])


# --- after the switch ---------------------------------------------------------------------------------------------------------


def begun(net: Net, signed: tuple[int, int, int]) -> Node:
    """Validator 0, which signed the chain up to here, on the state of its last height, with a guard that knows `signed`."""
    base = m.decode_certificate(net.commits[0][HEIGHTS].certificate)
    node = Node(ident(0), bytes(32), net.nodes[0].state, base.block_id, signed=signed, base=base)
    node.start(T0, [])
    return node


def test_a_guard_that_is_older_than_the_snapshot_shows_in_its_state_or_certificate(net: Net) -> None:
    """LC-NODE-31: of the blocks before the snapshot nothing else is left to show it."""
    assert begun(net, (0, 0, 0))._double_sign_check._guard_is_old
    assert not begun(net, (HEIGHTS, 0, PRECOMMIT))._double_sign_check._guard_is_old
    nobody = Node(ident(5), bytes(32), net.nodes[0].state, bytes(32), signed=(0, 0, 0))
    assert not nobody._double_sign_check._guard_is_old


def test_no_more_than_a_few_peers_are_asked_for_a_snapshot_at_a_time() -> None:
    node = fresh(4, snapshot_after=AFTER, peers=(0, 1, 2, 3, 5))
    assert len(sent(asked(node, peers=(0, 1, 2, 3, 5)), m.GetSnapshot)) == snapshot.MAX_SOURCES


def test_nobody_makes_it_follow_changes_without_end(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MAX_FOLLOWED", 1)
    node = fresh(4, snapshot_after=AFTER)
    offer, links = handed(net)
    asked(node, height=100)
    receive(node, 1, m.Snapshot(False, [offer]))
    assert sent(receive(node, 1, m.ValidatorChanges(links[:1])), m.GetValidatorChanges) != []
    effects = receive(node, 1, m.ValidatorChanges(links[1:]))
    assert of_kind(effects, e.StageSnapshot) == [] and sent(tick(node), m.GetSnapshot) == []


def test_peers_without_a_snapshot_are_remembered_in_a_bounded_list(net: Net) -> None:
    """Whoever comes back under ever new identities."""
    node = fresh(4, snapshot_after=AFTER)
    taker = node._snapshots
    for n in range(1_100):
        taker._leave(n.to_bytes(20, "big"), T0)
    assert len(taker._without) == 1_024 and (1_099).to_bytes(20, "big") in taker._without


def test_few_questions_are_out_to_one_peer_and_few_to_all(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(m, "MAX_BUCKETS", 1)
    assert len(buckets_of(net)) > 8
    assert len(sent(staged(fresh(4, snapshot_after=AFTER), net), m.GetBuckets)) == snapshot.MAX_ASKED
    monkeypatch.setattr(snapshot, "MAX_CHECKING", 3)
    node = fresh(4, snapshot_after=AFTER, peers=(0, 1, 2, 3))
    assert len(sent(staged(node, net, peers=(0, 1, 2, 3)), m.GetBuckets)) == 3


def test_who_answers_its_later_questions_only_does_not_keep_the_buckets_of_the_first_one(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question has its own deadline: what it is asked anew makes no older one wait longer."""
    monkeypatch.setattr(m, "MAX_BUCKETS", 1)
    node, buckets, switched = fresh(4, snapshot_after=AFTER), buckets_of(net), list[e.Effect]()

    def to(peer: int, effects: list[e.Effect]) -> list[m.GetBuckets]:
        told = [m.decode_message(send.payload) for send in of_kind(effects, e.Send) if send.peer == ident(peer)]
        return [question for question in told if isinstance(question, m.GetBuckets)]

    def bring(peer: int, question: m.GetBuckets, now: int) -> list[m.GetBuckets]:
        told = m.Buckets(question.height, question.numbers, [encode_bucket(buckets[number]) for number in question.numbers])
        effects = receive(node, peer, told, now)
        for work in of_kind(effects, e.TakeBuckets):
            effects = effects + node.handle(e.BucketsTaken(work.ticket, []), now)
        switched.extend(of_kind(effects, e.Switch))
        return to(peer, effects)

    effects = staged(node, net, peers=(1, 2))
    _, second = to(1, effects)
    assert bring(1, second, T0 + DEADLINE - 1), "it has another one to answer"
    open_ = [one for question in to(2, effects) for one in bring(2, question, T0 + DEADLINE - 1)]
    open_ += to(2, tick(node, T0 + DEADLINE))
    while open_:
        open_ += bring(2, open_.pop(0), T0 + DEADLINE)
    assert switched == [e.Switch(HEIGHTS)], "the other one brought all"


# --- peers that keep no old blocks (LC-NODE-71) ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("if_pruned", "seeks"), [(True, True), (False, False)])
def test_where_no_peer_keeps_the_next_block_a_snapshot_is_sought_after_a_while(if_pruned: bool, seeks: bool) -> None:
    """However near they are; and not before a peer that keeps all had time to come."""
    node = Node(ident(0), b"b" * 32, state_of(genesis()), CHAIN, snapshot_if_pruned=if_pruned)
    node.start(T0, [])
    for peer in (1, 2):
        node.handle(e.PeerUp(ident(peer)), T0)
        receive(node, peer, m.Status(20, 11), T0)
    assert sent(tick(node, T0), m.GetSnapshot) == []
    found: list[e.Effect] = []
    for now in range(T0 + 100, T0 + PRUNED + 300, 100):
        found = tick(node, now)
        assert sent(found, m.GetBlocks) == []
        if sent(found, m.GetSnapshot):
            assert now >= T0 + PRUNED
            break
    assert bool(sent(found, m.GetSnapshot)) is seeks


def test_an_archive_node_that_comes_in_time_is_asked_for_blocks() -> None:
    node = Node(ident(0), b"b" * 32, state_of(genesis()), CHAIN, snapshot_if_pruned=True)
    node.start(T0, [])
    for peer in (1, 2):
        node.handle(e.PeerUp(ident(peer)), T0)
    receive(node, 1, m.Status(20, 11), T0)
    tick(node, T0 + 1_000)
    assert sent(receive(node, 2, m.Status(20, 1), T0 + 2_000), m.GetBlocks) == [m.GetBlocks(1, m.MAX_SYNC_BLOCKS)]
    assert sent(tick(node, T0 + PRUNED + 2_000), m.GetSnapshot) == []
