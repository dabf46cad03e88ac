"""A CommandLineTool and its inputs to a Job."""

from __future__ import annotations

import pytest
from documents import on_command_line, shell, tool

from gridcwl.errors import DocumentError, ExpressionError, UnsupportedError
from gridcwl.model import Image, OutputRules, StagedFile
from gridcwl.model.codec import with_secrets


def needs(**requirements):
    return {"requirements": requirements}


def iwd(*listing, **more):
    return needs(InitialWorkDirRequirement={"listing": list(listing)}, **more)


IMAGE = {"dockerPull": "debian:trixie-slim"}


def test_the_command_is_base_command_arguments_and_inputs_by_position(bench):
    made = tool(
        "tar",
        "-c",
        arguments=["--verbose", {"position": 3, "valueFrom": "last"}],
        inputs={"name": {"type": "string", "inputBinding": {"position": 2, "prefix": "-f"}}},
    )
    assert bench.resolve(made, "--name=a b").job.command == ("tar", "-c", "--verbose", "-f", "a b", "last")


def test_a_file_is_staged_in_a_folder_of_its_own_and_named_by_its_place_there(bench):
    bench.write("data.txt", "12345")
    job = bench.resolve(tool("cat", inputs={"file": on_command_line("File")}), "--file=data.txt").job
    assert job.command == ("cat", "/gridcwl/in/0/data.txt")
    assert job.staged == (
        StagedFile("/gridcwl/in/0/data.txt", "file", ((bench.folder / "data.txt").as_uri(),), size=5),
    )


def test_the_same_inputs_give_the_same_job(bench):
    bench.write("data.txt", "x")
    made = tool("cat", inputs={"file": on_command_line("File"), "more": "File"})
    words = ("--file=data.txt", "--more=data.txt")
    assert bench.resolve(made, *words).job == bench.resolve(made, *words).job


def test_secondary_files_are_staged_next_to_their_file(bench):
    bench.write("a.bam", "1")
    bench.write("a.bam.bai", "2")
    job = bench.resolve(tool("cat", inputs={"file": {"type": "File", "secondaryFiles": [".bai"]}}), "--file=a.bam").job
    assert [staged.target for staged in job.staged] == ["/gridcwl/in/0/a.bam", "/gridcwl/in/0/a.bam.bai"]


def test_environment_variables_are_evaluated(bench):
    made = tool("true", inputs={"word": "string"}, **needs(EnvVarRequirement={"envDef": {"WORD": "<$(inputs.word)>"}}))
    assert bench.resolve(made, "--word=x").job.environment["WORD"] == "<x>"


def test_streams_are_relative_to_the_output_directory(bench):
    bench.write("data.txt", "x")
    made = tool("cat", inputs={"file": "File"}, stdin="$(inputs.file.path)", stdout="deep/out", stderr="err")
    job = bench.resolve(made, "--file=data.txt").job
    assert (job.stdin, job.stdout, job.stderr) == ("/gridcwl/in/0/data.txt", "deep/out", "err")


def test_stdin_that_is_no_input_is_refused(bench):
    with pytest.raises(DocumentError, match="reads stdin from /etc/passwd, which is none of its inputs"):
        bench.resolve(tool("cat", stdin="/etc/passwd"))


def test_a_literal_is_put_into_the_output_directory(bench):
    job = bench.resolve(shell("cat conf", **iwd({"entryname": "conf", "entry": "a: $(runtime.cores)"}))).job
    assert [(staged.target, staged.kind, staged.contents) for staged in job.staged] == [
        ("/gridcwl/out/conf", "literal", "a: 1")
    ]


def test_a_writable_file_may_be_changed(bench):
    bench.write("data.txt", "x")
    made = tool("true", inputs={"file": "File"}, **iwd({"entry": "$(inputs.file)", "writable": True}))
    (copy,) = bench.resolve(made, "--file=data.txt").job.staged
    assert (copy.target, copy.writable) == ("/gridcwl/out/data.txt", True)


def test_an_empty_folder_has_no_source(bench):
    made = shell("ls", **iwd({"entry": "$({class: 'Directory', basename: 'd', listing: []})", "writable": True}))
    made["requirements"]["InlineJavascriptRequirement"] = {}
    (folder,) = bench.resolve(made).job.staged
    assert (folder.target, folder.kind, folder.sources) == ("/gridcwl/out/d", "directory", ())


def test_two_literals_of_one_name_are_refused(bench):
    with pytest.raises(DocumentError, match="tool has two inputs with the same path /gridcwl/out/x"):
        bench.resolve(shell("true", **iwd({"entryname": "x", "entry": "a"}, {"entryname": "x", "entry": "b"})))


def test_a_literal_and_a_file_of_one_name_are_refused(bench):
    bench.write("x", "1")
    listing = [{"entryname": "x", "entry": "a"}, "$(inputs.file)"]
    with pytest.raises(DocumentError, match="inputs with the same path /gridcwl/out/x"):
        bench.resolve(tool("true", inputs={"file": "File"}, **iwd(*listing)), "--file=x")


