"""A job in torch: a convolutional network that reads handwritten digits. job.py runs in the container, build.py makes its image."""
