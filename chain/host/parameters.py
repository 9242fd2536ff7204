"""The parameters of a network: what of them the validators may change, what must go together, and what they were before.

Number 0 stands for the ledger's own, any other number for those of that contract. A change is pending until its block ends, so that
a block runs by one set of values (LC-BLK-35). What contracts had before a change is kept, by the chain clock until which it held:
what was posted earlier goes on by it.

    genesis --> in force --(change_params)--> pending --(the block ends)--> in force; the values before it stay readable
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

import msgspec

from learningchain.chain.bandwidth import MICRO, SECOND
from learningchain.chain.codec import Wire
from learningchain.chain.errors import Malformed
from learningchain.chain.host.records import (
    DUE_WORK,
    K_PARAMS,
    K_PENDING_PARAMS,
    MAX_PARAM_CHANGES,
    ParamHistory,
    ParamValues,
    PendingParams,
    param_history_key,
    params_key,
    past_params_key,
)
from learningchain.chain.host.store import KVStore, Reader, read_params
from learningchain.chain.params import (
    MAX_BLOCK_BYTES,
    MAX_BLOCK_TXS,
    MAX_OPS,
    MAX_TX_BYTES,
    ContractParams,
    Params,
    votable,
)

if TYPE_CHECKING:
    from learningchain.chain.host.contract import Contract

P = TypeVar("P", bound=ContractParams)
LEDGER = 0
"""The number of the ledger's own parameters, where contracts have theirs."""
MIN_BLOCK_BYTES = 2 * (MAX_TX_BYTES + 5)
"""Half of a block is kept for messages with a deadline: the largest transaction has to fit into the other half."""


class ParamFault(Enum):
    UNKNOWN = "unknown"
    FIXED = "fixed"
    BOUNDS = "out of bounds"
    CLASH = "does not go together"


class ParamsRefused(Exception):
    """A change that the network's rules do not allow."""

    def __init__(self, fault: ParamFault, text: str) -> None:
        super().__init__(text)
        self.fault, self.text = fault, text


def min_block_work(contracts: Iterable[Contract]) -> int:
    """Half of a block's work is kept for messages with a deadline: any transaction has to fit into the other half."""
    return 2 * MAX_OPS * max(spec.heaviest for c in contracts for spec in c.messages.values())


# --- what must go together ----------------------------------------------------------------------------------------------------


