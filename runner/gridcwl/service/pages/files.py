"""Files among the outputs: each with a preview, its header or tree, and links."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from gridcwl.model.objects import entries
from gridcwl.runs.previews import reading as previews
from gridcwl.service.db import StoredRun
from gridcwl.service.pages.outputs import about_file
from gridcwl.service.pages.rendering import PageRoute, TheService, TheViewer, page
from gridcwl.service.problems import NotFound
from gridcwl.service.web import Service
from gridcwl.service.wes import UNTRUSTED, output_of, public_outputs, visible

router = APIRouter(route_class=PageRoute)


@router.get("/runs/{run_id}/files/{path:path}")
def file_page(request: Request, run_id: str, path: str, service: TheService, viewer: TheViewer) -> Response:
    """A file: what is in it, and where it is."""
    run = visible(service, run_id, viewer)
    found = output_of(service, run, path)
    about = _entry(request, service, run, path)
    return page(
        request,
        "file.html",
        run=run,
        title=run.tags.get("name") or run.id,
        file=about,
        size=found.stat().st_size,
        preview=previews.preview(found, service.folder.cache / "previews"),
        may_submit=viewer.may_submit,
    )


@router.get("/runs/{run_id}/images/{path:path}")
def image(run_id: str, path: str, service: TheService, viewer: TheViewer) -> Response:
    """A picture among the outputs, or one that is made from a FITS file."""
    run = visible(service, run_id, viewer)
    found = output_of(service, run, path)
    kind = previews.kind_of(found.name)
    headers = UNTRUSTED | {"Cache-Control": "private, max-age=3600"}
    if kind in ("png", "jpeg") and previews.is_image(found, kind):
        return FileResponse(found, media_type=f"image/{kind}", headers=headers)
    if kind == "fits" and (made := previews.preview(found, service.folder.cache / "previews").image):
        return Response(made, media_type="image/png", headers=headers)
    raise NotFound(f"The run {run.id} has no image {path[:200]}")


def _entry(request: Request, service: Service, run: StoredRun, path: str) -> dict[str, Any]:
    """What the output object has of a file."""
    for entry in entries(public_outputs(request, service, run), "File"):
        about = about_file(entry, run.id)
        if about["page"] and about["name"] == path:
            return about
    raise NotFound(f"The run {run.id} has no output {path[:200]}")
