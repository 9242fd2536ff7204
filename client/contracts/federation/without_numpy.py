"""Why a node takes no part in federated training: numpy is not here. A node that was started without it goes on without it."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec


@cache
def numpy_missing() -> str:
    """What to say and what to do; empty where numpy is here. It stays as it was when first asked, which a node's start does."""
    if find_spec("numpy") is not None:
        return ""
    return (
        "this node takes no part in federated training, for numpy is not here: install LearningChain with its extra "
        "`federation` (pip install 'learningchain[federation]'), then start the node again"
    )
