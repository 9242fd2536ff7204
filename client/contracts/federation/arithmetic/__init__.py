"""The arithmetic of federated training: tensors, updates, masks, noise, sums, rules, vaults. It needs numpy alone."""
