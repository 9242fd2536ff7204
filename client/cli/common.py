"""What all commands share: their common options, output for people and for machines, connections, passphrases, numbers as text."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from learningchain.client import contracts, reading
from learningchain.client.cli.entries import COMMANDS
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Columns, Console, Line, Printable, Stack, Surface, Text, columns_of
from learningchain.client.keys.names import MAX_CHARACTERS, Names, NamesError, label, load, own_address
from learningchain.client.reading import folder, variable

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from learningchain.client.sdk.client import Client

T = TypeVar("T")

PASSPHRASE_VARIABLE = "LEARNINGCHAIN_PASSPHRASE"
NEW_PASSPHRASE_VARIABLE = "LEARNINGCHAIN_NEW_PASSPHRASE"
MAX_PASSPHRASE_FILE = 4_096
PIPE_WIDTH = 240


class WrongUsage(Exception):
    """What was typed, or the files of the data folder, cannot be used. The text says why and what would do. Exit code 2."""


class NotStarted(Exception):
    """The node refuses to start. The text says what, why and what to do. Exit code 1, as for every other refusal of the daemon."""


class NeverReady(Exception):
    """Waiting for the node cannot help: the graph will not have it, or it ended. The text says why and what to do. Exit code 1."""


class Common:
    """Options that every command has. No dataclass: what those need takes longer to load than a question to the node."""

    def __init__(
        self,
        data: Annotated[
            Path | None,
            Parameter(env_var="LEARNINGCHAIN_DATA", show_env_var=True, help="Data folder of the node. Default: this user's."),
        ] = None,
        api: Annotated[
            str | None,
            Parameter(env_var="LEARNINGCHAIN_API", show_env_var=True, help="URL of the node's API. Default: as configured."),
        ] = None,
        token_file: Annotated[
            Path | None,
            Parameter(
                env_var="LEARNINGCHAIN_TOKEN_FILE", show_env_var=True, help="File with the API token. Default: in the data folder."
            ),
        ] = None,
        receipt: Annotated[
            Path | None,
            Parameter(help="Where the command submits something: write its receipt into this file (learningchain receipt check)."),
        ] = None,
        json: Annotated[
            bool, Parameter(negative="", show_default=False, help="Print JSON, and errors as JSON on standard error.")
        ] = False,
    ) -> None:
        self.data, self.api, self.token_file, self.receipt, self.json = data, api, token_file, receipt, json

    @property
    def folder(self) -> Path:
        """Raises `WrongUsage`."""
        try:
            return folder(self.data)
        except ValueError as e:
            raise WrongUsage(str(e)) from None

    @property
    def again(self) -> str:
        """What the next command on this data folder needs behind it; nothing where the environment or the default name it."""
        if self.data is None or variable("LEARNINGCHAIN_DATA") == str(self.data):
            return ""
        return f" --data {shlex.quote(str(self.data))}"

    @property
    def out(self) -> Output:
        show_names(self.names)
        return Output(self.json)

    @property
    def names(self) -> Names:
        """For what is shown. A file that holds none takes no command away: only where a name is typed it has to be read."""
        try:
            found = load(self.folder)
        except NamesError as e:
            if str(e) not in _told:
                _told.add(str(e))
                Output(self.json).note(str(e))
            found = Names()
        found.own = own_address(self.folder)
        return found

    def label(self, ref: str, name: str) -> None:
        """From here on a job or a federation has this name beside its id, on this machine. What was posted stays so without it."""
        try:
            label(self.folder, ref, name)
        except NamesError as e:
            self.out.note(str(e))

    def account(self, text: str) -> str:
        """The address behind an address, which is checked for typing mistakes, or behind an own name. Raises `WrongUsage`."""
        from learningchain.chain.crypto import parse_address

        names = load(self.folder)
        show_names(names)
        if (address := names.address(text)) is not None:
            return address
        try:
            parse_address(text)
        except ValueError as e:
            if text.startswith("lc1"):
                raise WrongUsage(f"{text[:80]!r} is no account: {e}") from None
            like = names.like(text[:MAX_CHARACTERS])
            what = f"Did you mean {like[0]}?" if like else "learningchain name list shows those that you gave"
            raise WrongUsage(
                f"{text[:80]!r} is no account: it is neither an address (lc1...) nor one of your names. {what}"
            ) from None
        return text

    def client(self) -> Client:
        """The SDK on this node; from here on also what is refused has names. Raises `WrongUsage`."""
        from learningchain.client.sdk.client import Client
        from learningchain.client.sdk.http import read_token

        show_names(self.names)
        if self.api is None and not self.folder.is_dir():
            raise WrongUsage(
                f"There is no data folder {self.folder}, so no node to ask. Name one with --data or LEARNINGCHAIN_DATA, "
                "make one with learningchain init, or name an API with --api"
            )
        token = read_token(self.token_file) if self.token_file else read_token(self.folder / "api.token", own=True)
        if self.token_file is not None and token is None:
            raise WrongUsage(f"There is no token file {self.token_file}. The node writes api.token into its data folder")
        url = self.api or self._own_url()
        if not re.match(r"https?://", url):
            raise WrongUsage(f"--api is a URL such as http://127.0.0.1:7401, not {url!r}")
        if self.receipt is None:
            return Client(url, token)
        if os.path.lexists(self.receipt):
            raise WrongUsage(f"{self.receipt} exists already and is not overwritten. Nothing was sent. Choose another --receipt")
        return Client(url, token, receipts=True)

    def _own_url(self) -> str:
        """Where the node of this folder listens, by its settings. Raises `WrongUsage`."""
        from learningchain.client.sdk.http import local_url

        if _plainly and (listen := reading.api_listen(self.folder)):
            return local_url(listen)
        from learningchain.client import config

        try:
            return local_url(config.load(self.folder).config.api.listen)
        except config.ConfigError as e:
            raise WrongUsage(str(e)) from None

    def keep_receipt(self, done: Mapping[str, Any]) -> None:
        """Write the receipt that came with a submission, where one was asked for."""
        from learningchain.client.sdk.files import appearing

        if self.receipt is None:
            return
        _kept.append(self.receipt)
        if "receipt" not in done:
            self.out.note(f"No receipt was written: it is not final yet. Later: learningchain receipt get {done['tx']}")
            return
        with appearing(self.receipt, overwrite=False) as file:
            file.write(bytes.fromhex(done["receipt"]))
        self.out.note(f"Its receipt: {self.receipt}")

    def goes_on(self, what: str, follow: str = "") -> None:
        """From here on an interruption ends this process alone: it says what goes on, and the command that follows it."""
        global _going
        _going = f"{what}{f': learningchain {follow}{self.again}' if follow else ''}"

    def ask(self, call: Callable[[Client], Awaitable[T]]) -> T:
        """Run one conversation with the node."""

        async def conversation(client: Client) -> T:
            async with client as node:
                return await call(node)

        from learningchain.client.sdk.plain import NeedsMoreError, is_plain

        client = self.client()
        if _plainly and is_plain(client.api.url):
            client.api.plain = True
            with suppress(NeedsMoreError):
                return answered(conversation(client))
            client = self.client()
        import asyncio

        return asyncio.run(conversation(client))


HERE = Common()
"""The options when none is given."""


_going = ""
"""What goes on by itself where this process is interrupted; nothing where nothing was sent."""


def answered(asking: Coroutine[Any, Any, T]) -> T:
    """Run a conversation without a loop, which takes long to import. Raises `NeedsMoreError` where it waits for another one."""
    try:
        asking.send(None)
    except StopIteration as done:
        found: T = done.value
        return found
    from learningchain.client.sdk.plain import NeedsMoreError

    asking.close()
    raise NeedsMoreError


def going() -> str:
    return _going


_kept: list[Path] = []
"""Receipts that a submission of this process came to: where one was asked for and there is none, the command submits nothing."""


_plainly = False
"""Whether this command asks the node and does nothing else."""


def begin(*, plainly: bool = False) -> None:
    """A command begins."""
    global _going, _plainly
    _plainly = plainly
    _kept.clear()
    _going = ""


def no_submission(words: Sequence[str]) -> str | None:
    """What is wrong where a receipt was asked for and the command, which ended well, submitted nothing."""
    asked = any(word == "--receipt" or word.startswith("--receipt=") for word in words)
    return "There is no receipt: this command submitted nothing" if asked and not _kept else None


_told: set[str] = set()
"""What is wrong with the names: told once."""
_shown = Names()
"""The names beside the addresses that this process shows: a process runs one command."""


def show_names(names: Names) -> None:
    """From here on these names stand beside addresses."""
    global _shown
    _shown = names


def named(text: str) -> str:
    """A text with own names behind the addresses in it."""
    return _shown.beside(text)


def short_id(ref: str) -> str:
    """The beginning of an id of a job or a federation, behind its own name."""
    name = _shown.of(ref)
    return f"{name} ({ref[:12]})" if name else ref[:12]


def short(address: str) -> str:
    """An address cut for a table, behind its own name; this node's own says so."""
    return _shown.short(address) + (" (you)" if address == _shown.own else "")


