"""The verdicts on what an account delivered: kept for what a case asks of them."""

from __future__ import annotations

from msgspec.structs import replace

from learningchain.chain.contracts.membership.members import root_of
from learningchain.chain.contracts.membership.params import MemberParams
from learningchain.chain.contracts.membership.records import VERDICTS_KEPT, Case, Judged, PastVerdict, case_key, judged_key
from learningchain.chain.host import Host
from learningchain.chain.verification.votes import Judgement


def judged_of(host: Host, identity: bytes) -> Judged:
    return host.get(judged_key(identity), Judged) or Judged([], 0)


def keep_verdict(host: Host, identity: bytes, owner: bytes, verdict: Judgement) -> None:
    """LC-MEM-19: the last 64; a FALSE carries the number of the case that is open.

    None in work of its own root: with a second identity an account would vouch for itself, or push others' verdicts out.
    """
    origin = root_of(host.store, owner)
    if origin == root_of(host.store, identity):
        return
    case = host.get(case_key(identity), Case) if verdict is Judgement.FALSE else None
    entry = PastVerdict(origin, int(verdict), host.clock, case.number if case else 0, False)
    known = judged_of(host, identity)
    last = [*known.last, entry]
    dropped = max(0, len(last) - VERDICTS_KEPT)
    host.put(judged_key(identity), Judged(last[dropped:], known.older + dropped))


def lift_verdicts(host: Host, identity: bytes, case: int) -> None:
    """LC-MEM-7: the verdicts of this case corroborate no other."""
    known = judged_of(host, identity)
    lifted = [replace(entry, lifted=True) if entry.case == case else entry for entry in known.last]
    if lifted != known.last:
        host.put(judged_key(identity), Judged(lifted, known.older))


def corroborated(host: Host, identity: bytes) -> bool:
    """LC-MEM-5: within the last month FALSE in work of two different roots, no case of it lifted, and no OK in work of a third."""
    life = host.params_of(MemberParams).standing_life
    recent = [entry for entry in judged_of(host, identity).last if host.clock - entry.time < life]
    accusers = {entry.origin for entry in recent if entry.verdict == Judgement.FALSE and not entry.lifted}
    vouchers = {entry.origin for entry in recent if entry.verdict == Judgement.OK}
    return len(accusers) >= 2 and vouchers <= accusers
