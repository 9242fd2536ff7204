"""`node` and `demo`: the commands that start nodes."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from client import process
from client.cli.common import HERE, PASSPHRASE_VARIABLE, Common, NotStarted, PassphraseFile, passphrase


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
    passphrase_file: PassphraseFile = None,
    common: Common = HERE,
) -> int:
    """Run the node until it is interrupted."""
    from client.keystore import Keystore, KeystoreError

    data = common.folder
    try:
        Keystore.public(data / "keystore.json")  # a missing identity is told before the passphrase is asked for
    except KeystoreError as e:
        raise NotStarted(f"The node does not start: {e}") from None
    word = passphrase(passphrase_file, confirm=False)
    process.guard(PASSPHRASE_VARIABLE)
    if sys.stderr.isatty():
        common.out.note(f"The node starts; Ctrl-C stops it. Look around from a second terminal: learningchain status{common.again}")
    from client import start

    return start.run(data, word, work=work, accept_new_guard=accept_new_guard)


def demo(
    *,
    json_file: Annotated[Path | None, Parameter(help="Also write a summary of the demo to this file.")] = None,
    keep: Annotated[bool, Parameter(negative="", show_default=False, help="Keep the nodes' data folders.")] = False,
    common: Common = HERE,
) -> int:
    """Run the main job on a graph of five nodes on this machine. From a clone of the repository: see `examples/demo`."""
    try:
        scene = importlib.import_module("examples.demo")
    except ModuleNotFoundError as problem:
        if problem.name not in ("examples", "examples.demo"):
            raise
        text = "it needs the folder examples of the repository, which is no part of an installed package"
        raise NotStarted(f"The demo does not start: {text}. Run `make demo` in a clone of the repository") from None
    result: Any = scene.main(json_file=json_file, keep=keep, to_stderr=common.json)
    code = int((asyncio.run(result) if inspect.iscoroutine(result) else result) or 0)
    if common.json:
        common.out.line({"ok": code == 0, "summary": str(json_file) if json_file else None})
    return code
