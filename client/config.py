"""The settings of a node: one TOML file, every setting with a default, every value bounded, unknown names refused.

A setting comes from the environment (`LEARNINGCHAIN_WORK_ATTEMPTS`), else from `config.toml`, else from its default; `load` says
which. The descriptions here are what `learningchain config` shows and what stands as comments in the file.
Anybody in the package `client` may read a `Config`; the command line writes the file, and what the owner changes over HTTP
(`client.config_change`).
"""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import os
import re
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from learningchain.chain.host.terms import DeviceKind
from learningchain.chain.storage import private
from learningchain.chain.types import parse_checkpoint, parse_credits
from learningchain.client import contracts, reading
from learningchain.client.addresses import AllowedAddresses, CallbackUrl, UrlRefused, parse_networks
from learningchain.p2p.address_book import parse_endpoint, parse_seed

FILE: Final = reading.SETTINGS
PREFIX: Final = "LEARNINGCHAIN_"
MAX_FILE: Final = reading.MAX_SETTINGS
LOCK_S: Final = 10.0
"""A change takes milliseconds."""

Text = Annotated[str, Meta(max_length=1_024)]
_SLURM_WORD: Final = "^[A-Za-z0-9_.,@+-]{0,128}$"


class ConfigError(Exception):
    """A setting that cannot be used. The text names it, says why and what would do."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: unknown names and values out of bounds are refused."""


_SLICES: Final = contracts.parts("settings")


def _sections_of(part: Any) -> dict[str, type[msgspec.Struct]]:
    """What a contract's slice has in each section."""
    return ({"work": part.WORK} if hasattr(part, "WORK") else {}) | dict(getattr(part, "SECTIONS", {}))


def _section(name: str, type_name: str, base: type[_Section], *others: tuple[str, Any, Any]) -> Any:
    """A section: what is common, then what each contract has in it. Raises ValueError where two have one name."""
    fields = {field[0]: field for field in others}
    known = {*base.__struct_fields__, *fields}
    for slice_, part in _SLICES.items():
        own = _sections_of(part).get(name)
        for field in () if own is None else msgspec.structs.fields(own):
            if field.name in known:
                raise ValueError(f"the settings of {slice_} have {name}.{field.name}, which is there already")
            known.add(field.name)
            default = msgspec.field(default_factory=list) if field.default_factory is list else field.default
            fields[field.name] = (field.name, field.type, default)
    return msgspec.defstruct(type_name, fields.values(), bases=(base,), module=__name__, frozen=True, kw_only=True)


class NetworkConfig(_Section, frozen=True, kw_only=True):
    listen: Annotated[
        str, Meta(max_length=1_024, description="Where other nodes reach this one: host:port, or [::]:port for IPv6.")
    ] = "127.0.0.1:7400"
    advertise: Annotated[
        list[Text], Meta(max_length=8, description="Addresses told to other nodes; empty: the one listened on.")
    ] = []
    peers: Annotated[
        list[Text],
        Meta(max_length=64, description="Nodes to connect to first: host:port, or lc1...@host:port to insist on one identity."),
    ] = []
    mdns: Annotated[
        bool,
        Meta(
            description="Find members on the local network without knowing one, by multicast DNS. It tells everybody there this "
            "node's identity, network and port."
        ),
    ] = False
    bulk: Annotated[
        bool,
        Meta(
            description="Whether large files go by data connections, in a process beside the node, where both have that on and "
            "one reaches the other; else they go by messages, at most 20 MB a second."
        ),
    ] = True
    bulk_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65_535,
            description="Port of data connections, on the address of network.listen; 0: the system chooses one, which a firewall "
            "mostly keeps closed.",
        ),
    ] = 0
    bulk_mb_s: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="Most megabytes that this node sends by data connections in a second, and most that it takes; 0: no bound, "
            "but 100 for a validator, whose votes wait for the same disk.",
        ),
    ] = 0
    peer_gb_a_day: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Most gigabytes of files that this node sends one peer in a day; 0: no bound.")
    ] = 200


class ApiConfig(_Section, frozen=True, kw_only=True):
    listen: Annotated[
        str,
        Meta(max_length=1_024, description="Where the HTTP API listens. Keep it on loopback: its token is all that protects it."),
    ] = reading.API_LISTEN
    dashboard: Annotated[bool, Meta(description="Whether this node has a dashboard for browsers (learningchain dashboard).")] = True


