"""What all requests to post something have in common: images, digests, CIDs, params. A refusal names the field."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from learningchain.chain.host.terms import HiddenSet, Image, ImageKind, is_reference
from learningchain.chain.types import parse_loss
from learningchain.client.api.errors import usage
from learningchain.client.api.route import parse_field
from learningchain.client.schema.texts import REGISTRY_BYTES
from learningchain.p2p.content.cid import parse as parse_cid

_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII)


class GivenImage(Protocol):
    @property
    def cid(self) -> str | None: ...
    @property
    def reference(self) -> str | None: ...
    @property
    def image_id(self) -> str | None: ...
    @property
    def size(self) -> int | None: ...


class GivenHidden(Protocol):
    @property
    def cid(self) -> str: ...
    @property
    def plain_hash(self) -> str: ...
    @property
    def key_hash(self) -> str: ...
    @property
    def size(self) -> int: ...


def parse_digest(text: str) -> bytes:
    found = _DIGEST.fullmatch(text)
    if found is None:
        raise ValueError("a digest is 64 hex digits, with or without sha256: in front")
    return bytes.fromhex(found[1])


def parse_not_negative(text: str) -> int:
    found = parse_loss(text)
    if found < 0:
        raise ValueError("such a loss is not negative")
    return found


def binary_cid(name: str, text: str) -> bytes:
    """Raises `RequestError` naming the field."""
    return parse_field(name, parse_cid, text).to_bytes()


def build_image(image: GivenImage, under: str) -> Image:
    """`under`: what or whom a tag could change under. Raises `RequestError` naming the field."""
    if (image.cid is None) == (image.reference is None):
        raise usage("image is not valid: exactly one of image.cid and image.reference is needed. Give one of them")
    image_id = b"" if image.image_id is None else parse_field("image.image_id", parse_digest, image.image_id)
    if image.reference is not None:
        reference = parse_field("image.reference", partial(_parse_reference, under), image.reference)
        return Image(ImageKind.REGISTRY, reference, b"", image_id, image.size or REGISTRY_BYTES)
    if image.size is None or not image_id:
        raise usage("image is not valid: an archive needs image.image_id and image.size beside image.cid. Give both")
    return Image(ImageKind.ARCHIVE, "", binary_cid("image.cid", image.cid or ""), image_id, image.size)


def _parse_reference(under: str, text: str) -> str:
    if not is_reference(text):
        raise ValueError(f"a registry image is named with its digest, name@sha256:<64 hex>: a tag could change under {under}")
    return text


def build_hidden(hidden: GivenHidden) -> HiddenSet:
    """Raises `RequestError` naming the field."""
    cid = binary_cid("hidden.cid", hidden.cid)
    plain, key = (parse_field(f"hidden.{name}", parse_digest, getattr(hidden, name)) for name in ("plain_hash", "key_hash"))
    return HiddenSet(cid, plain, key, hidden.size)


def params_text(params: dict[str, Any], most: int) -> str:
    """Params as the program gets them. Raises `RequestError` where they are longer than `most` bytes."""
    text = msgspec.json.encode(params).decode("utf-8")
    if len(text.encode("utf-8")) > most:
        raise usage(f"params is not valid: more than {most} bytes. Keep settings in params, put data into the image")
    return text
