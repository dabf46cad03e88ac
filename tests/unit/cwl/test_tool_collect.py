"""What a job left to the tool's output object."""

from __future__ import annotations

import base64
import gc
import json
import weakref

import pytest
from documents import glob, tool

from gridcwl.cwl.tool import collect
from gridcwl.errors import OutputError
from gridcwl.model import JobId, JobResult, Outcome, ProducedFile


def left(*files, **fields):
    return JobResult(JobId("job-1"), Outcome.SUCCESS, exit_code=0, files=files, outdir="file:///real", **fields)


def file(path, **fields):
    return ProducedFile(path, "file", f"file:///real/{path}", **({"size": 3, "sha1": "abc"} | fields))


def collected(bench, outputs, result, **fields):
    return collect(bench.resolve(tool("true", outputs=outputs, **fields)), result)


def test_a_file_has_its_real_location_size_and_checksum(bench):
    found = collected(bench, {"o": glob("*.txt")}, left(file("a.txt")))["o"]
    assert (found["class"], found["location"], found["basename"]) == ("File", "file:///real/a.txt", "a.txt")
    assert (found["size"], found["checksum"]) == (3, "sha1$abc")


def test_what_a_job_was_made_with_is_freed_with_it(bench):
    resolved = bench.resolve(tool("true", outputs={"o": glob("*.txt")}))
    builder = weakref.ref(resolved.builder)
    gc.disable()
    try:
        collect(resolved, left(file("a.txt")))
        del resolved
        assert builder() is None, "a hundred thousand of them must not wait for a collection"
    finally:
        gc.enable()


def test_an_array_has_all_files_in_order(bench):
    found = collected(bench, {"o": glob("*.txt", "File[]")}, left(file("b.txt"), file("a.txt"), file("c.log")))["o"]
    assert [entry["basename"] for entry in found] == ["a.txt", "b.txt"]


def test_stdout_is_the_file_that_holds_it(bench):
    assert collected(bench, {"o": "stdout"}, left(file("said")), stdout="said")["o"]["location"] == "file:///real/said"


def test_a_missing_file_names_pattern_and_line(bench):
    with pytest.raises(OutputError, match=r"doc\.cwl:\d+:\d+: no file of the output 'o' matches its glob \*\.h5"):
        collected(bench, {"o": glob("*.h5")}, left(file("a.txt")))


def test_a_missing_file_may_be_null_where_it_is_optional(bench):
    assert collected(bench, {"o": glob("*.h5", "File?")}, left())["o"] is None


def test_links_that_lead_out_are_named_where_something_is_missing(bench):
    with pytest.raises(OutputError) as caught:
        collected(bench, {"o": glob("*.h5")}, left(escaped=("a.h5",)))
    assert caught.value.remedy == "What leads out of its directory is not taken: a.h5."


def test_contents_come_with_the_result(bench):
    port = {"type": "string", "outputBinding": {"glob": "a", "loadContents": True, "outputEval": "$(self[0].contents)"}}
    found = collected(bench, {"o": port}, left(file("a", contents=base64.b64encode(b"hello").decode())))
    assert found == {"o": "hello"}


def test_the_exit_code_can_be_an_output(bench):
    port = {"type": "int", "outputBinding": {"outputEval": "$(runtime.exitCode)"}}
    result = JobResult(JobId("job-1"), Outcome.SUCCESS, exit_code=3)
    assert collected(bench, {"o": port}, result, successCodes=[3]) == {"o": 3}


def test_secondary_files_come_with_their_file(bench):
    found = collected(bench, {"o": glob("a.bam", secondaryFiles=[".bai"])}, left(file("a.bam"), file("a.bam.bai")))["o"]
    assert [entry["location"] for entry in found["secondaryFiles"]] == ["file:///real/a.bam.bai"]


def test_a_folder_is_the_real_folder(bench):
    folder = ProducedFile("d", "directory", "file:///real/d")
    found = collected(bench, {"o": glob("d", "Directory")}, left(folder, file("d/x")))["o"]
    assert (found["class"], found["location"]) == ("Directory", "file:///real/d")


def test_the_whole_output_directory_can_be_an_output(bench):
    assert collected(bench, {"o": glob(".", "Directory")}, left(file("x")))["o"]["location"] == "file:///real"


def output_object(value):
    return file("cwl.output.json", contents=base64.b64encode(json.dumps(value).encode()).decode())


def test_the_tool_s_own_output_object_goes_before_patterns(bench):
    text = output_object({"o": {"class": "File", "path": "x"}, "n": 4})
    found = collected(bench, {"o": "File", "n": "int"}, left(text, file("x")))
    assert (found["o"]["location"], found["n"]) == ("file:///real/x", 4)


def test_an_output_object_of_the_wrong_type_is_refused(bench):
    with pytest.raises(OutputError, match="'n'"):
        collected(bench, {"n": "int"}, left(output_object({"n": "four"})))


@pytest.mark.parametrize("size", [64 * 1024 + 1, 70_000])
def test_contents_of_more_than_64_kib_are_an_error_that_names_the_file(bench, size):
    port = {"type": "string", "outputBinding": {"glob": "a", "loadContents": True, "outputEval": "$(self[0].contents)"}}
    first = base64.b64encode(b"x" * 64 * 1024).decode()
    with pytest.raises(OutputError, match="The output file a is larger than 64 KiB"):
        collected(bench, {"o": port}, left(file("a", contents=first, size=size)))


def test_contents_of_64_kib_are_taken(bench):
    port = {"type": "string", "outputBinding": {"glob": "a", "loadContents": True, "outputEval": "$(self[0].contents)"}}
    first = base64.b64encode(b"x" * 64 * 1024).decode()
    assert collected(bench, {"o": port}, left(file("a", contents=first, size=64 * 1024))) == {"o": "x" * 64 * 1024}
