"""`genesis`: the file that a network starts from."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec

from learningchain.chain.crypto import account_id, address, is_public_key
from learningchain.chain.errors import Malformed
from learningchain.chain.ledger.genesis import (
    MAX_GENESIS_BYTES,
    PARAMETERS,
    Genesis,
    GenesisAccount,
    RestartedGenesis,
    Section,
    all_params,
    check_genesis,
    first_state,
    from_json,
    make_params,
    span_unit,
    to_json,
)
from learningchain.chain.params import PROTOCOL_VERSION, Params
from learningchain.chain.types import format_credits, parse_credits
from learningchain.client import reading
from learningchain.client.cli.common import HERE, Common, WrongUsage, facts, listing, seconds, span
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.config import suggest

FILE = "genesis.json"
TIMES = frozenset(name for name, f in PARAMETERS.items() if span_unit(f) == "ms")
"""Parameters that are lengths of time, in milliseconds."""


def new(
    *,
    name: Annotated[str, Parameter(help="Name of the network.")],
    validator: Annotated[list[str], Parameter(negative="", help="PUBLICKEY=CREDITS of a validator. Repeat for each.")],
    member: Annotated[
        list[str] | None,
        Parameter(negative="", help="PUBLICKEY=CREDITS of another member, who also verifies. Repeat for each."),
    ] = None,
    non_verifier: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="PUBLICKEY=CREDITS of a member who is never drawn to verify, such as one without an engine. Repeat for each.",
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="NAME=VALUE of a parameter, a time such as job_reveal=30s. Repeat for each. genesis show --all lists them.",
        ),
    ] = None,
    out: Annotated[Path, Parameter(help="File to write.")] = Path(FILE),
    force: Annotated[bool, Parameter(negative="", show_default=False, help="Overwrite the file.")] = False,
    common: Common = HERE,
) -> int:
    """Make the file of a new network. Every member gets the same file; keys are what `init` and `id` print as public key."""
    genesis = make_genesis(name, validator, member or [], non_verifier or [], param or [], now=time.time())
    from learningchain.client.sdk.files import appearing

    with appearing(out, overwrite=force, forced="--force") as file:
        file.write(to_json(genesis))
    common.out.show(
        _document(genesis) | {"file": str(out)},
        lambda console: console.print(f"{out}: network {genesis.chain_id.hex()}", soft_wrap=True),
    )
    common.out.note(f"Next, on every member's machine: learningchain genesis install {out}")
    return 0


def show(
    file: Annotated[Path | None, Parameter(help="The file. Default: the one in the data folder.")] = None,
    /,
    *,
    all_: Annotated[
        bool, Parameter(name="--all", negative="", show_default=False, help="Every parameter, not only what is not the default.")
    ] = False,
    common: Common = HERE,
) -> int:
    """Show what a network starts with."""
    genesis = read_genesis(file) if file else read_genesis(common.folder / FILE, own=True)
    document = _document(genesis)
    defaults = {n: f.default for n, f in PARAMETERS.items()}

    def people(console: Console) -> None:
        rows: list[tuple[str, Any]] = [("chain id", genesis.chain_id.hex()), ("validators", len(genesis.validators))]
        rows += [("accounts", len(document["accounts"])), ("credits", document["supply"])]
        if base := document.get("base"):
            rows += [("goes on from chain", base["chain_id"]), ("after block", f"{base['height']}, {base['block_id']}")]
        rows += [(n, _param_text(n, v)) for n, v in document["params"].items() if all_ or v != defaults[n]]
        console.print(facts(genesis.name, rows))
        listed = [[a["id"], a["validator"], a["verifier"], a["credits"]] for a in document["accounts"]]
        console.print(listing(["account", "validator", "verifier", "credits"], listed, {"credits"}))

    common.out.show(document, people)
    return 0


def install(
    file: Annotated[Path, Parameter(help="The network's file.")],
    /,
    *,
    force: Annotated[
        bool, Parameter(negative="", show_default=False, help="Replace another network's file where no node ever ran.")
    ] = False,
    common: Common = HERE,
) -> int:
    """Check a network's file and put it into the data folder."""
    data = common.folder
    genesis = put_genesis(data, file, replace=force)
    own = _own(data)
    member = None if own is None else any(a["key"] == own.hex() for a in _document(genesis)["accounts"])
    document = {"chain_id": genesis.chain_id.hex(), "name": genesis.name, "file": str(data / FILE), "member": member}
    common.out.show(document, lambda console: console.print(f"{data / FILE}: network {genesis.chain_id.hex()}", soft_wrap=True))
    if member is False:
        common.out.note("This node's identity is no member of that network: the other nodes will refuse it.")
    common.out.note(f"Next: learningchain node{common.again}")
    return 0


# --- parts ---------------------------------------------------------------------------------------------------------------------


def make_genesis(
    name: str, validators: list[str], members: list[str], others: list[str], params: list[str], *, now: float
) -> Genesis:
    """A checked genesis from `KEY=CREDITS` and `NAME=VALUE` texts; `others` do not verify. `now` in Unix seconds.

    Raises `WrongUsage`.
    """
    from learningchain.p2p.tls import make_ca

    accounts = [_member(text, validator=True, verifier=True) for text in validators]
    accounts += [_member(text, validator=False, verifier=True) for text in members]
    accounts += [_member(text, validator=False, verifier=False) for text in others]
    ca = make_ca(now)
    core, sections = _params(params)
    genesis = Genesis(PROTOCOL_VERSION, name, int(now * 1000), core, accounts, ca.cert_pem, ca.key_pem, sections)
    try:
        check_genesis(genesis)
        return from_json(to_json(genesis))
    except Malformed as e:
        raise WrongUsage(f"Such a network cannot start: {e}") from None


