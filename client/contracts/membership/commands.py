"""The commands about accounts. Imports nothing: `learningchain --help` is quick."""

from learningchain.client.cli.entries import Command, CommandsPart, Family, Sections

_SECTIONS: Sections = {
    "Getting started": (
        Command(
            "join",
            "cli.entry:join",
            "Join a network by an invitation: identity, genesis, admission, node, all in one.",
            "join lcjoin1...",
        ),
        Family(
            "invite",
            "Let one machine join: invite alone prints a token, which is used once.",
            (
                Command(
                    "new", "cli.entry:invite", "Print a token that lets one machine join.", "invite new --credits 5 --expires 1d"
                ),
                Command(
                    "list",
                    "cli.entry:invite_list",
                    "This node's invitations: open, used, revoked, expired.",
                    "invite list",
                    asks=(0, 0),
                ),
                Command("revoke", "cli.entry:invite_revoke", "Take an open invitation back.", "invite revoke 7a41..."),
            ),
            "cli.entry:invite",
        ),
        Family(
            "key",
            "This identity's keys: another one, with everything else as it is.",
            (
                Command(
                    "box",
                    "cli.box:box",
                    "The key under which others seal what this node alone reads; --renew replaces it.",
                    "key box",
                ),
            ),
        ),
        Family(
            "genesis",
            "The file that a network starts from.",
            (
                Command(
                    "fetch",
                    "cli.entry:genesis_fetch",
                    "Get the file of an invitation's network from its members.",
                    "genesis fetch lcjoin1...",
                ),
            ),
        ),
        Command("leave", "cli.entry:leave", "Leave the network: what is open is said first.", "leave --yes"),
    ),
    "Credits and blocks": (
        Command("accounts", "cli.members:accounts", "Accounts of the network, with their credits.", "accounts", asks=(0, 0)),
        Command(
            "judge",
            "cli.members:judge",
            "A validator's word on a suspended account: ban it, or lift the suspension.",
            "judge lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq --lift",
        ),
        Family(
            "case",
            "Cases against suspended accounts, which the validators judge.",
            (
                Command(
                    "list",
                    "cli.members:case_list",
                    "Open cases: what each is about, what it needs, until when.",
                    "case list",
                    asks=(0, 0),
                ),
                Command("show", "cli.members:case_show", "One case whole.", "case show lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq"),
            ),
        ),
        Command(
            "release",
            "cli.members:release",
            "A validator's word on what is parked: run it again, or give back what it holds.",
            "release job 4be2... --retry",
        ),
    ),
}
_SAYS = {
    "GET /v1/box-key": "learningchain key box",
    "POST /v1/box-key": "learningchain key box --renew",
    "GET /v1/cases": "learningchain case list",
    "GET /v1/accounts/{id}": "learningchain balance ACCOUNT",
    "GET /v1/accounts": "learningchain accounts",
}
PART = CommandsPart(_SECTIONS, _SAYS)
