"""A network that begins from the state of one that lost its quorum for good (LC-BLK-37 to LC-BLK-40)."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.governance import AddValidator, Propose, Upgrade
from learningchain.chain.contracts.job import ends
from learningchain.chain.contracts.job.messages import Claim, claim_commitment
from learningchain.chain.contracts.job.records import JobState, job_key, live_key
from learningchain.chain.contracts.keys import SetGuardians, guardians_key
from learningchain.chain.contracts.membership import Cases, Invite, Leave, case_key, invitation_id, invitation_key, member_key
from learningchain.chain.crypto import SigningKey
from learningchain.chain.errors import BrokenInvariant, InvalidTx, Malformed, TxCode
from learningchain.chain.host import (
    BANNED,
    K_PARAMS,
    K_PROTOCOL,
    K_SUPPLY,
    SUSPENDED,
    Account,
    Due,
    Escrow,
    NextProtocol,
    Parked,
    Protocol,
    Supply,
    account_key,
    escrow_key,
    height_due_key,
    parked_key,
)
from learningchain.chain.ledger.base import Base
from learningchain.chain.ledger.genesis import RestartedGenesis, check_genesis, first_state, from_json, to_json
from learningchain.chain.ledger.restart import carry, restart
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.state_diff import Record
from learningchain.chain.ledger.transition import chain_record, validators_of
from learningchain.chain.ledger.tx import check_tx, parse_tx
from learningchain.chain.types import Header
from tests.unit.api_kit import FakeLedger, sha
from tests.unit.test_job_parked import suspended

STAY = ("boss", "n1", "n3")
DAY = 86_400_000


def busy() -> tuple[FakeLedger, bytes]:
    """A chain with a claimed job, an invitation with credits, an open proposal and guardians; the job."""
    old = FakeLedger()
    job = old.claimed_job()
    assert old.block(n2=Invite(_other_key("n2"), old.clock + DAY, 5)) == [0]
    assert old.block(n3=Propose(AddValidator(old.ids["boss"]), old.clock + DAY)) == [0]
    assert old.block(n4=SetGuardians([old.ids["n1"]], 1, DAY)) == [0]
    return old, job


def _other_key(name: str) -> bytes:
    return SigningKey(sha("invited", name)).public


def restarted(old: FakeLedger, *names: str, called: str = "again") -> RestartedGenesis:
    return restart(old.genesis, old.state, old.blocks[-1][0], [old.ids[n] for n in names or STAY], called)[0]


def following(old: FakeLedger, genesis: RestartedGenesis) -> FakeLedger:
    """The new chain, before its first block."""
    new = FakeLedger()
    new.genesis, new.chain_id = genesis, genesis.chain_id
    new.state, _ = first_state(genesis)
    return new


def changed(old: FakeLedger, records: dict[bytes, Any]) -> FakeLedger:
    """The same chain, with these records in its state (None: without), as if its last block had left it so."""
    items = dict(old.state.items()) | {key: b"" if r is None else encode(r) for key, r in records.items()}
    old.state = State.load([(key, raw) for key, raw in items.items() if raw])
    header, txs, receipts = old.blocks[-1]
    old.blocks[-1] = (replace(header, state_root=old.state.root), txs, receipts)
    return old


def test_what_is_carried_is_all_but_what_names_the_old_chain() -> None:
    """LC-BLK-38"""
    old, job = busy()
    before = {name: _account(old, name) for name in old.ids}
    locked = sum(old.state.held()) - old.state.held()[0]
    new = following(old, restarted(old))
    accounts, escrows = new.state.held()
    assert locked and escrows == 0
    assert accounts == sum(old.state.held())
    for name, account in before.items():
        after = _account(new, name)
        assert after.balance >= account.balance and after.key == account.key and after.sequences == account.sequences
    assert _account(new, "n2").balance == before["n2"].balance + 5
    assert new.state.get(invitation_key(invitation_id(_other_key("n2")))) is None
    ended: Any = new.state.get(job_key(job))
    assert ended.state == JobState.EMPTY and new.state.get(live_key(job)) is None
    assert new.state.get(guardians_key(old.ids["n4"])) == old.state.get(guardians_key(old.ids["n4"]))
    assert new.state.get(member_key(old.ids["n4"])) == old.state.get(member_key(old.ids["n4"]))
    assert not [key for key, _ in new.state.items() if key.startswith((b"op/", b"gb/", b"me/", b"dh/", b"j/"))]


def _account(ledger: FakeLedger, name: str) -> Account:
    found = ledger.state.get(account_key(ledger.ids[name]))
    assert isinstance(found, Account)
    return found


def test_the_new_chain_decides_and_takes_nothing_that_was_signed_for_the_old_one() -> None:
    """LC-BLK-39: block 1 follows on the base's clock, however long nobody decided; who was away finds its account."""
    old, _ = busy()
    waiting = old.signed("n4", Leave())
    new = following(old, restarted(old))
    head = chain_record(new.state)
    assert (head.height, head.time, head.clock) == (0, chain_record(old.state).time, old.clock)
    assert [v.id for v in validators_of(new.state)] == sorted(new.ids[n] for n in STAY)
    new.mine(step=400 * DAY)
    assert new.clock == old.clock + new.genesis.params.max_step
    with pytest.raises(InvalidTx) as refused:
        check_tx(new.state, new.chain_id, parse_tx(waiting), new.height + 1)
    assert refused.value.code == TxCode.FOREIGN_NETWORK
    assert new.block(n4=Invite(_other_key("n4"), new.clock + DAY, 3)) == [0]


