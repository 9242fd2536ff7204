"""What a job of Slurm does without Docker: tries to break its own sandbox, then runs a container without end. Each step is a line
of JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from learningchain.sandbox import BackendSettings, ContainerLimits, RunSpec
from learningchain.sandbox.oci.service import OciSandbox


def say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def main(folder: Path, archive: Path, image_id: str) -> None:
    sandbox = OciSandbox(BackendSettings(data=folder, node_tag="lease"))
    engine = sandbox.check_engine()
    say(cpus=engine.cpus, mem_mb=engine.mem_mb)
    say(failures=[f"{check.name}: {check.detail}" for check in sandbox.self_test().failures])
    image = sandbox.load_archive(archive, image_id)
    limits = ContainerLimits(cpus=0.5, mem_mb=64, model_cap=1_000, tmp_mb=8)
    spec = RunSpec(run_id="train-1", image_id=image, phase="train", seed=1, budget_s=500, params='{"train": 500}', limits=limits)
    say(ended=sandbox.run(spec, on_progress=lambda progress: say(step=progress.step)).reason)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
