"""Jobs as tasks of a Dask cluster: an existing one, one on this machine, or one that a batch system starts."""
