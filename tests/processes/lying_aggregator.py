"""The real node, whose Screens call one member's update WRONG: `python -m tests.processes.lying_aggregator MEMBER node …`.

MEMBER is the account in hex. Everything else it does as it should: it trains, adds up and measures.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from learningchain.chain.contracts.federation.messages import FileCode, ScreenUpdates
from learningchain.client.work.events import Submit


def denying(screen: Callable[..., Iterator[Any]], member: bytes) -> Callable[..., Iterator[Any]]:
    """`screen` of the aggregator, with another code at the place of that member's file."""

    def lie(at: Any, mine: Any) -> Iterator[Any]:
        for said in screen(at, mine):
            if isinstance(said, Submit) and isinstance(said.op, ScreenUpdates):
                codes = bytearray(said.op.codes)
                for place, file in enumerate(at.files):
                    codes[place] = FileCode.WRONG if file.account == member else codes[place]
                yield dataclasses.replace(said, op=replace(said.op, codes=bytes(codes)))
            else:
                yield said

    return lie


def main() -> int:
    member = bytes.fromhex(sys.argv[1])
    del sys.argv[1]
    from learningchain.client.cli.app import main as run
    from learningchain.client.contracts.federation.roles import sum_work

    sum_work._screen = denying(sum_work._screen, member)
    return run()


if __name__ == "__main__":
    raise SystemExit(main())
