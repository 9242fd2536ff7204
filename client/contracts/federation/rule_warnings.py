"""What bad owners cost a model by the rules that a federation is opened with: figures to read before one opens or joins.

Measured with the product's own arithmetic on digits (2,410 values, 25 rounds, rows dealt unevenly, Dirichlet 0.3): in percent of
right answers, the mean of the seeds.
"""

from __future__ import annotations

FEW = 5
FIGURES_TO = 20
"""Owners of which the rules without a reference are measured to be weak."""


def screening_warnings(owners: int, *, reference: bool, krum: bool) -> list[str]:
    """`owners`: as many as there are, or take part at least."""
    found: list[str] = []
    if not reference and owners < FEW:
        found.append(
            f"with fewer than {FEW} members and no reference nobody can tell which of two updates is wrong: a bad one stops the "
            "training, unpaid"
        )
    elif not reference and owners <= 10:
        found.append(
            "there is no reference, so updates are held against each other: of ten owners two that send the opposite bring the "
            "model of an example to 86 % right answers; it is 95 % without them, and 93 % with them and a reference"
        )
    elif not reference and owners <= FIGURES_TO:
        found.append(
            "there is no reference, so updates are held against each other: of twenty owners six that send the opposite, enlarged, "
            "bring the model of an example to 87 % right answers, four to 92 %; with a reference it is 93 %"
        )
    if krum:
        found.append(
            "rule krum turns away the farthest besides: of ten owners two that send the opposite cost two percent less by that, "
            "two that send what is hardly noticed (ALIE) seven more; of twenty with six such within the rules fourteen more"
        )
    return found
