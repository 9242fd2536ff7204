"""The lines of the table: which measured value each shows, and the target it is held against.

Targets are those of four validators as processes on two cores, every vote on disk before it is sent.
"""

from __future__ import annotations

import statistics

from benchmarks.figures import Row, Run, over, pick

_RATE, _SIZE = "ledger.transfers.per_s", "ledger.transfers.tx_bytes"


LIMITS = (
    Row("limits.verify_one", "limits", "signature checks/s, one thread", pick("limits.verify_one")),
    Row("limits.verify_two", "limits", "signature checks/s, two processes", pick("limits.verify_two")),
    Row("limits.committee", "limits", "committee limit: that / 4 validators, transfers/s", pick("limits.committee")),
    Row("limits.fsync", "limits", "append of 200 bytes and fdatasync, p50 ms", pick("limits.fsync_ms"), 3),
    Row("limits.fsync99", "limits", "append of 200 bytes and fdatasync, p99 ms", pick("limits.fsync_p99_ms"), 3),
    Row("limits.sha_big", "limits", "sha256 of 1 MiB, MB/s", pick("limits.sha256_big_bytes", 1e-6)),
    Row(
        "limits.sha_small",
        "limits",
        "sha256 of 150 bytes, thousands/s",
        pick("limits.sha256_small", 1e-3),
    ),
    Row("limits.disk", "limits", "disk, one file written and synced, MB/s", pick("limits.disk_bytes", 1e-6)),
    Row("limits.tls", "limits", "one TLS connection on loopback, MB/s", pick("limits.tls_bytes", 1e-6)),
    Row("limits.load", "limits", "load average when the round began", pick("limits.load"), 1),
)

THROUGHPUT = (
    Row("transfers", "throughput", "committed signed transfers/s", pick(_RATE)),
    Row("etcd", "throughput", "etcd, four members: puts/s", pick("etcd.puts.per_s")),
    Row("syncobj", "throughput", "pysyncobj, four nodes, journal: commands/s", pick("syncobj.puts.per_s")),
    Row("anvil", "throughput", "anvil, one node: transfers/s", pick("anvil.transfers.per_s")),
    Row("ganache", "throughput", "ganache, one node: transfers/s", pick("ganache.transfers.per_s")),
    Row("of_limit", "throughput", "transfers / committee limit", over(_RATE, "limits.committee"), 2, least=0.6),
    Row("of_etcd", "throughput", "transfers / etcd's puts", over(_RATE, "etcd.puts.per_s"), 2, least=1.5),
    Row("of_syncobj", "throughput", "transfers / pysyncobj's commands", over(_RATE, "syncobj.puts.per_s"), 2, least=0.8),
    Row("of_ganache", "throughput", "transfers / ganache's transfers", over(_RATE, "ganache.transfers.per_s"), 1, least=20),
    Row("of_anvil", "throughput", "transfers / anvil's transfers", over(_RATE, "anvil.transfers.per_s"), 2),
    Row("cpu", "throughput", "processor time of four validators, us/transfer", pick("ledger.transfers.cpu_us_per_tx")),
    Row(
        "load",
        "throughput",
        "processor time of the load beside it, % of a core",
        pick("ledger.transfers.load_cores", 100),
        1,
    ),
    Row("etcd_load", "throughput", "the same of etcd's load", pick("etcd.puts.load_cores", 100), 1),
    Row("posts", "jobs", "job postings/s", pick("ledger.jobs.posts.per_s")),
    Row("claims", "jobs", "claims/s", pick("ledger.jobs.claims.per_s")),
    Row("jobs", "jobs", "postings and claims in turns, messages/s", pick("ledger.jobs.per_s")),
    Row("jobs_anvil", "jobs", "anvil: postings and claims/s", pick("anvil.jobs_per_s")),
    Row("jobs_ganache", "jobs", "ganache: postings and claims/s", pick("ganache.jobs_per_s")),
    Row("jobs_of_transfers", "jobs", "jobs / transfers", over("ledger.jobs.per_s", _RATE), 2, least=0.5),
    Row("jobs_of_ganache", "jobs", "jobs / ganache's jobs", over("ledger.jobs.per_s", "ganache.jobs_per_s"), 1, least=100),
    Row("tens", "batches", "transfers/s, 10 under one signature", pick("ledger.tens.messages_per_s")),
    Row("hundreds", "batches", "transfers/s, 100 under one signature", pick("ledger.hundreds.messages_per_s")),
    Row("tens_of_one", "batches", "10 under one signature / single", over("ledger.tens.messages_per_s", _RATE), 1, least=5),
    Row(
        "hundreds_of_one", "batches", "100 under one signature / single", over("ledger.hundreds.messages_per_s", _RATE), 1, least=5
    ),
    Row("overload", "overload", "committed transfers/s under endless overload", pick("ledger.overload.per_s")),
    Row("overload_of_best", "overload", "overload / best", over("ledger.overload.per_s", _RATE), 2, least=0.9),
    Row(
        "refused",
        "overload",
        "offered transfers that were refused, %",
        pick("ledger.overload.refused_share", 100),
    ),
    Row("rss", "overload", "largest validator under overload, MB", pick("ledger.overload.rss_most_mb")),
    Row("rss_growth", "overload", "its growth in the second half, MB/s", pick("ledger.overload.rss_growth_mb_per_s"), 1),
)

