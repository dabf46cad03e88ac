"""All that touches cwltool: load and validate documents, input object to Job, JobResult to output object.

No other folder imports cwltool. Nothing here starts a process or moves a file.
"""

from gridcwl.cwl import patches
from gridcwl.cwl.patches.lazy_imports import import_cwltool

import_cwltool()
patches.apply()
