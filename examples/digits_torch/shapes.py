"""The tensors of a model: those of `examples/federation/pictures.py`. Without torch, for whoever reads a model elsewhere."""

SHAPES = {"0.weight": [8, 1, 3, 3], "0.bias": [8], "2.weight": [16, 8, 3, 3], "2.bias": [16], "6.weight": [10, 256], "6.bias": [10]}
