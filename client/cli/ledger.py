"""Reading the ledger: `status`, `balance`, `history`, `peers`, `runs`, `block show`, `tx show`; and how a submission ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client import contracts
from learningchain.client.cli.common import (
    HERE,
    Common,
    ago,
    brief,
    cell,
    clean,
    facts,
    in_commands,
    listing,
    named,
    nested,
    size_text,
    when,
)
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.keys.names import ADDRESS, Names, near
from learningchain.client.schema.people import PEOPLE
from learningchain.client.sdk.types import ApiError, NotFoundError

if TYPE_CHECKING:
    from learningchain.client.schema.bodies import AccountBase, ParkedView, ReceiptProof, ServingView, StatusView, TxAnswer
    from learningchain.client.sdk.client import Client

Wait = Annotated[float, Parameter(help="Seconds to wait until it is final; 0: do not wait.")]
MAX_WAIT = 300.0
MAX_TROUBLES = 8
PENDING = 3
"""Exit code where the graph did not decide in time: whether it will is not known."""


def status(
    *,
    wait: Annotated[
        float,
        Parameter(help="Wait at most so many seconds until the node is up, in step, and its sandbox holds; what for is told."),
    ] = 0,
    common: Common = HERE,
) -> int:
    """Where the node stands: network, height, peers, sandbox."""
    if wait > 0:
        import asyncio

        from learningchain.client.cli.ready import ready

        asyncio.run(ready(common, min(wait, MAX_WAIT)))
    found, role, sandbox = common.ask(read_status)

    def people(console: Console) -> None:
        supply = found.get("supply", {})
        rows: list[tuple[str, Any]] = [
            ("identity", found.get("id")),
            ("role", role),
            ("height", found.get("height")),
            ("block", f"{found.get('height')}-{found.get('block_id')}"),
            ("last block", f"{when(found.get('time'))} ({ago(found.get('time'))})"),
            ("state root", found.get("state_root")),
            ("peers", found.get("peers") or "0: who refused this node, and why, says learningchain peers"),
            ("validators", len(found.get("validators", []))),
            ("syncing", found.get("syncing")),
            ("audited", _audited(found)),
            ("mempool", _mempool(found)),
            ("runs jobs", found.get("working")),
            ("sandbox", sandbox),
            *(("parked", _parked(one)) for one in found.get("parked", [])),
            *(("failing", f"{one['part']}, since {when(one['since'])}: {one['why']}") for one in found.get("failing", [])),
            *(("serves", _served(one)) for one in found.get("serving", [])),
            *(("notice", f"{one['text']} (since {when(one['since'])})") for one in found.get("notices", [])),
            ("supply", supply.get("supply")),
            ("version", found.get("version")),
        ]
        console.print(facts(f"Network {found.get('network')} ({str(found.get('chain_id'))[:16]})", rows))

    common.out.show(found, people)
    return 0


def _mempool(found: StatusView) -> str:
    """What waits for a block, and the fullest kind of space that it waits in."""
    waiting, room = found.get("mempool", 0), found.get("mempool_room", {})
    if not waiting or not room:
        return f"{waiting} waiting"
    part, name = max((one["bytes"] / one["limit"], name) for name, one in room.items())
    return f"{waiting} waiting; fullest: {name}, {part:.0%} of its room"


def _served(one: ServingView) -> str:
    return f"model {one['model'][:16]}: {one['ready']} containers wait, {one['answering']} answer, {one['starting']} start"


def _parked(one: ParkedView) -> str:
    words = f"{len(one['retry'])} validators for retry, {len(one['give_back'])} for giving back"
    return f"{one['contract']} {one['ref']}: {one['fault']} in block {one['height']}; {words} (learningchain release)"


def _audited(found: StatusView) -> str:
    """How far the node executed its blocks itself."""
    upto, height, first = found.get("audited"), found.get("height"), found.get("first_block", 1)
    done = upto is None or height is None or upto >= height - 1  # the last block may be on its way to the database
    if first > 1:
        here = f"every block from {first} on was executed here" if done else f"up to block {upto} every block was executed here"
        return f"{here}; those before {first} are not kept here, so that nothing can be audited: archive nodes can"
    if done:
        return "every block was executed here"
    return f"up to block {upto}; those after it rest on their certificates until: learningchain audit"


async def read_status(node: Client) -> tuple[StatusView, str, str]:
    """The status, this node's role, and whether its containers hold: without an engine a node keeps its ledger running."""
    found = await node.status()
    try:
        role = role_of(await node.account(found["id"]))
    except NotFoundError:
        role = (
            "no member of this network: send its members your key (learningchain id)"
            if found["height"]
            else "unknown: this node has no block of the network yet"
        )
    try:
        report = (await node.ready()).get("sandbox")
        return found, role, "not used: this node neither works nor verifies" if report is None else "ready"
    except ApiError as e:
        return found, role, in_commands(e.message) if e.name == "SANDBOX" else "-"


