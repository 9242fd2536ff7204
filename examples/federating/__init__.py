"""The demo of federated training: three hospitals train one model on cases that never leave them, and a fourth one poisons.

    a sponsor opens a federation              an image, a model that knows nothing, a target, a bounty
    four hospitals join with own data         each on its own engine; the fourth has its labels turned round
    rounds run by themselves                  each update is masked, screened, summed; a drawn panel measures every model
    the target is reached                     the bounty is paid by what each update added in the sponsor's direction
    the best model is offered and asked       its royalty is the hospitals'

`make demo-federation` runs it with five nodes of this machine, real containers, and what every user has: the command, settings, and
the nodes' APIs. What it promises is looked at on every node in the end; exit code 1 names what is not so.
"""

from __future__ import annotations

import asyncio
import csv
import functools
import json
import time
from typing import Any, Final

from learningchain.chain.ledger.genesis import make_params
from learningchain.chain.types import parse_credits
from learningchain.client.sdk.client import Client
from learningchain.examples.demo.graph import DemoFailed, check_alive, command, make_homes, make_network
from learningchain.examples.demo.plan import Part
from learningchain.examples.demo.told import Story, tell
from learningchain.examples.federation import layer
from learningchain.examples.federation.build import EXAMPLES, build, data_schema, initial, rows_schema, split_rows
from learningchain.examples.federation.deal import dealt, flipped
from learningchain.examples.federation.federated import model_bytes, read_model, tables
from learningchain.examples.place import RUN

Json = dict[str, Any]
EXAMPLE: Final = "breast-cancer-layer"
HOSPITALS: Final = ("alice", "bob", "carol")
POISONER: Final = "dave"
SPONSOR: Final = "erin"
OWNERS: Final = (*HOSPITALS, POISONER)
NODES: Final = (
    *(Part(name, "validator, a hospital", True, False, "20") for name in HOSPITALS),
    Part(POISONER, "validator, a hospital with wrong labels", True, False, "20"),
    Part(SPONSOR, "sponsor", False, False, "1000"),
)
"""The hospitals are verifiers: they add up, measure and serve for each other, as nobody else is there."""
CASES: Final = 60
"""Of each hospital."""
BOUNTY: Final = "100"
TARGET: Final = 0.2
ROUNDS: Final = 12
TRAINING_S: Final = 600.0
"""Ten times what it takes on two cores that nobody else uses."""
LOOK_S: Final = 1.0
SERVES: Final = {"serve.mem_mb": 512, "serve.warm": 1}
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    **{name: {"federation.serve": True, **SERVES} for name in HOSPITALS},
    POISONER: {"federation.serve": True},
}
PARAMS, SECTIONS = make_params(
    heartbeat=2_000,
    drift=5_000,
    timeout_propose=2_000,
    timeout_vote=1_000,
    # Patience costs nothing where everybody answers, and five nodes share a small machine with their containers.
    fed_base=60_000,
    fed_ready=30_000,
    fed_open=30_000,
    fed_least=1_000,
    pred_a0=30_000,
    pred_open=20_000,
    pred_appeal=8_000,
)