class Output:
    """Results on standard output, everything else on standard error."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        # Into a pipe or a file nothing is folded: lines are for grep there.
        self.console = Console(None if sys.stdout.isatty() else PIPE_WIDTH)

    @cached_property
    def notes(self) -> RichConsole:
        """Standard error for what moves there."""
        from rich.console import Console as RichConsole

        return RichConsole(stderr=True, highlight=False, markup=False, emoji=False)

    def show(self, document: Any, people: Callable[[Console], None]) -> None:
        """One result: the document for machines, `people` prints it for people."""
        if self.as_json:
            self.line(document)
        else:
            people(self.console)

    def line(self, document: Any) -> None:
        """One line of JSON; ASCII, so that no terminal and no locale can trip over it."""
        sys.stdout.write(json.dumps(_shown.into(document), ensure_ascii=True, default=str) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """A hint for people; machines are spared it."""
        if not self.as_json:
            sys.stderr.write(f"{named(one_line(text))}\n")


# --- text for people -----------------------------------------------------------------------------------------------------------


def clean(value: Any) -> str:
    """Text of strangers made harmless for a terminal: control characters become visible signs."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def one_line(value: Any) -> str:
    """The same for what is one line: a stranger's text begins none of its own, which would look like the command's."""
    return clean(value).replace("\n", "\N{SYMBOL FOR NEWLINE}")


