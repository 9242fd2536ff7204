"""The commands about accounts. Imports nothing: `learningchain --help` is quick."""

from client.cli.entries import Command, Sections

SECTIONS: Sections = {
    "Credits and blocks": (
        Command("balance", "cli:balance", "Credits of an account.", "balance lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq"),
        Command("accounts", "cli:accounts", "Accounts of the network, with their credits.", "accounts"),
        Command(
            "judge",
            "cli:judge",
            "A validator's word on a suspended account: ban it, or lift the suspension.",
            "judge lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq --lift",
        ),
        Command(
            "release",
            "cli:release",
            "A validator's word on what is parked: run it again, or give back what it holds.",
            "release job 4be2... --retry",
        ),
    ),
}

SAYS = {
    "GET /v1/accounts/{id}": "learningchain balance ACCOUNT",
    "GET /v1/accounts": "learningchain accounts",
}
