"""Genesis and the state: files, chain ids, first states, loading, overlays (LC-BLK-9, 16; LC-MRK-7)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.chain.codec import encode
from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.errors import Malformed
from learningchain.chain.host import Account, Due, Escrow, account_key, due_key, escrow_key
from learningchain.chain.ledger.genesis import (
    MAX_TIME,
    Genesis,
    OtherRules,
    Section,
    all_params,
    check_genesis,
    first_state,
    from_json,
    to_json,
)
from learningchain.chain.ledger.state import Overlay, State
from learningchain.chain.ledger.transition import chain_record, params_of, validators_of
from learningchain.chain.merkle import check_key
from learningchain.chain.params import MAX_INT, Params
from tests.unit.ledger_kit import GRANT, genesis_of, id_of, key_of

# --- the file -----------------------------------------------------------------------------------------------------------------


def test_a_genesis_survives_its_file() -> None:
    genesis = genesis_of("alice", grant=1_234_567, block_reward=3, max_due=7_999)
    assert from_json(to_json(genesis)) == genesis
    assert from_json(to_json(genesis)).chain_id == genesis.chain_id


def test_networks_that_differ_in_anything_have_different_ids() -> None:
    genesis = genesis_of("alice")
    others = [
        msgspec.structs.replace(genesis, name="other"),
        msgspec.structs.replace(genesis, time=genesis.time + 1),
        msgspec.structs.replace(genesis, accounts=genesis.accounts[::-1]),
        msgspec.structs.replace(genesis, ca_key=b"x"),
        genesis_of("alice", drift=2_001),
        genesis_of("alice", appeal=7),
    ]
    assert len({g.chain_id for g in [genesis, *others]}) == 7


def test_parameters_that_a_file_leaves_out_have_their_defaults() -> None:
    document = json.loads(to_json(genesis_of()))
    document["params"] = {"drift": 7}
    assert from_json(json.dumps(document).encode()).params == Params(drift=7)


def test_a_contract_that_a_file_leaves_out_has_its_defaults() -> None:
    document = json.loads(to_json(genesis_of(appeal=7)))
    document["contracts"] = {"job": {"job_reveal": 5}}
    found = all_params(from_json(json.dumps(document).encode()))
    assert found == all_params(genesis_of(job_reveal=5))
    del document["contracts"]
    assert all_params(from_json(json.dumps(document).encode())) == all_params(genesis_of())


def test_a_network_with_other_contracts_than_the_program_is_refused() -> None:
    genesis = genesis_of()
    for sections in (genesis.contracts[:-1], [*genesis.contracts, Section(9, [])], genesis.contracts[::-1]):
        with pytest.raises(Malformed, match=r"the network has the contracts .*, this program 1, 2, 3"):
            check_genesis(msgspec.structs.replace(genesis, contracts=sections))
    with pytest.raises(Malformed, match="contract credits has no parameters"):
        check_genesis(msgspec.structs.replace(genesis, contracts=[Section(1, [5]), *genesis.contracts[1:]]))


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    document: dict[str, Any] = json.loads(to_json(genesis_of("alice")))
    change(document)
    return json.dumps(document).encode()


BAD: dict[str, bytes] = {
    "empty": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "not UTF-8": b"\xff\xfe",
    "nested without end": b'{"params":' + b"[" * 100_000,
    "too long": b" " * 8_000_001,
    "version 2": edited(lambda d: d.update(version=2)),
    "no name": edited(lambda d: d.update(name="")),
    "name too long": edited(lambda d: d.update(name="x" * 65)),
    "negative time": edited(lambda d: d.update(time=-1)),
    "a time above every integer": edited(lambda d: d.update(time=2**70)),
    "time far in the future": edited(lambda d: d.update(time=MAX_TIME + 1)),
    "time as a float": edited(lambda d: d.update(time=1.5)),
    "no accounts": edited(lambda d: d.update(accounts=[])),
    "accounts missing": edited(lambda d: d.pop("accounts")),
    "accounts as text": edited(lambda d: d.update(accounts="xx")),
    "no validator": edited(lambda d: [a.update(validator=False) for a in d["accounts"]]),
    "validator as a number": edited(lambda d: d["accounts"][0].update(validator=1)),
    "a key twice": edited(lambda d: d["accounts"].append(d["accounts"][0])),
    "a key that is none": edited(lambda d: d["accounts"][0].update(key="02" + "ff" * 32)),
    "a short key": edited(lambda d: d["accounts"][0].update(key="02")),
    "a key that is not hex": edited(lambda d: d["accounts"][0].update(key="zz")),
    "credits as a number": edited(lambda d: d["accounts"][0].update(credits=5)),
    "negative credits": edited(lambda d: d["accounts"][0].update(credits="-5")),
    "seven digits behind the point": edited(lambda d: d["accounts"][0].update(credits="1.0000001")),
    "more credits than can exist": edited(lambda d: [a.update(credits="9000000000000") for a in d["accounts"]]),
    "an unknown parameter": edited(lambda d: d["params"].update(drfit=1)),
    "fewer deadlines than a block can set": edited(lambda d: d["params"].update(max_due=1_535)),
    "less work than that of the lightest deadlines": edited(lambda d: d["params"].update(max_due_work=1_535)),
    "a parameter of zero": edited(lambda d: d["params"].update(max_due=0)),
    "a parameter as text": edited(lambda d: d["params"].update(max_due="9")),
    "an endless appeal": edited(lambda d: d["contracts"]["membership"].update(appeal=MAX_INT)),
    "jobs that are too short and too long": edited(lambda d: d["contracts"]["job"].update(job_min_open=2, job_max_open=1)),
    "a contract that nobody has": edited(lambda d: d["contracts"].update(weather={})),
    "a contract's parameter in another's section": edited(lambda d: d["contracts"]["credits"].update(appeal=1)),
    "a contract's parameter among the ledger's": edited(lambda d: d["params"].update(appeal=1)),
    "a contract's parameter of zero": edited(lambda d: d["contracts"]["job"].update(job_reveal=0)),
    "a contract's parameter as text": edited(lambda d: d["contracts"]["job"].update(job_reveal="9")),
    "contracts as a list": edited(lambda d: d.update(contracts=[1])),
    "a certificate too long": edited(lambda d: d.update(ca_cert="x" * 8_193)),
}


OTHER_RULES = {
    "version 2": "of protocol version 2",
    "an unknown parameter": "the ledger that this version does not know: drfit",
    "a contract's parameter in another's section": "contract credits that this version does not know: appeal",
}
"""Files that are whole, and of a network of another version: no other copy of them would help."""


@pytest.mark.parametrize("name", BAD)
def test_a_file_of_other_rules_is_told_from_a_bad_one(name: str) -> None:
    with pytest.raises(Malformed) as refused:
        from_json(BAD[name])
    others = name in OTHER_RULES or name == "a contract's parameter among the ledger's"
    assert (refused.type is OtherRules) == others and OTHER_RULES.get(name, "") in str(refused.value)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(Malformed, match=r".{5,}"):
        from_json(BAD[name])


@given(
    st.dictionaries(
        st.sampled_from(["version", "name", "time", "params", "accounts", "ca_cert", "ca_key"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", "credits", "x"]), inner, max_size=3)
            ),
            max_leaves=6,
        ),
    )
)
@settings(max_examples=80, deadline=None)
def test_any_json_is_a_genesis_or_malformed(changes: dict[str, Any]) -> None:
    with contextlib.suppress(Malformed):
        from_json(edited(lambda d: d.update(changes)))


def test_more_than_128_validators_are_too_many() -> None:
    names = tuple(f"v{n}" for n in range(129))
    check_genesis(genesis_of(validators=names[:128]))
    with pytest.raises(Malformed, match="128"):
        check_genesis(genesis_of(validators=names))


# --- the first state ----------------------------------------------------------------------------------------------------------


def test_the_first_state() -> None:
    genesis = genesis_of("alice", drift=77)
    state, encoded = first_state(genesis)
    record = chain_record(state)
    assert (record.chain_id, record.height, record.time, record.clock) == (genesis.chain_id, 0, 1_000_000, 1_000_000)
    assert params_of(state).drift == 77
    assert [v.id for v in validators_of(state)] == sorted(id_of(n) for n in ("v1", "v2", "v3", "v4"))
    assert state.get(account_key(id_of("alice"))) == Account(key_of("alice").public, 0, GRANT, 0, [0] * 4, 0)
    assert state.get(member_key(id_of("alice"))) == Member(id_of("alice"), False, 0, 0, [], 0, [], [])
    assert state.total() == 5 * GRANT
    assert State.load((k, v) for k, v in encoded if v is not None).root == state.root


def test_a_genesis_with_faults_has_no_first_state() -> None:
    genesis = msgspec.structs.replace(genesis_of(), version=9)
    with pytest.raises(Malformed, match="version 9"):
        first_state(genesis)


# --- loading ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "raw"),
    [
        (b"a/" + bytes(20), b"\x95"),
        (b"a/" + bytes(20), b""),
        (b"a/" + bytes(20), encode(Escrow(1))),
        (b"e/" + bytes(32), b"\x91\xcc\x05"),
        (b"zz/" + bytes(20), encode(Escrow(1))),
        (b"no slash", encode(Escrow(1))),
        (b"", b""),
    ],
)
def test_a_damaged_record_is_told(key: bytes, raw: bytes) -> None:
    with pytest.raises(Malformed):
        State.load([(key, raw)])


# --- overlays -----------------------------------------------------------------------------------------------------------------

KEYS = [due_key(a * 20, t, 1, r) for a in (b"\x00", b"\xff") for t in (0, 255, 256) for r in (b"", b"\x00", b"\xff" * 32)]
KEYS += [escrow_key(bytes([n]) * 21) for n in range(4)]


def test_finish_leaves_out_what_did_not_change() -> None:
    state, _ = first_state(genesis_of())
    overlay = Overlay(state)
    key = account_key(id_of("v1"))
    overlay.put(key, overlay.get(key))
    overlay.put(escrow_key(b"x" * 32), Escrow(1))
    overlay.delete(escrow_key(b"x" * 32))
    changes, encoded, tree = overlay.finish()
    assert (changes, encoded) == ([], [])
    assert tree is state.tree


def test_a_block_of_many_deadlines_keeps_their_order() -> None:
    state = State()
    rows = {due_key(bytes((at % 7,)) * 20, at, 3, bytes((at % 251,))): Due(3, bytes((at % 251,))) for at in range(1, 400)}
    for wanted in (set(list(rows)[::3]), set(list(rows)[::2]), set(list(rows)[5:7]), set()):
        overlay = Overlay(state)
        for key in rows.keys() - wanted:
            overlay.delete(key)
        for key in sorted(wanted, reverse=True):
            overlay.put(key, rows[key])
        changes, _, tree = overlay.finish()
        state.commit(changes, tree)
        assert state.keys(b"d/") == sorted(wanted)
        assert list(state.scan(b"d/", 999)) == [(key, rows[key]) for key in sorted(wanted)]


def test_a_refused_transaction_leaves_the_block_as_it_was() -> None:
    state, _ = first_state(genesis_of())
    key, other = escrow_key(b"x" * 32), escrow_key(b"y" * 32)
    overlay = Overlay(state)
    overlay.put(key, Escrow(1))
    for _ in range(2):
        overlay.begin()
        overlay.put(key, Escrow(2))
        overlay.delete(key)
        overlay.put(other, Escrow(5))
        assert overlay.tx_difference() == (4, 0)
        overlay.drop()
        assert (overlay.get(key), overlay.get(other)) == (Escrow(1), None)
        assert overlay.block_difference() == (1, 0)
    overlay.begin()
    overlay.put(key, Escrow(7))
    assert overlay.tx_difference() == (6, 0)
    overlay.keep()
    assert [record for _, record in overlay.finish()[0]] == [Escrow(7)]


def test_the_state_proves_what_it_holds_and_what_not() -> None:
    state, _ = first_state(genesis_of("alice"))
    key, absent = account_key(id_of("alice")), account_key(bytes(20))
    value, proof = state.prove(key)
    assert check_key(state.root, key, value, proof)
    nothing, proof = state.prove(absent)
    assert nothing is None
    assert check_key(state.root, absent, None, proof)


def test_genesis_is_encoded_in_one_way() -> None:
    genesis = genesis_of("alice")
    assert msgspec.msgpack.decode(encode(genesis), type=Genesis) == genesis
