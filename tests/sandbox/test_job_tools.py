"""A contractor's tools in real containers: what `job new` writes is built and checked, and a model is evaluated again.

Both programs run as a newcomer would run them, but for the base image: no registry is needed here.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.losses import LossTree, draw_probe, open_losses
from learningchain.chain.types import format_loss
from learningchain.client.keys import hidden
from learningchain.client.sdk.files import StreamName
from learningchain.sandbox import AnswerForm, ContainerLimits, ParsedAnswer, RunResult, RunSpec, RunStatus, Sandbox
from learningchain.sandbox.answers import AnswerReader, request_json
from learningchain.sandbox.images import build_python_image
from learningchain.sandbox.results import EvaluationReader
from tests.unit.building_kit import LINE
from tests.unit.client_fake_api import FINISHED, JOB, OTHER, OWN, Fake

pytest_plugins = ["tests.unit.client_cli_kit"]
pytestmark = pytest.mark.timeout(300)

PROBE = bytes(range(32))
OFFLINE = len(Path("/proc/net/route").read_text().splitlines()) < 2
"""Whether this machine, or the room that the tests run in, has no route to others."""


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, check=True, timeout=120, text=True).stdout


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Images that stand for python:3.11-slim and debian:12-slim: an interpreter, and `sh` and `awk` beside it."""
    folder, tag = tmp_path_factory.mktemp("bases"), f"lc-tools-{secrets.token_hex(4)}"
    tools = {f"/bin/{name}": Path(shutil.which(program) or "") for name, program in (("sh", "dash"), ("awk", "mawk"))}
    names = []
    try:
        for name, files in (("python", {}), ("shell", tools)):
            image = build_python_image(folder / f"{name}.tar", files, with_packages=())
            docker("load", "-i", str(folder / f"{name}.tar"))
            docker("tag", image, f"{tag}:{name}")
            names.append(f"{tag}:{name}")
        yield {"python": names[0], "shell": names[1]}
    finally:
        for name in names:
            subprocess.run(["docker", "rmi", name], capture_output=True, check=False, timeout=60)


Build = Callable[[str], Path]


@pytest.fixture
def build(run: Any, bases: dict[str, str], tmp_path: Path) -> Iterator[Build]:
    """The archive of a new job, made as its README says."""
    made: list[str] = []

    def build_it(language: str) -> Path:
        folder, name = tmp_path / f"job-{language}", f"lc-tools-{secrets.token_hex(4)}"
        assert run("job", "new", folder, "--template", language).code == 0
        recipe = folder / "Dockerfile"
        recipe.write_text("\n".join([f"FROM {bases[language]}", *recipe.read_text().splitlines()[1:]]) + "\n")
        docker("build", "-q", "-t", name, str(folder))
        made.append(name)
        docker("save", name, "-o", str(tmp_path / f"{language}.tar"))
        return tmp_path / f"{language}.tar"

    yield build_it
    for name in made:
        subprocess.run(["docker", "rmi", name], capture_output=True, check=False, timeout=60)


def left() -> list[str]:
    """What runs of these commands leave on the engine."""
    return [line for line in docker("ps", "-a", "--format", "{{.Names}}").splitlines() if line.startswith("lc-try-")]


def test_new_jobs_are_built_checked_and_found_good(run: Any, build: Build, tmp_path: Path) -> None:
    for language in ("python", "shell"):
        kept = tmp_path / f"job-{language}" / "hidden.csv"
        ran = run("image", "check", build(language), "--hidden", kept, "--data", tmp_path / "nowhere", "--json")
        assert ran.code == 0, ran.err
        found = ran.json
        assert (found["ok"], found["examples"], found["hidden"]["examples"]) == (True, 40, 40)
        assert (found["float_kind"], found["tol"], found["advice"]) == ("f64", "0.000000000", [])
        names = [one["run"] for one in found["runs"]]
        assert names[:3] == ["worker: train", "worker: evaluate", "verifier: evaluate"] and "verifier: 4 threads" in names
        assert found["verifier_needs"]["mem_mb"] == 2 * found["enough_mem_mb"] < 1_024
        within = found["verifier_needs"]["eval_s"]  # ten seconds, or more where this machine is busy
        seconds = 2 * (within + 5) + 1
        assert within >= 10 and found["fee"]["least"] == f"{seconds / 100_000:.5f}", "five beside each of two, one for the model"
        assert "job submit" in found["command"] and "--hidden FILE" in found["command"]
    assert left() == []


