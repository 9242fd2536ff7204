"""The bill of materials as others read it: by the schema of CycloneDX and a validator that nobody here wrote, in an
environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from scripts.packages.__main__ import make
from tests.environments import environment

HERE = Path(__file__).parent
VALIDATE_S = 120.0


def validated(python: Path, *files: Path) -> dict[str, str | None]:
    """What is wrong with each file, by its name."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [str(python), "-I", str(HERE / "validates.py"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=VALIDATE_S, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str | None] = json.loads(done.stdout)
    return {Path(name).name: fault for name, fault in found.items()}


@pytest.mark.full("it installs a validator; tests/unit/test_packages.py reads what the bill says")
def test_the_bill_of_materials_is_valid_by_its_schema(tmp_path: Path) -> None:
    python = environment(HERE / "validator.txt", "cyclonedx-python-lib")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        make(tmp_path / "dist")
    (bill,) = (tmp_path / "dist").glob("*.cdx.json")
    document = json.loads(bill.read_text())
    assert document["specVersion"] == "1.6" and document["components"]
    unknown, wrong = tmp_path / "unknown.json", tmp_path / "wrong.json"
    unknown.write_text(json.dumps(document | {"invented": 1}))
    document["components"][0]["hashes"] = [{"alg": "SHA-256", "content": "no digest"}]
    wrong.write_text(json.dumps(document))
    found = validated(python, bill, unknown, wrong)
    assert found[bill.name] is None
    assert "invented" in str(found["unknown.json"]) and "no digest" in str(found["wrong.json"]), "the validator looks"
