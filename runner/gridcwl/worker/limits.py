"""How much a worker takes of what a tool left. ``gridcwl.model.limits`` has all other limits."""

from __future__ import annotations

KIB, MIB = 1 << 10, 1 << 20

OUTPUT_OBJECT = "cwl.output.json"
"""The file in which a tool may write its outputs itself."""
OUTPUT_OBJECT_BYTES = 64 * MIB
CONTENTS_BYTES = 64 * KIB
"""``contents`` that ``loadContents`` reads; the CWL specification sets it."""
RESULT_FILES = 1_000_000
"""Files and directories that one result lists."""
RESULT_BYTES = 256 * MIB
"""The JSON text of one result, which contains ``cwl.output.json`` whole."""
