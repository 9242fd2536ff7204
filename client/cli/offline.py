"""`tx make`, `tx sign`, `tx submit`: one transaction over three machines, of which only the one that signs holds the key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, Common, PassphraseFile, WrongUsage, agree, facts, named, nested, passphrase
from learningchain.client.cli.ledger import MAX_WAIT, Wait, finished
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console

if TYPE_CHECKING:
    from learningchain.client.receipts.offline import TxFile
    from learningchain.client.sdk.client import Client

File = Annotated[Path, Parameter(name="FILE", help="The transaction's file.")]


def make(
    file: File,
    type_: Annotated[str, Parameter(name="TYPE", help="A contract's message, such as Transfer.")],
    /,
    *fields: Annotated[str, Parameter(name="FIELD=VALUE", help="Its fields; lists and records as JSON.")],
    sender: Annotated[str | None, Parameter(name="--from", help="lc1... or a name of who will sign. Default: this node.")] = None,
    ahead: Annotated[int, Parameter(help="Transactions of this account that were made so and are not submitted yet.")] = 0,
    valid_for: Annotated[int, Parameter(help="Blocks from now on for which it can be submitted.")] = 50_000,
    common: Common = HERE,
) -> int:
    """Write a transaction into a file, to be signed elsewhere. Any node of the network can be asked."""
    from learningchain.chain.params import MAX_VALID_FOR
    from learningchain.client.receipts.offline import OfflineError, unsigned, write
    from learningchain.client.receipts.typed_messages import message_of
    from learningchain.client.sdk.files import appearing

    if not 1 <= valid_for <= MAX_VALID_FOR:
        raise WrongUsage(f"--valid-for is 1 to {MAX_VALID_FOR} blocks, not {valid_for}")
    if not 0 <= ahead < 1_000:
        raise WrongUsage(f"--ahead is 0 to 999 transactions, not {ahead}")
    try:
        op = message_of(type_, _given(common, fields))
    except ValueError as problem:
        raise WrongUsage(f"This makes no {type_}: {problem}") from None
    who = None if sender is None else common.account(sender)

    async def ask(node: Client) -> TxFile:
        from learningchain.chain.crypto import parse_address

        status = await node.status()
        account = await node.account(who or status["id"])
        chain_id = bytes.fromhex(status["chain_id"])
        until = status["height"] + valid_for
        return unsigned(status["network"], chain_id, parse_address(account["id"]), list(account["sequences"]), until, op, ahead)

    try:
        made = common.ask(ask)
    except OfflineError as problem:
        raise WrongUsage(str(problem)) from None
    with appearing(file, overwrite=False) as f:
        f.write(write(made))
    _show(common, made, {"file": str(file)})
    common.out.note(f"Next, where the key is: learningchain tx sign {file}")
    return 0


def _given(common: Common, fields: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in fields:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise WrongUsage(f"{text[:80]!r} is no field: write FIELD=VALUE, such as amount=2.5")
        if name in found:
            raise WrongUsage(f"The field {name} stands there twice")
        known = common.names.address(value)
        found[name] = value if known is None else known
    return found


def sign(
    file: File,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="New file for the signed transaction. Default: FILE with .signed.json.")] = None,
    yes: Annotated[bool, Parameter(negative="", show_default=False, help="Sign without being asked.")] = False,
    passphrase_file: PassphraseFile = None,
    common: Common = HERE,
) -> int:
    """Show what a transaction's file says, and sign it. Needs the keystore alone: no node, no network."""
    from learningchain.client.keys.keystore import Keystore
    from learningchain.client.receipts.offline import OfflineError, read, signed, write
    from learningchain.client.sdk.files import appearing

    try:
        wanted = read(file)
        path = common.folder / "keystore.json"
        own = Keystore.public(path)
        network = _network(common, wanted)
        target = out or file.with_suffix(".signed.json")
        _show(common, wanted, None)
        if network:
            common.out.note(network)
        if not yes:
            agree(common, "", f"Sign this as {named(own.address)}?", "Nothing was signed")
        done = signed(wanted, Keystore.open(path, passphrase(passphrase_file, confirm=False)))
    except OfflineError as problem:
        raise WrongUsage(str(problem)) from None
    with appearing(target, overwrite=False) as f:
        f.write(write(done))
    common.out.show(_document(done) | {"file": str(target)}, lambda console: console.print(f"Signed: {target}", soft_wrap=True))
    common.out.note(f"Next, where a node is: learningchain tx submit {target}")
    return 0


def _network(common: Common, wanted: TxFile) -> str:
    """What there is to say of the network. Raises `WrongUsage` where this folder is another one's."""
    from learningchain.client.cli.network import FILE, read_genesis

    path = common.folder / FILE
    if not path.exists():
        return "There is no genesis.json here, so nothing but the file says which network this is: compare the chain id."
    if read_genesis(path).chain_id != wanted.chain:
        raise WrongUsage(f"The file is for the network {wanted.chain_id[:16]}, this data folder is another one's. Do not sign it")
    return ""


def submit(file: File, /, *, wait: Wait = 30, common: Common = HERE) -> int:
    """Offer a signed file to the graph over any node."""
    from learningchain.client.receipts.offline import OfflineError, read

    try:
        ready = read(file)
    except OfflineError as problem:
        raise WrongUsage(str(problem)) from None
    if ready.state != "signed":
        raise WrongUsage(f"{file} is not signed. Where the key is: learningchain tx sign {file}")
    wait = min(wait, MAX_WAIT)

    async def send(node: Client) -> Any:
        status = await node.status()
        if status["chain_id"] != ready.chain_id:
            raise WrongUsage(f"The file is for the network {ready.chain_id[:16]}, this node is on {status['chain_id'][:16]}")
        return await node.submit_raw(bytes.fromhex(ready.raw), wait=wait)

    done = common.ask(send)

    def people(console: Console) -> None:
        if "height" in done:
            console.print(f"It stands in block {done['height']}.")
        console.print(f"Transaction {done.get('tx')}", soft_wrap=True)

    common.out.show(done, people)
    return finished(common, done, wait)


# --- what is shown -------------------------------------------------------------------------------------------------------------


def _document(file: TxFile) -> dict[str, Any]:
    from learningchain.client.receipts.offline import content, described

    more = {"tx": content(file).id.hex()} if file.state == "signed" else {}
    return {"state": file.state} | described(file) | more


def _show(common: Common, file: TxFile, more: dict[str, Any] | None) -> None:
    """For people at every step; for machines where `more` says that this is the result."""
    shown = _document(file)

    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [
            ("network", f"{shown['network']} ({shown['chain_id'][:16]})"),
            ("sender", shown["sender"]),
            ("valid until", f"block {shown['valid_until']}"),
            ("sequence", f"{shown['sequence']} of lane {shown['lane']}"),
        ]
        rows += [(str(op["type"]), nested({k: v for k, v in op.items() if k != "type"})) for op in shown["messages"]]
        console.print(facts("A transaction, not signed yet", rows))

    if more is not None:
        common.out.show(shown | more, people)
    elif not common.json:
        people(common.out.console)
