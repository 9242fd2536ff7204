"""The membership contract's part of an account: whether it verifies, its strikes, and the case against it."""

from __future__ import annotations

from chain.contracts.membership import Case, Member, case_key, member_key
from chain.crypto import address
from chain.host import Reader
from client.api.render import Json
from client.contracts.membership.schema import MemberView


def of(reader: Reader, account: bytes) -> Json:
    member, case = reader.get(member_key(account)), reader.get(case_key(account))
    known = member if isinstance(member, Member) else Member(False, 0, [], [])
    return {"verifier": known.verifier, "strikes": list(known.strikes), "case": _shown(case) if isinstance(case, Case) else None}


def _shown(case: Case) -> Json:
    return {
        "until": case.until,
        "refs": [r.ref.hex() for r in case.refs],
        "corroborated": case.corroborated,
        "confirm": [address(v) for v in case.confirm],
        "lift": [address(v) for v in case.lift],
    }


VIEW = MemberView
