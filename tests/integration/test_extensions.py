"""cwltool's extensions to CWL, as they are in use: each does what it does there, or is refused with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commandline import CommandResult, gridcwl
from documents import Desk, Document, glob, on_command_line, shell, step, tool, workflow

NAMESPACES = {"cwltool": "http://commonwl.org/cwltool#"}
IMAGE = "debian:trixie-slim"


def extended(document: Document, /, kind: str = "requirements", **used: Any) -> Document:
    """The document with these of cwltool's classes among its requirements."""
    named = {f"cwltool:{name}": body for name, body in used.items()}
    return document | {"$namespaces": NAMESPACES, kind: document.get(kind, {}) | named}


def said_by(desk: Desk, document: Document, *words: str, containers: bool = False) -> CommandResult:
    """Run the document, without containers unless they are asked for."""
    where = ["--docker"] if containers else ["--no-container"]
    return gridcwl("--quiet", *where, "--outdir", str(desk.outdir), desk.write("main.cwl", document), *words)


def text_of(result: CommandResult, output: str = "o") -> str:
    """What is in an output."""
    assert result.code == 0, result.stderr
    return Path(result.outputs[output]["path"]).read_text()


def refused(result: CommandResult, *words: str, code: int = 1) -> None:
    """It says so in a line or a few, and leaves no trace."""
    assert result.code == code, result.stderr
    assert [word for word in words if word not in result.stderr] == []
    assert "Traceback" not in result.stderr


ECHO = shell("echo here", outputs={"o": "stdout"}, stdout="o")
CUDA = {"cudaVersionMin": "11.0", "cudaComputeCapability": "3.0"}


@pytest.mark.skipif(any(Path("/dev").glob("nvidia[0-9]*")), reason="this machine has a GPU")
@pytest.mark.parametrize(
    ("wanted", "number"),
    [({}, 1), ({"cudaDeviceCountMin": 2}, 2), ({"cudaDeviceCountMin": 2, "cudaDeviceCountMax": 4}, 2)],
)
def test_a_gpu_that_is_not_there_is_missed_before_anything_runs(
    desk: Desk, wanted: dict[str, int], number: int
) -> None:
    text = said_by(desk, extended(ECHO, CUDARequirement=CUDA | wanted))
    refused(text, f"asks for {number} GPU(s), but this machine has 0", "CUDARequirement")


@pytest.mark.skipif(any(Path("/dev").glob("nvidia[0-9]*")), reason="this machine has a GPU")
def test_a_gpu_that_a_hint_asks_for_may_be_missing(desk: Desk) -> None:
    document = desk.write("main.cwl", extended(ECHO, "hints", CUDARequirement=CUDA))
    result = gridcwl("--outdir", str(desk.outdir), document)
    assert text_of(result) == "here\n"
    assert "GPU" in result.stderr


@pytest.mark.skipif(any(Path("/dev").glob("nvidia[0-9]*")), reason="this machine has a GPU")
def test_a_number_of_gpus_may_be_an_expression(desk: Desk) -> None:
    asks = extended(ECHO | {"inputs": {"n": "int"}}, CUDARequirement=CUDA | {"cudaDeviceCountMin": "$(inputs.n)"})
    refused(said_by(desk, asks, "--n", "2"), "GPU(s), but this machine has 0")


