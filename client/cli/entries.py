"""What a command is in a table. Imports nothing: `learningchain --help` is quick."""

from __future__ import annotations

from typing import NamedTuple


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