def role_of(a: AccountBase) -> str:
    """What an account is called to, by the consensus or by a contract; else it is a member."""
    called = (part.role(a) for part in contracts.parts(PEOPLE).values())
    return "validator" if a.get("validator") else next((role for role in called if role), "member")


def balance(
    who: Annotated[str | None, Parameter(name="ACCOUNT", help="lc1... or a name; default: this node's.")] = None,
    /,
    *,
    common: Common = HERE,
) -> int:
    """Credits of an account, and how it stands with every contract."""
    who = None if who is None else common.account(who)
    found, clock = common.ask(lambda node: _standing(node, who))

    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [("free", found.get("balance")), ("locked", found.get("locked"))]
        if found.get("frozen", "0") != "0":
            rows.append(("frozen", found["frozen"]))
        if earned := found.get("bandwidth"):
            rows.append(("bandwidth", f"{size_text(max(0, earned['left']))} left, {size_text(earned['per_s'])}/s"))
        rows.append(("status", found.get("status")))
        for part in contracts.parts(PEOPLE).values():
            rows += part.rows(found, clock)
        console.print(facts(str(found.get("id")), rows))

    common.out.show(found, people)
    return 0


async def _standing(node: Client, who: str | None) -> tuple[AccountBase, int]:
    return await node.account(who), (await node.status())["clock_now"]


def history(
    who: Annotated[str | None, Parameter(name="ACCOUNT", help="lc1... or a name; default: this node's.")] = None,
    /,
    *,
    limit: Annotated[int, Parameter(help="Most entries to show, up to 1000.")] = 50,
    before: Annotated[int | None, Parameter(help="Go on below this cursor.")] = None,
    everything: Annotated[bool, Parameter(name="--all", negative="", help="Also what moved no credits: keys, machines.")] = False,
    common: Common = HERE,
) -> int:
    """Movements of an account's credits, newest first. Why one came or went: learningchain why REFERENCE."""
    who = None if who is None else common.account(who)
    found, poisoned, first = common.ask(lambda node: _movements(node, who, before, limit, common.names))
    if first > 1 and len(found) < limit:
        common.out.note(f"What came before block {first} is not kept by this node: ask an archive node (status: first_block 1).")

    def people(console: Console) -> None:
        shown = found if everything else [entry for entry in found if entry.get("amount") not in (None, "0")]
        if not shown:
            console.print("Nothing yet.")
        rows = [
            [
                e.get("height"),
                when(e.get("time")),
                e.get("reason"),
                _signed(e.get("amount")),
                _other(console, e),
                None if e.get("ref") and str(e.get("other")).endswith(str(e["ref"])) else brief(console, e.get("ref")),
            ]
            for e in shown
        ]
        if shown:
            console.print(listing(["block", "time", "reason", "credits", "with", "reference"], rows, {"block", "credits"}))
        for other, known in sorted(poisoned.items()):
            common.out.note(
                f"Take care: {named(other)} begins and ends like {named(known)}, and is another. Copy neither from here."
            )
        if len(found) >= limit:
            common.out.note(f"There may be more: --before {found[-1].get('cursor')}")

    common.out.show(found, people)
    return 0


def _other(console: Console, entry: Mapping[str, Any]) -> Any:
    shown = brief(console, entry.get("other"))
    return cell(f"{shown} (looks like another: see below)", "red") if "looks_like" in entry else shown


async def _movements(
    node: Client, who: str | None, before: int | None, limit: int, names: Names
) -> tuple[list[dict[str, Any]], dict[str, str], int]:
    """A history, and of the addresses in it those that begin and end like a known one: their entries have `looks_like`; and the
    first block that the node keeps."""
    status = await node.status()
    own = who or status["id"]
    found = [dict(entry) for entry in await node.history(own, before=before, limit=limit)]
    known = {own, *names.by_address, *paid_by_hand(found)}
    poisoned: dict[str, str] = {}
    for entry in found:
        other = str(entry.get("other"))
        if other not in known and ADDRESS.fullmatch(other) and (like := near(other, known)):
            poisoned[other] = entry["looks_like"] = like
    return found, poisoned, status.get("first_block", 1)


def paid_by_hand(entries: Iterable[Mapping[str, Any]]) -> set[str]:
    """Accounts that credits were sent to by hand."""
    return {
        str(e["other"])
        for e in entries
        if e.get("reason") == "transfer" and e.get("other") and str(e.get("amount")).startswith("-")
    }


def _signed(text: Any) -> Any:
    return cell(text, "green" if str(text).startswith("+") else "red" if str(text).startswith("-") else "")


