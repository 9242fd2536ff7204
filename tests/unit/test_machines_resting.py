"""A machine that starts again and again, or whose connection does, loses its runs each time: it is left alone for a while."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from learningchain.client.machines import frames as f
from learningchain.client.machines import hub as hub_module
from learningchain.client.machines.rests import LOSSES_S, MANY_LOSSES, REST_S
from learningchain.client.work.prepared import PreparedEngine
from learningchain.sandbox import RunStatus
from tests.unit.machines_kit import Site, a_site, spec
from tests.unit.test_machines import _by_hand, _next


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with a_site(tmp_path, monkeypatch) as made:
        await made.image()
        yield made


def notices(site: Site) -> list[str]:
    own = site.backend
    return [one.text for found in PreparedEngine(own).notices() for one in found if one.topic == "machine.rests"]


@pytest.mark.parametrize("how", ["starts anew", "stays away"])
async def test_a_machine_that_starts_again_and_again_rests(site: Site, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "stays away":
        monkeypatch.setattr(hub_module, "LOST_S", 0.01)
    secrets, clock = await site.joined("gpu1"), [1_000.0]
    monkeypatch.setattr(site.hub, "_now", lambda: clock[0])

    async def loses_its_runs() -> None:
        """Two at once: that is one loss."""
        async with contextlib.AsyncExitStack() as stack:
            async with _by_hand(site, secrets) as (frames, _):
                runs = [asyncio.create_task(site.run(spec(run_id=f"train-{i}"))) for i in range(2)]
                for _ in runs:
                    assert isinstance(await _next(frames), f.Take)
            if how == "starts anew":
                await stack.enter_async_context(_by_hand(site, secrets))
            assert {(one.status, one.lost) for one in await asyncio.gather(*runs)} == {(RunStatus.ENGINE_ERROR, True)}

    async def rests(seconds: float) -> None:
        async with _by_hand(site, secrets):
            clock[0] += seconds - 1
            assert site.state("gpu1") == "failing" and f"none for {seconds / 60:g} minutes" in notices(site)[0]
            assert "at once after a start of this node" in notices(site)[0]
            assert (await site.run(spec())).status is RunStatus.OK and site.own.ran.pop() == "train-ok"
            clock[0] += 1
            assert site.state("gpu1") == "ready" and not notices(site)

    for _ in range(MANY_LOSSES):
        assert not notices(site)
        await loses_its_runs()
    await rests(REST_S)
    await loses_its_runs()
    await rests(2 * REST_S)
    clock[0] += LOSSES_S
    await loses_its_runs()
    assert not notices(site), "what was a day ago is forgotten"
