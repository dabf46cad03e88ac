"""Jupyter kernels as jobs: ``gridcwl kernel add`` adds one to JupyterLab's launcher.

``provisioner`` is what Jupyter calls. For each kernel it starts a ``relay``, a process of this machine that outlives
the Jupyter server. The relay has a job submitted (``placing``), to whose node it is the other end of one TLS
connection: see ``gridcwl.worker.kernel_node``. Jupyter's clients connect to sockets of the relay, as they would to
those of a kernel.
"""