def finished(common: Common, done: TxAnswer, wait: float) -> int:
    """Exit code of a submission: nobody waited, or it is final, or the time ran out."""
    common.keep_receipt(done)
    if not wait or "height" in done:
        return 0
    common.out.note(f"It is not final after {wait:g} s. It may still come: learningchain tx show {done.get('tx')}")
    return PENDING


def block_show(
    height: Annotated[str, Parameter(name="HEIGHT", help="A height, or latest.")] = "latest",
    /,
    *,
    common: Common = HERE,
) -> int:
    """Show a block."""
    found = common.ask(lambda node: node.block(height))

    def people(console: Console) -> None:
        signed: Mapping[str, Any] = found.get("certificate") or {}
        skipped = {"txs", "header", "certificate", "height", "time"}
        rows = [("time", when(found.get("time"))), *((k, v) for k, v in found.items() if k not in skipped)]
        rows.append(("signed by", f"{len(signed.get('signers', []))} validators in round {signed.get('round')}"))
        console.print(facts(f"Block {found.get('height')}", [(k.replace("_", " "), v) for k, v in rows]))
        txs = found.get("txs", [])
        console.print(f"{len(txs)} transactions" + ("" if not txs else ":"))
        for tx in txs:
            console.print(f"  {clean(tx)}", soft_wrap=True)

    common.out.show(found, people)
    return 0


def tx_show(
    tx: Annotated[str, Parameter(name="TX", help="The transaction's id.")],
    /,
    *,
    proof: Annotated[
        bool, Parameter(negative="", show_default=False, help="Print its receipt with what proves it to others.")
    ] = False,
    common: Common = HERE,
) -> int:
    """Show a transaction and its receipt."""
    if proof:
        common.out.line(common.ask(lambda node: _proven(node, tx)))
        return 0
    found = common.ask(lambda node: node.tx(tx))

    def people(console: Console) -> None:
        code = found.get("code")
        outcome = cell("applied", "green") if code == 0 else cell(f"refused: {found.get('code_name')} ({code})", "red")
        rows: list[tuple[str, Any]] = [("result", outcome), ("block", f"{found.get('height')}, index {found.get('index')}")]
        rows += [("sender", found.get("sender")), ("lane, sequence", f"{found.get('lane')}, {found.get('sequence')}")]
        for op in found.get("ops", []):
            rows.append((str(op.get("type")), nested({k: v for k, v in op.items() if k != "type"})))
        for event in found.get("events", []):
            rows.append(("event", nested({k: v for k, v in event.items() if k != "type"})))
        console.print(facts(f"Transaction {found.get('tx')}", rows))

    common.out.show(found, people)
    return 0


async def _proven(node: Client, tx: str) -> ReceiptProof:
    shown = await node.tx(tx)
    return await node.receipt(int(shown["height"]), int(shown["index"]) + 1)


def peers(*, common: Common = HERE) -> int:
    """Nodes that this one is connected to, and why others are not."""
    found, seen = common.ask(_connections)

    def people(console: Console) -> None:
        rows = [
            [
                brief(console, p.get("id")),
                p.get("address"),
                p.get("direction"),
                "-" if p.get("rtt_ms") is None else f"{float(p['rtt_ms']):.1f} ms",
                size_text(p.get("bytes_in")),
                size_text(p.get("bytes_out")),
            ]
            for p in found
        ]
        if rows:
            console.print(listing(["identity", "address", "direction", "round trip", "in", "out"], rows))
        troubles = _troubles(seen)
        if troubles:
            listed = [[ago(t["time"]), t["event"], t["address"], t["reason"]] for t in troubles]
            console.print("\nFailed or refused lately" if rows else "No peers. Failed or refused lately")
            console.print(listing(["when", "what", "address", "reason"], listed))
        elif not rows:
            console.print("No peers. Give the node one to start with: learningchain config set network.peers HOST:PORT")

    common.out.show(found, people)
    return 0


async def _connections(node: Client) -> tuple[list[Any], list[Any]]:
    try:
        return await node.peers(), await node.connections()
    except NotFoundError:  # an older node does not tell
        return await node.peers(), []


def _troubles(seen: list[Any]) -> list[Any]:
    """The last of each kind of trouble. A node that meets itself is none: every list of peers leads there once."""
    found: dict[tuple[str, str], Any] = {}
    connected = set()
    for event in seen:
        if event["event"] == "peer connected":
            connected.add(event["address"])
        if event["address"] in connected:
            continue  # it came right afterwards
        if event["event"] not in ("peer connected", "peer gone") and "the node itself" not in event["reason"]:
            host = event["address"].rpartition(":")[0] if event["event"] == "connection refused" else event["address"]
            found.setdefault((host, event["reason"]), event)
    return list(found.values())[:MAX_TROUBLES]
