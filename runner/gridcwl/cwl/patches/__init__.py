"""All that replaces or relies on the internals of cwltool, schema-salad and cwl-utils; no other module does.

One module for each thing that is replaced. Its docstring says why, and when it can be dropped; its ``UPSTREAM`` names
the upstream lines at the pinned versions, with a digest of their source. When a version is raised, a test names the
patches to check: read what changed, adapt or drop the patch, then record the new line and digest.
"""

from __future__ import annotations


def apply() -> None:
    """Put the patches in place, in this process: cwltool then reads and evaluates documents as gridcwl needs it."""
    from gridcwl.cwl.patches import (
        bind_input,
        enum_symbols,
        error_messages,
        expression_scanner,
        input_copies,
        loader,
        object_walks,
        shared_processes,
        supported_requirements,
    )

    reading = (enum_symbols, error_messages, expression_scanner, loader, shared_processes, supported_requirements)
    for patch in (bind_input, input_copies, object_walks, *reading):
        patch.apply()
