"""Where the demos and examples lie, and where they keep what they make: images, data folders of nodes, torch."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import learningchain

IMPORTED_FROM: Final = Path(learningchain.__file__).resolve().parents[1]
"""What has to be on the path of a process that imports the package: a checkout's root, or where it is installed."""
EXAMPLES: Final = Path(__file__).resolve().parent


def _kept_in() -> Path:
    """`.run` of a checkout; this user's cache where the package is installed, for nothing may be written beside it."""
    if (IMPORTED_FROM / "pyproject.toml").is_file():
        return IMPORTED_FROM / ".run"
    from platformdirs import user_cache_path

    return user_cache_path("learningchain", appauthor=False)


RUN: Final = _kept_in()
