"""Texts with a form of their own, in requests and answers. The form of what requests give stands in openapi.json alone: the
handlers' parsers refuse what has another one, in words that say what is meant.

`format` names what no pattern can say: a checksum, a point of a curve.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from learningchain.chain.params import MAX_INT

MAX_TEXT: Final = 1_024
HASH: Final = "[0-9a-f]{64}"
ADDRESS: Final = "lc1[02-9ac-hj-np-z]{38}"
MODEL_NAME: Final = "[a-z0-9._-]{1,64}"
_CREDITS: Final = r"(0|[1-9][0-9]{0,11}|[1-8][0-9]{12})([.][0-9]{1,6})?"
"""Fewer than can exist."""
_LOSS: Final = r"(0|[1-9][0-9]{0,8})([.][0-9]{1,18})?"
_HOST: Final = "[A-Za-z0-9]([A-Za-z0-9.-]{0,250}[A-Za-z0-9])?"
_PORT: Final = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
ENDPOINT: Final = f"{_HOST}:{_PORT}"
"""Addresses of IPv6 in brackets are taken, too: no pattern says which they are."""


def form(pattern: str, name: str = "") -> dict[str, Any]:
    """What openapi.json says of a text: all of it is `pattern`; `name` is its format."""
    return {"pattern": f"^({pattern})$"} | ({"format": name} if name else {})


def hex_form(most: int) -> dict[str, Any]:
    """At most so many bytes in hex."""
    return form(f"([0-9a-fA-F]{{2}}){{0,{most}}}")


Amount = Annotated[
    str,
    Meta(
        description="credits as decimal text with at most six digits behind the point",
        extra_json_schema=form(r"-?(0|[1-9][0-9]*)([.][0-9]{1,6})?"),
    ),
]
"""In answers: a quote may come to more than there can be."""
GivenAmount = Annotated[
    str,
    Meta(
        max_length=32,
        description="credits as decimal text with at most six digits behind the point",
        extra_json_schema=form(_CREDITS),
    ),
]
LossText = Annotated[str, Meta(max_length=40, description="a loss as decimal text")]
"""In answers, where one may have ten digits before the point."""
GivenLoss = Annotated[str, Meta(max_length=40, description="a loss as decimal text", extra_json_schema=form(f"-?{_LOSS}"))]
Tolerance = Annotated[str, Meta(max_length=40, description="a loss that is not negative", extra_json_schema=form(_LOSS))]
Address = Annotated[str, Meta(max_length=64, description="an identity, lc1…", extra_json_schema=form(ADDRESS, "lc-address"))]
Hex = Annotated[str, Meta(description="bytes in hex", extra_json_schema=form("([0-9a-f]{2})*"))]
Hash = Annotated[str, Meta(max_length=64, description="32 bytes in lower-case hex", extra_json_schema=form(HASH))]
Digest = Annotated[
    str, Meta(max_length=80, description="64 hex digits, with or without sha256:", extra_json_schema=form(f"(sha256:)?{HASH}"))
]
CidText = Annotated[
    str, Meta(max_length=MAX_TEXT, description="a CIDv1 in base32, b…", extra_json_schema=form("baf[ky][a-z2-7]{55}", "cid"))
]
REGISTRY_BYTES: Final = 2 << 30
"""What an image in a registry may have to download where a posting does not say: who runs it downloads no more. Nodes whose owners
say nothing else take as much, and as much again of published sets."""
ImageBytes = Annotated[
    int,
    Meta(
        ge=1,
        le=MAX_INT,
        description=f"bytes to download, at most; needed for an archive, {REGISTRY_BYTES} when left out for an image in a registry",
    ),
]
ImageReference = Annotated[
    str,
    Meta(
        max_length=MAX_TEXT,
        description="name@sha256:<64 hex>",
        extra_json_schema=form(f"[a-z0-9]([a-z0-9._:/-]{{0,437}}[a-z0-9])?@sha256:{HASH}"),
    ),
]
PublicKey = Annotated[
    str,
    Meta(
        max_length=66,
        description="a compressed secp256k1 key in hex",
        extra_json_schema=form("0[23][0-9a-f]{64}", "lc-public-key"),
    ),
]
ModelText = Annotated[
    str,
    Meta(
        max_length=160,
        description="its id, or lc1…/name",
        extra_json_schema=form(f"{HASH}|{ADDRESS}[/~]{MODEL_NAME}", "lc-model"),
    ),
]
Endpoint = Annotated[str, Meta(max_length=260, description="host:port", extra_json_schema=form(ENDPOINT))]
