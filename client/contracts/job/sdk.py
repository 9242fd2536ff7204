"""Calls about jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from learningchain.client.sdk.calls import SdkPart, call, stream
from learningchain.client.sdk.http import MAX_PAGE, Progress, given, path_id
from learningchain.client.sdk.node import NodeCalls
from learningchain.client.sdk.types import Fetched, Json, NotFoundError, UnreachableError

if TYPE_CHECKING:
    from learningchain.client.contracts.job.http.schema import (
        HiddenKept,
        JobCancelled,
        JobExtended,
        JobPosted,
        JobQuote,
        JobRequest,
        JobSummary,
        JobView,
        TrainersView,
    )
    from learningchain.client.schema.bodies import EventView


class JobCalls(NodeCalls):
    @call
    async def jobs(
        self, *, live: bool = False, beginning: str | None = None, before: int | None = None, limit: int = 50
    ) -> list[JobSummary]:
        """Jobs, newest first, at most 1,000; go on with `before` = the last one's `number`, or use `every_job`. `beginning` asks
        for those whose id begins so, however old they are."""
        return await self.api.rows("/v1/jobs", live="true" if live else None, id=beginning, before=before, limit=limit)

    @stream
    async def every_job(self, *, live: bool = False, before: int | None = None, page: int = MAX_PAGE) -> AsyncIterator[JobSummary]:
        """Jobs, newest first, to the oldest: asks for the next `page` of them when the last one is used up."""
        while found := await self.jobs(live=live, before=before, limit=page):
            for job in found:
                if before is not None and job["number"] >= before:
                    raise UnreachableError("The node lists the same jobs again: its version does not fit this client's")
                before = job["number"]
                yield job
            if len(found) < page:
                return

    @call
    async def job_events(self, job: str, *, before: int | None = None, limit: int = 50) -> list[EventView]:
        """What happened to a job, newest first, with block and time; go on with `before` = the last one's `cursor`."""
        return await self.api.rows(f"/v1/jobs/{path_id(job)}/events", before=before, limit=limit)

    @call
    async def job(self, job: str) -> JobView:
        return cast("JobView", await self.api.get(f"/v1/jobs/{path_id(job)}"))

    @call
    async def submit_job(self, job: JobRequest | Json, *, wait: float = 0) -> JobPosted:
        """Post a job as the node's account; `job` in the answer is its id. A document of the API goes as it is."""
        return cast("JobPosted", await self.api.submit("/v1/jobs", job if isinstance(job, dict) else given(job), wait))

    @call
    async def quote_job(self, job: JobRequest | Json) -> JobQuote:
        """What a job would lock and cost, and who could judge it. Nothing is sent, and nothing need be uploaded."""
        return cast("JobQuote", await self.api.call("POST", "/v1/jobs/quote", body=job if isinstance(job, dict) else given(job)))

    @call
    async def trainers(self, arch: str, train_s: int) -> TrainersView:
        """How many nodes of others declared that they take on a training of so many seconds on this architecture."""
        return cast("TrainersView", await self.api.get("/v1/trainers", arch=arch, train_s=train_s))

    @call
    async def cancel_job(self, job: str, *, wait: float = 0) -> JobCancelled:
        """Take back a job of the node's account that nobody has claimed on."""
        return cast("JobCancelled", await self.api.submit(f"/v1/jobs/{path_id(job)}/cancel", None, wait))

    @call
    async def extend_job(self, job: str, *, expires_in_s: float, wait: float = 0) -> JobExtended:
        """Give a job of the node's account that nobody has claimed on a later expiry, in seconds from now."""
        path = f"/v1/jobs/{path_id(job)}/extension"
        return cast("JobExtended", await self.api.submit(path, {"expires_in_s": expires_in_s}, wait))

    @call
    async def keep_hidden_key(self, key: bytes) -> HiddenKept:
        """Leave the key of hidden data (32 bytes) with the node, which reveals it by itself; the hash that postings name."""
        return cast("HiddenKept", await self.api.call("POST", "/v1/hidden-keys", body={"key": key.hex()}))

    @call
    async def fetch_model(self, job: str, dest: Path, *, overwrite: bool = False, on_progress: Progress | None = None) -> Fetched:
        """The winning model of a job, checked against the CID in the ledger. A folder as `dest` gets `model-<job>`.

        The bytes are a stranger's: never unpickle them outside a sandbox.
        """
        found = await self.job(job)
        model = found.get("model")
        if not model:
            over = found.get("state") in ("EMPTY", "REFUNDED")
            what = f"it ended as {found['state']}" if over else f"watch it until it is PAID (learningchain job watch {job[:12]})"
            raise NotFoundError(f"Job {job} has no winner's model: {what}")
        target = dest / f"model-{job[:16]}" if dest.is_dir() else dest
        path = f"/v1/jobs/{path_id(job)}/model"
        return await self.api.download(path, {}, model["cid"], target, model["size"], overwrite, on_progress)


PART = SdkPart(JobCalls)
