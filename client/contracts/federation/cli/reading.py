"""`fed list`, `show`, `rounds`, `members`, `files` and `fetch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import (
    HERE,
    Common,
    WrongUsage,
    cell,
    counted,
    facts,
    listing,
    relative,
    short,
    short_id,
    show_list,
    size_text,
    span,
    when,
)
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.federation.cli.words import colored, meaning, state_text
from learningchain.client.contracts.federation.references import find_federation
from learningchain.client.contracts.federation.web.phrases import CODES, MEMBERS, OUTCOMES, VOIDS, pay_text

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import (
        AttemptView,
        FederationAttempts,
        FederationMemberView,
        FederationRoundView,
        FederationSummary,
        FederationView,
        RoundPayView,
    )
    from learningchain.client.sdk.client import Client
    from learningchain.client.sdk.types import Fetched

MAX_LIST = 1_000
FedText = Annotated[str, Parameter(name="FED", help="The federation's id, its first characters, or latest: your newest one.")]
MOST_CALLS = 64
"""That look for one round, 16,000 events each."""


def list_federations(
    *,
    live: Annotated[bool, Parameter(negative="", show_default=False, help="Only those that have not ended.")] = False,
    mine: Annotated[
        bool, Parameter(negative="", show_default=False, help="Only those that this node opened; with --joined, or joined.")
    ] = False,
    joined: Annotated[bool, Parameter(negative="", show_default=False, help="Only those that this node joined.")] = False,
    limit: Annotated[int, Parameter(help="Most federations to show, up to 1000.")] = 20,
    before: Annotated[int | None, Parameter(help="Go on below this number.")] = None,
    common: Common = HERE,
) -> int:
    """Federations of the network, the newest first."""
    if not 1 <= limit <= MAX_LIST:
        raise WrongUsage(f"--limit is a number of federations from 1 to {MAX_LIST}, not {limit}. Older ones: --before NUMBER")

    async def read(node: Client) -> list[FederationSummary]:
        own = (await node.status())["id"] if mine or joined else None
        if not (mine and joined):
            sponsor, member = own if mine else None, own if joined else None
            return await node.federations(live=live, sponsor=sponsor, member=member, before=before, limit=limit)
        opened = await node.federations(live=live, sponsor=own, before=before, limit=limit)
        return sorted([*opened, *await node.federations(live=live, member=own, before=before, limit=limit)], key=_number)[:limit]

    found = common.ask(read)

    return show_list(
        common,
        found,
        "No federations.",
        ["no.", "federation", "state", "sponsor", "round", "loss", "target", "paid", "members", "admits"],
        lambda one: [
            one["number"],
            short_id(one["id"]),
            state_text(one),
            short(one["sponsor"]),
            f"{one['round']}/{one['rounds']}",
            one["best"],
            one["target"],
            f"{one['paid']}/{one['bounty']}",
            f"{one['joined']}/{one['max_members']}",
            one["admit"],
        ],
        right={"no.", "round", "loss", "target", "paid", "members"},
        full=limit,
    )


def _number(one: FederationSummary) -> int:
    return -one["number"]


# --- one ------------------------------------------------------------------------------------------------------------------------


def show(
    federation: FedText,
    /,
    *,
    round: Annotated[int | None, Parameter(help="What this round paid to whom, by which measurement, and why not.")] = None,
    common: Common = HERE,
) -> int:
    """Everything about one federation: what it asks for, where it stands, who is drawn; or one round's pay."""
    if round is not None:
        return _show_round(federation, round, common)

    async def read(node: Client) -> tuple[FederationView, int]:
        return await node.federation(await find_federation(node, federation)), (await node.status())["clock_now"]

    found, clock = common.ask(read)
    common.out.show(found, lambda console: show_federation(console, found, clock))
    return 0


def _directions(found: FederationView) -> str | None:
    """The sponsor closes where the cells add nothing to what its reference alone reaches."""
    return ", ".join(f"{one['of']} {one['loss'] or 'no model'}" for one in found["directions"]) or None


