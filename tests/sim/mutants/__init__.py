"""Nodes broken on purpose: each must be caught by a checker within a few seeds. That tests the tests.

`patch` says how a node is broken, `consensus`, `node`, `ledger`, `contracts`, `keys`, `predictions` and `federations` list the
mutants, `scenes` has the profiles and worlds in which they show soon, `hunt` runs them. `python -m tests.sim.mutants` (make
mutants) prints a table.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from tests.sim.mutants import consensus, contracts, federations, keys, ledger, node, predictions
from tests.sim.mutants.patch import Mutant, applied

_ALL = (consensus, node, ledger, contracts, keys, predictions, federations)
MUTANTS: dict[str, Mutant] = {m.name: m for part in _ALL for m in part.MUTANTS}
BY_NAME: dict[str, Callable[[], AbstractContextManager[None]]] = {name: partial(applied, m) for name, m in MUTANTS.items()}

__all__ = ["BY_NAME", "MUTANTS", "Mutant", "applied"]
