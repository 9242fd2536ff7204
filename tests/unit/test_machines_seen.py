"""What the owner sees of machines: the dashboard's page, and `doctor` on both sides. Node and programs are the real ones."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learningchain.chain.storage import private
from learningchain.client.daemon.opening import version
from learningchain.client.doctor import joined, node
from learningchain.client.doctor.findings import DoctorFinding
from learningchain.client.doctor.node import Said
from learningchain.client.machines import frames as f
from learningchain.client.machines import program as program_module
from tests.unit.api_kit import a_run
from tests.unit.dashboard_kit import HOSTILE, browsing
from tests.unit.machines_kit import Site, a_site, spec

pytest_plugins = ["tests.unit.client_cli_kit"]


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with a_site(tmp_path, monkeypatch) as made:
        yield made


async def test_the_page_shows_what_runs_where_and_takes_the_word_to_stop(site: Site, tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    async with browsing(tmp_path / "api") as browser:
        assert "No other machine trains" in (await browser.get("/dashboard/machines"))[1].text
        browser.api.node.machines = site.hub
        await site.image()
        machine = await site.machine("gpu1")
        site.hub.add("gpu2", site.where)
        running = asyncio.create_task(site.run(spec("wait")))
        await site.until(machine.began.is_set)
        known: Any = browser.api.node.runs
        known.all = [a_run("train-wait")]
        _, page = await browser.get("/dashboard/machines")
        assert all(word in page.text for word in ("gpu1", "ready", "4096 MiB", "gpu2", "invited"))
        assert "/dashboard/runs/train-wait" in page.links
        form = page.form("/dashboard/machines/gpu1/drain")
        _, page = await browser.send(form)
        assert "draining" in page.text and site.state("gpu1") == "draining"
        assert not any(one.action.startswith("/dashboard/machines/gpu2") for one in page.forms), "it is not there yet"
        await browser.send(page.form("/dashboard/machines/gpu1/drain"))
        assert site.state("gpu1") == "ready"
        site.hub._machines["gpu1"].trouble, site.hub._machines["gpu1"].trouble_until = HOSTILE, float("inf")
        assert "failing" in (await browser.get("/dashboard/machines"))[1].text
        machine.go.set()
        await running


def row(**more: Any) -> dict[str, Any]:
    return {"name": "gpu1", "state": "ready", "why": "", "version": "1.0", **more}


SEEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "there": (row(), "fine", "all 1"),
    "away": (row(state="away", why="it is away"), "warning", "gpu1 is away"),
    "failing": (row(state="failing", why="memory: 99 of 64"), "warning", "memory: 99 of 64"),
    "another version": (row(version="0.9"), "warning", "has LearningChain 0.9, and the node 1.0"),
}


@pytest.mark.parametrize("case", SEEN)
def test_the_node_s_doctor_names_a_machine_that_is_not_well(case: str) -> None:
    one, level, text = SEEN[case]
    (found,) = node.judge_machines(Said({"version": "1.0"}, machines=[one]))
    assert found.level == level and text in found.text and bool(found.remedy) == (level != "fine")


def test_machines_that_never_came_are_no_finding() -> None:
    assert not node.judge_machines(Said({"version": "1.0"}, machines=[row(state="invited"), row(state="queued")]))


async def looked(site: Site, folder: Path) -> list[DoctorFinding]:
    return await asyncio.to_thread(joined.look_at_node, folder)


async def a_folder(site: Site, name: str) -> Path:
    folder = site.folder / f"{name}-data"
    folder.mkdir(mode=0o700)
    private.replace(folder / program_module.FILE, msgspec.json.encode(await site.joined(name)))
    return folder


async def test_the_machine_s_doctor_asks_the_node_and_disturbs_no_run(site: Site) -> None:
    await site.image()
    machine = await site.machine("gpu1")
    folder = site.folder / "gpu1-data"
    folder.mkdir(mode=0o700)
    private.replace(folder / program_module.FILE, msgspec.json.encode(site.programs["gpu1"]._secrets))
    running = asyncio.create_task(site.run(spec("wait")))
    await site.until(machine.began.is_set)
    found = await looked(site, folder)
    assert [(one.check, str(one.level)) for one in found] == [
        ("joined", "fine"),
        ("node", "fine"),
        ("versions", "fine"),
        ("clock", "warning"),  # the node of these tests counts from 1970
    ]
    assert site.state("gpu1") == "ready"
    machine.go.set()
    await running
    assert machine.ran == ["train-wait"]


LOADED = """
import sys
from pathlib import Path
from learningchain.client import config
from learningchain.client.cli import app
from learningchain.client.doctor import files, joined, machine
from learningchain.client.machines import frames, program
data, settings = Path(sys.argv[1]), config.load(Path(sys.argv[1])).config.sandbox
machine.load_backend(data, settings)
before = set(sys.modules)
joined.look_at_program(data), joined.look_at_node(data), joined.judge_answer(frames.NodeSays("1", 1), 1, 1)
files.look_at_folder(data), files.look_at_disk(data), machine.look_at_limits(), machine.look_at_engine(data, settings, True)
print(*(name for name in set(sys.modules) - before if name.startswith(("learningchain", "docker", "urllib3", "cryptography"))))
"""


def test_a_look_s_time_is_not_spent_on_loading_the_program(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LOADED, str(tmp_path)], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == []


def test_clocks_and_versions_are_compared() -> None:
    own, levels = version(), {}
    for case, said in {"same": (own, 1_500), "old": ("0.0.1", 1_500), "early": (own, 1_000 - joined.APART_MS - 1)}.items():
        levels[case] = {one.check: str(one.level) for one in joined.judge_answer(f.NodeSays(*said), 1_000, 2_000)}
    assert levels["same"] == {"node": "fine", "versions": "fine"}
    assert levels["old"]["versions"] == "warning" and levels["early"]["clock"] == "warning"


async def removed(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.hub.remove("gpu1")


async def of_another_version(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f, "AskNode", lambda _: f.JoinMachine(f.PROTOCOL + 1, bytes(32), b""))


async def unreadable(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / program_module.FILE).write_text("{}")


async def never_joined(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / program_module.FILE).unlink()


async def gone(site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await site.backend.close()


BROKEN: dict[str, tuple[Callable[..., Any], str, str]] = {
    "removed": (removed, "does not know this machine", "Do as it says"),
    "another version": (of_another_version, "install the same", "Do as it says"),
    "a damaged file": (unreadable, "cannot be read", "Join again"),
    "never joined": (never_joined, "joined no node", "machine add NAME"),
    "the node is gone": (gone, "out of reach", "cluster.listen"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_each_trouble_has_one_thing_to_do(site: Site, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    breaks, text, remedy = BROKEN[case]
    folder = await a_folder(site, "gpu1")
    await breaks(site, folder, monkeypatch)
    found = (await looked(site, folder))[-1]
    assert found.level == "failure" and text in found.text and remedy in found.remedy


def test_the_command_looks_at_all_of_it(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "machine-data"
    folder.mkdir(mode=0o700)
    told = run("machine", "doctor", "--data", folder, "--json")
    found = {one["check"]: one["level"] for one in told.json["findings"]}
    assert told.code == 2 and found["joined"] == "failure" and found["program"] == "warning"
    assert {"engine", "disk", "limits", "clock", "permissions", "settings"} <= found.keys()
    (folder / program_module.FOLDER).mkdir(mode=0o700)
    from learningchain.client.cli.machine import _alone

    with _alone(folder / program_module.FOLDER):
        assert joined.look_at_program(folder)[0].level == "fine"
    assert joined.look_at_program(folder)[0].level == "warning"
