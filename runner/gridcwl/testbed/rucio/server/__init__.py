"""Scripts that run inside Rucio's own environment: they import rucio's server and the standard library, not gridcwl."""
