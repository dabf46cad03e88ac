"""Provenance of runs: RO-Crates, lineage of files, W3C PROV, and runs that are run again to compare their outputs."""