def check_ledger(p: Params, contracts: Iterable[Contract]) -> None:
    """LC-BLK-9: what no network can run by. Raises `Malformed`."""
    if not MIN_BLOCK_BYTES <= p.block_bytes <= MAX_BLOCK_BYTES or p.block_txs > MAX_BLOCK_TXS:
        raise Malformed(f"a block has {MIN_BLOCK_BYTES} to {MAX_BLOCK_BYTES} bytes and at most {MAX_BLOCK_TXS} transactions")
    least = min_block_work(contracts)
    if p.block_work < least:
        raise Malformed(f"block_work is {p.block_work}, at least {least} is needed: any transaction has to fit into half a block")
    if p.bandwidth_base * p.bandwidth_window * MICRO < MAX_TX_BYTES * SECOND:
        least = -(-MAX_TX_BYTES * SECOND // (p.bandwidth_window * MICRO))
        raise Malformed(
            f"bandwidth_base is {p.bandwidth_base}, at least {least} is needed: a window must earn anybody the largest transaction"
        )


def check_deadlines(p: Params) -> None:
    """LC-BLK-16: a block runs as many deadlines as its messages can set. Raises `Malformed`."""
    if p.max_due * DUE_WORK < p.block_work:
        least = -(-p.block_work // DUE_WORK)
        raise Malformed(f"max_due is {p.max_due}: a block of this work can set {least} deadlines, and they would pile up")
    if p.max_due_work < p.max_due:
        raise Malformed(f"max_due_work is {p.max_due_work}: the {p.max_due} deadlines of max_due are of work {p.max_due} at least")


# --- changing -----------------------------------------------------------------------------------------------------------------


def kind_of(contracts: Mapping[int, Contract], number: int) -> type[Params | ContractParams] | None:
    """The type of the parameters of a contract, or of the ledger; None where there are none."""
    if number == LEDGER:
        return Params
    return contracts[number].params if number in contracts else None


def values_of(params: Wire) -> list[int]:
    """In the order of the record."""
    return [getattr(params, name) for name in params.__struct_fields__]


def coming(reader: Reader, contracts: Mapping[int, Contract], number: int) -> Params | ContractParams | None:
    """As they will be after this block; None where there are none."""
    kind = kind_of(contracts, number)
    if kind is None:
        return None
    pending = reader.get(K_PENDING_PARAMS)
    for section in pending.sections if isinstance(pending, PendingParams) else []:
        if section.contract == number:
            return kind(**dict(zip(kind.__struct_fields__, section.values, strict=True)))
    return reader.get(K_PARAMS) if number == LEDGER else read_params(reader, number, kind)


def changed(
    reader: Reader, contracts: Mapping[int, Contract], number: int, values: Mapping[str, int]
) -> tuple[Params | ContractParams, Params | ContractParams]:
    """LC-GOV-8: those that will be, and the same with these values. Raises `ParamsRefused`."""
    present = coming(reader, contracts, number)
    fields = {f.name: f for f in msgspec.structs.fields(present)} if present is not None else {}
    for name in values:
        if name not in fields:
            whose = "the ledger" if number == LEDGER else f"contract {number}"
            raise ParamsRefused(ParamFault.UNKNOWN, f"{whose} has no parameter {name}")
    for name in values:
        if votable(fields[name]) is None:
            raise ParamsRefused(ParamFault.FIXED, f"{name} stays as genesis fixed it")
    for name, value in values.items():
        bounds = votable(fields[name])
        if bounds is not None and not bounds.low <= value <= bounds.high:
            raise ParamsRefused(ParamFault.BOUNDS, f"{name} may be {bounds.low} to {bounds.high}, not {value}")
    if present is None:
        raise ParamsRefused(ParamFault.UNKNOWN, f"there is no contract {number} with parameters")
    after = msgspec.structs.replace(present, **values)
    try:
        if isinstance(after, Params):
            check_ledger(after, contracts.values())
            check_deadlines(after)
        else:
            after.check()
    except Malformed as fault:
        raise ParamsRefused(ParamFault.CLASH, str(fault)) from None
    return present, after


def put_pending(store: KVStore, number: int, params: Params | ContractParams) -> None:
    """They hold from the next block on."""
    pending = store.get(K_PENDING_PARAMS)
    others = [s for s in pending.sections if s.contract != number] if isinstance(pending, PendingParams) else []
    sections = sorted([*others, ParamValues(number, values_of(params))], key=lambda s: s.contract)
    store.put(K_PENDING_PARAMS, PendingParams(sections))


def apply_pending(store: KVStore, contracts: Mapping[int, Contract], clock: int) -> None:
    """LC-BLK-35: the block ends, at this time of the chain clock."""
    pending = store.get(K_PENDING_PARAMS)
    if not isinstance(pending, PendingParams):
        return
    for section in pending.sections:
        after = coming(store, contracts, section.contract)
        key = K_PARAMS if section.contract == LEDGER else params_key(section.contract)
        before = store.get(key)
        if section.contract != LEDGER and before is not None:
            _keep(store, section.contract, before, clock)
        store.put(key, after)
    store.delete(K_PENDING_PARAMS)


# --- what they were -----------------------------------------------------------------------------------------------------------


def _keep(store: KVStore, number: int, before: Wire, clock: int) -> None:
    known = store.get(param_history_key(number))
    ends = [*(known.ends if isinstance(known, ParamHistory) else []), clock]
    if len(ends) > MAX_PARAM_CHANGES:
        store.delete(past_params_key(number, ends.pop(0)))
    store.put(param_history_key(number), ParamHistory(ends))
    store.put(past_params_key(number, clock), ParamValues(number, values_of(before)))


def params_at(reader: Reader, number: int, kind: type[P], clock: int) -> P:
    """LC-BLK-35: those that were in force in the block of this chain clock, or the oldest that are kept."""
    known = reader.get(param_history_key(number))
    ends = known.ends if isinstance(known, ParamHistory) else []
    at = bisect_left(ends, clock)
    past = reader.get(past_params_key(number, ends[at])) if at < len(ends) else None
    if not isinstance(past, ParamValues):
        return read_params(reader, number, kind)
    return kind(**dict(zip(kind.__struct_fields__, past.values, strict=True)))
