"""What hostile images bring along for their programs."""

from __future__ import annotations

import os

from .kit import HELD, attempt, case, held, must


@case("settings", HELD)
def environment_of_the_image() -> None:
    """other values for the container's own variables"""
    for name, value in (("LC_SEED", "1"), ("LC_PHASE", "train"), ("LC_VERSION", "2"), ("HOME", "/tmp"), ("OMP_NUM_THREADS", "1")):
        must(os.environ.get(name) == value, f"{name} is {os.environ.get(name)}")
    held()


@case("settings", HELD)
def set_user_id_of_the_image() -> None:
    """files of the image that run as root or with capabilities"""
    for folder, _, names in os.walk("/lc"):
        for name in names:
            facts = os.lstat(f"{folder}/{name}")
            must(not facts.st_mode & 0o6000, f"{folder}/{name} has mode {facts.st_mode:o}")
            attempt(f"capabilities of {name}", os.getxattr, f"{folder}/{name}", "security.capability")
    held()
