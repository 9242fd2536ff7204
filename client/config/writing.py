"""The file as it is written: every setting explained, and a change that keeps what its owner wrote beside it."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from learningchain.chain.storage import private
from learningchain.client.config.checks import checked
from learningchain.client.config.loading import FILE, parse, read
from learningchain.client.config.settings import SETTINGS, ConfigError

LOCK_S: Final = 10.0
"""A change takes milliseconds."""


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
    text = read(path)
    values = {} if text is None else parse(text, str(path))
    wanted = values | {k: checked(k, v, "new value", strict=True) for k, v in changes.items()}
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
