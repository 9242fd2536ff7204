"""Double signing: what proves it, and what follows."""

from __future__ import annotations

from learningchain.chain.contracts.membership.messages import MemberCode, ReportDouble
from learningchain.chain.contracts.membership.records import (
    Ejection,
    ejection_key,
)
from learningchain.chain.errors import Reject
from learningchain.chain.host import (
    Host,
)
from learningchain.chain.types import (
    Evidence,
    ProposalEvidence,
    proposal_is_signed,
    signer_of,
    vote_is_signed,
)


def report_double(host: Host, sender: bytes, m: ReportDouble) -> None:
    a, offender = m.evidence.a, signer_of(m.evidence)
    then = host.validators_at(a.height)
    if not host.first_reportable() <= a.height <= host.height or then is None:
        raise Reject(MemberCode.OLD_EVIDENCE, "the evidence is too old, or from a height that is not decided")
    key = next((v.key for v in then if v.id == offender), None)
    if key is None or not is_double(host.chain_id, m.evidence, key):
        raise Reject(MemberCode.BAD_EVIDENCE, "these are not two conflicting signatures of one validator of that height")
    if host.get(ejection_key(offender, a.height), Ejection) is not None:
        raise Reject(MemberCode.KNOWN_EVIDENCE, "this double signing was dealt with")
    present = host.validators()
    remaining = [v for v in present if v.id != offender]
    if not remaining:
        raise Reject(MemberCode.LAST_VALIDATOR, "the last validator cannot be removed")
    host.put(ejection_key(offender, a.height), Ejection(a.height))
    if len(remaining) == len(present):
        # It left already: another change of the set would only push older sets out of the history.
        host.emit("double.signing", offender, a.height)
        return
    host.change_validators(remaining)
    host.emit("validator.ejected", offender, a.height)


def is_double(chain_id: bytes, evidence: Evidence, key: bytes) -> bool:
    """Two signatures of `key` that no honest validator makes: same type, height and round, different content."""
    if isinstance(evidence, ProposalEvidence):
        p, q = evidence.a, evidence.b
        same = (p.height, p.round, p.proposer) == (q.height, q.round, q.proposer)
        return same and p.block_id != q.block_id and all(proposal_is_signed(chain_id, x, key) for x in (p, q))
    v, w = evidence.a, evidence.b
    same = (v.type, v.height, v.round, v.validator) == (w.type, w.height, w.round, w.validator)
    return same and v.block_id != w.block_id and all(vote_is_signed(chain_id, x, key) for x in (v, w))
