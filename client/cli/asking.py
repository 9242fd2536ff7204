"""A question to the node as most people type it, `learningchain job show latest`, without the parser.

The parser and the client with its streams take longer to import than all else that such a command does. So a command that only asks
(`Command.asks`), typed with its words and options of every command alone, is called here; all else that is typed is the parser's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from learningchain.client.cli.commands import SECTIONS
from learningchain.client.cli.entries import Command

_VALUES = {"--data": "data", "--token-file": "token_file", "--api": "api"}
_VARIABLES = {"data": "LEARNINGCHAIN_DATA", "api": "LEARNINGCHAIN_API", "token_file": "LEARNINGCHAIN_TOKEN_FILE"}


class TypedQuestion(NamedTuple):
    """A command that asks, its words, and options of every command."""

    where: str
    words: tuple[str, ...]
    options: dict[str, str]
    as_json: bool

    def ask(self) -> Any:
        """Call the command; what it returns."""
        from pathlib import Path

        from learningchain.client.cli.common import Common
        from learningchain.client.reading import variable

        said = {field: found for field, name in _VARIABLES.items() if (found := variable(name)) is not None} | self.options
        data, token = (Path(said[field]) if field in said else None for field in ("data", "token_file"))
        module, _, function = self.where.partition(":")
        called: Callable[..., Any] = getattr(import_module(module), function)
        return called(*self.words, common=Common(data, said.get("api"), token, json=self.as_json))


def question(words: Sequence[str]) -> TypedQuestion | None:
    """What is asked; None where the parser has to read it."""
    rest: list[str] = []
    options: dict[str, str] = {}
    as_json = False
    left = iter(words)
    for word in left:
        name, given, value = word.partition("=")
        if word == "--json":
            as_json = True
        elif name in _VALUES and _VALUES[name] not in options:
            value = value if given else next(left, "")
            if not value or value.startswith("-"):
                return None
            options[_VALUES[name]] = value
        elif word.startswith("-") or not word:
            return None
        else:
            rest.append(word)
    command, typed = _command(rest)
    if command is None or command.asks is None or not command.asks[0] <= len(typed) <= command.asks[1]:
        return None
    return TypedQuestion(command.where, tuple(typed), options, as_json)


def _command(words: Sequence[str]) -> tuple[Command | None, Sequence[str]]:
    """The command that the words begin with, and those behind it."""
    for entry in (entry for entries in SECTIONS.values() for entry in entries if words and entry.name == words[0]):
        if isinstance(entry, Command):
            return entry, words[1:]
        found = next((one for one in entry.commands if words[1:] and one.name == words[1]), None)
        if found is not None:
            return found, words[2:]
        alone = Command(entry.name, entry.alone, entry.text, "", entry.asks)
        return (alone, ()) if entry.alone and not words[1:] else (None, ())
    return None, ()
