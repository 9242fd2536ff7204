#!/usr/local/bin/python3
"""/lc/job of the hostile image: runs the program that `params.mode` names."""

from __future__ import annotations

from programs import answers, bombs, data, files, images, kernel, local, losses, network, outputs, processes  # noqa: F401
from programs.kit import PROGRAMS, finish, params


def main() -> None:
    mode = params()["mode"]
    if mode == "good":
        return finish()
    return PROGRAMS[mode].body()


if __name__ == "__main__":
    main()
