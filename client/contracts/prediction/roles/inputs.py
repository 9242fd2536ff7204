"""What a container of `predict` is given when it is ready: the request's rows, and what is asked of them.

An input is text of one row a line. A round that answers all rows gets it as it is; an appeal's gets the rows that it answers. An
input of another number of lines than the request says does not fit, whatever the image would make of it: every server says so
(LC-PRE-56).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from learningchain.client.contracts.prediction.http.lines import lines_of
from learningchain.client.contracts.prediction.roles.private import plain_input
from learningchain.client.keys.hidden import BadKey
from learningchain.client.work.events import LateInputRefused
from learningchain.sandbox import AnswerForm
from learningchain.sandbox.answers import request_json

INPUT, REQUEST = "input", "request.json"


class InputUnfit(LateInputRefused):
    """The bytes are not the rows that the request says: BAD_INPUT."""


class InputSealed(LateInputRefused):
    """The key does not open the bytes: BAD_KEY."""


@dataclass(frozen=True)
class PredictionInput:
    """`source`: the bytes, or the file that has them, encrypted under `key` where that is not empty; `chosen`: the rows to answer,
    in order; `rows` of the request. `form` is what the answer must look like, `wall_s` how long its rows may take from the moment
    in which the container has them."""

    source: bytes | Path
    rows: int
    chosen: tuple[int, ...]
    seed: int
    challenge: int
    form: AnswerForm
    wall_s: float
    key: bytes = b""

    def given(self) -> dict[str, bytes]:
        """Each late input. Raises InputUnfit, InputSealed, OSError."""
        data = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        if self.key:
            try:
                data = plain_input(data, self.key)
            except BadKey as bad:
                raise InputSealed(str(bad)) from None
        lines = lines_of(data)
        if len(lines) != self.rows:
            raise InputUnfit(f"the input has {len(lines)} lines, and the request says {self.rows} rows")
        if self.chosen != tuple(range(self.rows)):
            data = b"".join(lines[row] + b"\n" for row in self.chosen)
        return {INPUT: data, REQUEST: request_json(len(self.chosen), self.seed, self.challenge)}
