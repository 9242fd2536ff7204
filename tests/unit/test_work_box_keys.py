"""A node's box key: on the ledger by itself, another one after a rotation, and never one that this node cannot open."""

from __future__ import annotations

from dataclasses import replace as changed
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.membership import Member, SetBoxKey, member_key
from learningchain.chain.crypto import SigningKey
from learningchain.chain.host import BANNED, Account, account_key
from learningchain.client.contracts.membership.roles.box import KEEP_MS, MOST, OWNER_MS, BoxKeys, after, of_box
from learningchain.client.keys.boxes import public_of
from learningchain.client.work.boxes import BOX_KEYS, box_in
from learningchain.client.work.database import WorkDatabase
from learningchain.client.work.events import Chain as Look
from learningchain.client.work.events import DropSecret, Effect, KeepSecret, Kept, Secret, SecretRefused, SecretStored, Submit
from tests.unit.work_kit import Chain, Node, Web, blocks, key_of, recalled, run_virtual, working

OTHER = SigningKey(b"\x07" * 32)


class Bench:
    """One member's machine, with a disk that keeps what it is given."""

    def __init__(self) -> None:
        self.chain, self.disk, self.draws = Chain(["v"], ["w"]), dict[bytes, Secret](), 0
        self.machine = self.started()

    def rng(self, n: int) -> bytes:
        self.draws += 1
        return self.draws.to_bytes(1, "big") * n

    def started(self) -> BoxKeys:
        known = recalled(self.chain, "v", working(), secrets=list(self.disk.values()))
        self.machine = BoxKeys(changed(known, rng=self.rng))
        return self.machine

    @property
    def me(self) -> bytes:
        return self.machine._me

    def look(self, clock: int | None = None, *, recent: bool = True) -> list[Effect]:
        return self.machine.handle(Look(self.chain.state, self.chain.clock if clock is None else clock, recent=recent))

    def settle(self, clock: int | None = None) -> list[Any]:
        """Until it says nothing any more: what it keeps is on the disk, what it sends in a block. The messages."""
        sent = []
        while said := self.look(clock):
            for effect in said:
                match effect:
                    case KeepSecret(secret):
                        self.disk[secret.key] = secret
                        self.machine.handle(SecretStored(secret))
                    case Submit():
                        assert self.chain.now("v", effect.op) == 0
                        sent.append(effect.op)
                    case DropSecret(_, key):
                        del self.disk[key]
        return sent

    @property
    def shown(self) -> bytes:
        return self.record.box_key

    @property
    def record(self) -> Member:
        found = self.chain.state.get(member_key(self.me))
        assert isinstance(found, Member)
        return found

    def put(self, key: bytes, record: Any) -> None:
        self.chain.state.commit([(key, record)], self.chain.state.tree)

    def rotate(self, key: SigningKey) -> None:
        account: Any = self.chain.state.get(account_key(self.me))
        self.put(account_key(self.me), replace(account, key=key.public))


def test_a_member_gets_a_box_key_whose_private_half_is_on_the_disk_first() -> None:
    b = Bench()
    (kept,) = b.look()
    assert isinstance(kept, KeepSecret) and kept.secret.kind == BOX_KEYS
    assert b.look() == [], "nothing is sent, and nothing else drawn, before the disk has it"
    b.machine.handle(SecretRefused(kept.secret))
    (again,) = b.look()
    assert isinstance(again, KeepSecret) and again.secret.key != kept.secret.key, "the disk refused: another one is tried"
    b.machine.handle(SecretStored(again.secret))
    (sent,) = b.look()
    assert isinstance(sent, Submit) and sent.op == SetBoxKey(again.secret.key) and b.look() == []
    assert public_of(box_in(again.secret).private) == again.secret.key
    assert b.chain.now("v", sent.op) == 0
    assert b.look() == [] and b.shown == again.secret.key


def test_a_crash_between_the_disk_and_the_ledger_sends_the_same_one() -> None:
    b = Bench()
    (kept,) = b.look()
    assert isinstance(kept, KeepSecret)
    b.disk[kept.secret.key] = kept.secret
    b.started()
    assert [op.key for op in b.settle()] == [kept.secret.key]


