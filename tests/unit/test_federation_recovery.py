"""A member whose node is lost: its vault is kept by two members and opened by its own secret, or by shares of so many holders.
Members that ask for others' shares, give wrong ones, name others' files or flood get nothing, and keep nobody from theirs."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.federation.messages import LeaveFederation
from learningchain.chain.contracts.federation.records import FederationMember, FederationState, MemberState, member_key
from learningchain.chain.crypto import SigningKey
from learningchain.chain.host import account_key
from learningchain.client.contracts.federation import work
from learningchain.client.contracts.federation.arithmetic import vault
from learningchain.client.contracts.federation.arithmetic.vault import VaultPlace
from learningchain.client.contracts.federation.roles import keeping, vaulting
from learningchain.client.contracts.federation.roles.channel import ShareAsk, ShareGive, encode_fed
from learningchain.client.contracts.federation.roles.hearing import hear
from learningchain.client.contracts.federation.roles.looking import look, was_summed
from learningchain.client.contracts.federation.roles.member import VAULTS, MemberMachine, VaultBook
from learningchain.client.contracts.federation.roles.ring import keepers_of, kept_by
from learningchain.client.contracts.federation.roles.vaulting import VaultStage
from learningchain.client.contracts.federation.wishes import StopWish, TrainWish, VaultWish
from learningchain.client.keys.boxes import public_of
from learningchain.client.work import WorkConfig
from learningchain.client.work.events import Chain, FetchContent, PeerSaid, SendPeer
from learningchain.client.work.gone import GONE_MS
from learningchain.client.work.machine import Recalled
from tests.federation_nodes import FedNode, FedWorld, PlainLedger
from tests.unit.job_kit import CHAIN_ID
from tests.unit.test_federation_machines import SMALL


def begun(owners: int = 3, holders: int = 0, **more: Any) -> FedWorld:
    """All members keep vaults; the first one's key is shared by so many others. Nobody's target is reached."""
    world = FedWorld(owners=owners, **(SMALL | {"target": 1, "max_members": 8} | more))
    for one in world.owners:
        named = tuple(world.owners[1 : 1 + holders]) if one == world.owners[0] else ()
        world.nodes[one].wish(VaultWish(world.federation, True, list(named)))
    return world


def machine(node: FedNode) -> MemberMachine:
    found = node.machines["member"]
    assert isinstance(found, MemberMachine)
    return found


def on_ledger(world: FedWorld, who: bytes) -> FederationMember:
    found: FederationMember = world.ledger.get(member_key(world.federation, who))
    return found


def until_named(world: FedWorld, who: bytes) -> VaultPlace:
    """The vault of round 5 is on the ledger, and kept."""

    def kept() -> bool:
        named = on_ledger(world, who).vault
        return bool(named) and sum(named in node.served for node in world.nodes.values()) == 3

    world.run(kept)
    return VaultPlace(world.federation, who, 5)


def keepers(world: FedWorld, who: bytes) -> list[bytes]:
    at = look(world.ledger.store, world.federation)
    assert at is not None
    return keepers_of(at, who)


def wanted(world: FedWorld, who: bytes) -> vaulting.VaultWanted:
    return machine(world.nodes[who]).vaults.own.wanted[0]


def opened(world: FedWorld, who: bytes) -> bool:
    return wanted(world, who).stage == VaultStage.OPENED


def back(world: FedWorld, who: bytes, *holders: bytes) -> None:
    """The account has a node again, which knows nothing."""
    node = world.nodes[who]
    node.dead = False
    node.wish(TrainWish(world.federation, "own", 2))
    node.wish(VaultWish(world.federation, True, list(holders)))


def lost(world: FedWorld, who: bytes) -> bytes:
    """Its node is gone: the local model that its vault holds."""
    node = world.nodes[who]
    named = on_ledger(world, who).vault
    (made,) = [one for one in machine(node).vaults.own.made if one.cid == named]
    kept = {one.path for one in machine(node).book.updates.locals}
    found = [task.local for me, task in world.tasks if me == who and type(task).__name__ == "MakeVault"]
    assert made.r == 5 and len(found) == 1 and kept
    model = world.store.files[found[0]]
    node.lose()
    node.dead = True
    return model


# --- made and kept ---------------------------------------------------------------------------------------------------------------


def test_the_vault_of_every_fifth_round_is_named_and_kept_by_the_next_two_members_alone() -> None:
    world = begun(owners=4)
    me = world.owners[3]
    until_named(world, me)
    named = on_ledger(world, me)
    assert named.vault_r in (6, 7) and world.now.r <= 7
    assert keepers(world, me) == world.owners[:2], "in a ring, by the indexes"
    holding = {one for one, node in world.nodes.items() if named.vault in node.served}
    assert holding == {me, *world.owners[:2]}
    for one in world.owners[:2]:
        others = {who for who in world.owners[:2] if who != one}
        assert set(world.nodes[one].served[named.vault]) == {me, *others}, "who keeps it serves it to nobody else"
    file = world.store.files[Path("/content") / named.vault.hex()]
    assert len(file) == 146 + world.terms.size + 28
    world.run(lambda: world.now.r == 11)
    world.run(lambda: on_ledger(world, me).vault != named.vault and all(named.vault not in n.served for n in world.nodes.values()))


def test_a_member_that_wants_none_or_joined_before_has_none() -> None:
    world = begun()
    first, second = world.owners[:2]
    world.nodes[first].wish(VaultWish(world.federation, False, []))
    until_named(world, second)
    world.run(lambda: world.now.r == 8)
    assert not on_ledger(world, first).vault and on_ledger(world, second).vault


def test_vaults_stay_while_one_recent_state_lacks_their_federation_and_go_when_it_has_left_for_sure() -> None:
    """A node that goes on from a backup may look first at a state of two minutes ago."""
    world = begun()
    me = world.owners[0]
    until_named(world, me)
    member, now = machine(world.nodes[me]), world.clock
    before = member.vaults
    empty = PlainLedger([]).store

    def told(after: int, reader: Any, *, recent: bool = True) -> None:
        member.handle(Chain(reader, now + after, recent=recent))

    assert before.own.made and before.others.held
    told(0, empty)
    told(GONE_MS - 1, empty)
    told(GONE_MS, world.ledger.store)
    told(GONE_MS + 1, empty)
    told(3 * GONE_MS, empty, recent=False)
    told(3 * GONE_MS + 1, empty)
    assert (member.vaults.own.made, member.vaults.others) == (before.own.made, before.others)
    told(4 * GONE_MS + 1, empty)
    assert not member.vaults.own.made and not member.vaults.others.held


def test_whose_owner_leaves_is_kept_no_more() -> None:
    world = begun(owners=5)
    me = world.owners[4]
    until_named(world, me)
    named = on_ledger(world, me).vault
    world.submit(me, LeaveFederation(world.federation))
    world.nodes[me].wish(StopWish(world.federation))
    for _ in range(10):
        world.block()
    assert on_ledger(world, me).vault == named and all(named not in node.served for node in world.nodes.values())


@settings(max_examples=60)
@given(states=st.lists(st.sampled_from([MemberState.ACTIVE, MemberState.GONE, MemberState.PENDING]), min_size=1, max_size=128))
def test_nobody_keeps_more_than_two_whoever_comes_and_goes(states: list[MemberState]) -> None:
    members = {n.to_bytes(20, "big"): replace(_MEMBER, state=state, index=n) for n, state in enumerate(states, 1)}
    at: Any = SimpleNamespace(
        id=b"", reader=SimpleNamespace(scan=lambda prefix, _: [(prefix + who, one) for who, one in members.items()])
    )
    active = [who for who, one in members.items() if one.state == MemberState.ACTIVE]
    for who in active:
        assert len(kept_by(at, who)) == min(2, len(active) - 1)
        assert len(keepers_of(at, who)) == min(2, len(active) - 1) and who not in keepers_of(at, who)
        assert all(who in keepers_of(at, owner) for owner, _ in kept_by(at, who))


_MEMBER = FederationMember(
    state=MemberState.ACTIVE,
    digest=bytes(32),
    n=0,
    since=0,
    index=1,
    bad=0,
    benched_until=0,
    points=0,
    paid=0,
    data_r=0,
    vault_r=6,
    vault=bytes(36),
)


# --- coming back -----------------------------------------------------------------------------------------------------------------


def test_a_lost_node_opens_its_vault_by_its_own_secret_and_trains_on() -> None:
    world = begun()
    me = world.owners[0]
    until_named(world, me)
    model, before = lost(world, me), on_ledger(world, me).vault
    world.run(lambda: bool(world.ledger.topics("fed.void")))
    back(world, me)
    world.run(lambda: opened(world, me))
    (found,) = machine(world.nodes[me]).vaults.own.opened
    assert found.r == 5 and world.store.files[Path(found.path)] == model
    r = world.now.r
    world.run(lambda: world.now.r == 10 and world.state == FederationState.TRAIN)
    assert world.now.r > r
    codes = [one for one in world.ledger.topics("fed.code") if me in one.data]
    assert codes, "its updates are judged again"
    world.run(lambda: on_ledger(world, me).vault != before)
    assert not machine(world.nodes[me]).vaults.own.opened, "a newer vault stands in its place"


@pytest.mark.parametrize("count", [4, 5])
def test_without_the_secret_that_made_it_holders_open_it_together(count: int) -> None:
    """The account has another key since, as its guardians gave it: LC-FILE-42, 43."""
    world = begun(owners=6, holders=count)
    me = world.owners[0]
    until_named(world, me)
    model = lost(world, me)
    another_key(world, me)
    world.nodes[world.owners[5]].dead = count == 5
    back(world, me)
    world.run(lambda: wanted(world, me).stage == VaultStage.ASKING)
    world.run(lambda: opened(world, me))
    (found,) = machine(world.nodes[me]).vaults.own.opened
    assert world.store.files[Path(found.path)] == model
    assert wanted(world, me).holders == sorted(world.owners[1 : 1 + count]), "whom it had named, for the vaults to come"


def another_key(world: FedWorld, who: bytes) -> None:
    node = world.nodes[who]
    node.key, node.box_private = SigningKey(sha256(b"another").digest()), sha256(b"another box").digest()
    account = world.ledger.get(account_key(who))
    world.ledger.store.put(account_key(who), replace(account, key=node.key.public))
    world.ledger.change_member(who, box_key=public_of(node.box_private))
    for name in node.machines:
        node.restart(name)


def test_without_secret_and_shares_what_it_held_is_lost_and_said_so() -> None:
    world = begun()
    me = world.owners[0]
    until_named(world, me)
    lost(world, me)
    another_key(world, me)
    back(world, me)
    world.run(lambda: wanted(world, me).stage == VaultStage.FAILED)
    assert "no shares" in wanted(world, me).why and any(one.topic == "fed.vault" for one in machine(world.nodes[me]).notices())
    world.run(lambda: world.now.r == 7 and world.state == FederationState.TRAIN)


def test_the_same_local_model_is_sent_where_its_base_came_back_and_no_other_one_is_trained() -> None:
    """LC-FILE-8: two local models on one base would show the difference of two updates of one member."""
    world = begun()
    me = world.owners[0]
    until_named(world, me)
    world.run(lambda: world.now.r == 6 and world.state == FederationState.SCREEN)
    node = world.nodes[me]
    world.run(lambda: bool(world.attempt().accepted))
    at = look(world.ledger.store, world.federation)
    assert at is not None and was_summed(at.reader, at.id, me, at.now.base)
    runs = len(node.runs)
    node.lose()
    back(world, me)
    assert list(machine(node)._train(at, machine(node).joined[world.federation], world.clock)) == []
    assert "LC-FILE-8" in machine(node).why_not[world.federation] and len(node.runs) == runs


# --- hostile ---------------------------------------------------------------------------------------------------------------------


def share_box(world: FedWorld, place: VaultPlace, holder: bytes, share: bytes) -> bytes:
    known = public_of(world.nodes[place.member].box_private)
    return vault.give_share(share, place, holder, known, world.nodes[holder].rng.randbytes)


def test_wrong_shares_of_a_minority_keep_nobody_from_their_vault() -> None:
    world = begun(owners=6, holders=5)
    me = world.owners[0]
    place = until_named(world, me)
    model = lost(world, me)
    another_key(world, me)
    liars = sorted(world.owners[1:])[:2]
    for liar in liars:
        world.nodes[liar].dead = True
    back(world, me)
    world.run(lambda: wanted(world, me).stage == VaultStage.ASKING)
    for liar in liars:
        number = sorted(world.owners[1:]).index(liar) + 1
        box = share_box(world, place, liar, bytes((number,)) + b"\x5a" * 32)
        for _ in range(5):
            world.mail.append((liar, me, encode_fed(ShareGive(world.federation, 5, number, box))))
    world.run(lambda: opened(world, me))
    assert world.store.files[Path(machine(world.nodes[me]).vaults.own.opened[0].path)] == model
    tries = [task for who, task in world.tasks if who == me and type(task).__name__ == "OpenVault"]
    assert sum(len(task.keys) for task in tries) <= 10, "as many as three of five can make"


def test_nobody_gets_the_share_or_the_file_of_another_by_naming_it() -> None:
    """A member that names another's vault, or any file that a keeper has, as its own."""
    world = begun(owners=6, holders=4)
    me, thief = world.owners[0], world.owners[5]
    until_named(world, me)
    stolen = on_ledger(world, me).vault
    member = on_ledger(world, thief)
    holder = world.owners[1]
    world.ledger.store.put(member_key(world.federation, thief), replace(member, vault=stolen, vault_r=member.vault_r + 1))
    assert keepers(world, thief) == world.owners[:2]
    world.posted.clear()
    for _ in range(20):
        world.mail.append((thief, holder, encode_fed(ShareAsk(world.federation, 5))))
        world.block()
    assert not [one for one in world.posted if one[0] == holder and one[1] == thief], "the file says whose it is"
    for one in world.owners:
        peers = world.nodes[one].served.get(stolen)
        assert peers is None or thief not in peers
    kept = {(one.owner, one.cid) for one in machine(world.nodes[holder]).vaults.others.held}
    assert (me, stolen) in kept and (thief, stolen) not in kept, "what is no vault of its owner is not kept"


