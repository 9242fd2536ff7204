"""Leases of a Slurm cluster: what its commands are given, what is made of their answers, and what becomes of the run.

The commands are played by small programs on PATH. Node and lease are the real ones, in one process; their engines are doubles.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import shlex
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from msgspec import structs

from learningchain.client.cli import machine as machine_cli
from learningchain.client.machines import lease_file, slurm
from learningchain.client.machines import leases as leases_module
from learningchain.client.machines import program as program_module
from learningchain.client.machines.book import MachineBook
from learningchain.client.machines.lease_file import read_lease
from learningchain.client.machines.leases import Leases, LeaseTerms, shape_of
from learningchain.client.machines.program import MachineProgram, _shorter, join
from learningchain.client.machines.rests import MANY_LOSSES, REST_S
from learningchain.client.machines.slurm import HANDED_ON, LeaseNews, LeaseShape, LeaseStanding, Slurm, SlurmError, SlurmTerms
from learningchain.client.machines.trust import parse_token
from learningchain.sandbox import RunResult, RunStatus, SandboxError
from tests.unit.machines_kit import ScriptedEngine, Site, a_site, spec

SHAPE = LeaseShape(2, 512, 10)
TERMS = SlurmTerms(("/opt/learning chain/bin", "-q"), partition="main", account="lab")


class Played:
    """Commands of Slurm that say what they are told to, and note what they are given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for command in ("sbatch", "squeue", "scancel", "test-only"):
            self.says(command)
        self.says("test-only", err="sbatch: Job 3 to start at 2020-01-01T00:00:00 using 1 processors on nodes n1\n")
        self.says("sbatch", "12\n")
        self.queue("PENDING")
        for command in ("sbatch", "squeue", "scancel"):
            path = folder / command
            path.write_text(PLAYED.format(folder=folder, command=command))
            path.chmod(0o755)

    def says(self, command: str, out: str = "", err: str = "", code: int = 0) -> None:
        self.does(command, f"cat {self._text(command, 'out', out)}; cat {self._text(command, 'err', err)} >&2; exit {code}")

    def queue(self, state: str, reason: str = "None") -> None:
        """All that is asked for stands so."""
        self.does("squeue", f'IFS=,; for name in ${{4#--name=}}; do echo "$name|{state}|N/A|{reason}"; done')

    def does(self, command: str, script: str) -> None:
        new = self.folder / f"{command}.new"
        new.write_text(script + "\n")
        new.rename(self.folder / f"{command}.says")

    def _text(self, command: str, kind: str, text: str) -> Path:
        path = self.folder / f"{command}.{kind}"
        path.write_text(text)
        return path

    def given(self, command: str) -> list[list[str]]:
        """The words of each call."""
        path = self.folder / f"{command}.calls"
        calls = path.read_text().split("\x1e") if path.exists() else []
        return [call.split("\x1f")[:-1] for call in calls if call]

    def script(self) -> str:
        return (self.folder / "script").read_text()


PLAYED = """#!/bin/sh
what={command}
for word in "$@"; do
    [ "$word" != --test-only ] || what=test-only
done
{{ printf '%s\\037' "$@"; printf '\\036'; }} >>{folder}/$what.calls
[ "$what" != sbatch ] || cat >{folder}/script
. {folder}/$what.says
"""


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    made = Played(tmp_path / "played")
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    monkeypatch.setenv("LEARNINGCHAIN_PASSPHRASE", "secret")
    return made


# --- commands ------------------------------------------------------------------------------------------------------------------


async def test_a_job_is_asked_for_word_by_word(played: Played, tmp_path: Path) -> None:
    await Slurm(TERMS).ask("slurm-1", SHAPE, tmp_path / "it's.json", tmp_path / "it.log")
    (words,) = played.given("sbatch")
    assert words == [
        "--no-requeue",
        "--export=ALL",
        "--chdir=/",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=2",
        "--mem=512M",
        "--time=10",
        "--partition=main",
        "--account=lab",
        "--parsable",
        "--job-name=slurm-1",
        f"--output={tmp_path / 'it.log'}",
        "--signal=B:USR1@120",
    ]
    first, second = played.script().splitlines()
    assert first == "#!/bin/sh"
    assert shlex.split(second) == ["exec", "/opt/learning chain/bin", "-q", "machine", "lease", str(tmp_path / "it's.json")]
    await Slurm(TERMS).end("slurm-1")
    assert played.given("scancel") == [["--name=slurm-1"]]


