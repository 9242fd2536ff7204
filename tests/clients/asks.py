"""Run by tritonclient's own environment: `python asks.py HOST:PORT MODEL TOKEN_FILE`. Prints what it found as JSON."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as triton  # type: ignore[import-not-found]


def main(url: str, model: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    client = triton.InferenceServerClient(url)
    found: dict[str, Any] = {
        "live": client.is_server_live(headers=dict(headers)),
        "ready": client.is_server_ready(headers=dict(headers)),
        "model_ready": client.is_model_ready(model, headers=dict(headers)),
        "server": client.get_server_metadata(headers=dict(headers)),
        "model": client.get_model_metadata(model, headers=dict(headers)),
    }
    x, n = np.array([[0.5, 1], [2.25, -3]], dtype=np.float32), np.array([7, -8], dtype=np.int64)
    for name, packed in (("defaults", None), ("gzip", "gzip"), ("deflate", "deflate"), ("json", None)):
        inputs = [triton.InferInput("x", [2, 2], "FP32"), triton.InferInput("n", [2], "INT64")]
        binary = name != "json"
        inputs[0].set_data_from_numpy(x, binary_data=binary)
        inputs[1].set_data_from_numpy(n, binary_data=binary)
        outputs = None if binary else [triton.InferRequestedOutput("score", binary_data=False)]
        result = client.infer(model, inputs, outputs=outputs, headers=dict(headers), request_compression_algorithm=packed)
        names = ("class", "score", "agree") if binary else ("score",)
        found[name] = {one: result.as_numpy(one).tolist() for one in names}
        found["paid"] = [*found.get("paid", []), result.get_response()["parameters"]]
    inputs[0].set_data_from_numpy(x * 1000)
    try:
        client.infer(model, inputs, headers=dict(headers))
    except triton.InferenceServerException as refusal:
        found["refusal"] = [refusal.status(), refusal.message()]
    try:
        client.infer(model, inputs)
    except triton.InferenceServerException as refusal:
        found["stranger"] = refusal.status()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_text().strip())
