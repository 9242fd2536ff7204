"""The commands about proposals. Imports nothing: `learningchain --help` is quick."""

from learningchain.client.cli.entries import Command, CommandsPart, Sections

_SECTIONS: Sections = {
    "Governance": (
        Command(
            "propose",
            "cli.proposals:propose",
            "Ask the validators to change the set, members, parameters or the protocol.",
            "propose add-validator lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq",
        ),
        Command(
            "proposals",
            "cli.proposals:proposals",
            "Open proposals: what each asks for, what it needs, until when.",
            "proposals",
            asks=(0, 0),
        ),
        Command("vote", "cli.proposals:vote", "A validator's word on a proposal.", "vote 4be2 yes"),
        Command("withdraw", "cli.proposals:withdraw", "Take a proposal of this node back.", "withdraw 4be2"),
        Command(
            "parameters",
            "cli.proposals:parameters",
            "The network's parameters, and what votes may make of them.",
            "parameters",
            asks=(0, 0),
        ),
    ),
}
_SAYS = {
    "GET /v1/proposals": "learningchain proposals",
    "GET /v1/parameters": "learningchain parameters",
}
PART = CommandsPart(_SECTIONS, _SAYS)
