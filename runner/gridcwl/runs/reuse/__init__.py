"""Results of earlier jobs: job keys, checksums of inputs, caches, and a forecast of what a run would reuse."""
