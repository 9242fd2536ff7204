"""Every setting of the [work] section reaches the worker's policy."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec
import pytest

from chain.crypto import address
from client.config import Config, WorkConfig
from client.work_room import work_config

CHANGED: dict[str, Any] = {
    "min_bounty": "2.5",
    "min_time_left_s": 77,
    "max_run_s": 77,
    "max_image_mb": 77,
    "max_model_mb": 77,
    "max_mem_mb": 77,
    "max_hidden_mb": 77,
    "allowed_contractors": [address(bytes(20))],
    "denied_contractors": [address(bytes(20))],
    "check_record": False,
    "concurrent": 7,
    "attempts": 7,
    "verify": False,
    "reveal": "must",
    "serve_won_days": 7,
    "judge": "never",
}


def test_every_setting_is_tried_here() -> None:
    assert set(CHANGED) == {f.name for f in msgspec.structs.fields(WorkConfig)} - {"enabled"}


@pytest.mark.parametrize("name", CHANGED)
def test_a_setting_changes_what_the_worker_goes_by(name: str) -> None:
    usual, other = (asdict(work_config(Config(work=WorkConfig(**work)), train=True)) for work in ({}, {name: CHANGED[name]}))
    assert {key for key in usual if usual[key] != other[key]} == {name}


def test_whether_to_train_is_the_commands_word() -> None:
    assert work_config(Config(), train=True).enabled
    assert not work_config(Config(), train=False).enabled
