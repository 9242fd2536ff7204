"""What an operator sets about federated training, in a section of its own: [federation]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct


class FederationSettings(Struct, frozen=True, kw_only=True):
    serve: Annotated[
        bool,
        Meta(
            description="Where this account carries the verifier flag: say by itself on the ledger that it adds up and measures "
            "for federations, for a fee."
        ),
    ] = False


SECTIONS: Mapping[str, type[Struct]] = {"federation": FederationSettings}
CHANGEABLE = ("federation.serve",)
CHECKS: Mapping[str, Callable[[Any], Any]] = {}
RENAMED: Mapping[str, str] = {"work.fed_serve": "federation.serve"}
