"""What other contracts use of membership: the methods are described in `chain.host.services`."""

from __future__ import annotations

from collections.abc import Iterator

from learningchain.chain.contracts.membership import admission, cases, indexes, members, verdicts
from learningchain.chain.contracts.membership.params import MemberParams
from learningchain.chain.host import Host
from learningchain.chain.host.terms import Capacity
from learningchain.chain.verification.votes import Judgement


class StandingService:
    def __init__(self, host: Host) -> None:
        self._host = host

    def root_of(self, identity: bytes) -> bytes:
        return members.root_of(self._host.store, identity)

    def strike(self, identity: bytes, owner: bytes, reason: str, ref: bytes) -> None:
        members.strike(self._host, identity, owner, self.root_of(owner), reason, ref)

    def live(self, identity: bytes) -> int:
        return members.live_strikes(self._host, identity)

    def stands(self, identity: bytes) -> bool:
        return members.stands(self._host, identity)

    def judged(self, identity: bytes, owner: bytes, verdict: Judgement, ref: bytes) -> None:
        verdicts.keep_verdict(self._host, identity, owner, verdict)


class SuspensionsService:
    def __init__(self, host: Host) -> None:
        self._host = host

    def accuse(self, identity: bytes, owner: bytes, amount: int, ref: bytes, contract: int) -> bool:
        return cases.accuse(self._host, identity, owner, amount, ref, contract)

    def barred_from(self, identity: bytes, owner: bytes) -> bool:
        return cases.is_barred(self._host, identity, owner)

    def longest_ms(self) -> int:
        return cases.longest_ms(self._host)


class VerifiersService:
    def __init__(self, host: Host) -> None:
        self._host = host

    def flagged(self, owner: bytes, needed: Capacity) -> tuple[int, int]:
        return indexes.flagged(self._host.store, self._host.clock, owner, needed)

    def has_flag(self, identity: bytes) -> bool:
        return members.is_verifier(self._host.store, identity)

    def is_available(self, identity: bytes) -> bool:
        return indexes.is_available(self._host.store, self._host.clock, identity)

    def able(self, needed: Capacity, before: int) -> list[bytes]:
        return indexes.able(self._host.store, self._host.clock, needed, before)

    def each_able(self, needed: Capacity, before: int) -> Iterator[bytes]:
        return indexes.each_able(self._host.store, self._host.clock, needed, before)

    def marked(self, identities: list[bytes], owner: bytes) -> set[bytes]:
        life = self._host.params_of(MemberParams).standing_life
        origin = members.root_of(self._host.store, owner)
        return indexes.marked(self._host.store, self._host.clock, life, identities, origin)

    def record_draw(self, identity: bytes, owner: bytes, *, bad: bool, silent: bool) -> None:
        members.record_draw(self._host, identity, owner, bad=bad, silent=silent)

    def count_vote(self, identity: bytes, owner: bytes, *, bad: bool) -> None:
        members.count_vote(self._host, identity, owner, bad=bad)


class MembersService:
    def __init__(self, host: Host) -> None:
        self._host = host

    def admit(self, key: bytes, root: bytes | None) -> bytes:
        return admission.admit(self._host, key, root)

    def remove(self, identity: bytes) -> None:
        admission.remove(self._host, identity)

    def set_verifier(self, identity: bytes, on: bool) -> None:
        admission.set_verifier(self._host, identity, on)

    def exists(self, identity: bytes) -> bool:
        return admission.is_member(self._host.store, identity)

    def box_key(self, identity: bytes) -> bytes:
        return members.member_in(self._host.store, identity).box_key

    def ban(self, identity: bytes, ref: bytes) -> None:
        admission.ban(self._host, identity, ref)

    def burned(self, identity: bytes) -> int | None:
        return admission.burned(self._host, identity)

    def lift_ban(self, identity: bytes, amount: int, ref: bytes) -> None:
        admission.lift_ban(self._host, identity, amount, ref)
