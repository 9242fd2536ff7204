"""For who packs a program that uses the SDK by PyInstaller, which asks the entry point `pyinstaller40` for these hooks."""

from __future__ import annotations

from pathlib import Path


def hook_dirs() -> list[str]:
    return [str(Path(__file__).parent)]
