"""What an operator sets about federated training, in a section of its own: [federation]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from learningchain.client.contracts.federation.roles.images import check_digests

Digest = Annotated[str, Meta(max_length=71)]


class FederationSettings(Struct, frozen=True, kw_only=True):
    serve: Annotated[
        bool,
        Meta(
            description="Where this account carries the verifier flag: say by itself on the ledger that it adds up and measures "
            "for federations, for a fee."
        ),
    ] = False
    images: Annotated[
        list[Digest],
        Meta(
            max_length=1_024,
            description="The only programs that may train on your own data: digests sha256:... as fed join --dry-run shows them, "
            "separated by commas; empty: that of every federation which you join.",
        ),
    ] = []


SECTIONS: Mapping[str, type[Struct]] = {"federation": FederationSettings}
CHANGEABLE = ("federation.serve",)
"""Not which programs run: that is decided on the node's machine alone."""
CHECKS: Mapping[str, Callable[[Any], Any]] = {"federation.images": check_digests}
RENAMED: Mapping[str, str] = {"work.fed_serve": "federation.serve"}