async def test_a_job_has_of_the_node_s_environment_what_it_needs_alone(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the node")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    played.does("sbatch", f"env >{played.folder}/env; echo 1")
    await Slurm(TERMS).ask("slurm-1", SHAPE, played.folder / "order", played.folder / "log")
    seen = {line.partition("=")[0] for line in (played.folder / "env").read_text().splitlines()}
    of_the_shell = {"LC_CTYPE", "OLDPWD", "PWD", "SHLVL", "_"}
    assert {"PATH", "SLURM_CONF"} <= seen - of_the_shell <= HANDED_ON | {"LC_ALL", "SLURM_TIME_FORMAT"}


async def test_no_secret_of_the_node_is_in_what_slurm_s_commands_see(played: Played) -> None:
    played.does("scancel", "env >&2; exit 1")
    with pytest.raises(SlurmError) as told:
        await Slurm(TERMS).end("slurm-1")
    assert "LEARNINGCHAIN" not in str(told.value)


NUMBERS = ["", "\n", "Submitted batch job 12\n", "12 13\n", "-1\n", "١٢\n", "1" * 13, "\x1b[31m12\n", "0x12"]


@pytest.mark.parametrize("said", NUMBERS)
async def test_an_answer_that_is_no_number_of_a_job_is_an_error(played: Played, tmp_path: Path, said: str) -> None:
    played.says("sbatch", said)
    with pytest.raises(SlurmError, match="no number of a job") as told:
        await Slurm(TERMS).ask("slurm-1", SHAPE, tmp_path / "order", tmp_path / "log")
    assert "\x1b" not in str(told.value)
    played.says("sbatch", "12;cluster\n")
    await Slurm(TERMS).ask("slurm-1", SHAPE, tmp_path / "order", tmp_path / "log")


BROKEN: dict[str, tuple[str, str]] = {
    "an error": ("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1", "Unable to contact slurm"),
    "an error without a word": ("exit 3", "ended with 3: and said nothing"),
    "too much": ("yes", "more than"),
    "no end": ("sleep 60", "did not answer within"),
    "no table": ("echo slurm-1", "no line of its table"),
    "no state": ("echo 'slurm-1|Running fine|x|y'", "no line of its table"),
    "binary": ("printf '\\377\\376|\\001'", "no line of its table"),
    "killed": ("kill -9 $$", "ended with -9"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_command_that_fails_says_which_and_how(played: Played, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    script, why = BROKEN[case]
    if case == "no end":
        monkeypatch.setattr(slurm, "CALL_S", 0.3)
    played.does("squeue", script)
    with pytest.raises(SlurmError, match="squeue") as told:
        await Slurm(TERMS).look(["slurm-1"])
    assert why in str(told.value)


def test_a_command_that_ends_before_it_reads_is_no_fault_of_the_loop(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node's own loop refuses what is written to a program that is gone in words of its own."""
    played.does("squeue", "exit 3")
    made = asyncio.create_subprocess_exec

    async def ended(*words: Any, **how: Any) -> Any:
        process = await made(*words, **how)
        await process.wait()
        await asyncio.sleep(0)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", ended)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(SlurmError, match="ended with 3"):
        runner.run(Slurm(TERMS).look(["slurm-1"]))


async def test_a_command_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlurmError, match="squeue cannot be started: No such file"):
        await Slurm(TERMS).look(["slurm-1"])


LINES: dict[str, tuple[str, LeaseNews | None]] = {
    "waits": ("slurm-1|PENDING|N/A|Resources", LeaseNews(LeaseStanding.QUEUED, "PENDING: Resources")),
    "its machine boots": ("slurm-1|CONFIGURING|N/A|None", LeaseNews(LeaseStanding.QUEUED, "CONFIGURING")),
    "runs": ("slurm-1|RUNNING|1970-01-01T00:00:00|None", LeaseNews(LeaseStanding.RUNNING, "RUNNING", 0.0)),
    "a state of a later version": ("slurm-1|EXPEDITING|N/A|None", LeaseNews(LeaseStanding.RUNNING, "EXPEDITING")),
    "its machine died": ("slurm-1|NODE_FAIL|N/A|NodeDown", LeaseNews(LeaseStanding.ENDED, "NODE_FAIL: NodeDown")),
    "out of time": ("slurm-1|TIMEOUT|N/A|TimeLimit", LeaseNews(LeaseStanding.ENDED, "TIMEOUT: TimeLimit")),
    "a reason with our own mark": ("slurm-1|PENDING|N/A|a|b\x1b", LeaseNews(LeaseStanding.QUEUED, "PENDING: a|b")),
    "somebody else's": ("slurm-2|RUNNING|N/A|None", None),
    "nothing": ("", None),
}


@pytest.mark.parametrize("case", LINES)
async def test_where_a_lease_stands(played: Played, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    line, news = LINES[case]
    played.says("squeue", f"{line}\n")
    assert await Slurm(TERMS).look(["slurm-1"]) == ({} if news is None else {"slurm-1": news})
    assert played.given("squeue") == [["--noheader", "--states=all", "--format=%j|%T|%S|%r", "--name=slurm-1"]]


async def test_when_a_lease_would_begin(played: Played) -> None:
    assert await Slurm(TERMS).try_out(SHAPE) == dt.datetime(2020, 1, 1).timestamp()
    played.says("test-only", err="sbatch: something else\n")
    assert await Slurm(TERMS).try_out(SHAPE) is None
    played.says("test-only", err="allocation failure: Invalid partition name specified\n", code=1)
    with pytest.raises(SlurmError, match="Invalid partition name"):
        await Slurm(TERMS).try_out(SHAPE)


def test_a_lease_holds_the_run_and_what_comes_before_and_after() -> None:
    shape = shape_of(spec(limits=structs.replace(spec().limits, cpus=1.5, mem_mb=100, wall_s=600.0)), 10_000_000)
    assert (shape.cpus, shape.mem_mb) == (2, 100 + 256)
    assert 10 + 7 <= shape.minutes <= 10 + 9


def test_what_was_waited_for_is_taken_off_the_run_s_time() -> None:
    given = spec(budget_s=540, limits=structs.replace(spec().limits, wall_s=600.0))
    left = _shorter(given, 300.0)
    assert (left.limits.wall_s, left.budget_s) == (300.0, 270)
    assert _shorter(given, 1.0).budget_s == 1


def test_two_leases_on_one_machine_have_places_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    authority = MachineBook(tmp_path / "book", 0).secrets.authority
    with lease_file.taken_place(authority) as first:
        with lease_file.taken_place(authority) as second:
            assert first.tag != second.tag and first.folder != second.folder and len(second.tag) <= 40
        (first.folder / "left").touch()
    assert not first.folder.exists()
    first.folder.symlink_to(tmp_path)
    with pytest.raises(PermissionError), lease_file.taken_place(authority):
        pass


# --- a run ---------------------------------------------------------------------------------------------------------------------


class LeasedEngine(ScriptedEngine):
    broken = ""

    async def prepare(self, *given: Any) -> dict[str, Any]:
        if self.broken:
            raise SandboxError("self-test", self.broken)
        return await super().prepare(*given)


class Cluster:
    """A node with leases, and what a job of Slurm does once it is asked for: its program, in this process."""

    def __init__(self, site: Site, played: Played) -> None:
        self.site, self.played = site, played
        self.folder = site.folder / "spool"
        notes = site.folder / "node" / "machines" / "leases.json"
        terms = LeaseTerms(self.folder, site.where, queue_max_s=600, backend="docker", runtime="runc")
        self.leases = Leases(Slurm(TERMS), site.hub, notes, terms)
        site.backend.leases = self.leases
        self.engine = LeasedEngine(site.folder / "leased")
        self.gpus: tuple[str, ...] = ()
        """What Slurm gives its job, by their names there."""
        self.program: MachineProgram | None = None
        self.job: asyncio.Task[int] | None = None

    async def asked(self) -> str:
        await self.site.until(lambda: bool(self.played.given("sbatch")) and (self.played.folder / "script").exists())
        await self.site.until(lambda: all(lease.known for lease in self.leases._leases.values()))
        return next(iter(self.leases._leases))

    async def begins(self) -> str:
        """The job begins: it does what its script says."""
        name = await self.asked()
        self.played.queue("RUNNING")
        order = read_lease(Path(shlex.split(self.played.script())[-1]))
        secrets = await join(parse_token(order.token))
        folder = self.site.folder / name
        self.program = MachineProgram(secrets, folder, self.engine, "1", lease=True, devices=self.gpus)  # type: ignore[arg-type]
        self.job = asyncio.create_task(machine_cli._serve(self.program))
        self.job.add_done_callback(lambda _: self.played.queue("COMPLETED"))
        return name

    async def over(self) -> None:
        """The lease has left nothing."""
        await self.site.until(lambda: not self.leases._leases)
        assert self.played.given("scancel") and not self.site.hub.shown() and not list(self.folder.iterdir())
        await self.site.until(lambda: self.program is None or self.program.over.is_set())

    async def close(self) -> None:
        if self.job is not None:
            self.job.cancel()
            await asyncio.gather(self.job, return_exceptions=True)


@pytest.fixture
async def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, played: Played) -> AsyncIterator[Cluster]:
    monkeypatch.setattr(leases_module, "LOOK_S", 0.02)
    monkeypatch.setattr(leases_module, "PAUSE_S", 0.01)
    async with a_site(tmp_path, monkeypatch) as site:
        await site.image()
        made = Cluster(site, played)
        yield made
        await made.close()


async def test_a_training_runs_on_a_lease_that_goes_with_it(cluster: Cluster) -> None:
    running = asyncio.create_task(cluster.site.run(spec("wait")))
    name = await cluster.asked()
    cluster.played.queue("PENDING", "Priority")
    await cluster.site.until(lambda: cluster.site.hub.shown()[0]["why"] == "PENDING: Priority")
    assert cluster.site.state(name) == "queued"
    assert cluster.site.hub.where("train-wait") == f"waits for {name}: PENDING: Priority"
    await cluster.begins()
    await cluster.engine.began.wait()
    assert cluster.site.hub.where("train-wait") == f"on the machine {name}" and not cluster.site.hub.where("train-2")
    assert cluster.site.hub.place(spec(run_id="train-2")) is None, "a lease is for one run"
    cluster.engine.go.set()
    result = await running
    assert result.status is RunStatus.OK and result.outputs["model"].path.read_bytes() == b"a model"
    await cluster.over()
    assert cluster.played.given("scancel") == [[f"--name={name}"]] and not cluster.site.own.ran
    assert cluster.job is not None and await cluster.job == 0
    assert not cluster.engine.images, "its image goes with it"


async def test_a_machine_that_joined_comes_first(cluster: Cluster) -> None:
    machine = await cluster.site.machine("gpu1")
    assert (await cluster.site.run(spec())).status is RunStatus.OK
    assert machine.ran == ["train-ok"] and not cluster.played.given("sbatch")


STAYS: dict[str, dict[str, Any]] = {
    "the partition is gone": {"test-only": {"err": "allocation failure: Invalid partition name specified", "code": 1}},
    "it would begin too late": {"test-only": {"err": "sbatch: Job 3 to start at 2099-01-01T00:00:00 using 1"}},
    "the controller is down": {"test-only": {"err": "Unable to contact slurm controller", "code": 1}},
    "the answer is no number": {"sbatch": {"out": "welcome to the cluster"}},
    "the job is refused": {"sbatch": {"err": "Batch job submission failed: Job violates accounting/QOS policy", "code": 1}},
}


@pytest.mark.parametrize("case", STAYS)
async def test_a_training_for_which_no_lease_is_to_be_had_stays_here(cluster: Cluster, case: str) -> None:
    for command, said in STAYS[case].items():
        cluster.played.says(command, **said)
    assert (await cluster.site.run(spec())).status is RunStatus.OK and cluster.site.own.ran == ["train-ok"]
    await cluster.site.until(lambda: not cluster.leases._leases)
    assert bool(cluster.played.given("scancel")) == ("sbatch" in STAYS[case]), "what may have been asked for is ended"
    assert not cluster.site.hub.shown()


ENDS: dict[str, tuple[str, str, str]] = {
    "its machine died, and its process runs on": ("NODE_FAIL", "NodeDown", "the engine ended it: NODE_FAIL: NodeDown"),
    "out of time": ("TIMEOUT", "TimeLimit", "the engine ended it: TIMEOUT: TimeLimit"),
    "somebody cancelled it": ("CANCELLED", "None", "the engine ended it: CANCELLED"),
    "the engine has forgotten it": ("", "", "the engine knows it no more"),
}


@pytest.mark.parametrize("case", ENDS)
async def test_what_the_engine_says_of_an_end_counts_whatever_the_process_does(cluster: Cluster, case: str) -> None:
    state, reason, why = ENDS[case]
    running = asyncio.create_task(cluster.site.run(spec("wait")))
    await cluster.begins()
    await cluster.engine.began.wait()
    cluster.played.queue(state, reason) if state else cluster.played.says("squeue")
    result = await running
    assert result.status is RunStatus.ENGINE_ERROR and why in result.reason
    await cluster.over()
    cluster.engine.go.set()
    await asyncio.sleep(0)
    assert not list((cluster.site.folder / "node" / "machines" / "out").iterdir()), "what it brings later is refused"


async def test_a_controller_that_is_down_ends_no_lease(cluster: Cluster) -> None:
    running = asyncio.create_task(cluster.site.run(spec("wait")))
    await cluster.begins()
    await cluster.engine.began.wait()
    cluster.played.says("squeue", err="slurm_load_jobs error: Unable to contact slurm controller", code=1)
    before = len(cluster.played.given("squeue"))
    await cluster.site.until(lambda: len(cluster.played.given("squeue")) > before + leases_module.QUIET)
    cluster.engine.go.set()
    assert (await running).status is RunStatus.OK
    await cluster.over()


async def test_a_lease_that_waits_too_long_is_ended(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.leases._terms = structs.replace(cluster.leases._terms, queue_max_s=0.3)
    running = asyncio.create_task(cluster.site.run(spec()))
    await cluster.asked()
    cluster.played.queue("PENDING", "Resources")
    result = await running
    assert result.status is RunStatus.ENGINE_ERROR and "PENDING: Resources" in result.reason
    await cluster.over()


async def test_a_lease_whose_limits_do_not_hold_takes_nothing_and_says_which(cluster: Cluster) -> None:
    cluster.engine.broken = "memory is not bound"
    running = asyncio.create_task(cluster.site.run(spec()))
    await cluster.begins()
    result = await running
    assert result.status is RunStatus.ENGINE_ERROR and "memory is not bound" in result.reason
    await cluster.over()
    assert not cluster.engine.ran


async def test_a_job_whose_program_is_missing_says_what_it_wrote(cluster: Cluster) -> None:
    running = asyncio.create_task(cluster.site.run(spec()))
    name = await cluster.asked()
    (cluster.folder / f"{name}.log").write_text("exec: learningchain:\x1b not found\n")
    cluster.played.queue("FAILED", "NonZeroExitCode")
    result = await running
    assert result.status is RunStatus.ENGINE_ERROR and "it wrote: exec: learningchain: not found" in result.reason
    await cluster.over()


async def test_a_cluster_whose_jobs_take_no_run_rests_as_a_machine_does(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    leases, clock = cluster.leases, [1_000.0]
    monkeypatch.setattr(leases, "_now", lambda: clock[0])

    async def ends(count: int = 1) -> list[RunResult]:
        """So many leases at a time end before their program comes."""
        before = len(cluster.played.given("sbatch"))
        cluster.played.queue("FAILED", "NonZeroExitCode")
        runs = [asyncio.create_task(cluster.site.run(spec(run_id=f"train-{i}"))) for i in range(count)]
        results = await asyncio.gather(*runs)
        assert len(cluster.played.given("sbatch")) == before + count
        await cluster.site.until(lambda: not leases._leases)
        clock[0] += 1
        return results

    assert {(one.status, one.lost) for one in await ends(3)} == {(RunStatus.ENGINE_ERROR, True)}
    await ends()
    assert not leases.resting(), "three at a time are one loss"
    await ends()
    for rest_s in (REST_S, 2 * REST_S):
        (told,) = cluster.site.backend.troubles()
        assert f"None is asked for within {rest_s / 60:g} minutes" in told and "NonZeroExitCode" in told
        asked = len(cluster.played.given("sbatch"))
        clock[0] += rest_s - 2
        assert (await cluster.site.run(spec())).status is RunStatus.OK and cluster.site.own.ran.pop() == "train-ok"
        waits = asyncio.create_task(cluster.site.run(spec(run_id="train-gpu", devices=("slurm/gpu=0",))))
        await asyncio.sleep(0.05)
        assert not waits.done() and len(cluster.played.given("sbatch")) == asked, "it runs nowhere else, and waits"
        clock[0] += 3
        assert "NonZeroExitCode" in (await waits).reason and len(cluster.played.given("sbatch")) == asked + 1
    clock[0] += 4 * REST_S
    cluster.played.queue("PENDING")
    (cluster.played.folder / "script").unlink()
    running = asyncio.create_task(cluster.site.run(spec()))
    await cluster.begins()
    assert (await running).status is RunStatus.OK
    await cluster.over()
    await ends()
    assert not leases.resting(), "one that came ended the row"


async def test_a_lease_that_is_removed_while_it_waits_is_ended_and_is_no_loss_of_the_cluster(cluster: Cluster) -> None:
    cluster.played.queue("PENDING", "Resources")
    running = asyncio.create_task(cluster.site.run(spec()))
    name = await cluster.asked()
    assert cluster.site.hub.remove(name)
    result = await asyncio.wait_for(running, 10)
    assert (result.status, result.lost, result.reason) == (RunStatus.ENGINE_ERROR, True, f"the lease {name} was removed")
    await cluster.over()
    assert not cluster.leases._losses.losses


async def test_what_a_training_waited_for_the_end_of_a_rest_is_taken_off_its_time(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(cluster.leases, "_now", lambda: clock[0])
    for _ in range(MANY_LOSSES):
        cluster.leases._losses.add(clock[0])
    running = asyncio.create_task(cluster.site.run(spec("wait", devices=("slurm/gpu=0",))))
    await asyncio.sleep(0.05)
    clock[0] += cluster.leases._terms.queue_max_s - 1
    cluster.leases._losses.clear()
    await cluster.asked()
    (lease,) = cluster.leases._leases.values()
    assert cluster.leases.waited_s(lease) == cluster.leases._terms.queue_max_s - 1
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_training_that_waits_for_the_end_of_a_rest_can_be_called_off_and_has_an_end(cluster: Cluster) -> None:
    gpu, cancel = spec(devices=("slurm/gpu=0",)), threading.Event()
    for _ in range(MANY_LOSSES):
        cluster.leases._losses.add(cluster.leases._now())
    running = asyncio.create_task(cluster.site.run(gpu, cancel))
    await asyncio.sleep(0.05)
    assert not running.done()
    cancel.set()
    assert (await running).status is RunStatus.CANCELLED
    cluster.leases._terms = structs.replace(cluster.leases._terms, queue_max_s=0.1)
    result = await cluster.site.run(gpu)
    assert (result.status, result.lost) == (RunStatus.ENGINE_ERROR, True) and "the cluster rests" in result.reason
    assert not cluster.played.given("sbatch")


async def test_a_training_that_is_called_off_in_the_queue_leaves_it(cluster: Cluster) -> None:
    cancel = threading.Event()
    running = asyncio.create_task(cluster.site.run(spec(), cancel))
    await cluster.asked()
    cancel.set()
    assert (await running).status is RunStatus.CANCELLED
    await cluster.over()


@pytest.mark.parametrize("wanted", [True, False])
async def test_the_next_start_of_the_node_ends_the_leases_that_nobody_needs(cluster: Cluster, wanted: bool) -> None:
    site, given = cluster.site, spec("wait", stays=True)
    running = asyncio.create_task(site.run(given))
    name = await cluster.begins()
    await cluster.engine.began.wait()
    site.backend.leave()
    assert (await running).left
    await cluster.leases.stop()
    assert not cluster.played.given("scancel"), "its run goes on"
    await site.hub.stop()
    again = Site(site.folder, site.hub.port)
    after = Cluster(again, cluster.played)
    try:
        report = await again.backend.prepare([given.image_id], [given] if wanted else [])
        assert report["runs"] == ((given.run_id,) if wanted else ())
        if wanted:
            after.played.queue("RUNNING")
            cluster.engine.go.set()
            result: RunResult = await again.run(given)
            assert result.status is RunStatus.OK and cluster.engine.ran == [given.run_id]
        await again.until(lambda: not after.leases._leases)
        assert cluster.played.given("scancel") == [[f"--name={name}"]] and not again.hub.shown()
    finally:
        await again.close()


async def test_what_has_not_ended_shortly_before_the_lease_does_is_ended_in_order(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_cli, "LAST_S", 0.01)
    running = asyncio.create_task(cluster.site.run(spec("for-ever")))
    await cluster.begins()
    await cluster.engine.began.wait()
    os.kill(os.getpid(), signal.SIGUSR1)
    result = await running
    assert result.status is RunStatus.ENGINE_ERROR and "cancelled" in result.reason
    await cluster.over()


async def test_a_lease_whose_program_does_not_come_is_ended(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases_module, "SELF_TEST_S", 0.1)
    running = asyncio.create_task(cluster.site.run(spec()))
    await cluster.asked()
    cluster.played.queue("RUNNING")
    result = await running
    assert result.status is RunStatus.ENGINE_ERROR and "did not come to the node" in result.reason
    await cluster.over()


async def test_a_lease_that_gets_no_run_is_given_back(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_module, "IDLE_S", 0.1)
    secrets = await cluster.site.joined("slurm-1")
    assert await machine_cli._serve(MachineProgram(secrets, cluster.folder, cluster.engine, "1", lease=True)) == 0  # type: ignore[arg-type]
