"""What a command is in a table. Imports next to nothing: `learningchain --help` is quick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from learningchain.client.contracts import PartKind


class Command(NamedTuple):
    """One command. `where` is its module, seen from the table's package, and its function; `example` is what one types after
    `learningchain`. `asks`: where it asks the node, prints and ends, how few and how many words it takes (`client.cli.asking`)."""

    name: str
    where: str
    text: str
    example: str
    asks: tuple[int, int] | None = None

    def of(self, package: str) -> Command:
        return self._replace(where=f"{package}.{self.where}")


class Family(NamedTuple):
    """Commands under one word, as in `job list`. `alone`: what that word alone calls, as `Command.where` says it; `asks` is
    of that."""

    name: str
    text: str
    commands: tuple[Command, ...]
    alone: str = ""
    asks: tuple[int, int] | None = None

    def of(self, package: str) -> Family:
        """The same commands, with the full names of their modules."""
        alone = self.alone and f"{package}.{self.alone}"
        return self._replace(commands=tuple(command.of(package) for command in self.commands), alone=alone)

    def joined(self, other: Family) -> Family:
        """With the commands that another slice has under the same word."""
        return self._replace(
            commands=self.commands + other.commands,
            alone=self.alone or other.alone,
            asks=self.asks if self.alone else other.asks,
        )


Sections = dict[str, tuple[Command | Family, ...]]
"""Commands by the heading under which a page lists them."""


class CommandsPart(NamedTuple):
    """The commands of one contract. Its module imports nothing but this one."""

    sections: Sections
    says: Mapping[str, str] = {}
    """What is typed instead of a request or a field that a text of the API names."""
    find: str = ""
    """What finds what may be parked (`release`) by the beginning of its id, as `Command.where` says it."""


COMMANDS: Final = PartKind("commands", CommandsPart)
