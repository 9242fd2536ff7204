"""The settings of a node: one TOML file, every setting with a default, every value bounded, unknown names refused.

A setting comes from the environment (`LEARNINGCHAIN_WORK_ATTEMPTS`), else from `config.toml`, else from its default; `load` says
which. The descriptions here are what `learningchain config` shows and what stands as comments in the file.
Anybody in the package `client` may read a `Config`; only the command line writes the file.
"""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from chain.crypto import parse_address
from chain.storage import private
from chain.storage.errors import masked
from chain.types import parse_credits
from p2p.address_book import parse_endpoint, parse_seed

FILE: Final = "config.toml"
PREFIX: Final = "LEARNINGCHAIN_"
MAX_FILE: Final = 262_144

Text = Annotated[str, Meta(max_length=1_024)]


class ConfigError(Exception):
    """A setting that cannot be used. The text names it, says why and what would do."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: unknown names and values out of bounds are refused."""


class NetworkConfig(_Section, frozen=True, kw_only=True):
    listen: Annotated[str, Meta(description="Where other nodes reach this one: host:port, or [::]:port for IPv6.")] = (
        "127.0.0.1:7400"
    )
    advertise: Annotated[
        list[Text], Meta(max_length=8, description="Addresses told to other nodes; empty: the one listened on.")
    ] = []
    peers: Annotated[
        list[Text],
        Meta(max_length=64, description="Nodes to connect to first: host:port, or lc1...@host:port to insist on one identity."),
    ] = []


class ApiConfig(_Section, frozen=True, kw_only=True):
    listen: Annotated[
        str, Meta(description="Where the HTTP API listens. Keep it on loopback: its token is all that protects it.")
    ] = "127.0.0.1:7401"


class StorageConfig(_Section, frozen=True, kw_only=True):
    url: Annotated[str, Meta(max_length=1_024, description="Database (SQLAlchemy URL); empty: SQLite in the data folder.")] = ""
    quota_mb: Annotated[int, Meta(ge=64, le=2**30, description="Most disk space for files: images and models, in MiB.")] = 20_480


class SyncConfig(_Section, frozen=True, kw_only=True):
    mode: Annotated[
        Literal["certificates", "full", "snapshot"],
        Meta(
            description="Catching up: rest on blocks that more than two thirds of the validators signed (audit them later with "
            "learningchain audit); or execute every block with every signature checked; or, far behind, take the state of a "
            "recent block without the blocks before it."
        ),
    ] = "certificates"
    snapshot_after: Annotated[
        int, Meta(ge=1, le=2**40, description="Blocks behind, from which on mode snapshot takes the state instead of blocks.")
    ] = 10_000


class WorkConfig(_Section, frozen=True, kw_only=True):
    enabled: Annotated[bool, Meta(description="Run strangers' jobs in containers and claim their bounties.")] = False
    min_bounty: Annotated[str, Meta(max_length=32, description="Smallest bounty to work for, in credits.")] = "0"
    min_time_left_s: Annotated[int, Meta(ge=0, le=2_592_000, description="Start no job that expires sooner, in seconds.")] = 10
    max_run_s: Annotated[int, Meta(ge=1, le=2_592_000, description="Longest run to take on, in seconds.")] = 3_600
    max_image_mb: Annotated[int, Meta(ge=1, le=65_536, description="Largest image to take on, in MiB.")] = 4_096
    max_model_mb: Annotated[int, Meta(ge=1, le=65_536, description="Largest model to take on, in MiB.")] = 1_024
    max_mem_mb: Annotated[int, Meta(ge=16, le=4_194_304, description="Most memory that one run may ask for, in MiB.")] = 4_096
    max_hidden_mb: Annotated[int, Meta(ge=1, le=65_536, description="Largest hidden evaluation data to take on, in MiB.")] = 1_024
    allowed_contractors: Annotated[
        list[Text], Meta(max_length=1_024, description="Work only for these identities (lc1...); empty: for everybody.")
    ] = []
    denied_contractors: Annotated[list[Text], Meta(max_length=1_024, description="Never work for these identities (lc1...).")] = []
    check_record: Annotated[
        bool, Meta(description="Avoid contractors that were refunded after models were shown more often than they paid.")
    ] = True
    concurrent: Annotated[int, Meta(ge=1, le=64, description="Runs at the same time.")] = 1
    attempts: Annotated[int, Meta(ge=1, le=1_000, description="Attempts at one job, each with another seed.")] = 3
    verify: Annotated[
        bool,
        Meta(description="Evaluate others' models for a fee when drawn. Off: abstain; who does that often is drawn no more."),
    ] = True
    reveal: Annotated[
        Literal["always", "must"],
        Meta(description="Show models after a job's expiry: always, or only where silence would cost the stake."),
    ] = "always"
    serve_won_days: Annotated[int, Meta(ge=1, le=3_650, description="Days for which a model that won stays available.")] = 30
    judge: Annotated[
        Literal["own-measurement", "never"],
        Meta(description="As a validator, confirm a ban when this node measured the falsehood itself, or never by itself."),
    ] = "own-measurement"

    @property
    def min_bounty_micro(self) -> int:
        """`min_bounty` in micro-credits."""
        return parse_credits(self.min_bounty)


