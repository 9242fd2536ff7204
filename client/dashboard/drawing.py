"""Templates: where they lie, and what every one of them can use. Everything that a template shows is text, escaped and cleaned;
what is missing is an error, not an empty place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup, escape

from learningchain.client import contracts
from learningchain.client.dashboard import text
from learningchain.client.dashboard.page import PAGES, ROWS

FILTERS = {
    "date": text.date,
    "iso": text.iso,
    "span": text.span,
    "relative": text.relative,
    "size": text.size,
    "short": text.short,
    "words": text.words,
    "flat": text.flat,
    "brief": text.brief,
    "whole": lambda value: escape(str(value)),
    "hash": lambda id_: f"#{id_}",
    "tojson_text": lambda value: escape(json.dumps(value)),
}


def _final(value: Any) -> Any:
    """What any `{{ }}` shows. Markup comes from templates alone."""
    return value if isinstance(value, Markup) else text.shown(value)


def environment() -> Environment:
    """Those of the room, and those of a slice under its name: `job/list.html`."""
    slices = contracts.packages()
    own: dict[str, BaseLoader] = {
        name: PackageLoader(slices[name], "templates") for name, part in contracts.parts(PAGES).items() if part.pages
    }
    made = Environment(
        loader=ChoiceLoader([PackageLoader("learningchain.client.dashboard", "templates"), PrefixLoader(own)]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_final,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= FILTERS
    made.tests["account"] = text.is_account
    made.tests["reference"] = text.is_reference
    made.tests["match_number"] = text.is_number
    made.globals["ROWS"] = ROWS
    return made


class Drawing:
    """Pages from templates. Compiled when first drawn."""

    def __init__(self, more: Mapping[str, Any]) -> None:
        self._environment = environment()
        self._environment.globals.update(more)

    def draw(self, template: str, values: Mapping[str, Any]) -> str:
        drawn: str = self._environment.get_template(template).render(values)
        return drawn

    def prepare(self) -> None:
        """Compile every template now, off the loop that votes."""
        for name in self._environment.list_templates():
            self._environment.get_template(name)
