"""What a verifier says of a model that it does not have: its own troubles are never the claimant's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from learningchain.client.keys import hidden
from learningchain.client.work.events import (
    BringImage,
    ContentMissing,
    ContentReady,
    Decrypt,
    FetchContent,
    ImageFailed,
    WantedImage,
    WantedSet,
)
from learningchain.client.work.fetching import Fetching
from learningchain.client.work.sets import BadSet
from learningchain.p2p.content.cid import Codec, cid_of
from learningchain.p2p.content.faults import FetchFailed, Reason
from learningchain.sandbox import BadImage, SandboxError
from tests.unit.work_kit import Inline, run_virtual

CID = cid_of(Codec.RAW, b"a model")
JOB = b"j" * 32
WINDOW_MS = 60_000


class Clock:
    """A ledger of which only the chain clock is read, a file service that answers as it is told, and pins that hold or do not."""

    def __init__(self, *answers: Exception | Path, pins: Exception | None = None) -> None:
        self.answers, self.pins, self.asked = list(answers), pins, 0

    @property
    def clock(self) -> int:
        return int(asyncio.get_running_loop().time() * 1_000)

    def has(self, cid: str) -> bool:
        """Nothing lies on the disk yet."""
        return False

    async def fetch(self, cid: str, **_: Any) -> Path:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def pin(self, *_: Any) -> None:
        if self.pins is not None:
            raise self.pins


def failed(reason: Reason) -> FetchFailed:
    return FetchFailed(CID, reason, "because of the test")


def asked(world: Clock) -> ContentReady | ContentMissing:
    async def main() -> Any:
        given = cast(Any, world)
        fetching = Fetching(given, given, cast(Any, None), given, Path("/nowhere"), Inline())
        return await fetching.content(FetchContent("seat", "0", JOB, str(CID), 100, WINDOW_MS, "verify"))

    return cast("ContentReady | ContentMissing", run_virtual(main()))


@pytest.mark.parametrize(
    ("reason", "own"),
    [
        (Reason.STORAGE, True),
        (Reason.BUSY, True),
        (Reason.CANCELLED, True),
        (Reason.NOBODY, False),
        (Reason.TIMEOUT, False),
        (Reason.TOO_LARGE, False),
    ],
)
def test_a_fault_of_this_node_is_not_the_claimants(reason: Reason, own: bool) -> None:
    missing = asked(Clock(failed(reason)))
    assert isinstance(missing, ContentMissing)
    assert missing.local is own
    assert "because of the test" in missing.reason


@pytest.mark.parametrize(
    "world",
    [
        Clock(failed(Reason.STORAGE), failed(Reason.NOBODY)),
        Clock(OSError("input/output error"), failed(Reason.NOBODY)),
        Clock(Path("/m"), pins=OSError("database or disk is full")),
    ],
    ids=["full, then nobody", "broken, then nobody", "nothing can be pinned"],
)
def test_a_disk_that_refused_once_never_makes_a_missing_model(world: Clock) -> None:
    """While it refused, the model may have been served: what came later proves nothing against the claimant."""
    missing = asked(world)
    assert isinstance(missing, ContentMissing)
    assert missing.local


@pytest.mark.parametrize(
    ("fault", "lasting"),
    [
        (BadImage("it has a device"), True),
        (BadSet("the data set digits is not what was posted"), True),
        (failed(Reason.TOO_LARGE), True),
        (failed(Reason.NOBODY), False),
        (OSError("no space left"), False),
    ],
)
def test_an_image_that_breaks_a_rule_is_never_to_be_had_and_everything_else_may_come(fault: Exception, lasting: bool) -> None:
    class Images:
        async def ensure(self, *_: Any, **__: Any) -> str:
            raise fault

    fetching = Fetching(cast(Any, None), cast(Any, None), cast(Any, Images()), cast(Any, None), Path("/nowhere"), Inline())
    answer = asyncio.run(fetching.image(BringImage(JOB, cast(Any, None))))
    assert isinstance(answer, ImageFailed) and (answer.ref, answer.lasting) == (JOB, lasting)
    assert str(fault) in answer.reason


def files_of(folder: Path) -> Fetching:
    nothing = cast(Any, None)
    return Fetching(nothing, nothing, nothing, nothing, folder, Inline())


def test_what_is_decrypted_is_the_owner_s_alone(tmp_path: Path) -> None:
    plain, sealed, key = tmp_path / "plain", tmp_path / "sealed", b"k" * 32
    plain.write_bytes(b"a line\n")
    digest = hidden.encrypt(plain, sealed, key, b"n" * 12)
    fetching = files_of(tmp_path / "hidden")
    target = fetching._path("verifier", "seat-1")
    fetching._decrypt(sealed, target, Decrypt("seat-1", "hidden", str(CID), 100, digest, key, 0))
    assert target.read_bytes() == b"a line\n"
    assert (target.stat().st_mode & 0o077, target.parent.stat().st_mode & 0o077) == (0, 0)


def test_whoever_has_it_first_of_all_is_sought_until_it_is_here() -> None:
    """Content comes from peers, and it need not be one."""
    sought: list[bytes] = []

    async def main() -> Any:
        world = cast(Any, Clock(failed(Reason.NOBODY), failed(Reason.NOBODY), Path("/model")))
        fetching = Fetching(world, world, cast(Any, None), world, Path("/nowhere"), Inline(), sought.append)
        for holder in (b"", b"claimant"):
            world.answers = [failed(Reason.NOBODY), failed(Reason.NOBODY), Path("/model")]
            await fetching.content(FetchContent("seat", "0", JOB, str(CID), 100, 10 * WINDOW_MS, "verify", holder))

    run_virtual(main())
    assert sought == [b"claimant"] * 3


SET = WantedSet("rows", "set", 10, 1)


@pytest.mark.parametrize(
    ("wanted", "here", "seeks"),
    [
        pytest.param({"cid": "archive"}, {"archive"}, False, id="all of it is here"),
        pytest.param({"cid": "archive"}, set(), True, id="the archive is not"),
        pytest.param({"cid": "archive", "sets": (SET,)}, {"archive"}, True, id="a data set is not"),
        pytest.param({"cid": "archive", "sets": (SET,)}, {"archive", "set"}, False, id="it is"),
        pytest.param({"cid": "", "files": (("hidden", 9),)}, set(), True, id="a file beside an image of a registry is not"),
        pytest.param({"cid": "", "model": ("model", 9)}, set(), True, id="the model that it begins with is not"),
        pytest.param({"cid": ""}, set(), False, id="an image of a registry"),
    ],
)
def test_whoever_posted_is_sought_for_each_content_that_a_run_needs(wanted: dict[str, Any], here: set[str], seeks: bool) -> None:
    sought, nothing = list[bytes](), cast(Any, None)
    given: dict[str, Any] = {"reference": "jobs/toy", "image_id": "", "size": 1, "packed": 1, "unpacked": 1} | wanted
    image = WantedImage(**given)

    class World:
        has = here.__contains__

        async def ensure(self, *_: Any, **__: Any) -> str:
            raise SandboxError("no engine")

    world = cast(Any, World())
    fetching = Fetching(nothing, world, world, nothing, Path("/nowhere"), Inline(), sought.append)
    answer = asyncio.run(fetching.image(BringImage(JOB, image, holder=b"poster")))
    assert isinstance(answer, ImageFailed) and sought == [b"poster"] * seeks


def test_whoever_posted_is_sought_for_an_encrypted_file(tmp_path: Path) -> None:
    sought: list[bytes] = []

    async def main() -> Any:
        world = cast(Any, Clock(failed(Reason.NOBODY)))
        fetching = Fetching(world, world, cast(Any, None), world, tmp_path, Inline(), sought.append)
        return await fetching.decrypted("verifier", Decrypt("seat", "hidden", str(CID), 100, b"", b"", WINDOW_MS, b"poster"))

    assert isinstance(run_virtual(main()), ContentMissing)
    assert sought == [b"poster"]
