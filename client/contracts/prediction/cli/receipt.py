"""`prediction receipt`: a file that proves a request's values and its decision to strangers, offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from learningchain.client.cli.common import HERE, Common, WrongUsage
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.receipts import ENDING, keep_receipt_file
from learningchain.client.contracts.prediction.references import find_request

if TYPE_CHECKING:
    from learningchain.client.contracts.prediction.http.schema import PredictionView
    from learningchain.client.schema.bodies import ReceiptFileView
    from learningchain.client.sdk.client import Client


def receipt(
    request: Annotated[str, Parameter(name="REQUEST", help="The request's id or its first characters, or latest.")],
    /,
    *,
    out: Annotated[Path | None, Parameter(help=f"File to write. Default: REQUEST{ENDING}.")] = None,
    key_out: Annotated[
        Path | None, Parameter(help="File for the key of a private request: who has it reads its rows and values.")
    ] = None,
    trusted: Annotated[int | None, Parameter(help="Begin at the block of this height, for readers who know its id.")] = None,
    force: Annotated[bool, Parameter(negative="", show_default=False, help="Overwrite the file.")] = False,
    common: Common = HERE,
) -> int:
    """Save the records of a request with the proof that they are the network's: what was asked, the values and how many agreed,
    whether an appeal can change them, what the policy decides. They stay in the state for a while after its end: take them then."""

    async def ask(node: Client) -> tuple[PredictionView, ReceiptFileView, str | None]:
        from learningchain.client.contracts.prediction.proven import keys_of

        view = await node.prediction(await find_request(node, request))
        if view["left"] is not None:
            raise WrongUsage(f"Request {view['id']} left the state in block {view['left']}: nothing of now proves it any more")
        policy = None if view["policy"] is None else bytes.fromhex(view["policy"])
        key = (await node.prediction_key(view["id"]))["key"] if key_out is not None else None
        keys = keys_of(bytes.fromhex(view["id"]), bytes.fromhex(view["model"]), policy)
        return view, await node.records_file(keys, trusted=trusted), key

    if key_out is not None and key_out.exists() and not force:
        raise WrongUsage(f"{key_out} exists already. Choose another file, or say --force")
    view, found, key = common.ask(ask)
    out = out or Path(f"{view['id']}{ENDING}")
    if key_out is not None and key_out.resolve() == out.resolve():
        raise WrongUsage("--out and --key-out name one file. Who gets the receipt would get the key: name two")

    def keep_key() -> None:
        from learningchain.chain.storage import private

        if key is not None and key_out is not None:
            private.replace(key_out, f"{key}\n".encode())

    done = keep_receipt_file(common, found, out, force, key=key, before=keep_key)
    if key is not None:
        common.out.note(f"{key_out} holds the key: give it to those who may read the values (receipt check --key {key_out}).")
    elif view["private"]:
        common.out.note("The values are blinded: --key-out FILE writes the key that makes them plain.")
    return done
