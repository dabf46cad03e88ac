"""A real Rucio and a real DIRAC on this machine, with certificates and tokens that are worth nothing elsewhere.

For trying gridcwl out and for its tests; ``gridcwl testbed up`` on the command line, ``gridcwl.testbed.pytest`` for
tests, ``gridcwl.testbed.fakes`` for a Rucio and a DIRAC without a server. Never imported by a run.
"""
