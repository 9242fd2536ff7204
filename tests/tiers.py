"""What of a long list of cases every run takes, and what only `make test-full` does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def sampled(cases: Iterable[Any], every: int, why: str) -> list[Any]:
    """Parameters for pytest: each `every`-th case as it is, the others marked `full` with `why`."""
    mark = pytest.mark.full(why)
    return [case if index % every == 0 else pytest.param(case, marks=mark) for index, case in enumerate(cases)]


SECOND: dict[str, str] = {
    "tests/apifuzz": "schemathesis asks a node for minutes; the tests of the API hold the document against the answers",
    "tests/browser": "it brings Chromium; unit/test_dashboard.py has every page without one",
    "tests/clients": "it installs packages; unit/test_api_inference.py sends what tritonclient sends",
    "tests/packages": "it installs a validator, type checkers, a packer; unit/test_packages.py reads the same wheel",
    "tests/packaging": "a Debian, an image and six nodes in containers; unit/test_packaging_files.py reads the same files",
    "tests/soak": "it draws what it does at which moment; the simulator draws the same from seeds",
    "tests/processes/test_bad_start.py": "unit/test_storage_guard.py and test_client_daemon.py refuse the same",
    "tests/processes/test_backup.py": "unit/test_backup.py puts keys and settings back",
    "tests/processes/test_callbacks.py": "unit/test_callbacks_delivery.py has servers that fail, hang and redirect, and kills",
    "tests/processes/test_cold_key.py": "unit/test_client_offline.py signs on a machine without network",
    "tests/processes/test_damage.py": "unit/test_storage_blockstore.py finds each damaged byte",
    "tests/processes/test_demo.py": "processes/test_main_job.py has a job to its payment and a cheater to its ban",
    "tests/processes/test_doctor.py": "unit/test_client_doctor.py has every finding",
    "tests/processes/test_doors.py": "unit/test_api_http_listener.py has the bounds of each door",
    "tests/processes/test_engine_gone.py": "unit/test_work_engine_watch.py has an engine that goes, hangs and comes back",
    "tests/processes/test_fed_surface.py": "unit/test_api_federations.py asks the same; test_federation.py trains",
    "tests/processes/test_governance.py": "sim/test_governance.py in virtual time; processes/test_joining.py has a vote",
    "tests/processes/test_hidden.py": "unit/test_work_hidden.py and unit/test_job_verdicts.py",
    "tests/processes/test_hoarders.py": "sim/attacks has the hoarder in virtual time; unit/test_node_mempool.py the bounds",
    "tests/processes/test_hostile.py": "sandbox/hostile has its programs, processes/test_main_job.py a job in containers",
    "tests/processes/test_keys.py": "unit/test_keys.py and unit/test_keys_rules.py",
    "tests/processes/test_lan.py": "unit/test_p2p_lan.py",
    "tests/processes/test_long_range.py": "unit/test_node_ancestry.py has forgers of each kind",
    "tests/processes/test_machines_cut.py": "unit/test_machines.py has a connection that is lost for a moment, and for good",
    "tests/processes/test_machines_typed.py": "test_machines.py types the first lines; unit/test_machines_trusted.py measures",
    "tests/processes/test_moves.py": "unit/test_p2p_moves.py",
    "tests/processes/test_nat.py": "unit/test_p2p_lan.py has addresses, unit/test_p2p_transport.py",
    "tests/processes/test_partition.py": "sim/test_sim.py cuts graphs in two in virtual time",
    "tests/processes/test_pruning.py": "unit/test_client_pruning.py and unit/test_storage_pruning.py",
    "tests/processes/test_questions.py": "sim/attacks has the flooder in virtual time",
    "tests/processes/test_readme.py": "its jobs end by the clock; test_main_job.py types what README has for a job",
    "tests/processes/test_receipts.py": "unit/test_receipt_files.py flips every byte, every third through verify.py",
    "tests/processes/test_restart.py": "unit/test_ledger_restart.py",
    "tests/processes/test_signer.py": "unit/test_signer.py",
    "tests/processes/test_slow_link.py": "sim/test_sim.py has slow links in virtual time",
    "tests/processes/test_snapshot.py": "unit/test_node_snapshot.py and the simulator",
    "tests/processes/test_sync.py": "unit/test_node_sync.py and the simulator",
    "tests/processes/test_torch_job.py": "an image of 686 MB; test_main_job.py has a job, unit/test_examples_build.py its files",
    "tests/sandbox/hostile/test_archives.py": "unit/test_sandbox_hostile.py refuses the same archives without an engine",
    "tests/sandbox/hostile/test_runtimes.py": "sandbox/test_engine.py has the self-test under runc",
    "tests/sandbox/test_alike.py": "sandbox/test_backend.py runs both phases",
    "tests/sandbox/test_differential.py": "unit/test_sandbox_guard.py has the guard's cases",
    "tests/sandbox/test_examples.py": "unit/test_examples_tables.py and unit/test_examples_federation.py run the same programs",
    "tests/sandbox/test_federation_rounds.py": "processes/test_federation.py has rounds on real nodes",
    "tests/sandbox/test_job_tools.py": "unit/test_client_cli_jobs.py; sandbox/test_readme_jobs.py runs README's jobs",
    "tests/sandbox/test_pull.py": "unit/test_sandbox_images.py; it fills a disk",
    "tests/sandbox/test_warm_pool.py": "sandbox/test_backend.py has warm runs, processes/test_predictions.py real servers",
    "tests/sandbox/test_work_real.py": "processes/test_main_job.py has a real job from posting to payment",
    "tests/sim/test_mutants.py": "it asks whether the simulator would notice a fault; the simulator itself runs",
}
"""Files and folders that are left to `make test-full` as a whole, each with what stands for it in `make test`."""


def left(path: str) -> str | None:
    """Why this file is in the second tier; None where it is not."""
    return next((why for name, why in SECOND.items() if path == name or path.startswith(f"{name}/")), None)
