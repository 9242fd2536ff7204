"""The commands about keys. Imports nothing: `learningchain --help` is quick."""

from learningchain.client.cli.entries import Command, CommandsPart, Family, Sections

_SECTIONS: Sections = {
    "Getting started": (
        Family(
            "key",
            "This identity's key: another one, with everything else as it is.",
            (
                Command("rotate", "cli.keys:rotate", "Replace the key; the old one is refused from that block on.", "key rotate"),
                Command("show", "cli.keys:show", "The key of an account, its guardians, and a recovery that is open.", "key show"),
            ),
        ),
        Family(
            "guardians",
            "Accounts that together may give this one another key, should its own be lost.",
            (
                Command(
                    "set",
                    "cli.keys:set_guardians",
                    "Name them, how many must agree, and how long there is to object.",
                    "guardians set bob carol dora --threshold 2 --delay 3d",
                ),
                Command("show", "cli.keys:show_guardians", "Those of an account.", "guardians show"),
            ),
        ),
        Family(
            "recover",
            "Come back after a key was lost, with the help of guardians.",
            (
                Command(
                    "start",
                    "cli.recover:start",
                    "On a new machine: make a key for a lost account, and the request for its guardians.",
                    "recover start lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq --genesis genesis.json",
                ),
                Command(
                    "approve",
                    "cli.recover:approve",
                    "A guardian's word on a request: ask the owner first, in person.",
                    "recover approve lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq.02ab....9f01...",
                ),
                Command("status", "cli.recover:status", "How far the recovery of an account is.", "recover status lc1qzhpf..."),
                Command("object", "cli.recover:object_", "Speak against a recovery of this node's own account.", "recover object"),
            ),
        ),
    ),
}
_SAYS = {
    "POST /v1/key": "learningchain key rotate",
    "POST /v1/guardians": "learningchain guardians set",
    "POST /v1/recoveries": "learningchain recover approve",
    "POST /v1/objections": "learningchain recover object",
}
PART = CommandsPart(_SECTIONS, _SAYS)
