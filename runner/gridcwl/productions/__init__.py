"""Productions: one document over a growing list of inputs or seeds, in portions, each of which is a run."""
