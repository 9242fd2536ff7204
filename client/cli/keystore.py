"""`keystore`: a copy of the identity for another machine, and back, and another passphrase. No running node is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from learningchain.client.cli.common import HERE, Common, PassphraseFile, WrongUsage, facts, new_passphrase, passphrase
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console

NewPassphraseFile = Annotated[
    Path | None, Parameter(help="File with the new passphrase. Without it: $LEARNINGCHAIN_NEW_PASSPHRASE, else a prompt.")
]
FILE = "keystore.json"


def export(
    to: Annotated[Path, Parameter(name="FILE", help="New file for the copy; nothing is overwritten.")],
    /,
    *,
    passphrase_file: PassphraseFile = None,
    new_passphrase_file: NewPassphraseFile = None,
    common: Common = HERE,
) -> int:
    """Copy the identity into a file, encrypted with a passphrase of its own."""
    from learningchain.client.keys.keystore import Keystore

    path = common.folder / FILE
    Keystore.public(path)  # a missing identity is told before a passphrase is asked for
    word = passphrase(passphrase_file, confirm=False)
    made = Keystore.export(path, word, to, new_passphrase(new_passphrase_file))
    document = {"address": made.address, "public_key": made.public_key.hex(), "file": str(to)}
    common.out.show(document, lambda console: console.print(f"{to} holds {made.address}.", soft_wrap=True))
    common.out.note("Who has this file and its passphrase has the credits. Bring it back with: learningchain keystore import FILE")
    return 0


def import_(
    source: Annotated[Path, Parameter(name="FILE", help="What keystore export wrote, or a copy of a keystore.json.")],
    /,
    *,
    passphrase_file: PassphraseFile = None,
    new_passphrase_file: NewPassphraseFile = None,
    common: Common = HERE,
) -> int:
    """Put an exported identity into a data folder that has none, under a new passphrase. Nothing is overwritten."""
    from learningchain.chain.storage.datadir import take_folder
    from learningchain.client import config
    from learningchain.client.keys.keystore import Keystore
    from learningchain.client.keys.keystore import new_passphrase as checked

    data = common.folder
    if os.path.lexists(data / FILE):
        raise WrongUsage(f"{data} holds an identity already ({data / FILE}). Choose another folder with --data")
    Keystore.public(source, carried=True)
    word = passphrase(passphrase_file, confirm=False)
    under = new_passphrase(new_passphrase_file)
    checked(under)
    Keystore.open(source, word, carried=True)  # both before a folder is made
    take_folder(str(data))
    made = Keystore.export(source, word, data / FILE, under, carried=True)
    if not (data / config.FILE).exists():
        config.change(data, {})
    document = {"address": made.address, "public_key": made.public_key.hex(), "data": str(data)}
    rows = [("address", made.address), ("public key", document["public_key"]), ("data folder", data)]
    common.out.show(document, lambda console: console.print(facts("An identity came here", rows)))
    common.out.note(
        "One identity runs on one machine: stop the other one before you start this, or a validator signs twice and loses its seat."
    )
    return 0


def change_passphrase(
    *, passphrase_file: PassphraseFile = None, new_passphrase_file: NewPassphraseFile = None, common: Common = HERE
) -> int:
    """Encrypt the keystore with another passphrase."""
    from learningchain.client.keys import keyring
    from learningchain.client.keys.keystore import Keystore

    path = common.folder / FILE
    Keystore.public(path)
    word = passphrase(passphrase_file, confirm=False)
    changed = keyring.change_passphrase(common.folder, word, new_passphrase(new_passphrase_file))

    def people(console: Console) -> None:
        console.print(f"{path} opens with the new passphrase alone.", soft_wrap=True)

    common.out.show({"address": changed.address, "file": str(path), "changed": True}, people)
    common.out.note("Copies that were made before open with the old one still: make a new backup, and remove them.")
    return 0
