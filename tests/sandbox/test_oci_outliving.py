"""A training under crun whose node is gone, and comes back: the engine that the node had started goes on without it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from learningchain.sandbox.images import build_python_image
from learningchain.sandbox.spec import dump_run

from .conftest import JOB
from .oci_room import AS_NOBODY, DELEGATED, NOBODY, groups, readable
from .test_outliving import ROOT, node, training

pytestmark = [
    pytest.mark.skipif(shutil.which("crun") is None, reason="there is no crun: apt-get install crun"),
    pytest.mark.full("Docker's does so every time, by the same code; here the engine has to outlive whoever started it, too"),
]

HEIR = """
import json, sys
from pathlib import Path
from learningchain.sandbox import BackendSettings, make_backend
from learningchain.sandbox.spec import load_run
folder, tag, image, spec = sys.argv[1:]
run, steps = load_run(spec.encode()), []
room = make_backend("oci", BackendSettings(data=Path(folder), node_tag=tag))
report = room.cleanup(keep_images=[image], keep_runs=[run])
result = room.run(run, on_progress=lambda progress: steps.append(progress.step))
told = {"runs": report.runs, "lost": report.lost_runs, "problems": report.problems + room.cleanup().problems, "steps": steps}
told |= {"status": result.status.value, "model": result.outputs["model"].path.read_text()}
room.close()
print(json.dumps(told))
"""
"""The next process of the node: it goes on with the training, to its end."""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGUSR1])
def test_a_training_goes_on_with_the_next_start_of_its_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: signal.Signals
) -> None:
    """Its model is that of all its steps, of which the second process sees the later ones alone."""
    place, image_file = Path(f"/tmp/lc-oci-outliving-{os.getpid()}-{end}"), tmp_path / "hostile.tar"
    image = build_python_image(image_file, {"/lc/job": JOB.read_bytes()}, with_packages=())
    spec = training(image, steps_s=6)
    place.mkdir()
    monkeypatch.setenv("BACKEND", "oci")
    monkeypatch.setenv("TMPDIR", "/tmp")
    try:
        archive = Path(shutil.copy(image_file, place)), image
        os.chown(place, NOBODY, NOBODY)
        with groups(DELEGATED, NOBODY) as enter, readable(monkeypatch):
            nobody = ["/bin/sh", "-c", f'{enter}{AS_NOBODY.rpartition(" /")[0]} "$@"', "sh"]
            with node(place / "data", "outlive", archive, spec, nobody) as process:
                process.send_signal(end)
                process.wait()
            words = [*nobody, sys.executable, "-c", HEIR, str(place / "data"), "outlive", image, dump_run(spec).decode()]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        steps = told.pop("steps")
        assert told == {"runs": ["t"], "lost": [], "problems": [], "status": "ok", "model": "trained for 60 steps"}, done.stderr
        assert steps[0] > 1 and steps[-1] == 60
    finally:
        shutil.rmtree(place)
