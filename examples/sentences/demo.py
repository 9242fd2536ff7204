"""The demo about sentences: `make demo-sentences`.

    erin publishes a set of sentences        each file is named by its hash, and whoever needs it fetches it
    a job on the set is paid                 alice trains a classifier on a language model, and others measure it again
    its winner becomes a model               its schema has a column of text, and names for its classes
    it is asked about three sentences        three nodes answer, each by itself

Five nodes of this machine, real containers, processors alone. The language model comes as a package of 84 MB, the first time. What
the demo promises is looked at in the end; exit code 1 names what is not so.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

from learningchain.chain.ledger.genesis import make_params
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest, LimitsRequest, SetRequest
from learningchain.client.contracts.prediction.http.model_schema import parse_schema
from learningchain.client.sdk.client import Client
from learningchain.examples.demo.graph import make_homes, make_network
from learningchain.examples.demo.plan import Part
from learningchain.examples.demo.told import Story, tell
from learningchain.examples.place import RUN
from learningchain.examples.sentences import build, data

POSTER: Final = "erin"
SERVERS: Final = ("bob", "carol", "dave")
NODES: Final = (
    Part("alice", "validator, works", True, True, "20", "20"),
    *(Part(name, "validator, verifies and serves", True, False, "20") for name in SERVERS),
    Part(POSTER, "poster", False, False, "1000"),
)
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "alice": {"work.attempts": 1},
    **{name: {"serve.mem_mb": 1_024, "serve.warm": 1} for name in SERVERS},
}
EXPIRES_S: Final = 45
MEM_MB: Final = 512
ASKED: Final = {
    "Why was I charged twice?": "bill",
    "The package never came": "delivery",
    "You are wonderful, thanks": "praise",
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
    pred_a0=60_000,
    pred_open=30_000,
    pred_appeal=8_000,
)


class Sorting(Story):
    """What happens, one step after the other."""

    @property
    def poster(self) -> Client:
        return self.clients[POSTER]

    async def set_up(self) -> None:
        await make_homes(self.graph, NODES, (), SETTINGS)
        await make_network(self.graph, PARAMS, SECTIONS)
        await self.start_nodes()
        self.step("five nodes run; alice works, bob, carol and dave verify and serve")
        validators = [home.address for home in self.graph.nodes if home.part.validator]
        await self.all_proven(self.poster, "verifier", validators)

    async def publish(self) -> SetRequest:
        folder = self.graph.folder / "nodes" / "sentences"
        data.write_folder(folder)
        found = await self.poster.publish(folder)
        self.step(f"erin publishes a set of sentences: {found['files']} files of {found['size']} bytes, {found['cid'][:16]}…")
        return SetRequest(cid=found["cid"], size=found["size"], files=found["files"], name="sentences")

    async def train(self, sentences: SetRequest) -> str:
        """A job that was paid; its id."""
        archive = self.graph.folder / "nodes" / "image.tar"
        image_id = await asyncio.to_thread(build.build, archive)
        stored = await self.poster.upload(archive)
        image = ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"])
        self.step(f"the job's image has {stored['size'] // 1_000_000} MB, with the language model; the set is not in it")
        limits = LimitsRequest(cpus=1.0, mem_mb=MEM_MB, train_s=120, eval_s=60, model_cap=2**20, tmp_mb=8, threads=1)
        job = JobRequest(
            image=image,
            bounty="50",
            fee="0.1",
            expires_in_s=EXPIRES_S,
            float_kind="f32",
            params={},
            limits=limits,
            data=[sentences],
        )
        posted = await self.poster.submit_job(job, wait=30)
        self.step("erin posts the job on the set: 50 credits for the classifier with the lowest loss")
        view = await self.paid(self.poster, posted["job"])
        self.promise("the job on the published set is paid", True)
        measured = {vote["vote"] for round_ in view["rounds"] for seat in round_["committee"] for vote in seat["votes"]}
        self.promise("whoever measured again found the claimed loss", measured == {"OK"})
        self.step(f"{self.name(view['winner'])} wins with a loss of {view['claims'][0]['loss']}, measured again, and is paid")
        return posted["job"]

    async def register(self, job: str) -> str:
        schema = await self.poster.upload(build.HERE / "schema.json")
        terms = {
            "name": "sentences",
            "kind": "class",
            "classes": len(data.CLASSES),
            "job": job,
            "price": "0.001",
            "floor": "0.0001",
            "tol": "0.0001",
            "schema": {"cid": schema["cid"], "size": schema["size"]},
            "start_s": 60,
            "row_ms": 2_000,
        }
        model = (await self.poster.register_model(terms, wait=30))["model"]
        for name in SERVERS:
            await self.clients[name].serve(model, wait=30)

        async def served() -> bool:
            return (await self.poster.model(model))["awake"] == len(SERVERS)

        await self.until("three servers awake", served)
        self.step("the winner is a model that takes a sentence; bob, carol and dave serve it")
        return model

    async def ask(self, model: str) -> None:
        names = parse_schema((build.HERE / "schema.json").read_bytes()).classes or ()
        for sentence, expected in ASKED.items():
            view = await self.poster.predict(model, [[sentence]], n=3, within_s=60)
            value = view["values"][0]["class"] if view["values"] else None
            said = "no answer" if value is None else names[value]
            self.step(f"“{sentence}”  {said}, {view['agree']} of 3 agree")
            self.promise(f"“{sentence}” is about {expected}", (view["outcome"], said) == ("AGREED", expected))

    async def play(self) -> None:
        await asyncio.to_thread(build.model_folder)
        await self.set_up()
        await self.ask(await self.register(await self.train(await self.publish())))
        await self.promise_of_supply(self.poster)


def main() -> int:
    """The exit code: 0 where every promise holds, 130 where it was interrupted."""
    try:
        return tell(Sorting, RUN / "sentences")
    except build.ModelMissing as missing:
        print(f"The demo needs a language model: {missing}", file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
