"""Nodes broken on purpose: each must be caught by a checker within a few seeds. That tests the tests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

BY_NAME: dict[str, Callable[[], AbstractContextManager[None]]] = {}