class Training(Story):
    """What happens, one step after the other."""

    @property
    def requester(self) -> Client:
        return self.clients[SPONSOR]

    async def set_up(self) -> None:
        await make_homes(self.graph, NODES, (), SETTINGS)
        await make_network(self.graph, PARAMS, SECTIONS)
        await self._bring_data()
        await self.start_nodes()
        self.step("five nodes run: four hospitals and a sponsor")
        await self.all_proven(self.requester, "hospital", [self.graph.member(name).address for name in OWNERS])

    async def _bring_data(self) -> None:
        """Each hospital's own cases, with the command that it would type; a fifth share is the sponsor's own."""
        folder = self.graph.folder / "nodes"
        schema = folder / "schema.json"
        schema.write_text(json.dumps(data_schema(EXAMPLE)))
        shares = dealt(split_rows(EXAMPLE)[0], len(OWNERS) + 1, seed=1, most=CASES, skew=4.0)
        shares[OWNERS.index(POISONER)] = flipped(shares[OWNERS.index(POISONER)])
        for name, table in zip((*OWNERS, SPONSOR), shares, strict=True):
            own = folder / f"cases-of-{name}"
            own.mkdir()
            (own / "cases.csv").write_bytes(table)
            data = str(self.graph.member(name).data)
            await command(self.graph, "data", "add", "cases", str(own), "--schema", str(schema), "--data", data)
        self.step(f"each hospital has added {CASES} cases of its own to its own engine; dave's have their labels turned round")

    # --- training ---------------------------------------------------------------------------------------------------------------

    async def open(self) -> str:
        """A federation with all hospitals in it; its id."""
        folder, one = self.graph.folder / "nodes", EXAMPLES[EXAMPLE]
        archive, model, schema = folder / "image.tar", folder / "initial.safetensors", folder / "schema.json"
        image_id = await asyncio.to_thread(build, EXAMPLE, archive)
        model.write_bytes(model_bytes(initial(EXAMPLE)))
        image, first, columns = [await self.requester.upload(path) for path in (archive, model, schema)]
        terms = {
            "image": {"cid": image["cid"], "image_id": image_id, "size": image["size"]},
            "model": {"cid": first["cid"], "size": first["size"], "dims": sum(part.size for part in initial(EXAMPLE).values())},
            "schema": columns["cid"],
            "params": json.loads(one.params),
            "limits": {"cpus": 1.0, "mem_mb": one.mem_mb, "train_s": 120, "eval_s": 120, "tmp_mb": 8, "threads": 1},
            "bounty": BOUNTY,
            "target": str(TARGET),
            "rounds": ROUNDS,
            "ends_in_s": 3_600,
            "round_s": 60,
            "pace_s": 600,
            "secrecy": "sum",
            "clip": f"{one.clip:g}",
            "reference": True,
            "split": "aligned",
            "admit": "open",
            "look_after": {"auto": True, "reference": "cases"},
        }
        opened = await self.requester.open_federation(terms, wait=30)
        federation = str(opened["federation"])
        self.step(f"erin opens a federation: {BOUNTY} credits for a loss of {TARGET}, by an image and a model that knows nothing")
        for name in OWNERS:
            await self.until(f"{name} knows it", functools.partial(self.clients[name].joining, federation))
            if name == OWNERS[0]:
                self._tell_joining(await self.clients[name].joining(federation))
            await self.clients[name].join_federation(federation, "cases", wait=30)
        self.step("alice, bob, carol and dave join: from now on their nodes train by themselves")
        return federation

    def _tell_joining(self, meaning: Any) -> None:
        self.say(
            f"          before it agrees a hospital reads: {meaning['bytes_each_round']:,} bytes leave in a round, masked; "
            "the cases stay"
        )

    async def watch(self, federation: str) -> Json:
        """Tells every round as it is settled; what the sponsor's node says of the federation when it has ended."""
        begun, told, end = False, 0, time.monotonic() + TRAINING_S
        while time.monotonic() < end:
            check_alive(self.graph)
            view: Json = dict(await self.requester.federation(federation))
            if view["initial"] is not None and not begun:
                begun = True
                self.say(f"          to begin  loss {float(view['initial']):.3f}  {bar(view['initial'])}")
            told = await self._tell_rounds(federation, told)
            if view["state"] == "END":
                return view
            await asyncio.sleep(LOOK_S)
        raise DemoFailed(f"the federation did not end within {TRAINING_S:.0f} s: it is {view['state']}, round {view['round']}")

    async def _tell_rounds(self, federation: str, told: int) -> int:
        rounds = [one for one in await self.requester.federation_rounds(federation) if one["outcome"] is not None]
        attempts = (await self.requester.federation_attempts(federation))["attempts"]
        verdicts = {one["round"]: one for one in attempts if not one["void"]}
        for one in sorted(rounds, key=lambda one: one["round"]):
            if one["round"] > told:
                loss = float(one["loss"] or 0)
                self.step(f"round {one['round']:2}  loss {loss:.3f}  {bar(loss)}")
                files = verdicts[one["round"]]["files"] if one["round"] in verdicts else []
                refused = [f"{self.name(file['member'])} {file['code']}" for file in files if file["code"] != "USED"]
                if refused:
                    self.say(f"                    refused: {', '.join(refused)}")
        return max((one["round"] for one in rounds), default=told)

    # --- what was promised --------------------------------------------------------------------------------------------------------

    async def check(self, federation: str, view: Json) -> None:
        """On every node."""
        self.promise("the target is reached", (view["end"], float(view["best"]) <= TARGET) == ("REACHED", True))
        views = [await self._agreed(name, federation) for name in self.clients]
        self.promise("every node tells the same of it: losses, verdicts, pay", all(one == views[0] for one in views))
        rounds, attempts, members = views[0]
        codes = {self.name(file["member"]): set[str]() for one in attempts for file in one["files"]}
        for file in (file for one in attempts for file in one["files"]):
            codes[self.name(file["member"])].add(file["code"])
        self.promise("who has wrong labels is refused, by name of the rule: WRONG", "WRONG" in codes.get(POISONER, set()))
        self.promise("none of its updates is in any sum", "USED" not in codes.get(POISONER, set()))
        self.promise("every hospital's updates are", all("USED" in codes[name] for name in HOSPITALS))
        paid = {self.name(one["account"]): parse_credits(one["paid"]) for one in members}
        self.step("paid: " + ", ".join(f"{name} {paid[name] / 1e6:.2f}" for name in OWNERS) + f" of {BOUNTY} credits")
        self.promise("the bounty is paid to the last micro-credit", sum(paid.values()) == parse_credits(BOUNTY))
        self.promise("each hospital is paid, the poisoner is not", all(paid[name] for name in HOSPITALS) and not paid[POISONER])
        first = float(view["initial"])
        losses = [float(one["loss"]) for one in rounds if one["loss"] is not None]
        self.promise("the loss fell from that of the initial model", min(losses) < first)
        await self._check_model(federation, view)

    async def _agreed(self, name: str, federation: str) -> tuple[Any, Any, Any]:
        """What a node tells, when it has the end."""
        client = self.clients[name]

        async def ended() -> bool:
            return bool((await client.federation(federation))["state"] == "END")

        await self.until(f"{name} sees the end", ended)
        attempts = (await client.federation_attempts(federation, limit=50))["attempts"]
        return await client.federation_rounds(federation), attempts, await client.federation_members(federation)

    async def _check_model(self, federation: str, view: Json) -> None:
        """Fetched from the graph by the poisoner, who has it as everybody, and measured here once more."""
        path = self.graph.folder / "nodes" / "best.safetensors"
        await self.clients[POISONER].fetch_federation_model(federation, path)
        model = read_model(path.read_bytes(), {name: list(part.shape) for name, part in initial(EXAMPLE).items()})
        evaluation = self.graph.folder / "nodes" / "eval.csv"
        evaluation.write_bytes(split_rows(EXAMPLE)[1])
        rows, truths = tables([evaluation], rows_schema(EXAMPLE)["inputs"])
        measured = float(layer.losses(model, rows, truths).mean())
        self.promise("the best model has the loss that the ledger says", abs(measured - float(view["best"])) < 1e-4)
        right = float(((layer.forward(layer.parts(model), rows)[1] > 0) == truths).mean())
        self.step(f"the best model is right about {100 * right:.1f} % of {len(truths)} cases that nobody trained on")

    # --- asking -------------------------------------------------------------------------------------------------------------------

    async def deploy(self, federation: str) -> None:
        """The model is asked about a case that nobody trained on, by its columns; the royalty goes to the hospitals."""
        path = self.graph.folder / "nodes" / "rows.json"
        path.write_text(json.dumps(rows_schema(EXAMPLE)))
        columns = await self.requester.upload(path)
        terms = {"name": "cells", "kind": "class", "classes": 2, "price": "0.01", "start_s": 30, "row_ms": 500}
        terms["schema"] = {"cid": columns["cid"], "size": columns["size"]}
        offered = await self.requester.deploy_federation(federation, terms, wait=30)
        shares = {self.name(one["account"]) for one in offered["shares"]}
        self.promise("the royalty is the hospitals'", shares == set(HOSPITALS))
        await self._offered(offered["model"])
        row, truth = known_case()
        posted = await self.requester.request_prediction({"model": offered["model"], "rows": [row], "n": 3, "tip": "0.3"}, wait=30)

        async def answered() -> Json | None:
            found: Json = dict(await self.requester.prediction(posted["request"], wait=5))
            return found if found["state"] in ("AGREED", "WEAK", "FAILED", "FINAL") else None

        answer: Json = await self.until("an answer", answered)
        said = answer["values"][0]["class"] if answer["values"] else None
        name = rows_schema(EXAMPLE)["classes"][said] if said is not None else "nothing"
        self.step(f"asked about a case: {name}, {answer['agree']} servers agree")
        self.promise("the model is asked, and three servers agree on the true class", (answer["agree"], said) == (3, truth))

    async def _offered(self, model: str) -> None:
        async def known(name: str) -> bool:
            return (await self.clients[name].model(model))["id"] == model

        for name in HOSPITALS:
            await self.until(f"{name} knows the model", functools.partial(known, name))
            await self.clients[name].serve(model, wait=30)

        async def served() -> bool:
            return bool((await self.requester.model(model))["awake"] == len(HOSPITALS))

        await self.until("three servers awake", served)
        self.step("erin offers the best model by one message; alice, bob and carol serve it")

    async def play(self) -> None:
        await self.set_up()
        federation = await self.open()
        began = time.monotonic()
        view = await self.watch(federation)
        self.step(f"the federation has ended: {view['end']}, after {time.monotonic() - began:.0f} s of training")
        await self.check(federation, view)
        await self.deploy(federation)
        await self.promise_of_supply(self.requester)


def bar(loss: float | str) -> str:
    return "█" * round(50 * float(loss))


def known_case() -> tuple[dict[str, float], int]:
    """The first case of the evaluation data by its columns, and its truth."""
    names, (*cells, truth), *_ = csv.reader(split_rows(EXAMPLE)[1].decode().splitlines())
    return dict(zip(names[:-1], map(float, cells), strict=True)), int(truth)


def main() -> int:
    """The exit code: 0 where every promise holds, 130 where it was interrupted."""
    return tell(Training, RUN / "federating")
