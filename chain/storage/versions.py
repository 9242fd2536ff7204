"""What is said of a file whose format is another than this program's: the same words for every file of the data folder.

A format is a number that counts up. No released version wrote another than this program's, so no file is converted, but for the
database (`chain.storage.migrations`).
"""

from __future__ import annotations


def other_version(found: int | None, own: int) -> tuple[str, str]:
    """Why a file of the format `found` (None: it names none) cannot be used by a program that writes `own`, and what to do."""
    if found is None:
        return f"it names no version of its format, this program's is {own}", "Give the right file, or restore it from a copy"
    formats = f"(format {found}, this program's is {own})"
    if found > own:
        return f"a newer version of the program wrote it {formats}", "Update this program"
    return f"an older version of the program wrote it {formats}", "Use the version that wrote it, or begin with a new data folder"
