"""The keys contract's part of an account in words: its guardians, and a recovery that is open."""

from __future__ import annotations

from typing import Any

from learningchain.client.cli.common import named, relative, span
from learningchain.client.schema.people import PeoplePart


def rows(found: Any, clock: int) -> list[tuple[str, Any]]:
    """Nothing of an account with none of it."""
    told = guardian_rows(found, clock) if found.get("guardians") or found.get("guardians_coming") else []
    if found.get("recovery") or found.get("recovery_barred_until", 0) > clock:
        told += recovery_rows(found, clock)
    if changes := found.get("key_changes"):
        told.append(("key replaced", "once" if changes == 1 else f"{changes} times"))
    return told


def guardian_rows(found: Any, clock: int) -> list[tuple[str, Any]]:
    """Those of now, and who follows them."""
    if not found["guardians"]:
        return [("guardians", "none")]
    rows = _named_rows("guardians", found["guardians"], found["guardian_threshold"], found["guardian_delay"])
    if (later := found["guardians_coming"]) is None:
        return rows
    what = f"{relative(later['since'], clock)}, if no recovery is open then"
    if not later["guardians"]:
        return [*rows, ("nobody", what)]
    return [*rows, ("others", what), *_named_rows("", later["guardians"], later["threshold"], later["delay"])]


def _named_rows(title: str, guardians: list[str], threshold: int, delay: int) -> list[tuple[str, Any]]:
    agree = f"{threshold} of {len(guardians)}, and {span(delay / 1_000)} to object"
    return [(title, agree), *(("", named(one)) for one in guardians)]


def recovery_rows(found: Any, clock: int) -> list[tuple[str, Any]]:
    """How far a recovery is, in words."""
    if (open_ := found["recovery"]) is None:
        barred = found["recovery_barred_until"]
        return [("recovery", f"none; none can begin before {relative(barred, clock)}" if barred > clock else "none")]
    need = f"{open_['needed']} of {len(found['guardians'])} guardians"
    if open_["key"]:
        rows = [("recovery", f"agreed: the account gets the key {open_['key']} {relative(open_['until'], clock)}")]
    else:
        most = max(sum(w["key"] == word["key"] for w in open_["words"]) for word in open_["words"])
        rows = [("recovery", f"{most} agree, {need} have to; it ends {relative(open_['until'], clock)} if no more do")]
    if open_["objected"]:
        rows.append(("", "whoever has the present key objected"))
    return rows + [("", f"{named(word['guardian'])}: {word['key']}") for word in open_["words"]]


PART = PeoplePart(rows)
