"""Equal bytes under the oldest numpy that nodes may have, 1.26: the vectors of federated training computed under it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "protocol_spec" / "vectors" / "federation-files.json"
OLDEST = "1.26.4"
PROGRAM = """

import json
import numpy
assert numpy.__version__ == {oldest!r}, numpy.__version__
from tests.vectors.file_vectors import federation_files
sys.stdout.write(json.dumps(federation_files(), indent=1, ensure_ascii=False) + chr(10))
"""


@pytest.mark.full("an environment of its own with numpy 1.26")
def test_vectors_are_the_same_under_the_oldest_numpy(tmp_path: Path) -> None:
    folder = tmp_path / "numpy"
    wanted = ["install", "--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", *wanted, "--target", str(folder), f"numpy=={OLDEST}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode and sys.version_info >= (3, 13):
        pytest.skip(f"numpy {OLDEST} has no build for this Python: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    program = f"import sys; sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]" + PROGRAM.format(oldest=OLDEST)
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)
    assert found.returncode == 0, found.stderr[-2_000:]
    assert found.stdout == VECTORS.read_text()
