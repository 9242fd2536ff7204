#!/usr/local/bin/python3
"""Which digit is it? Two convolutions and a layer over 8 x 8 pixels, in torch."""

from typing import Any

import numpy as np
import torch

from learningchain.examples.federation.federated import Floats, Model, main

SIDE = 8


def network(model: Model) -> torch.nn.Sequential:
    few, many = len(model["0.bias"]), len(model["2.bias"])
    parts = [torch.nn.Conv2d(1, few, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(few, many, 3, padding=1), torch.nn.ReLU()]
    found = torch.nn.Sequential(*parts, torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(many * 16, 10))
    found.load_state_dict({name: torch.from_numpy(values) for name, values in model.items()})
    return found


def pixels(rows: Floats) -> torch.Tensor:
    """Without the last feature of a row, which is always 1."""
    return torch.from_numpy(rows[:, : SIDE * SIDE].reshape(-1, 1, SIDE, SIDE))


def train(model: Model, rows: Floats, truths: Floats, job: dict[str, Any]) -> Model:
    steps, rate, batch = (job["params"].get(name, usual) for name, usual in (("steps", 40), ("rate", 0.2), ("batch", 32)))
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"] % 2**63)
    net, x, y = network(model), pixels(rows).float(), torch.from_numpy(truths).long()
    for _ in range(steps):
        taken = torch.randint(len(x), (batch,))
        net.zero_grad()
        torch.nn.functional.cross_entropy(net(x[taken]), y[taken]).backward()
        with torch.no_grad():
            for values in net.parameters():
                values -= rate * values.grad
    return {name: values.numpy() for name, values in net.state_dict().items()}


def losses(model: Model, rows: Floats, truths: Floats) -> Floats:
    torch.set_num_threads(1)
    with torch.no_grad():
        scores = network(model).double()(pixels(rows))
        lost: Floats = torch.nn.functional.cross_entropy(scores, torch.from_numpy(truths).long(), reduction="none").numpy()
    return lost


def answer(model: Model, row: list[float]) -> tuple[int, float]:
    """The score is by how much the digit is ahead of the second one."""
    with torch.no_grad():
        scores = network(model).double()(pixels(np.array([row])))[0]
    first, second = torch.topk(scores, 2).values.tolist()
    return int(scores.argmax()), first - second


if __name__ == "__main__":
    main(train, losses, answer)
