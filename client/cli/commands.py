"""The commands by name, what each is for, and the pages that list them. Imports nothing: `learningchain --help` is quick."""

from __future__ import annotations

from client import contracts
from client.cli.entries import Command, Family, Sections

_OWN: Sections = {
    "Getting started": (
        Command(
            "init",
            "setup:init",
            "Make an identity, its settings and its data folder.",
            "init --name alice --peer node.example.org:7400",
        ),
        Command("id", "setup:identity", "This node's address and public key; no running node is needed.", "id --json"),
        Command(
            "demo",
            "daemon:demo",
            "Run the main job on a graph of five nodes on this machine.",
            "demo --json-file summary.json",
        ),
        Family(
            "genesis",
            "Make, look at and install the file that a network starts from.",
            (
                Command(
                    "new",
                    "network:new",
                    "Make the file of a new network.",
                    "genesis new --name demo --validator 02ab...=1000 --out genesis.json",
                ),
                Command("show", "network:show", "Show what a network starts with.", "genesis show genesis.json"),
                Command(
                    "install",
                    "network:install",
                    "Check a network's file and put it into the data folder.",
                    "genesis install genesis.json",
                ),
            ),
        ),
    ),
    "The node": (
        Command("node", "daemon:node", "Run the node until it is interrupted.", "node --work"),
        Command("status", "ledger:status", "Where the node stands: network, height, peers.", "status --json"),
        Command("audit", "audit:audit", "Check the blocks that this node took over by their certificates.", "audit"),
        Command("peers", "ledger:peers", "Nodes that this one is connected to.", "peers"),
        Family(
            "config",
            "Show the effective settings and where each comes from, or change one.",
            (
                Command("set", "setup:config_set", "Change a setting in the file.", "config set work.attempts 5"),
                Command("show", "setup:config_show", "Show the effective settings and where each comes from.", "config show"),
            ),
        ),
    ),
    "Credits and blocks": (
        Command("history", "ledger:history", "Movements of an account's credits, newest first.", "history --limit 20"),
        Family(
            "name",
            "Call accounts by names of your own: they stand beside addresses and may be typed for them. Nobody else sees them.",
            (
                Command(
                    "set",
                    "names:set_name",
                    "Give an account a name.",
                    "name set lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq alice",
                ),
                Command("list", "names:list_names", "The names that you gave.", "name list"),
                Command("remove", "names:remove_name", "Forget a name.", "name remove alice"),
            ),
        ),
        Family(
            "block",
            "Look at blocks.",
            (Command("show", "ledger:block_show", "Show a block.", "block show latest"),),
        ),
        Family(
            "tx",
            "Look at transactions.",
            (Command("show", "ledger:tx_show", "Show a transaction and its receipt.", "tx show 9c1f..."),),
        ),
    ),
    "Jobs": (Command("runs", "ledger:runs", "Runs of this node's worker and verifier.", "runs"),),
}


def _sections() -> Sections:
    """The program's own commands, then those of each contract; what has one heading is listed together."""
    found: Sections = {}
    tables = [("client.cli", _OWN), *((part.__package__ or "", part.SECTIONS) for part in contracts.parts("commands").values())]
    for package, table in tables:
        for heading, entries in table.items():
            found[heading] = found.get(heading, ()) + tuple(entry.of(package) for entry in entries)
    return found


SECTIONS: Sections = _sections()
ABOUT = "A graph of computers that trade machine-learning work for credits."
HINT = "Each command explains itself: learningchain job submit --help"
_HELP = frozenset({"--help", "-h"})


def families() -> list[Family]:
    return [entry for entries in SECTIONS.values() for entry in entries if isinstance(entry, Family)]


def example(text: str) -> str:
    return f"Example: learningchain {text}"


def page(words: list[str]) -> str | None:
    """The page that lists commands, where one is asked for: all of them, or those of one family. None where a command is called."""
    asked = [word for word in words if word not in _HELP]
    if not asked:
        return _start_page()
    for family in families():
        if asked == [family.name] and family.name != "config":  # that word alone is a command too
            return _family_page(family)
    return None


def _start_page() -> str:
    lines = ["Usage: learningchain COMMAND", "", ABOUT]
    for section, entries in SECTIONS.items():
        lines += ["", f"{section}:", *_listing(sorted(entries, key=lambda entry: entry.name))]
    lines += ["", "Options:", *_rows([("--help (-h)", "Show this page."), ("--version", "Show the version.")])]
    return "\n".join([*lines, "", HINT, "", example("init --name alice"), ""])


def _family_page(family: Family) -> str:
    head = [f"Usage: learningchain {family.name} COMMAND", "", family.text, "", "Commands:"]
    return "\n".join([*head, *_listing(family.commands), "", example(family.commands[0].example), ""])


def _listing(entries: list[Command | Family] | tuple[Command, ...]) -> list[str]:
    return _rows([(entry.name, entry.text) for entry in entries])


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:{width}}  {text}" for name, text in rows]