FINALITY = (
    Row("p50", "finality", "finality, one outstanding, p50 ms", pick("ledger.finality.p50_ms"), 1),
    Row("p99", "finality", "finality, one outstanding, p99 ms", pick("ledger.finality.p99_ms"), 1),
    Row("etcd_p50", "finality", "etcd's put, one outstanding, p50 ms", pick("etcd.p50_ms"), 1),
    Row("etcd_p99", "finality", "etcd's put, one outstanding, p99 ms", pick("etcd.p99_ms"), 1),
    Row("syncobj_p50", "finality", "pysyncobj's command, one outstanding, p50 ms", pick("syncobj.p50_ms"), 1),
    Row("p50_of_etcd", "finality", "finality / etcd's put, p50", over("ledger.finality.p50_ms", "etcd.p50_ms"), 1, most=2),
    Row("p99_of_etcd", "finality", "finality / etcd's put, p99", over("ledger.finality.p99_ms", "etcd.p99_ms"), 1, most=1.5),
    Row("wan_p50", "finality", "finality over links of 100 ms and 1 % loss, p50 ms", pick("wan.p50_ms")),
    Row("wan_delays", "finality", "the same in one-way delays", pick("wan.p50_delays"), 1, most=4.5),
)

OTHERS = (
    Row("sync", "catching up", "a fifth node fetches a chain from the four, transactions/s", pick("sync.txs_per_s")),
    Row("replay", "catching up", "full replay of full blocks, transactions/s", pick("replay.full")),
    Row("trusting", "catching up", "replay by certificates and roots, transactions/s", pick("replay.certificates")),
    Row("replay_of_limit", "catching up", "full replay / two-process checks", pick("replay.full_of_verify"), 2, least=0.7),
    Row(
        "trusting_of_full",
        "catching up",
        "by certificates / full replay",
        pick("replay.certificates_of_full"),
        1,
        least=3,
    ),
    Row("snapshot", "catching up", "from a snapshot, records/s", pick("snapshot.records_per_s")),
    Row(
        "snapshot_bytes",
        "catching up",
        "from a snapshot, MB/s of the state as it is stored",
        pick("snapshot.stored_per_s", 1e-6),
        1,
    ),
    Row("snapshot_of_wire", "catching up", "from a snapshot / one TLS connection", pick("snapshot.sent_of_wire"), 3, least=0.5),
    Row("snapshot_of_disk", "catching up", "from a snapshot / the disk", pick("snapshot.stored_of_disk"), 3, least=0.5),
    Row("bytes", "wire", "bytes on all links per transfer", pick("ledger.transfers.bytes_per_tx")),
    # From the node that took it, a transfer must reach the three others.
    Row(
        "bytes_ratio",
        "wire",
        "bytes / (transfer's size x 3 links)",
        over("ledger.transfers.bytes_per_tx", _SIZE, 1 / 3),
        2,
        most=1.3,
    ),
    Row("growth_block", "growth", "a block's time with the large state / with a small one", pick("growth.ratio"), 2, most=1.5),
    Row("growth_restart", "growth", "restart of a killed node with the large state, s", pick("growth.restart.killed_s"), 1, most=5),
    Row("growth_rss", "growth", "its memory, MB", pick("growth.restart.rss_mb")),
    Row("idle_cpu", "idle", "a node on a quiet graph, % of a core", pick("idle.cpu_percent"), 2, most=1),
    Row("idle_rss", "idle", "its resident memory, MB", pick("idle.rss_mb"), most=150),
    Row(
        "find_job",
        "jobs",
        "the best-paying of 65,000 live jobs, once a block has it, ms",
        pick("many_jobs.new_job_ms"),
        2,
        most=100,
    ),
    Row("find_best", "jobs", "a look for the best-paying of 65,000 open postings, ms", pick("many_jobs.worker_ms"), 2, most=100),
    Row("find_seat", "jobs", "a look for the own seat among 65,000 live jobs, ms", pick("many_jobs.verifier_ms"), 2, most=100),
    Row("help", "start", "learningchain --help, ms", pick("startup.help_ms"), most=150),
    Row("question", "start", "learningchain status / python -c pass, processor time", pick("startup.question_ratio"), 1, most=7),
    Row("first_vote", "start", "four new nodes, to the first vote of the last, s", pick("startup.fresh_s"), 2, most=2),
    Row("rejoin", "start", "a node that comes back, to its first vote, s", pick("startup.rejoin_s"), 2, most=2),
    Row("start", "start", "four validators from start to connected, s", pick("ledger.start_s"), 1),
    Row("file", "files", "a large file from node to node, MB/s", pick("large_file.bytes_per_s", 1e-6)),
    Row("file_copy", "files", "a copy of it through one TLS connection, MB/s", pick("large_file.copy_bytes_per_s", 1e-6)),
    Row("file_of_copy", "files", "from node to node / the copy", pick("large_file.of_copy"), 2, least=0.5),
    Row("file_cpu", "files", "its processor time, both ends, s/GiB", pick("large_file.cpu_s_per_gib"), 1),
    Row("file_cpu_of_copy", "files", "that / the copy's", pick("large_file.cpu_of_copy"), 2, most=2),
    Row("file_moved", "files", "bytes of it by data connections, %", pick("large_file.moved", 100)),
    Row(
        "file_memory",
        "files",
        "memory of the process beside the node (64 MB and 10 for each of 4 connections), MiB",
        pick("large_file.memory_mb"),
        most=99,
    ),
    Row("beside_none", "files", "finality without files, p99 ms", pick("beside_file.without_p99_ms"), 1),
    Row("beside_file", "files", "finality beside large files, in turns, p99 ms", pick("beside_file.with_p99_ms"), 1),
    Row("beside_ratio", "files", "beside files / without, p99", pick("beside_file.ratio_p99"), 2, most=2),
    Row("beside_rate", "files", "the files meanwhile, MB/s", pick("beside_file.mb_per_s")),
    Row("beside_copy", "files", "finality beside plain TLS copies onto the same disk, p99 ms", pick("beside_file.copy_p99_ms"), 1),
    Row("beside_copy_ratio", "files", "beside the copies / without, p99", pick("beside_file.copy_ratio_p99"), 2),
    Row("beside_copy_rate", "files", "the copies meanwhile, MB/s", pick("beside_file.copy_mb_per_s")),
    Row("beside_step", "files", "steps of the loops beside them, p99.9 ms", pick("beside_file.step_p999_ms"), 2, most=5),
    Row("docker", "sandbox", "docker run --rm --network none, ms", pick("sandbox.docker_ms")),
    Row("sandbox", "sandbox", "sandbox run of the same program, ms", pick("sandbox.sandbox_ms")),
    Row("sandbox_ratio", "sandbox", "sandbox / docker run", pick("sandbox.ratio"), 2, most=0.8),
    Row(
        "sandbox_whole",
        "sandbox",
        "the same until all of the run is removed / docker run",
        pick("sandbox.whole_ratio"),
        2,
        most=0.8,
    ),
    Row("pip", "sandbox", "pip install of a locked list (torch), packages in its cache, s", pick("building.pip_s"), 1),
    Row("build", "sandbox", "job build of the same list, s", pick("building.build_s"), 1),
    Row("build_ratio", "sandbox", "job build / pip install", pick("building.ratio"), 2, most=4),
    Row("set_step", "sandbox", "last byte of a set of 1 GiB to the first step on it, s", pick("published_set.first_step_s"), 1),
    Row("set_copy", "sandbox", "a copy of it into the engine, s", pick("published_set.copy_s"), 1),
    Row("set_of_copy", "sandbox", "first step / the copy", pick("published_set.of_copy"), 2, most=1.5),
    Row("set_again", "sandbox", "first step of a second run on it, s", pick("published_set.again_s"), 2),
    Row(
        "set_nodes_step", "sandbox", "last byte of 1 GiB on another node to the first step, s", pick("set_on_nodes.first_step_s"), 1
    ),
    Row("set_nodes_of_copy", "sandbox", "that / a copy of it into the engine", pick("set_on_nodes.of_copy"), 2, most=1.5),
    Row(
        "set_nodes_memory",
        "sandbox",
        "that node's memory meanwhile, with its processes, more MB",
        pick("set_on_nodes.grown_mb"),
        most=64,
    ),
    Row(
        "set_nodes_again",
        "sandbox",
        "bytes of it that a second job has sent to the node",
        pick("set_on_nodes.second_bytes"),
        most=0,
    ),
    Row("set_listed", "sandbox", "published sets, one of 10,000 files, told, s", pick("set_on_nodes.listed_s"), 2, most=1),
    Row("http_answer", "sandbox", "HTTP to a server in a container that stays, ms", pick("answers.http_ms"), 1),
    Row("warm_answer", "sandbox", "a request to a container that waits for it alone, ms", pick("answers.warm_ms"), 1),
    Row("cold_answer", "sandbox", "a request to a container that is started for it, ms", pick("answers.cold_ms"), 1),
    Row("warm_to_http", "sandbox", "waiting container / HTTP", pick("answers.warm_to_http"), 1),
    Row("cold_to_warm", "sandbox", "started container / waiting one", pick("answers.cold_to_warm"), 1),
    Row(
        "predict_p50",
        "predictions",
        "request of 16 rows to the value that five agree on, p50 ms",
        pick("predictions.p50_ms"),
        most=1_000,
    ),
    Row("predict_p95", "predictions", "the same, p95 ms", pick("predictions.p95_ms")),
    Row(
        "predict_http",
        "predictions",
        "HTTP to the same program in a container, in turns, p50 ms",
        pick("predictions.http_p50_ms"),
        1,
    ),
    Row("predict_etcd", "predictions", "etcd's put, in turns, p50 ms", pick("predictions.etcd_p50_ms"), 1),
    Row("predict_to_http", "predictions", "request / HTTP", pick("predictions.to_http")),
    Row("predict_drawn", "predictions", "of it: from its block to the draw, ms", pick("predictions.parts.drawn_ms")),
    Row(
        "predict_committed",
        "predictions",
        "of it: from the draw to the last commitment, ms",
        pick("predictions.parts.committed_ms"),
    ),
    Row("predict_opened", "predictions", "of it: from there to the last opening, ms", pick("predictions.parts.opened_ms")),
    Row("predict_blocks", "predictions", "of it: blocks", pick("predictions.blocks")),
    Row(
        "predict_transfer", "predictions", "a transfer on the same graph, in turns, p50 ms", pick("predictions.transfer_p50_ms"), 1
    ),
    Row("predict_own", "predictions", "a machine for each node, by the parts, ms", pick("predictions.own_machines_ms")),
    Row("predict_rows", "predictions", "rows/s in batches of 256, four under way", pick("predictions.rows_per_s"), least=50),
)


