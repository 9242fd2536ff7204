"""The two tiers of the tests (docs/testing.md).

The first, `make test`, is deterministic: the same tests with the same inputs in every run. What is marked `full`, by itself or by
the list in tiers.py, and what is quarantined runs with `--full` (as `make test-full` does), or when it is named itself.
"""

from __future__ import annotations

import os
import sys
from importlib.abc import MetaPathFinder
from types import ModuleType

import hypothesis
import pytest
import structlog

from tests.quarantined import LIST, read
from tests.slow import SLOW
from tests.tiers import left

ROOT = LIST.parents[1]
ROOMS = frozenset({"chain", "client", "examples", "p2p", "sandbox"})
FULL = "left to `make test-full`"
# How long an example takes says nothing on a machine that others use.
CALM = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("gate", CALM, derandomize=True, database=None)
hypothesis.settings.register_profile("explore", CALM, print_blob=True)


class NoShortNames(MetaPathFinder):
    """Refuses `import chain` and its like. The repository's root is on the path, so that would make a second copy of a module, and
    a patch of the wrong copy is a test that cannot fail."""

    def find_spec(self, fullname: str, path: object = None, target: ModuleType | None = None) -> None:
        if fullname in ROOMS:
            raise ImportError(f"import learningchain.{fullname}: {fullname} alone would be a second copy of it", name=fullname)


sys.meta_path.insert(0, NoShortNames())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run what is left to the second tier, with examples drawn anew")


def pytest_configure(config: pytest.Config) -> None:
    # A node's own log goes to standard error: what a command prints beside a node in one process is the command's alone.
    # Tracebacks as a node writes them: the default draws each with its source in colours, which takes longer than many a test.
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[*structlog.get_config()["processors"][:-1], plain], logger_factory=structlog.PrintLoggerFactory(sys.stderr)
    )
    hypothesis.settings.load_profile("explore" if config.getoption("--full") else "gate")
    config.addinivalue_line("markers", "full(why): only in `make test-full`; `why` says what stands for it in `make test`")
    config.addinivalue_line("markers", "quarantined(why): wavered without a fault of the code's; only in `make test-full`")
    config.addinivalue_line("markers", "sqlite: of the tests of the block store, one that is about SQLite alone")
    config.addinivalue_line("markers", "both: of the tests of the block store, one that `make test` runs on PostgreSQL, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    quarantine = read(LIST.read_text(encoding="utf-8"))
    named = [word.removeprefix("./") for word in config.args if "::" in word]
    for item in items:
        if why := left(item.path.relative_to(ROOT).as_posix()):
            item.add_marker(pytest.mark.full(why))
        for line in quarantine:
            if line.holds(item.nodeid):
                item.add_marker(pytest.mark.quarantined(line.why))
        limit = item.get_closest_marker("timeout")
        seconds = limit.args[0] if limit else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(seconds * SLOW), append=False)
        if not config.getoption("--full") and not any(item.nodeid.startswith(word) for word in named):
            _leave(item)


def pytest_runtest_setup(item: pytest.Item) -> None:
    os.umask(0o022)  # a sidecar's program has another one, and some tests run it in this process


def _leave(item: pytest.Item) -> None:
    """To the second tier, where it belongs there."""
    for kind, said in (("full", FULL), ("quarantined", "quarantined")):
        if mark := item.get_closest_marker(kind):
            item.add_marker(pytest.mark.skip(reason=f"{said}: {mark.args[0]}"))
