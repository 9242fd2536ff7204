"""What a node has settings about, whatever contracts it knows: a section each, with defaults, bounds and descriptions.

What contracts add to them is put in by `composed`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from learningchain.client import reading

Text = Annotated[str, Meta(max_length=1_024)]
_SLURM_WORD: Final = "^[A-Za-z0-9_.,@+-]{0,128}$"


class ConfigSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: unknown names and values out of bounds are refused."""


class NetworkConfig(ConfigSection, frozen=True, kw_only=True):
    listen: Annotated[
        str, Meta(max_length=1_024, description="Where other nodes reach this one: host:port, or [::]:port for IPv6.")
    ] = "127.0.0.1:7400"
    advertise: Annotated[
        list[Text], Meta(max_length=8, description="Addresses told to other nodes; empty: the one listened on.")
    ] = []
    peers: Annotated[
        list[Text],
        Meta(max_length=64, description="Nodes to connect to first: host:port, or lc1...@host:port to insist on one identity."),
    ] = []
    mdns: Annotated[
        bool,
        Meta(
            description="Find members on the local network without knowing one, by multicast DNS. It tells everybody there this "
            "node's identity, network and port."
        ),
    ] = False
    bulk: Annotated[
        bool,
        Meta(
            description="Whether large files go by data connections, in a process beside the node, where both have that on and "
            "one reaches the other; else they go by messages, at most 20 MB a second."
        ),
    ] = True
    bulk_port: Annotated[
        int,
        Meta(
            ge=0,
            le=65_535,
            description="Port of data connections, on the address of network.listen; 0: the system chooses one, which a firewall "
            "mostly keeps closed.",
        ),
    ] = 0
    bulk_mb_s: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="Most megabytes that this node sends by data connections in a second, and most that it takes; 0: no bound, "
            "but 100 for a validator, whose votes wait for the same disk.",
        ),
    ] = 0
    peer_gb_a_day: Annotated[
        int, Meta(ge=0, le=1_000_000, description="Most gigabytes of files that this node sends one peer in a day; 0: no bound.")
    ] = 200


class ApiConfig(ConfigSection, frozen=True, kw_only=True):
    listen: Annotated[
        str,
        Meta(max_length=1_024, description="Where the HTTP API listens. Keep it on loopback: its token is all that protects it."),
    ] = reading.API_LISTEN
    dashboard: Annotated[bool, Meta(description="Whether this node has a dashboard for browsers (learningchain dashboard).")] = True


class StorageConfig(ConfigSection, frozen=True, kw_only=True):
    url: Annotated[str, Meta(max_length=1_024, description="Database (SQLAlchemy URL); empty: SQLite in the data folder.")] = ""
    keep_blocks: Annotated[
        str,
        Meta(
            max_length=16,
            description="Old blocks: all (an archive node), or how many are kept, or for how many days (30d). Never fewer than "
            "double signings, receipts and results of jobs need.",
        ),
    ] = "all"
    quota_mb: Annotated[int, Meta(ge=64, le=2**30, description="Most disk space for files: images and models, in MiB.")] = 20_480


class SyncConfig(ConfigSection, frozen=True, kw_only=True):
    mode: Annotated[
        Literal["certificates", "full", "snapshot"],
        Meta(
            description="Catching up: rest on blocks that more than two thirds of the validators signed (audit them later with "
            "learningchain audit); or execute every block with every signature checked; or, far behind, take the state of a "
            "recent block without the blocks before it."
        ),
    ] = "certificates"
    trusted: Annotated[
        str,
        Meta(
            max_length=80,
            description="A block (HEIGHT-ID, as another member's learningchain status shows it) that this node takes for the "
            "network's: no history without it is believed, whoever signed it. Empty: the genesis alone. An invitation sets it.",
        ),
    ] = ""
    snapshot_after: Annotated[
        int, Meta(ge=1, le=2**40, description="Blocks behind, from which on mode snapshot takes the state instead of blocks.")
    ] = 10_000


