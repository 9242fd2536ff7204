"""What the two tiers of the checks consist of, part by part. docs/testing.md says how a test finds its place.

`GATE` (`make test`) decides: the same tests with the same inputs in every run. `SECOND` (`make test-full`) is everything else: it
draws its examples, takes longer, and its report is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

PYTHON = ".venv/bin/python"
PYTEST = (PYTHON, "-m", "pytest")
FULL = (*PYTEST, "--full", "-m", "full or quarantined or hypothesis")
"""What the gate leaves out, and what draws its examples, which are other ones here."""


@dataclass(frozen=True)
class Part:
    """`minutes`: what it takes on two quiet cores."""

    name: str
    command: tuple[str, ...]
    minutes: float
    beside: tuple[Part, ...] = ()
    """What runs at the same time: it takes one processor as well."""
    again: bool = False
    """Real nodes or real containers: a file that fails is run once more, alone, after everything else."""

    @property
    def tests(self) -> bool:
        """Whether pytest runs it, and tells of every test."""
        return self.command[:3] == PYTEST and "--collect-only" not in self.command


CODE = ("tests/unit", "tests/vectors", "tests/conformance", "tests/fuzz", "tests/twins")
LINT = (
    Part("lint", (".venv/bin/ruff", "check", "--quiet", "."), 0.1),
    Part("format", (".venv/bin/ruff", "format", "--check", "--quiet", "."), 0.1),
    Part("import rule", (".venv/bin/lint-imports",), 0.2),
    Part("rooms of the client", (PYTHON, "scripts/rooms.py"), 0.1),
    Part("words of the ledger", (PYTHON, "scripts/ledger_words.py"), 0.0),
    Part("long classes", (PYTHON, "scripts/classes.py"), 0.1),
    Part("quarantine", (PYTHON, "-m", "tests.quarantined"), 0.0),
)
MYPY = (".venv/bin/mypy",)
TYPES = (Part("types", MYPY, 0.4),)
GATE = (
    *LINT,
    Part("types", MYPY, 0.4, beside=(Part("every test is found, and compiled", (*PYTEST, "-qq", "--collect-only"), 0.4),)),
    Part("tests of the code", (*PYTEST, "-n", "2", "--dist", "loadfile", *CODE), 2.9),
    Part("virtual time", (*PYTEST, "-n", "2", "tests/sim"), 0.9),
    Part("real nodes, one at a time", (*PYTEST, "tests/processes"), 3.1, again=True),
    Part("real containers, one at a time", (*PYTEST, "tests/sandbox"), 2.0, again=True),
)
_API_AND_CLIENTS = (
    Part("the HTTP API under a fuzzer of its document", (*FULL, "tests/apifuzz"), 0.6),
    Part("clients and a validator that nobody here wrote", (*FULL, "tests/clients", "tests/packages"), 1.0),
)
_BROWSER_AND_IMAGE = Part(
    "the dashboard in a real browser",
    (*FULL, "tests/browser"),
    4.5,
    beside=(Part("the node's image, and a graph of six containers", (*FULL, "tests/packaging"), 2.6),),
)
_CONTAINERS = Part("the rest of the real containers", (*FULL, "tests/sandbox", "--ignore=tests/sandbox/hostile"), 4.8, again=True)
_LONG_JOB = Part("a job of 25 minutes, in real time", (*FULL, "tests/processes/test_long_job.py"), 29.0, again=True)
_MONTH = Part("a month of long work in virtual time", (PYTHON, "-m", "tests.sim.lasting"), 15.0)
SECOND = (
    Part("the code's second tier", (*FULL, "-n", "2", *CODE), 1.4),
    Part("virtual time's second tier", (*FULL, "-n", "2", "tests/sim"), 2.6),
    Part("400 seeds of the graph", (PYTHON, "-m", "tests.sim", "--seeds", "0..400", "--jobs", "2"), 0.6),
    Part("every case of two rounds of twins", (PYTHON, "-m", "tests.twins", "--rounds", "2", "--jobs", "2"), 0.1),
    Part("every decoder under a fuzzer", ("tests/fuzz/run.sh", "", "1"), 2.0, beside=_API_AND_CLIENTS),
    # The hostile ones have an engine of their own, and compare that one alone before and after each.
    Part("hostile programs and images", (*FULL, "tests/sandbox/hostile"), 10.8, beside=(_CONTAINERS,), again=True),
    Part(
        "the rest of the real nodes",
        (*FULL, "tests/processes", "--ignore=tests/processes/test_long_job.py"),
        48.6,
        beside=(_MONTH, _LONG_JOB),  # which sleeps most of the time
        again=True,
    ),
    _BROWSER_AND_IMAGE,
    Part("soak of two minutes", (PYTHON, "-m", "tests.soak", "--minutes", "2"), 2.5),
    Part("soak of half a minute, and what looks for it", (*FULL, "tests/soak"), 0.7),
)
