"""`audit job`: a job recomputed from genesis by a machine that trusts nobody, and its model evaluated again where asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.audit import check_id, head_of, lacks, opened, run, say
from learningchain.client.cli.common import HERE, Common, NotStarted, short
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.job.references import find
from learningchain.client.sdk.types import NotFoundError

if TYPE_CHECKING:
    from learningchain.client.contracts.job.cli.auditing import JobWatch
    from learningchain.client.contracts.job.cli.recheck import Exhibit, Rechecked
    from learningchain.client.receipts.audit import Findings
    from learningchain.client.receipts.audit_index import Happened
    from learningchain.client.schema.render import Json
    from learningchain.client.sdk.client import Client


def audit_job(
    job: Annotated[str, Parameter(name="JOB", help="The job's id, its beginning of at least six digits, or latest.")],
    /,
    *,
    evaluate: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Fetch the model and evaluate it again in the own sandbox, too."),
    ] = False,
    claimant: Annotated[str | None, Parameter(help="Whose model to evaluate: lc1... or a name. Default: the winner's.")] = None,
    common: Common = HERE,
) -> int:
    """Recompute a job from genesis: every block up to its end is executed again, with every signature and root checked.

    Needs a node that kept all blocks; it may run. Exit code 1: something does not hold, or this node tells otherwise of the job.
    """
    from learningchain.client.contracts.job.cli.auditing import JobWatch
    from learningchain.client.receipts.audit import Audit
    from learningchain.client.receipts.audit_index import told_otherwise

    if job == "latest":
        job = common.ask(lambda node: find(node, "latest"))
    check_id(job, "job", "job list")
    who = None if claimant is None else common.account(claimant)
    watch = JobWatch(job)
    with opened(common) as (store, genesis):
        if store.base:
            raise NotStarted(lacks(store.base))
        found = run(common, Audit(store, genesis, again=True, watch=watch))
        differs = told_otherwise(watch.job, watch.notes, store, found.last) if watch.job else []
    if not watch.job and not found.fault:
        raise NotFoundError(f"No job that begins with {job} was posted in blocks 1 to {found.last}. Ids: learningchain job list")
    document = _document(watch, found, differs)
    columns: tuple[Exhibit, list[Rechecked]] | None = None
    if evaluate and not found.fault:
        columns = _evaluated_again(common, watch, who)
        document["evaluation"] = _evaluation(*columns)

    def people(console: Console) -> None:
        say(console, found, differs, None if watch.view is None else _lines(watch.job, watch.view, watch.happened))
        if columns is not None:
            from learningchain.client.contracts.job.cli.recheck import show_evaluation

            show_evaluation(console, *columns, 10)

    common.out.show(document, people)
    holds = not found.fault and not differs
    return 0 if holds and (columns is None or document["evaluation"]["vote"] == "OK") else 1


def _evaluated_again(common: Common, watch: JobWatch, who: str | None) -> tuple[Exhibit, list[Rechecked]]:
    """By what was recomputed, not by what a node says: its files alone come over a node, checked by their names in the posting."""
    from learningchain.client.contracts.job.cli.recheck import bring, evaluated

    view: Any = watch.view
    with tempfile.TemporaryDirectory(prefix="learningchain-") as scratch:

        async def fetch(node: Client) -> Exhibit:
            return await bring(node, common, view, who, Path(scratch))

        case = common.ask(fetch)
        return case, evaluated(common, case)


def _evaluation(case: Exhibit, columns: list[Rechecked]) -> dict[str, Any]:
    from learningchain.client.contracts.job.cli.recheck import evaluation_document, verdict_of

    return evaluation_document(case, columns, verdict_of(case, columns[0]), 10)


def _document(watch: JobWatch, found: Findings, differs: list[str]) -> dict[str, Any]:
    return head_of("job", watch.job, watch.root, found, differs) | {
        "happened": [one.document() for one in watch.notes],
        "payments": [one.document() for one in watch.payments],
        "view": watch.view,
    }


def _lines(job: bytes, view: Json, happened: list[Happened]) -> Iterator[str]:
    yield f"Job {job.hex()}: {view['state']}. By the rules this happened to it:"
    for one in happened:
        yield f"  {one.line()}"
    for round_ in view["rounds"]:
        seats = ", ".join(short(str(seat["voter"])) for seat in round_["committee"])
        yield f"Drawn for audit {round_['audit']}, round {round_['round']}: {seats}"
    yield f"Winner: {view['winner'] or 'nobody'}"