def show_federation(console: Console, found: FederationView, clock: int) -> None:
    terms, counts = found["terms"], found["members"]
    limits, image = terms["limits"], terms["image"]
    rows: list[tuple[str, Any]] = [
        ("state", state_text(found)),
        ("", meaning(found)),
        ("ends the state", relative(found["deadline"], clock) if found["deadline"] else None),
        ("sponsor", found["sponsor"]),
        ("round", f"{found['round']} of {found['rounds']}, {found['starts']} of {found['most_starts']} starts used"),
        ("loss", _losses(found)),
        ("bounty", f"{found['bounty']}, of which {found['paid']} are paid"),
        ("fees left", found["fees_left"]),
        ("members", f"{counts['active']} of {terms['max_members']}, {counts['pending']} wait; {terms['min_members']} are needed"),
        ("who gets in", "whom the sponsor admits" if found["admit"] == "approve" else "everybody, at once"),
        ("secrecy", _secrecy(terms)),
        ("rule", f"{terms['rule']}; pay is split {terms['split']}"),
        ("model", f"{terms['model']['dims']:,} values, {size_text(terms['model']['size'])}"),
        ("image", image["reference"] or image["cid"]),
        (
            "limits",
            f"{counted(limits['cpus_milli'] / 1000, 'processor')}, {limits['mem_mb']} MiB, "
            f"{span(limits['train_s'])} for local training",
        ),
        ("a round takes", f"{span(terms['round_ms'] / 1000)} at most for training"),
        ("test data", "hidden" if terms["hidden"] else "in the image"),
        ("tables", f"have to fit the schema {terms['schema']}" if terms["schema"] else None),
        ("cells", ", ".join(f"{len(one['members'])} in cell {one['number']}" for one in found["cells"]) or None),
        ("last sum reached", _directions(found)),
        ("best model", found["best_model"]["cid"] if found["best_model"] else None),
        ("opened", relative(found["opened"], clock)),
        ("ends", relative(found["ends"], clock) if not found["ended"] else None),
        ("ended", relative(found["ended"], clock) if found["ended"] else None),
    ]
    console.print(facts(f"Federation {found['id']}", [row for row in rows if row[1] is not None]))
    if found["panel"]:
        lines = [[one["account"], _did(one), one["silent"]] for one in found["panel"]]
        console.print(listing(["panel", "this measurement", "silent"], lines, {"silent"}))
    if (attempt := found["attempt"]) is not None:
        console.print(f"Attempt {attempt['attempt']}: {len(attempt['files'])} of {attempt['roster']} members sent an update.")
        rows_of = [[one["account"], one["ready"], one["have"], one["screened"], one["summed"]] for one in attempt["aggregators"]]
        console.print(listing(["aggregator", "ready", "has files", "judged", "summed"], rows_of))


def _losses(found: FederationView) -> str:
    if found["best"] is None:
        return f"not measured yet; the target is {found['target']}"
    return f"{found['initial']} at first, {found['best']} now, the target is {found['target']}"


def _secrecy(terms: dict[str, Any]) -> str:
    counted = " that carry the verifier flag" if terms["vetted"] else ""
    if terms["secrecy"] == "open":
        return "open: the three aggregators of a round read each update"
    return f"sum: what can be read is a sum of at least {terms['min_sum']} members{counted}"


def _did(one: Any) -> str:
    return one["code"] or ("measured, not shown yet" if one["committed"] else "-")


# --- one round's pay ------------------------------------------------------------------------------------------------------------


def _show_round(federation: str, number: int, common: Common) -> int:
    if not 1 <= number <= MAX_LIST:
        raise WrongUsage(f"--round is a number from 1 to {MAX_LIST}, not {number}")

    async def read(node: Client) -> RoundPayView:
        ref = await find_federation(node, federation)
        one = await node.federation_round(ref, number)
        for _ in range(MOST_CALLS):
            if one["before"] is None:
                break
            one = await node.federation_round(ref, number, before=one["before"])
        return one

    found = common.ask(read)
    common.out.show(found, lambda console: show_round(console, found))
    return 0


def show_round(console: Console, found: RoundPayView) -> None:
    measured, counts = found["measurement"], found["counts"]
    votes = measured["votes"] if measured is not None else []
    agreed = f"{len(measured['counted'])} of {len(votes)} seats agreed" if measured is not None else "not measured yet"
    said = ", ".join(f"{short(one['seat'])} {one['loss'] or one['code']}" for one in votes)
    loss = "no model" if found["invalid"] else found["loss"]
    rows: list[tuple[str, Any]] = [
        ("outcome", colored(found["outcome"]) if found["outcome"] else "is measured"),
        ("", OUTCOMES.get(str(found["outcome"]), "")),
        ("loss", f"{loss}, {agreed}" if loss is not None else agreed),
        ("seats", said or None),
        ("paid", found["pot"]),
        ("split by", f"points of rounds {counts[0]} to {counts[-1]}" if len(counts) > 1 else "points of this round"),
        ("settled", when(found["settled"]) if found["settled"] else None),
    ]
    console.print(facts(f"Round {found['round']}, attempt {found['attempt']}", [row for row in rows if row[1] is not None]))
    lines = [[one["member"], one["paid"], pay_text(one), one["points"] or "-"] for one in found["owners"]]
    console.print(listing(["owner", "paid", "", "points"], lines, {"paid", "points"}))


# --- rounds, members, files -----------------------------------------------------------------------------------------------------


