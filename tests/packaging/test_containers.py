"""The node's image, built without a registry, and the graph of packaging/compose on an engine of the tests' own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from scripts.packages import tree
from tests.packaging.own_engine import OwnEngine, Refused

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "packaging/compose"
IMAGE = "learningchain-tested"
UNREACHABLE = 3
"""What scripts/image.sh ends with where mirror or index do not answer."""
BUILD_S = 900.0
PATIENCE_S = 180.0
VALIDATORS = ("v1", "v2", "v3", "v4")
WORKERS = ("w1", "w2")
USER = "7400:7400"

pytestmark = [
    pytest.mark.full("a Debian, an image and six nodes in containers take five minutes; test_packaging_files reads the same files"),
    pytest.mark.timeout(1_800),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    try:
        with OwnEngine() as engine:
            yield engine
    except Refused as why:
        pytest.skip(f"no engine with a bridge of its own: {why}")


@pytest.fixture(scope="module")
def image(engine: OwnEngine) -> str:
    try:
        engine.run(str(ROOT / "scripts/image.sh"), IMAGE, within=BUILD_S)
    except subprocess.CalledProcessError as fault:
        if fault.returncode == UNREACHABLE:
            pytest.skip(f"the image's packages cannot be reached: {fault.stderr.strip()[-300:]}")
        raise
    return IMAGE


def eventually(what: str, probe: Callable[[], T | None], within: float = PATIENCE_S) -> T:
    """The first true answer. A container that is on its way refuses commands."""
    deadline, last = time.monotonic() + within, ""
    while time.monotonic() < deadline:
        try:
            if found := probe():
                return found
        except subprocess.CalledProcessError as fault:
            last = f"{fault.stdout[-500:]}{fault.stderr[-500:]}"
        time.sleep(0.5)
    raise AssertionError(f"after {within:.0f} s still not: {what} {last}")


class Composed:
    """The graph of a copy of packaging/compose."""

    def __init__(self, engine: OwnEngine, folder: Path, program: str) -> None:
        self.engine, self.folder, self.program = engine, folder, program

    def __call__(self, *words: str, **environment: str) -> str:
        return self.engine.run(self.program, "--profile", "workers", *words, cwd=self.folder, environment=environment)

    def node(self, name: str, *words: str) -> Any:
        return json.loads(self("exec", "-T", name, "learningchain", *words, "--json"))

    def height(self, name: str) -> int:
        return self.node(name, "status")["height"]

    def container(self, name: str) -> Any:
        (found,) = json.loads(self.engine.docker("inspect", self("ps", "-q", name).strip()))
        return found

    def set_up(self) -> None:
        self.engine.run(str(self.folder / "setup.sh"), IMAGE, cwd=self.folder, environment={"COMPOSE": self.program})

    def grows(self, name: str, above: int, within: float = PATIENCE_S) -> int:
        return eventually(
            f"{name} is above height {above}", lambda: height if (height := self.height(name)) > above else None, within
        )


def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "graph"
    folder.mkdir()
    for name in ("compose.yaml", "setup.sh"):
        shutil.copy(FILES / name, folder)
    return folder


@pytest.fixture
def composed(engine: OwnEngine, image: str, tmp_path: Path) -> Iterator[Composed]:
    done = subprocess.run([ROOT / "scripts/compose.sh"], capture_output=True, text=True, timeout=900, check=False)
    program = shutil.which("docker-compose")
    if done.returncode or program is None:
        pytest.skip(f"there is no docker-compose: {done.stderr.strip()[-300:]}")
    graph = Composed(engine, copied(tmp_path), program)
    try:
        yield graph
    finally:
        graph("down", "--volumes", "--remove-orphans", "--timeout", "20")


def test_the_image_has_the_code_and_nothing_that_lay_beside_it(engine: OwnEngine, image: str) -> None:
    (found,) = json.loads(engine.docker("image", "inspect", image))
    settings = found["Config"]
    assert settings["User"] == USER and settings["Volumes"] == {"/data": {}}
    assert settings["Healthcheck"]["Test"] == ["CMD-SHELL", "learningchain status --json >/dev/null"]
    assert not any("PASSPHRASE" in variable or "TOKEN" in variable for variable in settings["Env"])
    # Base, user and data folder, the environment: no stage that built, and no wheel.
    assert len(found["RootFS"]["Layers"]) == 3
    found_by = "cd /opt/learningchain/lib/python3*/site-packages && find learningchain -type f; ls -A /data"
    listed = engine.docker("run", "--rm", "--network", "none", "--read-only", "--entrypoint", "sh", image, "-c", found_by)
    inside = {line for line in listed.split() if not line.endswith(".pyc")}
    tracked = [tree.place_of(name) for name in tree.files() if name not in tree.BESIDE]
    assert {name for name in tracked if name.endswith(".py")} == {name for name in inside if name.endswith(".py")}
    assert inside <= set(tracked)
    stray = r"\( -name keystore.json -o -name '*.pair' -o -name api.token -o -name .git -o -name .venv -o -name pip.conf \)"
    assert engine.docker("run", "--rm", "--user", "0", "--entrypoint", "sh", image, "-c", f"find / -xdev {stray}").strip() == ""


def test_the_image_runs_without_rights_and_says_what_it_lacks(engine: OwnEngine, image: str) -> None:
    locked = ("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    assert engine.docker(*locked, image, "--version").startswith("learningchain ")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        engine.docker(*locked, "--tmpfs", "/tmp", image)
    assert refused.value.returncode == 1 and "keystore.json" in refused.value.stderr


def test_four_validators_and_two_workers(composed: Composed) -> None:
    composed.set_up()
    before = sorted((path.name, path.read_bytes()) for path in (composed.folder / "secrets").iterdir())
    assert (composed.folder / "secrets").stat().st_mode & 0o777 == 0o700
    composed.set_up()  # again: nothing changes
    assert before == sorted((path.name, path.read_bytes()) for path in (composed.folder / "secrets").iterdir())

    composed("up", "-d", *VALIDATORS)
    first = {name: composed.grows(name, 1) for name in VALIDATORS}
    for number, name in enumerate(VALIDATORS, 1):
        composed.grows(name, first[name])
        held = composed.container(name)
        assert held["NetworkSettings"]["Networks"]["graph_graph"]["IPAddress"] == f"172.31.74.1{number}"
        _is_locked(held)
    _only_one_api_is_published(composed)

    # A container that is gone and made anew goes on from its volume, under the same identity.
    identity, height = composed.node("v3", "id")["address"], composed.height("v3")
    composed("kill", "v3")
    composed("rm", "-f", "v3")
    composed("up", "-d", "v3")
    assert composed.grows("v3", height) > height
    assert composed.node("v3", "id")["address"] == identity
    shown = [composed.node(name, "block", "show", str(height))["block_id"] for name in ("v1", "v3")]
    assert shown[0] == shown[1]

    # Workers have the engine, and prove their sandbox on it.
    composed("up", "-d")
    for name in WORKERS:
        _is_locked(composed.container(name))
        eventually(f"{name} works", lambda name=name: composed.node(name, "status")["working"])  # type: ignore[misc]
    target = composed.node("w1", "id")["address"]
    paid = composed.node("v2", "transfer", target, "1.5")
    assert (paid["status"], paid["code_name"]) == ("final", "OK")
    arrived = eventually("the transfer is with w1", lambda: composed.node("w1", "balance")["balance"] == "51.5")
    assert arrived

    healthy = eventually("v1 is healthy", lambda: composed.container("v1")["State"]["Health"]["Status"] == "healthy")
    assert healthy
    composed("down", "--volumes", "--timeout", "60")
    assert composed.engine.docker("ps", "--all", "--quiet") == ""
    assert composed.engine.docker("volume", "ls", "--quiet", "--filter", "name=graph_") == ""
    assert "graph_graph" not in composed.engine.docker("network", "ls")


def _is_locked(held: Any) -> None:
    """Of one container: what the engine really gave it."""
    name, host = held["Name"], held["HostConfig"]
    assert held["Config"]["User"] == USER, name
    assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"], name
    assert "no-new-privileges:true" in host["SecurityOpt"] and host["PidsLimit"] == 512 and host["Memory"] == 2 << 30, name
    sources = {mount["Destination"]: mount["Type"] for mount in held["Mounts"]}
    socket = {"/var/run/docker.sock": "bind"} if "_w" in name or "-w" in name else {}
    assert sources == {"/data": "volume", "/run/secrets/passphrase": "bind"} | socket, name


def _only_one_api_is_published(composed: Composed) -> None:
    ports = {name: composed.container(name)["NetworkSettings"]["Ports"] for name in VALIDATORS}
    assert {name: found.get("7401/tcp") for name, found in ports.items()} == {
        "v1": [{"HostIp": "127.0.0.1", "HostPort": "7401"}],
        **dict.fromkeys(VALIDATORS[1:]),
    }
    ask = "import urllib.request as r, urllib.error as e\ntry: r.urlopen('http://127.0.0.1:7401/v1/status', timeout=30)"
    program = f"{ask}\nexcept e.HTTPError as refused: print(refused.code)"
    assert composed.engine.inside(["python3", "-I", "-c", program]).strip() == "401"


def test_compose_2_reads_the_same_file(engine: OwnEngine, tmp_path: Path) -> None:
    """Debian 13's program on this machine, whichever this is."""
    command = [str(ROOT / "scripts/compose.sh"), "two", str(tmp_path / "two")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=700, check=False)
    if found.returncode:
        pytest.skip(f"Compose 2 is not to be had: {found.stderr.strip()[-300:]}")
    graph = Composed(engine, copied(tmp_path), found.stdout.strip())
    assert graph("version", "--short").startswith("2.")
    read = json.loads(graph("config", "--format", "json"))
    assert set(read["services"]) == {*VALIDATORS, *WORKERS}
    for name, service in read["services"].items():
        mounted = [mount["target"] for mount in service["volumes"]]
        assert mounted == (["/data"] if name in VALIDATORS else ["/data", "/var/run/docker.sock"]), name
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
    without = json.loads(engine.run(graph.program, "config", "--format", "json", cwd=graph.folder))
    assert set(without["services"]) == set(VALIDATORS)
    assert os.environ.get("DOCKER_SOCKET", "/var/run/docker.sock") not in json.dumps(without)
