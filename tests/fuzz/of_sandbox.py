"""Targets: what a job writes and prints, and the image archives and parameters of strangers."""

from __future__ import annotations

import io
import json
from typing import Any, cast

from learningchain.sandbox.archive import clean_archive, scan_archive
from learningchain.sandbox.docker.attached import Dialogue, FramedOutput
from learningchain.sandbox.docker.engine import Engine, explain
from learningchain.sandbox.docker.runner import job_json
from learningchain.sandbox.docker.sidecar import Sidecar, SidecarSize
from learningchain.sandbox.documents import parse_config
from learningchain.sandbox.errors import BadImage, EngineError, SandboxUnavailable
from learningchain.sandbox.output import TAIL_CAP
from learningchain.sandbox.progress import PROGRESS_LINE_CAP, parse_progress
from learningchain.sandbox.results import BadResult, EvaluationReader
from learningchain.sandbox.spec import ImageLimits, RunSpec
from learningchain.sandbox.targuard import BadTar, TarWalk
from tests.fuzz.targets import Target, check, scratch, text_of

LIMITS = ImageLimits(archive_bytes=1 << 20, unpacked_bytes=1 << 20, files=100, layers=8)


def result(data: bytes) -> None:
    """What an evaluation left, as the sidecar sends it: measured, or told whose fault it is that it is not."""
    reader = EvaluationReader()
    try:
        for at in range(0, len(data), 97):
            reader.take(data[at : at + 97])
        found = reader.finish()
    except BadResult as bad:
        check(str(bad).isascii() and str(bad).isprintable() and len(str(bad)) < 300, "an error that cannot be shown")
        raise
    check(abs(found.measurement.mean) <= 10**18 and found.measurement.count == len(found.losses) > 0, "out of bounds")
    check(found.measurement.total == sum(found.losses), "another sum")


def progress(data: bytes) -> None:
    found = parse_progress(data)
    if found is not None:
        check(json.dumps([found.step, found.of, found.loss], allow_nan=False), "cannot be shown")


def container_output(data: bytes) -> None:
    """In one piece and byte by byte: the same."""
    whole, pieces = FramedOutput(), FramedOutput()
    whole.feed(data)
    for at in range(0, len(data), 7):
        pieces.feed(data[at : at + 7])
    check(whole.tail() == pieces.tail() and whole.total == pieces.total <= len(data), "depends on how it arrives")
    check(len(whole._tail) <= TAIL_CAP and len(whole._line) <= PROGRESS_LINE_CAP + 1, "unbounded")
    check(all(char == "\n" or char.isprintable() for char in whole.tail()), "control characters")


def tar(data: bytes) -> None:
    count = 0
    for member in TarWalk(io.BytesIO(data), max_bytes=1 << 20, max_members=100):
        count += 1
        check(0 <= member.size <= 1 << 60 and member.offset % 512 == 0, "no such member")
        repr(member)
    check(count <= 100, "too many")


class _Line:
    """A connection on which a sidecar says `data`, in pieces of up to 97 bytes, and then goes away."""

    def __init__(self, data: bytes) -> None:
        self._pieces = [data[at : at + 97] for at in range(0, len(data), 97)][::-1]

    def send(self, _: bytes) -> None: ...

    def receive(self) -> bytes | None:
        return self._pieces.pop() if self._pieces else b""


def sidecar_answer(data: bytes) -> None:
    sidecar = Sidecar(Engine("unix:///nowhere.sock"), "k", 1, SidecarSize.for_inputs(0, 4_096))
    sidecar._dialogue = Dialogue(cast(Any, _Line(data)), "a sidecar")
    check(sum(map(len, sidecar.read_output("model", 4_096))) <= 4_096, "more than its cap")


def image_archive(data: bytes) -> None:
    path = scratch() / "image.tar"
    path.write_bytes(data)
    image = scan_archive(path, LIMITS, architecture="amd64")
    again = scratch() / "again.tar"
    again.write_bytes(b"".join(clean_archive(path, image, "lc/test:1")))
    rewritten = scan_archive(again, LIMITS, architecture="amd64")
    check(rewritten.image_id == image.loaded_id, "rewritten as another image")
    check([layer.written_digest for layer in rewritten.layers] == [layer.digest for layer in rewritten.layers], "no fixed form")


def image_config(data: bytes) -> None:
    check(parse_config(data, "amd64").layers, "no layers")


def job_params(data: bytes) -> None:
    """Parameters are a text of the posting; what the job reads is one JSON object with them inside."""
    spec = RunSpec(run_id="r", image_id="sha256:" + "0" * 64, phase="train", seed=1, budget_s=1, params=text_of(data))
    document = json.loads(job_json(spec))
    check(document["v"] == 2 and isinstance(document["params"], dict) and len(document) == 7, "reaches beyond its field")


class _Said(Exception):
    def __init__(self, explanation: bytes) -> None:
        self.explanation = explanation


def engine_error(data: bytes) -> None:
    check(len(explain(_Said(data))) <= 400, "unbounded")


class _Client:
    _version = "1.43"

    def __init__(self, facts: Any) -> None:
        self.info = lambda: facts


class _Described(Engine):
    def __init__(self, facts: Any) -> None:
        super().__init__("unix:///nowhere.sock")
        self._facts = facts

    def api(self, *, transfer: bool = False) -> Any:
        return _Client(self._facts)


def engine_info(data: bytes) -> None:
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError):  # the engine's library reads JSON before us
        return
    found = _Described(facts).info()
    check(isinstance(found.cpus, int) and repr(found), "cannot be shown")


TARGETS = {
    "result": Target(result, (BadResult,), 4_200),
    "progress": Target(progress, (), 600),
    "container-output": Target(container_output, (), 16_384),
    "tar": Target(tar, (BadTar,), 16_384),
    "sidecar-answer": Target(sidecar_answer, (BadResult, EngineError), 8_192),
    "image-archive": Target(image_archive, (BadImage,), 32_768),
    "image-config": Target(image_config, (BadImage,)),
    "job-params": Target(job_params, (ValueError,)),
    "engine-info": Target(engine_info, (SandboxUnavailable,)),
    "engine-error": Target(engine_error, (), 1_024),
}
