"""Guard and engine see the same in every image that the guard accepts; other readers of tar do so too."""

from __future__ import annotations

import os
import random
from pathlib import Path

import docker
import pytest

from learningchain.sandbox import Sandbox, layers, targuard
from tests.sandbox.differential import Made, accepted, compare, document, make, readers_agree
from tests.unit.tar_kit import pax, raw

READ, LOADED = 700, 30
"""Images that are made and read, and the accepted ones among them that go through the engine."""


def test_python_and_go_read_the_same_in_every_layer_that_the_guard_accepts(tmp_path: Path) -> None:
    count = 0
    for seed in range(READ):
        made = make(random.Random(seed))
        found = accepted(made, tmp_path / "image.tar")
        if found is not None:
            count += 1
            assert readers_agree(made, found) == "", f"seed {seed}"
    assert READ / 5 < count < READ * 4 / 5, "the images are worth comparing"


def test_the_engine_loads_what_the_guard_accepts_and_sees_the_same_in_it(room: Sandbox, tmp_path: Path) -> None:
    api, count, seed = docker.from_env().api, 0, 0
    while count < LOADED:
        seed += 1
        made = make(random.Random(f"engine {seed}"))
        if accepted(made, tmp_path / "image.tar") is not None:
            count += 1
            assert compare(api, room, made, tmp_path / "image.tar") == "", f"seed engine {seed}"
    own = f"learningchain/test-{os.getpid()}"
    assert not [image for image in api.images(name=own) if image["Labels"].get("l")], "labels of strangers stay behind"


def test_the_comparisons_would_notice(room: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that took the wrong name for the mark of an emptied folder, and one that let a sparse file through."""
    below = raw(b"p/", b"5", mode=0o755) + raw(b"p/old", content=b"x") + bytes(1024)
    above = raw(b"p/", b"5", mode=0o755) + raw(b"p/.wh..wh..opq") + bytes(1024)
    made = Made([below, above], document([below, above]))
    path, api = tmp_path / "image.tar", docker.from_env().api
    assert compare(api, room, made, path) == ""
    with monkeypatch.context() as patch:
        patch.setattr(layers, "_OPAQUE", ".wh..wh.opq")
        fixed = raw(b"p/", b"5", mode=0o755) + raw(b"p/.wh..wh.opq") + bytes(1024)
        wrong = Made([below, fixed], document([below, fixed]))
        assert "p/old" in compare(api, room, wrong, path)
    with monkeypatch.context() as patch:
        patch.setattr(targuard, "_PAX_KEYS", targuard._PAX_KEYS | {"GNU.sparse.size"})
        sparse = pax((b"GNU.sparse.size", b"1")) + raw(content=b"x") + bytes(1024)
        found = accepted(Made([sparse], document([sparse])), path)
        assert found is not None
        assert "cannot read it" in readers_agree(Made([sparse], b""), found)
