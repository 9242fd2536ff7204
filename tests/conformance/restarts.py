"""A network that begins from the state of another one, after `blocks.md` (LC-BLK-37 to LC-BLK-40)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.conformance import admission, federations, governance, job_ends, membership, predictions
from tests.conformance import records as r
from tests.conformance.checks import Refused, check, part, register
from tests.conformance.keys import check_key, tagged
from tests.conformance.ledger import BANNED, MAX_RECORD, State
from tests.conformance.wire import decode, encode

NOT_CARRIED = (b"g/", b"gv/", b"gn/", b"gh/", b"gq/", b"gt/", b"gb/", b"dh/", b"me/", b"mk/", b"j/", b"py/", b"f/", b"op/")
ENDS = (
    (2, b"mk/", admission.give_back),
    (3, b"j/", job_ends.give_back),
    (4, b"py/", predictions.give_back),
    (5, b"f/", federations.give_back),
    (6, b"op/", lambda s, ref: governance.give_back(s, ref)),  # the two modules need each other
)
"""LC-BLK-38: what ends, in this order."""
UNPARKED = register("LC-BLK-38: what ends is parked no more")
BY_TIME = register("LC-BLK-38: deadlines by height become deadlines by time")
NO_UPGRADE = register("LC-BLK-38: an upgrade for a height of the old chain falls")


# --- what no base may hold: LC-BLK-37 -------------------------------------------------------------------------------------------


@check("LC-BLK-37")
def validators_of_a_base_ascend(ids: list[bytes]) -> bool:
    return all(a < b for a, b in pairwise(ids))


@check("LC-BLK-37")
def the_clock_of_a_base_is_not_above_the_time(clock: int, time: int) -> bool:
    return clock <= time


@check("LC-BLK-37")
def records_of_a_base_ascend(keys: list[bytes]) -> bool:
    return all(a < b for a, b in pairwise(keys))


@check("LC-BLK-37")
def a_record_of_a_base_has_a_prefix(prefix: bytes) -> bool:
    return prefix in r.STATE


@check("LC-BLK-37")
def a_base_has_nothing_of_the_old_chain(prefix: bytes) -> bool:
    return prefix not in NOT_CARRIED


@check("LC-BLK-37")
def parameters_are_those_of_the_base(parameters: dict[bytes, list[int]], records: dict[bytes, bytes]) -> bool:
    return all(records.get(key) == encode(values) for key, values in parameters.items())


@check("LC-BLK-37")
def no_version_follows(protocol: Any) -> bool:
    return protocol is None or not protocol[1]


@check("LC-BLK-37")
def the_supply_of_a_base_is_what_it_holds(supply: Any, held: int) -> bool:
    return supply is not None and supply[0] - supply[1] == held


@check("LC-BLK-37")
def a_validator_has_an_account_in_the_base(account: Any) -> bool:
    return account is not None


@check("LC-BLK-37")
def a_validator_has_the_key_of_its_account(key: bytes, account: Any) -> bool:
    return account is None or bool(account.key == key)


@check("LC-BLK-37")
def a_validator_is_not_banned(account: Any) -> bool:
    return account is None or bool(account.status != BANNED)


@check("LC-BLK-37")
def a_validator_did_not_leave(left: int) -> bool:
    return left == 0


def prefix_of(key: bytes) -> bytes:
    return key[: key.find(b"/") + 1]


def check_base(base: list[Any], time: int, parameters: dict[bytes, list[int]]) -> None:
    _, _, _, _, clock, validators, listed = base
    validators_of_a_base_ascend([identity for identity, _ in validators])
    for _, key in validators:
        check_key(key)
    the_clock_of_a_base_is_not_above_the_time(clock, time)
    records_of_a_base_ascend([key for key, _ in listed])
    for key, value in listed:
        a_record_of_a_base_has_a_prefix(prefix_of(key))
        a_base_has_nothing_of_the_old_chain(prefix_of(key))
        if prefix_of(key) in r.STATE:
            decode(r.STATE[prefix_of(key)], value, MAX_RECORD)
    s = State({key: value for key, value in listed if prefix_of(key) in r.STATE})
    parameters_are_those_of_the_base(parameters, s.records)
    no_version_follows(s.get(b"gu/"))
    the_supply_of_a_base_is_what_it_holds(s.get(b"gs/"), sum(_held(s, key) for key in s.records))
    for identity, key in validators:
        account = s.account(identity)
        a_validator_has_an_account_in_the_base(account)
        a_validator_has_the_key_of_its_account(key, account)
        a_validator_is_not_banned(account)
        a_validator_did_not_leave(membership.member_of(s, identity).left)


def _held(s: State, key: bytes) -> int:
    found = s.get(key)
    if prefix_of(key) == b"a/":
        return int(found[2] + found[3])
    return int(found[0]) if prefix_of(key) == b"e/" else 0


# --- carrying: LC-BLK-38 ----------------------------------------------------------------------------------------------------------


def carry(records: dict[bytes, bytes]) -> dict[bytes, bytes]:
    s = State(records)
    _, s.height, _, s.clock, _ = s.get(b"g/")
    for contract, prefix, give_back in ENDS:
        for ref in sorted(key[len(prefix) :] for key in s.records if key.startswith(prefix)):
            if part(UNPARKED):
                s.drop(b"p/" + bytes([contract]) + ref)
            give_back(s, ref)
    for key in [key for key in s.records if key.startswith(b"dh/")]:
        if part(BY_TIME):
            s.records[b"d/" + key[11:]] = s.records[key]
    protocol = s.get(b"gu/")
    if protocol is not None and part(NO_UPGRADE):
        s.put(b"gu/", [protocol[0], []])
    return {key: value for key, value in sorted(s.records.items()) if prefix_of(key) not in NOT_CARRIED}


def restart(old: list[Any], records: dict[bytes, bytes], block: bytes, root: bytes, chosen: list[bytes], name: str) -> bytes:
    """The genesis after the block with this id and state root; `old` is the genesis of the chain that ends."""
    s = State(records)
    chain, height, time, clock, _ = s.get(b"g/")
    accounts = [(identity, s.account(identity)) for identity in sorted(chosen)]
    if any(account is None for _, account in accounts):
        raise Refused("an account that is not there cannot validate")
    validators = [[identity, account.key] for identity, account in accounts if account is not None]
    sections = [[number, s.get(b"gp%d/" % number) or []] for number, _ in old[7]]
    carried = [[key, value] for key, value in carry(records).items()]
    base = [chain, height, block, root, clock, validators, carried]
    return encode([old[0], name, time, s.get(b"gp/"), [], old[5], old[6], sections, base])


def first_state(genesis: list[Any], chain: bytes) -> dict[bytes, bytes]:
    """LC-BLK-39"""
    time, (_, _, _, _, clock, validators, carried) = genesis[2], genesis[8]
    own = {
        b"g/": [chain, 0, time, clock, tagged("lc/beacon", chain)],
        b"gv/": [1, validators],
        b"gh/": [[[1, validators]]],
        b"gt/": [[[0, clock]]],
    }
    return dict(carried) | {key: encode(fields) for key, fields in own.items()}


# --- the file: LC-BLK-40 ----------------------------------------------------------------------------------------------------------


@check("LC-BLK-40")
def the_base_of_a_file_is_an_object_with_its_fields(base: Any) -> bool:
    names = {"chain_id", "height", "block_id", "state_root", "clock", "validators", "records"}
    return isinstance(base, dict) and set(base) >= names and all(isinstance(base[n], dict) for n in ("validators", "records"))


@check("LC-BLK-40")
def the_base_of_a_file_has_no_other_fields(base: dict[str, Any]) -> bool:
    return len(base) <= 7


@check("LC-BLK-40")
def bytes_of_a_base_are_written_in_one_way(text: Any) -> bool:
    return isinstance(text, str) and not set(text) - set("0123456789abcdef") and len(text) % 2 == 0


def from_file(base: Any) -> list[Any]:
    the_base_of_a_file_is_an_object_with_its_fields(base)
    the_base_of_a_file_has_no_other_fields(base)
    hashes = {name: _bytes(base[name]) for name in ("chain_id", "block_id", "state_root")}
    validators, records = ([[_bytes(k), _bytes(v)] for k, v in base[name].items()] for name in ("validators", "records"))
    head = [hashes["chain_id"], base["height"], hashes["block_id"], hashes["state_root"], base["clock"]]
    return [*head, validators, records]


def _bytes(text: Any) -> bytes:
    bytes_of_a_base_are_written_in_one_way(text)
    try:
        return bytes.fromhex(text)
    except (TypeError, ValueError):
        raise Refused("not hex") from None
