"""The work of a node goes by its [work] section as it stands; whether it trains is the command's word."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from client import work_service
from client.config import Config, WorkConfig
from client.core import Files, Ledger
from client.work_service import WorkService


class _Ledger:
    own_id = bytes(20)


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("train", [True, False])
async def test_only_whether_to_train_is_the_commands_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bool, train: bool
) -> None:
    given: list[WorkConfig] = []

    class Heard:
        def __init__(self, *args: Any, **_: Any) -> None:
            given.append(args[4])

        async def start(self) -> None: ...

    monkeypatch.setattr(work_service, "WorkDriver", Heard)
    section = WorkConfig(enabled=said, attempts=7, min_bounty="2.5")
    room = WorkService(tmp_path, Config(work=section), cast(Ledger, _Ledger()), cast(Files, None), train=train)
    await room.start()
    assert given == [WorkConfig(enabled=train, attempts=7, min_bounty="2.5")]