class SandboxConfig(_Section, frozen=True, kw_only=True):
    backend: Annotated[
        str,
        Meta(
            pattern="^[a-z0-9][a-z0-9_-]{0,63}$",
            description="What runs containers: docker, or a backend that another distribution brought (learningchain.sandbox).",
        ),
    ] = "docker"
    engine: Annotated[str, Meta(max_length=1_024, description="Docker Engine; empty: DOCKER_HOST, else the local socket.")] = ""
    runtime: Annotated[str, Meta(min_length=1, max_length=64, description="Container runtime: runc, or runsc for gVisor.")] = "runc"
    cache_dir: Annotated[str, Meta(max_length=4_096, description="Folder for image archives; empty: in the data folder.")] = ""
    disk_from_mb: Annotated[int, Meta(ge=1, le=1 << 20, description="Inputs from this size on lie on the engine's disk.")] = 64


class LogConfig(_Section, frozen=True, kw_only=True):
    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least important messages to log.")] = "info"
    format: Annotated[Literal["console", "json"], Meta(description="Lines for people, or JSON lines for a log collector.")] = (
        "console"
    )


class Config(_Section, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=64, description="What this node is called in its own displays.")] = "node"
    network: NetworkConfig = NetworkConfig()
    api: ApiConfig = ApiConfig()
    storage: StorageConfig = StorageConfig()
    sync: SyncConfig = SyncConfig()
    work: WorkConfig = WorkConfig()
    sandbox: SandboxConfig = SandboxConfig()
    log: LogConfig = LogConfig()


@dataclass(frozen=True)
class Setting:
    """One setting as people see it: dotted name, type, default, description."""

    name: str
    kind: Any
    default: Any
    description: str

    @property
    def variable(self) -> str:
        return PREFIX + self.name.replace(".", "_").upper()


@dataclass(frozen=True)
class Loaded:
    """The effective settings, and for each dotted name where it came from: "default", "file" or "environment"."""

    config: Config
    sources: dict[str, str]


# --- what settings there are ---------------------------------------------------------------------------------------------------

SECTIONS: Final[dict[str, type[_Section]]] = {
    "network": NetworkConfig,
    "api": ApiConfig,
    "storage": StorageConfig,
    "sync": SyncConfig,
    "work": WorkConfig,
    "sandbox": SandboxConfig,
    "log": LogConfig,
}


def _settings_of(kind: type[_Section], prefix: str) -> Iterator[Setting]:
    for field in msgspec.structs.fields(kind):
        if field.name in SECTIONS:
            continue
        default = field.default if field.default is not msgspec.NODEFAULT else []  # msgspec copies the empty list for each instance
        meta = next(a for a in get_args(field.type)[1:] if isinstance(a, Meta))
        yield Setting(prefix + field.name, field.type, default, meta.description or "")


_KINDS: Final[list[tuple[type[_Section], str]]] = [(Config, ""), *((kind, f"{name}.") for name, kind in SECTIONS.items())]
SETTINGS: Final[dict[str, Setting]] = {s.name: s for kind, prefix in _KINDS for s in _settings_of(kind, prefix)}


def value_of(config: Config, name: str) -> Any:
    """The value behind a dotted name."""
    section, _, key = name.rpartition(".")
    return getattr(getattr(config, section) if section else config, key)


def display(name: str, value: Any) -> Any:
    """A setting's value, or what was given for it, as it may be shown: a password in the database URL is masked."""
    return masked(value) if name == "storage.url" and isinstance(value, str) else value


