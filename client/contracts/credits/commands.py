"""The commands about credits. Imports nothing: `learningchain --help` is quick."""

from learningchain.client.cli.entries import Command, CommandsPart, Sections

_SECTIONS: Sections = {
    "Credits and blocks": (
        Command(
            "transfer",
            "cli.transfer:transfer",
            "Send credits to another account.",
            "transfer lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq 1.5",
        ),
    ),
}
PART = CommandsPart(_SECTIONS)
