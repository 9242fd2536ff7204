"""Every hostile archive of the table, given to a sandbox on a real engine: refused for the reason that the table names, or run to
the end that it names. Either way the host is as before and the sandbox answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from learningchain.sandbox import BadImage, RunResult
from tests.tiers import sampled

from .archives.kit import ROOMY, SMALL, Base, read_base
from .cases import ARCHIVES, Archive
from .stage import Stage, assert_readable, check_verdict

REFUSED = [archive for archive in ARCHIVES.values() if archive.refused]
RUN = [archive for archive in ARCHIVES.values() if not archive.refused]
LEFT_OUT = "every second of them runs under runc every time"


def name_of(archive: Archive) -> str:
    return archive.name


@pytest.fixture(scope="session")
def base(hostile_image: tuple[Path, str]) -> Base:
    return read_base(hostile_image[0])


@pytest.mark.parametrize("archive", REFUSED, ids=name_of)
def test_a_hostile_archive_is_refused(runc: Stage, base: Base, tmp_path: Path, archive: Archive) -> None:
    path = tmp_path / "hostile.tar"
    path.write_bytes(archive.write(base))

    def load() -> str:
        with pytest.raises(BadImage) as caught:
            runc.sandbox.load_archive(path, archive.expect, SMALL)
        return str(caught.value)

    reason = runc.unharmed(load)
    assert archive.refused in reason, reason
    assert_readable(reason)


@pytest.mark.parametrize("archive", sampled(RUN, 2, "every second one runs here"), ids=name_of)
def test_an_odd_image_under_runc(runc: Stage, base: Base, tmp_path: Path, archive: Archive) -> None:
    check_verdict(run(runc, base, tmp_path, archive), archive.ends)


@pytest.mark.full(LEFT_OUT)
@pytest.mark.parametrize("archive", RUN, ids=name_of)
def test_an_odd_image_under_gvisor(runsc: Stage, base: Base, tmp_path: Path, archive: Archive) -> None:
    check_verdict(run(runsc, base, tmp_path, archive), *archive.gvisor)


def run(stage: Stage, base: Base, folder: Path, archive: Archive) -> RunResult:
    """Loads an image, runs it once, gives it up again."""
    path = folder / "hostile.tar"
    path.write_bytes(archive.write(base))

    def load_and_run() -> RunResult:
        image = stage.sandbox.load_archive(path, None, ROOMY)
        try:
            return stage.run(archive.mode, image=image)
        finally:
            stage.sandbox.settle()
            stage.sandbox.remove_image(image)

    return stage.unharmed(load_and_run)
