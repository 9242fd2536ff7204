"""Jobs as objects: `node.jobs` posts and finds them, a job is waited for and gives its winner's model."""

from __future__ import annotations

import asyncio
import builtins
import tempfile
import time
import warnings
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from learningchain.client.contracts.job.references import find
from learningchain.client.contracts.job.sealing import encrypted, noted, readable
from learningchain.client.contracts.job.terms import combined, data_of, devices_of, earlier_of, read_set, taken
from learningchain.client.sdk.bar import ProgressBar
from learningchain.client.sdk.calls import Blocking, call
from learningchain.client.sdk.objects import NodeObject, ObjectsPart
from learningchain.client.sdk.types import NotFoundError, UnavailableError, UsageError
from learningchain.client.sdk.values import Credits, Span, credits_text, loss_text, moment, own_name, seconds

if TYPE_CHECKING:
    from learningchain.sandbox.building.function import FunctionJob

POLL_S: Final = 1.0
"""How often a job that is waited for is asked about."""
POST_S: Final = 60.0
"""How long a posting may take to stand in a block."""
ENDED: Final = ("PAID", "REFUNDED", "EMPTY")
STAGES: Final = ("OPEN", "REVEAL", "KEY", "DRAW", "COMMIT", "COUNT")
"""States of a job that goes on, in their order; an audit may come back to the fourth."""
FULL_COMMITTEE: Final = 7


