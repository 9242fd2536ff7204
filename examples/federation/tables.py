#!/usr/local/bin/python3
"""Benign or paid back (1) or not (0): a network of one hidden layer over the rows of a table, in torch."""

from typing import Any

import torch

from learningchain.examples.federation.federated import Floats, Model, main


def network(model: Model) -> torch.nn.Sequential:
    hidden, width = model["0.weight"].shape
    found = torch.nn.Sequential(torch.nn.Linear(width, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 1))
    found.load_state_dict({name: torch.from_numpy(values) for name, values in model.items()})
    return found


def train(model: Model, rows: Floats, truths: Floats, job: dict[str, Any]) -> Model:
    steps, rate, batch = (job["params"].get(name, usual) for name, usual in (("steps", 40), ("rate", 0.3), ("batch", 16)))
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"] % 2**63)
    net, x, y = network(model), torch.from_numpy(rows).float(), torch.from_numpy(truths).float()
    for _ in range(steps):
        taken = torch.randint(len(x), (batch,))
        net.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(net(x[taken])[:, 0], y[taken]).backward()
        with torch.no_grad():
            for values in net.parameters():
                values -= rate * values.grad
    return {name: values.numpy() for name, values in net.state_dict().items()}


def losses(model: Model, rows: Floats, truths: Floats) -> Floats:
    torch.set_num_threads(1)
    with torch.no_grad():
        scores = network(model).double()(torch.from_numpy(rows))[:, 0]
        lost: Floats = torch.nn.functional.binary_cross_entropy_with_logits(
            scores, torch.from_numpy(truths), reduction="none"
        ).numpy()
    return lost


def answer(model: Model, row: list[float]) -> tuple[int, float]:
    """The score is the logarithm of the odds."""
    with torch.no_grad():
        score = network(model).double()(torch.tensor([row], dtype=torch.float64)).item()
    return int(score > 0), score


if __name__ == "__main__":
    main(train, losses, answer)
