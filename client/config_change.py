"""Settings that the owner may change over HTTP: which ones, how one is written, and from when on it counts.

Only what decides how much this node does, for whom and for how much. What says where it listens, whom it calls, what it runs or
what it keeps stays with the command line, on the machine: whoever steals a session or a token gets no further by a setting.

A change goes into `config.toml`, whole or not at all. What is the owner's policy about work (`is_at_once`) is taken up by a node
that runs, within seconds; everything else counts from its next start on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from msgspec import structs

from learningchain.client import config, contracts
from learningchain.client.config import Config, ConfigError, Loaded
from learningchain.client.schema.settings import SETTINGS

_OWN: Final = (
    "name",
    "storage.quota_mb",
    *(f"work.{key}" for key in config.WorkBase.__struct_fields__ if key != "gpus"),
    *(f"serve.{key}" for key in config.ServeBase.__struct_fields__),
    "notify.kinds",
    "notify.least",
    "log.level",
)
CHANGEABLE: Final[frozenset[str]] = frozenset(_OWN).union(*(part.changeable for part in contracts.parts(SETTINGS).values()))
"""By dotted name; contracts name those of their own."""


_SHAPES: Final = frozenset({"work.enabled", "work.concurrent", "work.gpus"})
"""Settings of work that say what a start makes: whether there is an engine, how many threads wait for it, and which devices it
proves."""
AT_ONCE: Final = "within seconds"
AFTER_RESTART: Final = "after a restart"


def is_at_once(name: str) -> bool:
    """Whether a node that runs takes the setting up by itself."""
    return name.startswith("work.") and name not in _SHAPES


def in_force(now: Loaded, written: Loaded) -> Loaded:
    """The settings of a node that runs with `now` once it took up of `written` what needs no restart."""
    names = [name for name in config.SETTINGS if is_at_once(name)]
    fields = {name.removeprefix("work."): config.value_of(written.config, name) for name in names}
    sources = now.sources | {name: written.sources[name] for name in names}
    return Loaded(structs.replace(now.config, work=structs.replace(now.config.work, **fields)), sources)


def changed(before: Config, after: Config) -> list[str]:
    """Dotted names of the settings in which the two differ."""
    return [name for name in config.SETTINGS if config.value_of(before, name) != config.value_of(after, name)]


class NotChangeable(ConfigError):
    """A setting that is none of those, or that the file does not decide."""


def why_not(loaded: Loaded, name: str) -> str:
    """Why a setting cannot be changed here; empty where it can."""
    if name not in config.SETTINGS:
        return f"There is no setting {name[:64]!r}{config.suggest(name[:64], list(config.SETTINGS))}. GET /v1/config lists them all"
    if name not in CHANGEABLE:
        return f"{name} is changed on the node's machine alone: learningchain config set {name} VALUE, then restart the node"
    if loaded.sources[name] == "environment":
        variable = config.SETTINGS[name].variable
        return f"{name} comes from {variable} in the node's environment, which outweighs the file. Change it there"
    return ""


def change(data: Path, name: str, text: str) -> Any:
    """Write one setting, from text as `config set` takes it, into the file of the node in folder `data`; the value that was
    written. Blocks. Raises `NotChangeable`, and `ConfigError` where the value, or the file as it is, cannot be used."""
    if why := why_not(config.load(data), name):
        raise NotChangeable(why)
    value = config.parse_value(name, text, "Nothing was written")
    config.change(data, {name: value})
    return value


def after_restart(loaded: Loaded, data: Path) -> dict[str, Any]:
    """What the file says otherwise than what is in force, as it may be shown: by dotted name. Blocks. Raises `ConfigError`."""
    written, now = config.load(data).config, loaded.config
    return {name: config.display(name, config.value_of(written, name)) for name in changed(now, written) if not is_at_once(name)}
