"""The fault campaign: generated workflows whose clients, workers, containers and servers are killed and frozen.

``python -m campaign`` (``make campaign``) runs trials until its time is over; see ``docs/reference/endurance.md``.

    documents     a seed -> a workflow, its inputs and files; each tool writes to the witness
    witness       what tools have written: starts and ends, outside of gridcwl's reach
    combinations  backends and stores, with the fakes, clusters and testbeds that they need
    clients       gridcwl's command line in processes of their own, forked from one that has imported everything
    preload       a library in these processes: they end before the n-th system call, and their clocks can be set
    faults        what goes wrong, to whom
    invariants    what has to hold whatever goes wrong
    trials        one workflow, a few faults, resumed until it is done
    crash_points  one run for each system call that changes something, ended just before it
    report        counts, as JSON lines and as a page of the documentation
"""
