"""`doctor`: everything that a node needs, looked at at once, with what to do about each finding. Nothing is changed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from learningchain.client.cli.common import HERE, Common, WrongUsage, clean, in_commands, named
from learningchain.client.cli.options import Parameter
from learningchain.client.cli.paper import Console, Spans
from learningchain.client.cli.ready import runs_here

if TYPE_CHECKING:
    from learningchain.client.doctor.findings import DoctorFinding
    from learningchain.client.doctor.node import Said

LOOK_S: Final = 15.0
TEST_S: Final = 240.0
"""For the self-test, which runs containers."""
_REMOVALS: Final = 40
DRIFT_MS: Final = 2_000
"""What validators bear where the node does not say (parameter `drift`)."""
_STYLE: Final = {"fine": "green", "skipped": "dim", "warning": "yellow", "failure": "red"}


def doctor(
    *,
    self_test: Annotated[
        bool, Parameter(negative="", show_default=False, help="Also try to break the sandbox's limits here: about a minute.")
    ] = False,
    common: Common = HERE,
) -> int:
    """Look at all that this node needs, running or not, and say what to do. Exit code: 0 fine, 1 warnings, 2 failures."""
    folder = common.folder
    if not folder.is_dir():
        raise WrongUsage(f"There is no data folder {folder}. Run: learningchain init, or name one with --data")
    with scratch() if self_test else nullcontext() as place:
        findings = _examine(common, folder, place)
    return show_findings(common, findings)


def show_findings(common: Common, findings: list[DoctorFinding]) -> int:
    """Their exit code."""
    from learningchain.client.doctor.findings import exit_code

    code = exit_code(findings)
    document = {"exit_code": code, "findings": [vars(finding) for finding in findings]}
    common.out.show(document, lambda console: _print(console, findings))
    return code


@contextmanager
def scratch() -> Iterator[str]:
    """A folder that is gone afterwards, also where this command was told to end and threads still write into it."""
    place = tempfile.mkdtemp(prefix="learningchain-doctor-")
    try:
        yield place
    finally:
        for _ in range(_REMOVALS):
            shutil.rmtree(place, ignore_errors=True)
            if not os.path.lexists(place):
                break
            time.sleep(0.05)


def _examine(common: Common, folder: Path, place: str | None) -> list[DoctorFinding]:
    from learningchain.client import config
    from learningchain.client.doctor import files, gpus, machine
    from learningchain.client.doctor.findings import examine

    looks: dict[str, Callable[[], list[DoctorFinding]]] = {
        "permissions": lambda: files.look_at_folder(folder),
        "settings": lambda: files.look_at_settings(folder),
        "keystore": lambda: files.look_at_keystore(folder),
        "network-file": lambda: files.look_at_genesis(folder),
        "guard": lambda: files.look_at_guard(folder),
        "disk": lambda: files.look_at_disk(folder),
        "limits": machine.look_at_limits,
    }
    runs, said = runs_here(folder), _said(common)
    looks |= _of_node(common, said, runs)
    try:
        loaded = config.load(folder).config
    except config.ConfigError:  # a finding already; the rest goes by the settings
        loaded = None
    if loaded is not None:
        machine.load_backend(folder, loaded.sandbox)
        settings, needed = loaded, loaded.work.enabled or bool(said.status.get("working"))
        looks |= {
            "ports": lambda: machine.look_at_ports(settings, runs),
            "reachable": lambda: machine.look_at_addresses(settings),
            "engine": lambda: machine.look_at_engine(folder, settings.sandbox, needed, settings.work.gpus),
            "gpus": lambda: gpus.look_at_cluster(settings.work.gpus, settings.cluster.kind),
            "gpu-toolkit": lambda: gpus.look_at_toolkit(settings.work.gpus),
        }
        if "://" in loaded.storage.url:
            from learningchain.client.doctor import database

            looks["database"] = lambda: database.look_at_database(settings.storage.url, files.chain_id(folder), runs)
        if place is not None:
            looks["sandbox"] = lambda: machine.prove_sandbox(folder, settings.sandbox, place, settings.work.gpus)
    return examine(looks, LOOK_S if place is None else TEST_S)


def _said(common: Common) -> Said:
    from learningchain.client.doctor.findings import together
    from learningchain.client.doctor.node import Said, ask

    answer = together({"node": lambda: ask(common.client, LOOK_S)}, LOOK_S + 5)["node"]
    if isinstance(answer, Said):
        return answer
    return Said(fault=str(answer) if answer is not None else f"no answer within {LOOK_S + 5:g} s")


def _of_node(common: Common, said: Said, runs: bool) -> dict[str, Callable[[], list[DoctorFinding]]]:
    from learningchain.client.doctor import machine, node

    status, now = said.status, time.time_ns() // 1_000_000
    drift = int(status.get("clock_drift_ms") or DRIFT_MS)
    offset, others = status.get("clock_offset_ms"), int(status.get("clock_peers") or 0)
    return {
        "node": lambda: node.judge_run(said, runs, common.again),
        "blocks": lambda: node.judge_progress(said, now),
        "sandbox": lambda: node.judge_sandbox(said),
        "machines": lambda: node.judge_machines(said),
        "words": lambda: node.judge_words(said),
        "clock": lambda: machine.judge_clock(offset, others, machine.kernel_keeps_time(), drift),
        "versions": lambda: machine.look_at_versions(status.get("version")),
    }


def _print(console: Console, findings: list[DoctorFinding]) -> None:
    """The worst at the end, where people look first."""
    order = list(_STYLE)
    for finding in sorted(findings, key=lambda one: order.index(one.level)):
        said = f"{finding.check}: {_said_plainly(finding.text)}"
        console.print(Spans((f"{finding.level:8} ", _STYLE[finding.level]), (said, "")), soft_wrap=True)
        if finding.remedy:
            console.print(f"{'':9}-> {_said_plainly(finding.remedy)}", soft_wrap=True)
    bad: dict[str, int] = {level: sum(one.level == level for one in findings) for level in ("failure", "warning")}
    console.print(f"\nFailures: {bad['failure']}, warnings: {bad['warning']}" if any(bad.values()) else "\nAll is well.")


def _said_plainly(text: Any) -> str:
    return named(clean(in_commands(str(text)))).replace("\n", " ")
