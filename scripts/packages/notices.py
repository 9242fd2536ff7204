"""Third-party notices: whose software a node comes with or is installed with, under which licence, and the licences' texts."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.packages.software import Software

_LINE = "=" * 100


def render(version: str, parts: Sequence[Software]) -> str:
    inside, beside = [one for one in parts if one.file], [one for one in parts if not one.file]
    lines = [
        f"learningchain {version}: software of others",
        "",
        "LearningChain itself is under the Apache License 2.0 (LICENSE). The wheel holds these files of others:",
        "",
        *(f"  {one.name} {one.version}, {one.licence}: {one.file}" for one in inside),
        "",
        "These packages are no part of the wheel. They are installed with it, each under its own licence:",
        "",
        *(f"  {one.name} {one.version}, {one.licence}{' (only with an extra)' if one.optional else ''}" for one in beside),
    ]
    for one in [*_once(inside), *beside]:
        lines += ["", _LINE, f"{one.name} {one.version} ({one.licence})", _LINE]
        if not one.texts:
            lines += ["", "Its package has no licence file."]
        for name, text in one.texts:
            lines += ["", f"--- {name}", "", text]
    return "\n".join(lines) + "\n"


def _once(parts: Sequence[Software]) -> list[Software]:
    """One of those that differ in their file alone."""
    return list({one.purl: one for one in reversed(parts)}.values())[::-1]
