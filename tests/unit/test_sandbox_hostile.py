"""The list of hostile cases, without running them: it is long, whole, and what docs/sandbox.md shows."""

from __future__ import annotations

import pytest

from learningchain.sandbox.spec import ContainerLimits, RunStatus
from tests.sandbox.hostile.archives.kit import Base, tar
from tests.sandbox.hostile.cases import ARCHIVES, PROGRAMS
from tests.sandbox.hostile.table import PAGE, whole


def test_the_page_shows_the_cases_as_they_are() -> None:
    """After a change of a case: .venv/bin/python -m tests.sandbox.hostile.table"""
    assert PAGE.read_text() == whole(PAGE.read_text())


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