def test_resources_are_the_minimum_rounded_up(bench):
    wanted = {"coresMin": 1.5, "ramMin": "$(inputs.mib * 2)", "tmpdirMin": 7, "outdirMax": 8}
    made = tool("true", inputs={"mib": "int"}, **needs(ResourceRequirement=wanted, InlineJavascriptRequirement={}))
    resources = bench.resolve(made, "--mib=100").job.resources
    assert (resources.ram_mib, resources.tmp_mib, resources.out_mib) == (200, 7, 8)
    assert resources.cores in (1.5, 2.0)


@pytest.mark.parametrize(("limit", "expected"), [(60, 60), (0, None)])
def test_a_time_limit_of_zero_is_none(bench, limit, expected):
    made = tool("true", **needs(ToolTimeLimit={"timelimit": limit}))
    assert bench.resolve(made).job.resources.time_limit_s == expected


def test_there_is_no_network_but_for_those_who_ask(bench):
    assert bench.resolve(tool("true")).job.resources.network is False
    assert bench.resolve(tool("true", **needs(NetworkAccess={"networkAccess": True}))).job.resources.network is True


def test_exit_codes_are_read_as_the_document_declares(bench):
    codes = bench.resolve(
        tool("true", successCodes=[0, 3], temporaryFailCodes=[75], permanentFailCodes=[9])
    ).job.exit_codes
    assert (codes.success, codes.temporary_failure, codes.permanent_failure) == ((0, 3), (75,), (9,))


def test_a_tool_without_a_command_is_refused(bench):
    with pytest.raises(DocumentError, match="tool has an empty command line"):
        bench.resolve(tool())


@pytest.mark.parametrize(
    ("requirement", "image"),
    [
        ({"dockerPull": "a:1"}, Image("a:1", pull="a:1")),
        ({"dockerPull": "a:1", "dockerImageId": "b"}, Image("b", pull="a:1")),
        ({"dockerImageId": "b"}, Image("b")),
        ({"dockerLoad": "/x.tar", "dockerImageId": "b"}, Image("b", load="/x.tar")),
        ({"dockerImport": "/x.tar", "dockerImageId": "b"}, Image("b", rootfs="/x.tar")),
        ({"dockerFile": "FROM a", "dockerImageId": "b"}, Image("b", file="FROM a")),
    ],
)
def test_an_image_is_known_by_its_id_or_by_what_is_pulled(bench, requirement, image):
    assert bench.resolve(tool("true", **needs(DockerRequirement=requirement)), containers=True).job.image == image


def test_an_image_made_of_a_text_is_named_after_the_text(bench):
    def image_of(text):
        made = tool("true", **needs(DockerRequirement={"dockerFile": text}))
        return bench.resolve(made, containers=True).job.image.id

    assert image_of("FROM a") == image_of("FROM a") != image_of("FROM b")


def test_a_tool_that_requires_a_container_is_not_run_without(bench):
    with pytest.raises(UnsupportedError):
        bench.resolve(tool("true", **needs(DockerRequirement=IMAGE)))


def test_a_container_that_is_only_a_hint_is_left_out(bench):
    assert bench.resolve(tool("true", hints={"DockerRequirement": IMAGE})).job.image is None


def test_globs_are_kept_relative_to_the_output_directory(bench):
    outputs = {
        "a": {"type": "File", "outputBinding": {"glob": "a.txt"}},
        "b": {"type": "File[]", "outputBinding": {"glob": ["*.b", "$(runtime.outdir)/c"], "loadContents": True}},
    }
    assert bench.resolve(tool("true", outputs=outputs)).job.outputs == OutputRules(("a.txt", "*.b", "c"), ("*.b", "c"))


@pytest.mark.parametrize(
    "port",
    [
        {"type": "File", "outputBinding": {"glob": "a", "outputEval": "$(self[0])"}},
        {"type": "File", "outputBinding": {"glob": "a"}, "secondaryFiles": [".idx"]},
        {"type": "Directory", "outputBinding": {"glob": "."}},
    ],
)
def test_everything_is_kept_where_only_an_expression_can_tell(bench, port):
    assert bench.resolve(tool("true", outputs={"o": port})).job.outputs.globs is None


def test_an_expression_that_fails_names_where_it_is(bench):
    with pytest.raises(ExpressionError, match=r"doc\.cwl:\d+:\d+: \$\(inputs\.nothing\): there is no input 'nothing'"):
        bench.resolve(tool("echo", arguments=["$(inputs.nothing)"]), js_validation=False)


def test_secrets_travel_as_stand_ins_until_they_are_revealed(bench):
    made = tool("login", inputs={"word": on_command_line("string")}) | {
        "$namespaces": {"cwltool": "http://commonwl.org/cwltool#"},
        "hints": {"cwltool:Secrets": {"secrets": ["word"]}},
    }
    session = bench.open(made, "--word=sesame")
    inputs = session.inputs()
    assert "sesame" not in str(inputs)
    assert with_secrets({"command": ("login", inputs["word"])}, session.secrets.secrets) == {
        "command": ["login", "sesame"]
    }
    assert session.hide("open sesame!") == "open (secret)!"


def test_reuse_follows_the_document(bench):
    assert bench.resolve(tool("true")).reusable
    assert not bench.resolve(tool("date", **needs(WorkReuse={"enableReuse": False}))).reusable
