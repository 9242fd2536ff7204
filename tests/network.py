"""A network's parameters as tests write them: all in one, the ledger's and those of every contract, by name."""

from __future__ import annotations

from typing import Any

import msgspec

from learningchain.chain.ledger.genesis import PARAMETERS, Genesis, GenesisAccount, Section, make_params
from learningchain.chain.params import Params


def _all(self: Any) -> dict[str, int]:
    return {name: getattr(self, name) for name in PARAMETERS}


def _core(self: Any) -> Params:
    return make_params(**_all(self))[0]


def _sections(self: Any) -> list[Section]:
    return make_params(**_all(self))[1]


NetworkParams: Any = msgspec.defstruct(
    "NetworkParams",
    [(name, int, f.default) for name, f in PARAMETERS.items()],
    frozen=True,
    kw_only=True,
    namespace={"core": property(_core), "sections": property(_sections)},
)
"""Every parameter with its default; `core` and `sections` are what genesis has of them."""


def genesis(
    name: str, time: int, params: Any, accounts: list[GenesisAccount], ca_cert: bytes = b"", ca_key: bytes = b""
) -> Genesis:
    """`params`: NetworkParams, or the ledger's alone."""
    if isinstance(params, Params):
        return Genesis(1, name, time, params, accounts, ca_cert, ca_key)
    return Genesis(1, name, time, params.core, accounts, ca_cert, ca_key, params.sections)
