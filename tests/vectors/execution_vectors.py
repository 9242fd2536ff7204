"""Blocks on states, each with what the node's own executor makes of it: the codes and rules of transactions, credits, membership.

A case names its rule, the records that stand in the state besides those of `state` (null: this one does not), the parent and
the block. A valid block has its receipts, changes and state root; another is `refused`, with the code of the transaction to blame.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from tests.vectors import (
    executed_blocks,
    executed_deadlines,
    executed_double_signing,
    executed_governance,
    executed_members,
    executed_services,
    executed_transactions,
    key_vectors,
)
from tests.vectors.admission_vectors import admission_services, admissions
from tests.vectors.executed import start


@cache
def executions() -> dict[str, Any]:
    chain_id, base = start()
    makers = [
        *executed_transactions.cases(),
        *executed_blocks.cases(),
        *executed_members.cases(),
        *admissions(),
        *executed_deadlines.cases(),
        *executed_double_signing.cases(),
        *executed_governance.cases(),
        *key_vectors.cases(),
    ]
    return {
        "chain_id": chain_id.hex(),
        "state": {key.hex(): raw.hex() for key, raw in sorted(base.items())},
        "cases": [maker.make() for maker in makers],
        "services": [*executed_services.services(), *admission_services()],
    }
