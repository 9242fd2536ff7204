"""What an operator sets about predictions: how far this node goes for an answer of its own ([serve]), and what its inferences
ask for ([predict])."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from learningchain.chain.crypto import parse_address
from learningchain.chain.types import parse_credits
from learningchain.client.schema.settings import SettingsPart

_NAME = re.compile(r"[a-z0-9._-]{1,64}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)


class PredictionServing(Struct, frozen=True, kw_only=True):
    appeal_max: Annotated[
        str,
        Meta(
            max_length=32,
            description="Largest bond of an appeal that this node makes by itself where it was not paid and a second run agrees "
            "with its first, in credits; 0: never.",
        ),
    ] = "1"
    inputs_mb: Annotated[
        int,
        Meta(
            ge=16,
            le=1_048_576,
            description="Most for inputs of requests that this node has a seat in, in MiB; who has most of it gives way first.",
        ),
    ] = 1_024


class Inferences(Struct, frozen=True, kw_only=True):
    n: Annotated[
        int, Meta(ge=1, le=15, description="Answers that an inference (the /v2 of the API) asks for where it says no number; odd.")
    ] = 5
    agree: Annotated[int, Meta(ge=0, le=15, description="How many of them should agree; 0: two, or all that there are.")] = 0
    tip: Annotated[
        str, Meta(max_length=32, description="Tip of an inference for each row and answer, in credits; 0: the model's floor.")
    ] = "0"
    max_charge: Annotated[
        str, Meta(max_length=32, description="Most that one inference may lock, in credits; 0: whatever its model takes.")
    ] = "0"
    daily: Annotated[
        str, Meta(max_length=32, description="Most that inferences may take in 24 hours, in credits; 0: no bound.")
    ] = "10"


def _odd(value: int) -> None:
    if value % 2 == 0:
        raise ValueError("a committee decides by more than half: the number of its answers is odd")


def parse_model(text: str) -> tuple[bytes, str]:
    """A model as it is named everywhere: (its id, "") or (its owner, its name). Raises ValueError."""
    if _ID.fullmatch(text):
        return bytes.fromhex(text), ""
    owner, slash, name = text.partition("/")
    if not slash or not _NAME.fullmatch(name):
        raise ValueError("a model is named by its id (64 hex digits), or by its owner and name: lc1.../name")
    return parse_address(owner), name


_SECTIONS: Mapping[str, type[Struct]] = {"serve": PredictionServing, "predict": Inferences}
PART = SettingsPart(
    _SECTIONS,
    checks={
        "serve.appeal_max": parse_credits,
        "predict.n": _odd,
        "predict.tip": parse_credits,
        "predict.max_charge": parse_credits,
        "predict.daily": parse_credits,
    },
    changeable=[f"{name}.{key}" for name, section in _SECTIONS.items() for key in section.__struct_fields__],
    renamed={
        "work.serve_appeal_max": "serve.appeal_max",
        "work.predict_n": "predict.n",
        "work.predict_agree": "predict.agree",
        "work.predict_tip": "predict.tip",
        "work.predict_max_charge": "predict.max_charge",
        "work.predict_daily": "predict.daily",
    },
)
