"""The commands of docs/contracts.md, in a program in which its contract is installed, on the API of a node with a real ledger.

python -m tests.toy.guided BLOCK…: each a block of shell; tells that all of them did what they say.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import structlog

from learningchain.client.cli.app import main
from tests.unit.api_kit import TOKEN, serving
from tests.unit.readme_kit import commands


def typed(words: list[str]) -> str:
    """What a command tells people."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(words)
    assert code == 0, words
    return " ".join(out.getvalue().split())


async def follow(blocks: list[str], folder: Path) -> dict[str, str]:
    (folder / "api.token").write_text(TOKEN)
    async with serving(folder, own="boss") as api:
        os.environ |= {"LEARNINGCHAIN_DATA": str(folder), "LEARNINGCHAIN_API": api.url}
        told = {" ".join(words[:2]): await asyncio.to_thread(typed, words) for block in blocks for words in commands(block)}
        document: Any = await api.get("/v1/openapi.json")
        assert document["paths"]["/v1/pledges"]["post"]["tags"] == ["pledges"]
        error = await api.refused("POST", "/v1/pledges", 409, json={"text": "again", "stake": "2"})
        assert error["name"] == "PLEDGE_STANDS" and "Wait until its time is over" in error["message"]
    return told


def check(told: dict[str, str]) -> None:
    assert told["pledge make"] == "Pledged: I shall water the plants"
    assert told["pledge list"].endswith("I shall water the plants")
    assert "free 998 locked 2 " in told["balance"] and "pledged I shall water the plants" in told["balance"]
    assert "pledge.locked -2 pledge:" in told["history"]


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with tempfile.TemporaryDirectory() as scratch:
        check(asyncio.run(follow(sys.argv[1:], Path(scratch))))
    print("all of it")