class StorageConfig(_Section, frozen=True, kw_only=True):
    url: Annotated[str, Meta(max_length=1_024, description="Database (SQLAlchemy URL); empty: SQLite in the data folder.")] = ""
    keep_blocks: Annotated[
        str,
        Meta(
            max_length=16,
            description="Old blocks: all (an archive node), or how many are kept, or for how many days (30d). Never fewer than "
            "double signings, receipts and results of jobs need.",
        ),
    ] = "all"
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
    trusted: Annotated[
        str,
        Meta(
            max_length=80,
            description="A block (HEIGHT-ID, as another member's learningchain status shows it) that this node takes for the "
            "network's: no history without it is believed, whoever signed it. Empty: the genesis alone. An invitation sets it.",
        ),
    ] = ""
    snapshot_after: Annotated[
        int, Meta(ge=1, le=2**40, description="Blocks behind, from which on mode snapshot takes the state instead of blocks.")
    ] = 10_000


class ServeBase(_Section, frozen=True, kw_only=True):
    """How this node answers for models that it serves. A contract may have settings of its own in the same section."""

    slots: Annotated[
        int, Meta(ge=1, le=16, description="Requests to served models that are answered at a time, beside all other runs.")
    ] = 4
    mem_mb: Annotated[
        int,
        Meta(
            ge=64,
            le=4_194_304,
            description="Memory for containers of served models, in MiB; no training starts that would need it.",
        ),
    ] = 2_048
    warm: Annotated[int, Meta(ge=0, le=16, description="Containers of each served model that wait for a request.")] = 2
    warm_idle_s: Annotated[
        int, Meta(ge=10, le=86_400, description="Seconds without a request after which none of a model waits any more.")
    ] = 600


if TYPE_CHECKING:
    # What a type checker knows of the settings that are found when the program runs.
    from learningchain.client.contracts.prediction.settings import PredictionServing

    class ServeConfig(ServeBase, PredictionServing, frozen=True, kw_only=True): ...

else:
    ServeConfig = _section("serve", "ServeConfig", ServeBase)


LONGEST_RUN_S: Final = 172_800
"""Two days: who asks for more of a worker needs its owner's word."""


class WorkBase(_Section, frozen=True, kw_only=True):
    """What every contract's work goes by. A contract has settings of its own in the same section (`settings.WORK` of its slice)."""

    enabled: Annotated[bool, Meta(description="Run strangers' work in containers, and earn by it.")] = False
    max_run_s: Annotated[
        int,
        Meta(ge=1, le=2_592_000, description="Longest training to take on, in seconds; jobs that ask for more are left alone."),
    ] = LONGEST_RUN_S
    max_eval_s: Annotated[
        int, Meta(ge=1, le=86_400, description="Longest evaluation to take on, in seconds; verifiers declare it.")
    ] = 600
    max_cpus: Annotated[
        int, Meta(ge=0, le=1_024, description="Most processors that one run may ask for; 0: as many as the engine's machine has.")
    ] = 0
    max_image_mb: Annotated[int, Meta(ge=1, le=65_536, description="Largest image to take on, in MiB.")] = 4_096
    max_model_mb: Annotated[int, Meta(ge=1, le=65_536, description="Largest model to take on, in MiB.")] = 1_024
    max_mem_mb: Annotated[int, Meta(ge=16, le=4_194_304, description="Most memory that one run may ask for, in MiB.")] = 4_096
    concurrent: Annotated[int, Meta(ge=1, le=64, description="Runs at the same time.")] = 1
    gpus: Annotated[
        list[Text],
        Meta(
            max_length=64,
            description="GPUs that trainings of strangers' jobs may be given: for each its CDI name, cuda or rocm, and its memory "
            "in MiB, such as nvidia.com/gpu=0 cuda 24000 (docs/gpus.md).",
        ),
    ] = []
    verify: Annotated[
        bool,
        Meta(description="Evaluate others' models for a fee when drawn. Off: abstain; who does that often is drawn no more."),
    ] = True
    serve: ServeConfig = ServeConfig()
    """The section [serve], by which a node's work goes, too. `work_settings` puts it here, as it does contracts' own sections."""


_COMMON: Final = ("work", "serve")
"""Sections that contracts add to; another one that a contract names is its own."""
OWN_SECTIONS: Final[dict[str, Any]] = {
    name: _section(name, f"{name.title()}Config", _Section)
    for part in _SLICES.values()
    for name in _sections_of(part)
    if name not in _COMMON
}