_COMMANDS = {
    "GET /v1/runs": "learningchain runs",
    "GET /v1/files": "learningchain file list",
    "GET /v1/callbacks": "learningchain callback list",
    "GET /v1/data": "learningchain data list",
    "GET /v1/machines": "learningchain machines",
    "GET /v1/sets": "learningchain data list",
    "GET /v1/peers": "learningchain peers",
    "GET /v1/status": "learningchain status",
}
_HELP = re.compile(r"[;.] GET /v1/openapi\.json [^.;]*")


def in_commands(text: str) -> str:
    """A text of the API for people at the command line: where it names a request or a field, what is typed instead."""
    says = [_COMMANDS, *(part.says for part in contracts.parts(COMMANDS).values())]
    text = _HELP.sub("", text)
    for request, command in sorted((pair for some in says for pair in some.items()), reverse=True):
        text = text.replace(request, command)
    return text


def cell(value: Any, style: str = "") -> Text:
    shown = "-" if value is None or value == "" else "yes" if value is True else "no" if value is False else named(clean(value))
    return Text(shown, style)


def facts(title: str, rows: list[tuple[str, Any]]) -> Stack:
    """A heading, then name and value, one a line."""
    cells = [(Text(name, "cyan"), value if isinstance(value, Text) else cell(value)) for name, value in rows]
    return Stack(Text(named(clean(title)), "bold"), _pairs(cells))


