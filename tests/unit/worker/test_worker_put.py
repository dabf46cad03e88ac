"""Outputs into storage elements: whole or not at all, the site's own element first, nothing twice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from webdav import Dav, served
from worker_builders import job, literal, staged

from gridcwl.worker import web
from gridcwl.worker.failure import SourceUnavailable
from gridcwl.worker.naming import place_of
from gridcwl.worker.put import left_behind, remove
from gridcwl.worker.storage import way_to

NAME = "run.step.j1-1-1."


def element(name: str, *urls: str, **fields: object) -> dict:
    return {"name": name, "urls": list(urls), "sites": [], "naming": "hash", **fields}


def storage(*elements: dict) -> dict:
    return {"scope": "user.x", "prefix": NAME, "elements": list(elements), "scheme": "rucio"}


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    folder = tmp_path / "se"
    folder.mkdir()
    return folder


@pytest.fixture
def dav(tmp_path: Path):
    with served(tmp_path / "dav") as server:
        yield server


def place(folder: Path, path: str) -> Path:
    return folder / place_of("user.x", NAME + path, "hash")


def made(text: str = "made", **fields: object) -> dict:
    return job(f"printf {text} > a.txt", outputs={"globs": ["a.txt"]}, **fields)


def test_outputs_are_put_where_rucio_expects_them_and_are_known_by_their_names(bench, mounted):
    described = job(
        "mkdir -p d/e; printf x > 'd/e/a b'; printf log",
        outputs={"globs": ["d", "out.log"]}, stdout="out.log",
        storage=storage(element("SE", f"file://{mounted}/")),
    )  # fmt: skip
    result = bench.run(described)
    assert result["outcome"] == "success"
    assert result["element"] == "SE"
    assert {entry["path"]: entry["location"] for entry in result["files"]} == {
        "d": f"rucio://user.x/{NAME}d",
        "d/e": f"rucio://user.x/{NAME}d-_2fe",
        "d/e/a b": f"rucio://user.x/{NAME}d-_2fe-_2fa-_20b",
        "out.log": f"rucio://user.x/{NAME}out.log",
    }
    assert place(mounted, "d-_2fe-_2fa-_20b").read_text() == "x"
    assert place(mounted, "out.log").read_text() == "log"
    assert result["files"][2]["sha1"] == hashlib.sha1(b"x").hexdigest()


def test_outputs_are_known_by_the_scheme_of_the_jobs_store(bench, mounted):
    described = made(storage=storage(element("SE", f"file://{mounted}/")) | {"scheme": "s3"})
    result = bench.run(described)
    assert [entry["location"] for entry in result["files"]] == [f"s3://user.x/{NAME}a.txt"]
    assert result["outdir"].startswith("s3://user.x/")


def test_nothing_unfinished_is_left_next_to_what_was_put(bench, mounted):
    bench.run(made(storage=storage(element("SE", f"file://{mounted}/"))))
    assert [path.name for path in mounted.rglob("*") if path.is_file()] == [NAME + "a.txt"]


def test_an_element_of_the_workers_site_comes_before_those_listed_earlier(bench, mounted, tmp_path):
    (tmp_path / "near").mkdir()
    near = element("NEAR", f"file://{tmp_path}/near/", sites=["LCG.Here.fr"])
    result = bench.run(made(storage=storage(element("FAR", f"file://{mounted}/"), near)), site="LCG.Here.fr")
    assert result["element"] == "NEAR"


def test_storage_that_is_not_mounted_here_is_not_made_up_and_the_next_element_is_used(bench, mounted, tmp_path):
    gone = element("GONE", f"file://{tmp_path}/not/there/")
    result = bench.run(made(storage=storage(gone, element("SE", f"file://{mounted}/"))))
    assert result["element"] == "SE"
    assert not (tmp_path / "not").exists()


def test_where_no_element_takes_the_outputs_each_reason_is_reported_and_it_may_pass(bench, tmp_path):
    result = bench.run(
        made(
            storage=storage(
                element("A", f"file://{tmp_path}/not/there/"),
                element("B", "srm://se/x/"),
                element("C", f"file://{tmp_path}/", naming="belleii"),
            )
        )
    )
    assert result["outcome"] == "temporary-failure"
    assert "A: " in result["reason"]
    assert "is not mounted here" in result["reason"]
    assert "B: srm://se/x/: this worker cannot reach srm:// URLs" in result["reason"]
    assert "C: its algorithm for paths, belleii, is not supported by this worker" in result["reason"]
    assert result["files"] == []


def test_what_an_earlier_attempt_got_there_whole_is_not_put_again(bench, mounted):
    final = place(mounted, "a.txt")
    final.parent.mkdir(parents=True)
    final.write_text("made")
    before = final.stat().st_ino
    assert bench.run(made(storage=storage(element("SE", f"file://{mounted}/"))))["outcome"] == "success"
    assert final.stat().st_ino == before


@pytest.mark.parametrize("there", ["ma", "other bytes, and more of them", ""])
def test_what_is_there_half_written_is_replaced(bench, mounted, there):
    final = place(mounted, "a.txt")
    final.parent.mkdir(parents=True)
    final.write_text(there)
    assert bench.run(made(storage=storage(element("SE", f"file://{mounted}/"))))["outcome"] == "success"
    assert final.read_text() == "made"


def test_an_input_that_was_passed_through_keeps_its_name_and_is_not_put(bench, mounted, tmp_path):
    (tmp_path / "in.txt").write_text("given")
    described = job(
        "true", outputs={"globs": ["in.txt"]}, storage=storage(element("SE", f"file://{mounted}/")),
        staged=[
            staged("/gridcwl/out/in.txt", f"file://{tmp_path}/in.txt", location="rucio://user.y/theirs.txt")
        ],
    )  # fmt: skip
    result = bench.run(described)
    assert result["files"][0]["location"] == "rucio://user.y/theirs.txt"
    assert list(mounted.iterdir()) == []


def test_a_literal_that_was_passed_through_is_put(bench, mounted):
    described = job(
        "true", outputs={"globs": ["t"]}, staged=[literal("/gridcwl/out/t", "text")],
        storage=storage(element("SE", f"file://{mounted}/")),
    )  # fmt: skip
    result = bench.run(described)
    assert result["files"][0]["location"] == f"rucio://user.x/{NAME}t"
    assert place(mounted, "t").read_text() == "text"


def test_a_job_without_outputs_needs_no_element(bench):
    result = bench.run(job("true", outputs={"globs": ["*"]}, storage=storage()))
    assert result["outcome"] == "success"
    assert result["element"] == ""


def test_over_webdav_each_file_is_put_under_another_name_looked_at_and_renamed(bench, dav: Dav):
    result = bench.run(made(storage=storage(element("SE", dav.url))))
    assert result["outcome"] == "success", result["reason"]
    assert place(dav.folder, "a.txt").read_text() == "made"
    assert [method for method, _ in dav.requests] == ["HEAD", "PUT", "HEAD", "MOVE"]
    assert dav.requests[1][1].endswith(".gridcwl-upload")


def test_what_arrives_damaged_is_removed_and_the_next_way_is_tried(bench, dav: Dav, mounted):
    dav.damages = 1
    result = bench.run(made(storage=storage(element("SE", dav.url), element("OTHER", f"file://{mounted}/"))))
    assert result["element"] == "OTHER"
    assert [path for path in dav.folder.rglob("*") if path.is_file()] == []


def test_a_server_that_reports_no_checksums_is_read_back(bench, dav: Dav):
    dav.digests = False
    assert bench.run(made(storage=storage(element("SE", dav.url))))["element"] == "SE"
    assert "GET" in [method for method, _ in dav.requests]


def test_damage_is_noticed_also_where_the_server_reports_no_checksums(bench, dav: Dav):
    dav.digests, dav.damages = False, 1
    result = bench.run(made(storage=storage(element("SE", dav.url))))
    assert result["outcome"] == "temporary-failure"
    assert "has the adler32 checksum" in result["reason"]


def test_folders_are_made_where_the_server_does_not(bench, dav: Dav):
    dav.makes_folders = False
    assert bench.run(made(storage=storage(element("SE", dav.url))))["outcome"] == "success"


def test_a_server_that_never_overwrites_gets_the_old_file_removed_first(bench, dav: Dav):
    dav.overwrites = False
    final = place(dav.folder, "a.txt")
    final.parent.mkdir(parents=True)
    final.write_text("half")
    assert bench.run(made(storage=storage(element("SE", dav.url))))["outcome"] == "success"
    assert final.read_text() == "made"


def test_a_redirected_upload_goes_where_it_is_sent_and_takes_no_token_along(bench, dav: Dav, tmp_path, monkeypatch):
    monkeypatch.setenv("BEARER_TOKEN", "secret-token")
    with served(tmp_path / "dav") as pool:
        dav.elsewhere = pool.url
        assert bench.run(made(storage=storage(element("SE", dav.url))))["outcome"] == "success"
        assert "PUT" in [method for method, _ in pool.requests]
        assert set(pool.tokens) | set(dav.tokens) == {None}  # plain http is no place for a token


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "is there a valid token or proxy"), (403, "does not allow it"), (507, "it is full")]
)
def test_what_a_refusal_means_is_reported(bench, dav: Dav, status, hint):
    dav.refuses["PUT"] = status
    result = bench.run(made(storage=storage(element("SE", dav.url))))
    assert f"HTTP {status}" in result["reason"]
    assert hint in result["reason"]


def test_many_files_of_a_job_go_at_once_and_all_arrive(bench, dav: Dav):
    described = job(
        "for n in 1 2 3 4 5 6 7 8 9; do printf $n > $n.txt; done", outputs={"globs": ["*.txt"]},
        storage=storage(element("SE", dav.url)),
    )  # fmt: skip
    assert bench.run(described)["outcome"] == "success"
    assert {place(dav.folder, f"{n}.txt").read_text() for n in range(1, 10)} == set("123456789")


@pytest.mark.parametrize("content", [b"", b"16\n", b"x" * 100])
def test_the_beginning_of_a_file_is_read_however_short_it_is(dav: Dav, content: bytes):
    (dav.folder / "file").write_bytes(content)
    assert way_to(dav.url).first(dav.url + "file", 50) == content[:50]


BIG = 300_000
"""Bytes; too much to be sent unasked."""


@pytest.fixture
def big(tmp_path: Path) -> str:
    (tmp_path / "big").write_bytes(b"b" * BIG)
    return str(tmp_path / "big")


def puts(server: Dav) -> int:
    return sum(method == "PUT" for method, _ in server.requests)


def test_a_server_that_sends_us_on_never_gets_the_body(dav, tmp_path, big):
    with served(tmp_path / "pool") as pool:
        dav.elsewhere = pool.url
        way = way_to(dav.url)
        answered = web.request("PUT", f"{dav.url}x", body=lambda: Path(big).open("rb"), size=BIG)  # noqa: SIM115
        assert answered.status == 201
        web.drained(answered)
        assert (dav.taken, pool.taken) == (0, BIG)
        assert (puts(dav), puts(pool)) == (1, 1)
        assert way_to(pool.url).look(f"{pool.url}x") == way.look(f"{pool.url}x")
    assert (tmp_path / "pool" / "x").read_bytes() == b"b" * BIG


def test_a_server_that_refuses_never_gets_the_body_and_the_connection_can_be_used_again(dav, big):
    dav.refuses["PUT"] = 507
    with pytest.raises(SourceUnavailable, match="it is full"):
        way_to(dav.url).put(big, f"{dav.url}x", lambda: None)
    assert dav.taken == 0
    del dav.refuses["PUT"]
    assert way_to(dav.url).put(big, f"{dav.url}x", lambda: None).size == BIG
    assert dav.taken == BIG


@pytest.mark.parametrize("switch", ["hears", "knows_expect"])
def test_a_server_that_does_not_know_the_question_gets_the_body_all_the_same(dav, big, switch):
    setattr(dav, switch, False)
    assert way_to(dav.url).put(big, f"{dav.url}x", lambda: None).size == BIG
    assert dav.taken == BIG


def test_many_big_files_go_over_one_connection(dav, big):
    for number in range(3):
        assert way_to(dav.url).put(big, f"{dav.url}{number}", lambda: None).size == BIG
    assert dav.taken == 3 * BIG
    assert dav.connections == 1


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def two(**fields: object) -> dict:
    return job("printf 1 > a.txt; printf 2 > b.txt", outputs={"globs": ["*.txt"]}, **fields)


def test_what_was_put_before_an_element_failed_is_removed_from_it(bench, dav, mounted):
    dav.refuses_names = ("b.txt",)
    result = bench.run(two(storage=storage(element("A", dav.url), element("B", f"file://{mounted}/"))))
    assert result["element"] == "B"
    assert files_in(dav.folder) == []
    assert files_in(mounted) == [NAME + "a.txt", NAME + "b.txt"]


def test_what_was_there_whole_before_stays_when_the_element_fails(bench, dav):
    whole = dav.folder / place_of("user.x", NAME + "a.txt", "hash")
    whole.parent.mkdir(parents=True)
    whole.write_text("1")
    dav.refuses_names = ("b.txt",)
    result = bench.run(two(storage=storage(element("A", dav.url))))
    assert result["outcome"] == "temporary-failure"
    assert files_in(dav.folder) == [NAME + "a.txt"]


def test_a_job_that_is_killed_while_it_puts_files_leaves_a_list_of_them(bench, mounted):
    described = made(storage=storage(element("SE", f"file://{mounted}/")))
    bench.run(described)
    (url,) = left_behind(str(bench.workdir))
    assert url == f"file://{place(mounted, 'a.txt')}"
    (mounted / "x.gridcwl-upload").touch()
    assert remove([url, f"file://{mounted}/x"]) == 0
    assert files_in(mounted) == []


def test_a_folder_without_such_a_list_names_nothing(tmp_path):
    assert left_behind(str(tmp_path)) == []
    (tmp_path / "uploads.json").write_text("[half")
    assert left_behind(str(tmp_path)) == []
