"""The tree of commands, loaded when they are used, and the one place where errors become text and exit codes.

What takes long to import is imported where it is needed: the pages that list commands need none of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from learningchain.client.cli import streams
from learningchain.client.cli.asking import question
from learningchain.client.cli.commands import ABOUT, HINT, SECTIONS, example, page
from learningchain.client.cli.entries import Command, Family

if TYPE_CHECKING:
    from cyclopts import App, ArgumentCollection, CycloptsError, Group

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


def own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("learningchain")
    except PackageNotFoundError:
        return "0+unknown"


def build() -> App:
    """The command tree. Nothing of a command is imported before it is called or its help is shown."""
    from cyclopts import App, Group, Parameter

    from learningchain.client.cli.common import Common

    if not hasattr(Common, "__cyclopts__"):  # once in a process
        Parameter(name="*", group=Group("Options of every command", sort_key=9))(Common)
    app = App(
        name="learningchain",
        help=ABOUT,
        help_epilogue=f"{HINT}\n\n{example('init --name alice')}",
        help_format="plaintext",
        version=lambda: f"learningchain {own_version()}",
        suppress_keyboard_interrupt=False,
        result_action="return_value",
        config=(_drop_empty,),
    )
    for order, (section, entries) in enumerate(SECTIONS.items()):
        group = Group(section, sort_key=order)
        for entry in entries:
            if isinstance(entry, Family):
                app.command(_family(entry, group))
            else:
                _add(app, entry, group)
    return app


def _drop_empty(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """A variable that is set and empty is not set. An empty word is no path either: `Path("")` is the folder that one is in."""
    from cyclopts import CycloptsError

    for argument in arguments:
        argument.tokens[:] = [token for token in argument.tokens if token.value or token.source != "env"]
        if Path in (argument.hint, *get_args(argument.hint)) and any(not token.value for token in argument.tokens):
            raise CycloptsError(msg=f"{argument.name} is empty: name a file or a folder, or leave it out")


def _family(family: Family, group: Group) -> App:
    from cyclopts import App

    app = App(
        name=family.name, help=family.text, group=group, help_epilogue=example(family.commands[0].example), help_format="plaintext"
    )
    for command in family.commands:
        _add(app, command, None)
    if family.alone:
        module, _, function = family.alone.partition(":")
        app.default(getattr(import_module(module), function))
    return app


def _add(app: App, command: Command, group: Group | None) -> None:
    more: dict[str, Any] = {} if group is None else {"group": group}
    app.command(command.where, name=command.name, help=command.text, help_epilogue=example(command.example), **more)


# --- running -------------------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Never lets an exception through."""
    streams.prepare()
    os.umask(os.umask(0o077) & 0o077)  # A file that its own owner may not read is of no use to anybody.
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    try:
        listed = page(words)
        if listed is not None:
            sys.stdout.write(listed)
        with _terminable():
            code = OK if listed is not None else _run(words, as_json)
        sys.stdout.flush()
    except KeyboardInterrupt:
        from learningchain.client.cli.common import going

        text = f"Interrupted. {going()}".rstrip()
        return _end(INTERRUPTED, as_json, {"kind": "interrupted", "code": None, "name": None, "message": text})
    except BrokenPipeError:  # the reader (head, less) went away
        streams.let_go()
        return BROKEN_PIPE
    except _Terminated:  # by the signal, as who sent it expects, now that nothing is left behind
        os.kill(os.getpid(), signal.SIGTERM)
        return BUG
    except SystemExit as e:
        if not streams.is_broken_pipe(e):
            raise
        return BROKEN_PIPE
    except OSError as e:  # of standard output itself
        streams.let_go()
        return _usage(_of_the_disk(e), as_json)
    return code


class _Terminated(SystemExit):
    """SIGTERM came: a command ends as it does by an exception, so that scratch folders and containers go with it."""


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """A node has a handler of its own once its loop runs."""

    def end(_number: int, _frame: object) -> None:
        raise _Terminated

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(words: list[str], as_json: bool) -> int:
    from learningchain.client.cli.common import NeverReady, NotStarted, WrongUsage, begin, no_submission

    try:
        asked = question(words)
        begin(plainly=asked is not None)
        result = _parsed(words) if asked is None else asked.ask()
        if result in (OK, None) and (why := no_submission(words)):
            raise WrongUsage(why)
    except WrongUsage as e:
        return _usage(str(e), as_json)
    except NotStarted as e:
        return _end(REFUSED, as_json, {"kind": "not_started", "code": None, "name": None, "message": str(e)})
    except NeverReady as e:
        return _end(REFUSED, as_json, {"kind": "never_ready", "code": None, "name": None, "message": str(e)})
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as e:  # the one place where every error ends: people get a text, never a trace
        return _failed(e, as_json)
    return result if isinstance(result, int) else OK


def _parsed(words: list[str]) -> Any:
    """What the command returns that the words call, by the parser."""
    from cyclopts import CycloptsError

    from learningchain.client.cli.common import WrongUsage

    try:
        return build()(words, exit_on_error=False, print_error=False)
    except CycloptsError as e:
        called = " ".join(["learningchain", *(e.command_chain or ())])
        raise WrongUsage(f"{_parse_text(e)}{_typographic(words)} Try: {called} --help") from None


