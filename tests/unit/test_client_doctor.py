"""`learningchain doctor`: each finding with its remedy, the exit code that monitors read, and an end in time whatever hangs."""

from __future__ import annotations

import resource
import socket
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from learningchain.chain.storage.datadir import MIN_FREE
from learningchain.client import config
from learningchain.client.config import Config
from learningchain.client.daemon.opening import version
from learningchain.client.doctor import files, gpus, machine, node
from learningchain.client.doctor.findings import DoctorFinding, FindingLevel, examine, exit_code, fine
from learningchain.client.doctor.node import Said
from learningchain.client.keys.keystore import Keystore
from learningchain.client.node.peer_clock import ClockSeen, PeerClock
from learningchain.sandbox.docker import engine as engine_module
from learningchain.sandbox.docker.context import DockerContext
from tests.processes.harness import free_port
from tests.slow import SLOW
from tests.unit.client_cli_kit import clean_environment, run  # noqa: F401

WORD = "correct horse battery"
A, B, C, OWN = (bytes([n]) * 20 for n in range(4))


@pytest.fixture
def folder(clean_environment: None, tmp_path: Path) -> Path:  # noqa: F811
    """A data folder as `init` makes it, with ports that are free."""
    made = tmp_path / "node"
    made.mkdir(mode=0o700)
    Keystore.create(made / "keystore.json", WORD)
    wanted = {"network.listen": f"127.0.0.1:{free_port()}", "api.listen": f"127.0.0.1:{free_port()}"}
    (made / config.FILE).write_text(config.render(wanted))
    (made / config.FILE).chmod(0o600)
    return made


def levels(findings: list[DoctorFinding]) -> set[str]:
    return {str(finding.level) for finding in findings}


# --- the whole ------------------------------------------------------------------------------------------------------------------


def test_a_folder_without_a_network_and_a_stopped_node_is_told_what_to_do(run: Any, folder: Path) -> None:  # noqa: F811
    done = run("doctor", "--data", folder, "--json")
    assert done.code == done.json["exit_code"] == 2
    found = {one["check"]: one for one in done.json["findings"]}
    assert found["network-file"]["level"] == "failure" and "genesis install" in found["network-file"]["remedy"]
    assert found["node"]["level"] == "warning" and "learningchain node" in found["node"]["remedy"]
    assert {found[name]["level"] for name in ("permissions", "settings", "keystore", "ports", "disk")} == {"fine"}
    assert found["sandbox"]["level"] == "skipped"


def test_settings_that_cannot_be_used_are_one_finding_and_everything_else_is_looked_at(run: Any, folder: Path) -> None:  # noqa: F811
    (folder / config.FILE).write_text('[network]\nlisten = "nowhere"\n')
    done = run("doctor", "--data", folder, "--json")
    found = {one["check"]: one["level"] for one in done.json["findings"]}
    assert found["settings"] == "failure" and found["keystore"] == "fine" and "ports" not in found


@pytest.mark.parametrize(
    ("given", "code"),
    [((), 0), (("fine", "skipped"), 0), (("fine", "warning"), 1), (("warning", "failure", "fine"), 2)],
)
def test_the_worst_finding_is_the_exit_code(given: tuple[str, ...], code: int) -> None:
    assert exit_code(DoctorFinding("x", FindingLevel(level), "") for level in given) == code


def test_what_hangs_and_what_breaks_are_failures_and_the_rest_is_told() -> None:
    never = threading.Event()

    def hangs() -> list[DoctorFinding]:
        never.wait()
        return []

    def breaks() -> list[DoctorFinding]:
        raise RuntimeError("the disk said no")

    def refused() -> list[DoctorFinding]:
        raise FileNotFoundError(2, "No usable temporary directory found")

    looks = {"slow": hangs, "broken": breaks, "good": lambda: [fine("good", "well")], "refused": refused}
    try:
        found = examine(looks, 0.2 * SLOW)
    finally:
        never.set()
    levels = [("slow", "failure"), ("broken", "failure"), ("good", "fine"), ("refused", "failure")]
    assert [(one.check, str(one.level)) for one in found] == levels
    assert "Report it" in str(found[1]) and "TMPDIR" in str(found[3]) and "Report" not in str(found[3])
    assert f"no answer within {0.2 * SLOW:g} s" in found[0].text and "the disk said no" in found[1].text


