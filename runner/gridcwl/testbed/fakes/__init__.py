"""Rucio and DIRAC in this process: what gridcwl asks of them, without a server, in microseconds.

For testing a workflow's wiring. One suite of contract tests runs on each fake and on the real server of the testbed.
"""
