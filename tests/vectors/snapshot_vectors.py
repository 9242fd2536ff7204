"""Vectors of a snapshot: the state of genesis in pages, and handovers from its validators to others."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from chain.codec import encode
from chain.ledger.snapshot import Handover, encode_heads, encode_page
from chain.pages import PAGES, head_of
from chain.types import Header, Validator, block_id, validators_hash
from tests.vectors.chain_vectors import BY_ID, Chain, certify


def snapshots() -> dict[str, Any]:
    made = Chain()
    header, _, _ = made.block([], round_=0, step=1_000)
    pages = {number: page for number in range(PAGES) if (page := made.state.page(number))}
    return {
        "state_root": header.state_root.hex(),
        "heads": encode_heads({number: head_of(page) for number, page in pages.items()}).hex(),
        "pages": {str(number): encode_page(page).hex() for number, page in pages.items()},
        "chain_id": made.chain_id.hex(),
        "validators": encode(made.genesis.validators).hex(),
        "handovers": [encode(handover).hex() for handover in _handovers(made, header)],
    }


def _handovers(made: Chain, header: Header) -> list[Handover]:
    first = made.genesis.validators
    everybody = sorted((Validator(identity, key.public) for identity, key in BY_ID.items()), key=lambda v: v.id)
    sets = [first, everybody, everybody[:2]]
    found = []
    for height, before, after in ((7, sets[0], sets[1]), (70, sets[1], sets[2])):
        named = replace(
            header,
            height=height,
            round=0,
            proposer=before[height % len(before)].id,
            validators_hash=validators_hash(before),
            next_validators_hash=validators_hash(after),
        )
        signers = list(range(2 * len(before) // 3 + 1))
        found.append(Handover(named, certify(made.chain_id, height, 0, block_id(named), before, signers), after))
    return found