def _member(text: str, *, validator: bool, verifier: bool) -> GenesisAccount:
    key, _, grant = text.partition("=")
    try:
        if not re.fullmatch("[0-9a-fA-F]{66}", key) or not is_public_key(public := bytes.fromhex(key)):
            raise ValueError("a public key is 66 hex digits; the member's own node prints it: learningchain id")
        return GenesisAccount(public, parse_credits(grant or "0"), validator, verifier)
    except ValueError as e:
        raise WrongUsage(f"{text[:100]!r} is no PUBLICKEY=CREDITS: {e}") from None


def _params(texts: list[str]) -> tuple[Params, list[Section]]:
    values: dict[str, int] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in PARAMETERS:
            raise WrongUsage(
                f"There is no parameter {name!r}{suggest(name, list(PARAMETERS)) or '. They are: ' + ', '.join(PARAMETERS)}"
            )
        try:
            values[name] = msgspec.convert(_milliseconds(name, number), PARAMETERS[name].type, strict=False)
        except msgspec.ValidationError as e:
            raise WrongUsage(f"Parameter {name} cannot be {number!r}: {e}") from None
    return make_params(**values)


def _milliseconds(name: str, text: str) -> str:
    """A time with a unit as the number that genesis holds; every other text as it is. Raises `WrongUsage`."""
    if name not in TIMES or not text[-1:].isalpha():
        return text
    return str(round(1000 * seconds(text, f"Parameter {name}")))


def _param_text(name: str, value: int) -> str:
    return f"{value} ({span(value / 1000)})" if name in TIMES and value >= 1000 else str(value)


def read_genesis(file: Path, *, own: bool = False) -> Genesis:
    """`own`: it lies in the data folder, where neither a link nor a pipe has its name. Raises `WrongUsage`."""
    try:
        return from_json(reading.file(file, MAX_GENESIS_BYTES, own=own))
    except FileNotFoundError:
        raise WrongUsage(f"There is no network file {file}. Ask a member for it, or make one: learningchain genesis new") from None
    except OSError as e:
        raise WrongUsage(f"The network file {file} cannot be read: {e.strerror}") from None
    except Malformed as e:
        raise WrongUsage(f"{file} is damaged or no network file: {e}") from None


def put_genesis(data: Path, file: Path, *, replace: bool = False) -> Genesis:
    """Install a genesis. A data folder belongs to one network from its node's first start on. Raises `WrongUsage`."""
    from learningchain.client.sdk.files import appearing

    genesis = read_genesis(file)
    target = data / FILE
    if not data.is_dir():
        raise WrongUsage(f"There is no data folder {data}. Run: learningchain init")
    ran = any((data / name).exists() for name in ("db", "wal", "guard"))
    if os.path.lexists(target) and (ran or not replace):
        if read_genesis(target, own=True).chain_id == genesis.chain_id:
            return genesis
        raise WrongUsage(
            f"{data} belongs to another network already. "
            + (
                "Use another data folder for this one; to keep the identity, copy keystore.json there"
                if ran
                else "No node ever ran there: --force replaces that network's file"
            )
        )
    with appearing(target, overwrite=replace) as f:
        f.write(to_json(genesis))
    return genesis


def _own(data: Path) -> bytes | None:
    from learningchain.client.keys.keystore import Keystore, KeystoreError

    try:
        return Keystore.public(data / "keystore.json").public_key
    except KeystoreError:
        return None


def _document(genesis: Genesis) -> dict[str, Any]:
    accounts = _accounts(genesis)
    return {
        "chain_id": genesis.chain_id.hex(),
        "name": genesis.name,
        "time": genesis.time,
        "supply": format_credits(sum(credits for _, _, credits, _, _ in accounts)),
        "params": all_params(genesis),
        "accounts": [
            {
                "id": address(identity),
                "key": key.hex(),
                "credits": format_credits(credits),
                "validator": validator,
                "verifier": verifier,
            }
            for identity, key, credits, validator, verifier in accounts
        ],
        **_base(genesis),
    }


def _accounts(genesis: Genesis) -> list[tuple[bytes, bytes, int, bool, bool | None]]:
    """Id, key, credits (frozen ones too), whether it validates, whether it verifies (None: the base's membership says it)."""
    if not isinstance(genesis, RestartedGenesis):
        return [(account_id(a.key), a.key, a.credits, a.validator, a.verifier) for a in genesis.accounts]
    validate = {v.id for v in genesis.validators}
    state, _ = first_state(genesis)
    found = ((key[2:], account) for key, account in state.records(b"a/"))
    return sorted((i, a.key, a.balance + a.frozen, i in validate, None) for i, a in found)


def _base(genesis: Genesis) -> dict[str, Any]:
    """What it goes on from; nothing where it begins anew."""
    if not isinstance(genesis, RestartedGenesis):
        return {}
    base = genesis.base
    names = ("chain_id", "block_id", "state_root")
    return {"base": {"height": base.height} | {name: getattr(base, name).hex() for name in names}}