class _WithBlocks:
    """Arithmetic, and each block of the round at the time that a transfer took in this run."""

    def __init__(self, path: str) -> None:
        self._reads = (pick(path), pick("federation.blocks"), pick("ledger.finality.p50_ms"))

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(path for one in self._reads for path in one.paths)

    def __call__(self, run: Run) -> list[float]:
        parts, many, block = (one(run) for one in self._reads)
        return [one + blocks * statistics.median(block) for one, blocks in zip(parts, many, strict=True) if block]


_FED = "federated training"
MACHINES = (
    Row(
        "machines_core",
        "machines",
        "64 machines that train: the node's loop, % of a core",
        pick("machines.core_percent"),
        2,
        most=2,
    ),
    Row("machines_step", "machines", "its steps beside them, p99.9 ms", pick("machines.step_ms"), 2, most=5),
    Row("machines_added", "machines", "a run that does nothing: there, not here, ms more", pick("machines.added_ms"), 1, most=60),
    Row("machines_cpu", "machines", "processor time of the node for it, ms", pick("machines.added_cpu_ms"), 1),
    Row("machines_adopt", "machines", "a start of the node to its machine's run, s", pick("machines.adopt_s"), 2, most=2),
    Row("machines_adopt_most", "machines", "the longest of 20, s", pick("machines.adopt_most_s"), 2),
    Row("machines_lost", "machines", "runs that 20 starts lost", pick("machines.lost"), most=0),
    Row("machines_mb", "machines", "memory of a machine's program, MiB", pick("machines.program_mb"), 1, most=120),
)
FEDERATION = (
    Row(
        "fed_sum",
        _FED,
        "arithmetic of a round, one owner and one aggregator, 100,000 values, sum, ms",
        pick("federation.small.sum.total"),
        1,
    ),
    Row("fed_sum_cpu", _FED, "the same, processor time, ms", pick("federation.small.sum.cpu"), 1),
    Row("fed_open", _FED, "the same, open, ms", pick("federation.small.open.total"), 1),
    Row("fed_large", _FED, "the same, 1,000,000 values, sum, ms", pick("federation.large.sum.total"), 1),
    Row("fed_large_cpu", _FED, "the same, 1,000,000 values, processor time, ms", pick("federation.large.sum.cpu"), 1),
    Row("fed_blocks", _FED, "blocks of a round", pick("federation.blocks")),
    Row(
        "fed_round",
        _FED,
        "a round, 100,000 values, sum: arithmetic and blocks, ms",
        _WithBlocks("federation.small.sum.total"),
        most=200,
    ),
    Row(
        "fed_round_open",
        _FED,
        "a round, 100,000 values, open: arithmetic and blocks, ms",
        _WithBlocks("federation.small.open.total"),
        most=100,
    ),
    Row(
        "fed_round_large",
        _FED,
        "a round, 1,000,000 values, sum: arithmetic and blocks, ms",
        _WithBlocks("federation.large.sum.total"),
        most=2_000,
    ),
    Row("fed_flower", _FED, "Flower, server and five clients, in turns, 100,000 values, ms", pick("federation.small.flower_ms"), 1),
    Row("fed_flower_large", _FED, "Flower, 1,000,000 values, ms", pick("federation.large.flower_ms"), 1),
    Row("fed_to_flower", _FED, "arithmetic / Flower's round, 100,000 values, sum", pick("federation.small.to_flower"), 2),
    Row("fed_to_flower_large", _FED, "the same, 1,000,000 values", pick("federation.large.to_flower"), 2),
    Row(
        "fed_sends",
        _FED,
        "an owner sends in a round, to three aggregators, 100,000 values, MB",
        pick("federation.small.sum.owner_sends", 1e-6),
        2,
    ),
    Row("fed_gets", _FED, "and gets: the next model, MB", pick("federation.small.sum.owner_gets", 1e-6), 2),
    Row(
        "fed_real",
        _FED,
        "a round on nine real nodes of this machine, programs not counted, 100,000 values, sum, ms",
        pick("federation_round.sum.own_ms"),
        most=200,
    ),
    Row("fed_real_open", _FED, "such a round, open, ms", pick("federation_round.open.own_ms"), most=100),
    Row("fed_real_large", _FED, "such a round, 1,000,000 values, sum, ms", pick("federation_round.large.own_ms"), most=2_000),
    Row("fed_real_cpu", _FED, "processor time of all nine in it, 100,000 values, sum, ms", pick("federation_round.sum.cpu_ms")),
    Row("fed_real_blocks", _FED, "blocks of such a round", pick("federation_round.sum.blocks")),
    Row("fed_real_block", _FED, "a transfer on the same nodes, ms", pick("federation_round.sum.block_ms"), 1),
    Row("fed_real_out", _FED, "an owner sends in it on all its links, MB", pick("federation_round.sum.owner_out", 1e-6), 2),
    Row("fed_real_in", _FED, "and gets, MB", pick("federation_round.sum.owner_in", 1e-6), 2),
    Row(
        "fed_real_step",
        _FED,
        "longest step of a node's event loop while it trains, processor time, ms",
        pick("federation_round.watched.step_ms"),
        1,
        most=5,
    ),
    Row("fed_step", _FED, "longest step of a machine on the event loop, processor time, ms", pick("federation.step_ms"), 2, most=5),
)

