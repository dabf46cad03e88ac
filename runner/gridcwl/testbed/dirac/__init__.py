"""DIRAC 9.1 on this machine: database, services, optimizers, sites with pilots, and DiracX in front of it by option.

What runs inside DIRAC's own environment is in :mod:`gridcwl.testbed.dirac.inside`; the rest runs wherever gridcwl does.
"""
