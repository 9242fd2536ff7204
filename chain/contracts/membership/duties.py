"""What the ledger asks of an account about cases: a validator's word on those of others, and whoever is accused to defend itself.

A verifier declares its machine, and a member its box key, because it wants to be drawn: the ledger asks for neither. Pure.
"""

from __future__ import annotations

from learningchain.chain.contracts.membership.records import Case, case_key
from learningchain.chain.host import BANNED, K_VALIDATORS, Account, Reader, Validators, account_key


def open_case(reader: Reader, account: bytes) -> Case | None:
    """The case against an account."""
    case = reader.get(case_key(account))
    return case if isinstance(case, Case) else None


def judges(reader: Reader, accused: bytes) -> set[bytes]:
    """LC-MEM-6: the validators of now, without the accused and banned ones."""
    record = reader.get(K_VALIDATORS)
    members = record.members if isinstance(record, Validators) else []
    return {v.id for v in members if v.id != accused and not _is_banned(reader, v.id)}


def waits_for(reader: Reader, judge: bytes, accused: bytes) -> bool:
    """Whether this account judges the case and has said nothing yet."""
    case = open_case(reader, accused)
    return case is not None and judge not in (*case.confirm, *case.lift) and judge in judges(reader, accused)


def _is_banned(reader: Reader, identity: bytes) -> bool:
    account = reader.get(account_key(identity))
    return isinstance(account, Account) and account.status == BANNED
