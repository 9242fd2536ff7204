"""The two tiers of the tests: what is marked `full` runs with `--full` (as `make test-full` does) or when it is named itself."""

from __future__ import annotations

import sys

import hypothesis
import pytest
import structlog

# How long an example takes says nothing on a machine that others use.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")

FULL = "left to `make test-full`"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run what is marked `full`: all that `make test` samples")


def pytest_configure(config: pytest.Config) -> None:
    # A node's own log goes to standard error: what a command prints beside a node in one process is the command's alone.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    config.addinivalue_line("markers", "full(why): only in `make test-full`; `why` says what stands for it in `make test`")
    config.addinivalue_line("markers", "sqlite: of the tests of the block store, one that is about SQLite alone")
    config.addinivalue_line("markers", "both: of the tests of the block store, one that `make test` runs on PostgreSQL, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full"):
        return
    named = [word for word in config.args if "::" in word]
    for item in items:
        mark = item.get_closest_marker("full")
        if mark is not None and not any(item.nodeid.startswith(word.removeprefix("./")) for word in named):
            item.add_marker(pytest.mark.skip(reason=f"{FULL}: {mark.args[0]}"))
