"""`fed join`, `data`, `leave` and `schema`: a data owner's commands. Nothing is agreed to before it was said what it means."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, Common, WrongUsage, agree, cell, facts, listing, size_text, span
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.contracts.federation.cli.reading import FedText
from learningchain.client.contracts.federation.cli.sponsoring import sent
from learningchain.client.contracts.federation.consent import check_open, check_own, own_data
from learningchain.client.contracts.federation.references import find_federation
from learningchain.client.contracts.federation.web.phrases import agreement, became, vault_text

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import (
        DemandKept,
        FederationJoined,
        JoiningView,
        OwnLossView,
        OwnPartView,
        PreviewView,
    )
    from learningchain.client.schema.bodies import OwnDataView, TxAnswer
    from learningchain.client.sdk.client import Client

MAX_SCHEMA = 64 * 1024
FAILED = 4
"""Exit code of a preview whose run failed."""
LEAST_VETTED = 2
"""What is demanded where nothing is said (`http.joining.MIN_VETTED`)."""
DataText = Annotated[str, Parameter(name="DATA", help="Your data, as learningchain data list names them.")]
Examples = Annotated[int | None, Parameter(help="Examples in your data, where pay is split by samples.")]


def join(
    federation: FedText,
    data: DataText,
    /,
    *,
    examples: Examples = None,
    min_vetted: Annotated[
        int | None, Parameter(help="Train only where so many other members carry the verifier flag. Default: 2.")
    ] = None,
    vault: Annotated[
        bool,
        Parameter(negative="--no-vault", show_default=False, help="Two members keep your sealed local model (default), or none."),
    ] = True,
    again: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="With data that were used for another small model: the two tell of them."),
    ] = False,
    preview: Annotated[
        bool, Parameter(negative="", show_default=False, help="Train once on your data and send nothing; do not join.")
    ] = False,
    yes: Annotated[bool, Parameter(negative="", show_default=False, help="Agree without being asked.")] = False,
    dry_run: Annotated[bool, Parameter(negative="", show_default=False, help="Only show what joining means.")] = False,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Train with your own data. First it is shown what leaves this machine, how much, who can read it and what it could earn; then
    you are asked. The data themselves never leave."""
    wait = min(wait, MAX_WAIT)

    async def look(node: Client) -> tuple[JoiningView, OwnDataView]:
        own = await own_data(node, data)
        return await node.joining(await find_federation(node, federation, to_join=True)), own

    found, own = common.ask(look)
    check_own(found, own, examples)
    if preview:
        return _preview(common, found, own)
    if dry_run:

        def people(console: Console) -> None:
            show_joining(console, found, own, vault=vault, min_vetted=min_vetted)

        common.out.show(_document(found, own), people)
        return 0
    if not common.json:
        show_joining(Console(file=sys.stderr), found, own, vault=vault, min_vetted=min_vetted)
    check_open(found)
    if not yes:
        agree(common, "", "Join?", "Nothing was sent")

    async def send(node: Client) -> FederationJoined:
        ref, n = found["federation"], examples or 0
        common.goes_on("You may have joined already, and this node trains then", f"fed show {ref[:12]}")
        return await node.join_federation(ref, data, n=n, min_vetted=min_vetted, vault=vault, again=again, wait=wait)

    done = common.ask(send)
    text = (
        "You asked to join: the sponsor admits members."
        if found["approved_by_sponsor"]
        else "You are a member, from the next start on."
    )
    common.out.show(done, lambda console: console.print(text))
    common.out.note(f"Follow it: learningchain fed watch {found['federation'][:12]}{common.again}")
    return finished(common, done, wait)


def data(
    federation: FedText,
    name: DataText,
    /,
    *,
    examples: Examples = None,
    wait: Wait = 30,
    common: Common = HERE,
) -> int:
    """Train on other data from now on: new patients, another year. Once a round."""
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> FederationJoined:
        ref = await find_federation(node, federation)
        check_own(await node.joining(ref), await own_data(node, name), examples)
        return await node.change_data(ref, name, n=examples or 0, wait=wait)

    return sent(common, common.ask(send), f"From the next start on this node trains on {name}.", wait)


def set_(
    federation: FedText,
    /,
    *,
    min_vetted: Annotated[int, Parameter(help="Train only where so many other members carry the verifier flag.")],
    common: Common = HERE,
) -> int:
    """Change what you demand before your node trains. You stay a member; it counts from the next start on."""

    async def send(node: Client) -> DemandKept:
        return await node.demand_vetted(await find_federation(node, federation), min_vetted)

    done = common.ask(send)
    text = f"From the next start on this node trains on {done['data']} where {done['min_vetted']} others carry the verifier flag."
    common.out.show(done, lambda console: console.print(text))
    return 0


def leave(federation: FedText, /, *, wait: Wait = 30, common: Common = HERE) -> int:
    """Leave from the next start on. What was earned stays; what was summed already is still paid."""
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> TxAnswer:
        return await node.leave_federation(await find_federation(node, federation), wait=wait)

    return sent(common, common.ask(send), "You leave, from the next start on.", wait)


