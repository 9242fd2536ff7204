"""The client's side of the contract `keys`."""