def rounds(
    federation: FedText,
    /,
    *,
    limit: Annotated[int, Parameter(help="Most rounds to show, up to 1000.")] = 30,
    before: Annotated[int | None, Parameter(help="Go on below this round.")] = None,
    common: Common = HERE,
) -> int:
    """Rounds that were summed, the newest first: loss, outcome, what was paid for it."""
    _check(limit)

    async def read(node: Client) -> list[FederationRoundView]:
        return await node.federation_rounds(await find_federation(node, federation), before=before, limit=limit)

    found = common.ask(read)

    return show_list(
        common,
        found,
        "No round was summed yet (learningchain fed files says what became of attempts).",
        ["round", "attempt", "updates", "loss", "outcome", "paid", "", "when"],
        lambda one: [
            one["round"],
            one["attempt"],
            len(one["accepted"]),
            "no model" if one["invalid"] else one["loss"],
            colored(one["outcome"]) if one["outcome"] else "is measured",
            one["pot"],
            OUTCOMES.get(str(one["outcome"]), ""),
            when(one["settled"]) if one["settled"] else "-",
        ],
        right={"round", "attempt", "updates", "loss", "paid"},
        full=limit,
        at="round",
    )


def _check(limit: int) -> None:
    if not 1 <= limit <= MAX_LIST:
        raise WrongUsage(f"--limit is a number from 1 to {MAX_LIST}, not {limit}")


def members(federation: FedText, /, *, common: Common = HERE) -> int:
    """Who is in, who waits, who left, and what each was paid."""

    async def read(node: Client) -> list[FederationMemberView]:
        return await node.federation_members(await find_federation(node, federation))

    found = common.ask(read)

    return show_list(
        common,
        found,
        "Nobody has joined yet.",
        ["no.", "member", "state", "paid", "of the bounty", "points", "refused in a row", "examples"],
        lambda one: [
            "-" if one["index"] is None else one["index"],
            one["account"],
            MEMBERS[one["state"]] + (f", benched up to start {one['benched']}" if one["benched"] else ""),
            one["paid"],
            f"{one['share_ppm'] / 10_000:.2f} %",
            one["points"],
            one["bad"],
            one["n"] or "-",
        ],
        right={"no.", "paid", "of the bounty", "points", "refused in a row", "examples"},
    )


def files(
    federation: FedText,
    /,
    *,
    mine: Annotated[bool, Parameter(negative="", show_default=False, help="Only this node's own updates.")] = False,
    limit: Annotated[int, Parameter(help="Most attempts to show, up to 50.")] = 10,
    before: Annotated[int | None, Parameter(help="Go on with what is older than this.")] = None,
    common: Common = HERE,
) -> int:
    """What became of every update: used, or which rule refused it. The newest attempt first."""
    if not 1 <= limit <= 50:
        raise WrongUsage(f"--limit is a number of attempts from 1 to 50, not {limit}")

    async def read(node: Client) -> tuple[FederationAttempts, str]:
        found = await node.federation_attempts(await find_federation(node, federation), before=before, limit=limit)
        return found, (await node.status())["id"]

    found, own = common.ask(read)
    if mine:
        for one in found["attempts"]:
            one["files"] = [file for file in one["files"] if file["member"] == own]

    def people(console: Console) -> None:
        if not found["attempts"]:
            console.print("No attempt was judged yet.")
        for one in found["attempts"]:
            console.print(cell(attempt_line(one), "bold"))
            for file in one["files"]:
                console.print(cell(f"  {short(file['member'])}: {CODES.get(file['code'], file['code'])}{_beside(file)}"))
        if found["before"] is not None:
            common.out.note(f"There may be more: --before {found['before']}")

    common.out.show(found, people)
    return 0


def attempt_line(one: AttemptView) -> str:
    head = f"Round {one['round']}, attempt {one['attempt']}"
    if one["void"] is not None:
        return f"{head}: came to nothing, {one['void']}: {VOIDS.get(one['void'], '')}"
    return f"{head}: {one['accepted']} updates were added up"


def _beside(file: Any) -> str:
    if file["code"] == "USED" and not file["accepted"]:
        return ", but not added: too few new ones beside it, or the attempt came to nothing"
    return f" ({file['points']} points)" if file["points"] else ""


# --- the model ------------------------------------------------------------------------------------------------------------------


def fetch(
    federation: FedText,
    /,
    *,
    out: Annotated[Path, Parameter(help="Where it is written: a file, or a folder.")] = Path("."),
    round: Annotated[int | None, Parameter(help="The model of this round; 0: the initial one. Default: the best one.")] = None,
    force: Annotated[bool, Parameter(negative="", show_default=False, help="Overwrite a file that is there.")] = False,
    common: Common = HERE,
) -> int:
    """Save a model of a federation, checked against its name on the ledger. It is a safetensors file."""

    async def read(node: Client) -> Fetched:
        ref = await find_federation(node, federation)
        return await node.fetch_federation_model(ref, out, round=round, overwrite=force)

    done = common.ask(read)
    document = {"path": str(done.path), "cid": done.cid, "size": done.size, "sha256": done.sha256}
    rows: list[tuple[str, Any]] = [("file", done.path), ("size", size_text(done.size)), ("cid", done.cid)]
    common.out.show(document, lambda console: console.print(facts("Model saved", rows)))
    return 0