if TYPE_CHECKING:
    from learningchain.client.contracts.federation.settings import FederationSettings
    from learningchain.client.contracts.job.settings import JobWork

    class WorkConfig(WorkBase, JobWork, frozen=True, kw_only=True):
        federation: FederationSettings = FederationSettings()

else:
    WorkConfig = _section("work", "WorkConfig", WorkBase, *((name, kind, kind()) for name, kind in OWN_SECTIONS.items()))


class SandboxConfig(_Section, frozen=True, kw_only=True):
    backend: Annotated[
        str,
        Meta(
            pattern="^[a-z0-9][a-z0-9_-]{0,63}$",
            description="What runs containers: docker, oci (without Docker), or what another distribution brought.",
        ),
    ] = "docker"
    engine: Annotated[
        str,
        Meta(max_length=1_024, description="Docker Engine; empty: DOCKER_HOST, else docker's context. With oci: where crun is."),
    ] = ""
    runtime: Annotated[str, Meta(min_length=1, max_length=64, description="Container runtime: runc, or runsc for gVisor.")] = "runc"
    cache_dir: Annotated[str, Meta(max_length=4_096, description="Folder for image archives; empty: in the data folder.")] = ""
    disk_from_mb: Annotated[int, Meta(ge=1, le=1 << 20, description="Inputs from this size on lie on the engine's disk.")] = 64
    data_mb: Annotated[
        int, Meta(ge=1, le=1 << 20, description="Most disk space of the engine for your own data (learningchain data), in MiB.")
    ] = 65_536
    images_mb: Annotated[
        int,
        Meta(
            ge=64,
            le=1 << 24,
            description="Most disk space of the engine for images, unpacked, in MiB: those used least recently make room.",
        ),
    ] = 65_536


class ClusterConfig(_Section, frozen=True, kw_only=True):
    kind: Annotated[
        Literal["none", "static", "slurm"],
        Meta(
            description="Other machines of yours that train for this node: none; static: those that joined it (learningchain "
            "machine add); slurm: those, and machines of a Slurm cluster, one job of it for each training."
        ),
    ] = "none"
    listen: Annotated[
        str,
        Meta(max_length=1_024, description="Where those machines reach this node: host:port, or [::]:port for IPv6."),
    ] = "127.0.0.1:7403"
    trusted: Annotated[
        list[Text],
        Meta(
            max_length=64,
            description="Names of machines that joined and whose word counts as this node's own: they evaluate models, on hidden "
            "data too, and what they measure is what this node claims and votes.",
        ),
    ] = []


class SlurmConfig(_Section, frozen=True, kw_only=True):
    """Read where `cluster.kind` is slurm."""

    partition: Annotated[
        str, Meta(pattern=_SLURM_WORD, description="Partition of the jobs (sbatch --partition); empty: Slurm's default.")
    ] = ""
    account: Annotated[
        str, Meta(pattern=_SLURM_WORD, description="Account of the jobs (sbatch --account); empty: Slurm's default.")
    ] = ""
    qos: Annotated[
        str, Meta(pattern=_SLURM_WORD, description="Quality of service of the jobs (sbatch --qos); empty: Slurm's default.")
    ] = ""
    constraint: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9_.&|*()\[\],-]{0,256}$", description="Features that a machine must have (sbatch --constraint)."),
    ] = ""
    queue_max_s: Annotated[
        int,
        Meta(
            ge=10,
            le=604_800,
            description="A training waits at most so long for a job to begin; else the node's own engine takes it.",
        ),
    ] = 600
    address: Annotated[
        str,
        Meta(
            max_length=1_024, description="Where the cluster's machines reach this node: host:port; empty: as cluster.listen says."
        ),
    ] = ""
    spool: Annotated[
        str,
        Meta(
            max_length=4_096, description="Folder that the cluster's machines see under the same name; empty: in the data folder."
        ),
    ] = ""
    command: Annotated[
        list[Text],
        Meta(max_length=32, description="What starts learningchain on a machine of the cluster, word by word; empty: as here."),
    ] = []


class CallbackConfig(_Section, frozen=True, kw_only=True):
    allow: Annotated[
        list[Text],
        Meta(
            max_length=64,
            description="Where callbacks may go besides the public internet: loopback, private, or addresses and networks such as "
            "10.1.0.0/16. Only there http will do; else it is https.",
        ),
    ] = []


