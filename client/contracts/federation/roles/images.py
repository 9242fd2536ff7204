"""Which programs an owner lets run on own data: those on its list, or, without one, that of each federation which it joins. Pure.

A program is named by what pins it to the last byte: the digest of the image's configuration, which has its layers and its command
under it, for an archive; the digest that its reference ends with for an image of a registry. A federation's terms never change, so
neither does its program; its parameters are the sponsor's, and belong to what the program reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from learningchain.chain.host.terms import Image, ImageKind

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
LIST = "federation.images"


def check_digests(values: Sequence[str]) -> None:
    """Raises ValueError naming one that is no digest."""
    for value in values:
        if not _DIGEST.fullmatch(value):
            raise ValueError(f"{value[:80]!r} is no digest of an image: sha256: and 64 hex digits, as fed join --dry-run shows it")


def listed_programs(settings: Mapping[str, Any]) -> list[str]:
    """The owner's list among a node's settings in force, as the node tells them; empty: none is kept."""
    return list(settings[LIST]["value"]) if LIST in settings else []


def program_digest(image: Image) -> str:
    if image.kind == ImageKind.ARCHIVE:
        return f"sha256:{image.image_id.hex()}"
    return image.reference.rpartition("@")[2]


def may_run(image: Image, allowed: Sequence[str]) -> bool:
    return not allowed or program_digest(image) in allowed


def why_not_run(image: Image, allowed: Sequence[str]) -> str:
    """Empty where it may; otherwise what a person is told, with what to do."""
    if may_run(image, allowed):
        return ""
    more = ",".join([*allowed, program_digest(image)])
    return (
        f"the federation's program {program_digest(image)} is not on this node's list of those that may run on your own data "
        f"({LIST}). Read its source; if you trust it: learningchain config set {LIST} {more}, and restart the node"
    )
