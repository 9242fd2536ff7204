"""The demo's job: reads handwritten digits. job.py runs in the container, build.py makes its image, use.py uses a model."""
