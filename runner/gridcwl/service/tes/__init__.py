"""GA4GH TES 1.1: tasks of other workflow engines, each one job on the service's backend.

A task becomes a CWL document of one tool (``document.py``) and a run in the queue, so that it has all that runs have:
its owner and groups, limits, a journal, resuming. ``delivery.py`` brings its outputs to the URLs that the task names.
"""
