"""A node that answers wrongly on purpose: `python -m learningchain.examples.asking.liar node --data FOLDER`.

It is the node that everybody runs, but for one line: the first answer of its sandbox is not what it seals. It says one more of each
row, and the check is right, as of somebody who has the model and lies all the same.
"""

from __future__ import annotations

import sys

import msgspec

import learningchain
import learningchain.client.contracts.prediction.roles.runs as runs
from learningchain.chain.contracts.prediction.tally import Answer, AnswerCode
from learningchain.client.work.events import RunEnded

LIE = 10**9
"""In units of 1e-9: one."""
_honest = runs.answer_of
_lied: list[Answer] = []


def lying(ended: RunEnded) -> Answer | None:
    found = _honest(ended)
    if found is None or found.code != AnswerCode.OK or _lied:
        return found
    _lied.append(found)
    return msgspec.structs.replace(found, scores=[score + LIE for score in found.scores])


if __name__ == "__main__":
    runs.answer_of = lying
    sys.exit(learningchain.main())
