"""What a node's work says of the membership contract: the ledger statuss of judgements and of reports. It has no machines."""

from __future__ import annotations

from chain.contracts.membership import Case, JudgeCase, ReportDouble, case_key, ejection_key
from chain.host import K_CHAIN, K_PARAMS, ChainRecord, Reader
from chain.params import Params
from chain.types import signer_of
from client.work.machine import LedgerStatus, Slice


def _judged(reader: Reader, me: bytes, clock: int, op: JudgeCase) -> tuple[LedgerStatus, int | None]:
    case = reader.get(case_key(op.account))
    if not isinstance(case, Case):
        return LedgerStatus.TOO_LATE, None
    if me in (case.confirm if op.confirm else case.lift):
        return LedgerStatus.STANDS, None
    # A word by hand on the other side is not overruled by a rule of this node.
    return (LedgerStatus.DISPLACED if me in (case.lift if op.confirm else case.confirm) else LedgerStatus.OPEN), None


def _reported(reader: Reader, me: bytes, clock: int, op: ReportDouble) -> tuple[LedgerStatus, int | None]:
    """LC-MEM-10: known once anybody's report is in a block, and of no use after `evidence_age` blocks."""
    chain, params, height = reader.get(K_CHAIN), reader.get(K_PARAMS), op.evidence.a.height
    if reader.get(ejection_key(signer_of(op.evidence), height)) is not None:
        return LedgerStatus.STANDS, None
    gone = not isinstance(chain, ChainRecord) or not isinstance(params, Params) or height + params.evidence_age <= chain.height
    return (LedgerStatus.TOO_LATE if gone else LedgerStatus.OPEN), None


WORK = Slice("membership", ledger_statuses={JudgeCase: _judged, ReportDouble: _reported})
