"""`fed audit`: a federation recomputed from genesis by a machine that trusts nobody, its models held against their deltas."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.chain.crypto import address
from learningchain.chain.types import TransferEvent, cid_text, format_credits
from learningchain.client.cli.audit import check_id, head_of, lacks, opened, run, say
from learningchain.client.cli.common import HERE, Common, NotStarted
from learningchain.client.cli.options import Parameter
from learningchain.client.contracts.federation.arithmetic.places import DELTAS
from learningchain.client.contracts.federation.references import find_federation
from learningchain.client.contracts.federation.roles.looking import delta_size
from learningchain.client.sdk.types import ApiError, NotFoundError

if TYPE_CHECKING:
    from learningchain.chain.contracts.federation.messages import FederationTerms
    from learningchain.client.contracts.federation.audit.evidence import FederationWatch
    from learningchain.client.contracts.federation.audit.findings import AuditFinding
    from learningchain.client.contracts.federation.audit.replay import AuditedSum, FederationAudit
    from learningchain.client.receipts.audit import Findings
    from learningchain.client.sdk.client import Client


def audit_federation(
    federation: Annotated[str, Parameter(name="FED", help="The federation's id, its beginning of at least six digits, or latest.")],
    /,
    *,
    models: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Also fetch models and hold each against its base and delta: those of the last rounds and the best one; "
            "of a federation that has ended the best one.",
        ),
    ] = False,
    common: Common = HERE,
) -> int:
    """Recompute a federation from genesis: every block up to its end is executed again, then each draw, code, sum, loss and payment
    is judged from what was signed. It says of each whether it holds, or why nobody but those who took part can say.

    Needs a node that kept all blocks; it may run. Exit code 1: something does not hold, or this node tells otherwise of it.
    """
    from learningchain.client.contracts.federation.audit.evidence import FederationEvidence, FederationWatch
    from learningchain.client.contracts.federation.audit.judging import audit_federation as judged
    from learningchain.client.receipts.audit import Audit
    from learningchain.client.receipts.audit_index import told_otherwise

    if federation == "latest":
        federation = common.ask(lambda node: find_federation(node, "latest"))
    check_id(federation, "federation", "fed list")
    with opened(common) as (store, genesis):
        if store.base:
            raise NotStarted(lacks(store.base))
        watch = FederationWatch(federation, FederationEvidence(genesis.chain_id))
        found = run(common, Audit(store, genesis, again=True, watch=watch))
        known = watch.evidence
        differs = told_otherwise(known.federation, _notes(watch), store, found.last) if known.federation else []
    if not known.federation and not found.fault:
        raise NotFoundError(
            f"No federation that begins with {federation} was opened in blocks 1 to {found.last}. Ids: learningchain fed list"
        )
    audit = judged(known) if known.federation else None
    if audit is not None and known.terms is not None and models:
        audit.findings.extend(_models(common, known.terms, audit))
    lines = None if audit is None else _lines(known.federation, audit)
    common.out.show(_document(watch, found, differs, audit), lambda console: say(console, found, differs, lines))
    return 0 if not found.fault and not differs and (audit is None or audit.holds) else 1


def _notes(watch: FederationWatch) -> list[Any]:
    return [one for one in watch.evidence.happened if not isinstance(one.event, TransferEvent)]


# --- models --------------------------------------------------------------------------------------------------------------------


def _models(common: Common, terms: FederationTerms, audit: FederationAudit) -> list[AuditFinding]:
    from learningchain.client.contracts.federation.audit.findings import AuditFinding, AuditVerdict

    kept = {audit.best_r} | (set() if audit.ended else {one.r for one in audit.sums[-DELTAS:]})

    async def look(node: Client) -> list[AuditFinding]:
        return [await _model(node, terms, one) for one in audit.sums if one.r in kept]

    found = common.ask(look) if any(one.r in kept for one in audit.sums) else []
    gone = _ENDED if audit.ended else _FORGOTTEN
    found += [AuditFinding("model", one.r, None, AuditVerdict.UNCHECKED, gone) for one in audit.sums if one.r not in kept]
    if audit.ended and not audit.best_r:
        found.append(AuditFinding("model", 0, None, AuditVerdict.OK, "the best one is the initial one, which the terms name"))
    return sorted(found, key=lambda one: one.round or 0)


_FORGOTTEN = f"nodes keep what the models of the last {DELTAS} rounds and the best one were made of"
_ENDED = "it has ended, and nodes keep what the best model was made of alone"


async def _model(node: Client, terms: FederationTerms, summed: AuditedSum) -> AuditFinding:
    """Each file is checked against its CID while it comes. The candidates of cells are made again, so that none is fetched."""
    from learningchain.client.contracts.federation.audit.cell_replay import AuditedCellSum
    from learningchain.client.contracts.federation.audit.findings import AuditFinding, AuditVerdict

    try:
        from learningchain.client.contracts.federation.audit.models import candidate_faults, model_faults
        from learningchain.client.contracts.federation.desk import DiskDesk
    except ImportError:
        why = "numpy is not installed here: pip install 'learningchain[federation]'"
        return AuditFinding("model", summed.r, None, AuditVerdict.UNCHECKED, why)
    wanted = {"base": (summed.base, terms.size), "delta": (summed.delta, delta_size(terms))}
    wanted |= {} if isinstance(summed, AuditedCellSum) else {"model": (summed.model, terms.size)}
    with tempfile.TemporaryDirectory(prefix="learningchain-") as folder:
        files = []
        for name, (cid, size) in wanted.items():
            try:
                done = await node.fetch(cid_text(cid), Path(folder) / name, max_size=size)
            except ApiError as problem:
                return AuditFinding("model", summed.r, None, AuditVerdict.UNCHECKED, f"its {name} cannot be had: {problem}")
            files.append(DiskDesk(Path(folder)).read(done.path))
        if isinstance(summed, AuditedCellSum):
            names, cells = summed.candidates, summed.cells
            faults = candidate_faults(files[0], files[1], names, place=summed.place, radius=summed.clip, cells=cells)
            fine = f"its {len(names)} candidates are what base, sums and radius give, each by its name"
        else:
            base, delta, model = files
            faults = model_faults(base, delta, model, clip=summed.clip, rule=terms.rule, accepted=summed.accepted)
            fine = f"it lies where the delta of {summed.accepted} updates and the recorded clip put it"
    if faults:
        return AuditFinding("model", summed.r, None, AuditVerdict.DIFFERS, faults[0])
    return AuditFinding("model", summed.r, None, AuditVerdict.OK, fine)


# --- what is said --------------------------------------------------------------------------------------------------------------


def _document(watch: FederationWatch, found: Findings, differs: list[str], audit: FederationAudit | None) -> dict[str, Any]:
    shares, known = {} if audit is None else audit.shares, watch.evidence
    return head_of("federation", known.federation, watch.root, found, differs, holds=audit is None or audit.holds) | {
        "findings": [] if audit is None else [one.document() for one in audit.findings],
        "paid": [{"account": address(who), "amount": format_credits(amount)} for who, amount in sorted(shares.items())],
        "happened": [one.document() for one in known.happened],
    }


def _lines(federation: bytes, audit: FederationAudit) -> Iterator[str]:
    yield f"Federation {federation.hex()}, judged from what was signed:"
    for one in audit.findings:
        where = "" if one.round is None else f" of round {one.round}" + (f", attempt {one.attempt}" if one.attempt else "")
        yield f"  {one.verdict.value:<9} {one.item}{where}: {one.why}"
    for who, amount in sorted(audit.shares.items()):
        yield f"Paid: {format_credits(amount)} credits to {address(who)}"