def test_secrets_reach_command_and_files_and_nothing_that_is_shown_or_kept(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRIDCWL_STATE_DIR", str(tmp_path / "kept"))
    listing = {"InitialWorkDirRequirement": {"listing": [{"entryname": "login", "entry": "word=$(inputs.word)"}]}}
    script = 'echo "${#0} $(wc -c < login)"; echo "I was told $0" >&2'
    fields: Document = {"inputs": {"word": on_command_line("string")}, "requirements": listing}
    document = shell(script, outputs={"o": "stdout"}, stdout="o", **fields)
    hidden = extended(document, "hints", Secrets={"secrets": ["word"]})
    desk.write("in.yml", "word: hunter22\n")
    assert text_of(said_by(desk, hidden, "in.yml")) == "8 13\n"
    failing = extended(shell(script + "; exit 3", **fields), "hints", Secrets={"secrets": ["word"]})
    result = said_by(desk, failing, "in.yml")
    refused(result, "I was told (secret)")
    assert "hunter22" not in result.stderr
    told = [path for path in (tmp_path / "kept").rglob("stderr.log") if "I was told (secret)" in path.read_text()]
    assert len(told) == 2
    kept = [path for path in (tmp_path / "kept").rglob("*") if path.is_file() and b"hunter22" in path.read_bytes()]
    assert kept == []


def launcher(desk: Desk, name: str) -> Path:
    """A launcher of MPI jobs that says how it was called."""
    path = Path(desk.write(f"bin/{name}", '#!/bin/sh\necho "$0 $1 $2" | sed "s,.*/,,"\nshift 2\nexec "$@"\n'))
    path.chmod(0o755)
    return path


COUNTED = extended(
    shell("echo ${MPI_SET-} ${MPI_PASSED-}", inputs={"n": "int"}, outputs={"o": "stdout"}, stdout="o"),
    MPIRequirement={"processes": "$(inputs.n)"},
)


def test_mpi_puts_the_launcher_before_the_command(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = launcher(desk, "mpirun").parent
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    assert text_of(said_by(desk, COUNTED, "--n", "3")) == "mpirun -n 3\n\n"
    assert text_of(said_by(desk, COUNTED, "--n", "0")) == "\n"


def test_mpi_is_done_as_the_configuration_has_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPI_PASSED", "passed")
    settings = (
        f"runner: {launcher(desk, 'srun')}\nnproc_flag: --ntasks\nenv_set: {{MPI_SET: set}}\nenv_pass: [MPI_PASSED]\n"
    )
    desk.write("mpi.yml", settings)
    result = gridcwl(
        "--quiet", "--no-container", "--mpi-config-file", "mpi.yml", "--outdir", str(desk.outdir),
        desk.write("main.cwl", COUNTED), "--n", "2",
    )  # fmt: skip
    assert text_of(result) == "srun --ntasks 2\nset passed\n"


@pytest.mark.parametrize(
    ("settings", "why"), [("launcher: srun\n", "Unknown key(s)"), ("- a list\n", ""), (None, "No such file")]
)
def test_a_wrong_mpi_configuration_is_one_error(desk: Desk, settings: str | None, why: str) -> None:
    if settings is not None:
        desk.write("mpi.yml", settings)
    main = desk.write("main.cwl", COUNTED)
    refused(gridcwl("--no-container", "--mpi-config-file", "mpi.yml", main, "--n", "2"), "The MPI configuration", why)


@pytest.mark.parametrize("version", ["v1.0", "v1.2"])
def test_in_place_updates_change_the_file_itself(desk: Desk, version: str) -> None:
    name = "cwltool:InplaceUpdateRequirement" if version == "v1.0" else "InplaceUpdateRequirement"
    listing = [{"entry": "$(inputs.f)", "entryname": "f.txt", "writable": True}]
    adds = tool(
        "sh", "-c", "echo more >> f.txt", inputs={"f": "File"}, outputs={"o": glob("f.txt")},
        requirements={name: {"inplaceUpdate": True}, "InitialWorkDirRequirement": {"listing": listing}},
    )  # fmt: skip
    desk.write("f.txt", "first\n")
    text = said_by(desk, adds | {"cwlVersion": version, "$namespaces": NAMESPACES}, "--f", "f.txt")
    assert text_of(text) == (desk.folder / "f.txt").read_text() == "first\nmore\n"


@pytest.mark.parametrize(("how", "depth"), [("shallow_listing", "1 0"), ("deep_listing", "1 1")])
def test_listings_are_loaded_in_old_documents(desk: Desk, how: str, depth: str) -> None:
    below = "$((inputs.d.listing[0].listing || []).length)"
    counts = tool("echo", inputs={"d": "Directory"}, outputs={"o": "stdout"}, stdout="o", cwlVersion="v1.0")
    counts |= {"arguments": ["$(inputs.d.listing.length)", below], "requirements": {"InlineJavascriptRequirement": {}}}
    desk.write("d/e/f.txt", "x")
    text = said_by(desk, extended(counts, LoadListingRequirement={"loadListing": how}), "--d", "d")
    assert text_of(text) == f"{depth}\n"


def test_a_time_limit_holds_in_old_documents(desk: Desk) -> None:
    sleeps = tool("sleep", "60", cwlVersion="v1.0")
    refused(said_by(desk, extended(sleeps, TimeLimit={"timelimit": 1})), "longer than its limit of 1 s")


def test_work_that_is_not_to_be_reused_is_done_again_in_old_documents(desk: Desk) -> None:
    marks = tool("sh", "-c", f"echo ran >> {desk.folder}/marks", cwlVersion="v1.0")
    for reused in (True, True, False, False):
        main = desk.write("main.cwl", extended(marks, WorkReuse={"enableReuse": reused}))
        assert gridcwl("--quiet", "--no-container", "--cachedir", "kept", main).code == 0
    assert (desk.folder / "marks").read_text() == "ran\n" * 3


@pytest.mark.docker
@pytest.mark.parametrize(("asked", "links"), [(True, "eth0 lo"), (False, "lo")])
def test_a_network_is_there_if_asked_for_in_old_documents(desk: Desk, asked: bool, links: str) -> None:
    looks = tool(
        "sh", "-c", "cd /sys/class/net; echo [el]*[0o]", outputs={"o": "stdout"}, stdout="o", cwlVersion="v1.0"
    )
    looks |= {"hints": {"DockerRequirement": {"dockerPull": IMAGE}}}
    text = said_by(desk, extended(looks, NetworkAccess={"networkAccess": asked}), containers=True)
    assert text_of(text) == f"{links}\n"


@pytest.mark.docker
@pytest.mark.parametrize(("size", "kib"), [("128m", 131072), ("1g", 1048576), ("4096k", 4096), ("8388608", 8192)])
@pytest.mark.parametrize("more", [[], ["--reuse-containers"]])
def test_shared_memory_has_the_size_that_was_asked_for(desk: Desk, size: str, kib: int, more: list[str]) -> None:
    looks = shell("df -k /dev/shm | tail -n 1", outputs={"o": "stdout"}, stdout="o")
    looks |= {"requirements": {"DockerRequirement": {"dockerPull": IMAGE}}}
    main = desk.write("main.cwl", extended(looks, ShmSize={"shmSize": size}))
    assert int(text_of(gridcwl("--quiet", *more, "--outdir", str(desk.outdir), main)).split()[1]) == kib


def test_a_size_of_shared_memory_that_is_none_is_refused(desk: Desk) -> None:
    refused(said_by(desk, extended(ECHO, ShmSize={"shmSize": "12q"})), "a shared memory of '12q'", "128m or 1g")


GENERATOR: Document = {
    "cwlVersion": "v1.2",
    "$namespaces": NAMESPACES,
    "class": "cwltool:ProcessGenerator",
    "inputs": {},
    "outputs": {},
    "run": ECHO,
}


@pytest.mark.parametrize(
    "document", [GENERATOR, workflow({}, {}, s=step(GENERATOR)) | {"$namespaces": NAMESPACES}], ids=["alone", "step"]
)
def test_a_process_generator_is_refused_as_not_supported(desk: Desk, document: Document) -> None:
    refused(said_by(desk, document), "ProcessGenerator, which gridcwl does not run", code=33)
