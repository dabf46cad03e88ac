"""All that touches cwltool: load and validate documents, input object to Job, JobResult to output object.

No other folder imports cwltool. Nothing here starts a process or moves a file.
"""

from __future__ import annotations

import importlib.util
import sys

_SELDOM_USED = ("cwl_utils.parser.cwl_v1_0", "cwl_utils.parser.cwl_v1_1", "cwl_utils.parser.cwl_v1_2")


def _import_when_used(names: tuple[str, ...]) -> None:
    """Put lazy modules in place of large ones that cwltool imports but only its ``--fast-parser`` uses.

    They are three generated parsers of 10,000 lines each: 0.4 s of a start of 0.9 s.
    """
    for name in names:
        if name in sys.modules:
            continue
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            continue
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


_import_when_used(_SELDOM_USED)
