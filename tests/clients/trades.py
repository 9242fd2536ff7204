"""Run by the generator's own environment: `python trades.py URL MODEL TOKEN_FILE FOLDER`, where FOLDER holds what was generated.
Reads what the node says of itself, posts a job, asks a model both ways. Prints what it found as JSON."""

import json
import sys
from pathlib import Path


def main(url: str, model: str, token: str, folder: str) -> None:
    sys.path.insert(0, folder)
    from generated import AuthenticatedClient  # type: ignore[import-not-found]
    from generated.api.job import get_job, post_job  # type: ignore[import-not-found]
    from generated.api.ops import get_status  # type: ignore[import-not-found]
    from generated.api.prediction import get_prediction, post_inference, post_prediction  # type: ignore[import-not-found]
    from generated.models import (  # type: ignore[import-not-found]
        ImageRequest,
        InferenceBody,
        InferenceTensor,
        JobRequest,
        JobRequestParams,
        PredictionRequest,
    )

    params = JobRequestParams()
    params["epochs"] = 5
    image = ImageRequest(reference=f"registry.example/job@sha256:{'ab' * 32}")
    job = JobRequest(image=image, bounty="1", expires_in_s=3600, params=params)
    tensors = [
        InferenceTensor(name="x", datatype="FP32", shape=[1, 2], data=[[0.5, 1]]),
        InferenceTensor(name="n", datatype="INT64", shape=[1], data=[7]),
    ]
    with AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True, timeout=60) as client:
        status = get_status.sync(client=client)
        posted = post_job.sync(client=client, body=job, wait=20)
        shown = get_job.sync(posted.job, client=client)
        answer = post_inference.sync(model, client=client, body=InferenceBody(inputs=tensors))
        asked = post_prediction.sync(client=client, body=PredictionRequest(model=model, rows=[[[0.5, 1], 7]], n=3), wait=20)
        request = get_prediction.sync(asked.request, client=client)
    found = {
        "network": status.network,
        "job": [posted.status, shown.state, shown.bounty, shown.terms.params],
        "answer": {one.name: one.data for one in answer.outputs},
        "asked": [asked.status, request.n, request.rows],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    url, model, token, folder = sys.argv[1:]
    main(url, model, Path(token).read_text().strip(), folder)
