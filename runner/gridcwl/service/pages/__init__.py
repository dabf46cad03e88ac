"""Pages for people. They need no JavaScript; with it they follow active runs.

Everything that is shown is escaped, and the policy lets a browser load nothing but this service's own files.
"""

from __future__ import annotations

from fastapi import APIRouter

from gridcwl.service.pages import account, baskets, catalogue, files, jobs, live, repeating, runs, sites, submit

router = APIRouter(include_in_schema=False)
for part in (runs, submit, jobs, files, live, sites, catalogue, account, repeating, baskets):
    router.include_router(part.router)

__all__ = ["router"]
