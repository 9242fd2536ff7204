#!/usr/local/bin/python3
"""A job in torch as docs/gpus.md advises: it trains on a GPU where there is one, and evaluates on processors.

Its model says how long its training took, on what, and the losses that it has there; where an evaluation finds a GPU, it fails.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch

WIDTH, CLASSES, TRAINED, JUDGED, BATCH = 256, 10, 32_768, 2_000, 4_096
LAYERS = ((WIDTH, 2_048), (2_048, 2_048), (2_048, CLASSES))


def examples(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points, and the class of each: the largest of ten functions that one layer cannot be."""
    rules = torch.randn(2 * WIDTH, CLASSES, generator=torch.Generator().manual_seed(0))
    points = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))
    return points, (torch.cat([points, points.abs()], 1) @ rules).argmax(1)


def losses(model: list[torch.Tensor], points: torch.Tensor, classes: torch.Tensor, reduction: str = "none") -> torch.Tensor:
    for number in range(0, len(model), 2):
        points = points @ model[number] + model[number + 1]
        if number + 2 < len(model):
            points = points.relu()
    return torch.nn.functional.cross_entropy(points, classes, reduction=reduction)


def train(steps: int) -> dict[str, object]:
    began, device = time.monotonic(), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    draw = torch.Generator().manual_seed(1)
    model = [part for here, there in LAYERS for part in (torch.randn(here, there, generator=draw) / here**0.5, torch.zeros(there))]
    model = [part.to(device).requires_grad_() for part in model]
    points, classes = (part.to(device) for part in examples(TRAINED, 2))
    speeds = [torch.zeros_like(part) for part in model]
    ready = time.monotonic()
    for step in range(steps):
        at = step * BATCH % TRAINED
        loss = losses(model, points[at : at + BATCH], classes[at : at + BATCH], "mean")
        for part, speed, slope in zip(model, speeds, torch.autograd.grad(loss, model), strict=True):
            speed.mul_(0.9).add_(slope)
            part.data.sub_(speed, alpha=0.05)
        if step % 20 == 0:
            print(json.dumps({"step": step, "loss": loss.item()}), flush=True)
    last, ended = loss.item(), time.monotonic()
    with torch.no_grad():
        here = losses(model, *(part.to(device) for part in examples(JUDGED, 3))).cpu()
    told = {
        "ready": ready - began,
        "steps": ended - ready,
        "last": last,
        "threads": torch.get_num_threads(),
    }
    maps = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    told["driver"] = sorted(path for path in maps if path.startswith(("/usr/lib/libcuda", "/usr/lib/libnvidia", "/dev/nvidia")))
    name = torch.cuda.get_device_name(0) if device.type == "cuda" else "cpu"
    return {"model": [part.detach().cpu() for part in model], "losses": here, "told": json.dumps(told | {"device": name})}


def main(phase: str) -> int:
    job = json.loads(Path("/lc/in/job.json").read_bytes())
    torch.set_num_threads(job["threads"])
    if phase == "train":
        torch.save(train(job["params"]["steps"]), "/lc/out/model")
        return 0
    if torch.cuda.is_available() or any(name.startswith("nvidia") for name in os.listdir("/dev")):
        return 1
    model = torch.load("/lc/in/model", weights_only=True)["model"]
    with torch.no_grad():
        lines = losses(model, *examples(JUDGED, 3)).tolist()
    Path("/lc/out/losses").write_text("".join(f"{abs(line):.9f}\n" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