def test_whoever_has_the_chain_comes_to_the_same_bytes() -> None:
    old, _ = busy()
    made = restarted(old, "n3", "boss", "n1")
    again = FakeLedger()
    again.state, again.blocks = State.load(list(old.state.items())), old.blocks
    assert to_json(restarted(again, "n1", "n3", "boss", "boss")) == to_json(made)
    assert restarted(old, called="other").chain_id != made.chain_id
    assert restarted(old, "boss", "n1").chain_id != made.chain_id
    assert from_json(to_json(made)) == made


def test_a_case_goes_on_and_what_is_frozen_stays_so() -> None:
    old, _ = suspended()
    new = following(old, restarted(old, "n2", "n3"))
    account = _account(new, "n1")
    assert account.status == SUSPENDED and account.frozen == _account(old, "n1").frozen > 0
    case: Any = new.state.get(case_key(old.ids["n1"]))
    assert case == old.state.get(case_key(old.ids["n1"]))
    while new.clock <= case.until:
        new.mine(step=100_000)
    assert new.state.get(case_key(old.ids["n1"])) is None
    assert _account(new, "n1").frozen == 0


def test_a_parked_job_ends_too_and_what_waits_for_a_height_waits_for_none() -> None:
    old, job = busy()
    ref = b"r" * 20
    due, later = Due(2, ref), height_due_key(10_000, ref, 7, 2, ref)
    changed(old, {parked_key(3, job): Parked(3, "failed", [], [], []), later: due})
    new = following(old, restarted(old))
    assert new.state.get(parked_key(3, job)) is None and new.state.held()[1] == 0
    assert new.state.get(later) is None
    assert new.state.get(b"d/" + later[11:]) == due


def test_stakes_beyond_the_first_event_return_by_the_deadlines_that_are_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    """LC-BLK-38, LC-JOB-39: a job of a thousand claimants ends as well, and nothing of its escrows is lost."""
    monkeypatch.setattr(ends, "RELEASE_PAGE", 1)
    old, job = busy()
    sealed = claim_commitment(old.chain_id, job, old.ids["n3"], sha("model"), sha("salt"))
    assert old.block(n3=Claim(job, 4_000, sealed, True)) == [0]
    new = following(old, restarted(old))
    assert new.state.held()[1] > 0, "the second stake waits"
    new.mine()
    accounts, escrows = new.state.held()
    assert escrows == 0 and accounts == sum(old.state.held())


def test_an_upgrade_for_a_height_of_the_old_chain_falls() -> None:
    old, _ = busy()
    changed(old, {K_PROTOCOL: Protocol(1, [NextProtocol(2, 50)])})
    assert following(old, restarted(old)).state.get(K_PROTOCOL) == Protocol(1, [])
    assert old.block(n1=Propose(Upgrade(2, 60), old.clock + DAY)) == [0]


def test_a_state_that_no_file_can_hold_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    old, _ = busy()
    size = len(to_json(restarted(old)))
    for most, text in ((1_000, "does not fit into a genesis file"), (size - 1, f"would have {size} bytes")):
        monkeypatch.setattr("learningchain.chain.ledger.restart.MAX_GENESIS_BYTES", most)
        with pytest.raises(Malformed, match=text):
            restarted(old)
    monkeypatch.setattr("learningchain.chain.ledger.restart.MAX_GENESIS_BYTES", size)
    restarted(old)


def test_who_validates_has_an_account() -> None:
    old, _ = busy()
    with pytest.raises(Malformed, match="has no account in the base"):
        restart(old.genesis, old.state, old.blocks[-1][0], [b"\1" * 20], "again")


def test_a_restarted_network_can_be_restarted() -> None:
    old, _ = busy()
    new = following(old, restarted(old))
    new.block(boss=Invite(_other_key("boss"), new.clock + DAY, 1))
    second = restarted(new, "n2", "n4")
    assert second.base.chain_id == new.chain_id and second.chain_id != new.chain_id
    third = following(new, second)
    assert sum(third.state.held()) == sum(old.state.held())
    third.mine()


def test_the_state_must_be_the_one_that_the_header_names() -> None:
    old, _ = busy()
    header: Header = replace(old.blocks[-1][0], state_root=bytes(32))
    with pytest.raises(Malformed, match="not the state after block"):
        restart(old.genesis, old.state, header, [old.ids["n1"]], "again")


def test_what_its_own_contract_cannot_end_stops_the_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    old, job = busy()
    changed(old, {job_key(job): None})
    with pytest.raises(BrokenInvariant):
        carry(old.state)


# --- what no base may hold ----------------------------------------------------------------------------------------------------


