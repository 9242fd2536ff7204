"""Settings that the owner changes over HTTP and in the dashboard: only those that are named. When each counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from learningchain.client import config, config_change
from learningchain.client.config_change import CHANGEABLE, NotChangeable
from learningchain.client.daemon.settings_watch import SettingsWatch
from tests.unit.dashboard_kit import Browser, browsing

OWN = """\
# my node
name = "mine"

[work]
# not too small
min_bounty = "2"
concurrent = 4
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / config.FILE).write_text(OWN)
    return tmp_path


def test_nothing_that_runs_listens_calls_or_keeps_may_be_changed() -> None:
    sections = {name.partition(".")[0] for name in CHANGEABLE}
    assert sections == {"name", "storage", "work", "serve", "predict", "federation", "notify", "log"}
    assert {name for name in CHANGEABLE if name.startswith(("storage", "notify", "log"))} == {
        "storage.quota_mb",
        "notify.kinds",
        "notify.least",
        "log.level",
    }
    assert set(config.SETTINGS) >= CHANGEABLE


def test_a_change_keeps_what_the_owner_wrote_and_counts_from_the_next_start_on(data: Path) -> None:
    running = config.load(data, {})
    assert config_change.change(data, "work.min_bounty", "5.5") == "5.5"
    assert config_change.change(data, "work.concurrent", "2") == 2
    assert (data / config.FILE).read_text() == OWN.replace('"2"', '"5.5"').replace("= 4", "= 2")
    assert config_change.after_restart(running, data) == {"work.concurrent": 2}, "policy about work is in force within seconds"
    assert config.load(data, {}).config.work.min_bounty == "5.5"


async def test_a_node_that_runs_takes_up_policy_about_work_and_nothing_else(data: Path) -> None:
    running, taken = config.load(data, {}), list[config.Loaded]()
    watch = SettingsWatch(data, running, taken.append)
    await watch.look()
    assert not taken, "nothing was written yet"
    config.change(data, {"work.min_bounty": "5", "work.max_run_s": 60, "work.concurrent": 2, "log.level": "debug"})
    await watch.look()
    await watch.look()
    ((now,),) = (taken,)
    work = now.config.work
    assert (work.min_bounty, work.max_run_s, work.concurrent, now.config.log.level) == ("5", 60, 4, "info")
    assert (now.sources["work.max_run_s"], now.sources["log.level"]) == ("file", "default")
    assert config_change.after_restart(now, data) == {"work.concurrent": 2, "log.level": "debug"}
    (data / config.FILE).write_text("[work\n")
    await watch.look()
    (data / config.FILE).unlink()
    await watch.look()
    assert [one.config.work.min_bounty for one in taken] == ["5", "0"], "what cannot be read changes nothing"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("work.attempts", "0", "whole number from 1 to 1000"),
        ("work.min_bounty", "x", "min_bounty"),
        ("log.level", "loud", "one of debug, info, warning, error"),
        ("work.denied_contractors", "lc1nobody", "denied_contractors"),
        ("predict.n", "4", "odd"),
    ],
)
def test_a_value_that_cannot_be_used_tells_why_and_changes_nothing(data: Path, name: str, value: str, why: str) -> None:
    with pytest.raises(config.ConfigError, match=why):
        config_change.change(data, name, value)
    assert (data / config.FILE).read_text() == OWN


@pytest.mark.parametrize("name", ["notify.command", "api.listen", "storage.url", "sandbox.engine", "callback.allow", "nothing"])
def test_other_settings_are_not_changed(data: Path, name: str) -> None:
    with pytest.raises(NotChangeable):
        config_change.change(data, name, "x")
    assert (data / config.FILE).read_text() == OWN


# --- in the browser -----------------------------------------------------------------------------------------------------------


def of_folder(browser: Browser, data: Path) -> None:
    browser.api.node.settings = data


async def test_a_setting_is_changed_by_its_form(data: Path) -> None:
    async with browsing(data) as browser:
        of_folder(browser, data)
        _, page = await browser.get("/dashboard/settings")
        assert "/dashboard/settings/work.concurrent" in page.links and "/dashboard/settings/api.listen" not in page.links
        _, page = await browser.get("/dashboard/settings/work.concurrent")
        form = page.form("/dashboard/settings/work.concurrent")
        assert form.fields["value"] == "4", "what is written, not what is in force"
        status, page = await browser.send(form, value="6")
        assert status == 200 and "work.concurrent is written as 6. It counts after a restart" in page.text
        assert "6 after a restart" in page.text
        assert config.load(data, {}).config.work.concurrent == 6
        _, page = await browser.get("/dashboard/settings/work.attempts")
        status, page = await browser.send(page.form("/dashboard/settings/work.attempts"), value="6")
        assert status == 200 and "work.attempts is written as 6. It counts within seconds" in page.text


async def test_a_setting_of_the_machine_alone_has_no_form_and_takes_none(data: Path) -> None:
    async with browsing(data) as browser:
        of_folder(browser, data)
        _, page = await browser.get("/dashboard/settings/notify.command")
        assert "learningchain config set" in page.text and len(page.forms) == 1, "logging out alone"
        _, own = await browser.get("/dashboard/settings/work.attempts")
        form = own.form("/dashboard/settings/work.attempts")
        form.action = "/dashboard/settings/notify.command"
        status, page = await browser.send(form, value="touch, /tmp/x")
        assert status == 403 and (data / config.FILE).read_text() == OWN


async def test_a_token_of_less_than_all_changes_no_setting(data: Path) -> None:
    async with browsing(data, login=False) as browser:
        of_folder(browser, data)
        await browser.api.refused("PUT", "/v1/config/work.attempts", 401, token=None, json={"value": "5"})
        await browser.api.refused("PUT", "/v1/config/notify.command", 403, json={"value": "x"})
        await browser.api.refused("PUT", "/v1/config/work.attempts", 422, json={"value": "0"})


# --- several writers --------------------------------------------------------------------------------------------------------------

_WRITER = """
import sys
from pathlib import Path
from learningchain.client import config
data, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for value in range(1, count + 1):
    config.change(data, {name: value})
    assert config.value_of(config.load(data).config, name) == value, "another writer took it back"
"""


def test_two_processes_that_write_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    """Each reads the file, edits it and replaces it: without a lock one of the two would take the other's change back."""
    names, count = ("work.attempts", "work.max_cpus"), 8
    config.change(tmp_path, {"name": "alice"})
    command = [sys.executable, "-c", _WRITER, str(tmp_path)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": Path(__file__).parents[2]}
    writers = [subprocess.Popen([*command, name, str(count)], **pipes) for name in names]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    found = config.load(tmp_path).config
    assert [config.value_of(found, name) for name in ("name", *names)] == ["alice", count, count]
    assert [path.name for path in tmp_path.iterdir()] == [config.FILE], "no lock and no half of a file is left"
