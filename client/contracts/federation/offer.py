"""What a sponsor offers, from its files: the model to begin from, a schema, hidden test data. What is said of the offer before it
is sent. The command, the dashboard and Python share it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from learningchain.client.contracts.federation.arithmetic.places import MASKS
from learningchain.client.contracts.federation.rule_warnings import screening_warnings
from learningchain.client.contracts.federation.small_words import OPEN_ALTHOUGH_SMALL, TO_SPONSOR, WITHOUT_REFERENCE
from learningchain.client.sdk.types import Json, RejectedError, UsageError

if TYPE_CHECKING:
    from learningchain.client.contracts.federation.http.schema import FederationQuote

MAX_SCHEMA: Final = 64 * 1024
LEAST_PANEL: Final = 3
LEAST_AGGREGATORS: Final = 2
AGGREGATORS_OF_CELLS: Final = 6
ROWS_A_VALUE: Final = 50
WARNED: Final = 10.0
"""Noise to signal of a round above which opening asks for --force."""


def initial_model(path: Path) -> Json:
    """Bytes and values of a model file. Raises `UsageError` naming what every node would refuse."""
    if not path.is_file():
        raise UsageError(f"model: there is no file {path}")
    try:
        from learningchain.client.contracts.federation.arithmetic.tensors import BadTensors, read_layout
    except ModuleNotFoundError:
        raise UsageError("Opening a federation needs numpy: pip install 'learningchain[federation]'") from None
    import mmap

    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            layout = read_layout(raw)
    except (BadTensors, ValueError) as problem:
        raise UsageError(f"model: {path} is no safetensors file of F32 values alone: {problem}") from None
    return {"size": layout.size, "dims": layout.dims}


def said_of_secrecy(dims: int, wanted: str | None, quote: FederationQuote, hidden: Path | None, asks: str) -> str:
    """What is said of a small model before it is offered: what a cell is, and what is too little for one; or that aggregators read
    its updates where nobody asked for that. Of others nothing. `asks`: how one asks for that."""
    from learningchain.chain.contracts.federation.messages import MASKED_DIMS

    if dims >= MASKED_DIMS or wanted == "open":
        return ""
    if quote["secrecy"] == "sum":
        return " ".join((TO_SPONSOR, *_too_little(dims, quote["aggregators"], hidden)))
    return (
        f"The model has {dims} values, and {asks} is taken. The aggregators of a round read each member's update as it is; "
        f"members are told before they join. {OPEN_ALTHOUGH_SMALL}"
    )


def said_of_rules(dims: int, quote: FederationQuote, owners: int, *, reference: bool, krum: bool) -> list[str]:
    """What bad owners cost the model by the rules that it is offered with, where that is much."""
    from learningchain.chain.contracts.federation.messages import MASKED_DIMS

    if dims < MASKED_DIMS and quote["secrecy"] == "sum":
        return [] if reference else [*WITHOUT_REFERENCE]
    return screening_warnings(owners, reference=reference, krum=krum)


def _too_little(dims: int, aggregators: int, hidden: Path | None) -> Iterator[str]:
    if aggregators < AGGREGATORS_OF_CELLS:
        yield (
            f"{aggregators} nodes could add up: of {AGGREGATORS_OF_CELLS} and more, one or two that lie about files cost attempts "
            "and stop nothing."
        )
    rows = 0 if hidden is None else _lines(hidden)
    if hidden is not None and rows < ROWS_A_VALUE * dims:
        yield (
            f"{hidden.name} has {rows:,} lines: of fewer than {ROWS_A_VALUE * dims:,} rows, {ROWS_A_VALUE} for each value, what is "
            "measured says more than the model can do (of 200 rows and 56 values 10 to 15 of 100 more), and can be learnt by heart."
        )


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))


def check_noise(dp: float, dims: int, members: int, force: bool = False) -> None:
    """Noise to signal of a round, whose sum bears the noise of three masks (LC-FILE-36): of few members' large models nothing is
    left. Raises `UsageError`."""
    if not 0 <= dp <= 8:
        raise UsageError(f"--dp is noise in parts of the clip, 0 to 8, not {dp:g}")
    ratio = dp * (MASKS * dims) ** 0.5 / (0.3 * members)
    if ratio > WARNED and not force:
        raise UsageError(
            f"With --dp {dp:g}, {dims:,} values and {members} members the noise of a round is {ratio:.0f} times what it should "
            "find: take more members, a smaller model or less noise, or --force"
        )


def check_schema(path: Path) -> None:
    """Raises `UsageError`."""
    from learningchain.client.data.table_schema import BadTableSchema, parse_table_schema

    if not path.is_file():
        raise UsageError(f"schema: there is no file {path}")
    if path.stat().st_size > MAX_SCHEMA:
        raise UsageError(f"schema: {path} has more than {MAX_SCHEMA >> 10} KiB")
    try:
        parse_table_schema(path.read_bytes())
    except BadTableSchema as problem:
        raise UsageError(f"schema: {path}: {problem}") from None


def check_hidden(file: Path) -> None:
    """Raises `UsageError`."""
    if not file.is_file() or not file.stat().st_size:
        raise UsageError(f"hidden: there is no file {file}, or it is empty")


def encrypted(file: Path, target: Path) -> tuple[Json, str]:
    """What an opening says of a hidden test file, and its new key. Raises `UsageError`."""
    import secrets

    from learningchain.chain.crypto import sha256
    from learningchain.client.keys import hidden

    check_hidden(file)
    key = secrets.token_bytes(hidden.KEY)
    plain = hidden.encrypt(file, target, key, secrets.token_bytes(hidden.NONCE))
    said = {"cid": content_name(target), "plain_hash": plain.hex(), "key_hash": sha256(key).hex(), "size": target.stat().st_size}
    return said, key.hex()


def content_name(path: Path) -> str:
    """The CID that the content store gives a file."""
    from learningchain.client.sdk.files import StreamName

    name = StreamName()
    with path.open("rb") as source:
        while piece := source.read(1 << 20):
            name.feed(piece)
    return str(name.finish()[0])


def taken(quote: FederationQuote) -> None:
    """Raises RejectedError, where the ledger would not open it."""
    if (refusal := quote["refusal"]) is not None:
        why = f"The federation would be refused and was not sent: {refusal['message']}"
        raise RejectedError(why, code=refusal["code"], name=refusal["name"])


def too_few(quote: FederationQuote) -> str:
    """What is wrong with who could serve it; empty where nothing is."""
    if quote["refusal"] is not None or (quote["panel"] >= LEAST_PANEL and quote["aggregators"] >= LEAST_AGGREGATORS):
        return ""
    return (
        f"{quote['panel']} verifiers could measure it and {quote['aggregators']} could aggregate; a round takes "
        f"{LEAST_AGGREGATORS} aggregators, and a panel of fewer than {LEAST_PANEL} is easily lied to. Verifiers say that they "
        "serve: learningchain fed serve on"
    )
