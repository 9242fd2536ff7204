"""The commands about predictions. Imports nothing: `learningchain --help` is quick."""

from learningchain.client.cli.entries import Command, CommandsPart, Family, Sections

_SECTIONS: Sections = {
    "Predictions": (
        Command(
            "predict",
            "cli.ask:predict",
            "Ask a model, and pay who agrees. Exit code 5: fewer agree than asked for; 4: it failed.",
            "predict line 2.5 --n 3",
        ),
        Family(
            "model",
            "Register trained models, serve them, and see what they cost.",
            (
                Command(
                    "register",
                    "cli.register:register",
                    "Offer a model to everybody who asks.",
                    "model register --job 3fa9c1 --name digits --kind class --classes 10 --price 0.0001 --floor 0.00001",
                ),
                Command(
                    "list", "cli.models:list_models", "Models of the network, the newest first.", "model list --mine", asks=(0, 0)
                ),
                Command("show", "cli.models:show", "Everything about one model.", "model show digits", asks=(1, 1)),
                Command(
                    "price",
                    "cli.models:price",
                    "Change what a row costs.",
                    "model price digits --price 0.0002 --floor 0.00001",
                ),
                Command("retire", "cli.models:retire", "Take a model out of service.", "model retire digits"),
                Command(
                    "serve",
                    "cli.models:serve",
                    "Answer for a model with this node, which tries its sample first.",
                    "model serve digits --stake 2",
                ),
                Command("unserve", "cli.models:unserve", "Answer for a model no more.", "model unserve digits"),
                Command(
                    "try",
                    "cli.trying:try_model",
                    "Ask a model twice in this machine's own sandbox; nothing is sent or paid.",
                    "model try digits rows.jsonl",
                ),
            ),
        ),
        Family(
            "prediction",
            "Follow what was asked, add a tip, take it back, appeal.",
            (
                Command(
                    "list", "cli.requests:list_predictions", "Requests, the newest first.", "prediction list --cost", asks=(0, 0)
                ),
                Command("show", "cli.requests:show", "Everything about one request.", "prediction show 7b12e0", asks=(1, 1)),
                Command("watch", "cli.requests:watch", "Follow a request to its end.", "prediction watch 7b12e0"),
                Command(
                    "receipt",
                    "cli.receipt:receipt",
                    "Save what proves a request's values and decision to strangers.",
                    "prediction receipt 7b12e0 --out decision.lcr",
                ),
                Command("tip", "cli.requests:tip", "Move a waiting request forward.", "prediction tip 7b12e0 0.001"),
                Command("cancel", "cli.requests:cancel", "Take back a request that waits.", "prediction cancel 7b12e0"),
                Command(
                    "appeal",
                    "cli.requests:appeal",
                    "Have verifiers who were not drawn answer some rows anew.",
                    "prediction appeal 7b12e0 --row 3",
                ),
            ),
        ),
        Family(
            "policy",
            "Rules that make a decision of a predicted number.",
            (
                Command(
                    "create",
                    "cli.policies:create",
                    "Lay down a policy for a model.",
                    "policy create credit --accept below --threshold 0.2 --rate least=12.5%",
                ),
                Command("list", "cli.policies:list_policies", "Policies of a model.", "policy list credit"),
                Command("show", "cli.policies:show", "One policy, in words.", "policy show 51ce07"),
            ),
        ),
    ),
}
_SAYS = {
    "GET /v1/models/{id}": "learningchain model show MODEL",
    "GET /v1/models/{model}": "learningchain model show MODEL",
    "GET /v1/models": "learningchain model list",
    "GET /v1/predictions/{id}": "learningchain prediction show REQUEST",
    "GET /v1/predictions/{request}": "learningchain prediction show REQUEST",
    "GET /v1/predictions": "learningchain prediction list",
    "GET /v1/policies": "learningchain policy list",
    "max_charge": "--max-charge",
    "within_s": "--within",
}
PART = CommandsPart(_SECTIONS, _SAYS, find="references:find_request")
