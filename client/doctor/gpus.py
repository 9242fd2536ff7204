"""What gives GPUs to containers beside the engine: NVIDIA's container toolkit, by its own word.

A node runs none of its hooks. Other containers of the same engine may: so one that an image can turn against this machine is told,
whoever would start it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

from learningchain.client.config import gpus_without_cluster
from learningchain.client.doctor.findings import DoctorFinding, fine, skipped, warning

TOOL: Final = "nvidia-ctk"
VENDOR: Final = "nvidia.com/"
ASK_S: Final = 5.0
REPAIRED: Final = (1, 17, 8)
"""The first toolkit without CVE-2025-23266: before it, an image made one of its hooks load a library, as root on the machine."""
_VERSION: Final = re.compile(r"\bversion v?(\d{1,4})\.(\d{1,4})\.(\d{1,4})")


def look_at_toolkit(gpus: Sequence[str]) -> list[DoctorFinding]:
    """`gpus`: what `work.gpus` says. Where it names none of NVIDIA's, nothing is asked."""
    if not any(one.startswith(VENDOR) for one in gpus):
        return []
    if (tool := shutil.which(TOOL)) is None:
        return [skipped("gpu-toolkit", f"there is no {TOOL} here: which toolkit wrote the CDI file is not known")]
    try:
        done = subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=ASK_S, check=False, errors="replace")
        said = done.stdout
    except (OSError, subprocess.TimeoutExpired) as problem:
        said = str(problem)
    return [judge_toolkit(said)]


def look_at_cluster(gpus: Sequence[str], kind: str) -> list[DoctorFinding]:
    """Of the GPUs of Slurm in `work.gpus`, those that no cluster gives. `kind`: what `cluster.kind` says."""
    remedy = "learningchain config set cluster.kind slurm (docs/slurm.md)"
    return [warning("gpus", why, remedy) for why in gpus_without_cluster(gpus, kind).values()]


def judge_toolkit(said: str) -> DoctorFinding:
    """`said`: what the tool says of its version."""
    found = _VERSION.search(said)
    if found is None:
        words = " ".join(said.split())[:80] or "nothing"
        return warning("gpu-toolkit", f"{TOOL} --version says {words}: no version", "Look at its packages")
    version = tuple(int(part) for part in found.groups())
    name = f"NVIDIA's container toolkit {'.'.join(map(str, version))}"
    if version < REPAIRED:
        least = ".".join(map(str, REPAIRED))
        why = f"{name}: an image can turn its hooks against this machine (CVE-2025-23266). This node runs none; others may"
        return warning(
            "gpu-toolkit", why, f"Install {least} or a later one, then make the CDI file anew without hooks (docs/gpus.md)"
        )
    return fine("gpu-toolkit", name)
