"""What happens in the demo: the set-up, the race for job one, the fraud on jobs two and three, the lie in job four.

Every wait is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from learningchain.chain.contracts.job import JobParams, job_id_of
from learningchain.client.contracts.job.http.postings import build_job
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest
from learningchain.client.keys.keystore import Identity, Keystore
from learningchain.client.sdk.client import Client
from learningchain.client.sdk.types import ApiError, Fetched, UnavailableError, UnreachableError
from learningchain.examples.demo.board import Board, Json, NodeLine
from learningchain.examples.demo.graph import DemoFailed, Graph, check_alive, make_homes, make_network, start_node, tail
from learningchain.examples.demo.plan import CHEATER, CONTRACTOR, FALSE_LOSS, FRAUD, LIAR, LIE, RACE, SECOND, VICTIM, JobPlan
from learningchain.examples.demo.watch import Watcher, read_job
from learningchain.examples.place import RUN
from learningchain.sandbox import Sandbox, SandboxError

START_S: Final = 60.0
READY_S: Final = 120.0
POST_S: Final = 15.0
SETTLE_S: Final = 120.0
"""From a job's expiry to its end, and from its end to the end of an appeal."""
LOOK_S: Final = 0.1
ENDED: Final = ("PAID", "REFUNDED", "EMPTY")


@dataclass
class Scene:
    """What the demo has in hand, and what came of it."""

    graph: Graph
    board: Board
    clients: dict[str, Client] = field(default_factory=dict)
    watcher: Watcher | None = None
    race: str = ""
    frauds: list[str] = field(default_factory=list)
    """Of the cheater: on the poster's job, and on the second poster's."""
    lie: str = ""
    fetched: Fetched | None = None
    right: int = 0
    digits: int = 0
    cheater_said: list[Json] = field(default_factory=list)

    @property
    def jobs(self) -> list[str]:
        """One to four."""
        return [self.race, *self.frauds, self.lie]

    @property
    def contractor(self) -> Client:
        return self.clients[CONTRACTOR]

    @property
    def accuracy(self) -> float:
        return self.right / self.digits if self.digits else 0.0


async def until(what: str, look: Callable[[], bool] | Callable[[], Awaitable[bool]], limit_s: float, scene: Scene) -> None:
    """Wait until `look` is true. Raises `DemoFailed` when time is up, or at once when a node ended."""
    end = time.monotonic() + limit_s
    problem = ""
    while True:
        check_alive(scene.graph)
        try:
            found = look()
            if found if isinstance(found, bool) else await found:
                return
        except (UnreachableError, UnavailableError) as fault:
            problem = f" ({fault})"  # a busy machine: asked again until time is up
        if time.monotonic() > end:
            raise DemoFailed(f"{what} did not happen within {limit_s:.0f} s{problem}")
        await asyncio.sleep(LOOK_S)


# --- set-up --------------------------------------------------------------------------------------------------------------------


def example(name: str) -> ModuleType:
    """A module of another example, loaded when it is needed."""
    try:
        return importlib.import_module(f"learningchain.examples.{name}")
    except ImportError as problem:
        raise DemoFailed(f"examples.{name} cannot be loaded ({problem}). Run `make demo`, which installs what it needs") from None


def check_engine() -> None:
    """Raises `DemoFailed` naming what is missing."""
    try:
        room = Sandbox(RUN / "sandbox", node_tag="demo")
        room.check_engine()
        room.close()
    except SandboxError as fault:
        raise DemoFailed(f"jobs run in containers, and that is not possible here: {fault}") from None


def _build(folder: Path) -> dict[str, Path]:
    """The digits job, and the same with an evaluator that lies: archives by image id."""
    build = example("digits.build")
    honest = build.image_files()
    liar = {"/lc/job": Path(__file__).with_name("liar.py").read_bytes(), "/lc/digits.py": honest["/lc/job"]}
    archives = {"digits.tar": honest, "liar.tar": honest | liar}
    return {build.build(folder / name, files=files): folder / name for name, files in archives.items()}


async def set_up(scene: Scene) -> dict[str, Path]:
    """Five running nodes that know each other and whose sandboxes hold. Returns the images of the jobs, the honest one first."""
    graph, board = scene.graph, scene.board
    step = board.step("Engine")
    await asyncio.to_thread(check_engine)
    board.finish(step)
    built = asyncio.create_task(asyncio.to_thread(_build, graph.folder / "nodes"))
    try:
        await _members(scene)
        await _running(scene)
        step = board.step("Images of the jobs", 0)
        images = await built
        board.finish(step)
    finally:
        built.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await built
    return images


async def _members(scene: Scene) -> None:
    graph, board = scene.graph, scene.board
    step = board.step("Eight identities, five data folders", 0)
    await make_homes(graph)
    for home in graph.members:
        board.names[home.address] = home.name
        board.say(f"{home.name}: {home.address}, {home.part.role}, {home.part.grant} credits", "")
    board.finish(step)
    step = board.step("Genesis, installed with every node", 0)
    await make_network(graph)
    board.finish(step)


