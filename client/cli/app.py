"""The tree of commands, loaded when they are used, and the one place where errors become text and exit codes."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cyclopts import App, CycloptsError, Group, UnusedCliTokensError

from client.cli.common import NotStarted, WrongUsage, clean, in_commands

OK, REFUSED, USAGE, UNREACHABLE, BUG, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 70, 130, 141

_EXIT = {
    "rejected": REFUSED,
    "invalid": REFUSED,
    "usage": USAGE,
    "not_found": USAGE,
    "unauthorized": USAGE,
    "unreachable": UNREACHABLE,
    "unavailable": UNREACHABLE,
    "bad_content": UNREACHABLE,
}

_START, _NODE, _LEDGER, _JOBS = (
    Group("Getting started", sort_key=0),
    Group("The node", sort_key=1),
    Group("Credits and blocks", sort_key=2),
    Group("Jobs", sort_key=3),
)

# name, where, group, what it does, example
_COMMANDS: list[tuple[str, str, Group, str, str]] = [
    (
        "init",
        "setup:init",
        _START,
        "Make an identity, its settings and its data folder.",
        "init --name alice --peer node.example.org:7400",
    ),
    ("id", "setup:identity", _START, "This node's address and public key; no running node is needed.", "id --json"),
    ("demo", "daemon:demo", _START, "Run the main job on a graph of five nodes on this machine.", "demo --json-file summary.json"),
    ("node", "daemon:node", _NODE, "Run the node until it is interrupted.", "node --work"),
    ("status", "ledger:status", _NODE, "Where the node stands: network, height, peers.", "status --json"),
    ("peers", "ledger:peers", _NODE, "Nodes that this one is connected to.", "peers"),
    ("balance", "ledger:balance", _LEDGER, "Credits of an account.", "balance lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq"),
    ("history", "ledger:history", _LEDGER, "Movements of an account's credits, newest first.", "history --limit 20"),
    (
        "transfer",
        "ledger:transfer",
        _LEDGER,
        "Send credits to another account.",
        "transfer lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq 1.5",
    ),
    ("accounts", "ledger:accounts", _LEDGER, "Accounts of the network, with their credits.", "accounts"),
    (
        "judge",
        "ledger:judge",
        _LEDGER,
        "A validator's word on a suspended account: ban it, or lift the suspension.",
        "judge lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq --lift",
    ),
    ("runs", "ledger:runs", _JOBS, "Runs of this node's worker and verifier.", "runs"),
]
_GROUPS: list[tuple[str, Group, str, list[tuple[str, str, str, str]]]] = [
    (
        "genesis",
        _START,
        "Make, look at and install the file that a network starts from.",
        [
            (
                "new",
                "network:new",
                "Make the file of a new network.",
                "genesis new --name demo --validator 02ab...=1000 --out genesis.json",
            ),
            ("show", "network:show", "Show what a network starts with.", "genesis show genesis.json"),
            (
                "install",
                "network:install",
                "Check a network's file and put it into the data folder.",
                "genesis install genesis.json",
            ),
        ],
    ),
    (
        "config",
        _NODE,
        "Show the effective settings and where each comes from, or change one.",
        [
            ("set", "setup:config_set", "Change a setting in the file.", "config set work.attempts 5"),
            ("show", "setup:config_show", "Show the effective settings and where each comes from.", "config show"),
        ],
    ),
    (
        "job",
        _JOBS,
        "Post, follow and fetch training jobs.",
        [
            (
                "submit",
                "submit:submit",
                "Post a job with a bounty.",
                "job submit --image-archive job.tar --bounty 100 --expires 10m",
            ),
            ("list", "jobs:list_jobs", "Jobs of the network, newest first.", "job list --live"),
            ("show", "jobs:show", "Everything about one job.", "job show 3fa9c1"),
            ("watch", "watch:watch", "Follow a job until it has ended.", "job watch 3fa9c1"),
            ("fetch", "jobs:fetch", "Save the winner's model, checked against the ledger.", "job fetch 3fa9c1 --out model.bin"),
            ("cancel-run", "jobs:cancel_run", "Kill a run of this node.", "job cancel-run r-17"),
        ],
    ),
    ("block", _LEDGER, "Look at blocks.", [("show", "ledger:block_show", "Show a block.", "block show latest")]),
    (
        "tx",
        _LEDGER,
        "Look at transactions.",
        [("show", "ledger:tx_show", "Show a transaction and its receipt.", "tx show 9c1f...")],
    ),
]


def own_version() -> str:
    try:
        return version("learningchain")
    except PackageNotFoundError:
        return "0+unknown"


def build() -> App:
    """The command tree. Nothing of a command is imported before it is called or its help is shown."""
    app = App(
        name="learningchain",
        help="A graph of computers that trade machine-learning work for credits.",
        help_epilogue="Each command explains itself: learningchain job submit --help\n\n" + _example("init --name alice"),
        help_format="plaintext",
        version=f"learningchain {own_version()}",
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    for name, where, group, text, example in _COMMANDS:
        _add(app, name, where, text, example, group)
    for name, group, text, commands in _GROUPS:
        inner = App(name=name, help=text, group=group, help_epilogue=_example(commands[0][3]), help_format="plaintext")
        for command, where, what, example in commands:
            _add(inner, command, where, what, example, None)
        app.command(inner)
    _default_of_config(app["config"])
    return app


def _default_of_config(app: App) -> None:
    from client.cli.setup import config_show

    app.default(config_show)


def _add(app: App, name: str, where: str, text: str, example: str, group: Group | None) -> None:
    module, _, function = where.partition(":")
    more: dict[str, Any] = {} if group is None else {"group": group}
    app.command(f"client.cli.{module}:{function}", name=name, help=text, help_epilogue=_example(example), **more)


def _example(text: str) -> str:
    return f"Example: learningchain {text}"


# --- running -------------------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Never lets an exception through."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    try:
        code = _run(words, as_json)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _end(INTERRUPTED, as_json, {"kind": "interrupted", "code": None, "name": None, "message": "Interrupted"})
    except BrokenPipeError:
        # The reader (head, less) went away. Python would complain once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    return code


def _run(words: list[str], as_json: bool) -> int:
    try:
        result = build()(words, exit_on_error=False, print_error=False)
    except CycloptsError as e:
        return _usage(f"{_parse_text(e)} Try: {' '.join(['learningchain', *(e.command_chain or ())])} --help", as_json)
    except WrongUsage as e:
        return _usage(str(e), as_json)
    except NotStarted as e:
        return _end(REFUSED, as_json, {"kind": "not_started", "code": None, "name": None, "message": str(e)})
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as e:  # the one place where every error ends: people get a text, never a trace
        return _failed(e, as_json)
    return result if isinstance(result, int) else OK


def _parse_text(e: CycloptsError) -> str:
    text = " ".join(str(e).split()).partition(" Available commands:")[0].rstrip(".?")
    if isinstance(e, UnusedCliTokensError):
        words = " ".join(e.unused_tokens or ())
        return f'This command takes no such words: "{words}".'
    return text + ("?" if "Did you mean" in text else ".")


def _usage(text: str, as_json: bool) -> int:
    return _end(USAGE, as_json, {"kind": "usage", "code": None, "name": None, "message": text})


def _failed(e: Exception, as_json: bool) -> int:
    from chain.errors import Malformed
    from chain.storage.errors import StorageError
    from client.config import ConfigError
    from client.keystore import KeystoreError
    from client.sdk_types import ApiError

    if isinstance(e, ApiError):
        error = e.as_json()["error"]
        return _end(_EXIT[e.kind], as_json, error | {"message": in_commands(error["message"])})
    if isinstance(e, ConfigError | KeystoreError | StorageError | Malformed):
        return _usage(str(e), as_json)
    if isinstance(e, OSError) and e.strerror:
        where = f" {e.filename}" if e.filename else ""
        return _usage(f"The operating system refused{where}: {e.strerror}", as_json)
    return _end(BUG, as_json, {"kind": "bug", "code": None, "name": type(e).__name__, "message": _report(e)})


def _report(e: Exception) -> str:
    try:
        fd, path = tempfile.mkstemp(prefix="learningchain-error-", suffix=".txt")
        with os.fdopen(fd, "w", encoding="utf-8") as f:
            f.write(f"learningchain {own_version()}\n")
            f.writelines(traceback.format_exception(e))
        where = f"Details are in {path}: please send them with your report"
    except OSError:
        where = "Please report it"
    return f"Something went wrong that is our mistake ({type(e).__name__}: {str(e)[:200]}). {where}"


def _end(code: int, as_json: bool, error: dict[str, Any]) -> int:
    if as_json:
        sys.stderr.write(json.dumps({"error": error}) + "\n")
    elif code == INTERRUPTED:
        sys.stderr.write("\n")
    else:
        known = [str(part) for part in (error["name"], error["code"]) if part is not None and code == REFUSED]
        sys.stderr.write(clean(f"learningchain: {error['message']}" + (f" ({' '.join(known)})" if known else "")) + "\n")
    return code