def shown(config: Config) -> dict[str, Any]:
    """Every setting by dotted name, for displays and the API."""
    return {name: display(name, value_of(config, name)) for name in SETTINGS}


def suggest(word: str, known: list[str]) -> str:
    """`; did you mean "x"?` or nothing."""
    close = difflib.get_close_matches(word, known, 1, 0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


def _unknown(name: str, where: str) -> ConfigError:
    return ConfigError(f'{where}: there is no setting "{name}"{suggest(name, list(SETTINGS)) or ". Run: learningchain config"}')


# --- checks beyond types -------------------------------------------------------------------------------------------------------


def _listens_on(text: str) -> None:
    host, _ = parse_endpoint(text)
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return
    if host != "localhost":
        raise ValueError(f"{host} is no IP address; to listen everywhere use 0.0.0.0 or [::]")


def _each(check: Callable[[str], Any]) -> Callable[[list[str]], None]:
    def check_all(values: list[str]) -> None:
        for value in values:
            check(value)

    return check_all


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "network.listen": _listens_on,
    "network.advertise": _each(parse_endpoint),
    "network.peers": _each(parse_seed),
    "api.listen": _listens_on,
    "work.min_bounty": parse_credits,
    "work.allowed_contractors": _each(parse_address),
    "work.denied_contractors": _each(parse_address),
}


def _checked(name: str, raw: Any, where: str, *, strict: bool) -> Any:
    """The value of one setting, converted and within its bounds. Raises `ConfigError`."""
    try:
        value = msgspec.convert(raw, SETTINGS[name].kind, strict=strict)
        if name in _CHECKS:
            _CHECKS[name](value)
    except ValueError as e:  # msgspec.ValidationError is one
        raise ConfigError(
            f"{where}: {name} = {_show(display(name, raw))} cannot be used: {_problem(name, e)}. {SETTINGS[name].description}"
        ) from None
    return value


def _problem(name: str, e: ValueError) -> str:
    """What would do, where the library only says what does not."""
    kind = get_args(SETTINGS[name].kind)[0]
    if get_origin(kind) is Literal:
        return "it is one of " + ", ".join(get_args(kind))
    if kind is bool:
        return "it is true or false"
    return str(e)


def _show(raw: Any) -> str:
    try:
        text = repr(raw)
    except ValueError:  # a hexadecimal number has any length, its decimal text has not
        return "(a number of thousands of digits)"
    return text if len(text) <= 80 else text[:77] + "..."


# --- reading -------------------------------------------------------------------------------------------------------------------


def load(data: Path, environ: Mapping[str, str] | None = None) -> Loaded:
    """The effective settings of the node in folder `data`. Raises `ConfigError`. A missing file means defaults."""
    path = data / FILE
    text = _read(path)
    found = {} if text is None else parse(text, str(path))
    sources = dict.fromkeys(SETTINGS, "default") | dict.fromkeys(found, "file")
    from_environment = _environment(os.environ if environ is None else environ)
    found |= from_environment
    return Loaded(_build(found), sources | dict.fromkeys(from_environment, "environment"))


def _read(path: Path) -> str | None:
    try:
        with private.reading(path) as f:
            raw = f.read(MAX_FILE + 1)
        if len(raw) > MAX_FILE:
            raise ConfigError(f"{path} has more than {MAX_FILE} bytes: that is no configuration")
        return raw.decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text. Save it as UTF-8") from None
    except OSError as e:
        raise ConfigError(f"{path} cannot be read: {e.strerror}. Check its owner and mode") from e