async def _running(scene: Scene) -> None:
    graph, board = scene.graph, scene.board
    step = board.step("Nodes started", len(graph.nodes))
    for home in graph.nodes:
        start_node(graph, home)
    for home in graph.nodes:
        await until(f"{home.name}'s API", lambda home=home: _answers(scene, home), START_S, scene)
        board.nodes[home.name] = NodeLine(home.part, home.address)
        step.done += 1
    scene.watcher = Watcher(graph, board, scene.clients)
    scene.watcher.start()
    board.finish(step)
    lines = list(board.nodes.values())
    step = board.step("Connections", len(lines) * (len(lines) - 1))

    def connected() -> bool:
        step.done = sum(line.peers for line in lines)
        return all(line.peers >= len(lines) - 1 for line in lines) and min(line.height for line in lines) > 0

    await until("every node connected with every other, and a first block", connected, START_S, scene)
    board.finish(step)
    proving = [line for line in lines if line.needs_sandbox]
    step = board.step("Sandboxes that prove their isolation", len(proving))

    def proven() -> bool:
        step.done = sum(line.sandbox is True for line in proving)
        failed = next((line for line in proving if line.sandbox is False), None)
        if failed:
            raise DemoFailed(f"the sandbox of {failed.part.name} does not prove its limits: {failed.note or 'it made no check'}")
        return step.done == len(proving)

    try:
        await until("the self-test of every sandbox", proven, READY_S, scene)
    except DemoFailed as failed:
        said = "; ".join(f"{line.part.name}: {line.note}" for line in proving if line.note)
        raise DemoFailed(f"{failed}. {said}") from None
    board.finish(step)


async def declared(scene: Scene) -> None:
    """A posting needs verifiers who have said what their machines take: each node says so by itself."""
    verifiers = [home for home in scene.graph.nodes if home.part.validator]
    step = scene.board.step("Capacities declared", len(verifiers))

    async def all_said() -> bool:
        accounts = [await scene.contractor.account(home.address) for home in verifiers]
        step.done = sum(account["capacity"] is not None for account in accounts)
        return step.done == len(verifiers)

    await until("what every verifier's machine takes", all_said, READY_S, scene)
    scene.board.finish(step)


async def _answers(scene: Scene, home: Any) -> bool:
    if not (home.data / "api.token").is_file():
        return False
    try:
        client = scene.clients.get(home.name) or scene.graph.client(home)
        scene.clients[home.name] = client
        await client.status()
    except (ApiError, OSError):
        await scene.clients.pop(home.name).close()
        return False
    return True


# --- jobs ----------------------------------------------------------------------------------------------------------------------


async def upload(scene: Scene, images: dict[str, Path]) -> list[ImageRequest]:
    """The images go into the poster's node; the others fetch them over the graph by their CIDs."""
    step = scene.board.step("Images uploaded to the poster's node", sum(path.stat().st_size for path in images.values()))
    uploaded, before = [], 0

    def progress(done: int, _total: int) -> None:
        step.done = before + done

    for image_id, path in images.items():
        stored = await scene.contractor.upload(path, progress)
        uploaded.append(ImageRequest(cid=stored["cid"], image_id=image_id, size=stored["size"]))
        before += path.stat().st_size
    scene.board.finish(step)
    return uploaded


def request_of(plan: JobPlan, image: ImageRequest, **params: Any) -> JobRequest:
    return JobRequest(
        image=image,
        bounty=plan.bounty,
        fee=plan.fee,
        expires_in_s=plan.expires_in_s,
        float_kind="f64",
        params=plan.params | params,
        limits=plan.limits,
    )


def begin(scene: Scene, plan: JobPlan) -> None:
    scene.board.title = plan.title
    scene.board.say(plan.title, "bold blue")
    scene.board.say(plan.told, "")


async def post(scene: Scene, plan: JobPlan, image: ImageRequest) -> str:
    """By the poster, through its own node."""
    posted = await scene.contractor.submit_job(request_of(plan, image), wait=POST_S)
    if "code" not in posted:
        raise DemoFailed(f"the posting was not in a block within {POST_S:.0f} s")
    scene.board.job_id = posted["job"]
    await read_job(scene.board, scene.contractor)
    return posted["job"]


async def identity_of(scene: Scene, name: str) -> Identity:
    """A member's key. It takes a second, which a job that is open has not to lose."""
    return await asyncio.to_thread(Keystore.open, scene.graph.member(name).data / "keystore.json", scene.graph.passphrase)


