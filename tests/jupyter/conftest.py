"""The kernel in which the cells of a module's tests are executed."""

from jupyter_kernel import kernel

__all__ = ["kernel"]
