"""`init` and `config`: an identity, its data folder, its settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from learningchain.client.cli.common import HERE, Common, PassphraseFile, WrongUsage, cell, facts, listing, passphrase
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console
from learningchain.client.cli.ready import runs_here

if TYPE_CHECKING:
    from learningchain.client.keys.keystore import Identity, Public


def init(
    *,
    name: Annotated[str | None, Parameter(help="What the node is called in its own displays.")] = None,
    listen: Annotated[str | None, Parameter(help="Where other nodes reach this one, host:port.")] = None,
    advertise: Annotated[list[str] | None, Parameter(negative="", help="Address to tell other nodes. May be repeated.")] = None,
    peer: Annotated[
        list[str] | None, Parameter(negative="", help="A node to connect to first, host:port. May be repeated.")
    ] = None,
    api_listen: Annotated[str | None, Parameter(help="Where the HTTP API listens, host:port.")] = None,
    work: Annotated[bool, Parameter(negative="", show_default=False, help="Run strangers' jobs and earn.")] = False,
    genesis: Annotated[Path | None, Parameter(help="File of the network to join; it can be installed later too.")] = None,
    passphrase_file: PassphraseFile = None,
    common: Common = HERE,
) -> int:
    """Make an identity, its settings and its data folder."""
    given: dict[str, Any] = {
        "name": name,
        "network.listen": listen,
        "network.advertise": advertise,
        "network.peers": peer,
        "api.listen": api_listen,
        "work.enabled": work or None,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    made = make_identity(common.folder, changes, lambda: passphrase(passphrase_file, confirm=True), genesis)
    _report(common, common.folder, made.address, made.key.public.hex(), installed=genesis is not None)
    return 0


def make_identity(data: Path, changes: Mapping[str, Any], ask: Callable[[], str], genesis: Path | None = None) -> Identity:
    """A data folder with an identity and these settings. `ask` gives the passphrase, once nothing else speaks against it.

    Raises `WrongUsage`, `ConfigError`, `KeystoreError`.
    """
    from learningchain.chain.storage.datadir import take_folder
    from learningchain.client import config
    from learningchain.client.keys.keystore import Keystore

    keystore = data / "keystore.json"
    config.parse(config.render(changes), "this command")  # before anything is made
    if os.path.lexists(keystore):
        raise WrongUsage(f"{data} holds an identity already ({keystore}). Choose another folder with --data")
    if genesis is not None:
        from learningchain.client.cli.network import read_genesis

        read_genesis(genesis)
    word = ask()
    take_folder(str(data))
    config.change(data, changes)
    identity = Keystore.create(keystore, word)
    if genesis is not None:
        from learningchain.client.cli.network import put_genesis

        put_genesis(data, genesis)
    return identity


def _report(common: Common, data: Path, address: str, public_key: str, *, installed: bool) -> None:
    document = {"address": address, "public_key": public_key, "data": str(data)}
    rows: list[tuple[str, Any]] = [("address", address), ("public key", public_key), ("data folder", data)]

    def people(console: Console) -> None:
        console.print(facts("A new identity", rows))

    common.out.show(document, people)
    common.out.note("Back up keystore.json and remember its passphrase: without both, the identity and its credits are lost.")
    if not installed:
        common.out.note(
            "Next: give the public key to whoever makes the network's file, then: "
            f"learningchain genesis install genesis.json{common.again}"
        )


def own_identity(common: Common) -> Public:
    """That of the data folder, without its passphrase. Raises `WrongUsage`."""
    from learningchain.client.keys.keystore import Keystore, KeystoreError, Public
    from learningchain.client.signer import pairing

    data = common.folder
    try:
        if os.path.lexists(data / pairing.FILE) and not os.path.lexists(data / "keystore.json"):
            found = pairing.read_pairing(data / pairing.FILE)  # the key itself is the signer's
            return Public(found.id, found.key)
        return Keystore.public(data / "keystore.json")
    except (KeystoreError, pairing.PairingError) as e:
        raise WrongUsage(str(e)) from None


def identity(
    *,
    public_key: Annotated[bool, Parameter(negative="", show_default=False, help="Only the public key, for scripts.")] = False,
    address: Annotated[bool, Parameter(negative="", show_default=False, help="Only the address, for scripts.")] = False,
    common: Common = HERE,
) -> int:
    """This node's address and public key; no running node is needed."""
    data, public = common.folder, own_identity(common)
    document = {"address": public.address, "public_key": public.public_key.hex(), "data": str(data)}
    rows: list[tuple[str, Any]] = [("address", public.address), ("public key", document["public_key"]), ("data folder", data)]
    only = document["public_key"] if public_key else document["address"] if address else None
    shown = facts("This node's identity", rows) if only is None else only
    common.out.show(document, lambda console: console.print(shown, soft_wrap=only is not None))
    return 0


def config_show(*, common: Common = HERE) -> int:
    """Show the effective settings and where each comes from, or change one."""
    from learningchain.client import config

    loaded = config.load(common.folder)
    values = config.shown(loaded.config)
    settings = [
        {
            "name": s.name,
            "value": values[s.name],
            "source": loaded.sources[s.name],
            "default": s.default,
            "variable": s.variable,
            "description": s.description,
        }
        for s in config.SETTINGS.values()
    ]

    def people(console: Console) -> None:
        rows = [
            [
                s["name"],
                config.toml_value(s["value"]),
                cell(s["source"], "" if s["source"] == "default" else "green"),
                s["description"],
            ]
            for s in settings
        ]
        console.print(listing(["setting", "value", "from", "meaning"], rows))
        console.print(f"\nFile: {common.folder / config.FILE}", soft_wrap=True)

    common.out.show({"file": str(common.folder / config.FILE), "settings": settings}, people)
    return 0


def config_set(
    name: Annotated[str, Parameter(help="Dotted name, such as work.attempts.")],
    value: Annotated[str, Parameter(help="The new value; lists are separated by commas.", allow_leading_hyphen=True)],
    /,
    *,
    common: Common = HERE,
) -> int:
    """Change a setting in the file."""
    from learningchain.client import config
    from learningchain.client.config_change import is_at_once

    data = common.folder
    if not data.is_dir():
        raise WrongUsage(f"There is no data folder {data}. Run: learningchain init")
    parsed = config.parse_value(name, value, "config set")
    config.change(data, {name: parsed})
    source = config.load(data).sources[name]
    shown = config.display(name, parsed)
    document = {"name": name, "value": shown, "file": str(data / config.FILE), "effective": source == "file"}
    common.out.show(document, lambda console: console.print(f"{name} = {config.toml_value(shown)}", soft_wrap=True))
    if source == "environment":
        common.out.note(f"{config.SETTINGS[name].variable} in the environment still overrides it.")
    if name == "api.listen" and not parsed.startswith(("127.", "localhost", "[::1]")):
        common.out.note(
            "The API is then in reach of other machines, and its token crosses the network in clear: put TLS in front of it."
        )
    if runs_here(data):
        when = "within seconds" if is_at_once(name) else "when it is started again"
        common.out.note(f"The node that runs here takes it up {when}.")
    return 0
