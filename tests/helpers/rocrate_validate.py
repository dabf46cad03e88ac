"""Run by the Python of roc-validator: validate.py CRATE CACHE PROFILE... prints a JSON list of what must not be.

CACHE is where the validator keeps what it has read from the web. It is filled from local files if they are there.
"""

import io
import json
import os
import sys
from pathlib import Path

import requests
from requests.adapters import BaseAdapter
from requests_cache import CachedSession
from rocrate_validator import models, services
from urllib3 import HTTPResponse

RO = "https://w3id.org/ro"
URLS = {
    f"{RO}/crate/1.1/context": "ro-crate-1.1.jsonld",
    f"{RO}/terms/workflow-run/context": "workflow-run.jsonld",
    f"{RO}/terms/workflow-run": "workflow-run.jsonld",
}
BESIDE = Path(__file__).parents[3] / "shared" / "recipes" / "service" / "rocrate-offline" / "ctx"


class Local(BaseAdapter):
    """Answers from files."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def send(self, request, **_fields):
        body = (self.folder / URLS[request.url]).read_bytes()
        kind = {"Content-Type": "application/ld+json"}
        raw = HTTPResponse(body=io.BytesIO(body), status=200, headers=kind, preload_content=False)
        answer = requests.Response()
        answer.status_code, answer.raw, answer.url, answer.request, answer._content = (
            200,
            raw,
            request.url,
            request,
            body,
        )
        answer.headers.update(kind)
        return answer

    def close(self):
        pass


def fill(cache):
    """Whether the cache has the contexts."""
    folder = Path(os.environ.get("ROCRATE_CONTEXTS") or BESIDE)
    session = CachedSession(cache_name=cache, backend="sqlite", expire_after=-1, allowable_methods=("GET",))
    if folder.is_dir():
        session.mount("https://w3id.org/", Local(folder))
    for url in URLS:
        try:
            session.get(url, headers={"Accept": "application/ld+json"}, timeout=20).raise_for_status()
            session.get(url, timeout=20)
        except requests.RequestException as error:
            sys.exit(f"{url} cannot be reached: {error}")


def main(crate, cache, *profiles):
    fill(cache)
    found = []
    for profile in profiles:
        settings = services.ValidationSettings(
            rocrate_uri=crate,
            profile_identifier=profile,
            requirement_severity=models.Severity.REQUIRED,
            offline=True,
            cache_path=cache,
            abort_on_first=False,
        )
        issues = services.validate(settings).get_issues()
        found += [f"{profile}: {issue.check.identifier}: {issue.message}" for issue in issues]
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
