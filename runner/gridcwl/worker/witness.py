"""A job that is run once, whoever asks for it and how often: its answer is kept in a file, the witness, behind a lock.

For places where somebody may start a job again that runs or has ended already: a scheduler that took its machine for
lost, or a client that came back. The lock holds on one machine, and on a file system that several share.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from typing import Callable, Optional, Tuple

from gridcwl.worker.control import Control
from gridcwl.worker.limits import RESULT_BYTES
from gridcwl.worker.removing import remove_tree
from gridcwl.worker.stale import kill_below

_LOOK_EVERY_S = 0.05
_PATIENCE_S = 30.0


def run_once(witness: str, workdir: str, control: Control, run: Callable[[], Tuple[bytes, bool]]) -> bytes:
    """The answer of a job: that of the witness, else the one that ``run`` makes.

    Args:
        witness: the file that holds the answer; its folder is made.
        workdir: of the job; what an attempt without an answer has left there is stopped and removed.
        control: of the job; a stop also ends the wait for another process that runs the job.
        run: makes the answer; and whether it is kept.

    Raises:
        WorkerFailure: it was stopped while another process had the lock.
        OSError: the lock cannot be taken.
    """
    os.makedirs(os.path.dirname(witness), mode=0o700, exist_ok=True)
    with open(witness + ".lock", "ab") as lock:
        while not _locked(lock.fileno()):
            control.check()
            time.sleep(_LOOK_EVERY_S)
        answer = _read(witness)
        if answer is not None:
            return answer
        if os.path.lexists(workdir):
            kill_below([workdir], _PATIENCE_S)
            remove_tree(workdir)
        answer, kept = run()
        if kept:
            _write(witness, answer)
        return answer


def own_folder(path: str = "") -> str:
    """A folder for jobs that nobody else can enter; without a path, one in the temporary folder.

    Raises:
        OSError: it cannot be made, or it is another user's.
    """
    folder = path or f"{tempfile.gettempdir()}/gridcwl-{os.getuid()}"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    about = os.lstat(folder)
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise PermissionError(f"The folder {folder} is another user's, or others may write to it")
    return folder


def remove_old(folder: str, older_than_s: float) -> None:
    """Remove what is left of jobs that began so long ago, but for those that run."""
    before = time.time() - older_than_s
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.endswith(".lock") and entry.stat(follow_symlinks=False).st_mtime < before:
                with open(entry.path, "ab") as lock:
                    if _locked(lock.fileno()):
                        witness = entry.path[: -len(".lock")]
                        remove_tree(witness[: -len(".result")])
                        for path in (witness, entry.path):
                            with contextlib.suppress(FileNotFoundError):
                                os.unlink(path)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: str) -> Optional[bytes]:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        answer = file.read(RESULT_BYTES + 1)
        if answer.endswith(b"\n"):
            return answer
    return None


def _write(path: str, answer: bytes) -> None:
    """Written whole or not at all; an answer that cannot be kept is still an answer."""
    temporary = path + ".part"
    with contextlib.suppress(OSError):
        try:
            with open(temporary, "wb") as file:
                file.write(answer)
            shutil.move(temporary, path)
        except OSError:
            os.unlink(temporary)
