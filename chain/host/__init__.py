"""The host interface: what contracts may do to the ledger, and what they declare. Contracts share this and nothing else.

A handler refuses by raising `Reject`; whatever it did before is then dropped. A deadline handler has nobody to refuse: where it
fails, its reference is parked.

    records    what every network keeps, whatever its contracts
    contract   what a contract declares, registry   all contracts side by side, checked against each other
    services   what contracts do for each other
    store      what the host asks of the state
    past       reading what left the state
    access     records, events, deadlines        credits   accounts and escrows        powers   standing, validators
    host       all of it, as a handler gets it, and the fence around what may fail
"""

from __future__ import annotations

from chain.host.contract import Archive, Contract, EscrowShape, LiveIndex, MessageSpec, Power
from chain.host.events import Data, Datum, Form, OneOf
from chain.host.host import Host, audit_events
from chain.host.listing import ALL, Listing
from chain.host.past import PastReader
from chain.host.records import (
    ACTIVE,
    BANNED,
    BASE_EVENTS,
    BASE_LISTED,
    BASE_STATE,
    DUE_WORK,
    K_CHAIN,
    K_HISTORY,
    K_NEXT_VALIDATORS,
    K_PARAMS,
    K_SUPPLY,
    K_VALIDATORS,
    MAX_FAULT_TEXT,
    MAX_HELD,
    MAX_REASON,
    SUSPENDED,
    Account,
    BeaconCommitment,
    ChainRecord,
    Due,
    Escrow,
    GenesisAccount,
    HeldDue,
    History,
    Parked,
    Supply,
    Validators,
    account_key,
    due_key,
    escrow_key,
    fault_of,
    params_key,
    parked_key,
    split_due,
)
from chain.host.registry import InvalidContract, Registry
from chain.host.services import STRIKES, SUSPENSIONS, VERIFIERS, WINNERS, Service, Strikes, Suspensions, Verifiers, Winners, Won
from chain.host.store import KVStore, Listed, Reader, read_params, read_parked

__all__ = [
    "ACTIVE",
    "ALL",
    "BANNED",
    "BASE_EVENTS",
    "BASE_LISTED",
    "BASE_STATE",
    "DUE_WORK",
    "K_CHAIN",
    "K_HISTORY",
    "K_NEXT_VALIDATORS",
    "K_PARAMS",
    "K_SUPPLY",
    "K_VALIDATORS",
    "MAX_FAULT_TEXT",
    "MAX_HELD",
    "MAX_REASON",
    "STRIKES",
    "SUSPENDED",
    "SUSPENSIONS",
    "VERIFIERS",
    "WINNERS",
    "Account",
    "Archive",
    "BeaconCommitment",
    "ChainRecord",
    "Contract",
    "Data",
    "Datum",
    "Due",
    "Escrow",
    "EscrowShape",
    "Form",
    "GenesisAccount",
    "HeldDue",
    "History",
    "Host",
    "InvalidContract",
    "KVStore",
    "Listed",
    "Listing",
    "LiveIndex",
    "MessageSpec",
    "OneOf",
    "Parked",
    "PastReader",
    "Power",
    "Reader",
    "Registry",
    "Service",
    "Strikes",
    "Supply",
    "Suspensions",
    "Validators",
    "Verifiers",
    "Winners",
    "Won",
    "account_key",
    "audit_events",
    "due_key",
    "escrow_key",
    "fault_of",
    "params_key",
    "parked_key",
    "read_params",
    "read_parked",
    "split_due",
]