def _pairs(cells: Sequence[tuple[Text, Text]]) -> Columns:
    """Names and values."""
    return Columns(cells, (0, 0), {0}, set(), gap=2)


def listing(
    columns: list[str], rows: list[list[Any]], right: set[str] | None = None, whole: set[str] | None = None
) -> UnbrokenTable:
    """Rows under headings; columns in `right` are aligned to the right, those in `whole` not folded, so that they can be copied."""
    cells = [[value if isinstance(value, Text) else cell(value) for value in row] for row in rows]
    return UnbrokenTable(columns, cells, right or set(), whole or set())


def show_list(
    common: Common,
    found: Sequence[T],
    nothing: str,
    columns: list[str],
    row: Callable[[T], list[Any]],
    *,
    right: set[str] | None = None,
    whole: set[str] | None = None,
    full: int | None = None,
    at: str = "number",
) -> int:
    """One result that is a list, as a `listing`; where it is empty, people read `nothing`. With `full` rows there may be more: they
    are asked for by what the last one has as `at`."""

    def people(console: Console) -> None:
        if not found:
            console.print(nothing)
            return
        console.print(listing(columns, [row(one) for one in found], right, whole))
        last: Any = found[-1]
        if len(found) == full and last[at]:
            common.out.note(f"There may be more: --before {last[at]}")

    common.out.show(found, people)
    return 0


class UnbrokenTable(Printable):
    """A table in which no number, id or name is broken: where it is too wide for that, each row stands in lines of its own."""

    def __init__(self, columns: list[str], rows: list[list[Text]], right: set[str], whole: set[str]) -> None:
        self._columns, self._rows, self._right = columns, rows, right
        kept = [name in right | whole or all(" " not in row[at].plain for row in rows) for at, name in enumerate(columns)]
        self._whole = {name for name, one in zip(columns, kept, strict=True) if one}

    def lines(self, width: int | None) -> Iterator[Line]:
        least = [self._least(at, name) for at, name in enumerate(self._columns)]
        if width is None or sum(least) + len(least) - 1 <= width:
            yield from self._table(least).lines(width)
        else:
            yield from Stack(*self._records(width)).lines(width)

    def _least(self, at: int, name: str) -> int:
        """The fewest characters in which a column has its words whole."""
        texts = [row[at].plain for row in self._rows]
        longest = max((columns_of(word) for text in texts for word in ([text] if name in self._whole else text.split())), default=0)
        return max(longest, *map(columns_of, name.split() or [""]))

    def _table(self, least: list[int]) -> Columns:
        heads = [Text(name, "bold") for name in self._columns]
        whole, right = ({at for at, name in enumerate(self._columns) if name in names} for names in (self._whole, self._right))
        return Columns([heads, *self._rows], least, whole, right)

    def _records(self, width: int) -> Iterator[Printable]:
        names = max(map(columns_of, self._columns)) + 1
        longest = max((columns_of(word) for row in self._rows for value in row for word in value.plain.split()), default=0)
        for at, row in enumerate(self._rows):
            if at:
                yield Text()
            pairs = [(Text(name, "cyan"), value) for name, value in zip(self._columns, row, strict=True)]
            if names + longest > width:
                yield from (text for pair in pairs for text in pair)
            else:
                yield _pairs(pairs)


def when(milliseconds: Any) -> str:
    """A time of day in this machine's zone."""
    import time

    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(int(milliseconds) / 1000))
    except (TypeError, ValueError, OverflowError, OSError):
        return "-"


