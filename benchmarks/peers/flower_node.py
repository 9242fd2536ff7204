"""Flower's server, or one client, in Flower's own environment: `flower_node.py server|client PORT OWNERS DIMS ROUNDS`.

The server begins a round when it reads a line, and writes one with the milliseconds that the round took.
"""

import json
import sys
import time
from typing import Any

import flwr
import numpy as np
from flwr.common import ndarrays_to_parameters
from flwr.server.strategy import FedAvg


class Turns(FedAvg):  # type: ignore[misc]
    """Plain FedAvg that waits for its turn."""

    def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> Any:
        client_manager.wait_for(self.min_available_clients, 60)
        if not sys.stdin.readline():
            raise SystemExit
        self.began = time.perf_counter()
        return super().configure_fit(server_round, parameters, client_manager)

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
        found = super().aggregate_fit(server_round, results, failures)
        spent = 1_000 * (time.perf_counter() - self.began)
        if failures or len(results) != self.min_fit_clients:
            raise SystemExit(f"{len(results)} results, {len(failures)} failures")
        print(json.dumps({"ms": spent}), flush=True)
        return found


class Owner(flwr.client.NumPyClient):  # type: ignore[misc]
    def fit(self, parameters: Any, config: Any) -> Any:
        return [part + np.float32(0.001) for part in parameters], 1, {}


def main(role: str, port: int, owners: int, dims: int, rounds: int) -> None:
    address = f"127.0.0.1:{port}"
    if role == "client":
        flwr.client.start_client(server_address=address, client=Owner().to_client(), max_wait_time=60)
        return
    counts = {"min_fit_clients": owners, "min_available_clients": owners, "fraction_fit": 1.0, "fraction_evaluate": 0.0}
    strategy = Turns(**counts, initial_parameters=ndarrays_to_parameters([np.zeros(dims, np.float32)]))
    flwr.server.start_server(server_address=address, config=flwr.server.ServerConfig(num_rounds=rounds), strategy=strategy)


if __name__ == "__main__":
    main(sys.argv[1], *(int(one) for one in sys.argv[2:]))