_DASHBOARD = "ten people at the dashboard"
DASHBOARD = (
    Row("people_none", _DASHBOARD, "finality without them, p99 ms", pick("dashboard.without_p99_ms"), 1),
    Row("people_ten", _DASHBOARD, "finality with them, in turns, p99 ms", pick("dashboard.with_p99_ms"), 1),
    Row("people_ratio", _DASHBOARD, "with / without", pick("dashboard.ratio"), 2, most=1.5),
    Row("people_page", _DASHBOARD, "a page, p50 ms", pick("dashboard.page_p50_ms"), 1),
    Row("people_page99", _DASHBOARD, "a page, p99 ms", pick("dashboard.page_p99_ms"), 1, most=1_000),
    Row("people_pages", _DASHBOARD, "pages/s, those that a stream draws anew included", pick("dashboard.pages_per_s"), 1),
    Row("people_told", _DASHBOARD, "from a block to the event of an open page, p50 ms", pick("dashboard.told_p50_ms"), 1),
    Row("people_told99", _DASHBOARD, "the same, p99 ms", pick("dashboard.told_p99_ms"), 1),
)

_ASKERS = "eight members ask for full blocks"
ASKERS = (
    Row("askers_none", _ASKERS, "finality without them, p50 ms", pick("block_askers.without_p50_ms"), 1),
    Row("askers_eight", _ASKERS, "finality with them, in turns, p50 ms", pick("block_askers.with_p50_ms"), 1),
    Row("askers_ratio", _ASKERS, "with those who ask / without, p50", pick("block_askers.ratio"), 2, most=1.5),
    Row("askers_ratio99", _ASKERS, "with those who ask / without, p99", pick("block_askers.ratio_p99"), 2),
    Row("askers_bytes", _ASKERS, "what the validators answered with, MB/s", pick("block_askers.with_mb_per_s"), 1),
    Row("askers_cores", _ASKERS, "processor time of four validators with them, cores", pick("block_askers.with_cores"), 2),
)