# --- the disk -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "folder_mode", "level"),
    [(0o600, 0o700, "fine"), (0o644, 0o700, "warning"), (0o644, 0o755, "failure"), (0o620, 0o700, "failure")],
)
def test_secrets_that_others_may_read_or_write(folder: Path, mode: int, folder_mode: int, level: str) -> None:
    (folder / "api.token").write_text("secret")
    (folder / "api.token").chmod(mode)
    folder.chmod(folder_mode)
    found = files.look_at_folder(folder)
    assert level in levels(found)
    assert all(one.remedy for one in found if one.level is not FindingLevel.FINE)


def test_the_network_s_file_may_be_read_by_all_and_written_by_nobody(folder: Path) -> None:
    (folder / "genesis.json").write_text("{}")
    (folder / "genesis.json").chmod(0o644)
    assert levels(files.look_at_folder(folder)) == {"fine"}
    (folder / "genesis.json").chmod(0o664)
    assert levels(files.look_at_folder(folder)) == {"failure"}


def test_a_link_in_the_place_of_a_file_is_a_failure_and_a_linked_folder_is_none(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (folder / "blobs").symlink_to(tmp_path / "elsewhere")
    assert levels(files.look_at_folder(folder)) == {"fine"}
    (folder / "guard").symlink_to(tmp_path / "other")
    assert levels(files.look_at_folder(folder)) == {"failure"}


def test_a_damaged_keystore_a_missing_one_and_one_beside_a_signer(folder: Path) -> None:
    assert levels(files.look_at_keystore(folder)) == {"fine"}
    (folder / "signer.pair").write_text("{}")
    assert "signs twice" in files.look_at_keystore(folder)[0].text
    (folder / "keystore.json").rename(folder / "moved")
    assert "learningchain signer use" in files.look_at_keystore(folder)[0].remedy, "now the pairing itself is looked at"
    (folder / "guard").touch()
    (found,) = files.look_at_keystore(folder)
    assert found.level == "failure" and "signs twice" in found.text, "it knows nothing of what the signer signs"
    (folder / "guard").unlink()
    (folder / "moved").rename(folder / "keystore.json")
    (folder / "signer.pair").unlink()
    (folder / "keystore.json").write_text("{")
    assert levels(files.look_at_keystore(folder)) == {"failure"}
    (folder / "keystore.json").unlink()
    assert "no keystore" in files.look_at_keystore(folder)[0].text


def test_a_chain_that_has_begun_without_its_guard(folder: Path) -> None:
    assert files.look_at_guard(folder) == []
    (folder / "wal").touch()
    assert levels(files.look_at_guard(folder)) == {"failure"}
    (folder / "guard").touch()
    assert levels(files.look_at_guard(folder)) == {"fine"}


@pytest.mark.parametrize(
    ("free", "left", "level"),
    [(MIN_FREE - 1, None, "failure"), (MIN_FREE, 10**6, "warning"), (10**12, 9, "warning"), (10**12, None, "fine")],
)
def test_room_for_bytes_and_for_files(free: int, left: int | None, level: str) -> None:
    assert levels(files.judge_room(Path("/data"), free, left)) == {level}


# --- the machine ----------------------------------------------------------------------------------------------------------------


def settings(**network: Any) -> Config:
    api = f"127.0.0.1:{free_port()}"
    return Config(network=config.NetworkConfig(**network), api=config.ApiConfig(listen=api))


def test_a_port_that_another_program_has_and_one_at_which_the_running_node_does_not_answer() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        found = machine.look_at_ports(settings(listen=taken), running=False)
        assert [str(one.level) for one in found] == ["failure", "fine"] and "another program has it" in found[0].text
        found = machine.look_at_ports(settings(listen=taken), running=True)
        assert [str(one.level) for one in found] == ["fine", "failure"] and "api.listen" in found[1].text
        elsewhere = settings(listen=f"127.0.0.1:{free_port()}", bulk_port=other.getsockname()[1])
        found = machine.look_at_ports(elsewhere, running=False)
        assert [str(one.level) for one in found] == ["fine", "fine", "failure"] and "network.bulk_port" in found[2].text


@pytest.mark.parametrize(
    ("offset", "kept", "level"),
    [
        (300, None, "fine"),  # what a round takes
        (-900, None, "fine"),
        (-1_500, True, "warning"),
        (2_900, True, "warning"),
        (-2_500, True, "failure"),
        (60_000, True, "failure"),
        (None, True, "fine"),
        (None, False, "warning"),
        (None, None, "skipped"),
    ],
)
def test_the_clock_beside_what_validators_bear(offset: int | None, kept: bool | None, level: str) -> None:
    assert levels(machine.judge_clock(offset, 3, kept, 2_000)) == {level}


def test_an_engine_that_is_away_is_a_failure_for_a_node_that_runs_jobs_and_nothing_for_another(folder: Path) -> None:
    nowhere = config.SandboxConfig(engine=f"unix://{folder}/none.sock", cache_dir=str(folder))
    assert levels(machine.look_at_engine(folder, nowhere, needed=True)) == {"failure"}
    assert levels(machine.look_at_engine(folder, nowhere, needed=False)) == {"skipped"}
    unknown = config.SandboxConfig(backend="nobody-wrote-it")
    assert "nobody-wrote-it" in machine.look_at_engine(folder, unknown, needed=True)[0].text


class AnsweringEngine:
    _version = "1.43"

    def info(self) -> dict[str, Any]:
        return {"OSType": "linux", "SecurityOptions": ["name=seccomp"], "Architecture": "x86_64", "Runtimes": {"runc": {}}}


def test_the_engine_of_docker_s_context_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config.SandboxConfig(cache_dir=str(folder))
    monkeypatch.setattr(engine_module, "active_context", lambda: DockerContext("rootless", "unix:///run/user/1/docker.sock"))
    for name in ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    (away,) = machine.look_at_engine(folder, settings, needed=True)
    assert "unix:///run/user/1/docker.sock (by docker's context 'rootless')" in away.text
    assert "sandbox.engine URL" in away.remedy
    monkeypatch.setattr(engine_module, "_make_client", lambda **_: AnsweringEngine())
    assert machine.look_at_engine(folder, settings, needed=True)[0].text.endswith(", by docker's context rootless")


@pytest.mark.parametrize(
    ("said", "level", "text"),
    [
        ("NVIDIA Container Toolkit CLI version 1.17.8\ncommit: f202b80a\n", "fine", "toolkit 1.17.8"),
        ("NVIDIA Container Toolkit CLI version 1.17.7\n", "warning", "CVE-2025-23266"),
        ("NVIDIA Container Toolkit CLI version 1.9.12\n", "warning", "CVE-2025-23266"),
        ("nvidia-ctk version 2.0.0", "fine", "toolkit 2.0.0"),
        ("", "warning", "says nothing"),
        ("version 1.17", "warning", "no version"),
    ],
)
def test_a_toolkit_whose_hooks_an_image_can_turn_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, level: str, text: str
) -> None:
    tool = tmp_path / "nvidia-ctk"
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (found,) = gpus.look_at_toolkit(["nvidia.com/gpu=0 cuda 24000"])
    assert found.level == level and text in found.text
    assert gpus.look_at_toolkit(["lctest.io/gpu=first cuda 8000"]) == [], "nobody else's GPUs ask for it"


