"""`audit_federation`: all that was said of a federation, judged by the rules that hold for it. Pure."""

from __future__ import annotations

from learningchain.chain.contracts.federation.formulas import has_cells
from learningchain.client.contracts.federation.audit.cell_replay import CellReplay
from learningchain.client.contracts.federation.audit.evidence import FederationEvidence
from learningchain.client.contracts.federation.audit.findings import AuditFinding, AuditNotes, AuditVerdict
from learningchain.client.contracts.federation.audit.replay import FederationAudit, FederationReplay


def audit_federation(evidence: FederationEvidence) -> FederationAudit:
    if evidence.terms is None:
        fault = AuditFinding("terms", None, None, AuditVerdict.DIFFERS, "no signed message has these terms under this id")
        return FederationAudit([fault], [], {})
    notes = AuditNotes(evidence.chain_id, evidence.federation, evidence.sponsor, evidence.terms)
    return (CellReplay if has_cells(evidence.terms) else FederationReplay)(evidence, notes).run()
