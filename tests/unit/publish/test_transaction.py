"""Moving a staged tree into place: all of it or nothing, whatever fails, and whenever the process dies."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridcwl.errors import StoreError
from gridcwl.stores import transaction
from gridcwl.stores.local import AtomicPublication, explained

BEFORE = {"a": "old a", "d/b": "old b", "kept": "the user's"}
NEW = {"a": "new a", "d/b": "new b", "d/e/c": "new c", "z": "new z"}


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def fill(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    fill(tmp_path / "target", BEFORE)
    return tmp_path / "target"


def put(target: Path, removing: tuple[str, ...] = ()) -> None:
    with explained(target), AtomicPublication(target, "run-1") as placement:
        for name, text in NEW.items():
            placement.write(text.encode(), Path(name))
        placement.commit(removing)


def breaking(real: Callable[..., Any], at: int, error: BaseException) -> Callable[..., Any]:
    """A function that fails when it is called for the n-th time, and never again."""
    calls = iter(range(1, 1000))

    def call(*arguments: Any, **named: Any) -> Any:
        if next(calls) == at:
            raise error
        return real(*arguments, **named)

    return call


def test_everything_is_moved_and_what_was_replaced_is_gone(target: Path) -> None:
    put(target)
    assert tree(target) == BEFORE | NEW


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_when_the_nth_rename_fails_everything_is_as_it_was(
    target: Path, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    monkeypatch.setattr(os, "replace", breaking(os.replace, n, OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(StoreError, match="No space is left"):
        put(target, removing=("kept",))
    assert tree(target) == BEFORE
    assert sorted(path.name for path in target.rglob("*")) == ["a", "b", "d", "kept"]


@pytest.mark.parametrize("call", ["fsync", "mkdir", "lstat"])
@pytest.mark.parametrize("n", range(1, 8))
def test_when_the_disk_fails_everything_is_as_it_was(
    target: Path, monkeypatch: pytest.MonkeyPatch, call: str, n: int
) -> None:
    with contextlib.suppress(OSError), AtomicPublication(target, "run-1") as placement:
        for name, text in NEW.items():
            placement.write(text.encode(), Path(name))
        monkeypatch.setattr(os, call, breaking(getattr(os, call), n, OSError(errno.EIO, "Input/output error")))
        placement.commit()
        return  # there were fewer calls
    assert tree(target) == BEFORE


class Killed(BaseException):
    """Stands for SIGKILL: nothing that would clean up runs."""


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_what_a_killed_process_left_half_moved_is_taken_back(
    target: Path, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", breaking(os.replace, n, Killed()))
        patched.setattr(transaction, "roll_back", lambda *_: False)
        patched.setattr("gridcwl.stores.local.shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            put(target)
    assert transaction.recover(target) == ["run-1"]
    assert tree(target) == BEFORE
    put(target)
    assert tree(target) == BEFORE | NEW


def test_a_file_that_the_user_made_after_a_kill_stays(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", breaking(os.replace, 4, Killed()))
        patched.setattr(transaction, "roll_back", lambda *_: False)
        patched.setattr("gridcwl.stores.local.shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            put(target)
    moved = "z" if (target / "z").exists() else "d/e/c"
    (target / moved).write_text("edited by the user")
    transaction.recover(target)
    assert (target / moved).read_text() == "edited by the user"


def test_files_to_be_removed_go_with_the_rest(target: Path) -> None:
    put(target, removing=("kept",))
    assert not (target / "kept").exists()


def test_dangerous_bits_do_not_survive(target: Path, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o6755)
    with AtomicPublication(target) as placement:
        assert placement.link(tool, Path("linked"))
        placement.copy(tool, Path("d/copied"))
        placement.commit()
    for name in ("linked", "d/copied"):
        assert stat.S_IMODE((target / name).stat().st_mode) == 0o755


def test_many_files_are_written_to_disk_by_one_call(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(transaction, "_sync_file_system", lambda place: synced.append(str(place)) or True)
    monkeypatch.setattr(transaction, "_sync_one", synced.append)
    with AtomicPublication(target, "many") as placement:
        for number in range(40):
            placement.write(b"", Path(f"n{number}"))
        placement.commit()
    assert synced == [str(target / ".gridcwl-many"), str(target)]


def test_without_syncfs_each_file_is_written_to_disk(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(transaction, "_sync_file_system", lambda _place: False)
    monkeypatch.setattr(transaction, "_sync_one", synced.append)
    with AtomicPublication(target, "many") as placement:
        for number in range(40):
            placement.write(b"", Path(f"n{number}"))
        placement.commit()
    assert len(synced) == 41


def test_names_that_are_no_utf_8_can_be_taken_back(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strange = os.fsdecode(b"caf\xe9")
    monkeypatch.setattr(os, "replace", breaking(os.replace, 2, OSError(errno.EIO, "broken")))
    with AtomicPublication(target) as placement:
        placement.write(b"1", Path(strange))
        placement.write(b"2", Path("other"))
        with pytest.raises(OSError, match="broken"):
            placement.commit()
    assert tree(target) == BEFORE