# --- the running node -----------------------------------------------------------------------------------------------------------

STATUS = {"height": 9, "network": "lab", "time": 1_000_000, "peers": 3, "id": "lc1a", "validators": ["lc1a", "lc1b"]}


def progress(now_ms: int = 1_000_000, **more: Any) -> dict[str, str]:
    return {one.check: str(one.level) for one in node.judge_progress(Said(STATUS | more), now_ms)}


def test_blocks_and_peers() -> None:
    assert progress() == {"peers": "fine", "blocks": "fine"}
    assert progress(peers=0)["peers"] == "failure"
    assert progress(peers=0, validators=["lc1a"])["peers"] == "fine"
    assert progress(syncing=True)["blocks"] == "warning"
    assert progress(1_000_000 + 200_000)["blocks"] == "warning"
    assert progress(1_000_000 + 3_600_000)["blocks"] == "failure"


def test_what_the_node_says_fails_is_parked_or_waits() -> None:
    status = STATUS | {
        "failing": [{"part": "sync", "why": "no peer keeps block 5"}],
        "parked": [{"contract": "job", "ref": "ab", "fault": "KeyError"}],
        "notices": [{"topic": "case.waits", "text": "a case waits"}],
    }
    found = [(one.check, str(one.level)) for one in node.judge_words(Said(status))]
    assert found == [("failing", "failure"), ("parked", "warning"), ("notices", "warning")]


