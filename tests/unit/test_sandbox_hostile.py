"""The list of hostile cases, without running them: it is long, whole, and what docs/sandbox.md shows."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from sandbox.spec import ContainerLimits, RunStatus
from tests.sandbox.hostile.archives.kit import Base, tar
from tests.sandbox.hostile.cases import ARCHIVES, PROGRAMS
from tests.sandbox.hostile.table import PAGE, whole

FOLDER = Path(__file__).resolve().parents[1] / "sandbox" / "hostile"


def test_the_page_shows_the_cases_as_they_are() -> None:
    """After a change of a case: .venv/bin/python -m tests.sandbox.hostile.table"""
    assert PAGE.read_text() == whole(PAGE.read_text())


def test_there_are_at_least_sixty_of_each_kind() -> None:
    assert len(PROGRAMS) >= 60
    assert len([case for case in ARCHIVES.values() if case.refused]) >= 60
    assert len([case for case in PROGRAMS.values() if case.sampled]) >= 10


def test_no_case_of_a_file_is_missing_from_the_list() -> None:
    """A function that is declared under a name that another has would hide it."""
    declared = [
        node.name
        for path in (*(FOLDER / "programs").glob("*.py"), *(FOLDER / "archives").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "case"
    ]
    assert sorted(declared) == sorted([*PROGRAMS, *ARCHIVES])


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_says_what_it_tries_and_how_it_ends(name: str) -> None:
    case = PROGRAMS[name]
    assert case.tries and case.category
    for status, words in (case.ends, *case.gvisor):
        assert RunStatus(status)
        assert words
    assert set(case.limits) <= set(ContainerLimits.__struct_fields__)


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_says_what_it_tries_and_is_refused_or_runs(name: str) -> None:
    case = ARCHIVES[name]
    assert case.tries and case.category
    assert not case.refused or case.mode == "good"
    assert case.mode == "good" or case.mode in PROGRAMS
    base = Base((tar(),), {"Env": []})
    assert case.write(base) == case.write(base)
