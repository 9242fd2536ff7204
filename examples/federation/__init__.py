"""Images that owners of data train together (docs/federation.md): each program runs in the container, `build` makes what is posted.

logistic    breast cancer, logistic regression: Python and numpy
layer       breast cancer, a network of one hidden layer, numpy: large enough to be summed in secret
tables      breast cancer, or German credit: a network of one hidden layer, torch
pictures    digits: two convolutions and a layer, torch
federated   what they share: models as safetensors, the phases `local`, `evaluate` and `predict`
build       the image, the initial model, the schema of the owners' data
deal        one data set as that of several owners, who do not see the same cases
wheel       torch's build for processors alone, fetched once, into a folder of its own
"""
