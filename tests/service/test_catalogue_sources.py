"""Sources of the catalogue: folders, RO-Crates and commits of git repositories, none of which is trusted."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import threading
import zipfile
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from documents import expression, step, workflow
from waiting import until
from wes import Wes, serving

from gridcwl.errors import ConfigError
from gridcwl.service import catalogue_sources
from gridcwl.service.catalogue_sources import CatalogueSources
from gridcwl.service.settings import load

ECHO = expression("${ return {said: inputs.word}; }", {"word": "string"}, {"said": "string"})
CALLING = workflow(
    {"word": "string"},
    {"said": {"type": "string", "outputSource": "echo/said"}},
    echo=step("../tools/echo.cwl", "said", word="word"),
)


# -- RO-Crates ---------------------------------------------------------------------------------------------------------


def crate(folder: Path, document: Any = ECHO, main: str = "workflow.cwl") -> Path:
    folder.mkdir(parents=True)
    (folder / "workflow.cwl").write_text(json.dumps(document))
    graph = [
        {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}},
        {
            "@id": "./",
            "@type": "Dataset",
            "name": "Echoes of words",
            "description": "It says what it hears.",
            "mainEntity": {"@id": main},
        },
        {"@id": main, "@type": ["File", "ComputationalWorkflow"], "programmingLanguage": {"@id": "#cwl"}},
    ]
    (folder / "ro-crate-metadata.json").write_text(json.dumps({"@graph": graph}))
    return folder


def zipped(folder: Path, file: Path) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    return file


@pytest.fixture
def crates(tmp_path: Path) -> list[str]:
    folder = crate(tmp_path / "said")
    return [str(folder), str(zipped(folder, tmp_path / "heard.crate.zip"))]


def test_a_crate_is_offered_with_its_own_name_and_description_where_the_document_has_none(
    tmp_path: Path, crates: list[str]
):
    with serving(tmp_path, catalogue=crates) as wes:
        page = wes.http.get("/catalogue").text
        assert page.count("Echoes of words</h2>") == 2
        assert "It says what it hears." in page
        assert "From the RO-Crate heard.crate.zip" in page


@pytest.mark.node
def test_the_workflow_of_a_crate_in_an_archive_runs(tmp_path: Path, crates: list[str]):
    with serving(tmp_path, catalogue=crates) as wes:
        assert run(wes, "heard")["outputs"] == {"said": "hello"}


def test_an_archive_that_was_replaced_is_read_again(tmp_path: Path):
    file = zipped(crate(tmp_path / "first", {**ECHO, "label": "First"}), tmp_path / "c.zip")
    sources = CatalogueSources([str(file)], tmp_path / "own")
    before = sources.offers()[0].path
    zipped(crate(tmp_path / "second", {**ECHO, "label": "Second"}), tmp_path / "new.zip").rename(file)
    (after,) = sources.offers()
    assert "Second" in after.path.read_text()
    assert "First" in before.read_text(), "runs of it may be resumed"


@pytest.mark.parametrize("main", ["../secret.cwl", "/etc/passwd", "missing.cwl"])
def test_a_crate_whose_workflow_is_elsewhere_is_not_offered(tmp_path: Path, main: str):
    (tmp_path / "secret.cwl").write_text(json.dumps(ECHO))
    sources = CatalogueSources([str(crate(tmp_path / "evil", main=main))], tmp_path / "own")
    assert sources.offers() == []
    assert len(sources.problems) == 1


def test_a_crate_that_is_too_large_or_broken_is_reported_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(catalogue_sources, "_MOST_BYTES", 1000)
    large = tmp_path / "large.zip"
    with zipfile.ZipFile(large, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ro-crate-metadata.json", "{}" + " " * 10_000)
    (tmp_path / "broken.zip").write_text("no archive")
    places = [str(large), str(tmp_path / "broken.zip"), str(tmp_path / "gone"), str(crate(tmp_path / "good"))]
    sources = CatalogueSources(places, tmp_path / "own")
    assert [offer.name for offer in sources.offers()] == ["good"]
    assert set(sources.problems) == set(places[:3])
    assert "the most of a source" in sources.problems[places[0]]


# -- git ---------------------------------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> str:
    environment = {
        **os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "a@b.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }  # fmt: skip
    return subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *words],
        cwd=folder, env=environment, check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip


class Repositories(BaseHTTPRequestHandler):
    """Repositories below a folder by git's own HTTP protocol, as git-http-backend(1) has it."""

    root: Path
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("/moved/", "/"))
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ, "GIT_PROJECT_ROOT": str(self.root), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }  # fmt: skip
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        made = subprocess.run(["git", "http-backend"], input=body, env=environment, capture_output=True, check=True)
        head, _, body = made.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with all that may be in one."""
    root = tmp_path_factory.mktemp("repositories")
    other, work = root / "other", root / "workflows"
    for folder in (other, work):
        folder.mkdir()
        git(folder, "init", "--quiet")
    (other / "a.cwl").write_text(json.dumps(ECHO))
    git(other, "add", ".")
    git(other, "commit", "--quiet", "-m", "other")
    for name, document in {"cwl/greeting.cwl": {**CALLING, "label": "A greeting"}, "tools/echo.cwl": ECHO}.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(json.dumps(document))
    (work / "cwl" / "leak.cwl").symlink_to("/etc/passwd")
    (work / "run.sh").write_text("#!/bin/sh\n")
    (work / "run.sh").chmod(0o755)
    (work / ".gitattributes").write_text("*.cwl filter=evil ident export-subst\n")
    git(work, "submodule", "add", "--quiet", str(other), "cwl/submodule")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "all")
    return work


@pytest.fixture
def server(repository: Path) -> Iterator[tuple[str, list[str]]]:
    handler = type("Handler", (Repositories,), {"root": repository.parent, "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}/", handler.asked
        made.shutdown()
        thread.join()


@pytest.fixture
def commit(repository: Path) -> str:
    return git(repository, "rev-parse", "HEAD")


def place(url: str, commit: str, name: str = "workflows/.git", below: str = "#cwl") -> str:
    return f"git+{url}{name}@{commit}{below}"


def csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def run(wes: Wes, name: str) -> Mapping[str, Any]:
    form = wes.http.post(f"/catalogue/{name}", data={"csrf": csrf(wes.http.get("/catalogue").text)})
    sent = {"csrf": csrf(form.text), "input:word": "hello"}
    answer = wes.http.post(str(form.url), data=sent, follow_redirects=False)
    return wes.ended(answer.headers["location"].rpartition("/")[2])


@pytest.mark.node
def test_a_commit_is_fetched_and_its_workflows_run_with_the_tools_beside_them(
    tmp_path: Path, server: tuple[str, list[str]], commit: str
):
    url, _ = server
    with serving(tmp_path, catalogue=[place(url, commit)], catalogue_urls=[url]) as wes:
        until(wes.service.catalogue.offers)
        page = wes.http.get("/catalogue").text
        assert "A greeting</h2>" in page
        assert f"at {commit[:12]}" in page
        assert run(wes, "greeting")["outputs"] == {"said": "hello"}


def test_only_plain_files_of_a_commit_are_written(tmp_path: Path, server: tuple[str, list[str]], commit: str):
    url, asked = server
    sources = CatalogueSources([place(url, commit)], tmp_path / "own")
    sources.fetch()
    assert sources.problems == {}
    assert [offer.name for offer in sources.offers()] == ["greeting"]
    root = sources.offers()[0].path.parents[1]
    written = [path for path in root.rglob("*") if path.is_file()]
    names = {path.relative_to(root).as_posix() for path in written}
    assert names == {"cwl/greeting.cwl", "tools/echo.cwl", "run.sh", ".gitattributes", ".gitmodules"}
    assert not any(path.is_symlink() or path.stat().st_mode & stat.S_IXUSR for path in written)
    assert not any("/other" in path for path in asked), "a submodule"
    before = len(asked)
    sources.fetch()
    assert len(asked) == before, "a commit is fetched once"


def test_one_document_of_a_repository_may_be_named(tmp_path: Path, server: tuple[str, list[str]], commit: str):
    url, _ = server
    sources = CatalogueSources([place(url, commit, below="#tools/echo.cwl")], tmp_path / "own")
    sources.fetch()
    assert [offer.name for offer in sources.offers()] == ["echo"]


@pytest.mark.parametrize(
    ("name", "below", "why"),
    [("none/.git", "#cwl", "git could not fetch it"), ("moved/workflows/.git", "#cwl", "git could not fetch it"),
     ("workflows/.git", "#none", "The commit has no none")],
)  # fmt: skip
def test_what_cannot_be_fetched_is_reported(
    tmp_path: Path, server: tuple[str, list[str]], commit: str, name: str, below: str, why: str
):
    url, _ = server
    sources = CatalogueSources([wanted := place(url, commit, name, below)], tmp_path / "own")
    sources.fetch()
    assert sources.offers() == []
    assert why in sources.problems[wanted]


def test_a_commit_that_is_not_there_or_too_large_is_not_offered(
    tmp_path: Path, server: tuple[str, list[str]], commit: str, monkeypatch: pytest.MonkeyPatch
):
    url, _ = server
    sources = CatalogueSources([missing := place(url, "0" * 40), wanted := place(url, commit)], tmp_path / "own")
    monkeypatch.setattr(catalogue_sources, "_MOST_FILES", 2)
    sources.fetch()
    assert "git could not fetch it" in sources.problems[missing]
    assert "more than 2 files" in sources.problems[wanted]
    assert not any((tmp_path / "own" / "git").iterdir()), "nothing stays behind"


def test_the_configuration_of_git_on_this_machine_has_no_effect(
    tmp_path: Path, server: tuple[str, list[str]], commit: str, monkeypatch: pytest.MonkeyPatch
):
    url, _ = server
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".gitconfig").write_text(f'[url "file:///"]\n\tinsteadOf = {url}\n')
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    sources = CatalogueSources([place(url, commit)], tmp_path / "own")
    sources.fetch()
    assert len(sources.offers()) == 1


def test_refreshing_fetches_what_has_failed_and_is_the_operators(
    tmp_path: Path, server: tuple[str, list[str]], repository: Path
):
    url, _ = server
    (repository / "later.txt").write_text("later")
    git(repository, "add", "later.txt")
    later = git(repository, "commit-tree", "-m", "later", git(repository, "write-tree"))
    git(repository, "reset", "--quiet")
    hidden = repository.parent / "hidden"
    repository.rename(hidden)
    with serving(tmp_path, catalogue=[place(url, later)], catalogue_urls=[url]) as wes:
        until(lambda: any("git could not" in why for why in wes.service.catalogue.problems.values()))
        assert "is not offered. git could not fetch it" in wes.http.get("/catalogue").text
        hidden.rename(repository)
        assert wes.http.post("/catalogue", data={}).status_code == 403
        assert "A greeting" in wes.http.post("/catalogue", data={"csrf": csrf(wes.http.get("/catalogue").text)}).text


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("git+https://github.com/a/b@main", "pins no commit"),
        ("git+https://github.com/a/b", "which is not the URL|pins no commit"),
        (f"git+https://github.com/a/b@{'a' * 39}", "pins no commit"),
        (f"git+https://evil.example/a/b@{'a' * 40}", "not below one of catalogue_urls"),
        (f"git+https://github.com.evil.example/a@{'a' * 40}", "not below one of catalogue_urls"),
        (f"git+https://github.com/a/../../b@{'a' * 40}", "not below one of catalogue_urls"),
        (f"git+https://user:password@github.com/a/b@{'a' * 40}", "without a user's name"),
        (f"git+ssh://github.com/a/b@{'a' * 40}", "not the URL of a git repository"),
        (f"git+file:///etc@{'a' * 40}", "not the URL of a git repository"),
        (f"git+ext::sh -c id@{'a' * 40}", "not the URL of a git repository"),
        (f"git+https://github.com/a/b@{'a' * 40}#../c", "catalogue has"),
    ],
)
def test_a_repository_that_is_not_allowed_or_not_pinned_is_refused_at_the_start(tmp_path: Path, wrong: str, why: str):
    with pytest.raises(ConfigError, match=why):
        load(None, {"folder": tmp_path, "catalogue": [wrong], "catalogue_urls": ["https://github.com/"]})


def test_a_file_that_is_no_crate_is_refused_at_the_start(tmp_path: Path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ConfigError, match="neither a folder nor an RO-Crate"):
        load(None, {"folder": tmp_path, "catalogue": [str(tmp_path / "a.txt")]})


def test_gridcwls_own_workflows_are_offered_by_their_name(tmp_path: Path):
    settings = load(None, {"folder": tmp_path, "catalogue": ["gridcwl"]})
    sources = CatalogueSources(settings.catalogue, tmp_path / "own")
    assert "corsika-production" in {offer.name for offer in sources.offers()}
    assert sources.roots == (catalogue_sources.OWN_WORKFLOWS.parent,), "with the tools that they refer to"
    chosen = load(None, {"folder": tmp_path, "catalogue": []}, {"catalogue": ["gridcwl"]})
    assert chosen.catalogue == (), "a default gives way"
