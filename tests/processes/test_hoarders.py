"""Members that fill every mempool with what they may sign: everybody else's messages are final all the same, and no kind of space
holds more than it may. How much longer they take is measured by `python -m benchmarks --only full_mempools`."""

from __future__ import annotations

from pathlib import Path

import pytest

from learningchain.chain.node.space import GAP_SHARE
from tests.processes.harness import NodeProcess
from tests.processes.hoarders import MESSAGES, hoarders
from tests.tiers import sampled


@pytest.mark.parametrize("count", sampled([10, 1], 2, "ten accounts at once run every time"))
async def test_full_mempools_lose_nobody_elses_messages(tmp_path: Path, count: int) -> None:
    """66 MB behind a gap, thousands of ready ones, and hundreds of refused claims with a deadline, of one account and of ten."""
    async with hoarders(tmp_path, count) as held:
        sent = await held.fill()
        await held.press()
        before = await held.used()
        assert len(await held.everybody()) == MESSAGES
        assert await held.used() > before, "meanwhile blocks had their messages, too"
        assert sent > 4 * sum([await within_bounds(node, count) for node in held.nodes])
        await held.graph.agree()


async def within_bounds(node: NodeProcess, count: int) -> int:
    """The bytes that wait behind gaps."""
    spaces = (await node.api.status())["mempool_room"]
    for name, space in spaces.items():
        assert space["bytes"] <= space["limit"], f"{name} of {node.name}"
    gap: int = spaces["not ready"]["bytes"]
    assert 0 < gap <= count * GAP_SHARE
    return gap
