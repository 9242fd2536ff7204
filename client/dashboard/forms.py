"""The body of a form: names and texts, bounded, each name once. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from learningchain.client.api.errors import usage

MAX_BODY: Final = 256 * 1024
MAX_FIELDS: Final = 600
"""A form for a model has at most 512 inputs, and some fields of its own."""


def parse_form(raw: bytes) -> dict[str, str]:
    """Raises `RequestError`."""
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise usage("The form cannot be read. Open the page again and fill it in anew", name="BAD_FORM") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise usage("A field stands twice in this form. Open the page again and fill it in anew", name="BAD_FORM")
    return found
