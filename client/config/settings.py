"""Each setting by its dotted name: what it is for, what it was called once, and how its value is shown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, get_args

import msgspec
from msgspec import Meta

from learningchain.client.config.composed import SECTIONS, SLICES, Config
from learningchain.client.config.sections import ConfigSection

PREFIX: Final = "LEARNINGCHAIN_"


class ConfigError(Exception):
    """A setting that cannot be used. The text names it, says why and what would do."""


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


def _settings_of(kind: type[ConfigSection], prefix: str) -> Iterator[Setting]:
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, ConfigSection):
            continue
        default = field.default if field.default is not msgspec.NODEFAULT else []  # msgspec copies the empty list for each instance
        meta = next(a for a in get_args(field.type)[1:] if isinstance(a, Meta))
        yield Setting(prefix + field.name, field.type, default, meta.description or "")


_KINDS: Final[list[tuple[type[ConfigSection], str]]] = [(Config, ""), *((kind, f"{name}.") for name, kind in SECTIONS.items())]
SETTINGS: Final[dict[str, Setting]] = {s.name: s for kind, prefix in _KINDS for s in _settings_of(kind, prefix)}


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
        if not isinstance(value, list | str):
            return "***"
        words = value if isinstance(value, list) else value.split(maxsplit=1)
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
    **{old: new for part in SLICES.values() for old, new in part.renamed.items()},
}
"""Names that settings had, and what they are called now."""


def unknown(name: str, where: str) -> ConfigError:
    """What is said of a name that no setting has."""
    if (now := RENAMED.get(name)) is not None:
        section, _, key = now.rpartition(".")
        return ConfigError(f"{where}: {name} is called {now} now: write {key} in the section [{section}], and take {name} out")
    return ConfigError(f'{where}: there is no setting "{name}"{suggest(name, list(SETTINGS)) or ". Run: learningchain config"}')
