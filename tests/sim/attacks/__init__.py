"""What a Byzantine validator does: one small file per attack, each the real node with something twisted."""

from __future__ import annotations

NAMES: tuple[str, ...] = ()
BY_NAME: dict = {}
