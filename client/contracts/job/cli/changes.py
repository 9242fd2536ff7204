"""`job cancel`, `extend` and `repost`: what a poster can do about a job that nobody claimed on, or that found no winner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, Common, WrongUsage, amount, facts, relative, seconds
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.contracts.job.cli.jobs import ENDED, JobId
from learningchain.client.contracts.job.references import find

if TYPE_CHECKING:
    from pathlib import Path

    from learningchain.client.contracts.job.http.schema import JobCancelled, JobExtended, JobView
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Json


def cancel(job: JobId, /, *, wait: Wait = 30, common: Common = HERE) -> int:
    """Take back a job that nobody has claimed on. Everything that is locked for it comes back."""
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> JobCancelled:
        return await node.cancel_job(await find(node, job), wait=wait)

    done = common.ask(send)
    rows: list[tuple[str, Any]] = [("job", done.get("job")), ("transaction", done.get("tx")), ("block", done.get("height"))]
    common.out.show(done, lambda console: console.print(facts("Job taken back", rows)))
    return finished(common, done, wait)


def extend(
    job: JobId,
    /,
    *,
    expires: Annotated[str, Parameter(help="The new end of the claims, from now: 10m, 2h, 1d.", allow_leading_hyphen=True)],
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Give a job that nobody has claimed on more time. The new end must lie behind the present one."""
    open_s = seconds(expires, "--expires")
    if open_s <= 0:
        raise WrongUsage("--expires lies not in the future. Give workers time to train, such as 10m")
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> tuple[JobExtended, int]:
        done = await node.extend_job(await find(node, job), expires_in_s=open_s, wait=wait)
        return done, (await node.status())["clock_now"]

    done, clock = common.ask(send)
    rows: list[tuple[str, Any]] = [("job", done.get("job")), ("claims end", relative(done.get("expiry"), clock))]
    rows += [("transaction", done.get("tx")), ("block", done.get("height"))]
    common.out.show(done, lambda console: console.print(facts("Job extended", rows)))
    return finished(common, done, wait)


def repost(
    job: JobId,
    /,
    *,
    expires: Annotated[str, Parameter(help="When claims end, from now: 60s, 10m, 2h, 1d.", allow_leading_hyphen=True)],
    bounty: Annotated[str | None, Parameter(help="Credits for the winner. Default: as before.")] = None,
    fee: Annotated[str | None, Parameter(help="Credits for each verifier's judged vote. Default: as before.")] = None,
    finalists: Annotated[int | None, Parameter(help="How many of the best are judged at most, 2 to 8. Default: as before.")] = None,
    tol: Annotated[str | None, Parameter(help="By how much a verifier's loss may be above the claim. Default: as before.")] = None,
    hidden: Annotated[
        str | None, Parameter(help="A hidden evaluation file, sealed anew. Needed where the old key was revealed.")
    ] = None,
    dry_run: Annotated[bool, Parameter(negative="", show_default=False, help="Only say what it would cost.")] = False,
    yes: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Do not ask, also where fewer than seven verifiers can judge it."),
    ] = False,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Post a job again that ended without a winner: the same image and terms, but for what you change here."""
    from pathlib import Path

    from learningchain.client.contracts.job.cli.submit import check_terms, offer, report

    open_s = seconds(expires, "--expires")
    changed: Json = {"fee": fee, "finalists": finalists, "tol": tol}
    changed = {name: value for name, value in changed.items() if value is not None}
    check_terms(amount(bounty, "--bounty") if bounty is not None else "1", open_s, changed)
    wait = min(wait, MAX_WAIT)
    file = None if hidden is None else Path(hidden)

    async def request(node: Client) -> Json:
        old = await node.job(await find(node, job))
        return again(old, file) | changed | {"expires_in_s": open_s} | ({"bounty": bounty} if bounty is not None else {})

    quote, posted = offer(common, request, (), file, dry_run=dry_run, yes=yes, wait=wait)
    return report(common, quote, posted, quote["bounty"], open_s, yes=yes, wait=wait)


def again(old: JobView, hidden: Path | None) -> Json:
    """The request that posts a job once more, without its expiry. Raises `WrongUsage` where that cannot be meant."""
    import json

    name = str(old["id"])[:12]
    if old.get("state") not in ENDED:
        raise WrongUsage(f"Job {name} has not ended: it is {old.get('state')}. Wait, or post another one")
    if old.get("state") == "PAID":
        raise WrongUsage(f"Job {name} was paid: it has a model (learningchain job fetch {name}). To train again, use job submit")
    terms, limits, image = old["terms"], old["limits"], old["image"]
    body: Json = {"image": _image(image), "bounty": old["bounty"], "fee": old["fee"], "params": json.loads(terms["params"])}
    body |= {key: terms[key] for key in ("finalists", "float_kind", "tol", "floor", "on_cheat", "arch") if key in terms}
    rest = {key: value for key, value in limits.items() if key != "cpus_milli"}
    body["limits"] = {"cpus": limits["cpus_milli"] / 1_000, **rest}
    if sets := terms.get("data"):
        body["data"] = [{key: one[key] for key in ("cid", "size", "files", "name", "use")} for one in sets]
    if devices := terms.get("devices"):
        body["devices"] = devices
    if earlier := terms.get("earlier"):
        body["earlier"] = {key: earlier[key] for key in ("job", "cid", "size", "loss") if earlier[key] is not None}
    if sealed := terms.get("hidden"):
        if hidden is None and old.get("key"):
            raise WrongUsage(f"The key of job {name} was revealed: everybody can read its hidden data. Give new one: --hidden FILE")
        body["hidden"] = sealed
    return body


def _image(image: Any) -> Json:
    found = {"image_id": image["image_id"]} if image["image_id"] else {}
    named = {"reference": image["reference"]} if image["kind"] == "registry" else {"cid": image["cid"]}
    return {**named, **found, "size": image["size"]}
