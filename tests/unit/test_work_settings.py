"""The work of a node goes by its [work] section as it stands; whether it trains is the command's word."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from learningchain.client.config import OWN_SECTIONS, Config, ServeConfig, WorkConfig
from learningchain.client.contracts.job.work import WORK
from learningchain.client.node import work_service
from learningchain.client.node.interface import Files, Ledger
from learningchain.client.node.work_service import WorkService
from tests.unit.work_kit import Chain, LedgerDouble


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("drawn", [True, False])
@pytest.mark.parametrize("willing", [True, False])
async def test_whether_to_train_is_the_commands_word_and_whether_to_evaluate_also_the_ledgers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bool, train: bool, drawn: bool, willing: bool
) -> None:
    """A node that neither trains nor can be drawn runs nothing, and needs no engine for its other duties."""
    given: list[WorkConfig] = []

    class Heard:
        def __init__(self, *args: Any, **more: Any) -> None:
            given.append(args[4])
            runs.append(WORK.runs(args[4], more["drawn"]()))

        async def start(self) -> None: ...

    runs: list[bool] = []
    monkeypatch.setattr(work_service, "WorkDriver", Heard)
    section = WorkConfig(enabled=said, verify=willing, attempts=7, min_bounty="2.5")
    chain = Chain(["v"], ["w"], capacity=None)
    ledger = LedgerDouble(chain, "v" if drawn else "w")
    own: Any = {"federation": OWN_SECTIONS["federation"](serve=said)}
    room = WorkService(
        tmp_path,
        Config(work=section, serve=ServeConfig(slots=7), **own),
        cast(Ledger, ledger),
        cast(Files, None),
        train=train,
    )
    await room.start()
    serve = ServeConfig(slots=7)
    assert given == [WorkConfig(enabled=train, verify=willing, attempts=7, min_bounty="2.5", serve=serve, **own)]
    assert runs == [train or (willing and drawn)]
