"""`completion`: what a shell needs to complete commands and options.

Everything else loads a command when it is called. This one alone loads all of them, for it writes down the words of each.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from learningchain.client.cli.common import HERE, Common, WrongUsage
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console

Shell = Literal["bash", "zsh", "fish"]
_STARTUP: Final[dict[str, str]] = {"bash": ".bashrc", "zsh": ".zshrc"}
"""The files in the home folder that tell these shells where the script is; fish looks by itself."""


def completion(
    shell: Annotated[Shell | None, Parameter(help="Default: the shell that this is typed in.")] = None,
    /,
    *,
    install: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Put the script where the shell looks, with a line in its startup file where it needs one.",
        ),
    ] = False,
    common: Common = HERE,
) -> int:
    """Print a script with which the shell completes commands and options, or install it."""
    from learningchain.client.cli.app import build

    chosen, tree = shell or _own_shell(), build()
    if not install:
        script = tree.generate_completion(shell=chosen)

        def whole(_: Console) -> None:
            sys.stdout.write(script)  # as it is: a console would fold it

        common.out.show({"shell": chosen, "script": script}, whole)
        return 0
    file = tree.install_completion(shell=chosen)
    startup = _startup(chosen, file)
    document: dict[str, Any] = {"shell": chosen, "file": str(file), "startup": None if startup is None else str(startup)}

    def people(console: Console) -> None:
        console.print(f"Installed: {file}", soft_wrap=True)
        if startup is not None:
            console.print(f"{startup} names it.", soft_wrap=True)

    common.out.show(document, people)
    common.out.note(f"It works in a new shell, or now after: exec {chosen}. After an update of LearningChain, install it again.")
    return 0


def _own_shell() -> Shell:
    """Raises `WrongUsage`."""
    from cyclopts.completion.detect import ShellDetectionError, detect_shell

    try:
        found = detect_shell()
    except ShellDetectionError:
        found = "powershell"
    if found == "powershell":
        raise WrongUsage("Which shell this is cannot be told. Say it: learningchain completion bash, zsh or fish")
    return found


def _startup(shell: str, file: Path) -> Path | None:
    """The startup file that leads to the script, where there is one."""
    name = _STARTUP.get(shell)
    if name is None:
        return None
    startup = Path.home() / name
    text = startup.read_text("utf-8", "replace") if startup.is_file() else ""
    return startup if str(file.parent) in text else None  # a framework of zsh has a folder of its own for it
