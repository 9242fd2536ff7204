"""What a running node says of itself: whether it is in step, who is connected, what fails, what waits for its operator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from learningchain.client.doctor.findings import DoctorFinding, failure, fine, skipped, warning
from learningchain.client.doctor.machine import judge_checks, judge_devices
from learningchain.client.sdk.types import ApiError, UnavailableError

if TYPE_CHECKING:
    from learningchain.client.sdk.client import Client

STALE_S: Final = 120
"""A last block older than this is worth a warning, FAR times as old a failure; longer where the heartbeat is."""
FAR: Final = 5


@dataclass(frozen=True)
class Said:
    """What the API answered. `fault`: why it did not."""

    status: Mapping[str, Any] = field(default_factory=dict)
    connections: list[Any] = field(default_factory=list)
    machines: list[Any] = field(default_factory=list)
    """Others that train for the node."""
    unready: tuple[str, str] | None = None
    """Name and text, where the node is not ready."""
    sandbox: Mapping[str, Any] | None = None
    fault: str = ""


def ask(connect: Callable[[], Client], seconds: float) -> Said:
    """Never raises for what the node answers, or that it does not."""

    async def all_of() -> Said:
        async with asyncio.timeout(seconds), connect() as node:
            status = await node.status()
            connections, machines = await node.connections(), await node.machines()
            try:
                ready = await node.ready()
            except UnavailableError as fault:
                return Said(status, connections, machines, (fault.name or "", fault.message))
            return Said(status, connections, machines, sandbox=ready.get("sandbox"))

    try:
        return asyncio.run(all_of())
    except ApiError as fault:
        return Said(fault=fault.message)
    except TimeoutError:
        return Said(fault=f"no answer within {seconds:g} s")


def judge_run(said: Said, runs: bool, here: str) -> list[DoctorFinding]:
    """`here`: what this node is called in the next command."""
    if said.status:
        return [fine("node", f"it runs, at height {said.status.get('height'):,} of network {said.status.get('network')}")]
    if runs:
        return [
            failure("node", f"it runs, and its API does not answer: {said.fault}", "Its log says why; a start takes some seconds")
        ]
    return [warning("node", f"no node runs on this folder: {said.fault}", f"learningchain node{here}")]


def judge_progress(said: Said, now_ms: int) -> list[DoctorFinding]:
    """Blocks and peers."""
    status = said.status
    if not status:
        return []
    others = [v for v in status.get("validators", []) if v != status.get("id")]
    findings = _peers(said, bool(others))
    if status.get("syncing"):
        findings.append(warning("blocks", f"the node is at height {status['height']:,} and still fetches blocks", "Wait"))
        return findings
    age = max(0, now_ms - int(status.get("time", now_ms))) // 1000
    if age > STALE_S and status["height"] > 0:
        made = failure if age > FAR * STALE_S else warning
        todo = "Fewer than two thirds of the validators may be connected: learningchain peers, and wake the others"
        findings.append(made("blocks", f"the last block is {age:,} s old", todo))
    else:
        findings.append(fine("blocks", f"the last block is {age} s old"))
    return findings


def _peers(said: Said, others: bool) -> list[DoctorFinding]:
    count = said.status.get("peers", 0)
    if count or not others:
        return [fine("peers", f"{count} are connected")]
    last = next((event for event in said.connections if event.get("reason")), None)
    why = "" if last is None else f"; the last try, {last.get('address')}: {last.get('reason')}"
    return [
        failure(
            "peers", f"none is connected{why}", "learningchain peers says why of each; network.peers and the port must be right"
        )
    ]


def judge_sandbox(said: Said) -> list[DoctorFinding]:
    """The self-test that the running node made."""
    if said.unready is not None and said.unready[0] == "SANDBOX" and "has not ended" in said.unready[1]:
        return [skipped("sandbox", said.unready[1], "Wait a minute")]
    if said.unready is not None and said.unready[0] == "SANDBOX":
        return [failure("sandbox", said.unready[1], "docker info must succeed for the node's user; the node looks again by itself")]
    if said.unready is not None:
        return [skipped("sandbox", f"the node tells of its self-test once it is ready. {said.unready[1]}", "Wait")]
    if said.sandbox is not None:
        devices = [(str(one["name"]), bool(one["ok"]), str(one["detail"])) for one in said.sandbox.get("devices", [])]
        return judge_checks(list(said.sandbox.get("checks", []))) + judge_devices(devices)
    if said.status:
        return [skipped("sandbox", "the node that runs has made no self-test: it runs no jobs")]
    return [
        skipped("sandbox", "no node runs that made a self-test", "learningchain doctor --self-test makes one, in about a minute")
    ]


def judge_machines(said: Said) -> list[DoctorFinding]:
    """Others that train for the node: who is away or fails, and who has another version."""
    own, here = said.status.get("version"), [one for one in said.machines if one["state"] not in ("invited", "queued")]
    findings = [
        warning("machines", f"{one['name']} is {one['state']}: {one['why']}", "On that machine: learningchain machine doctor")
        for one in here
        if one["state"] in ("away", "failing")
    ]
    findings += [
        warning("machines", f"{one['name']} has LearningChain {one['version']}, and the node {own}", "Install the same on both")
        for one in here
        if own and one["version"] not in ("", own)
    ]
    if here and not findings:
        findings.append(fine("machines", f"all {len(here)} that train for this node are there"))
    return findings


def judge_words(said: Said) -> list[DoctorFinding]:
    """What fails in the node's own work, what is parked, what its operator should know: each with the node's own text."""
    findings = [
        failure("failing", f"{one.get('part')}: {one.get('why')}", "The log has more; docs/operating.md, When something is wrong")
        for one in said.status.get("failing", [])
    ]
    findings += [
        warning(
            "parked",
            f"{one.get('contract')} {one.get('ref')}: {one.get('fault')}",
            "The validators release it: learningchain status",
        )
        for one in said.status.get("parked", [])
    ]
    findings += [
        warning("notices", f"{one.get('topic')}: {one.get('text')}", "docs/operating.md has the topic")
        for one in said.status.get("notices", [])
    ]
    return findings
