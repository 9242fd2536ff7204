"""The demo of predictions: a model is trained for a bounty, registered by one message, served by three nodes, and asked.

    a credit-scoring job is paid             its winner becomes a model, with the schema of its rows
    three nodes serve it                     one of them answers wrongly on purpose, and goes unpaid
    the requester is told by callback        a second request is decided by a policy, with a rate
    a model of classes is asked              its class is agreed, and told by callback
    its receipt is checked offline           with the network's file alone

`make demo-predictions` runs it with five nodes of this machine, real containers, and what every user has: the command, settings,
and the nodes' APIs. What it promises is looked at in the end; exit code 1 names what is not so.
"""

from __future__ import annotations

import asyncio
import csv
import importlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from learningchain.chain.ledger.genesis import make_params
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest
from learningchain.client.contracts.prediction.http.model_schema import parse_schema, row_of_cells
from learningchain.client.contracts.prediction.proven import keys_of
from learningchain.client.receipts.files import check_receipt
from learningchain.client.sdk.client import Client
from learningchain.examples import build, tabular
from learningchain.examples.asking.hook import Hook
from learningchain.examples.demo.graph import DemoFailed, Graph, make_homes, make_network
from learningchain.examples.demo.plan import NODES
from learningchain.examples.demo.told import WAIT_S, Story, tell
from learningchain.examples.place import EXAMPLES, RUN

Json = dict[str, Any]
REQUESTER: Final = "erin"
SERVERS: Final = ("alice", "bob", "carol")
LIAR: Final = "carol"
EXPIRES_S: Final = 45
"""A training takes seconds; a busy machine needs more for its container."""
TIP: Final = "0.3"
RATES: Final = ((-999_999_999, 140_000), (1, 90_000), (2, 65_000))
"""A log-odds of so much and more pays so many millionths a year; the first one holds from the least value of all on."""
EXAMPLE: Final = "german_credit"
CLASSES: Final = "breast_cancer"
SERVE: Final = {"serve.mem_mb": 512, "serve.warm": 1}
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    **{name: dict(SERVE) for name in SERVERS},
    LIAR: {**SERVE, "serve.appeal_max": "0"},
    REQUESTER: {"callback.allow": ["loopback"]},
}
PARAMS, SECTIONS = make_params(
    heartbeat=2_000,
    drift=5_000,
    timeout_propose=2_000,
    timeout_vote=1_000,
    job_min_open=5_000,
    job_reveal=8_000,
    appeal=5_000,
    job_vote_base=60_000,
    job_open_votes=30_000,
    pred_a0=30_000,
    pred_open=20_000,
    # How long an answer may be appealed: short, so that the end is seen.
    pred_appeal=8_000,
)


