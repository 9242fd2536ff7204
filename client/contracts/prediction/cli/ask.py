"""`predict`: ask a model from the command line, see what it would cost, and wait for what comes of it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client import reading
from learningchain.client.cli.app import OK, REFUSED
from learningchain.client.cli.callbacks import say_secret, secret_in
from learningchain.client.cli.common import HERE, Common, WrongUsage, amount, facts, seconds, span
from learningchain.client.cli.ledger import PENDING
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.prediction.cli.models import ModelText
from learningchain.client.contracts.prediction.cli.shown import RequestFollower, class_names, exit_code, show_request
from learningchain.client.contracts.prediction.cli.tables import ask_table
from learningchain.client.contracts.prediction.cli.typed import are_values, one_line, rows_of_values, say_unchecked
from learningchain.client.contracts.prediction.references import find_model, find_policy
from learningchain.client.sdk.types import NotFoundError

if TYPE_CHECKING:
    from learningchain.client.contracts.prediction.http.schema import PredictionPosted, PredictionQuote, PredictionView
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Json

MAX_INPUT = 8 * 2**20
"""Bytes of an input, as the rules have it."""
MAX_FOLLOW = 3_600.0
ROWS_HELP = (
    "Values: of a model with one value in a row each word is a row (2.5 3.5), of one with more the words are one row in the order "
    "of its schema (40 skilled). Or rows as JSON, one each ('[40, \"skilled\"]'); or the CID of a file of rows in the graph "
    "(learningchain file add). Without any: --file, or standard input."
)


def predict(
    model: ModelText,
    /,
    *rows: Annotated[str, Parameter(name="ROWS", help=ROWS_HELP)],
    file: Annotated[Path | None, Parameter(help="A file with a row a line (JSON Lines).")] = None,
    csv: Annotated[
        Path | None,
        Parameter(
            help="A table whose columns the model's schema names; in batches, and with the same words again where it stopped."
        ),
    ] = None,
    out: Annotated[Path | None, Parameter(help="With --csv: the file for the answers.")] = None,
    daily_budget: Annotated[
        str | None, Parameter(help="With --csv: most credits in 24 hours; then it stops, and goes on later.")
    ] = None,
    n: Annotated[int, Parameter(help="Answers that are asked for: an odd number from 1 to 15.")] = 5,
    m: Annotated[int | None, Parameter(help="How many of them should agree. Default: 2, or all that there are.")] = None,
    tip: Annotated[str | None, Parameter(help="Credits for all servers. Default: the model's floor. More comes first.")] = None,
    max_charge: Annotated[str | None, Parameter(help="Most credits that may be locked. Default: what it takes now.")] = None,
    within: Annotated[str, Parameter(help="How long it may wait for its servers: 30s, 10m.")] = "30s",
    policy: Annotated[str | None, Parameter(help="A policy that decides each row.")] = None,
    private: Annotated[
        bool, Parameter(negative="", show_default=False, help="Only those that are drawn read the rows, and only you the values.")
    ] = False,
    callback: Annotated[str | None, Parameter(help="A URL that is told what becomes of it: learningchain callback.")] = None,
    callback_secret: Annotated[
        Path | None, Parameter(help="File with the secret that signs what the URL is told. Default: a new one, shown once.")
    ] = None,
    wait: Annotated[float, Parameter(help="Seconds to wait for the answer; 0: do not wait.")] = 300,
    final: Annotated[bool, Parameter(negative="", show_default=False, help="Wait until no appeal can change the answer.")] = False,
    dry_run: Annotated[bool, Parameter(negative="", show_default=False, help="Only say what it would cost.")] = False,
    common: Common = HERE,
) -> int:
    """Ask a model, and pay who agrees. Exit code 0: agreed; 5: fewer agree than asked for; 4: it failed, and what was not used up
    came back."""
    terms = _terms(n, m, tip, max_charge, within)
    if csv is not None:
        if rows or file is not None:
            raise WrongUsage("--csv, --file and rows exclude each other. Give one of them")
        if private or callback is not None or callback_secret is not None:
            raise WrongUsage("--private and --callback are for one request: ask without --csv, or by the SDK batch by batch")
        return ask_table(common, model, csv, out, terms=terms, policy=policy, daily_budget=daily_budget, dry_run=dry_run)
    if out is not None or daily_budget is not None:
        raise WrongUsage("--out and --daily-budget belong to --csv: name the table with it")
    cid = rows[0] if len(rows) == 1 and file is None and is_cid(rows[0]) else None
    values = cid is None and file is None and are_values(rows)
    text = b"" if values or cid else read_rows(rows, file)
    told = _told(callback, callback_secret)
    if not 0 <= wait <= MAX_FOLLOW:
        raise WrongUsage(f"--wait is a number of seconds up to {MAX_FOLLOW:g}, not {wait:g}")

    async def send(
        node: Client,
    ) -> tuple[PredictionQuote | None, PredictionPosted | None, PredictionView | None, Sequence[str]]:
        known = await node.model(await find_model(node, common, model))
        sent = await rows_of_values(node, known, rows) if values else text if cid is None else await rows_in(node, cid)
        say_unchecked(common, known)
        body: Json = {**terms, "model": known["id"]}
        if policy is not None:
            body["policy"] = await find_policy(node, policy)
        body |= await node.send_rows(sent, private=private) | told
        if dry_run:
            return await node.quote_prediction(body), None, None, ()
        common.goes_on("The request may be sent already, and goes on then", "prediction show latest")
        posted = await node.request_prediction(body, wait=min(30.0, wait))
        common.goes_on(
            "The request goes on, and what it locks stays locked until it has ended", f"prediction show {posted['request']}"
        )
        common.out.note(f"Request {posted['request']}: {posted['charge']} credits are locked until it has ended.")
        say_secret(common, posted.get("callback_secret"))
        common.keep_receipt(posted)
        if not wait:
            return None, posted, None, ()
        with RequestFollower(common.out) as follower:
            view = await follower.follow(node, posted["request"], wait, final=final, sent=True)
        return None, posted, view, () if view is None or common.json else await class_names(node, view)

    quote, posted, view, names = common.ask(send)
    if quote is not None:
        known = quote
        common.out.show(known, lambda console: show_quote(console, known))
        return REFUSED if known["refusal"] is not None else OK
    if view is None:
        if posted is None:
            raise NotFoundError("Nothing was sent")
        sent = posted
        common.out.show(sent, lambda console: console.print(f"Request {sent['request']} is on its way."))
        common.out.note(f"Follow it: learningchain prediction watch {sent['request'][:12]}{common.again}")
        return PENDING if wait else OK
    found = view
    # Nothing but the document is said with --json, and the secret is not shown again.
    once = {"callback_secret": posted["callback_secret"]} if posted is not None and "callback_secret" in posted else {}
    common.out.show({**found, **once}, lambda console: show_request(console, found, names))
    return exit_code(found)


def is_cid(word: str) -> bool:
    from learningchain.chain.errors import Malformed
    from learningchain.p2p.content.cid import parse

    try:
        return bool(parse(word))
    except Malformed:
        return False


async def rows_in(node: Client, cid: str) -> bytes:
    """Rows that lie in the graph, under this CID. Raises `ApiError`."""
    with tempfile.TemporaryDirectory(prefix="learningchain-") as scratch:
        found = await node.fetch(cid, Path(scratch) / "rows", max_size=MAX_INPUT)
        return found.path.read_bytes()


def read_rows(rows: tuple[str, ...], path: Path | None) -> bytes:
    """The rows' text, a line each. Raises `WrongUsage`."""
    if rows and path is not None:
        raise WrongUsage("Rows and --file exclude each other. Give one of them")
    if rows:
        return "".join(f"{one_line(number, row)}\n" for number, row in enumerate(rows, 1)).encode()
    if path is None and sys.stdin.isatty():
        raise WrongUsage("There are no rows: type them as JSON ('[0.1, 0.7]'), name a file with --file, or pipe them in")
    try:
        if path is None:
            raw = reading.unmarked(sys.stdin.buffer.read(MAX_INPUT + 1))
        else:
            raw = reading.file(path, MAX_INPUT)
    except OSError as e:
        raise WrongUsage(f"The rows in {path} cannot be read: {e.strerror}") from None
    if not raw:
        raise WrongUsage("There are no rows in it: a request asks for one at least")
    if len(raw) > MAX_INPUT:
        raise WrongUsage(f"The rows have more than {MAX_INPUT >> 20} MiB: ask for fewer at once")
    return raw


