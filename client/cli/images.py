"""An image in a registry, as `job submit` and `fed open` take it: pinned by its digest, and with what it is to download at most."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from learningchain.client.cli.common import WrongUsage
from learningchain.client.cli.options import Parameter

if TYPE_CHECKING:
    from learningchain.client.sdk.types import Json

ImageMb = Annotated[
    int | None,
    Parameter(help="What the registry's image is to download at most, MiB: its layers together, or more. Default: 2048."),
]


def registry_image(text: str, image_mb: int | None, under: str) -> Json:
    """`under`: whom a tag could change under. Raises `WrongUsage` for one that is not pinned by its digest."""
    from learningchain.chain.host.terms import is_reference

    if re.search(r"@sha256:[0-9a-f]{64}$", text, re.ASCII) and not is_reference(text):
        raise WrongUsage(
            f"{text[:200]!r} names no image: before the @ stand a-z, 0-9 and . _ : / -, with a letter or digit first and last"
        )
    if not is_reference(text):
        raise WrongUsage(
            f"{text[:200]!r} is not pinned: a tag can change under the {under}. Write name@sha256:<64 hex digits>; "
            "docker inspect shows it as RepoDigests"
        )
    if image_mb is not None and image_mb < 1:
        raise WrongUsage("--image-mb is 1 or more: what the image's layers have together, in MiB, or more")
    return {"reference": text} | ({} if image_mb is None else {"size": image_mb << 20})
