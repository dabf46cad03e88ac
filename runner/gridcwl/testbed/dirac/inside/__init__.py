"""Programs that run in the environment of the testbed's DIRAC, not in gridcwl's.

They import DIRAC and the standard library, and are started as ``python -m gridcwl.testbed.dirac.inside.<name>`` with
this package on PYTHONPATH and nothing of gridcwl's dependencies beside it.
"""
