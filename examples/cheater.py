# ruff: noqa: T201
"""A cheater, to see what becomes of one: `python -m learningchain.examples.cheater --api URL --token-file FILE --keystore FILE
--job ID ...`.

It signs with a member's own key, but trains nothing: it makes an untrained model of the digits job, uploads it to a node, and
announces a loss that the model does not have, on every job that is named. When claims have ended it reveals the model, as the
rules demand. The other nodes evaluate it, and the cheater is suspended. What lied to two contractors is banned by the validators'
votes; lying to one alone costs a stake. After a ban it tries to send one more message.

Everything goes through the public SDK and the API of some node; the graph's rules are all that stands against it. Prints one
line of JSON for each thing it did. Exit code 0 when the graph refused its last message, 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import learningchain as lc
from learningchain.chain.contracts.job.messages import claim_commitment
from learningchain.examples.digits.job import fresh_model, save_model
from learningchain.p2p.content import cid as cids

HIDDEN_UNITS = 16
FINAL_S = 20.0
"""How long a message may take to stand in a block."""


def tell(step: str, **facts: Any) -> None:
    print(json.dumps({"step": step, **facts}), flush=True)


def untrained_model() -> bytes:
    """A well-formed model that guesses: its weights are random."""
    return save_model(fresh_model(np.random.default_rng(secrets.randbits(64)), HIDDEN_UNITS))


class Cheater:
    """False claims on some jobs, from the model to the refusal of whatever comes after the ban."""

    def __init__(self, node: lc.Client, identity: lc.Identity, jobs: list[str], patience_s: float) -> None:
        self._node, self._me, self._jobs = node, identity, jobs
        self._until = time.monotonic() + patience_s

    async def run(self, loss: str) -> int:
        stored = await self._upload(untrained_model())
        chain_id = bytes.fromhex((await self._node.status())["chain_id"])
        model = cids.parse(stored["cid"])
        salts = {job: secrets.token_bytes(32) for job in self._jobs}
        for job, salt in salts.items():
            commitment = claim_commitment(chain_id, bytes.fromhex(job), self._me.id, model.digest, salt)
            await self._send(lc.Claim(bytes.fromhex(job), lc.parse_loss(loss), commitment, stake=True))
            tell("claimed", loss=loss, job=job)
        await asyncio.gather(*(self._reveal(job, model.to_bytes(), stored["size"], salt) for job, salt in salts.items()))
        await self._standing("suspended")
        await self._standing("banned")
        return await self._try_again()

    async def _reveal(self, job: str, model: bytes, size: int, salt: bytes) -> None:
        await self._job_state(job, "REVEAL")
        await self._send(lc.Reveal(bytes.fromhex(job), 1, model, size, salt))
        tell("revealed", job=job)

    async def _upload(self, model: bytes) -> Any:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "model"
            path.write_bytes(model)
            stored = await self._node.upload(path)
        tell("model", **stored)
        return stored

    async def _send(self, message: Any) -> None:
        await self._node.submit_tx([message], self._me.key, wait=FINAL_S)

    async def _job_state(self, job: str, state: str) -> None:
        while (now := (await self._node.job(job))["state"]) != state:
            if now != "OPEN":
                raise TimeoutError(f"the job is {now} already")
            await self._pause()

    async def _standing(self, status: str) -> None:
        while (now := (await self._node.account(self._me.address))["status"]) not in (status, "banned"):
            await self._pause()
        tell(now)

    async def _pause(self) -> None:
        if time.monotonic() > self._until:
            raise TimeoutError("nothing happened for too long")
        await asyncio.sleep(0.2)

    async def _try_again(self) -> int:
        """To itself it could not even send: any other account will do."""
        other = (await self._node.status())["id"]
        try:
            await self._node.submit_tx([lc.Transfer(lc.parse_address(other), 1, b"")], self._me.key, wait=FINAL_S)
        except (lc.InvalidError, lc.RejectedError) as refusal:
            tell("refused", code=refusal.code, name=refusal.name, why=refusal.message)
            return 0
        tell("accepted")
        return 1


async def cheat(options: argparse.Namespace) -> int:
    identity = lc.Keystore.open(options.keystore, os.environ.get("LEARNINGCHAIN_PASSPHRASE", ""))
    async with lc.Client(options.api, options.token_file.read_text().strip()) as node:
        return await Cheater(node, identity, options.job, options.patience).run(options.loss)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="learningchain.examples.cheater", description="Announce a false loss and see what happens."
    )
    parser.add_argument("--api", required=True, help="API of any node, http://127.0.0.1:7401")
    parser.add_argument("--token-file", required=True, type=Path, help="that node's api.token")
    parser.add_argument("--keystore", required=True, type=Path, help="a member's keystore; $LEARNINGCHAIN_PASSPHRASE opens it")
    parser.add_argument("--job", required=True, action="append", help="a job's id; may be given again")
    parser.add_argument("--loss", default="0.001", help="the loss to announce")
    parser.add_argument("--patience", default=150.0, type=float, help="seconds until it gives up")
    try:
        return asyncio.run(cheat(parser.parse_args(argv)))
    except (lc.ApiError, lc.KeystoreError, OSError, TimeoutError, ValueError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
