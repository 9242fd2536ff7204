"""Restarts: the genesis of a network that goes on from the state of another one (LC-BLK-37 to LC-BLK-40).

A case names the old genesis, the records of the state after its last block, that block, and what people chose; the genesis that
follows from these stands beside it, as bytes and as file, with its first state's root.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.contracts.credits import Allowance, allowance_key
from learningchain.chain.contracts.governance import AddValidator, OpenProposal, Propose, proposal_key
from learningchain.chain.contracts.job.records import JobState, Live
from learningchain.chain.contracts.membership import (
    Ejection,
    Invitation,
    Invite,
    MemberParams,
    SetBoxKey,
    ejection_key,
    invitation_key,
    member_key,
)
from learningchain.chain.contracts.prediction.messages import ServeModel, model_id_of
from learningchain.chain.errors import Malformed
from learningchain.chain.host import (
    BANNED,
    K_PARAMS,
    K_PROTOCOL,
    K_SUPPLY,
    Account,
    ChainRecord,
    ClockMark,
    ClockMarks,
    Due,
    Escrow,
    History,
    NextProtocol,
    Parked,
    PendingParams,
    Protocol,
    Supply,
    Validators,
    account_key,
    escrow_key,
    height_due_key,
    parked_key,
)
from learningchain.chain.ledger.base import Base
from learningchain.chain.ledger.genesis import (
    Genesis,
    GenesisAccount,
    RestartedGenesis,
    check_genesis,
    first_state,
    from_json,
    make_params,
    to_json,
)
from learningchain.chain.ledger.restart import restart
from learningchain.chain.ledger.state import State
from learningchain.chain.ledger.state_diff import Record
from learningchain.chain.types import tx_id
from tests.vectors.job_plays import NAMES, SHORT, VALIDATORS, VERIFIERS, Play
from tests.vectors.kit import id_of, key_of
from tests.vectors.prediction_plays import NUMBERS, asking, box_key

STAY = ("v1", "v4", "w2")
REF = b"r" * 20
NO_POINT = b"\x02" + (5).to_bytes(32, "big")


def _old() -> Genesis:
    """That of the plays."""
    accounts = [
        GenesisAccount(key_of(n).public, 10_000_000, n in VALIDATORS, n in VERIFIERS) for n in NAMES.values() if n != "erin"
    ]
    accounts.append(GenesisAccount(key_of("erin").public, 5, False, False))
    params, sections = make_params(**SHORT)
    return Genesis(1, "plays", 1_700_000_000_000, params, accounts, b"", b"", sections)


def _made(play: Play) -> tuple[RestartedGenesis, State]:
    if play.header is None:
        raise ValueError(f"{play.name} has no block")
    chosen = [id_of(name) for name in STAY]
    return restart(_old(), play.state, play.header, chosen, "plays again")[0], play.state


def _plays() -> list[Play]:
    quiet = Play("nothing under way", "LC-BLK-38")
    quiet.block()
    busy = Play("a claimed job, an invitation and a proposal", "LC-BLK-38")
    busy.post()
    busy.claims(("w1", 500), ("w3", 400))
    busy.do("bob", Invite(key_of("newcomer").public, busy.clock + 50_000, 7))
    busy.do("v2", Propose(AddValidator(id_of("w1")), busy.clock + 50_000))
    drawn = Play("a job whose committee is to be drawn", "LC-BLK-38")
    drawn.post()
    drawn.claims(("w1", 500))
    drawn.until(JobState.REVEAL)
    drawn.reveals("w1")
    drawn.until(JobState.DRAW)
    asked = Play("a request that is answered, and one that waits", "LC-BLK-38")
    asked.do("alice", NUMBERS)
    model = model_id_of(tx_id(asked.last), 0)
    for name in VERIFIERS[:3]:
        asked.do(name, SetBoxKey(box_key(name)), ServeModel(model, 1_002_000))
    asked.do("bob", asking(model, answers=3))
    asked.block()
    asked.block()
    asked.do("bob", asking(model, answers=3))
    left = busy.left() | {
        parked_key(3, busy.job): Parked(2, "failed", [], [], []),
        height_due_key(90, REF, 5, 2, REF): Due(2, REF),
        K_PROTOCOL: Protocol(1, [NextProtocol(2, 99)]),
        ejection_key(id_of("w4"), 2): Ejection(2),
        allowance_key(id_of("alice"), id_of("bob")): Allowance(5),
    }
    odd = Play("what waits for heights of the old chain, and a parked job", "LC-BLK-38", records=left)
    odd.job, odd.sequences = busy.job, dict(busy.sequences)
    odd.block()
    return [quiet, busy, drawn, odd, asked]


def restarts() -> dict[str, Any]:
    cases, plays = [], _plays()
    for play in plays:
        made, state = _made(play)
        cases.append(
            {
                "rule": play.rule,
                "why": play.name,
                "old": encode(_old()).hex(),
                "state": {key.hex(): raw.hex() for key, raw in sorted(state.items())},
                "block_id": made.base.block_id.hex(),
                "state_root": state.root.hex(),
                "validators": [id_of(name).hex() for name in STAY],
                "name": made.name,
                "bytes": encode(made).hex(),
                "file": to_json(made).decode(),
                "chain_id": made.chain_id.hex(),
                "first_root": first_state(made)[0].root.hex(),
            }
        )
    made, _ = _made(plays[0])
    return {"rule": "LC-BLK-37", "cases": cases, "refused": _refused(made), "refused_files": _refused_files(made)}


# --- refused ------------------------------------------------------------------------------------------------------------------


def _put(base: Base, key: bytes, value: Any) -> Base:
    records = {one.key: one.value for one in base.records}
    if value is None:
        del records[key]
    else:
        records[key] = value if isinstance(value, bytes) else encode(value)
    return replace(base, records=[Record(k, v) for k, v in sorted(records.items())])


def _refused(made: RestartedGenesis) -> list[dict[str, Any]]:
    """LC-BLK-37"""
    state = first_state(made)[0]
    who, other = (id_of(name) for name in STAY[:2])
    account, supply, member = (state.get(key) for key in (account_key(who), K_SUPPLY, member_key(who)))
    assert isinstance(account, Account) and isinstance(supply, Supply) and member is not None
    v = next(v for v in made.validators if v.id == who)
    moved = replace(account, balance=0, status=BANNED)
    changes: dict[str, Callable[[Base], Base]] = {
        "a micro-credit more": lambda b: _put(b, account_key(who), replace(account, balance=account.balance + 1)),
        "a micro-credit less": lambda b: _put(b, account_key(who), replace(account, balance=account.balance - 1)),
        "a frozen micro-credit more": lambda b: _put(b, account_key(who), replace(account, frozen=account.frozen + 1)),
        "an escrow more": lambda b: _put(b, escrow_key(REF), Escrow(1)),
        "no supply": lambda b: _put(b, K_SUPPLY, None),
        "a banned validator": lambda b: _put(
            _put(b, account_key(who), moved), K_SUPPLY, Supply(supply.minted, supply.burned + account.balance)
        ),
        "a validator that left": lambda b: _put(b, member_key(who), replace(member, left=5)),
        "a validator without an account": lambda b: replace(b, validators=[replace(v, id=bytes(20))]),
        "a validator by another's key": lambda b: replace(b, validators=[replace(v, id=other)]),
        "a validator's key that is no point": lambda b: replace(b, validators=[replace(v, key=NO_POINT)]),
        "validators in another order": lambda b: replace(b, validators=b.validators[::-1]),
        "records in another order": lambda b: replace(b, records=b.records[::-1]),
        "a record twice": lambda b: replace(b, records=[b.records[0], *b.records]),
        "a record of no prefix": lambda b: _put(b, b"zz/", b"\x90"),
        "a record of another type": lambda b: _put(b, b"ca/" + REF, b"\x92\x01\x01"),
        "a beacon commitment": lambda b: _put(b, b"gb/" + who, b"\x92\x01\xc4\x20" + bytes(32)),
        "a parameter that is none of the base": lambda b: _put(b, K_PARAMS, replace(made.params, quota=made.params.quota + 1)),
        "an upgrade for a height": lambda b: _put(b, K_PROTOCOL, Protocol(1, [NextProtocol(2, 9)])),
        "a clock above the time": lambda b: replace(b, clock=made.time + 1),
        "a validator twice": lambda b: replace(b, validators=[one for one in b.validators for _ in range(2)]),
        "a validator and its account, by a key that is no point": lambda b: replace(
            _put(b, account_key(who), replace(account, key=NO_POINT)), validators=[replace(v, key=NO_POINT)]
        ),
        "a contract's parameter that is none of the base": lambda b: _put(b, b"gp2/", replace(MemberParams(), appeal=60_000)),
        "no parameters of a contract": lambda b: _put(b, b"gp2/", None),
        "parameters of a contract that has none": lambda b: _put(b, b"gp1/", b"\x90"),
    }
    # What is not carried (LC-BLK-38), each a good record of its prefix.
    one = Validators(1, [v])
    held = {
        "what the state stands after": (b"g/", ChainRecord(made.base.chain_id, 1, 1, 1, bytes(32))),
        "a validator set": (b"gv/", one),
        "a next validator set": (b"gn/", one),
        "former validator sets": (b"gh/", History([one])),
        "when heights were": (b"gt/", ClockMarks([ClockMark(0, 1)])),
        "pending parameters": (b"gq/", PendingParams([])),
        "a deadline for a height": (height_due_key(90, REF, 5, 2, REF), Due(2, REF)),
        "a reported double signing": (ejection_key(who, 2), Ejection(2)),
        "an open invitation": (invitation_key(bytes(32)), Invitation(v.key, who, made.time + 9, 0)),
        "a job under way": (b"j/" + bytes(32), Live(1, made.time + 9)),
        "an open proposal": (proposal_key(bytes(32)), OpenProposal(who, AddValidator(other), 1, made.time + 9, [who], [], 0)),
    }
    for why, (key, record) in held.items():
        changes[why] = lambda b, key=key, record=record: _put(b, key, record)  # type: ignore[misc]
    cases = {why: replace(made, base=change(made.base)) for why, change in changes.items()}
    cases["an account that is granted something"] = replace(made, accounts=[GenesisAccount(key_of("erin").public, 0, False, False)])
    for why, case in cases.items():
        with suppress(Malformed):
            check_genesis(case)
            raise ValueError(f"a restart that should be refused: {why}")
    return [{"rule": "LC-BLK-37", "why": why, "bytes": encode(case).hex()} for why, case in cases.items()]


def _refused_files(made: RestartedGenesis) -> list[dict[str, Any]]:
    """LC-BLK-40"""
    good = json.loads(to_json(made))
    base = good["base"]
    cases = {
        "a field of the base that nobody knows": base | {"comment": ""},
        "a base without its records": {name: value for name, value in base.items() if name != "records"},
        "records as a list": base | {"records": []},
        "hex in capitals": base | {"block_id": base["block_id"].upper()},
        "a space in hex": base | {"block_id": f"{base['block_id'][:2]} {base['block_id'][2:]}"},
        "half a byte": base | {"block_id": base["block_id"][:-1]},
        "a hash of 31 bytes": base | {"block_id": base["block_id"][:-2]},
        "a height of zero": base | {"height": 0},
        "a list as its base": [],
    }
    texts = {why: json.dumps(good | {"base": case}) for why, case in cases.items()}
    for why, case in texts.items():
        with suppress(Malformed):
            from_json(case.encode())
            raise ValueError(f"a file that should be refused: {why}")
    return [{"rule": "LC-BLK-40", "why": why, "file": case} for why, case in texts.items()]