def parse(text: str, where: str) -> dict[str, Any]:
    """Settings by dotted name, checked. Raises `ConfigError` naming the line or the setting."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as e:  # tomllib lets int's refusal of 4,300 digits through as it is
        raise ConfigError(f"{where} is not TOML: {e}. Text values need quotes; run learningchain config for an overview") from None
    found: dict[str, Any] = {}
    for key, value in document.items():
        if key in SECTIONS:
            if not isinstance(value, dict):
                raise ConfigError(f"{where}: {key} is a section: write [{key}] and its settings below it")
            found |= {f"{key}.{inner}": v for inner, v in value.items()}
        else:
            found[key] = value
    for name, value in found.items():
        if name not in SETTINGS:
            raise _unknown(name, where)
        found[name] = _checked(name, value, where, strict=True)
    return found


def _environment(environ: Mapping[str, str]) -> dict[str, Any]:
    variables = {s.variable: s.name for s in SETTINGS.values()}
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        section = variable.removeprefix(PREFIX).partition("_")[0].lower()
        if variable in variables:
            found[variables[variable]] = parse_value(variables[variable], text, f"environment variable {variable}")
        elif variable.startswith(PREFIX) and section in SECTIONS and variable != PREFIX + section.upper():
            close = suggest(variable, list(variables))
            raise ConfigError(f"environment variable {variable}: there is no such setting{close or '. Unset it'}")
    return found


def parse_value(name: str, text: str, where: str) -> Any:
    """A setting's value from text: lists separated by commas, true or false. Raises `ConfigError`."""
    setting = SETTINGS.get(name)
    if setting is None:
        raise _unknown(name, where)
    raw: Any = text
    if isinstance(setting.default, list):
        raw = [part.strip() for part in text.split(",") if part.strip()]
    elif isinstance(setting.default, bool):
        raw = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(text.lower(), text.lower())
    return _checked(name, raw, where, strict=False)


def _build(found: Mapping[str, Any]) -> Config:
    sections = {
        name: kind(**{k.partition(".")[2]: v for k, v in found.items() if k.startswith(f"{name}.")})
        for name, kind in SECTIONS.items()
    }
    return Config(**{k: v for k, v in found.items() if "." not in k}, **sections)  # type: ignore[arg-type]


# --- writing -------------------------------------------------------------------------------------------------------------------

_HEAD = """\
# Settings of a LearningChain node. A line that starts with # shows a default: remove the # to change it.
# Each setting can also come from the environment, for example LEARNINGCHAIN_WORK_ATTEMPTS=5.
"""
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def toml_value(value: Any) -> str:
    """A setting's value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        body = "".join(_ESCAPES.get(c, c if c.isprintable() else f"\\U{ord(c):08X}") for c in value)
        return f'"{body}"'
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    return str(value)


def render(values: Mapping[str, Any]) -> str:
    """The file with every setting commented; those not in `values` stand as comments with their defaults."""
    lines, section = [_HEAD], ""
    for setting in SETTINGS.values():
        own, _, key = setting.name.rpartition(".")
        if own != section:
            lines += [f"\n[{own}]"]
            section = own
        mark = "" if setting.name in values else "# "
        lines += [f"# {setting.description}", f"{mark}{key} = {toml_value(values.get(setting.name, setting.default))}"]
    return "\n".join(lines) + "\n"


def change(data: Path, changes: Mapping[str, Any]) -> None:
    """Write settings into the file, which keeps its own comments where that is possible. Raises `ConfigError`."""
    path = data / FILE
    text = _read(path)
    values = {} if text is None else parse(text, str(path))
    wanted = values | {k: _checked(k, v, "new value", strict=True) for k, v in changes.items()}
    edited = text
    for name, value in changes.items():
        edited = None if edited is None else _edit(edited, name, value)
    # An edit of lines cannot know every form of TOML: it counts only where it reads back as what was wanted.
    if edited is None or not _reads_as(edited, wanted):
        edited = render(wanted)
    write(path, edited)


def _reads_as(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return parse(text, "") == wanted
    except ConfigError:
        return False


def _edit(text: str, name: str, value: Any) -> str:
    """The text with the line of one setting replaced, or the setting added to its section."""
    own, _, key = name.rpartition(".")
    lines, section, at = text.splitlines(), "", None
    for number, line in enumerate(lines):
        if head := re.fullmatch(r"\s*\[([a-z_]+)\]\s*(#.*)?", line):
            section = head[1]
        if section == own:
            at = number + 1 if at is None else at
            if re.match(rf"\s*(#\s*)?{key}\s*=", line):
                return "\n".join([*lines[:number], f"{key} = {toml_value(value)}", *lines[number + 1 :]]) + "\n"
    lines.insert(0 if at is None else at, f"{key} = {toml_value(value)}")
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Replace the file as a whole, mode 0600: a database URL may hold a password. Raises `ConfigError`."""
    try:
        fd, temporary = tempfile.mkstemp(prefix=".config-", dir=path.parent)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as f:
                f.write(text)
                f.flush()
                os.fsync(f.fileno())
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as e:
        raise ConfigError(f"{path} cannot be written: {e.strerror}. Check the folder, its owner and the free space") from e
