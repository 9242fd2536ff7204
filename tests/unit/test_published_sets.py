"""Published data sets: what a folder's manifest says, and that nobody runs on a set that is not what was posted (LC-JOB-60)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from learningchain.chain.contracts.job.messages import needed_capacity
from learningchain.chain.host.terms import DataRef
from learningchain.client.config import WorkConfig
from learningchain.client.contracts.job.roles import policy, runs
from learningchain.client.data import published
from learningchain.client.data.published import PublishedSet, cid_of_manifest, describe, read_manifest
from learningchain.client.work.events import WantedSet
from learningchain.client.work.sets import BadSet, prepare_set
from learningchain.p2p.content.cid import from_bytes
from learningchain.sandbox import DataSet
from learningchain.sandbox.data import joined
from learningchain.sandbox.docker.volumes import DataVolumes
from tests.unit.work_kit import posting

NAMES = {"b.bin": b"second", "a/one.bin": b"first", "empty": b""}
CID = b"\x01\x55\x12\x20" + bytes(32)
DIGITS = DataRef(CID, 3, 1, "digits", 3)


def folder(path: Path, files: dict[str, bytes] = NAMES) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def test_the_same_folder_has_the_same_name_wherever_it_lies(tmp_path: Path) -> None:
    one, two = describe(folder(tmp_path / "x"))[0], describe(folder(tmp_path / "y", dict(reversed(NAMES.items()))))[0]
    assert [file.name for file in one.files] == ["a/one.bin", "b.bin", "empty"]
    assert cid_of_manifest(one.manifest) == cid_of_manifest(two.manifest)
    assert read_manifest(one.manifest) == one
    other = describe(folder(tmp_path / "z", NAMES | {"empty": b"x"}))[0]
    assert other.manifest != one.manifest
    assert set(one.files) & set(other.files) == set(one.files[:2]), "what both have is content of one name"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda at: (at / "link").symlink_to(at / "b.bin"), "symbolic link"),
        (lambda at: (at / "b\nc").write_bytes(b"x"), "no name of a file"),
        (lambda at: folder(at, {"/".join("abcdefghijklmno"): b"x"}), "deeper"),
        (lambda at: folder(at, {f"{n}": b"" for n in range(5)}), "at most 5"),
    ],
)
def test_what_no_job_could_find_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], Any], why: str
) -> None:
    monkeypatch.setattr(published, "MAX_SET_FILES", 5)
    spoil(folder(tmp_path / "x"))
    with pytest.raises((OSError, ValueError), match=why):
        describe(tmp_path / "x")


class Graph:
    """Content by CID, and how often each was asked for."""

    def __init__(self, at: Path, files: dict[str, bytes] = NAMES) -> None:
        self.set, paths = describe(folder(at, files))
        self.content = {str(from_bytes(file.cid)): path for file, path in zip(self.set.files, paths, strict=True)}
        self.wanted, self.writes = self.offer(at, self.set), 0
        self.fetched, self.there = list[str](), dict[str, Path]()
        """What was asked for by its CID, and what is on this disk already."""

    def offer(self, at: Path, found: PublishedSet) -> WantedSet:
        path = at.parent / "manifest"
        path.write_bytes(found.manifest)
        cid = cid_of_manifest(found.manifest)
        self.content[cid] = path
        return WantedSet("digits", cid, found.size, len(found.files))

    async def fetch(self, cid: str, size: int) -> Path:
        self.fetched.append(cid)
        return self.content[cid]

    async def pin_all(self, cids: list[str]) -> None:
        assert set(cids) <= set(self.content)
        self.writes += 1

    def here(self, cids: Sequence[str]) -> list[Path | None]:
        return [self.there.get(cid) for cid in cids]

    async def bring(self, name: str, data: DataSet) -> None:
        """As far as an engine without room goes: each file is read, and compared."""
        await asyncio.to_thread(DataVolumes(cast(Any, None), {}, cast(Any, None), lambda: None, cap=0).keep, data)

    async def prepared(self, wanted: WantedSet | None = None) -> DataSet:
        return await prepare_set(wanted or self.wanted, self.fetch, self.pin_all, self.here, self.bring)


def test_a_set_comes_as_its_files_and_goes_into_the_folder_of_its_name(tmp_path: Path) -> None:
    graph = Graph(tmp_path / "x")
    found = asyncio.run(graph.prepared())
    assert ({file.name: file.path.read_bytes() for file in found.files}, graph.writes) == (NAMES, 1)
    both = joined({"z": found, "digits": found})
    assert [file.name for file in both.files][:3] == ["digits/a/one.bin", "digits/b.bin", "digits/empty"]
    assert [part.size for part in both.parts()] == [found.size, found.size]
    terms = replace(posting(9), data=[replace(DIGITS, use=1), replace(DIGITS, name="test", use=2)])
    sets = {"digits": found, "test": found}
    train: Any = runs.train_spec(terms, run="r", image_id="sha256:" + "ab" * 32, seed=1, wall_s=9, sets=sets)
    check: Any = runs.evaluate_spec(terms, run="r", image_id="sha256:" + "ab" * 32, model=tmp_path, wall_s=9, sets=sets)
    assert train.inputs == {"sets": joined({"digits": found})}
    assert check.inputs == {"model": tmp_path, "sets": joined({"test": found})}


@pytest.mark.parametrize("lie", ["size", "files", "hash", "file", "junk"])
def test_a_set_that_is_not_what_was_posted_is_refused_for_good(tmp_path: Path, lie: str) -> None:
    """Its contractor's word and its manifest's are checked before anything runs: nobody trains for nothing, or judges by it."""
    graph = Graph(tmp_path / "x")
    first, *others = graph.set.files
    wanted = graph.wanted
    if lie in ("hash", "file"):
        wrong = replace(first, sha256=bytes(32)) if lie == "hash" else replace(first, size=first.size + 1)
        wanted = graph.offer(tmp_path / "x", PublishedSet((wrong, *others)))
    elif lie == "junk":
        graph.content[wanted.cid].write_bytes(b"junk")
    else:
        wanted = WantedSet("digits", wanted.cid, wanted.size + (lie == "size"), wanted.files + (lie == "files"))
    with pytest.raises(BadSet, match="the data set digits"):
        asyncio.run(graph.prepared(wanted))


def test_what_is_here_is_not_asked_for_and_what_this_disk_damaged_is(tmp_path: Path) -> None:
    """The set is as good as before: nobody is told that it contradicts itself."""
    graph = Graph(tmp_path / "x")
    for number, file in enumerate(graph.set.files):
        cid = str(from_bytes(file.cid))
        graph.there[cid] = tmp_path / f"here-{number}"
        graph.there[cid].write_bytes(graph.content[cid].read_bytes())
    found = asyncio.run(graph.prepared())
    assert (graph.fetched, [file.path for file in found.files]) == ([graph.wanted.cid], list(graph.there.values()))
    for spoil in (lambda path: path.write_bytes(b"fir5t"), Path.unlink):
        graph.fetched.clear()
        spoil(tmp_path / "here-0")
        found = asyncio.run(graph.prepared())
        assert {file.name: file.path.read_bytes() for file in found.files} == NAMES
        assert set(graph.fetched) == {graph.wanted.cid, *graph.there}, "each is read by its CID, which finds the damage"


def test_a_committee_needs_room_for_what_it_evaluates_on_and_a_worker_for_all() -> None:
    terms = replace(posting(9), data=[replace(DIGITS, size=(3 << 20) - 200_000), replace(DIGITS, name="more", size=5 << 20, use=1)])
    assert needed_capacity(terms).image == terms.image.size + (3 << 20)
    assert "max_image_mb" in str(policy.too_large(WorkConfig(max_image_mb=3), terms))
    assert policy.too_large(WorkConfig(max_image_mb=4), terms) is None
