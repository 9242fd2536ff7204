"""`predict --csv`: ask a model about a whole table, and go on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learningchain.chain.types import parse_credits
from learningchain.client.cli.app import OK, REFUSED
from learningchain.client.cli.common import Common, WrongUsage, amount, facts, when
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.prediction.cli.shown import FAILED, WEAK
from learningchain.client.contracts.prediction.http.model_schema import BadSchema, ModelSchema
from learningchain.client.contracts.prediction.objects import schema_of
from learningchain.client.contracts.prediction.references import find_model, find_policy
from learningchain.client.contracts.prediction.roles.asking import (
    BadJournal,
    BudgetSpent,
    TableProgress,
    TableRun,
    TableTerms,
    describe,
)
from learningchain.client.contracts.prediction.roles.table import BadTable, TableReader

if TYPE_CHECKING:
    from learningchain.client.contracts.prediction.http.schema import RegisteredModelView
    from learningchain.client.sdk.client import Client


def ask_table(
    common: Common,
    model: str,
    table: Path,
    out: Path | None,
    *,
    terms: Mapping[str, Any],
    policy: str | None,
    daily_budget: str | None,
    dry_run: bool,
) -> int:
    """The exit code: 0 all agreed; 5 some weakly; 4 some without an answer; 1 the day's budget is spent."""
    if out is None:
        raise WrongUsage("--out is missing: the file in which the answers are to stand")
    budget = None if daily_budget is None else parse_credits(amount(daily_budget, "--daily-budget"))

    async def ask(node: Client) -> tuple[TableProgress, BudgetSpent | None]:
        known = await node.model(await find_model(node, common, model))
        schema = await schema_for(node, known)
        reader = TableReader(table, schema)
        rows = reader.check()
        request = {**terms, "unchecked": True, **({} if policy is None else {"policy": await find_policy(node, policy)})}
        asked = TableTerms(
            model=known["id"],
            own=(await node.status())["id"],
            request=request,
            max_rows=known["max_rows"],
            max_bytes=known["input_cap"],
            daily_budget=budget,
        )
        if dry_run:
            return await _quoted(node, reader, asked, rows), None
        common.goes_on(f"The same words go on from here, and pay nothing twice: {out} and {out}.asked have to stay")
        run = TableRun(node, reader, out, schema, asked, rows=rows, progress=lambda done: common.out.note(describe(done)))
        try:
            return await run.run(), None
        except BudgetSpent as spent:
            return run.progress, spent
        finally:
            run.close()

    try:
        done, spent = common.ask(ask)
    except (BadTable, BadJournal, BadSchema) as e:
        raise WrongUsage(str(e)) from None
    except OSError as e:
        raise WrongUsage(f"{out} and its journal cannot be written: {e.strerror}. Check the folder and its free space") from None
    again = None if spent is None else round(spent.again * 1_000)
    document = {name: getattr(done, name) for name in ("rows", "done", "weak", "failed")}
    common.out.show(
        {**document, "cost": _credits(done), "out": str(out), "again": again},
        lambda console: _show_quote(console, done) if dry_run else _show(console, done, out),
    )
    if spent is not None:
        common.out.note(f"Stopped: {spent}. The same words go on from {when(again)} on.")
        return REFUSED
    return FAILED if done.failed else WEAK if done.weak else OK


async def _quoted(node: Client, reader: TableReader, terms: TableTerms, rows: int) -> TableProgress:
    """What the whole table would take now, as progress that has done nothing."""
    cost = 0
    for batch in reader.batches(terms.max_rows, terms.max_bytes):
        body = {**terms.request, "model": terms.model, **await node.send_rows(batch.raw)}
        cost += parse_credits((await node.quote_prediction(body))["charge"])
    return TableProgress(rows=rows, done=0, failed=0, weak=0, cost=cost)


async def schema_for(node: Client, model: RegisteredModelView) -> ModelSchema:
    """The schema of a model, over the node. Raises WrongUsage where it has none, BadSchema, and the SDK's errors."""
    if (schema := await schema_of(node, model)) is None:
        raise WrongUsage(f"Model {model['name']} has no schema, so no table's columns can be its rows. Send rows with --file")
    return schema


def _credits(done: TableProgress) -> str:
    from learningchain.chain.types import format_credits

    return format_credits(done.cost)


def _show_quote(console: Console, done: TableProgress) -> None:
    rows: list[tuple[str, Any]] = [("rows", done.rows), ("locked in all, at most", _credits(done))]
    console.print(facts("What the table would cost; nothing was sent", rows))


def _show(console: Console, done: TableProgress, out: Path) -> None:
    rows: list[tuple[str, Any]] = [("rows", done.rows), ("answered", done.done), ("cost", _credits(done))]
    rows += [("with fewer answers than asked for", done.weak)] if done.weak else []
    rows += [("without an answer", done.failed)] if done.failed else []
    console.print(facts("What became of the table", [*rows, ("answers", str(out))]))
