"""What several contracts agree on with machines: which image runs, within which limits, and how content is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum, IntFlag
from typing import Annotated

from msgspec import Meta

from learningchain.chain.codec import Wire
from learningchain.chain.types import Hash, Uint

Cid = Annotated[bytes, Meta(max_length=64)]
"""A binary CIDv1."""
Small = Annotated[int, Meta(ge=0, le=255)]
Int = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""As wide as the encoding allows: the handler says with a code of its own what is out of bounds."""

MAX_REFERENCE = 512
"""Registries refuse longer names."""
MAX_IMAGE_BYTES = 64 * 2**30
"""Larger than the largest machine-learning images in use; a worker's own policy is far lower."""
MAX_SETS, MAX_SET_BYTES, MAX_SET_FILES, MAX_SET_NAME = 8, 2**40, 10_000, 32
"""Published data sets of one job, bytes of all of them, files of one (a larger set packs its examples into larger files), and
characters of its name."""
MAX_DEVICES, MAX_DEVICE_MB = 8, 1 << 20
"""Devices of one training: a machine with more of them offers eight; and memory of each, in MiB, more than any has."""
LIMITS: dict[str, tuple[int, int]] = {
    # A container cannot be started with less, and no single machine offers more.
    "cpus_milli": (10, 1_024_000),
    # The smallest memory an engine accepts; 4 TiB is above any single machine.
    "mem_mb": (6, 4_194_304),
    # A job is open for at most job_max_open (30 days by default): no run can last longer.
    "train_s": (1, 30 * 24 * 3_600),
    # Verifiers wait twice this per model: more than a day would hold a bounty for weeks.
    "eval_s": (1, 24 * 3_600),
    # At 1 MB/s a verifier needs about five hours for this.
    "model_cap": (1, 16 * 2**30),
    # Scratch space is memory: bounded like it; zero means none.
    "tmp_mb": (0, 4_194_304),
    # Threads are processes to the sandbox; more than this is no training but a fork bomb.
    "threads": (1, 4_096),
}

SET_FILE_BYTES = 200_000
"""LC-JOB-4: what each file of a set counts beside its bytes: 20 ms at the slowest transfer, for keeping one takes 8 whatever its
size. Without it 80,000 files of one byte would make every verifier late."""

_REFERENCE = re.compile(r"[a-z0-9](?:[a-z0-9._:/-]*[a-z0-9])?@sha256:[0-9a-f]{64}", re.ASCII)
_SET_NAME = re.compile(rf"[a-z0-9_-]{{1,{MAX_SET_NAME}}}", re.ASCII)
_CID_HEADS = (b"\x01\x55\x12\x20", b"\x01\x70\x12\x20")
"""CIDv1, raw or dag-pb, sha2-256 of 32 bytes: what the content store makes."""


def is_reference(text: str) -> bool:
    """LC-JOB-42: a registry reference pinned by digest: `name[:tag]@sha256:<64 hex>`."""
    return len(text) <= MAX_REFERENCE and _REFERENCE.fullmatch(text) is not None


def is_cid(cid: bytes) -> bool:
    return len(cid) == 36 and cid.startswith(_CID_HEADS)


def model_id(cid: bytes) -> bytes:
    """The SHA-256 digest inside a CID. Raises ValueError unless it is one of the content store's."""
    if not is_cid(cid):
        raise ValueError("not a CIDv1 with sha2-256 (36 bytes)")
    return cid[4:]


class ImageKind(IntEnum):
    REGISTRY = 1
    """`reference` names the image by digest; `cid` is empty, `image_id` may be empty."""
    ARCHIVE = 2
    """`cid` is a docker-archive in the content store, `image_id` the only image in it that may run; `reference` is empty."""


class Image(Wire, frozen=True):
    kind: Small
    reference: Annotated[str, Meta(max_length=MAX_REFERENCE)]
    cid: Cid
    image_id: Annotated[bytes, Meta(max_length=32)]
    size: Uint


class HiddenSet(Wire, frozen=True):
    """An encrypted evaluation file: what everybody holds, and what its plaintext and its key (32 bytes) hash to (SHA-256)."""

    cid: Cid
    plain_hash: Hash
    key_hash: Hash
    size: Uint


class Use(IntFlag):
    """In which runs a program finds a data set."""

    TRAIN = 1
    EVALUATE = 2


class DataRef(Wire, frozen=True):
    """A published data set: the CID of its manifest (LC-JOB-60), bytes and number of its files, the name of its folder."""

    cid: Cid
    size: Uint
    files: Uint
    name: Annotated[str, Meta(max_length=MAX_SET_NAME)]
    use: Small
    """A `Use`: one of them or both."""

    @property
    def weight(self) -> int:
        """Bytes that it counts where time, fee and capacity are measured."""
        return self.size + SET_FILE_BYTES * self.files


