"""What an operator sets about federated training, in a section of its own: [federation]."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from learningchain.client.contracts.federation.roles.images import check_digests
from learningchain.client.schema.settings import SettingsPart

Digest = Annotated[str, Meta(max_length=71)]
MIN_VERIFIERS, LEAST_VERIFIERS = "federation.min_verifiers", 3
"""The setting, and its default: the three owners of a laboratory add up for each other."""


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
    min_verifiers: Annotated[
        int,
        Meta(
            ge=1,
            le=1_024,
            description="Train on your own data only where so many verifiers, or more, could be drawn to add up: two of the three "
            "that are drawn open an update together. Fewer than seven are shown one by one before you join.",
        ),
    ] = LEAST_VERIFIERS


PART = SettingsPart(
    {"federation": FederationSettings},
    checks={"federation.images": check_digests},
    changeable=["federation.serve"],  # not which programs run, nor on whose word: that is decided on the node's machine alone
    renamed={"work.fed_serve": "federation.serve"},
)
