"""`node` and `demo`: the commands that start nodes."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts.validators import Number

from learningchain.client.cli.common import HERE, PASSPHRASE_VARIABLE, Common, NotStarted, PassphraseFile, passphrase
from learningchain.client.cli.options import Parameter
from learningchain.client.node import process


def node(
    *,
    work: Annotated[bool | None, Parameter(help="Run strangers' jobs and earn, or do not. Default: as configured.")] = None,
    accept_new_guard: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Sign again although the record of what was signed is lost. Only if no copy of this node runs.",
        ),
    ] = False,
    signed_up_to: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=0, lte=2**48),
            show_default=False,
            help="Your word that this key signed nothing above this height, here or anywhere: for a validator that came back from "
            "a backup and cannot reach a quorum of the others directly. Too low, it costs the seat.",
        ),
    ] = None,
    restart: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Take the place of the node that runs in this folder: that one stops, and its trainings go on with this one.",
        ),
    ] = False,
    passphrase_file: PassphraseFile = None,
    common: Common = HERE,
) -> int:
    """Run the node until it is interrupted."""
    from learningchain.client.keys.keystore import Keystore, KeystoreError

    if why := process.why_no_node():
        raise NotStarted(f"The node does not start: {why}")
    data = common.folder
    word: str | None = None
    if os.path.lexists(data / "signer.pair"):
        _check_signer(data, accept_new_guard)
    else:
        try:
            Keystore.public(data / "keystore.json")  # a missing identity is told before the passphrase is asked for
        except KeystoreError as e:
            raise NotStarted(f"The node does not start: {e}") from None
        word = passphrase(passphrase_file, confirm=False)
    process.guard(PASSPHRASE_VARIABLE)
    if sys.stderr.isatty():
        common.out.note(f"The node starts; Ctrl-C stops it. Look around from a second terminal: learningchain status{common.again}")
    from learningchain.client.daemon import start

    return start.run(data, word, work=work, accept_new_guard=accept_new_guard, signed_up_to=signed_up_to, restart=restart)


def _check_signer(data: Path, accept_new_guard: bool) -> None:
    """Raises `NotStarted` where this folder holds a key beside its signer's, or is told of a guard that is not here."""
    if os.path.lexists(data / "keystore.json") or os.path.lexists(data / "guard"):
        raise NotStarted(
            f"The node does not start: {data} names a signer and has a keystore or a guard of its own as well. A validator that "
            "signs in two places signs twice: move keystore.json and guard to the signer, or remove signer.pair"
        )
    if accept_new_guard:
        raise NotStarted("The node does not start: its guard is the signer's. Leave --accept-new-guard out")


def demo(
    *,
    json_file: Annotated[Path | None, Parameter(help="Also write a summary of the demo to this file.")] = None,
    keep: Annotated[bool, Parameter(negative="", show_default=False, help="Keep the nodes' data folders.")] = False,
    stay: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Let the graph run on after its check, to look around in it, until Ctrl-C ends it.",
        ),
    ] = False,
    common: Common = HERE,
) -> int:
    """Run the main job on a graph of five nodes on this machine: a race, a cheater, a poster that lies."""
    if why := process.why_no_node():
        raise NotStarted(f"The demo does not start: {why}")
    scene: Any = importlib.import_module("learningchain.examples.demo")
    result: Any = scene.main(json_file=json_file, keep=keep, to_stderr=common.json, stay=stay)
    code = int((asyncio.run(result) if inspect.iscoroutine(result) else result) or 0)
    if common.json:
        common.out.line({"ok": code == 0, "summary": str(json_file) if json_file else None})
    return code