def span(seconds: float) -> str:
    """A length of time in its two largest units."""
    rest = max(0, round(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if rest >= size or (unit == "s" and not parts):
            parts.append(f"{rest // size} {unit}")
            rest %= size
    return " ".join(parts[:2])


def ago(milliseconds: Any) -> str:
    """How long a wall-clock time is past."""
    import time

    return f"{span(time.time() - milliseconds / 1000)} ago" if isinstance(milliseconds, int) else "-"


def brief(console: Surface, text: Any) -> str:
    """Ids short enough for a terminal; whole where a program or a file reads them."""
    shown = "-" if text is None else str(text)
    return _LONG_ID.sub(r"\1…", named(shown)) if console.is_terminal else shown


_LONG_ID = re.compile(r"\b([0-9a-f]{12}|lc1[0-9a-z]{6})[0-9a-z]{24,}\b")


def relative(clock_ms: Any, clock: int) -> str:
    """A time of the chain clock as seen from now: that clock stands still while the graph does, so no wall clock shows it."""
    if not isinstance(clock_ms, int):
        return "-"
    return f"in {span((clock_ms - clock) / 1000)}" if clock_ms > clock else f"{span((clock - clock_ms) / 1000)} ago"


def nested(document: dict[str, Any]) -> str:
    """A record in one line: what lies deeper is named by its path."""
    parts = []
    for key, value in document.items():
        if isinstance(value, dict):
            parts += [f"{key}.{inner}={v}" for inner, v in value.items() if v not in ("", [], None)]
        elif value not in ("", [], None):
            parts.append(f"{key}={value}")
    return ", ".join(parts)


def counted(number: float, what: str) -> str:
    """A number of things: 1 processor, 2 processors."""
    return f"{number:g} {what}{'' if number == 1 else 's'}"


def size_text(count: Any) -> str:
    """Bytes in a unit that people read."""
    if not isinstance(count, int):
        return "-"
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(ms|s|m|min|h|d)?", re.ASCII)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0, None: 1.0}


def seconds(text: str, option: str) -> float:
    """`60s`, `10m`, `2h`, `1d`, or a number of seconds. Raises `WrongUsage`."""
    found = _SPAN.fullmatch(text.strip())
    if not found:
        raise WrongUsage(f"{option} is a length of time such as 60s, 10m or 2h, not {text!r}")
    return float(found[1]) * _UNITS[found[2]]


def amount(text: str, option: str) -> str:
    """Credits as they are typed, checked. Raises `WrongUsage`."""
    from learningchain.chain.types import parse_credits

    try:
        if parse_credits(text) == 0:
            raise ValueError("nothing at all")
    except ValueError as e:
        raise WrongUsage(f"{option} cannot be {text!r}: {e}. Write credits such as 12 or 0.5") from None
    return text


MAX_OBJECT = 65_536
MAX_PARAMS = 8_192
"""Bytes of params that the ledger takes, of each contract."""


def json_object(text: str, option: str = "--params") -> dict[str, Any]:
    """A JSON object from the command line or, after @, from a file. Raises `WrongUsage`."""
    if text.startswith("@"):
        try:
            raw = reading.file(Path(text[1:]), MAX_OBJECT)
            text = raw.decode()
        except FileNotFoundError:
            raise WrongUsage(f"{option}: there is no file {text[1:]}") from None
        except OSError as e:
            raise WrongUsage(f"{option}: the file {text[1:]} cannot be read: {e.strerror}") from None
        except UnicodeDecodeError:
            raise WrongUsage(f"{option}: the file {text[1:]} is no text in UTF-8. Save it as UTF-8") from None
        if len(raw) > MAX_OBJECT:
            raise WrongUsage(f"{option}: the file has more than {MAX_OBJECT} bytes: settings go there, data goes into the image")
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as e:
        where = f" (line {e.lineno}, column {e.colno})" if isinstance(e, json.JSONDecodeError) else ""
        raise WrongUsage(f"{option} is no JSON{where}. Example: {option} '{{\"epochs\": 5}}'") from None
    if not isinstance(value, dict):
        raise WrongUsage(f'{option} is a JSON object, such as {{"epochs": 5}}')
    return value


def read_params(text: str) -> dict[str, Any]:
    """What `--params` says, for jobs, models and federations alike. Raises `WrongUsage`."""
    value = json_object(text)
    if len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")) > MAX_PARAMS:
        raise WrongUsage(f"--params has more than {MAX_PARAMS} bytes: settings go there, data goes into the image")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


# --- passphrases ---------------------------------------------------------------------------------------------------------------


def agree(common: Common, told: str, question: str, otherwise: str) -> None:
    """Tell the person at the terminal something (or nothing), and ask.

    Raises `WrongUsage`, which begins with `otherwise`, unless they agree, and where nobody can be asked: scripts say --yes.
    """
    if common.json or not sys.stdin.isatty():
        known = f"{told} There" if told else "There"
        raise WrongUsage(f"{otherwise}. {known} is no terminal to ask on: read what it means, then agree with --yes")
    if told:
        common.out.note(told)
    if input(f"{question} Type yes: ").strip().lower() != "yes":
        raise WrongUsage(f"{otherwise}: only the whole word yes agrees")


def passphrase(file: Path | None, *, confirm: bool) -> str:
    """From the file, else from the environment, else asked for; never from the command line. Raises `WrongUsage`."""
    if file is not None:
        return _from_file(file)
    if (word := variable(PASSPHRASE_VARIABLE)) is not None:
        return _one_line(word, PASSPHRASE_VARIABLE)
    if not sys.stdin.isatty():
        raise WrongUsage(
            f"A passphrase is needed and there is no terminal to ask on. Set {PASSPHRASE_VARIABLE}, "
            "or name a file with --passphrase-file"
        )
    word = _prompt("Passphrase: ")
    if confirm and _prompt("The same passphrase again: ") != word:
        raise WrongUsage("The two passphrases differ. Try again")
    return word


def new_passphrase(file: Path | None) -> str:
    """The passphrase that something gets from now on: from the file, else from its own variable, else asked for twice."""
    if file is not None:
        return _from_file(file)
    if (word := variable(NEW_PASSPHRASE_VARIABLE)) is not None:
        return _one_line(word, NEW_PASSPHRASE_VARIABLE)
    if not sys.stdin.isatty():
        raise WrongUsage(
            f"A new passphrase is needed and there is no terminal to ask on. Set {NEW_PASSPHRASE_VARIABLE}, "
            "or name a file with --new-passphrase-file"
        )
    word = _prompt("New passphrase: ")
    if _prompt("The new passphrase again: ") != word:
        raise WrongUsage("The two passphrases differ. Try again")
    return word


def _prompt(text: str) -> str:
    import getpass

    try:
        return getpass.getpass(text)
    except EOFError:
        raise WrongUsage("No passphrase was given") from None


def _one_line(word: str, where: str) -> str:
    try:
        return reading.one_line(word)
    except ValueError as e:
        raise WrongUsage(f"The passphrase in {where} cannot be used: {e}. Take the other lines out") from None


def _from_file(file: Path) -> str:
    try:
        raw = reading.file(file, MAX_PASSPHRASE_FILE)
        if len(raw) > MAX_PASSPHRASE_FILE:
            raise WrongUsage(f"The passphrase file {file} has more than {MAX_PASSPHRASE_FILE} bytes. It holds one line")
        return _one_line(raw.decode(), f"the file {file}")
    except UnicodeDecodeError:
        raise WrongUsage(f"The passphrase file {file} is not UTF-8 text. Save it as UTF-8") from None
    except OSError as e:
        raise WrongUsage(f"The passphrase file {file} cannot be read: {e.strerror}") from None


PassphraseFile = Annotated[
    Path | None, Parameter(help=f"File with the passphrase. Without it: ${PASSPHRASE_VARIABLE}, else a prompt.")
]