class ServeBase(ConfigSection, frozen=True, kw_only=True):
    """How this node answers for models that it serves. A contract may have settings of its own in the same section."""

    slots: Annotated[
        int, Meta(ge=1, le=16, description="Requests to served models that are answered at a time, beside all other runs.")
    ] = 4
    mem_mb: Annotated[
        int,
        Meta(
            ge=64,
            le=4_194_304,
            description="Memory for containers of served models, in MiB; no training starts that would need it.",
        ),
    ] = 2_048
    warm: Annotated[int, Meta(ge=0, le=16, description="Containers of each served model that wait for a request.")] = 2
    warm_idle_s: Annotated[
        int, Meta(ge=10, le=86_400, description="Seconds without a request after which none of a model waits any more.")
    ] = 600


LONGEST_RUN_S: Final = 172_800
"""Two days: who asks for more of a worker needs its owner's word."""


class WorkBase(ConfigSection, frozen=True, kw_only=True):
    """What every contract's work goes by. A contract has settings of its own in the same section (`SettingsPart.sections`)."""

    enabled: Annotated[bool, Meta(description="Run strangers' work in containers, and earn by it.")] = False
    max_run_s: Annotated[
        int,
        Meta(ge=1, le=2_592_000, description="Longest training to take on, in seconds; jobs that ask for more are left alone."),
    ] = LONGEST_RUN_S
    max_eval_s: Annotated[
        int, Meta(ge=1, le=86_400, description="Longest evaluation to take on, in seconds; verifiers declare it.")
    ] = 600
    max_cpus: Annotated[
        int, Meta(ge=0, le=1_024, description="Most processors that one run may ask for; 0: as many as the engine's machine has.")
    ] = 0
    max_image_mb: Annotated[int, Meta(ge=1, le=65_536, description="Largest image to take on, in MiB.")] = 4_096
    max_model_mb: Annotated[int, Meta(ge=1, le=65_536, description="Largest model to take on, in MiB.")] = 1_024
    max_mem_mb: Annotated[int, Meta(ge=16, le=4_194_304, description="Most memory that one run may ask for, in MiB.")] = 4_096
    concurrent: Annotated[int, Meta(ge=1, le=64, description="Runs at the same time.")] = 1
    gpus: Annotated[
        list[Text],
        Meta(
            max_length=64,
            description="GPUs that trainings of strangers' jobs may be given: for each its CDI name, cuda or rocm, and its memory "
            "in MiB, such as nvidia.com/gpu=0 cuda 24000 (docs/gpus.md).",
        ),
    ] = []
    verify: Annotated[
        bool,
        Meta(description="Evaluate others' models for a fee when drawn. Off: abstain; who does that often is drawn no more."),
    ] = True


class SandboxConfig(ConfigSection, frozen=True, kw_only=True):
    backend: Annotated[
        str,
        Meta(
            pattern="^[a-z0-9][a-z0-9_-]{0,63}$",
            description="What runs containers: docker, oci (without Docker), or what another distribution brought.",
        ),
    ] = "docker"
    engine: Annotated[
        str,
        Meta(max_length=1_024, description="Docker Engine; empty: DOCKER_HOST, else docker's context. With oci: where crun is."),
    ] = ""
    runtime: Annotated[str, Meta(min_length=1, max_length=64, description="Container runtime: runc, or runsc for gVisor.")] = "runc"
    cache_dir: Annotated[str, Meta(max_length=4_096, description="Folder for image archives; empty: in the data folder.")] = ""
    disk_from_mb: Annotated[int, Meta(ge=1, le=1 << 20, description="Inputs from this size on lie on the engine's disk.")] = 64
    data_mb: Annotated[
        int, Meta(ge=1, le=1 << 20, description="Most disk space of the engine for your own data (learningchain data), in MiB.")
    ] = 65_536
    images_mb: Annotated[
        int,
        Meta(
            ge=64,
            le=1 << 24,
            description="Most disk space of the engine for images, unpacked, in MiB: those used least recently make room.",
        ),
    ] = 65_536