def test_another_key_of_the_account_brings_another_box_key_also_after_a_restart() -> None:
    b = Bench()
    b.settle()
    before = b.shown
    account: Any = b.chain.state.get(account_key(b.me))
    b.rotate(OTHER)
    b.started()
    (kept,) = b.look()
    assert isinstance(kept, KeepSecret) and box_in(kept.secret).account_key == OTHER.public != account.key
    b.machine.handle(SecretStored(kept.secret))
    b.disk[kept.secret.key] = kept.secret
    (sent,) = b.look()
    assert isinstance(sent, Submit) and sent.op.key not in (before, b"")
    b.put(member_key(b.me), replace(b.record, box_key=sent.op.key, box_since=b.chain.clock))
    assert b.look() == [] and set(b.disk) == {before, sent.op.key}, "what is under way to the old one can be read"


def test_nobody_that_is_banned_behind_or_no_member_makes_one() -> None:
    b = Bench()
    assert b.look(recent=False) == []
    account: Any = b.chain.state.get(account_key(b.me))
    assert isinstance(account, Account)
    b.put(account_key(b.me), replace(account, status=BANNED))
    assert b.look() == []
    b.put(account_key(b.me), account)
    stranger = BoxKeys(changed(recalled(b.chain, "v", working()), me=b"\x01" * 20))
    assert stranger.handle(Look(b.chain.state, b.chain.clock)) == []


def test_what_the_owner_asked_for_is_sent_by_the_api_and_after_a_while_by_the_machine() -> None:
    b = Bench()
    b.settle()
    account: Any = b.chain.state.get(account_key(b.me))
    known = {key: box_in(secret) for key, secret in b.disk.items()}
    clock = after(known, b.chain.clock)
    wanted = of_box(b"\x55" * 32, account.key, clock)
    b.disk[wanted.key] = wanted
    b.machine.handle(Kept(wanted))
    assert b.look(clock) == [] and b.look(clock + OWNER_MS - 1) == []
    (sent,) = b.look(clock + OWNER_MS)
    assert isinstance(sent, Submit) and sent.op.key == wanted.key
    b.started()
    assert b.settle(clock) == [SetBoxKey(wanted.key)], "who crashed in between has it sent at once"


def test_old_private_keys_go_after_their_time_and_are_never_many() -> None:
    b = Bench()
    b.settle()
    account: Any = b.chain.state.get(account_key(b.me))
    first = b.shown
    for n in range(MOST + 5):
        clock = after({key: box_in(secret) for key, secret in b.disk.items()}, b.chain.clock)
        made = of_box(bytes([100 + n]) * 32, account.key, clock)
        b.disk[made.key] = made
        b.machine.handle(Kept(made))
        assert b.chain.now("v", SetBoxKey(made.key)) == 0
        b.settle()
        assert (first in b.disk) == (n < MOST - 1), "the oldest goes first"
    assert len(b.disk) == MOST and b.shown in b.disk
    assert b.settle(b.record.box_since + KEEP_MS - 1) == [] and len(b.disk) == MOST
    b.settle(b.record.box_since + KEEP_MS)
    assert set(b.disk) == {b.shown}


def test_a_node_that_is_killed_has_the_private_half_of_what_its_ledger_shows(tmp_path: Path) -> None:
    async def main() -> None:
        chain = Chain(["v"], ["w"])
        node = Node(chain, Web(), "w", tmp_path / "w", working(), 1)
        await node.start()
        me = node.ledger.own_id

        def shown() -> bytes:
            found = chain.state.get(member_key(me))
            assert isinstance(found, Member)
            return found.box_key

        await blocks(chain, lambda: bool(shown()))
        await node.kill()
        database = WorkDatabase(tmp_path / "w" / "work" / "work.db", node.ledger.chain_id, me)
        kept = {one.key: box_in(one) for one in database.secrets() if one.kind == BOX_KEYS}
        database.close()
        assert kept[shown()].account_key == key_of("w").public and public_of(kept[shown()].private) == shown()

    run_virtual(main())
