"""The notebooks of docs/notebooks as pages of the documentation: a hook of mkdocs, see mkdocs.yml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each notebook; the notebook itself stays, to be downloaded."""
    for path in sorted(Path(config.docs_dir, "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=page(path)))
    return files


def page(path: Path) -> str:
    """The notebook as Markdown."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    parts = ["".join(cell["source"]) if cell["cell_type"] == "markdown" else _code(cell) for cell in cells]
    parts.insert(1, f"[Download the notebook]({path.name})")
    return "\n\n".join(parts) + "\n"


def _code(cell: dict[str, Any]) -> str:
    text = "".join(cell["source"])
    return f"```{'yaml' if text.startswith('%%cwl') else 'python'}\n{text}\n```"