def test_a_share_goes_to_its_member_alone_and_a_flood_of_asks_costs_one_file() -> None:
    world = begun(owners=5, holders=4)
    me, holder = world.owners[0], world.owners[1]
    until_named(world, me)
    node = world.nodes[holder]
    stranger, outsider = world.owners[2], world.verifiers[0]
    ask = encode_fed(ShareAsk(world.federation, 5))
    assert hear(world.ledger.store, holder, outsider, ask) is None, "no member"
    said: list[Any] = []
    world_handle = node.machines["member"].handle

    def handle(given: Any) -> Any:
        effects = world_handle(given)
        said.extend(effects)
        return effects

    node.machines["member"].handle = handle  # type: ignore[method-assign]
    for _ in range(500):
        came = hear(world.ledger.store, holder, me, ask)
        assert came is not None
        node.give("member", PeerSaid(me, came))
    world._carry()
    for _ in range(500):
        node.give("member", PeerSaid(me, ShareAsk(world.federation, 5)))
    world.block()
    fetched = [one for one in said if isinstance(one, FetchContent) and "share" in one.scope]
    given = [one for one in said if isinstance(one, SendPeer)]
    assert len(fetched) == 1 and fetched[0].max_size == 1_024 + world.terms.size + 28
    assert len(given) <= 2 and {one.to for one in given} == {me}
    node.give("member", PeerSaid(stranger, ShareAsk(world.federation, 5)))
    world.block()
    assert {one.to for one in said if isinstance(one, SendPeer)} == {me}, "it holds no share of hers"


