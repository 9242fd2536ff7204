"""All hostile cases, as the tests run them and the table of docs/sandbox.md lists them."""

from __future__ import annotations

from .archives import amounts, documents, images, kinds, names
from .archives.kit import ARCHIVES, Archive
from .programs import answers, bombs, data, files, kernel, local, losses, network, outputs, processes
from .programs import images as of_images
from .programs.kit import PROGRAMS, Program

DECLARING = (
    network,
    files,
    data,
    local,
    kernel,
    bombs,
    outputs,
    losses,
    answers,
    processes,
    of_images,
    names,
    kinds,
    amounts,
    documents,
    images,
)
"""Importing them fills the two tables."""

__all__ = ["ARCHIVES", "DECLARING", "PROGRAMS", "Archive", "Program"]