def _terms(n: int, m: int | None, tip: str | None, max_charge: str | None, within: str) -> Json:
    """Raises `WrongUsage`."""
    if not 1 <= n <= 15 or n % 2 == 0:
        raise WrongUsage(f"--n is an odd number from 1 to 15, not {n}: committees decide by more than half")
    if m is not None and not 1 <= m <= n:
        raise WrongUsage(f"--m is a number from 1 to {n}: so many of the {n} answers should agree")
    waits = seconds(within, "--within")
    if not 1 <= waits <= 3_600:
        raise WrongUsage(f"--within is a time from 1s to 1h, not {within}")
    given: dict[str, Any] = {"tip": tip, "max_charge": max_charge}
    amounts = {name: amount(text, f"--{name.replace('_', '-')}") for name, text in given.items() if text is not None}
    return {"n": n, "within_s": waits, **({} if m is None else {"agree": m}), **amounts}


def _told(callback: str | None, secret: Path | None) -> Json:
    """Raises `WrongUsage`."""
    if callback is None:
        if secret is not None:
            raise WrongUsage("--callback-secret signs what --callback is told. Name the URL, too")
        return {}
    given = secret_in(secret)
    return {"callback": callback, **({} if given is None else {"callback_secret": given})}


def _judges(quote: PredictionQuote) -> str:
    final = "" if quote["judges"] >= quote["judges_needed"] else ": then nothing can change the answer"
    return f"{quote['judges']} verifiers; where all agree it takes {quote['judges_needed']}{final}"


def show_quote(console: Console, quote: PredictionQuote) -> None:
    rows: list[tuple[str, Any]] = [
        ("locked", quote["charge"]),
        ("tip", f"{quote['tip']} (at least {quote['least_tip']})"),
        ("royalty", quote["royalty"]),
        ("burned", quote["burned"]),
        ("rows", quote["rows"]),
        ("servers that may be drawn", quote["pool"]),
        ("of them are drawn", quote["seats"] or "none: too few serve this model"),
        ("left to judge an appeal", _judges(quote)),
        ("waiting before it", quote["waiting"]),
        ("answered at the latest after", span(quote["latest_answer_s"])),
    ]
    if (refusal := quote["refusal"]) is not None:
        rows.append(("would be refused", f"{refusal['message']} ({refusal['name']})"))
    console.print(facts("What it would cost", rows))
