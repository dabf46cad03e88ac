"""gridcwl: run CWL workflows with every step a job, on the DIRAC grid or in a container here."""

__version__ = "0.1.0.dev0"
