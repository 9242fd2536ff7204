"""Networks on loopback: messages, outsiders, crossing dials, reconnection, peer exchange, a clean stop."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from learningchain.chain.crypto import address, sha256
from learningchain.p2p import transport
from learningchain.p2p.address_book import AddressBook
from learningchain.p2p.discovery import Dial
from learningchain.p2p.tls import Binding, Leaf, binding_digest, issue_bound, issue_leaf, make_ca, make_contexts, spki
from learningchain.p2p.transport import MAX_METERS
from learningchain.p2p.wire import CONTENT, NODE, PATH
from tests.unit.p2p_kit import CA_, CHAIN, FAST, Node, id_of, key_of, members_of, pair, raw, running, until


async def test_messages_arrive_in_order_on_their_channel() -> None:
    async with pair() as (a, b):
        for i in range(500):
            assert b.net.send(a.id, NODE, b"%d" % i, 3)
        assert b.net.send(a.id, CONTENT, b"piece", 4)
        await until(lambda: len(a.messages) == 501)
        assert [m for m in a.messages if m[1] == NODE] == [(b.id, NODE, b"%d" % i) for i in range(500)]
        assert (b.id, CONTENT, b"piece") in a.messages


async def test_a_large_message_arrives_whole_in_both_directions() -> None:
    block = random.Random(1).randbytes(4_400_000)
    async with pair() as (a, b):
        assert b.net.send(a.id, NODE, block, 1)
        assert a.net.send(b.id, NODE, block, 1)
        await until(lambda: a.messages and b.messages)
        assert a.messages[0][2] == block and b.messages[0][2] == block


async def test_broadcast_reaches_everybody_but_the_excluded() -> None:
    async with pair() as (a, b):
        assert a.net.broadcast(NODE, b"x", 0) == 1
        assert a.net.broadcast(NODE, b"x", 0, exclude=[b.id]) == 0
        assert a.net.broadcast(NODE, b"x", 0, to=[id_of(7)]) == 0
        assert not a.net.send(id_of(7), NODE, b"x", 0)
        with pytest.raises(ValueError, match="at most"):
            a.net.send(b.id, NODE, bytes(4_500_001), 0)


# --- who is refused -------------------------------------------------------------------------------------------------------------


async def refused(node: Node, dialler: Node, expected: str) -> None:
    """`dialler` dials `node`; both logs give the reason."""
    async with running(node):
        dialler.book.add_seed(node.address)
        async with running(dialler):
            await until(lambda: all(any(expected in e.reason for e in n.net.events) for n in (node, dialler)))
            assert not node.connected() and not dialler.connected() and not node.ups and not dialler.ups


async def test_an_outsider_without_an_account_is_refused() -> None:
    await refused(Node(0, members_of(0, 1)), Node(9, members_of(0, 1)), "is not an active member")


async def test_a_dialler_refuses_an_outsider_and_tells_it() -> None:
    await refused(Node(9, members_of(0, 9)), Node(0, members_of(0)), "is not an active member")


async def test_a_stolen_identity_claim_is_refused() -> None:
    """The right id under another key."""
    await refused(Node(0, members_of(0, 1)), Node(9, members_of(0, 1), own_id=id_of(1)), "has another key on the ledger")


async def test_another_network_is_refused() -> None:
    await refused(Node(0, members_of(0, 1)), Node(1, members_of(0, 1), chain_id=sha256(b"other")), "did not sign this TLS key")


async def test_a_certificate_of_another_authority_is_refused() -> None:
    await refused(Node(0, members_of(0, 1)), Node(1, members_of(0, 1), ca=make_ca(time.time())), "another network")


async def test_a_dialled_address_must_belong_to_the_identity_that_was_named() -> None:
    members = members_of(0, 1, 2)
    a = Node(0, members)
    async with running(a):
        b = Node(1, members, seeds=[f"{address(id_of(2))}@{a.address}"])
        async with running(b):
            await until(lambda: "answered" in b.reasons("dial failed") and "answered" in a.reasons("refused by peer"))
            assert not b.connected()


async def test_a_tale_about_a_member_at_whose_address_another_one_answers_is_forgotten_at_once() -> None:
    """LC-P2P-32: not after three dials, of which each tells a stranger that this node looks for somebody."""
    members = members_of(0, 1, 2)
    a = Node(0, members)
    async with running(a):
        b = Node(1, members)
        b.book.learn(id_of(2), [a.address], id_of(7), time.time())
        async with running(b):
            await until(lambda: "answered" in b.reasons("dial failed"))
            assert id_of(2) not in b.book.members()
            assert b.book.learn(id_of(2), [a.address], id_of(7), time.time()) == 0, "and rests"


async def test_a_member_that_is_banned_is_dropped_and_stays_out() -> None:
    members = members_of(0, 1)
    a = Node(0, members)
    async with running(a):
        b = Node(1, dict(members), seeds=[a.address])
        async with running(b):
            await until(lambda: a.connected())
            del members[b.id]
            a.net.recheck_membership()
            await until(lambda: "not an active member" in b.reasons("refused by peer"))
            assert "no longer an active member" in a.reasons("peer gone") and "no longer an active member" in b.reasons("peer gone")
            assert a.ups == [(b.id, True), (b.id, False)]


async def test_a_member_that_left_is_spared_until_it_is_looked_at_again_and_then_comes_back_no_more() -> None:
    members = members_of(0, 1)
    a = Node(0, members)
    async with running(a):
        b = Node(1, dict(members), seeds=[a.address])
        async with running(b):
            await until(lambda: a.connected() and b.connected())
            del members[b.id]
            a.net.recheck_membership({b.id})
            assert a.connected() and a.book.members() == [], "it hears the rest, and is told to nobody"
            assert b.net.send(a.id, NODE, b"the rest?", 0)
            await until(lambda: a.messages)
            a.net.recheck_membership({id_of(2)})
            await until(lambda: "not an active member" in b.reasons("refused by peer"))


async def test_a_node_that_dials_itself_forgets_the_address() -> None:
    a = Node(0, members_of(0))
    async with running(a):
        a.book.add_seed(a.address)
        a.net.set_validators([])
        await until(lambda: "this is the node itself" in a.reasons("dial failed"))
        assert not a.book.seeds


def forged(kind: str) -> Leaf:
    """A certificate by the network's authority whose binding is wrong in one way."""
    tls_key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    me = key_of(1)

    def sign(k: ec.EllipticCurvePrivateKey) -> bytes:
        return me.sign(binding_digest(CHAIN, spki(k.public_key())))

    good = Binding(id_of(1), me.public, sign(tls_key))
    now = time.time()
    makers: dict[str, Callable[[], Leaf]] = {
        "none": lambda: issue_bound(tls_key, None, CA_, now),
        "garbage": lambda: issue_bound(tls_key, b"\xc1garbage", CA_, now),
        "of another TLS key": lambda: issue_bound(tls_key, replace_signature(good, sign(other)), CA_, now),
        "expired": lambda: issue_bound(tls_key, good, CA_, now - 3_651 * 86_400),
        "not yet valid": lambda: issue_bound(tls_key, good, CA_, now + 2 * 86_400),
        "no key": lambda: issue_bound(tls_key, Binding(id_of(1), bytes(33), good.signature), CA_, now),
    }
    return makers[kind]()


