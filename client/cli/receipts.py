"""`receipt`, `why`: what became of something, proven on the spot, and as a file that convinces a stranger."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client import reading
from learningchain.client.cli.common import HERE, Common, NotStarted, WrongUsage, clean, named
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.sdk.types import NotFoundError

if TYPE_CHECKING:
    from learningchain.chain.ledger.genesis import Genesis
    from learningchain.client.receipts.files import CheckedReceipt
    from learningchain.client.schema.bodies import HistoryView, ReceiptFileView
    from learningchain.client.sdk.client import Client

ENDING = ".lcr"
PAGE, MOST_LINES = 500, 5_000
"""Lines of a history that are looked through for a reference, and in one question."""
MOST_SHOWN = 32
_PLACE = re.compile(r"([0-9]{1,15})[-:]([0-9]{1,5})", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{6,64}", re.ASCII)
MAX_KEY_FILE = 256
_KEY = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_CURSOR = re.compile(r"[0-9]{1,19}", re.ASCII)

FROM_GENESIS = (
    "From genesis it rests on every validator set since: old keys of more than two thirds of one could sign another history. "
    "Whoever knows a block of now asks for a file that begins there (receipt get --trusted HEIGHT) and checks it with --trusted ID."
)
GenesisFile = Annotated[Path | None, Parameter(help="The network's genesis file. Default: the one in the data folder.")]


def _nothing() -> None: ...


def get(
    ref: Annotated[str, Parameter(name="REF", help="A transaction's id, or HEIGHT-INDEX: index 0 is what the block itself did.")],
    /,
    *,
    out: Annotated[Path | None, Parameter(help=f"File to write. Default: REF{ENDING}.")] = None,
    trusted: Annotated[int | None, Parameter(help="Begin at the block of this height, for readers who know its id.")] = None,
    force: Annotated[bool, Parameter(negative="", show_default=False, help="Overwrite the file.")] = False,
    common: Common = HERE,
) -> int:
    """Save the receipt of a transaction: a file that proves to strangers, offline, what became of it."""
    place = _PLACE.fullmatch(ref)
    whole = f"{int(place[1])}-{int(place[2])}" if place else ref
    found = common.ask(lambda node: node.receipt_file(whole, trusted=trusted))
    return keep_receipt_file(common, found, out or Path(f"{whole[:64]}{ENDING}"), force)


def account(
    who: Annotated[str | None, Parameter(name="ACCOUNT", help="lc1... or a name; default: this node's.")] = None,
    /,
    *,
    out: Annotated[Path | None, Parameter(help=f"File to write. Default: ACCOUNT{ENDING}.")] = None,
    trusted: Annotated[int | None, Parameter(help="Begin at the block of this height, for readers who know its id.")] = None,
    force: Annotated[bool, Parameter(negative="", show_default=False, help="Overwrite the file.")] = False,
    common: Common = HERE,
) -> int:
    """Save what the newest state holds of an account, or that there is no such account, as a file that proves it."""
    from learningchain.chain.crypto import parse_address
    from learningchain.chain.host import account_key

    async def ask(node: Client) -> tuple[str, ReceiptFileView]:
        whose = common.account(who) if who else (await node.status())["id"]
        return whose, await node.records_file([account_key(parse_address(whose))], trusted=trusted)

    whose, found = common.ask(ask)
    return keep_receipt_file(common, found, out or Path(f"{whose}{ENDING}"), force)


def check(
    file: Annotated[Path, Parameter(help="The receipt file.")],
    /,
    *,
    genesis: GenesisFile = None,
    trusted: Annotated[
        str | None,
        Parameter(help="A block that you trust, by its id or as HEIGHT-ID, for a file that begins there; no genesis is needed."),
    ] = None,
    key: Annotated[
        list[Path] | None,
        Parameter(negative="", help="File with the key (64 hex digits) of a private request in it, which makes values plain."),
    ] = None,
    common: Common = HERE,
) -> int:
    """Check a receipt offline, trusting a genesis file alone, and say what it proves. Exit code 1: it proves nothing."""
    from learningchain.client.receipts.files import check_receipt, read_receipt_file

    if genesis is not None and trusted is not None:
        raise WrongUsage("--genesis and --trusted name two things to trust. Say one")
    trust = None if trusted is not None else _genesis(common, genesis)
    keys = [_key(one) for one in key or []]
    try:
        shown = check_receipt(read_receipt_file(file), trust, trusted=trusted, keys=keys)
    except FileNotFoundError:
        raise WrongUsage(f"There is no receipt file {file}") from None
    except ValueError as e:
        raise NotStarted(f"{file} proves nothing: {e}") from None
    rests = "genesis" if trusted is None else "block"
    common.out.show({"proven": True, "rests_on": rests} | shown.document, lambda console: _say(console, shown))
    if trusted is None:
        common.out.note(FROM_GENESIS)
    return 0


def why(
    ref: Annotated[
        str,
        Parameter(
            name="REF",
            help="A reference, a transaction or a cursor of a history line; or latest, the last with credits. Beginnings will do.",
        ),
    ],
    /,
    *,
    of: Annotated[str | None, Parameter(help="Whose history: lc1... or a name; default: this node's.")] = None,
    genesis: GenesisFile = None,
    common: Common = HERE,
) -> int:
    """Why credits came or went: the block, the transaction, the rule and the amounts, proven on the spot."""
    if ref != "latest" and not (_HEX.fullmatch(ref) or _CURSOR.fullmatch(ref)):
        raise WrongUsage(f"{ref[:80]!r} is no reference: give at least six hex digits of one, a line's cursor, or latest")
    trust = _genesis(common, genesis)
    whose, lines = common.ask(lambda node: _lines(node, common, of, ref))
    if not lines:
        raise NotFoundError(
            f"No movement of {whose} belongs to {ref}, among its newest {MOST_LINES}. learningchain history shows them"
        )
    found = common.ask(lambda node: _explained(node, trust, whose, lines[:MOST_SHOWN]))

    def people(console: Console) -> None:
        for one in found:
            for line in one.lines:
                console.print(clean(line), soft_wrap=True)
        if len(lines) > MOST_SHOWN:
            console.print(f"{len(lines) - MOST_SHOWN} more lines belong to it: name one by its cursor (history --json).")

    common.out.show([one.document for one in found], people)
    common.out.note(f"To prove it to others: learningchain receipt get {found[0].place}{common.again}")
    return 0 if all(one.proven for one in found) else 1


def _key(file: Path) -> bytes:
    try:
        text = reading.file(file, MAX_KEY_FILE).decode("ascii").strip()
    except (OSError, ValueError) as e:
        raise WrongUsage(f"{file} cannot be read: {e}") from None
    if not _KEY.fullmatch(text):
        raise WrongUsage(f"{file} holds no key: it is 64 hex digits")
    return bytes.fromhex(text)


# --- parts -----------------------------------------------------------------------------------------------------------------------


def _genesis(common: Common, file: Path | None) -> Genesis:
    from learningchain.client.cli.network import FILE, read_genesis

    return read_genesis(file) if file else read_genesis(common.folder / FILE, own=True)


def _say(console: Console, shown: CheckedReceipt) -> None:
    for line in shown.lines:
        console.print(clean(line), soft_wrap=True)


def keep_receipt_file(
    common: Common, found: ReceiptFileView, out: Path, force: bool, *, key: str | None = None, before: Callable[[], None] = _nothing
) -> int:
    """Write the file, once it was checked where that can be done here: what is handed on is to convince. `key`: of a private
    request in it, 64 hex digits, checked with it. `before`: writes what else there is, as soon as all is proven."""
    from learningchain.client.receipts.files import check_receipt
    from learningchain.client.sdk.files import appearing

    raw, shown = bytes.fromhex(found["file"]), None
    keys = [] if key is None else [bytes.fromhex(key)]
    if found["trusted"] is not None:
        shown = _checked(lambda: check_receipt(raw, trusted=found["trusted"], keys=keys))
    elif (common.folder / "genesis.json").exists():
        shown = _checked(lambda: check_receipt(raw, _genesis(common, None), keys=keys))
    elif key is not None:
        where = common.folder / "genesis.json"
        raise NotStarted(
            f"There is no {where} to check the receipt by, and its key is not written unchecked. Say --data, or --trusted"
        )
    with appearing(out, overwrite=force, forced="--force") as file:
        file.write(raw)
        before()

    def people(console: Console) -> None:
        console.print(f"{out}: {len(raw)} bytes", soft_wrap=True)
        if shown is not None:
            _say(console, shown)

    document = {"file": str(out), "bytes": len(raw), "height": found["height"], "trusted": found["trusted"]}
    common.out.show(document | ({} if shown is None else {"shows": shown.document}), people)
    begins = f"--trusted {found['trusted']}" if found["trusted"] else "--genesis genesis.json"
    common.out.note(f"Anybody can check it: learningchain receipt check {out} {begins}, or protocol_spec/verify.py")
    return 0


def _checked(check: Any) -> CheckedReceipt:
    try:
        shown: CheckedReceipt = check()
    except ValueError as e:
        raise NotStarted(f"The node sent a receipt that proves nothing: {e}. Nothing was kept. Ask another node") from None
    return shown


@dataclass(frozen=True)
class Explained:
    """A line of a history with what proves it, or why nothing does. `place`: what `receipt get` takes."""

    place: str
    proven: bool
    lines: list[str]
    document: dict[str, Any]


async def _lines(node: Client, common: Common, of: str | None, ref: str) -> tuple[str, list[HistoryView]]:
    whose = common.account(of) if of else (await node.status())["id"]
    found: list[HistoryView] = []
    newest: list[HistoryView] = []
    before: int | None = None
    for _ in range(MOST_LINES // PAGE):
        page = await node.history(whose, before=before, limit=PAGE)
        found += [line for line in page if belongs(line, ref) and (ref != "latest" or moves(line))]
        newest = newest or page[:1]
        if len(page) < PAGE or (found and ref == "latest"):
            break
        before = page[-1]["cursor"]
    return whose, (found or newest)[:1] if ref == "latest" else found


def belongs(line: Mapping[str, Any], ref: str) -> bool:
    """Whether a line of a history is meant."""
    if ref == "latest" or str(line["cursor"]) == ref:
        return True
    return any(str(line[name] or "").startswith(ref) for name in ("tx", "ref"))


def moves(line: Mapping[str, Any]) -> bool:
    """Whether credits came or went: a node also notes what it declared, such as its key and its machine."""
    return line["amount"] not in (None, "0")


async def _explained(node: Client, trust: Genesis, whose: str, lines: list[HistoryView]) -> list[Explained]:
    files: dict[str, ReceiptFileView] = {}
    found = []
    for line in lines:
        place = line["tx"] or f"{line['height']}-0"
        if place not in files:
            files[place] = await node.receipt_file(place)
        found.append(explain_line(whose, line, place, bytes.fromhex(files[place]["file"]), trust))
    return found


def explain_line(whose: str, line: Mapping[str, Any], place: str, raw: bytes, trust: Genesis) -> Explained:
    """What the proven receipt says of a line that a node told: a line that it does not hold is not explained."""
    from learningchain.chain.crypto import parse_address
    from learningchain.chain.node.history import lines as lines_of
    from learningchain.client.receipts.files import check_receipt, event_line
    from learningchain.client.schema.render import render_history

    said = f"{named(whose)}: {line['amount'] or 'no'} credits, {line['reason']}, in block {line['height']}"
    told = {"account": whose, "line": dict(line), "receipt": place}
    try:
        shown = check_receipt(raw, trust)
    except ValueError as e:
        return Explained(place, False, [f"{said}: NOT PROVEN: {e}"], told | {"proven": False, "why": str(e)})
    receipt, header = shown.proven.receipt, shown.proven.header
    account_id = parse_address(whose)
    for own in [] if receipt is None or header.height != line["height"] else lines_of(account_id, receipt):
        event = own.event
        same = render_history(account_id, cursor=0, height=header.height, time=header.time, event=event)
        if all(same[name] == line[name] for name in ("reason", "amount", "ref", "other")):
            by = "by the block itself, at a deadline" if line["tx"] is None else f"by transaction {line['tx']}"
            rule = event_line(event)
            lines = [f"{said}, {by}.", f"  {rule}.", *(f"  {proof}" for proof in shown.lines[:2])]
            return Explained(place, True, lines, told | {"proven": True, "rule": rule, "shows": shown.document})
    missing = "the block that it names holds no such movement of this account: the node's history is wrong"
    return Explained(place, False, [f"{said}: NOT PROVEN: {missing}"], told | {"proven": False, "why": missing})
