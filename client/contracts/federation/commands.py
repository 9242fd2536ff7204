"""The commands about federations. Imports nothing: `learningchain --help` is quick."""

from learningchain.client.cli.entries import Command, CommandsPart, Family, Sections

_SECTIONS: Sections = {
    "Federated training": (
        Family(
            "fed",
            "Train one model together: data stay where they are, the model travels, measured improvement is paid.",
            (
                Command(
                    "list",
                    "cli.reading:list_federations",
                    "Federations of the network, the newest first.",
                    "fed list --live",
                    asks=(0, 0),
                ),
                Command("show", "cli.reading:show", "Everything about one federation.", "fed show 3fa9c1", asks=(1, 1)),
                Command(
                    "watch",
                    "cli.watch:watch",
                    "Follow a federation: the loss, and whether each update was used.",
                    "fed watch latest",
                ),
                Command(
                    "rounds", "cli.reading:rounds", "Rounds that were summed, with loss and pay.", "fed rounds 3fa9c1", asks=(1, 1)
                ),
                Command("members", "cli.reading:members", "Who is in, and what each was paid.", "fed members 3fa9c1", asks=(1, 1)),
                Command(
                    "files",
                    "cli.reading:files",
                    "Which updates were used, and which rule refused the others.",
                    "fed files 3fa9c1 --mine",
                ),
                Command(
                    "audit",
                    "cli.auditing:audit_federation",
                    "Recompute a federation from genesis: draws, codes, sums, losses and every payment.",
                    "fed audit 3fa9c1 --models",
                ),
                Command(
                    "join",
                    "cli.joining:join",
                    "Train with your own data, after seeing what that means.",
                    "fed join 3fa9c1 scans",
                ),
                Command(
                    "mine",
                    "cli.joining:mine",
                    "This node's own part: its updates, what left it, losses on its own data.",
                    "fed mine 3fa9c1",
                ),
                Command(
                    "vault",
                    "cli.recovery:vault",
                    "Have two members keep your sealed local model, or no more; and who shares its key.",
                    "fed vault 3fa9c1 --holder alice --holder bob --holder carol --holder dora",
                ),
                Command(
                    "recover",
                    "cli.recovery:recover",
                    "After a machine was lost: train again in its place, and open its vault.",
                    "fed recover 3fa9c1 scans",
                ),
                Command(
                    "set",
                    "cli.joining:set_",
                    "How many other members must carry the verifier flag before this node trains.",
                    "fed set 3fa9c1 --min-vetted 2",
                ),
                Command("leave", "cli.joining:leave", "Leave from the next start on; what was earned stays.", "fed leave 3fa9c1"),
                Command("data", "cli.joining:data", "Train on other data from now on.", "fed data 3fa9c1 scans2"),
                Command(
                    "schema",
                    "cli.joining:schema",
                    "Save what a sponsor asks of members' tables.",
                    "fed schema 3fa9c1 --out schema.json",
                ),
                Command(
                    "open",
                    "cli.opening:open_",
                    "Open a federation: a model, a target, a bounty.",
                    "fed open --image-archive train.tar --model init.safetensors --bounty 500 --target 0.25 --rounds 30 --ends 7d",
                ),
                Command("start", "cli.sponsoring:start", "Start the next round of an own federation.", "fed start latest"),
                Command("admit", "cli.sponsoring:admit", "Let in who waits.", "fed admit latest alice"),
                Command("remove", "cli.sponsoring:remove", "Remove a member from the next start on.", "fed remove latest alice"),
                Command("close", "cli.sponsoring:close", "End an own federation between two rounds.", "fed close latest"),
                Command("fetch", "cli.reading:fetch", "Save the best model, or that of a round.", "fed fetch latest --out model"),
                Command(
                    "deploy",
                    "cli.deploying:deploy",
                    "Offer the best model to everybody who asks; its royalty goes to the owners.",
                    "fed deploy latest --name risk --kind number --price 0.001 --label truth --sample rows.jsonl",
                ),
                Command(
                    "serve",
                    "cli.serving:serve",
                    "Let this node be drawn to aggregate and to measure, or no more.",
                    "fed serve on",
                ),
            ),
        ),
    ),
}
_SAYS = {
    "GET /v1/federations/{id}/rounds": "learningchain fed rounds FED",
    "GET /v1/federations/{id}": "learningchain fed show FED",
    "GET /v1/federations/{federation}": "learningchain fed show FED",
    "GET /v1/federations": "learningchain fed list",
    "round_s": "--round-time",
    "pace_s": "--pace",
    "ends_in_s": "--ends",
}
PART = CommandsPart(_SECTIONS, _SAYS, find="references:find_federation")
