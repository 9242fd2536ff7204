"""Genesis after `protocol_spec/blocks.md`: what is refused, the chain id, the first state, the file."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance import records as r
from tests.conformance import restarts
from tests.conformance.checks import Refused, check
from tests.conformance.keys import check_key, identity, tagged
from tests.conformance.texts import parse_credits
from tests.conformance.wire import decode, encode

MAX_GENESIS_BYTES = 16_000_000
MAX_TIME = 2**48
MIN_BLOCK_BYTES, MAX_BLOCK_BYTES, MAX_BLOCK_TXS = 131_082, 4_000_000, 8_192
NAMES = [name for name, _ in r.PARAMS.fields]
BANDWIDTH = ("bandwidth_base", "bandwidth_per_credit")
COUNTS = ("block_bytes", "block_txs", "block_work", "quota", "max_due", "max_due_work", "block_reward", *BANDWIDTH)
CONTRACT_COUNTS = ("join_policy", "job_min_bounty", "job_rate", "job_max_claimants", "job_max_live", "job_max_live_bytes")
OF_CONTRACTS = {name: [] if kind is None else [n for n, _ in kind.fields] for name, kind in r.OF_CONTRACTS.values()}


@check("LC-BLK-9")
def genesis_names_version_1(version: int) -> bool:
    return version == 1


@check("LC-BLK-9")
def no_key_stands_twice_in_genesis(accounts: list[Any]) -> bool:
    return len({a[0] for a in accounts}) == len(accounts)


@check("LC-BLK-9")
def genesis_has_a_validator(accounts: list[Any]) -> bool:
    return any(a[2] for a in accounts)


@check("LC-BLK-37")
def a_genesis_with_a_base_lists_no_accounts(accounts: list[Any]) -> bool:
    return not accounts


@check("LC-BLK-9")
def genesis_has_at_most_128_validators(accounts: list[Any]) -> bool:
    return sum(a[2] for a in accounts) <= 128


@check("LC-BLK-9")
def genesis_grants_at_most_the_largest_supply(accounts: list[Any]) -> bool:
    return sum(a[1] for a in accounts) <= 2**63 - 1


@check("LC-BLK-32")
def genesis_names_the_contracts_in_their_order(sections: list[Any]) -> bool:
    return [number for number, _ in sections] == [*r.OF_CONTRACTS]


@check("LC-BLK-32")
def a_contract_without_parameters_has_no_values(values: list[int]) -> bool:
    return not values


@check("LC-BLK-32")
def job_min_open_is_not_above_job_max_open(p: dict[str, int]) -> bool:
    return p["job_min_open"] <= p["job_max_open"]


@check("LC-BLK-32")
def recovery_delay_min_is_not_above_recovery_delay_max(p: dict[str, int]) -> bool:
    return p["recovery_delay_min"] <= p["recovery_delay_max"]


@check("LC-BLK-9")
def a_block_has_room_for_two_of_the_largest_transactions(p: dict[str, int]) -> bool:
    return p["block_bytes"] >= MIN_BLOCK_BYTES


@check("LC-BLK-32")
def the_tenth_of_a_bounty_is_something(p: dict[str, int]) -> bool:
    return p["job_min_bounty"] >= 10


@check("LC-BLK-9")
def a_block_has_at_most_4_000_000_bytes(p: dict[str, int]) -> bool:
    return p["block_bytes"] <= MAX_BLOCK_BYTES


@check("LC-BLK-9")
def a_block_has_at_most_8_192_transactions(p: dict[str, int]) -> bool:
    return p["block_txs"] <= MAX_BLOCK_TXS


@check("LC-BLK-9")
def a_block_has_room_for_two_transactions_of_the_heaviest_messages(p: dict[str, int]) -> bool:
    return p["block_work"] >= 25_600


@check("LC-BLK-9")
def a_window_earns_anybody_the_largest_transaction(p: dict[str, int]) -> bool:
    return p["bandwidth_base"] * p["bandwidth_window"] >= 65_536_000


@check("LC-BLK-9")
def genesis_is_not_later_than_2_48(time: int) -> bool:
    return time <= MAX_TIME


@check("LC-BLK-9")
def no_span_is_longer_than_2_48(p: dict[str, int]) -> bool:
    return all(value <= MAX_TIME for name, value in p.items() if name not in COUNTS)


@check("LC-BLK-32")
def no_span_of_a_contract_is_longer_than_2_48(p: dict[str, int]) -> bool:
    return all(value <= MAX_TIME for name, value in p.items() if name not in CONTRACT_COUNTS)


def read_sections(sections: list[Any]) -> dict[int, list[int]]:
    """LC-BLK-32: by number, of the contracts that have parameters."""
    genesis_names_the_contracts_in_their_order(sections)
    found: dict[int, list[int]] = {}
    for number, values in sections:
        kind = r.OF_CONTRACTS[number][1]
        if kind is None:
            a_contract_without_parameters_has_no_values(values)
            continue
        found[number] = decode(kind, encode(values), MAX_GENESIS_BYTES)
        no_span_of_a_contract_is_longer_than_2_48(dict(zip((name for name, _ in kind.fields), values, strict=True)))
    go_together(3, dict(zip(OF_CONTRACTS["job"], found[3], strict=True)))
    go_together(7, dict(zip(OF_CONTRACTS["keys"], found[7], strict=True)))
    return found


def go_together(contract: int, p: dict[str, int]) -> None:
    """LC-GOV-8: what values of a contract, or of the ledger (0), must hold together."""
    if contract == 3:
        job_min_open_is_not_above_job_max_open(p)
        the_tenth_of_a_bounty_is_something(p)
    if contract == 7:
        recovery_delay_min_is_not_above_recovery_delay_max(p)
    if contract == 0:
        _bounds_of_blocks(p)
        a_block_runs_as_many_deadlines_as_its_messages_can_set(p)
        a_block_has_room_for_the_work_of_its_deadlines(p)


def _bounds_of_blocks(p: dict[str, int]) -> None:
    a_block_has_room_for_two_of_the_largest_transactions(p)
    a_block_has_at_most_4_000_000_bytes(p)
    a_block_has_at_most_8_192_transactions(p)
    a_block_has_room_for_two_transactions_of_the_heaviest_messages(p)
    a_window_earns_anybody_the_largest_transaction(p)


def read_genesis(raw: bytes) -> list[Any]:
    """LC-BLK-9, 37"""
    found: list[Any] = decode(r.RESTARTED_GENESIS if has_base(raw) else r.GENESIS, raw, MAX_GENESIS_BYTES)
    version, _, time, values, accounts, _, _, sections = found[:8]
    p = dict(zip(NAMES, values, strict=False))
    genesis_names_version_1(version)
    for key, *_ in accounts:
        check_key(key)
    no_key_stands_twice_in_genesis(accounts)
    if has_base(raw):
        a_genesis_with_a_base_lists_no_accounts(accounts)
    else:
        genesis_has_a_validator(accounts)
    genesis_has_at_most_128_validators(accounts)
    genesis_grants_at_most_the_largest_supply(accounts)
    parameters = {b"gp/": values} | {b"gp%d/" % number: given for number, given in read_sections(sections).items()}
    _bounds_of_blocks(p)
    genesis_is_not_later_than_2_48(time)
    no_span_is_longer_than_2_48(p)
    if has_base(raw):
        restarts.check_base(found[8], time, parameters)
    return found


def has_base(raw: bytes) -> bool:
    """LC-BLK-37: nine fields, not eight."""
    return raw[:1] == b"\x99"


def chain_id(raw: bytes) -> bytes:
    return tagged("lc/genesis", raw)


def first_validators(raw: bytes) -> bytes:
    """The encoded set that signs block 1."""
    if has_base(raw):
        return encode(read_genesis(raw)[8][5])
    return encode(sorted([identity(key), key] for key, _, validator, _ in read_genesis(raw)[4] if validator))


def first_state(raw: bytes) -> dict[bytes, bytes]:
    """LC-BLK-9, 39: the records before block 1."""
    if has_base(raw):
        return restarts.first_state(read_genesis(raw), chain_id(raw))
    _, _, time, params, accounts, _, _, sections = read_genesis(raw)
    chain, members = chain_id(raw), decode(r.VALIDATOR_SET, first_validators(raw), MAX_GENESIS_BYTES)
    found: dict[bytes, Any] = {
        b"g/": [chain, 0, time, time, tagged("lc/beacon", chain)],
        b"gp/": params,
        b"gs/": [sum(a[1] for a in accounts), 0],
        b"gv/": [1, members],
        b"gh/": [[[1, members]]],
        b"gt/": [[[0, time]]],
    }
    found |= {b"gp%d/" % number: values for number, values in read_sections(sections).items()}
    for key, credits, _, verifier in accounts:
        found[b"a/" + identity(key)] = [key, 0, credits, 0, [0, 0, 0, 0], 0]
        found[b"m/" + identity(key)] = [identity(key), verifier, 0, 0, [], 0, [], [], b"", 0, 0, b"", 0]
    return {key: encode(fields) for key, fields in found.items()}


# --- the file -----------------------------------------------------------------------------------------------------------------


@check("LC-BLK-16")
def no_name_stands_twice_in_an_object(pairs: list[tuple[str, Any]]) -> bool:
    return len(dict(pairs)) == len(pairs)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    no_name_stands_twice_in_an_object(pairs)
    return dict(pairs)


FIELDS = {"version", "name", "time", "params", "accounts", "ca_cert", "ca_key"}
OPTIONAL = {"contracts", "base"}


@check("LC-BLK-16")
def the_file_is_an_object_with_its_fields(document: Any) -> bool:
    return isinstance(document, dict) and set(document) >= FIELDS


@check("LC-BLK-16")
def the_file_has_no_other_fields(document: dict[str, Any]) -> bool:
    return set(document) <= FIELDS | OPTIONAL


@check("LC-BLK-16")
def accounts_of_the_file_have_no_other_fields(accounts: list[Any]) -> bool:
    return all(set(a) <= {"key", "credits", "validator", "verifier"} for a in accounts)


@check("LC-BLK-16")
def keys_of_the_file_have_66_characters(accounts: list[Any]) -> bool:
    return all(len(a["key"]) == 66 for a in accounts)


@check("LC-BLK-16")
def the_file_names_no_unknown_parameter(params: dict[str, Any]) -> bool:
    return set(params) <= set(NAMES)


@check("LC-BLK-16")
def contracts_of_the_file_are_an_object_of_objects(contracts: Any) -> bool:
    return isinstance(contracts, dict) and all(isinstance(section, dict) for section in contracts.values())


@check("LC-BLK-16")
def the_file_names_no_unknown_contract(contracts: dict[str, Any]) -> bool:
    return set(contracts) <= set(OF_CONTRACTS)


@check("LC-BLK-16")
def the_file_names_no_unknown_parameter_of_a_contract(name: str, section: dict[str, Any]) -> bool:
    return set(section) <= set(OF_CONTRACTS[name])


@check("LC-BLK-16")
def credits_stand_as_text_in_the_file(accounts: list[Any]) -> bool:
    return all(isinstance(a["credits"], str) for a in accounts)


@check("LC-BLK-16")
def a_block_runs_as_many_deadlines_as_its_messages_can_set(p: dict[str, int]) -> bool:
    return 32 * p["max_due"] >= p["block_work"]


@check("LC-BLK-16")
def a_block_has_room_for_the_work_of_its_deadlines(p: dict[str, int]) -> bool:
    return p["max_due_work"] >= p["max_due"]


def from_file(text: str, defaults: dict[str, int]) -> bytes:
    """LC-BLK-16: the genesis of a file; `defaults` are those of `constants.md`."""
    try:
        document = json.loads(text, object_pairs_hook=_object)
    except ValueError as e:
        raise Refused(f"not JSON: {e}") from None
    the_file_is_an_object_with_its_fields(document)
    the_file_has_no_other_fields(document)
    accounts_of_the_file_have_no_other_fields(document["accounts"])
    keys_of_the_file_have_66_characters(document["accounts"])
    the_file_names_no_unknown_parameter(document["params"])
    credits_stand_as_text_in_the_file(document["accounts"])
    params = [document["params"].get(name, defaults[name]) for name in NAMES]
    sections = _sections(document.get("contracts", {}), defaults)
    a_block_runs_as_many_deadlines_as_its_messages_can_set(dict(zip(NAMES, params, strict=True)))
    a_block_has_room_for_the_work_of_its_deadlines(dict(zip(NAMES, params, strict=True)))
    try:
        accounts = [
            [bytes.fromhex(a["key"]), parse_credits(a["credits"]), a["validator"], a["verifier"]] for a in document["accounts"]
        ]
    except ValueError:
        raise Refused("keys are written in hex") from None
    head = [document["version"], document["name"], document["time"]]
    base = [restarts.from_file(document["base"])] if "base" in document else []
    raw = encode([*head, params, accounts, document["ca_cert"].encode(), document["ca_key"].encode(), sections, *base])
    read_genesis(raw)
    return raw


def _sections(contracts: Any, defaults: dict[str, int]) -> list[Any]:
    contracts_of_the_file_are_an_object_of_objects(contracts)
    the_file_names_no_unknown_contract(contracts)
    found = []
    for number, (name, _) in r.OF_CONTRACTS.items():
        section = contracts.get(name, {})
        the_file_names_no_unknown_parameter_of_a_contract(name, section)
        found.append([number, [section.get(one, defaults[one]) for one in OF_CONTRACTS[name]]])
    return found
