"""``gridcwl init -- COMMAND ...``: writes a tool document, an input object, and if wanted a workflow."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from gridcwl.cli import scaffold
from gridcwl.errors import ConfigError

_INPUTS = "inputs.yml"


def init(given: argparse.Namespace) -> int:
    """Write the documents for a command.

    Raises:
        ConfigError: it is no single command, or a file is there already.
    """
    words = given.words[1:] if given.words[:1] == ["--"] else given.words
    folder = Path.cwd()
    made = scaffold.scaffold(
        words, name=given.name or "", stdout=given.stdout or "", outputs=given.output, folder=folder
    )
    tool = f"{made.name}.cwl"
    files = {tool: scaffold.tool_document(made, _one_line(words), given.image or "")}
    document = tool
    if given.workflow:
        document = f"{made.name}-workflow.cwl"
        files[document] = scaffold.workflow_document(made, tool)
    inputs = _inputs_file(made.name, document)
    files[inputs] = scaffold.input_object(made, document, inputs)
    there = [name for name in files if Path(name).exists()]
    if there and not given.force:
        raise ConfigError(
            f"{', '.join(there)} exist{'s' if len(there) == 1 else ''} already",
            remedy="Choose another --name, change to another directory, or replace with --force.",
        )
    for name, text in files.items():
        Path(name).write_text(text, "utf-8")
        print(f"wrote {name}")
    print(f"\nRun it:    gridcwl {shlex.quote(document)} {shlex.quote(inputs)}")
    print(f"Check it:  gridcwl lint {shlex.quote(document)}")
    return 0


def _inputs_file(name: str, document: str) -> str:
    """inputs.yml, but beside that of another document NAME-inputs.yml."""
    try:
        first = Path(_INPUTS).read_text("utf-8").partition("\n")[0]
    except (OSError, ValueError):
        return _INPUTS
    others = first.startswith(scaffold.RUN_IT) and first != scaffold.run_it(document, _INPUTS)
    return f"{name}-{_INPUTS}" if others else _INPUTS


def _one_line(words: list[str]) -> str:
    return " ".join(shlex.join(words).split())