def replace_signature(binding: Binding, signature: bytes) -> Binding:
    return Binding(binding.id, binding.key, signature)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("none", "names no identity"),
        ("garbage", "cannot be read"),
        ("of another TLS key", "did not sign this TLS key"),
        ("expired", "expired"),
        ("not yet valid", "not yet valid"),
        ("no key", "is no key"),
    ],
)
async def test_a_wrong_certificate_is_refused_with_its_reason(kind: str, reason: str) -> None:
    a = Node(0, members_of(0, 1))
    async with running(a):
        client = make_contexts(forged(kind), CA_).client
        async with aiohttp.ClientSession() as session, session.get(f"https://{a.address}{PATH}", ssl=client) as response:
            assert response.status == 403 and reason in await response.text()
        await until(lambda: reason in a.reasons("connection refused"))


@pytest.mark.parametrize("wrong", ["TLS 1.2", "no certificate"])
async def test_tls_1_2_and_missing_certificates_are_refused(wrong: str) -> None:
    a = Node(0, members_of(0, 1))
    async with running(a):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if wrong == "TLS 1.2":
            context = make_contexts(issue_leaf(key_of(1), id_of(1), CHAIN, CA_, time.time()), CA_).client
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"https://{a.address}{PATH}", ssl=context)
        await until(lambda: "TLS:" in a.reasons("connection refused"))


