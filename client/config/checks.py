"""What a setting's value must be beyond its type and bounds, and what would do where it is not."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from learningchain.chain.host.terms import DeviceKind
from learningchain.chain.types import parse_checkpoint, parse_credits
from learningchain.client.addresses import AllowedAddresses, CallbackUrl, UrlRefused, parse_networks
from learningchain.client.config.composed import SLICES
from learningchain.client.config.settings import SETTINGS, ConfigError, display
from learningchain.p2p.address_book import parse_endpoint, parse_seed


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


OF_CLUSTER: Final = "slurm/"
"""How the name of a GPU begins that a job of Slurm gets: slurm/gpu=0, or slurm/gpu.a100=0 where Slurm tells types apart. What
follows the = only makes names differ: as many are in use at a time as are named."""


class OfferedGpu(msgspec.Struct, frozen=True):
    """A GPU that this node's owner offers: its name in the Container Device Interface, its kind, and its memory in MiB."""

    device: str
    kind: DeviceKind
    mem_mb: int

    @property
    def place(self) -> str:
        """What all of a training's GPUs have in common: they are this machine's (empty), or of one kind of Slurm's."""
        return self.device.partition("=")[0] if self.device.startswith(OF_CLUSTER) else ""


def parse_gpu(text: str) -> OfferedGpu:
    """One entry of `work.gpus`. Raises ValueError."""
    from learningchain.sandbox.spec import is_device  # few nodes offer any, and every command reads the settings

    words = text.split()
    device, kind, mem_mb = words if len(words) == 3 else ("", "", "")
    if not is_device(device) or kind.upper() not in DeviceKind.__members__ or re.fullmatch(r"[1-9][0-9]{0,6}", mem_mb) is None:
        raise ValueError(f"{text[:80]!r} is not VENDOR/CLASS=NAME, cuda or rocm, and MiB of memory: nvidia.com/gpu=0 cuda 24000")
    if device.startswith(OF_CLUSTER) and re.match(r"slurm/gpu(\.[A-Za-z0-9_-]+)?=", device) is None:
        raise ValueError(f"{text[:80]!r} is no GPU of Slurm: slurm/gpu=NAME, or slurm/gpu.TYPE=NAME")
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


def own_gpus(texts: Iterable[str]) -> tuple[str, ...]:
    """The names of those that `work.gpus` says are in this machine. Raises ValueError."""
    return tuple(gpu.device for gpu in parse_gpus(list(texts)) if not gpu.place)


def gpus_without_cluster(texts: Iterable[str], kind: str) -> dict[str, str]:
    """Why nobody gives the GPUs of Slurm that `work.gpus` names, where `cluster.kind` is not slurm: by name. Raises ValueError."""
    if kind == "slurm":
        return {}
    why = f"it is one of Slurm's, and cluster.kind is {kind}. Set cluster.kind to slurm, or take it out of work.gpus"
    return {one.device: f"the device {one.device} is given to no job: {why}" for one in parse_gpus(list(texts)) if one.place}


def _is_cdi(text: str) -> None:
    from learningchain.sandbox.spec import is_device

    if text.count("{}") != 1 or not is_device(text.replace("{}", "0")):
        raise ValueError("it is VENDOR/CLASS=NAME with {} in the place of the GPU's number: nvidia.com/gpu={}")


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "network.listen": _listens_on,
    "network.advertise": _each(parse_endpoint),
    "network.peers": _each(parse_seed),
    "api.listen": _listens_on,
    "storage.url": _is_database,
    "cluster.listen": _listens_on,
    "cluster.trusted": _each(_is_machine),
    "slurm.cdi": _is_cdi,
    "slurm.address": lambda text: text and parse_endpoint(text),
    "storage.keep_blocks": parse_keep,
    "sync.trusted": parse_checkpoint,
    "work.gpus": parse_gpus,
    "callback.allow": _each(parse_networks),
    "notify.url": _is_url,
    "notify.kinds": _each(_is_kind),
    "notify.least": parse_credits,
    **{name: check for part in SLICES.values() for name, check in part.checks.items()},
}


def checked(name: str, raw: Any, where: str, *, strict: bool) -> Any:
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
