"""The settings in effect: from the environment, else from the file, else from the defaults."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from learningchain.client import reading
from learningchain.client.config.checks import checked
from learningchain.client.config.composed import SECTIONS, Config
from learningchain.client.config.settings import PREFIX, RENAMED, SETTINGS, ConfigError, suggest, unknown

FILE: Final = reading.SETTINGS
MAX_FILE: Final = reading.MAX_SETTINGS


@dataclass(frozen=True)
class Loaded:
    """The effective settings, and for each dotted name where it came from: "default", "file" or "environment"."""

    config: Config
    sources: dict[str, str]


def load(data: Path, environ: Mapping[str, str] | None = None) -> Loaded:
    """The effective settings of the node in folder `data`. Raises `ConfigError`. A missing file means defaults."""
    path = data / FILE
    text = read(path)
    found = {} if text is None else parse(text, str(path))
    sources = dict.fromkeys(SETTINGS, "default") | dict.fromkeys(found, "file")
    from_environment = _environment(os.environ if environ is None else environ)
    found |= from_environment
    return Loaded(_build(found), sources | dict.fromkeys(from_environment, "environment"))


def read(path: Path) -> str | None:
    """The file's text; None where there is none. Raises `ConfigError`."""
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
            raise unknown(name, where)
        found[name] = checked(name, value, where, strict=True)
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
        raise unknown(name, where)
    raw: Any = text
    if isinstance(setting.default, list):
        raw = [part.strip() for part in text.split(",") if part.strip()]
    elif isinstance(setting.default, bool):
        raw = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(text.lower(), text.lower())
    return checked(name, raw, where, strict=False)


def _build(found: Mapping[str, Any]) -> Config:
    sections = {
        name: kind(**{k.partition(".")[2]: v for k, v in found.items() if k.startswith(f"{name}.")})
        for name, kind in SECTIONS.items()
    }
    return Config(**{k: v for k, v in found.items() if "." not in k}, **sections)  # type: ignore[arg-type]
