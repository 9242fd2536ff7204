"""A client of the Open Inference Protocol that nobody here wrote, tritonclient[http], with its defaults, in an environment of its
own, asks a model of the graph. `tests/unit/test_api_inference.py` sends what it sends, without installing it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.environments import environment
from tests.unit.api_kit import TOKEN, serving
from tests.unit.test_api_inference import Graph, playing

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
ASK_S = 60.0


@pytest.mark.full("it installs a package; test_api_inference.py sends what it sends")
async def test_tritonclient_asks_with_its_defaults(tmp_path: Path) -> None:
    python = await asyncio.to_thread(environment, REQUIREMENTS, "tritonclient")
    (tmp_path / "token").write_text(TOKEN)
    async with serving(tmp_path) as api:
        graph = Graph(api)
        name = await graph.register()
        async with playing(graph):
            asked = [str(python), str(HERE / "asks.py"), f"127.0.0.1:{api.port}", name, str(tmp_path / "token")]
            environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
            process = await asyncio.create_subprocess_exec(
                *asked, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environ, cwd=tmp_path
            )
            out, err = await asyncio.wait_for(process.communicate(), ASK_S)
        assert process.returncode == 0, err.decode()
        found = json.loads(out)
        assert found["live"] and found["ready"] and found["model_ready"]
        assert found["server"]["extensions"] == ["binary_tensor_data"]
        assert [one["name"] for one in found["model"]["inputs"]] == ["x", "n"]
        values = {"class": [1, 0], "score": [1.500000007, -0.750000008], "agree": [3, 3]}
        assert found["defaults"] == found["gzip"] == found["deflate"] == values
        assert found["json"] == {"score": values["score"]}
        status, why = found["refusal"]
        assert status == "400"
        assert "row 1, x[0]: 500.0 is not a number from -100 to 100" in why
        assert found["stranger"] == "401" and len({one["id"] for one in found["paid"]}) == 4
