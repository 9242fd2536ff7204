"""A job at a real MLflow server, installed in an environment of its own: what `job fetch --mlflow` logs is read back by its API."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from learningchain.client.contracts.job.cli.mlflow import log_job
from tests.processes.harness import free_port
from tests.unit.client_fake_api import FINISHED, MODEL, RUN

INSTALL_S, START_S = 600, 120
pytestmark = [
    pytest.mark.full("it installs an MLflow server; unit/test_client_cli_jobs.py has the requests that it gets"),
    pytest.mark.timeout(INSTALL_S + START_S + 60),
]


def read(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def test_a_job_is_a_run_with_its_curve_and_its_model(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=INSTALL_S)
    install = [str(python), "-m", "pip", "install", "--quiet", "--only-binary=:all:", "mlflow>=3,<4"]
    done = subprocess.run(install, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode:
        pytest.skip(f"mlflow cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
    (tmp_path / "model").write_bytes(MODEL)
    url = f"http://127.0.0.1:{(port := free_port())}"
    places = ["--backend-store-uri", f"sqlite:///{tmp_path}/runs.db", "--artifacts-destination", str(tmp_path / "files")]
    words = [str(python), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *places]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log, cwd=tmp_path) as server:
        try:
            ends = time.monotonic() + START_S
            while True:
                try:
                    assert read(f"{url}/health") == b"OK"
                    break
                except OSError:
                    assert time.monotonic() < ends and server.poll() is None, (tmp_path / "log").read_text()[-2_000:]
                    time.sleep(0.2)
            run: Any = log_job(url, FINISHED, [RUN], tmp_path / "model", name="digits")  # type: ignore[arg-type]
            found = json.loads(read(f"{url}/api/2.0/mlflow/runs/get?run_id={run}"))["run"]
            curve = f"{url}/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=run_r-17_loss"
            points = json.loads(read(curve))["metrics"]
            place = found["info"]["artifact_uri"].removeprefix("mlflow-artifacts:").strip("/")
            kept = read(f"{url}/api/2.0/mlflow-artifacts/artifacts/{place}/model/model")
        finally:
            server.terminate()
    assert (found["info"]["status"], found["info"]["run_name"]) == ("FINISHED", "digits")
    assert {"key": "bounty", "value": "100"} in found["data"]["params"]
    assert [(point["step"], point["value"]) for point in points] == [(1, 0.5), (2, 0.2)]
    assert kept == MODEL
