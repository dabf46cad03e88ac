"""gridcwl in notebooks: ``%load_ext gridcwl``. Only that imports this package; it needs the extra ``jupyter``.

``magics`` has ``%gridcwl`` and ``%%cwl``, ``live`` shows runs while they are active, ``attaching`` makes outputs what
rucio-jupyterlab attaches, ``server_proxy`` starts the page of ``gridcwl serve`` from JupyterLab's launcher. How a run
or a file looks is in ``gridcwl.runs.report.card`` and ``gridcwl.runs.previews``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gridcwl import imports
from gridcwl.blocking import Defaults, defaults
from gridcwl.errors import GridCWLError

if TYPE_CHECKING:
    from types import TracebackType


def load(shell: Any) -> None:
    """Add the magics, let runs show themselves live, and give runs processes of their own.

    Raises:
        ConfigError: IPython is not installed.
    """
    imports.require("IPython", "gridcwl in a notebook", "jupyter")
    from gridcwl.jupyter import live
    from gridcwl.jupyter.magics import Magics

    shell.register_magics(Magics(shell))
    live.install(shell)
    shell.set_custom_exc((GridCWLError,), _shown)
    defaults.detach, defaults.waited_for = True, live.wait


def unload(shell: Any) -> None:
    """Undo what :func:`load` did; the magics stay until the kernel is restarted, as IPython cannot remove any."""
    from gridcwl.jupyter import live

    live.uninstall(shell)
    shell.set_custom_exc((), None)
    plain = Defaults()
    defaults.detach, defaults.waited_for = plain.detach, plain.waited_for


def _shown(
    shell: Any, kind: type[BaseException], error: BaseException, traceback: TracebackType, tb_offset: int | None = None
) -> list[str]:
    """Show an error of gridcwl's as its message: where in gridcwl it was raised says nothing to the user."""
    del traceback, tb_offset
    lines = f"gridcwl: {error}".splitlines()
    shell._showtraceback(kind, error, lines)
    return lines