def test_asks_that_wait_have_a_bound() -> None:
    world = begun()
    until_named(world, world.owners[0])
    others = machine(world.nodes[world.owners[1]])._others
    for n in range(1_000):
        others.hear(PeerSaid(n.to_bytes(20, "big"), ShareAsk(world.federation, 5)))
    assert len(others._asks) == keeping.MOST_ASKS
    at = look(world.ledger.store, world.federation)
    assert at is not None and not list(others.look(at, world.clock)) and not others._asks, "no members, so nobody is answered"
    own = machine(world.nodes[world.owners[0]])
    for n in range(1_000):
        own.handle(PeerSaid(n.to_bytes(20, "big"), ShareGive(world.federation, 5, 1, bytes(81))))
    assert len(own._own._heard) == 0, "nothing of this node is on its way back"


def test_a_vault_is_of_its_round_at_the_latest_that_the_ledger_named_it_in() -> None:
    """A head that says a round to come would be given back as the local model of that."""
    world = begun()
    me, keeper = world.owners[0], world.owners[1]
    until_named(world, me)
    node = world.nodes[me]
    place = VaultPlace(world.federation, me, 900)
    made = world.store.write([vault.make_head(place, bytes(32), vault.of_secret(node.key.secret), {}, node.rng.randbytes), b"junk"])
    member = on_ledger(world, me)
    world.ledger.store.put(member_key(world.federation, me), replace(member, vault=made.cid))
    node.served[made.cid] = (keeper, world.owners[2])
    for _ in range(20):
        world.block()
    assert all(one.cid != made.cid for one in machine(world.nodes[keeper]).vaults.others.held)


