"""What a node does by itself about jobs: worker, verifier, contractor, clean-up. Pure machines and their helpers."""
