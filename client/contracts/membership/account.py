"""The membership contract's part of an account: whether it verifies and with what machine, its strikes, and the case against it."""

from __future__ import annotations

from learningchain.chain.contracts.membership import Member, member_key
from learningchain.chain.crypto import address
from learningchain.chain.host import Reader
from learningchain.client.api.route import AccountPart
from learningchain.client.contracts.membership.http import cases
from learningchain.client.contracts.membership.http.schema import MemberView
from learningchain.client.schema.render import Json


def of(reader: Reader, account: bytes) -> Json:
    member = reader.get(member_key(account))
    known = member if isinstance(member, Member) else Member(account, False, 0, 0, [], 0, [], [])
    return {
        "root": address(known.root),
        "inviter": address(known.inviter) if known.inviter else None,
        "since": known.since,
        "left": known.left,
        "box_key": known.box_key.hex() or None,
        "verifier": known.verifier,
        "rests_until": known.rests_until,
        "capacity": _capacity(known),
        "strikes": [{"origin": address(strike.origin), "end": strike.end} for strike in known.strikes],
        "case": cases.view(reader, account),
    }


def _capacity(member: Member) -> Json | None:
    if not member.capacity:
        return None
    declared = member.capacity[0]
    return {name: getattr(declared, name) for name in declared.__struct_fields__} | {
        "arch": cases.arch_text(declared.arch),
        "since": member.capacity_since,
    }


PART = AccountPart(MemberView, of)
