"""What a client reads."""

from __future__ import annotations

from learningchain.chain.contracts.governance.messages import MAX_OPEN
from learningchain.chain.contracts.governance.records import OpenProposal, proposal_key
from learningchain.chain.host import Reader
from learningchain.chain.params import MAX_VALIDATORS

MOST = MAX_OPEN * 4 * MAX_VALIDATORS
"""Proposals that are listed: those of who left the set stay until they end."""


def proposals(reader: Reader) -> list[tuple[bytes, OpenProposal]]:
    """(id, record) of the open ones, the one that expires first comes first."""
    prefix = proposal_key(b"")
    return sorted(
        ((key[len(prefix) :], record) for key, record in reader.scan(prefix, MOST)), key=lambda one: (one[1].expires, one[0])
    )


def proposal(reader: Reader, identity: bytes) -> OpenProposal | None:
    record = reader.get(proposal_key(identity))
    return record if isinstance(record, OpenProposal) else None