def test_a_folder_and_a_module_built_without_docker_are_found_good(run: Any, tmp_path: Path) -> None:
    assert run("job", "new", tmp_path / "job").code == 0
    (tmp_path / "points.csv").write_bytes((tmp_path / "job/data/eval.csv").read_bytes())
    (tmp_path / "drawn.py").write_text(LINE)
    for source in (tmp_path / "job", tmp_path / "drawn.py"):
        archive = tmp_path / f"{source.stem}.tar"
        assert run("job", "build", source, "--out", archive).code == 0
        words = ("--hidden", tmp_path / "job/hidden.csv", "--params", '{"b": 1}', "--data", tmp_path / "nowhere", "--json")
        ran = run("image", "check", archive, *words)
        assert ran.code == 0, ran.err
        found = ran.json
        assert (found["ok"], found["examples"], found["hidden"]["examples"], found["advice"]) == (True, 40, 40, [])
    assert left() == []


def test_an_image_that_reads_a_set_is_tried_with_a_folder(run: Any, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    for number in range(3):
        (tmp_path / f"files/{number}.bin").write_bytes(bytes([number]) * 100)
    archive, folder = tmp_path / "set.tar", tmp_path / "job"
    folder.mkdir()
    shutil.copy(Path(__file__).parents[1] / "processes/set_job.py", folder / "job.py")
    (folder / "job.toml").write_text('files = ["job.py"]\n')
    assert run("job", "build", folder, "--out", archive).code == 0
    words = ("image", "check", archive, "--data", tmp_path / "nowhere", "--json")
    assert run(*words).code == 1, "without the set it is no job"
    ran = run(*words, "--set", f"digits={tmp_path / 'files'}")
    assert (ran.code, ran.json["examples"]) == (0, 3), ran.err
    assert "--set digits=CID" in ran.json["command"]
    for wrong in ("digits", "D=files", f"digits={tmp_path / 'no-such'}"):
        assert run(*words, "--set", wrong).code == 2
    assert left() == []


@pytest.mark.full("fetches wheels and makes images of up to 900 MB; tests/unit/test_client_cli_new.py runs scikit-learn's program")
@pytest.mark.skipif(OFFLINE, reason="no way to an index of packages from here: scripts/room.sh --network")
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(("template", "package"), [("sklearn", "scikit-learn"), ("xgboost", "xgboost-cpu"), ("torch", "torch")])
def test_jobs_with_packages_are_locked_built_found_good_and_answer(
    run: Any, room: Sandbox, tmp_path: Path, template: str, package: str
) -> None:
    folder, archive = tmp_path / "job", tmp_path / "job.tar"
    assert run("job", "new", folder, "--template", template).code == 0
    locked = run("job", "lock", folder)
    if "extra-index-url" in locked.err:
        pytest.skip(f"pip knows no index that has it: {locked.err.strip()}")
    built = run("job", "build", folder, "--out", archive, "--json")
    assert (locked.code, built.code) == (0, 0), locked.err + built.err
    assert f"{package}==" in (folder / "requirements.lock").read_text()
    assert archive.stat().st_size < 2 << 30
    ran = run("image", "check", archive, "--hidden", folder / "hidden.csv", "--data", tmp_path / "nowhere", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["ok"], ran.json["examples"], ran.json["hidden"]["examples"]) == (True, 40, 40)
    assert left() == []
    at_0, at_half = _asked(room, room.load_archive(archive, built.json["image_id"]))
    assert [at_0, at_half] == pytest.approx([1, 8.5], abs=1.5), "y of the line through the points"


def _asked(room: Sandbox, image: str) -> list[float]:
    """What a model that the image trained says at 0 and at 2.5."""

    def spec(phase: str, inputs: Any = None) -> RunSpec:
        limits = ContainerLimits(cpus=2.0, mem_mb=1_024, model_cap=1 << 20, tmp_mb=8, wall_s=240)
        run = f"template-{phase}-{secrets.token_hex(3)}"
        return RunSpec(run_id=run, image_id=image, phase=phase, seed=7, budget_s=200, limits=limits, inputs=inputs or {})

    trained = room.run(spec("train"))
    assert trained.status is RunStatus.OK, trained
    warm = room.start(spec("predict", {"model": trained.outputs["model"].path}))
    assert not isinstance(warm, RunResult), warm
    rows = b"[0]\n[2.5]\n"
    late = {"request.json": request_json(2, 7, 2**31), "input": rows}
    answered = warm.finish(late, read=lambda: AnswerReader(AnswerForm(rows=2)))
    assert isinstance(answered.result, ParsedAnswer), answered
    return [score / 1e9 for score in answered.result.scores]


def containers(since: float) -> list[str]:
    """Names of the containers in which the engine ran a program for these commands."""
    words = ["--filter", "type=container", "--filter", "event=start", "--format", "{{.Actor.Attributes.name}}"]
    told = docker("events", "--since", f"{since:.3f}", "--until", f"{time.time():.3f}", *words)
    return [name for name in told.split() if name.startswith("lc-try-") and "-sidecar-" not in name]


def test_a_check_trains_once_evaluates_under_other_threads_and_processors_and_says_all_that_ran(
    run: Any, build: Build, tmp_path: Path
) -> None:
    archive, since = build("shell"), time.time()
    ran = run("image", "check", archive, "--data", tmp_path / "nowhere", "--json")
    assert ran.code == 0, ran.err
    started, table = ran.json["started"], ran.json["runs"]
    assert len(containers(since)) == len(started), "the engine started as many as are told"
    assert [one["run"] for one in table].count("worker: train") == 1 and started.count("Worker: training") == 1
    evaluations = [(one["threads"], one["processors"]) for one in table if one["run"] != "worker: train"]
    usual = evaluations[0]
    assert evaluations[:2] == [usual, usual], "as a worker, and as a verifier of the same kind"
    others = evaluations[2:]
    assert any(threads != usual[0] for threads, _ in others)
    assert any(processors != usual[1] for _, processors in others) or usual[1] == 1
    beside = started[len(table) :]
    assert beside[0] == "Verifier: 256 bytes that are no model" and all("of memory enough?" in what for what in beside[1:])
    people = run("image", "check", archive, "--data", tmp_path / "nowhere").out
    assert f"{len(started)} runs, one after the other, each in a container of its own: the {len(table)} above; " in people
    assert "; Verifier: 256 bytes that are no model; Is " in people
    assert left() == []


BAD = b"""#!/usr/local/bin/python3
import os, random, sys, time
open("/lc/out/model", "w").write("m") if sys.argv[1] == "train" else open("/lc/out/losses", "w").write(
    "".join(f"{random.random():.9f}\\n" for _ in range(40)))
"""


STEADY = b"""#!/usr/local/bin/python3
import sys
if sys.argv[1] == "train" or open("/lc/in/model", "rb").read() != b"m":
    sys.exit(65)
open("/lc/out/losses", "w").write("".join(f"0.{n + 1:02}\\n" for n in range(40)))
"""


def test_a_gpus_own_losses_are_held_against_what_processors_measure(run: Any, tmp_path: Path) -> None:
    build_python_image(tmp_path / "steady.tar", {"/lc/job": STEADY}, with_packages=())
    (tmp_path / "model").write_text("m")
    lines = [f"0.{n + 1:02}" for n in range(40)]
    words = ["image", "check", tmp_path / "steady.tar", "--data", tmp_path / "nowhere", "--json", "--gpu-losses", tmp_path / "gpu"]

    def check(*losses: str) -> Any:
        (tmp_path / "gpu").write_text("".join(f"{one}\n" for one in losses))
        return run(*words, "--model", tmp_path / "model")

    found = check(*lines).json
    assert found["gpu"]["inside"] and found["advice"] == []
    assert found["reach"]["most_s"] == 600 and found["reach"]["examples"] > 40
    found = check(*lines[:39], "0.41").json
    assert not found["gpu"]["inside"] and found["gpu"]["difference"] == "0.000250000" and found["ok"]
    assert found["gpu"]["widest"] == [{"example": 39, "processors": "0.400000000", "gpu": "0.410000000"}]
    assert "Committees measure on processors" in found["advice"][0]
    for wrong, text in ((lines[:39], "39 lines"), (["nan"], "no file of losses")):
        ran = check(*wrong)
        assert ran.code == 2 and text in ran.err
    assert run(*words).code == 2, "whose losses they are is not known"
    assert left() == []


def test_a_program_that_does_not_repeat_is_no_job(run: Any, tmp_path: Path) -> None:
    build_python_image(tmp_path / "bad.tar", {"/lc/job": BAD}, with_packages=())
    ran = run("image", "check", tmp_path / "bad.tar", "--data", tmp_path / "nowhere", "--json")
    assert ran.code == 1 and ran.json["float_kind"] is None and ran.json["command"] is None
    assert ran.json["advice"][0].startswith("it does not repeat") and "evaluated like one" in ran.json["advice"][-1]
    ran = run("image", "check", tmp_path / "bad.tar", "--data", tmp_path / "nowhere")
    rows = dict(line.split(maxsplit=1) for line in ran.out.splitlines() if line.startswith(("tolerance", "repeats")))
    assert {name: text.strip() for name, text in rows.items()} == {"repeats": "no", "tolerance": "-"}
    assert "It does not repeat" in ran.out and "Two runs with the same inputs differ" in ran.out
    build_python_image(tmp_path / "none.tar", {"/lc/other": BAD}, with_packages=())
    ran = run("image", "check", tmp_path / "none.tar", "--data", tmp_path / "nowhere")
    assert ran.code == 1 and "no /lc/job" in ran.out
    assert left() == []


def cid(data: bytes) -> str:
    name = StreamName()
    name.feed(data)
    return name.finish()[0]


def seen(losses: list[int], claimed: str, vote: str) -> dict[str, Any]:
    """A job as the node describes it, with one seat that showed these losses."""
    reader = EvaluationReader()
    reader.take("".join(f"{format_loss(loss)}\n" for loss in losses).encode())
    evaluated: Any = reader.finish()
    probe = draw_probe(PROBE, bytes.fromhex(JOB), 0, 1, len(losses))
    greatest = open_losses(LossTree(losses), probe).greatest
    shown = [format_loss(losses[at]) for at in (*probe.positions, *greatest)]
    ballot = {"candidate": OTHER, "vote": vote, "measured": format_loss(evaluated.measurement.mean), "examples": len(losses)}
    ballot |= {"shown": shown, "hidden_loss": None, "hidden_examples": None, "hidden_shown": None, "bad_key": False}
    drawn = {"examples": len(losses), "positions": list(probe.positions), "subtrees": list(probe.subtrees)}
    seat = {"voter": OWN, "committed": True, "opened": True, "votes": [ballot], "fee": "0.1"}
    claim = FINISHED["claims"][0] | {"loss": claimed, "tolerance": "0.000000011", "bound": "0.000010000", "result": vote}
    limits = {"cpus_milli": 1_000, "mem_mb": 256, "train_s": 30, "eval_s": 30, "model_cap": 2**20, "tmp_mb": 8, "threads": 1}
    terms = FINISHED["terms"] | {"float_kind": "f64", "hidden": None}
    rounds = [{"audit": 0, "round": 1, "probes": [drawn], "committee": [seat]}]
    return FINISHED | {"claims": [claim], "limits": limits, "terms": terms, "rounds": rounds, "hidden": "NONE", "key": ""}


def test_a_model_is_evaluated_again_beside_what_the_committee_showed(api: Fake, run: Any, build: Build, tmp_path: Path) -> None:
    image, model = build("shell").read_bytes(), b"3.0 1.0\n"
    losses = measured_by_hand(tmp_path / "job-shell/data/eval.csv")
    claimed = format_loss(-(-sum(losses) // len(losses)))
    told, at = list(losses), draw_probe(PROBE, bytes.fromhex(JOB), 0, 1, len(losses)).positions[0]
    told[at] += 2_000_000
    image_id = manifest_id(image)
    for job, vote, code in ((seen(told, claimed, "OK"), "OK", 0), (seen(told, "0.000000001", "FALSE"), "FALSE", 1)):
        held = {"cid": cid(model), "sha256": "00" * 32, "size": len(model)}
        job["claims"][0]["model"] = job["model"] = held
        job["image"] = {"kind": "archive", "reference": "", "cid": cid(image), "image_id": image_id, "size": len(image)}
        api.answers[f"GET /v1/jobs/{JOB}"] = job
        api.answers[f"GET /v1/files/{cid(model)}"] = (200, model)
        api.answers[f"GET /v1/files/{cid(image)}"] = (200, image)
        ran = run("job", "recheck", JOB, "--json")
        assert ran.code == code, ran.err
        found = ran.json
        assert (found["vote"], found["claimant"], found["columns"][0]["measured"]) == (vote, OTHER, claimed)
        top = found["columns"][0]["places"][0]
        assert (top["difference"], top["shown"][0]["voter"]) == ("0.002000000", OWN), "where they differ most comes first"
        assert top["place"].startswith("greatest of ") or top["place"] == f"example {at}"
    people = run("job", "recheck", JOB).out
    assert "this machine votes" in people and "FALSE" in people and "too far" in people
    assert left() == []


@pytest.mark.parametrize("key", ["good", "junk"])
def test_a_model_is_evaluated_on_hidden_data_once_their_key_is_known(
    api: Fake, run: Any, build: Build, tmp_path: Path, key: str
) -> None:
    image, model = build("shell").read_bytes(), b"3.0 1.0\n"
    folder, secret = tmp_path / "job-shell", bytes(range(32))
    plain_hash = hidden.encrypt(folder / "hidden.csv", tmp_path / "sealed", secret, bytes(12)).hex()
    sealed = (tmp_path / "sealed").read_bytes()
    public, kept = measured_by_hand(folder / "data/eval.csv"), measured_by_hand(folder / "hidden.csv")
    job = seen(public, format_loss(-(-sum(public) // len(public))), "OK")
    shown = seen(kept, "0.1", "OK")["rounds"][0]
    more = {"hidden_shown": shown["committee"][0]["votes"][0]["shown"], "hidden_examples": len(kept), "hidden_loss": "0.000000001"}
    job["rounds"][0]["committee"][0]["votes"][0] |= more
    job["rounds"][0]["probes"] += [probe for probe in shown["probes"] if probe not in job["rounds"][0]["probes"]]
    job |= {"hidden": "ON", "key": (secret if key == "good" else bytes(32)).hex()}
    job["terms"] |= {"hidden": {"cid": cid(sealed), "plain_hash": plain_hash, "key_hash": "77" * 32, "size": len(sealed)}}
    job["claims"][0]["model"] = job["model"] = {"cid": cid(model), "sha256": "00" * 32, "size": len(model)}
    job["image"] = {"kind": "archive", "reference": "", "cid": cid(image), "image_id": manifest_id(image), "size": len(image)}
    api.answers[f"GET /v1/jobs/{JOB}"] = job
    for data in (model, image, sealed):
        api.answers[f"GET /v1/files/{cid(data)}"] = (200, data)
    found = run("job", "recheck", JOB, "--json")
    assert found.code == 0, found.err
    columns = {column["data"]: column for column in found.json["columns"]}
    assert columns["public"]["measured"] == format_loss(-(-sum(public) // len(public)))
    people = run("job", "recheck", JOB).out
    if key == "good":
        assert columns["hidden"]["measured"] == format_loss(-(-sum(kept) // len(kept)))
        assert columns["hidden"]["examples"] == len(kept) and {one["difference"] for one in columns["hidden"]["places"]} == {
            "0.000000000"
        }
        assert "measured here (hidden)" in people and "measured (hidden)" in people
    else:
        assert set(columns) == {"public"} and "does not open what was posted" in people
    assert left() == []


def measured_by_hand(points: Path) -> list[int]:
    """The losses of the line 3x + 1 on these points."""
    found = [tuple(map(float, line.split(","))) for line in points.read_text().split()]
    return [round(1e9 * float(f"{(3.0 * x + 1.0 - y) ** 2:.9f}")) for x, y in found]


def manifest_id(image: bytes) -> str:
    """The image id that a posting names: the hash of the configuration in the archive."""
    with tarfile.open(fileobj=io.BytesIO(image)) as tar:
        manifest = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
        return hashlib.sha256(tar.extractfile(manifest[0]["Config"]).read()).hexdigest()  # type: ignore[union-attr]