_BESIDE = "beside full mempools, askers, a slow link"
ATTACKED = (
    Row("full_calm", _BESIDE, "200 messages of twenty people, p95 ms", pick("full_mempools.calm_p95_ms")),
    Row("full_ratio", _BESIDE, "beside full mempools / without, p95", pick("full_mempools.ratio"), 2, most=2),
    Row("full_blocks", _BESIDE, "the same in blocks", pick("full_mempools.blocks_ratio"), 2, most=2),
    Row("full_failed", _BESIDE, "rounds that decided nothing, for each height", pick("full_mempools.full_failed"), 3),
    Row("asked_quiet", _BESIDE, "finality while nobody asks, p50 ms", pick("askers.quiet_p50_ms"), 1),
    Row("asked_ratio", _BESIDE, "while three members ask 6,000 times a second / quiet", pick("askers.asked_ratio"), 2),
    Row("flooded_ratio", _BESIDE, "while one sends all that it can / quiet", pick("askers.flooded_ratio"), 2),
    Row("flood_load", _BESIDE, "processor time of that one, % of a core", pick("askers.flood_cores", 100)),
    Row("asked_grew", _BESIDE, "most that a validator grew meanwhile, MB", pick("askers.grew_mb"), most=50),
    Row("slow_ratio", _BESIDE, "finality with a validator behind 200 ms / none, p50", pick("slow_link.p50_ratio"), 2, most=2),
    Row("slow_p95", _BESIDE, "finality with it, p95 ms", pick("slow_link.slow_p95_ms")),
    Row("slow_turns", _BESIDE, "of its turns, those that have its block", pick("slow_link.slow_turns_taken"), 2, least=0.5),
)

ROWS = (*LIMITS, *THROUGHPUT, *FINALITY, *OTHERS, *MACHINES, *FEDERATION, *DASHBOARD, *ASKERS, *ATTACKED)
