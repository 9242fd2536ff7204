"""`backup` and `restore`: what only this machine has, in one encrypted file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from learningchain.client.cli.common import HERE, Common, PassphraseFile, WrongUsage, facts, passphrase, when
from learningchain.client.cli.options import Parameter


def backup(
    out: Annotated[Path, Parameter(name="FILE", help="New file for the backup; nothing is overwritten.")],
    /,
    *,
    passphrase_file: PassphraseFile = None,
    common: Common = HERE,
) -> int:
    """Save identity, settings, names and open secrets in one file, encrypted with the keystore's passphrase. The node may run."""
    from learningchain.client.node import backup as work
    from learningchain.client.sdk.files import appearing

    data = common.folder
    if not data.is_dir():
        raise WrongUsage(f"There is no data folder {data}. Name the node's with --data")
    word = passphrase(passphrase_file, confirm=not (data / "keystore.json").exists())  # a keystore tells a mistyped one
    try:
        with appearing(out, overwrite=False, secret=True) as file:
            made = work.make(data, file, word, common.out.note)
    except work.BackupError as problem:
        raise WrongUsage(f"Nothing was saved: {problem}") from None
    document = _document(made) | {"file": str(out), "bytes": out.stat().st_size}
    rows: list[tuple[str, Any]] = [
        ("file", out),
        ("identity", made.account),
        ("height", made.height),
        ("open secrets", sum(made.kept.values())),
    ]
    common.out.show(document, lambda console: console.print(facts("A backup", rows)))
    common.out.note("Claims and votes that come after it are not in it: make the next one soon, and keep it on another machine.")
    return 0


def restore(
    source: Annotated[Path, Parameter(name="FILE", help="What backup wrote.")],
    /,
    *,
    never_signed: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Only for a validator that has signed no block since the backup, here or anywhere: sign at once.",
        ),
    ] = False,
    passphrase_file: PassphraseFile = None,
    common: Common = HERE,
) -> int:
    """Make a data folder from a backup. What its key signed since then is found out before it signs again."""
    from learningchain.client.node import backup as work

    data = common.folder
    try:
        with source.open("rb") as file:
            word = passphrase(passphrase_file, confirm=False)
            done = work.restore(file, data, word, never_signed=never_signed, progress=common.out.note)
    except work.BackupError as problem:
        raise WrongUsage(f"Nothing was restored: {problem}") from None
    made = done.manifest
    rows: list[tuple[str, Any]] = [
        ("data folder", data),
        ("identity", made.account),
        ("made", when(made.created)),
        ("height then", made.height),
        ("open secrets", sum(made.kept.values())),
    ]
    document = _document(made) | {"data": str(data), "silent": done.silent}
    common.out.show(document, lambda console: console.print(facts("Restored", rows)))
    common.out.note("The machine that was lost must never run again with this identity: a validator would sign twice.")
    if done.silent:
        common.out.note(
            "As a validator it signs nothing until it has heard from a quorum and the graph is past every height at which it may "
            "have signed."
        )
    common.out.note(f"Next: learningchain node{common.again}")
    return 0


def _document(made: Any) -> dict[str, Any]:
    return {"address": made.account, "created": made.created, "height": made.height, "kept": made.kept}