class NotifyConfig(_Section, frozen=True, kw_only=True):
    url: Annotated[
        str,
        Meta(
            max_length=2_048,
            description="Where this node posts what its operator should know, signed as callbacks are (by notify.secret of the "
            "data folder); empty: nowhere. callback.allow holds for it, too.",
        ),
    ] = ""
    command: Annotated[
        list[Text],
        Meta(
            max_length=32,
            description="Program and words that are run for each notification, without a shell, with the notification as JSON on "
            "standard input; empty: none.",
        ),
    ] = []
    kinds: Annotated[
        list[Text], Meta(max_length=5, description="What is told: cases, votes, invitations, payments, notices; empty: all of it.")
    ] = []
    least: Annotated[
        str, Meta(max_length=32, description="Credits from which on a payment is told: dust costs its sender next to nothing.")
    ] = "0.01"


class LogConfig(_Section, frozen=True, kw_only=True):
    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least important messages to log.")] = "info"
    format: Annotated[Literal["console", "json"], Meta(description="Lines for people, or JSON lines for a log collector.")] = (
        "console"
    )


class ConfigBase(_Section, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=64, description="What this node is called in its own displays.")] = "node"
    network: NetworkConfig = NetworkConfig()
    api: ApiConfig = ApiConfig()
    storage: StorageConfig = StorageConfig()
    sync: SyncConfig = SyncConfig()
    work: WorkConfig = WorkConfig()
    serve: ServeConfig = ServeConfig()
    sandbox: SandboxConfig = SandboxConfig()
    cluster: ClusterConfig = ClusterConfig()
    slurm: SlurmConfig = SlurmConfig()
    callback: CallbackConfig = CallbackConfig()
    notify: NotifyConfig = NotifyConfig()
    log: LogConfig = LogConfig()


if TYPE_CHECKING:

    class Config(ConfigBase, frozen=True, kw_only=True): ...

else:
    Config = msgspec.defstruct(
        "Config",
        [(name, kind, kind()) for name, kind in OWN_SECTIONS.items()],
        bases=(ConfigBase,),
        module=__name__,
        frozen=True,
        kw_only=True,
    )


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
    "serve": ServeConfig,
    **OWN_SECTIONS,
    "sandbox": SandboxConfig,
    "cluster": ClusterConfig,
    "slurm": SlurmConfig,
    "callback": CallbackConfig,
    "notify": NotifyConfig,
    "log": LogConfig,
}


def _settings_of(kind: type[_Section], prefix: str) -> Iterator[Setting]:
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, _Section):
            continue
        default = field.default if field.default is not msgspec.NODEFAULT else []  # msgspec copies the empty list for each instance
        meta = next(a for a in get_args(field.type)[1:] if isinstance(a, Meta))
        yield Setting(prefix + field.name, field.type, default, meta.description or "")


_KINDS: Final[list[tuple[type[_Section], str]]] = [(Config, ""), *((kind, f"{name}.") for name, kind in SECTIONS.items())]
SETTINGS: Final[dict[str, Setting]] = {s.name: s for kind, prefix in _KINDS for s in _settings_of(kind, prefix)}


def own_sections(config: Config) -> dict[str, Any]:
    """The sections that are a contract's own, by name."""
    return {name: getattr(config, name) for name in OWN_SECTIONS}


def value_of(config: Config, name: str) -> Any:
    """The value behind a dotted name."""
    section, _, key = name.rpartition(".")
    return getattr(getattr(config, section) if section else config, key)


def display(name: str, value: Any) -> Any:
    """A setting's value, or what was given for it, as it may be shown: a password in the database URL is masked, and so is what
    follows the host of a webhook or the name of a command, which often is one."""
    if name in ("notify.url", "storage.url") and not isinstance(value, str):
        return "***"
    if name == "notify.url":
        scheme, _, rest = value.partition("://")
        host, sign, _ = re.split("([/?#]|$)", rest, maxsplit=1)
        return value and (f"{scheme}://{host}{sign and sign + '***'}" if host and "@" not in rest else "***")
    if name == "notify.command":
        words = value if isinstance(value, list) else str(value).split(maxsplit=1)
        return [*words[:1], *("***" for _ in words[1:])]
    if name == "storage.url" and "://" in value:
        from learningchain.chain.storage import database_url  # takes part of a second, which most nodes need not spend

        return database_url.masked(value)
    return value


def shown(config: Config) -> dict[str, Any]:
    """Every setting by dotted name, for displays and the API."""
    return {name: display(name, value_of(config, name)) for name in SETTINGS}


def meanings() -> dict[str, str]:
    """What each setting is for, by dotted name."""
    return {name: setting.description for name, setting in SETTINGS.items()}