def test_the_books_of_vaults_survive_a_restart_and_what_is_kept_is_served_again() -> None:
    world = begun()
    me, keeper = world.owners[0], world.owners[1]
    until_named(world, me)
    for one in (me, keeper):
        node = world.nodes[one]
        before = machine(node).vaults
        node.served = {}
        node.restart("member")
        assert machine(node).vaults == before and before.own.made and before.others.held
    for _ in range(8):
        world.block()
    named = on_ledger(world, me).vault
    assert named in world.nodes[me].served and named in world.nodes[keeper].served


def test_a_restored_backup_fetches_the_vaults_whose_files_it_has_not(tmp_path: Path) -> None:
    """Books are in every backup, files that others can give are not."""
    world = begun()
    me = world.owners[0]
    until_named(world, me)
    kept = machine(world.nodes[me]).vaults
    (tmp_path / "here").write_bytes(b"x")
    here = replace(kept.others.held[0], path=str(tmp_path / "here"))
    saved = VaultBook(kept.own, replace(kept.others, held=[here, *kept.others.held[1:]]))
    recalled = Recalled(me, CHAIN_ID, WorkConfig(), os.urandom, books={VAULTS: encode(saved)})
    (part,) = [one for one in work.PART.machines(recalled) if isinstance(one, MemberMachine)]
    found = part.vaults
    assert found.own.wanted == kept.own.wanted and kept.own.made and not found.own.made and found.others.held == [here]
    assert work.PART.files({VAULTS: encode(saved)}) == {Path(one.path) for one in kept.own.made}
    node = world.nodes[me]
    without = VaultBook(found.own, keeping.NOTHING_HELD)
    own = machine(node)
    node.machines["member"], node.served, node.fetches = MemberMachine(own.known, own.keys, own.book, without), {}, {}
    world.run(lambda: opened(world, me))