def schema(
    federation: FedText,
    /,
    *,
    out: Annotated[Path, Parameter(help="Where it is written.")] = Path("schema.json"),
    common: Common = HERE,
) -> int:
    """Save what the sponsor asks of members' tables, for: learningchain data add NAME FOLDER --schema FILE"""

    async def read(node: Client) -> Any:
        found = await node.federation(await find_federation(node, federation, to_join=True))
        if found["terms"]["schema"] is None:
            raise WrongUsage("This federation asks for no schema: any data that its image understands will do")
        return await node.fetch(found["terms"]["schema"], out, max_size=MAX_SCHEMA)

    done = common.ask(read)
    common.out.show({"path": str(done.path), "cid": done.cid}, lambda console: console.print(f"The schema: {done.path}"))
    return 0


def mine(federation: FedText, /, *, common: Common = HERE) -> int:
    """This node's own part: which updates left it and what became of them, bytes out and in, and how the model does on its own
    data. Losses on own data are nobody else's."""

    async def read(node: Client) -> OwnPartView:
        return await node.own_part(await find_federation(node, federation))

    found = common.ask(read)
    common.out.show(found, lambda console: show_part(console, found))
    return 0


def show_part(console: Console, found: OwnPartView) -> None:
    what = f"trains on {found['data']}" if found["trains"] else "does not train"
    looks = ("looked after, rounds start by themselves" if found["auto"] else "looked after") if found["sponsors"] else None
    rows: list[tuple[str, Any]] = [
        ("this node", what),
        ("trains where", f"{found['min_vetted']} others carry the verifier flag" if found["trains"] else None),
        ("waits", found["waits"] or None),
        ("as its sponsor", looks),
        ("left this machine", size_text(found["bytes_out"])),
        ("came in", size_text(found["bytes_in"])),
        ("final model here", _loss_text(found["final"]) if found["final"] else None),
        ("vault", vault_text(found["vault"]) if found["trains"] else None),
        ("keeps for others", f"{found['vault']['keeps']} vaults" if found["vault"]["keeps"] else None),
    ]
    console.print(facts(f"Federation {found['federation']}", [row for row in rows if row[1] is not None]))
    if found["attempts"]:
        lines = [
            [one["round"], one["attempt"], became(one), size_text(one["bytes_out"]), _loss_text(one["loss"])]
            for one in found["attempts"]
        ]
        console.print(
            listing(["round", "attempt", "your update", "sent", "loss on your data"], lines, {"round", "attempt", "sent"})
        )


def _loss_text(loss: OwnLossView | None) -> str:
    return "-" if loss is None else f"{loss['loss']} of {loss['examples']} examples"


def _preview(common: Common, found: JoiningView, own: OwnDataView) -> int:
    """Exit code 4 where the run failed."""
    common.out.note(f"Training once on {own['name']}, {span(found['train_s'])} at most. Nothing is sent.")
    done: PreviewView = common.ask(lambda node: node.preview_local(found["federation"], own["name"]))

    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [
            ("it", "ended well" if done["state"] == "ok" else f"{done['state']}: {done['reason']}"),
            ("loss on your data", f"{_loss_text(done['loss'])}, of the present model"),
            ("would leave each round", size_text(found["bytes_each_round"])),
            ("the trained model", f"{size_text(done['model_bytes'])}, deleted"),
        ]
        console.print(facts("A preview: nothing was sent", rows))

    common.out.show(done, people)
    return 0 if done["state"] == "ok" else FAILED


# --- what it means --------------------------------------------------------------------------------------------------------------


def demanded(found: JoiningView, least: int) -> list[str]:
    """What the owner demands beside what the sponsor offers, where a round may begin in which its node does not train."""
    if least < found["min_members"]:
        return []
    return [
        f"a round begins with {found['min_members']} members, you among them, and this node waits until {least} others carry the "
        f"verifier flag (now {found['vetted']} members do): with fewer it sends nothing, and where the others need its update "
        "nothing is trained. Demand fewer with --min-vetted, also later: learningchain fed set"
    ]


def _document(found: JoiningView, own: OwnDataView) -> dict[str, Any]:
    return {**found, "data": own}


def show_joining(
    console: Console, found: JoiningView, own: OwnDataView, *, vault: bool = True, min_vetted: int | None = None
) -> None:
    """The page that a data owner agrees to. `min_vetted`: what it demands, None for the usual."""
    rows: list[tuple[str, Any]] = []
    for name, lines in agreement(found, own, vault=vault):
        more = " (--no-vault: none)" if name == "vault" and vault else ""
        rows += [(name if at == 0 else "", line + more) for at, line in enumerate(lines)]
    least = LEAST_VETTED if min_vetted is None else min_vetted
    rows.append(("trains where", f"{least} other members carry the verifier flag (--min-vetted)"))
    console.print(facts(f"Joining federation {found['federation']}", rows))
    for text in [*found["warnings"], *demanded(found, least)]:
        console.print(cell(f"  Mind: {text}.", "yellow"))
