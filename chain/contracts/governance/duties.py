"""What the ledger asks of a validator about proposals: its word, where it has said none. Pure."""

from __future__ import annotations

from learningchain.chain.contracts.governance.records import OpenProposal
from learningchain.chain.host import K_VALIDATORS, Reader, Validators


def present(reader: Reader) -> list[bytes]:
    """The ids of the validators."""
    record = reader.get(K_VALIDATORS)
    return [v.id for v in record.members] if isinstance(record, Validators) else []


def may_say(reader: Reader, identity: bytes, record: OpenProposal) -> list[str]:
    """The words that would change something, of a validator."""
    if identity not in present(reader) or record.turn:
        return []
    return [word for word, said in (("yes", record.yes), ("no", record.no)) if identity not in said]


def waits_for(reader: Reader, identity: bytes, record: OpenProposal) -> bool:
    """This validator has said nothing yet."""
    return len(may_say(reader, identity, record)) == 2
