"""The weather's part of an account, as `balance` tells it."""

from __future__ import annotations

from typing import Any

from learningchain.client.schema.people import PeoplePart


def role(found: Any) -> str | None:
    return "forecaster" if found.get("rain") else None


def rows(found: Any, clock: int) -> list[tuple[str, Any]]:
    return [("expects rain in", ", ".join(found["rain"]))] if found.get("rain") else []


PART = PeoplePart(rows, role)