async def test_a_private_address_is_told_to_nobody_outside_of_its_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-P2P-40, in the hello of whichever side."""
    monkeypatch.setattr(transport, "remote_address", lambda _: "8.8.8.8:7400")
    members = members_of(0, 1)
    a = Node(0, members)
    async with running(a):
        b = Node(1, members, seeds=[a.address])
        for node in (a, b):
            node.net._advertise = ["10.0.0.5:7400", "node.example:7400", "127.0.0.1:7400"]
        async with running(b):
            await until(lambda: a.connected() and b.connected())
            heard = [node.net._peers[other.id].hello.addresses for node, other in ((a, b), (b, a))]
            assert heard == [["node.example:7400"]] * 2


# --- coming and going -------------------------------------------------------------------------------------------------------------


async def test_members_that_dial_each_other_at_once_end_with_one_connection() -> None:
    members = members_of(0, 1)
    a, b = Node(0, members), Node(1, members)
    async with running(a, b):
        a.book.add_seed(b.address)
        b.book.add_seed(a.address)
        a.net.set_validators(members)
        b.net.set_validators(members)
        await until(lambda: a.connected() and b.connected())
        both = (a.net, b.net)
        await until(lambda: all(not n._dialling and len(n._live) == 1 and len(n.peers()) == 1 for n in both))
        await until(lambda: {n.peers()[0].direction for n in both} == {"in", "out"})
        assert b.net.send(a.id, NODE, b"still here", 0)
        await until(lambda: a.messages)


async def test_a_crossed_connection_is_settled_by_the_lower_id() -> None:
    """A second connection that comes while the first is young: the one dialled by the lower id stays."""
    low, high = sorted((0, 1), key=id_of)
    members = members_of(0, 1)
    a = Node(low, members)
    async with running(a):
        b = Node(high, members, seeds=[a.address])
        async with running(b):
            await until(lambda: a.connected() and b.connected())
            assert b.net.peers()[0].direction == "out"
            task = a.net._spawn(a.net._dial(Dial(b.address, b.id)))
            await until(lambda: b.connected() and b.net.peers()[0].direction == "in" and a.net.peers()[0].direction == "out")
            assert not task.done()
            assert b.ups[-1] == (a.id, True) and a.ups[-1] == (b.id, True)


class HeldWall:
    """A wall clock that stands still, and counts how often it is looked at: the upkeep of connections does so at each turn."""

    def __init__(self) -> None:
        self.now, self.looks = time.time(), 0

    def __call__(self) -> float:
        self.looks += 1
        return self.now

    async def turns(self, count: int = 5) -> None:
        before = self.looks
        await until(lambda: self.looks >= before + count)


async def test_a_dropped_peer_comes_back_after_backing_off() -> None:
    """LC-P2P-33: a connection that ended within 10 s, and each dial that failed, doubles the time until the next one."""
    members, wall = members_of(0, 1), HeldWall()
    a = Node(0, members)
    await a.net.start()
    port = a.net.port()
    b = Node(1, members, seeds=[a.address], wall=wall)
    async with running(b):
        await until(lambda: b.connected())
        await a.net.stop()
        await until(lambda: not b.connected())
        assert "the node is stopping" in b.reasons("peer gone")
        await until(lambda: b.book.places(a.id)[0].failures)
        for failures, longest in ((1, 0.75), (2, 1.5)):
            (place,) = b.book.places(a.id)
            assert place.failures == failures and wall.now + longest / 3 <= place.next_try <= wall.now + longest
            await wall.turns()
            assert not b.net._dialling and b.reasons("dial failed").count("nothing listens there") == failures - 1
            wall.now += longest + 0.01
            if failures == 1:
                await until(lambda: b.reasons("dial failed"))
        again = Node(0, members, port=port)
        async with running(again):
            await until(lambda: b.connected() == {a.id})
        assert b.ups[:3] == [(a.id, True), (a.id, False), (a.id, True)]


async def test_five_nodes_that_know_one_each_find_all_others(tmp_path: Path) -> None:
    members = members_of(*range(5))
    nodes: list[Node] = []
    try:
        for i in range(5):
            seeds = [nodes[-1].address] if nodes else []
            nodes.append(Node(i, members, seeds=seeds, path=tmp_path / f"{i}.json"))
            await nodes[-1].net.start()
        await until(lambda: all(len(n.connected()) == 4 for n in nodes), 15)
    finally:
        await asyncio.gather(*(n.net.stop() for n in nodes))
    book = AddressBook(tmp_path / "4.json")
    book.load()
    assert (tmp_path / "4.json").stat().st_mode & 0o777 == 0o600 and len(book.members()) >= 1


async def test_a_node_with_a_full_house_still_admits_validators() -> None:
    members = members_of(0, 1, 2, 3)
    a = Node(0, members, config=replace(FAST, max_peers=1))
    async with running(a):
        a.net.set_validators([id_of(3)])
        async with raw(a, 1):
            await until(lambda: len(a.connected()) == 1)
            b, c = Node(2, members, seeds=[a.address]), Node(3, members, seeds=[a.address])
            async with running(b, c):
                await until(lambda: "no room" in b.reasons("refused by peer") and c.id in a.connected())


async def test_a_stopped_network_leaves_no_task_and_no_socket() -> None:
    before = asyncio.all_tasks()
    async with pair() as (a, b):
        b.net.send(a.id, NODE, bytes(4_000_000), 2)
    await until(lambda: asyncio.all_tasks() <= before)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", a.net.port())


async def test_a_network_that_stops_while_dialling_and_greeting_leaves_nothing() -> None:
    before = asyncio.all_tasks()
    writers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    a = Node(0, members_of(0, 1), seeds=[f"127.0.0.1:{port}"], config=replace(FAST, dial_timeout=30))
    await a.net.start()
    await until(lambda: writers)
    await a.net.stop()
    silent.close()
    for writer in writers:
        writer.close()
    await until(lambda: asyncio.all_tasks() <= before)


async def test_a_key_that_was_replaced_ends_the_connection_and_the_address_is_kept() -> None:
    members = members_of(0, 1)
    a = Node(0, members)
    async with running(a):
        b = Node(1, dict(members), seeds=[a.address])
        async with running(b):
            await until(lambda: a.connected() and b.connected())
            known = a.book.members()
            members[b.id] = key_of(2).public
            a.net.recheck_membership()
            await until(lambda: "replaced on the ledger" in a.reasons("peer gone"))
            assert a.book.members() == known, "the member is one still"
            await until(lambda: "another key on the ledger" in a.reasons("connection refused"))
            assert not a.connected()


@pytest.mark.parametrize("dials", [True, False], ids=["it dials", "it is dialled"])
async def test_a_node_whose_key_was_replaced_shows_the_new_one_from_then_on(dials: bool) -> None:
    members = members_of(0, 1)
    rotated, other = Node(0, members), Node(1, members)
    async with running(rotated, other):
        members[rotated.id] = key_of(2).public
        rotated.net.use_key(key_of(2))
        dialling, dialled = (rotated, other) if dials else (other, rotated)
        dialling.book.add_seed(dialled.address)
        await until(lambda: rotated.connected() == {other.id} and other.connected() == {rotated.id})
        assert "another key" not in other.reasons("dial failed") + other.reasons("connection refused")


def test_rates_are_remembered_of_so_many_members_and_those_that_came_last() -> None:
    net = Node(0, members_of(0)).net
    first = net._meter(id_of(1))
    for i in range(2, MAX_METERS + 1):
        net._meter(id_of(i))
    assert net._meter(id_of(1)) is first
    net._meter(id_of(MAX_METERS + 1))
    assert len(net._meters) == MAX_METERS and net._meter(id_of(1)) is first and id_of(2) not in net._meters