CHECKS = [{"name": "memory", "ok": True, "detail": ""}, {"name": "network", "ok": True, "detail": ""}]


@pytest.mark.parametrize(
    ("said", "level", "text", "remedy"),
    [
        (Said(STATUS, unready=("SANDBOX", "the self-test has not ended")), "skipped", "has not ended", "Wait"),
        (Said(STATUS, unready=("SANDBOX", "no engine answers")), "failure", "no engine", "docker info"),
        (Said(STATUS, unready=("SYNCING", "it fetches blocks")), "skipped", "it fetches blocks", "Wait"),
        (Said(STATUS, sandbox={"checks": CHECKS}), "fine", "each of 2 limits", ""),
        (
            Said(STATUS, sandbox={"checks": [*CHECKS, {"name": "pids", "ok": False, "detail": "99 of 64"}]}),
            "failure",
            "pids: 99",
            "docs/sandbox.md",
        ),
        (Said(STATUS), "skipped", "runs no jobs", ""),
        (Said(fault="refused"), "skipped", "no node runs", "--self-test"),
    ],
)
def test_the_sandbox_of_the_running_node(said: Said, level: str, text: str, remedy: str) -> None:
    [found] = node.judge_sandbox(said)
    assert (found.check, str(found.level)) == ("sandbox", level) and text in found.text and remedy in found.remedy


@pytest.mark.parametrize(("running", "level"), [(None, "fine"), (version(), "fine"), ("0.0.1", "warning")])
def test_a_node_of_another_version_than_the_one_installed(running: str | None, level: str) -> None:
    [found] = machine.look_at_versions(running)
    assert str(found.level) == level and version() in found.text
    assert level == "fine" or ("0.0.1" in found.text and "Restart" in found.remedy)


@pytest.mark.parametrize(
    ("hard", "level"),
    [(machine.FEW_FILES - 1, "warning"), (machine.FEW_FILES, "fine"), (resource.RLIM_INFINITY, "fine")],
)
def test_open_files_that_this_user_may_have(monkeypatch: pytest.MonkeyPatch, hard: int, level: str) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, hard))
    assert levels(machine.look_at_limits()) == {level}


# --- the clock, from blocks -----------------------------------------------------------------------------------------------------


def test_the_clock_is_compared_with_other_proposers_one_as_much_as_another() -> None:
    clock = PeerClock(OWN)
    for n in range(10):
        clock.saw(A, 1_000 * n, 1_000 * n + 100)
    clock.saw(B, 10_000, 10_300)
    clock.saw(C, 11_000, 16_000)  # it came late, or lies
    clock.saw(OWN, 12_000, 99_000)
    assert clock.seen(20_000) == ClockSeen(300, 3)


def test_a_node_on_loopback_with_peers_elsewhere_is_warned() -> None:
    listen = f"127.0.0.1:{free_port()}"
    assert "warning" not in levels(machine.look_at_ports(settings(listen=listen, peers=["127.0.0.1:9"]), running=False))
    found = machine.look_at_ports(settings(listen=listen, peers=["lc1x@node.example.org:7400"]), running=False)
    assert "warning" in levels(found)


def test_peers_that_take_no_connection() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as up:
        good, bad = f"127.0.0.1:{up.getsockname()[1]}", f"127.0.0.1:{free_port()}"
        assert levels(machine.look_at_addresses(settings(peers=[good]))) == {"fine"}
        assert levels(machine.look_at_addresses(settings(peers=[good, bad]))) == {"warning"}
        assert levels(machine.look_at_addresses(settings(peers=[bad]))) == {"failure"}
        assert levels(machine.look_at_addresses(settings(advertise=[bad]))) == {"warning"}
        assert levels(machine.look_at_addresses(settings())) == {"skipped"}