def suggest(word: str, known: list[str]) -> str:
    """`; did you mean "x"?` or nothing."""
    close = difflib.get_close_matches(word, known, 1, 0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


RENAMED: Final[dict[str, str]] = {
    "work.serve_slots": "serve.slots",
    "work.serve_mem_mb": "serve.mem_mb",
    "work.warm": "serve.warm",
    "work.warm_idle_s": "serve.warm_idle_s",
    **{old: new for part in _SLICES.values() for old, new in getattr(part, "RENAMED", {}).items()},
}
"""Names that settings had, and what they are called now."""


def _unknown(name: str, where: str) -> ConfigError:
    if (now := RENAMED.get(name)) is not None:
        section, _, key = now.rpartition(".")
        return ConfigError(f"{where}: {name} is called {now} now: write {key} in the section [{section}], and take {name} out")
    return ConfigError(f'{where}: there is no setting "{name}"{suggest(name, list(SETTINGS)) or ". Run: learningchain config"}')


# --- checks beyond types -------------------------------------------------------------------------------------------------------


def _listens_on(text: str) -> None:
    host, _ = parse_endpoint(text)
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return
    if host != "localhost":
        raise ValueError(f"{host} is no IP address; to listen everywhere use 0.0.0.0 or [::]")


ALL: Final = "all"
LEAST_KEPT: Final = 100
MOST_DAYS: Final = 36_500
DAY_MS: Final = 24 * 3_600_000
_KEPT = re.compile(r"([1-9][0-9]{0,12})(d?)", re.ASCII)


def parse_keep(text: str) -> tuple[int, int] | None:
    """What `storage.keep_blocks` says, as (blocks, milliseconds); None: all. Raises ValueError."""
    if text == ALL:
        return None
    found = _KEPT.fullmatch(text)
    if found is None or (found[2] and int(found[1]) > MOST_DAYS) or (not found[2] and int(found[1]) < LEAST_KEPT):
        raise ValueError(f"it is all, or a number of blocks from {LEAST_KEPT} on, or of days up to {MOST_DAYS}, such as 30d")
    return (0, int(found[1]) * DAY_MS) if found[2] else (int(found[1]), 0)


def _each(check: Callable[[str], Any]) -> Callable[[list[str]], None]:
    def check_all(values: list[str]) -> None:
        for value in values:
            check(value)

    return check_all


def _is_url(text: str) -> None:
    """Whether it may be called, callback.allow says when it is."""
    try:
        if text:
            CallbackUrl.parse(text, AllowedAddresses.of(["0.0.0.0/0", "::/0"]))
    except UrlRefused as fault:
        raise ValueError(str(fault)) from None


def _is_database(text: str) -> None:
    if "://" in text:
        from learningchain.chain.storage import database_url

        try:
            database_url.parse(text)
        except ValueError as fault:
            raise ValueError(f"{fault}. {database_url.FORM}") from None


NOTIFY_KINDS: Final = ("cases", "votes", "invitations", "payments", "notices")


def _is_kind(text: str) -> None:
    if text not in NOTIFY_KINDS:
        raise ValueError(f"it is some of {', '.join(NOTIFY_KINDS)}")


class OfferedGpu(msgspec.Struct, frozen=True):
    """A GPU that this node's owner offers: its name in the Container Device Interface, its kind, and its memory in MiB."""

    device: str
    kind: DeviceKind
    mem_mb: int


def parse_gpu(text: str) -> OfferedGpu:
    """One entry of `work.gpus`. Raises ValueError."""
    from learningchain.sandbox.spec import is_device  # few nodes offer any, and every command reads the settings

    words = text.split()
    device, kind, mem_mb = words if len(words) == 3 else ("", "", "")
    if not is_device(device) or kind.upper() not in DeviceKind.__members__ or re.fullmatch(r"[1-9][0-9]{0,6}", mem_mb) is None:
        raise ValueError(f"{text[:80]!r} is not VENDOR/CLASS=NAME, cuda or rocm, and MiB of memory: nvidia.com/gpu=0 cuda 24000")
    return OfferedGpu(device, DeviceKind[kind.upper()], int(mem_mb))


def _is_machine(text: str) -> None:
    if re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", text) is None:
        raise ValueError(f"{text[:40]!r} is no name of a machine (learningchain machines lists them)")


def parse_gpus(texts: list[str]) -> list[OfferedGpu]:
    """What `work.gpus` says. Raises ValueError."""
    found = [parse_gpu(text) for text in texts]
    if len({gpu.device for gpu in found}) < len(found):
        raise ValueError("a GPU is offered once")
    return found


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "network.listen": _listens_on,
    "network.advertise": _each(parse_endpoint),
    "network.peers": _each(parse_seed),
    "api.listen": _listens_on,
    "storage.url": _is_database,
    "cluster.listen": _listens_on,
    "cluster.trusted": _each(_is_machine),
    "slurm.address": lambda text: text and parse_endpoint(text),
    "storage.keep_blocks": parse_keep,
    "sync.trusted": parse_checkpoint,
    "work.gpus": parse_gpus,
    "callback.allow": _each(parse_networks),
    "notify.url": _is_url,
    "notify.kinds": _each(_is_kind),
    "notify.least": parse_credits,
    **{name if "." in name else f"work.{name}": check for part in _SLICES.values() for name, check in part.CHECKS.items()},
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
    kind, *said = get_args(SETTINGS[name].kind)
    if get_origin(kind) is Literal:
        return "it is one of " + ", ".join(get_args(kind))
    if kind is bool:
        return "it is true or false"
    meta = next(one for one in said if isinstance(one, Meta))
    if kind is int and isinstance(e, msgspec.ValidationError):
        return f"it is a whole number from {meta.ge} to {meta.le}"
    return str(e) if not isinstance(e, msgspec.ValidationError) else _of_text(kind, meta)


def _of_text(kind: Any, meta: Meta) -> str:
    """What a text, or a list of texts, may be."""
    if kind is not str:
        (one,) = get_args(kind)
        of_one = next(said for said in get_args(one) if isinstance(said, Meta))
        return f"it is a list of at most {meta.max_length} texts, of at most {of_one.max_length:,} characters each"
    if meta.pattern:
        return "it begins with a letter or a digit; a-z, 0-9, _ and - may follow, 64 characters in all"
    least = f"{meta.min_length} to" if meta.min_length else "at most"
    return f"it is a text of {least} {meta.max_length:,} characters"


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
        raw = reading.file(path, MAX_FILE, own=True)
        if len(raw) > MAX_FILE:
            raise ConfigError(f"{path} has more than {MAX_FILE} bytes: that is no configuration")
        return raw.decode().replace("\r\n", "\n").replace("\r", "\n")  # some editors end lines with \r alone, which is no TOML
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
        quotes = (
            'an editor made “ ” of them: write "' if re.search("[“”„«»‘’]", text) else "run learningchain config for an overview"
        )
        raise ConfigError(f"{where} is not TOML: {e}. Text values need quotes; {quotes}") from None
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
        if not text:  # set and empty, as shells and compose files leave what they have no value for, is not set
            continue
        section = variable.removeprefix(PREFIX).partition("_")[0].lower()
        if variable in variables:
            found[variables[variable]] = parse_value(variables[variable], text, f"environment variable {variable}")
        elif variable.startswith(PREFIX) and section in SECTIONS and variable != PREFIX + section.upper():
            old = next((name for name in RENAMED if variable == PREFIX + name.replace(".", "_").upper()), None)
            if old is not None:
                now = SETTINGS[RENAMED[old]]
                raise ConfigError(f"environment variable {variable}: {old} is called {now.name} now. Set {now.variable} instead")
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
    """Write settings into the file, which keeps its own comments where that is possible. Raises `ConfigError`.

    Blocks while another process changes it (a command, or the node for its owner): each change stands on all that were before it.
    """
    with _alone(data):
        _change(data / FILE, changes)


@contextlib.contextmanager
def _alone(data: Path) -> Iterator[None]:
    """One writer at a time. The lock is on the folder, for the file is replaced; it ends with the process that has it."""
    import fcntl  # Windows, where programs read settings and nobody writes any, has none

    try:
        folder = private.open_folder(data)
    except OSError as e:
        raise ConfigError(
            f"{data} cannot be opened: {e.strerror}. Name the node's data folder, and let this user write there"
        ) from e
    try:
        end = time.monotonic() + LOCK_S
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    why = f"another process has been writing it for {LOCK_S:g} s"
                    todo = "End that one (a node or a command), then try again"
                    raise ConfigError(f"{data / FILE} was not written: {why}. {todo}") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(folder)


def _change(path: Path, changes: Mapping[str, Any]) -> None:
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
        private.sync_folder(path.parent)
    except OSError as e:
        raise ConfigError(f"{path} cannot be written: {e.strerror}. Check the folder, its owner and the free space") from e