_DASHES: Final = "\N{EM DASH}\N{EN DASH}\N{MINUS SIGN}\N{HORIZONTAL BAR}\N{NON-BREAKING HYPHEN}"
_SPACES: Final = "\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{ZERO WIDTH SPACE}"


def _typographic(words: list[str]) -> str:
    """What text editors and chats make of a command that is copied from them."""
    found = [sign for word in words for place, sign in enumerate(word) if sign in _SPACES or (not place and sign in _DASHES)]
    return f" U+{ord(found[0]):04X} in it is not the hyphen or space that it looks like: type it anew." if found else ""


def _parse_text(e: CycloptsError) -> str:
    from cyclopts import MissingArgumentError, UnusedCliTokensError

    if isinstance(e, MissingArgumentError) and e.argument is not None and e.argument.token_count()[0] == 0:
        return f"Say one of {' or '.join(e.argument.names)}."  # a choice without a default
    text = " ".join(str(e).split()).partition(" Available commands:")[0].rstrip(".?")
    if isinstance(e, UnusedCliTokensError):
        words = " ".join(e.unused_tokens or ())
        return f'This command takes no such words: "{words}".'
    return text + ("?" if "Did you mean" in text else ".")


def _usage(text: str, as_json: bool) -> int:
    return _end(USAGE, as_json, {"kind": "usage", "code": None, "name": None, "message": text})


def _failed(e: Exception, as_json: bool) -> int:
    from learningchain.client.cli.common import in_commands
    from learningchain.client.sdk.types import ApiError

    if isinstance(e, ApiError):
        error = e.as_json()["error"]
        return _end(_EXIT[e.kind], as_json, error | {"message": in_commands(error["message"])})
    if _is_about_files(e):
        return _usage(str(e), as_json)
    if isinstance(e, OSError) and e.strerror:
        return _usage(_of_the_disk(e), as_json)
    if isinstance(e, RuntimeError) and "home directory" in str(e):  # pathlib and platformdirs, wherever a place below it is meant
        return _usage("This user has no home. Set HOME to a folder of this user's, or name each place", as_json)
    return _end(BUG, as_json, {"kind": "bug", "code": None, "name": type(e).__name__, "message": _report(e)})


_ABOUT_THE_FOLDER = (
    ("chain.errors", "Malformed"),
    ("chain.storage.errors", "StorageError"),
    ("client.config", "ConfigError"),
    ("client.contracts", "BadSlice"),
    ("client.keys.keystore", "KeystoreError"),
    ("client.keys.names", "NamesError"),
    ("client.keys.tokens", "TokenError"),
)
"""Errors that say what is wrong with a file of the user's, or a package, by the modules that raise them."""


def _is_about_files(e: Exception) -> bool:
    """Whether it is one of these: a module that was not loaded has raised nothing."""
    loaded = [(sys.modules.get(f"learningchain.{module}"), name) for module, name in _ABOUT_THE_FOLDER]
    return any(module is not None and isinstance(e, getattr(module, name)) for module, name in loaded)


def _of_the_disk(e: OSError) -> str:
    """What the operating system refused, and what to do about it."""
    for kind, text in _ABOUT_FILES:
        if e.filename and isinstance(e, kind):
            return text.format(e.filename)
    if _stands_nowhere():
        return "The folder that this command was called in is not there any more. Go to another one (cd), then call it again"
    where = f" {e.filename}" if e.filename else ""
    return f"The operating system refused{where}: {e.strerror}"


def _stands_nowhere() -> bool:
    try:
        return not Path.cwd()
    except FileNotFoundError:
        return True


_ABOUT_FILES = (
    (FileNotFoundError, "There is no {}. Check how it is written, and the folder that you are in"),
    (IsADirectoryError, "{} is a folder, and a file is needed. Name a file"),
    (NotADirectoryError, "{} leads through a file as if that were a folder. Check how it is written"),
    (FileExistsError, "{} is there already, and is no folder. Choose another name"),
    (PermissionError, "{} may not be read or written by this user. Check its owner and mode, or choose another place"),
)


def _report(e: Exception) -> str:
    import tempfile
    import traceback

    from learningchain.chain.storage.database_url import without_urls

    try:
        fd, path = tempfile.mkstemp(prefix="learningchain-error-", suffix=".txt")
        with os.fdopen(fd, "w", encoding="utf-8") as f:
            f.write(f"learningchain {own_version()}\n")
            f.writelines(map(without_urls, traceback.format_exception(e)))
        where = f"Details are in {path}: please send them with your report"
    except OSError:
        where = "Please report it"
    return f"Something went wrong that is our mistake ({type(e).__name__}: {without_urls(str(e))[:200]}). {where}"


def _end(code: int, as_json: bool, error: dict[str, Any]) -> int:
    import json

    from learningchain.client.cli.common import clean, going, named

    if code == INTERRUPTED and not as_json:
        sys.stderr.write("\n")  # the terminal shows ^C on this line
        if not going():
            return code
    error |= {"message": named(error["message"])}
    if as_json:
        sys.stderr.write(json.dumps({"error": error}) + "\n")
    else:
        known = [str(part) for part in (error["name"], error["code"]) if part is not None and code == REFUSED]
        sys.stderr.write(clean(f"learningchain: {error['message']}" + (f" ({' '.join(known)})" if known else "")) + "\n")
    return code