class Asking(Story):
    """What happens, one step after the other."""

    def __init__(self, graph: Graph, say: Callable[[str], None]) -> None:
        super().__init__(graph, say)
        self.hook = Hook()

    @property
    def requester(self) -> Client:
        return self.clients[REQUESTER]

    # --- the graph --------------------------------------------------------------------------------------------------------------

    async def set_up(self) -> None:
        await make_homes(self.graph, NODES, (), SETTINGS)
        await make_network(self.graph, PARAMS, SECTIONS)
        await self.start_nodes({LIAR: "learningchain.examples.asking.liar"})
        self.step("five nodes run; carol's is made to answer wrongly, once")
        await self.hook.start()
        validators = [home.address for home in self.graph.nodes if home.part.validator]
        await self.all_proven(self.requester, "verifier", validators)

    # --- a model ----------------------------------------------------------------------------------------------------------------

    async def train(self) -> str:
        """A job that was paid; its id."""
        archive = self.graph.folder / "nodes" / "image.tar"
        image_id = await asyncio.to_thread(build.build, EXAMPLE, archive)
        stored = await self.requester.upload(archive)
        limits = LimitsRequest(cpus=1.0, mem_mb=128, train_s=30, eval_s=30, model_cap=2**16, tmp_mb=8, threads=1)
        image = ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"])
        job = JobRequest(image=image, bounty="60", fee="0.1", expires_in_s=EXPIRES_S, float_kind="f64", params={}, limits=limits)
        posted = await self.requester.submit_job(job, wait=30)
        self.step("erin posts a job: a credit score from the German Credit data, 60 credits for the lowest loss")
        job_view = await self.paid(self.requester, posted["job"])
        winner = self.name(job_view["winner"])
        self.promise("the job's winner is paid", job_view["state"] == "PAID")
        lowest = min((claim["loss"] for claim in job_view["claims"]), key=float)
        self.step(f"{winner} wins with a loss of {lowest}, measured again, and is paid")
        return posted["job"]

    async def register(self, job: str) -> Json:
        terms = {"name": "credit", "kind": "number", "job": job, **await self._terms(EXAMPLE)}
        model = (await self.requester.register_model(terms, wait=30))["model"]
        self.step("erin registers the winner as a model, by one message")
        view = await self._served(model)
        self.promise("the model says which job it comes from", view["source"] == job)
        self.promise("three nodes serve it", view["awake"] == len(SERVERS))
        self.step("alice, bob and carol serve it")
        return view

    async def register_classes(self) -> Json:
        """A model that no job made: erin learned it itself, and brings its image and its file."""
        folder = self.graph.folder / "nodes"
        archive, file = folder / "classes.tar", folder / "classes.model"
        image_id = await asyncio.to_thread(build.build, CLASSES, archive)
        await asyncio.to_thread(lambda: file.write_text(json.dumps(trained(CLASSES))))
        image, model = await self.requester.upload(archive), await self.requester.upload(file)
        terms = {
            "name": "cells",
            "kind": "class",
            "classes": 2,
            "image": {"cid": image["cid"], "size": image["size"], "image_id": image_id},
            "model": {"cid": model["cid"], "size": model["size"]},
            "limits": {"cpus": 1.0, "mem_mb": 128, "tmp_mb": 8, "threads": 1},
            **await self._terms(CLASSES),
        }
        view = await self._served((await self.requester.register_model(terms, wait=30))["model"])
        self.step("erin registers a model of two classes that it brings along, and the three serve that, too")
        return view

    async def _terms(self, example: str) -> Json:
        stored = await self.requester.upload(folder_of(example) / "schema.json")
        schema = {"cid": stored["cid"], "size": stored["size"]}
        return {"price": "0.001", "floor": "0.0001", "tol": "0.000000001", "schema": schema, "start_s": 20, "row_ms": 500}

    async def _served(self, model: str) -> Json:
        for name in SERVERS:
            await self.clients[name].serve(model, wait=30)

        async def served() -> Json | None:
            found: Json = dict(await self.requester.model(model))
            return found if found["awake"] == len(SERVERS) else None

        return dict(await self.until("three servers awake", served))

    # --- asking -----------------------------------------------------------------------------------------------------------------

    async def ask(self, model: str, policy: str | None = None, example: str = EXAMPLE) -> Json:
        """One row of the evaluation data; the request when it is answered."""
        terms: Json = {"model": model, "rows": [known_row(example)[0]], "n": 3, "tip": TIP}
        if policy is not None:
            terms["policy"] = policy
        posted = await self.requester.request_prediction(terms, wait=30)
        await self.requester.add_callback("prediction", posted["request"], self.hook.url, secret=self.hook.secret)

        async def answered() -> Json | None:
            found: Json = dict(await self.requester.prediction(posted["request"], wait=5))
            return found if found["state"] in ("AGREED", "WEAK", "FAILED", "FINAL") else None

        return dict(await self.until("an answer", answered))

    async def first(self, model: str) -> None:
        view = await self.ask(model)
        paid = {self.name(seat["server"]): seat["paid"] for seat in view["seats"]}
        self.step(f"asked about an applicant: {view['outcome']}, value {view['values'][0]['score']}, {view['agree']} agree")
        self.step(f"  paid: {', '.join(f'{name} {amount}' for name, amount in sorted(paid.items()))}; it cost erin {view['cost']}")
        self.promise("two who agree make the value", (view["outcome"], view["agree"]) == ("AGREED", 2))
        self.promise("who answers wrongly goes unpaid", paid.get(LIAR) == "0")
        self.promise("who agrees is paid", all(paid[name] != "0" for name in SERVERS if name != LIAR))
        told = await self._told("prediction.agreed", view["id"])
        same = told["data"]["values"][0]["score"] == view["values"][0]["score"]
        self.promise("the requester is told the agreed value by a signed callback", same)
        self.step(f"  erin's program is told by callback: {told['type']}, {told['data']['values'][0]['score']}")

    async def third(self, model: Json) -> None:
        """A class, as its requester's program learns it."""
        view = await self.ask(model["id"], example=CLASSES)
        (told,) = (await self._told("prediction.agreed", view["id"]))["data"]["values"]
        names = parse_schema((folder_of(CLASSES) / "schema.json").read_bytes()).classes or ()
        truth = int(known_row(CLASSES)[1])
        self.promise("the requester is told the agreed class by a signed callback", told["class"] == view["values"][0]["class"])
        self.promise("the class is the true one", told["class"] == truth and view["outcome"] == "AGREED")
        self.step(f"asked about cells: erin's program is told by callback: {names[told['class']]}, {view['agree']} agree")

    async def _told(self, kind: str, ref: str) -> Json:
        try:
            return await self.hook.event(kind, ref, WAIT_S)
        except TimeoutError:
            raise DemoFailed(f"no callback {kind} came within {WAIT_S:.0f} s") from None

    async def second(self, model: str) -> None:
        rates = [{"start": str(start), "ppm": ppm} for start, ppm in RATES]
        terms = {"model": model, "accept": "above", "threshold": "0", "rates": rates, "least": 3, "most": 100}
        policy = (await self.requester.create_policy(terms, wait=30))["policy"]
        view = await self.ask(model, policy)
        decided = view["decisions"][0]
        rate = f"{decided['rate_ppm'] / 10_000:g} % a year"
        self.step(f"asked again under a policy, now all agree: {view['values'][0]['score']}, {decided['decision']} at {rate}")
        self.promise("three agree", view["agree"] == len(SERVERS))
        self.promise(
            "a policy decides, with a rate", decided["decision"] == "accept" and decided["rate_ppm"] in dict(RATES).values()
        )
        await self._told("prediction.final", view["id"])
        await self.receipt(view, model, policy, decided)

    async def receipt(self, view: Json, model: str, policy: str, decided: Json) -> None:
        """What an applicant may show: checked with the network's file, and no node."""
        keys = keys_of(bytes.fromhex(view["id"]), bytes.fromhex(model), bytes.fromhex(policy))
        found = await self.requester.records_file(keys)
        file = self.graph.folder / "decision.lcr"
        file.write_bytes(bytes.fromhex(found["file"]))
        checked = check_receipt(file.read_bytes(), self.graph.folder / "genesis.json")
        for line in checked.lines:
            self.say(f"          {line}")
        said = str(checked.document)
        self.promise("the decision's receipt is proven offline", view["id"] in said and decided["decision"].upper() in said.upper())
        forged = bytearray(file.read_bytes())
        forged[len(forged) // 2] ^= 1
        try:
            check_receipt(bytes(forged), self.graph.folder / "genesis.json")
        except ValueError:
            self.promise("a receipt with one bit changed proves nothing", True)
        else:
            self.promise("a receipt with one bit changed proves nothing", False)

    async def play(self) -> None:
        await self.set_up()
        model = (await self.register(await self.train()))["id"]
        await self.first(model)
        await self.second(model)
        await self.third(await self.register_classes())
        await self.promise_of_supply(self.requester)

    async def close(self) -> None:
        await self.hook.stop()
        await super().close()


def folder_of(example: str) -> Path:
    return EXAMPLES / example


def known_row(example: str) -> tuple[list[Any], str]:
    """The first row of the evaluation data, as the schema has a row, and its truth."""
    schema = parse_schema((folder_of(example) / "schema.json").read_bytes())
    raw = build.table_files(example)["/lc/eval.csv"]
    text = raw.decode() if isinstance(raw, bytes) else raw.read_text()
    *cells, truth = list(csv.reader(text.splitlines()))[1]
    return row_of_cells(schema, cells, 1), truth


def trained(example: str) -> list[float]:
    """The model that the example's job learns on this machine."""
    job: Any = importlib.import_module(f"learningchain.examples.{example}.job")
    inputs = json.loads((folder_of(example) / "schema.json").read_bytes())["inputs"]
    raw = build.table_files(example)["/lc/train.csv"]
    text = raw.decode() if isinstance(raw, bytes) else raw.read_text()
    rows, truths = tabular.read_table(text.splitlines(), inputs)
    *_, model = job.train(rows, truths, random.Random(1))
    return list(model)


def main() -> int:
    """The exit code: 0 where every promise holds, 130 where it was interrupted."""
    return tell(Asking, RUN / "asking")
