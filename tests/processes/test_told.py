"""What commands tell of a real node: what it is waited for, and a job that ended, with the times of its blocks."""

from __future__ import annotations

from pathlib import Path

from learningchain.client.cli.common import when
from learningchain.client.contracts.job.http.schema import ImageRequest, JobRequest
from tests.processes.clocked import HOUR_MS, ClockedGraph
from tests.processes.harness import NodeProcess, Role, command, validators
from tests.processes.scripted import JUDGE, declare

NOTHING = JobRequest(image=ImageRequest(reference="registry.example/nothing@sha256:" + "ab" * 32), bounty="1", expires_in_s=3_600)


async def test_a_newcomer_is_told_what_happens(tmp_path: Path) -> None:
    async with ClockedGraph(tmp_path, [*validators(1), Role("late")], people=[JUDGE]) as graph:
        first, late = graph["v0"], graph["late"]
        code, _, err = await command(late, "status", "--wait", "0.1")
        assert code == 3 and "Waiting for the node to start: none runs on" in err
        await graph.start("v0")
        assert (await command(first, "status", "--wait", "60"))[::2] == (0, ""), "its only validator waits for nobody"
        await declare(first, [JUDGE])
        job = (await first.api.submit_job(NOTHING, wait=30))["job"]
        await graph.clock.advance(HOUR_MS)
        await first.job_in(job, "EMPTY")
        await first.stop()
        await graph.start("v0", "late")
        code, out, _ = await command(late, "status", "--wait", "60")
        assert code == 0 and "height" in out
        for node in (first, late):
            await node.job_in(job, "EMPTY")
            await _tells(node, job)
        assert (await command(late, "name", "set", first.address, "alice"))[0] == 0
        code, out, _ = await command(late, "transfer", "alice", "1")
        assert code == 0 and f"to {first.address} (alice) in block" in out


async def _tells(node: NodeProcess, job: str) -> None:
    """A job that ended, whether the node took part in it, was started again since, or came later."""
    code, out, err = await command(node, "job", "watch", job[:16])
    events = (await node.api.job_events(job))[::-1]
    assert (code, err) == (0, "") and [event["topic"] for event in events] == ["job.posted", "empty", "bond"]
    for event, line in zip(events, out.splitlines(), strict=False):
        assert event["time"] == (await node.api.block(event["height"]))["time"]
        assert line.startswith(when(event["time"]))
