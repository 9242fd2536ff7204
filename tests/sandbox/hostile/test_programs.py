"""Every hostile program of the table, run for real: it ends as the table says, the host is as before, the sandbox answers."""

from __future__ import annotations

import pytest

from .cases import PROGRAMS, Program
from .stage import Stage, check_verdict

SAMPLED = "a program of each kind runs under runc every time"
RUNC = "the same programs run under runc"
OWNED = {"tells_who_trains": ["OPEN the data are the job's own"]}
"""Without Docker all files are the one user's who is mapped, so the job's: where they are mounted nobody can write."""


def under_runc() -> list[object]:
    mark = pytest.mark.full(SAMPLED)
    return [program if program.sampled else pytest.param(program, marks=mark) for program in PROGRAMS.values()]


def name_of(program: Program) -> str:
    return program.name


@pytest.mark.parametrize("program", under_runc(), ids=name_of)
def test_a_hostile_program_under_runc(runc: Stage, program: Program) -> None:
    for _ in range(program.runs):
        outcome = runc.unharmed(lambda: runc.run(program.name, phase=program.phase, **program.limits))
        check_verdict(outcome, program.ends)


@pytest.mark.full(RUNC)
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=name_of)
def test_a_hostile_program_without_docker(oci: Stage, program: Program) -> None:
    for _ in range(program.runs):
        outcome = oci.unharmed(lambda: oci.run(program.name, phase=program.phase, **program.limits))
        if program.name in OWNED:
            assert [line for line in outcome.log_tail.splitlines() if line.startswith("OPEN")] == OWNED[program.name]
        else:
            check_verdict(outcome, program.ends)


@pytest.mark.full(RUNC)
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=name_of)
def test_a_hostile_program_under_gvisor(runsc: Stage, program: Program) -> None:
    for _ in range(program.runs):
        outcome = runsc.unharmed(lambda: runsc.run(program.name, phase=program.phase, **program.limits))
        check_verdict(outcome, *program.gvisor)