class ClusterConfig(ConfigSection, frozen=True, kw_only=True):
    kind: Annotated[
        Literal["none", "static", "slurm"],
        Meta(
            description="Other machines of yours that train for this node: none; static: those that joined it (learningchain "
            "machine add); slurm: those, and machines of a Slurm cluster, one job of it for each training."
        ),
    ] = "none"
    listen: Annotated[
        str,
        Meta(max_length=1_024, description="Where those machines reach this node: host:port, or [::]:port for IPv6."),
    ] = "127.0.0.1:7403"
    trusted: Annotated[
        list[Text],
        Meta(
            max_length=64,
            description="Names of machines that joined and whose word counts as this node's own: they evaluate models, on hidden "
            "data too, and what they measure is what this node claims and votes.",
        ),
    ] = []


class SlurmConfig(ConfigSection, frozen=True, kw_only=True):
    """Read where `cluster.kind` is slurm."""

    partition: Annotated[
        str, Meta(pattern=_SLURM_WORD, description="Partition of the jobs (sbatch --partition); empty: Slurm's default.")
    ] = ""
    account: Annotated[
        str, Meta(pattern=_SLURM_WORD, description="Account of the jobs (sbatch --account); empty: Slurm's default.")
    ] = ""
    qos: Annotated[
        str, Meta(pattern=_SLURM_WORD, description="Quality of service of the jobs (sbatch --qos); empty: Slurm's default.")
    ] = ""
    constraint: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9_.&|*()\[\],-]{0,256}$", description="Features that a machine must have (sbatch --constraint)."),
    ] = ""
    queue_max_s: Annotated[
        int,
        Meta(
            ge=10,
            le=604_800,
            description="A training waits at most so long for a job to begin; else the node's own engine takes it.",
        ),
    ] = 600
    address: Annotated[
        str,
        Meta(
            max_length=1_024, description="Where the cluster's machines reach this node: host:port; empty: as cluster.listen says."
        ),
    ] = ""
    spool: Annotated[
        str,
        Meta(
            max_length=4_096, description="Folder that the cluster's machines see under the same name; empty: in the data folder."
        ),
    ] = ""
    command: Annotated[
        list[Text],
        Meta(max_length=32, description="What starts learningchain on a machine of the cluster, word by word; empty: as here."),
    ] = []
    cdi: Annotated[
        str,
        Meta(
            max_length=255,
            description="Name in CDI, on the cluster's machines, of the GPU that has Slurm's number {} there (SLURM_JOB_GPUS).",
        ),
    ] = "nvidia.com/gpu={}"


class CallbackConfig(ConfigSection, frozen=True, kw_only=True):
    allow: Annotated[
        list[Text],
        Meta(
            max_length=64,
            description="Where callbacks may go besides the public internet: loopback, private, or addresses and networks such as "
            "10.1.0.0/16. Only there http will do; else it is https.",
        ),
    ] = []


class NotifyConfig(ConfigSection, frozen=True, kw_only=True):
    url: Annotated[
        str,
        Meta(
            max_length=2_048,
            description="Where this node posts what its operator should know, signed as callbacks are (by notify.secret of the "
            "data folder); empty: nowhere. callback.allow holds for it, too.",
        ),
    ] = ""
    command: Annotated[
        list[Text],
        Meta(
            max_length=32,
            description="Program and words that are run for each notification, without a shell, with the notification as JSON on "
            "standard input; empty: none.",
        ),
    ] = []
    kinds: Annotated[
        list[Text], Meta(max_length=5, description="What is told: cases, votes, invitations, payments, notices; empty: all of it.")
    ] = []
    least: Annotated[
        str, Meta(max_length=32, description="Credits from which on a payment is told: dust costs its sender next to nothing.")
    ] = "0.01"


class LogConfig(ConfigSection, frozen=True, kw_only=True):
    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Least important messages to log.")] = "info"
    format: Annotated[Literal["console", "json"], Meta(description="Lines for people, or JSON lines for a log collector.")] = (
        "console"
    )