class DeviceKind(IntEnum):
    """What a program computes with on a device."""

    CUDA = 1
    ROCM = 2


class Earlier(Wire, frozen=True):
    """The model that trainings may begin with: its CID and bytes, the loss that it has, and the job it came from (zeros: none that
    is told), which nothing reads but people."""

    job: Hash
    cid: Cid
    size: Uint
    loss: Int


_DEVICE_KINDS = frozenset(DeviceKind)


class DeviceAsk(Wire, frozen=True):
    """The devices that a training needs: `count` of one `DeviceKind`, each with at least `mem_mb` MiB of its own memory."""

    kind: Small
    count: Uint
    mem_mb: Uint


class Arch(IntEnum):
    """The processor that an image is built for. An evaluation repeats on one kind only."""

    AMD64 = 1
    ARM64 = 2


class Capacity(Wire, frozen=True):
    """The largest work that a machine takes: thousandths of a CPU, MiB, bytes of an image and of a model, seconds of evaluation."""

    arch: Small
    cpus_milli: Uint
    mem_mb: Uint
    image: Uint
    model_cap: Uint
    eval_s: Uint

    def covers(self, needed: Capacity) -> bool:
        return self.arch == needed.arch and (
            self.cpus_milli >= needed.cpus_milli
            and self.mem_mb >= needed.mem_mb
            and self.image >= needed.image
            and self.model_cap >= needed.model_cap
            and self.eval_s >= needed.eval_s
        )


class Limits(Wire, frozen=True):
    """What one run of the container may use: thousandths of a CPU, MiB, seconds, bytes."""

    cpus_milli: Uint
    mem_mb: Uint
    train_s: Uint
    eval_s: Uint
    model_cap: Uint
    tmp_mb: Uint
    threads: Uint


def limit_fault(limits: Limits) -> str:
    """Why no machine can offer these limits; empty where one can."""
    for name, (low, high) in LIMITS.items():
        value = getattr(limits, name)
        if not low <= value <= high:
            return f"limit {name} is {value}; no machine can offer that: use {low} to {high}"
    return ""


def image_fault(image: Image) -> str:
    """Why an image is not named by its content alone (a tag could change), or cannot be; empty where it is."""
    if not 1 <= image.size <= MAX_IMAGE_BYTES:
        return f"an image has 1 to {MAX_IMAGE_BYTES} bytes, not {image.size}"
    if image.kind == ImageKind.REGISTRY:
        if not is_reference(image.reference) or image.cid or len(image.image_id) not in (0, 32):
            return "a registry image is named with its digest: name@sha256:<64 hex>"
        return ""
    if image.kind == ImageKind.ARCHIVE:
        if not is_cid(image.cid) or image.reference or len(image.image_id) != 32:
            return "an image archive needs its CID (CIDv1, sha2-256) and its image id (32 bytes)"
        return ""
    return f"unknown kind of image {image.kind}"


def sets_fault(sets: Sequence[DataRef]) -> str:
    """LC-JOB-15: why these cannot be the data sets of one job; empty where they can."""
    for one in sets:
        if _SET_NAME.fullmatch(one.name) is None:
            return f"a data set is called by 1 to {MAX_SET_NAME} of a-z, 0-9, - and _, not {one.name!r}"
        if not is_cid(one.cid) or not 1 <= one.size <= MAX_SET_BYTES or not 1 <= one.files <= MAX_SET_FILES:
            most = f"1 to {MAX_SET_BYTES} bytes in 1 to {MAX_SET_FILES} files"
            return f"the data set {one.name} needs the CIDv1 of its manifest, and {most}"
        if not 1 <= one.use <= Use.TRAIN | Use.EVALUATE:
            return f"the data set {one.name} is for training (1), evaluation (2) or both (3), not {one.use}"
    if len({one.name for one in sets}) < len(sets):
        return "two data sets have one name"
    if sum(one.size for one in sets) > MAX_SET_BYTES:
        return f"the data sets of a job have at most {MAX_SET_BYTES} bytes together"
    return ""


def devices_fault(devices: Sequence[DeviceAsk]) -> str:
    """LC-JOB-15, LC-JOB-61: why a training cannot be given these; empty where it can."""
    for one in devices:
        if one.kind not in _DEVICE_KINDS:
            return f"devices are of kind 1 (CUDA) or 2 (ROCm), not {one.kind}"
        if not 1 <= one.count <= MAX_DEVICES or one.mem_mb > MAX_DEVICE_MB:
            most = f"1 to {MAX_DEVICES} devices, each with at most {MAX_DEVICE_MB} MiB"
            return f"a training has {most}, not {one.count} with {one.mem_mb} MiB"
    return ""
