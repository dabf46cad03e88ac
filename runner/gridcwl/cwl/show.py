"""What can be shown of a document without running it: packed, drawn, resolved."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from gridcwl.cwl.problems import problems
from gridcwl.errors import DocumentError

if TYPE_CHECKING:
    from gridcwl.cwl.load import Document


def packed(document: Document) -> str:
    """The document and all that it refers to as one JSON text (``--pack``); it must be read with preprocess_only.

    Raises:
        DocumentError: a part of it cannot be read.
    """
    from cwltool.main import print_pack

    from gridcwl.cwl.once import pack_once

    pack_once()
    with problems(DocumentError, f"Cannot pack {document.uri}"):
        return str(print_pack(document.loading, document.uri))


def drawn(document: Document) -> str:
    """The workflow as a Graphviz graph (``--print-dot``).

    Raises:
        DocumentError: cwltool cannot draw it.
    """
    from cwltool.cwlrdf import printdot

    text = io.StringIO()
    assert document.loading is not None
    with problems(DocumentError, f"Cannot draw {document.uri}"):
        printdot(document.process, document.loading.loader.ctx, text)
    return text.getvalue()