async def post_as(scene: Scene, identity: Identity, plan: JobPlan, image: ImageRequest, **params: Any) -> str:
    """By a member without a node: signed with its own key, sent through the poster's node."""
    clock = (await scene.contractor.status())["clock_now"]
    job = build_job(request_of(plan, image, **params), clock, JobParams().job_rate)
    posted = await scene.contractor.submit_tx([job], identity.key, wait=POST_S)
    if "code" not in posted:
        raise DemoFailed(f"{scene.board.name(identity.address)}'s posting was not in a block within {POST_S:.0f} s")
    return job_id_of(bytes.fromhex(posted["tx"]), 0).hex()


async def ended(scene: Scene, plan: JobPlan, job: str) -> Json:
    found: Json = {}

    async def over() -> bool:
        nonlocal found
        if job == scene.board.job_id:
            found = await read_job(scene.board, scene.contractor)
        else:
            found = dict(await scene.contractor.job(job))
        return found["state"] in ENDED

    await until(f"the end of job {job[:12]}", over, plan.expires_in_s + SETTLE_S, scene)
    return found


async def run_race(scene: Scene, image: ImageRequest) -> None:
    """Job one, and what the poster does with the model it bought."""
    begin(scene, RACE)
    scene.race = await post(scene, RACE, image)
    job = await ended(scene, RACE, scene.race)
    model = job.get("model")
    if job["state"] != "PAID" or not model:
        raise DemoFailed(f"job one ended {job['state']} instead of PAID")
    scene.fetched = await scene.contractor.fetch(model["cid"], scene.graph.folder / "model", max_size=model["size"])
    scene.board.say(f"{CONTRACTOR} fetched the model {model['cid']}, sha256 {scene.fetched.sha256}", "bold")
    use = example("digits.use")
    reading = await asyncio.to_thread(use.classify, scene.fetched.path)
    scene.right, scene.digits = reading.right, len(reading.digits)
    for line in use.picture(reading).splitlines():
        scene.board.say(line, "bold white")
    scene.board.say(f"the model reads {scene.right} of {scene.digits} digits correctly ({scene.accuracy:.1%})", "bold")


async def run_fraud(scene: Scene, image: ImageRequest) -> None:
    """Jobs two and three, of two posters: a member announces on both what its model does not hold."""
    begin(scene, FRAUD)
    second = await identity_of(scene, SECOND.name)
    first = await post(scene, FRAUD, image)
    scene.frauds = [first, await post_as(scene, second, FRAUD, image)]
    cheater = asyncio.create_task(_cheat(scene, scene.frauds))
    try:
        for job in scene.frauds:
            await ended(scene, FRAUD, job)
        await case_closed(scene, CHEATER.name, lambda: cheater.done())
        await asyncio.wait_for(cheater, SETTLE_S)
    except TimeoutError:
        raise DemoFailed("the cheater's script did not end") from None
    finally:
        cheater.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await cheater


async def run_lie(scene: Scene, image: ImageRequest) -> None:
    """Job four: the evaluator tells the truth until claims end, and the committee something else."""
    begin(scene, LIE)
    liar = await identity_of(scene, LIAR.name)
    scene.lie = await post_as(scene, liar, LIE, image, lies_after=int(time.time()) + LIE.expires_in_s)
    scene.board.job_id = scene.lie
    await ended(scene, LIE, scene.lie)
    await case_closed(scene, VICTIM, lambda: False)


async def case_closed(scene: Scene, name: str, otherwise: Callable[[], bool]) -> None:
    account = scene.graph.member(name).address

    async def judged() -> bool:
        await read_job(scene.board, scene.contractor)
        return (await scene.contractor.account(account))["status"] in ("banned", "active") or otherwise()

    await until(f"the end of the case against {name}", judged, SETTLE_S, scene)


async def _cheat(scene: Scene, jobs: list[str]) -> None:
    """The cheater's script, a process of its own. What it says of itself is shown, never relied on."""
    graph, home, cheater = scene.graph, scene.graph.member(CONTRACTOR), scene.graph.member(CHEATER.name)
    named = [word for job in jobs for word in ("--job", job)]
    words = ["--api", home.url, "--token-file", str(home.data / "api.token"), "--keystore", str(cheater.data / "keystore.json")]
    with cheater.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "learningchain.examples.cheater", *words, *named, "--loss", FALSE_LOSS),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=graph.environment(),
            start_new_session=True,
        )
    graph.helpers.append(process)
    if process.stdout is not None:
        async for line in process.stdout:
            step: Json = json.loads(line)
            scene.cheater_said.append(step)
            facts = ", ".join(f"{k} {v}" for k, v in step.items() if k not in ("step", "job"))
            scene.board.say(f"{cheater.name}'s script: {step.get('step')}" + (f" ({facts})" if facts else ""), "dim")
    code = await process.wait()
    if code:
        raise DemoFailed(f"the cheater's script ended with exit code {code}; its log {cheater.log} ends with:\n{tail(cheater.log)}")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