class JobObject(NodeObject):
    """A job as the node told of it last; `refresh` asks again. `raw` has everything that the API says."""

    @property
    def id(self) -> str:
        return str(self.raw["id"])

    @property
    def name(self) -> str | None:
        """What it was called when it was posted from this machine; None where it has no name here."""
        return self._own_name()

    @property
    def number(self) -> int:
        return int(self.raw["number"])

    @property
    def state(self) -> str:
        """OPEN, REVEAL, KEY, DRAW, COMMIT or COUNT; in the end PAID, REFUNDED or EMPTY."""
        return str(self.raw["state"])

    @property
    def is_over(self) -> bool:
        return self.state in ENDED

    @property
    def bounty(self) -> Decimal:
        return Decimal(self.raw["bounty"])

    @property
    def poster(self) -> str:
        return str(self.raw["poster"])

    @property
    def winner(self) -> str | None:
        winner: str | None = self.raw["winner"]
        return winner

    @property
    def claims(self) -> int:
        """How many members claim a model."""
        return int(self.raw["claimants"])

    @property
    def loss(self) -> float | None:
        """The winner's, or until there is one the lowest that is claimed; None where none is, or only a list told of the job."""
        claims = self.raw.get("claims") or []
        own = [claim for claim in claims if claim["claimant"] == self.winner]
        return min((float(claim["loss"]) for claim in own or claims), default=None)

    @property
    def posted(self) -> datetime | None:
        return moment(self.raw["posted"])

    @property
    def expires(self) -> datetime | None:
        """When claims end."""
        return moment(self.raw["expiry"])

    @property
    def ended(self) -> datetime | None:
        return moment(self.raw.get("ended"))

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "id": self.id[:12],
            "name": self.name,
            "state": self.state,
            "bounty": self.bounty,
            "claims": self.claims,
            "loss": self.loss,
        }
        return facts | {"winner": self.winner, "expires": self.expires and f"{self.expires:%Y-%m-%d %H:%M:%S} UTC"}

    @call
    async def refresh(self) -> None:
        """Ask the node how the job stands now."""
        self.raw = await self._node.job(self.id)

    @call
    async def wait(self, *, progress: bool = False, timeout: Span | None = None) -> None:
        """Wait until the job is over, whether a winner was paid or not: `state` says which.

        progress: show how far it is, in a terminal or a notebook.
        timeout: such as "30m"; the job goes on when it has passed. Raises UnavailableError then.
        """
        until = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        bar = ProgressBar(f"job {self.id[:12]}", on=progress)
        try:
            while True:
                self.raw = await self._node.job(self.id)
                bar.show(*_how_far(self))
                if self.is_over:
                    return
                if until is not None and time.monotonic() >= until:
                    raise UnavailableError(f"Job {self.id} is {self.state} still. Wait for it again, it goes on", name="NOT_OVER")
                await asyncio.sleep(POLL_S)
        finally:
            bar.close()

    @call
    async def model(self) -> bytes:
        """The winner's model, as its program wrote it, checked against the ledger. A stranger made it: never unpickle it.

        Raises NotFoundError where the job has no winner.
        """
        with tempfile.TemporaryDirectory(prefix="learningchain-") as folder:
            found = await self._fetched(Path(folder) / "model", overwrite=False)
            return await asyncio.to_thread(found.read_bytes)

    @call
    async def save_model(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the winner's model into a file, or into a folder as model-<job>, and return where it is."""
        return await self._fetched(Path(path), overwrite=overwrite)

    async def _fetched(self, path: Path, *, overwrite: bool) -> Path:
        return (await self._node.fetch_model(self.id, path, overwrite=overwrite)).path


class AsyncJob(JobObject):
    __doc__ = JobObject.__doc__


class Job(Blocking, JobObject):
    __doc__ = JobObject.__doc__


J = TypeVar("J", AsyncJob, Job)


class JobsCalls(NodeObject, Generic[J]):
    """The network's jobs."""

    _one: type[J]

    @call
    async def get(self, job: str) -> J:
        """A job by its id, by the first characters of it, or "latest"."""
        return self._one(self._link, await self._node.job(await find(self._node, job)))

    @call
    async def post(
        self,
        image: str | Path | FunctionJob,
        *,
        bounty: Credits | None = None,
        expires: Span | None = None,
        name: str | None = None,
        sets: Mapping[str, str] | None = None,
        hidden: str | Path | None = None,
        params: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        begin_with: str | None = None,
        gpus: int | None = None,
        gpu_mem_mb: int | None = None,
        gpu_kind: str | None = None,
        fee: Credits | None = None,
        tol: float | str | None = None,
        floor: float | str | None = None,
        float_kind: str | None = None,
        finalists: int | None = None,
        on_cheat: str | None = None,
    ) -> J:
        """Post a job as the node's account: whoever trains the model with the lowest loss gets the bounty.

        image: an archive, a folder or module to build it of, functions of @learningchain.job, or name@sha256:... of a registry.
            A folder's job.toml has terms under [post], which need not be said here; what is said here goes before them.
        bounty: credits; beside them fees and a bond are locked until the job is over.
        expires: when claims end, from now: "30m", seconds, or a timedelta.
        name: a name of one's own, kept in the node's data folder where that is on this machine.
        sets: CIDs of published data sets by their names in the job; ":train" or ":evaluate" behind one: for that alone.
        hidden: a file of examples that nobody can read before all models are shown, encrypted here; the node keeps the key.
        params: handed to the program. limits: of a run, such as {"cpus": 2, "mem_mb": 4096, "train_s": 600}.
        begin_with: a paid job, whose model trainings begin with; claims must be better than it is.
        gpus: how many the training asks for, with gpu_mem_mb MiB at least, of gpu_kind "cuda" or "rocm".
        fee: for each judged vote. tol: by how much a measured loss may be above the claim. floor: the lowest that can be true.
        float_kind: "f32" or "f64". finalists: how many are judged at most. on_cheat: "refund" or "next-best".
        Raises UsageError, and RejectedError with the rule where the ledger would refuse it; nothing is sent then.
        """
        from learningchain.client.sdk.images import is_built, prepare, smallest

        said: dict[str, Any] = {"name": name, "bounty": bounty, "expires": expires, "fee": fee, "params": params, "tol": tol}
        said |= {"floor": floor, "float_kind": float_kind, "finalists": finalists, "on_cheat": on_cheat, "hidden": hidden}
        said |= {"begin_with": begin_with, "gpus": gpus, "gpu_mem_mb": gpu_mem_mb, "gpu_kind": gpu_kind}
        said["sets"] = None if sets is None else [f"{one}={cid}" for one, cid in sets.items()]
        folder = Path(image).expanduser() if isinstance(image, str | Path) and "@sha256:" not in str(image) else None
        terms, _ = combined(folder, said)
        body, named_sets = _body(terms, limits), [read_set(one) for one in terms.get("sets", ())]
        called = own_name(terms.get("name"))
        secret = None if "hidden" not in terms else Path(terms["hidden"]).expanduser()
        if secret is not None:
            readable(secret)
        built = is_built(image)
        await self._node.status()  # a node that is away is told before a long build
        body |= await data_of(self._node, named_sets)
        with tempfile.TemporaryDirectory(prefix="learningchain-") as scratch:
            earlier = None if "begin_with" not in terms else Path(scratch) / "earlier-model"
            if earlier is not None:
                body |= await earlier_of(self._node, terms["begin_with"], earlier)
            if built:  # which may take minutes
                taken(await self._node.quote_job(body | smallest()))
            named, archive = await asyncio.to_thread(prepare, image, Path(scratch))
            body, sealed = named | body, None
            if secret is not None and (known := noted(secret)) is not None:
                body["hidden"] = known
            elif secret is not None:
                sealed = await asyncio.to_thread(encrypted, secret, Path(scratch))
                body["hidden"] = sealed.posted
            quote = await self._node.quote_job(body)
            taken(quote)
            _warn_of_few(quote["judges"])
            for path in filter(None, (archive, earlier)):
                await self._node.upload(path)
            if sealed is not None:
                await self._node.keep_hidden_key(sealed.key)  # before the job: one whose key is nowhere would burn its deposit
                await self._node.upload(sealed.path)
        done = await self._node.submit_job(body, wait=POST_S)
        self._call_it(done["job"], called)
        try:
            return self._one(self._link, await self._node.job(done["job"]))
        except NotFoundError:
            sent = f"The job was sent (transaction {done['tx']}) and stands in no block yet"
            why = f"{sent}. Look for it with node.jobs.get({done['job'][:12]!r})"
            raise UnavailableError(why, name="NOT_FINAL") from None

    @call
    async def list(self, *, live: bool = False, limit: int = 50) -> builtins.list[J]:
        """The newest jobs, the newest first. live: only those that are not over."""
        return [self._one(self._link, found) for found in await self._node.jobs(live=live, limit=limit)]


class AsyncJobs(JobsCalls[AsyncJob]):
    __doc__ = JobsCalls.__doc__
    _one = AsyncJob


class Jobs(Blocking, JobsCalls[Job]):
    """The network's jobs. `node.jobs["3fa9c1"]` is the one whose id begins so."""

    _one = Job

    def __getitem__(self, job: str) -> Job:
        return self.get(job)


class AsyncNodeJobs(NodeObject):
    """What an awaited node has of jobs."""

    @property
    def jobs(self) -> AsyncJobs:
        """Post jobs, and find them."""
        return AsyncJobs(self._link)


class NodeJobs(Blocking, NodeObject):
    """What a blocking node has of jobs."""

    @property
    def jobs(self) -> Jobs:
        """Post jobs, and find them."""
        return Jobs(self._link)


PART: Final = ObjectsPart(AsyncNodeJobs, NodeJobs)
"""What a node has of this contract, awaited and blocking."""


def _body(terms: Mapping[str, Any], limits: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a posting says of its terms. Raises `UsageError`."""
    for needed, such in (("bounty", "bounty=20"), ("expires", 'expires="30m"')):
        if needed not in terms:
            raise UsageError(f"A job needs {needed}. Give {such}, or write it under [post] in the job's job.toml")
    body: dict[str, Any] = {"bounty": credits_text(terms["bounty"], "bounty"), "expires_in_s": seconds(terms["expires"], "expires")}
    body |= {name: terms[name] for name in ("params", "float_kind", "finalists", "on_cheat") if name in terms}
    body |= devices_of(terms)
    if "fee" in terms:
        body["fee"] = credits_text(terms["fee"], "fee")
    body |= {name: loss_text(terms[name]) for name in ("tol", "floor") if name in terms}
    found = {name: terms[name] for name in ("cpus", "mem_mb", "tmp_mb", "threads") if name in terms}
    found |= {
        f"{name}_s": round(seconds(terms[f"{name}_time"], f"{name}_time")) for name in ("train", "eval") if f"{name}_time" in terms
    }
    if "model_mb" in terms:
        found["model_cap"] = round(terms["model_mb"] * 2**20)
    return body | ({"limits": found | dict(limits or {})} if found or limits else {})


def _how_far(job: JobObject) -> tuple[float, str]:
    """From 0 to 1, and in words. Half of the way is the time in which claims come."""
    claims = f", {job.claims} claim{'' if job.claims == 1 else 's'}" if job.claims else ""
    best = "" if job.loss is None else f", loss {job.loss:.6g}"
    if job.state != "OPEN" or job.posted is None or job.expires is None:
        done = 0.5 + 0.5 * STAGES.index(job.state) / len(STAGES) if job.state in STAGES else 1.0
        return done, f"{job.state}{claims}{best}"
    left = job.expires.timestamp() - time.time()
    done = 0.5 * (1 - left / max(1.0, job.expires.timestamp() - job.posted.timestamp()))
    return min(0.5, max(0.0, done)), f"{job.state}{claims}{best}"


def _warn_of_few(judges: int) -> None:
    if judges < FULL_COMMITTEE:
        text = f"{judges} verifiers can judge this job, fewer than the {FULL_COMMITTEE} of a whole committee"
        warnings.warn(f"{text}: {max(1, (judges + 1) // 2)} of them that conspire can have a false claim paid", stacklevel=2)
