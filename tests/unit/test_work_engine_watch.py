"""A node says within a minute that its engine is gone, and that it is back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from learningchain.client.work import engine_watch
from learningchain.sandbox import SandboxUnavailable
from tests.unit.work_kit import Chain, Node, Web, run_virtual, working

MINUTE_S = 60.0


async def _refuses() -> None:
    raise SandboxUnavailable("no Docker Engine answers")


async def _answers() -> None: ...


@pytest.mark.parametrize(("hangs", "said"), [(False, "no Docker Engine answers"), (True, "it has not answered for 20 s")])
def test_an_engine_that_is_gone_is_told_and_taken_back_within_a_minute(tmp_path: Path, hangs: bool, said: str) -> None:
    async def main() -> None:
        node = Node(Chain(["v"], ["w"]), Web(), "w", tmp_path / "w", working(), 1)
        work = await node.start()
        await asyncio.sleep(MINUTE_S)
        assert work.report is not None and work.report["ok"] and work.notices() == []
        whole = dict(work.report)
        back = asyncio.Event()

        async def waits() -> None:
            await back.wait()

        node.engine.looked = waits if hangs else _refuses
        await asyncio.sleep(MINUTE_S)
        assert not work.report["ok"] and said in work.report["reason"]
        assert [one["topic"] for one in work.notices()] == ["engine.gone"] and said in work.notices()[0]["text"]
        assert work._sandbox.machine() is None, "no training begins"
        asked = len(node.engine.looks)
        await asyncio.sleep(2 * MINUTE_S)
        assert not hangs or len(node.engine.looks) == asked, "who hangs is asked no other question"
        node.engine.looked = _answers
        back.set()
        await asyncio.sleep(MINUTE_S)
        assert work.report == whole and work.notices() == []
        assert node.engine.looks[0] is False and True in node.engine.looks, "its limits are proved anew"
        await node.kill()

    assert engine_watch.LOOK_S + engine_watch.ANSWER_S < MINUTE_S
    run_virtual(main())