def _put(base: Base, key: bytes, value: Any) -> Base:
    """With this record, or without it (None), in its place."""
    records = {one.key: one.value for one in base.records}
    if value is None:
        del records[key]
    else:
        records[key] = value if isinstance(value, bytes) else encode(value)
    return replace(base, records=[Record(k, v) for k, v in sorted(records.items())])


def _forged(ledger: FakeLedger) -> list[tuple[str, Callable[[RestartedGenesis], RestartedGenesis]]]:
    n1, n2 = ledger.ids["n1"], ledger.ids["n2"]
    account, supply = _account(following(ledger, restarted(ledger)), "n1"), ledger.state.get(K_SUPPLY)
    assert isinstance(supply, Supply)

    def base(change: Callable[[Base], Base]) -> Callable[[RestartedGenesis], RestartedGenesis]:
        return lambda g: replace(g, base=change(g.base))

    richer, banned = replace(account, balance=account.balance + 1), replace(account, status=BANNED)
    gone: Any = ledger.state.get(member_key(n1))
    v = next(v for v in restarted(ledger).base.validators if v.id == n1)
    return [
        ("that is not what their supply says", base(lambda b: _put(b, account_key(n1), richer))),
        ("that is not what their supply says", base(lambda b: _put(b, K_SUPPLY, Supply(supply.minted + 1, 0)))),
        ("that is not what their supply says", base(lambda b: _put(b, K_SUPPLY, None))),
        ("that is not what their supply says", base(lambda b: _put(b, escrow_key(sha("e")), Escrow(1)))),
        ("banned or no member", base(lambda b: _put(b, account_key(n1), banned))),
        ("banned or no member", base(lambda b: _put(b, member_key(n1), replace(gone, left=5)))),
        ("has no account", base(lambda b: replace(b, validators=[replace(v, id=b"\0" * 20)]))),
        ("another key", base(lambda b: replace(b, validators=[replace(v, id=n2)]))),
        ("sorted by id", base(lambda b: replace(b, validators=b.validators[::-1]))),
        ("ascend by key", base(lambda b: replace(b, records=b.records[::-1]))),
        ("the chain that ended", base(lambda b: _put(b, b"gb/" + n1, Cases(1)))),
        ("the chain that ended", base(lambda b: _put(b, b"j/" + sha("j"), Cases(1)))),
        ("no record is kept", base(lambda b: _put(b, b"zz/", b"\x90"))),
        ("the record", base(lambda b: _put(b, K_SUPPLY, b"\x92\xcd\x00\x01\x00"))),
        ("not those of the base", base(lambda b: _put(b, K_PARAMS, replace(ledger.genesis.params, quota=7)))),
        ("not those of the base", lambda g: replace(g, params=replace(g.params, quota=7))),
        ("a height of another chain", base(lambda b: _put(b, K_PROTOCOL, Protocol(1, [NextProtocol(2, 9)])))),
        ("above its time", base(lambda b: replace(b, clock=10**12))),
        ("lists no accounts", lambda g: replace(g, accounts=ledger.genesis.accounts)),
    ]


@pytest.mark.parametrize("row", range(19))
def test_a_base_that_cannot_be_is_refused(row: int) -> None:
    """LC-BLK-37"""
    old, _ = busy()
    text, forge = _forged(old)[row]
    made = forge(restarted(old))
    with pytest.raises(Malformed, match=text):
        check_genesis(made)
    with pytest.raises(Malformed):
        from_json(to_json(made))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda base: base | {"more": 1}, "unknown fields"),
        (lambda base: base | {"chain_id": base["chain_id"].upper()}, "small letters"),
        (lambda base: base | {"block_id": base["block_id"][:-2]}, "genesis file"),
        (lambda base: base | {"height": 0}, "genesis file"),
        (lambda base: base | {"height": True}, "genesis file"),
        (lambda base: {k: v for k, v in base.items() if k != "records"}, "genesis file"),
        (lambda base: base | {"records": []}, "genesis file"),
        (lambda base: base | {"validators": {}}, "genesis file"),
        (lambda base: [], "genesis file"),
    ],
)
def test_a_base_is_written_in_one_way(change: Any, text: str) -> None:
    """LC-BLK-40"""
    old, _ = busy()
    document = json.loads(to_json(restarted(old)))
    document["base"] = change(document["base"])
    with pytest.raises(Malformed, match=text):
        from_json(json.dumps(document).encode())


# --- what others make of it -----------------------------------------------------------------------------------------------------


def test_a_light_client_follows_from_the_new_genesis() -> None:
    """LC-LIGHT-2: verify.py reads the file as the code does, and nobody needs the old chain for a receipt of the new one."""
    path = Path(__file__).parents[2] / "protocol_spec" / "verify.py"
    read_genesis = runpy.run_path(str(path))["read_genesis"]
    old, _ = busy()
    made = restarted(old)
    chain, validators, name = read_genesis(to_json(made))
    assert (chain, validators, name) == (made.chain_id, [[v.id, v.key] for v in made.validators], "again")
    assert read_genesis(to_json(old.genesis))[0] == old.chain_id
