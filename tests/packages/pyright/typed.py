"""A program of a user, read by type checkers in their strict modes and packed; `typed.py URL` asks a node."""

from __future__ import annotations

import asyncio
import sys

import learningchain
from learningchain import AsyncJob, Job, Node, Task


@learningchain.job(lock="requirements.lock", files=["data"])
def line(task: Task) -> bytes:
    return str(task.seed).encode()


@line.evaluate
def losses(task: Task, model: bytes) -> list[float]:
    return [float(model) / task.threads]


def post(node: Node) -> Job:
    job = node.jobs.post("my-job", bounty=20, expires="30m")
    job.wait(progress=True)
    return job


def look(node: Node) -> list[str]:
    for job in node.jobs.list():
        print(job.id[:12], job.state, job.bounty)
    for federation in node.federations.list():
        print(federation.id, federation.state)
    print(node.balance(), node.status().height, node.model("line").predict([2.5], n=3))
    return [learningchain.format_credits(learningchain.parse_credits("1.5")), learningchain.__version__]


async def newest(url: str, token: str) -> AsyncJob:
    async with await learningchain.connect_async(url=url, token=token) as node:
        return (await node.jobs.list())[0]


def main(url: str) -> None:
    for name in dir(learningchain):
        assert getattr(learningchain, name) is not None
    try:
        with learningchain.connect(url=url, token="x" * 64) as node:
            print(look(node))
        asyncio.run(newest(url, "x" * 64))
    except learningchain.UnreachableError as refusal:
        print(refusal)


if __name__ == "__main__":
    main(sys.argv[1])
