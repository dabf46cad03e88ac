"""The rules of ``gridcwl lint``: what is valid CWL and will cause trouble on a grid, elsewhere, or later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class LintRule:
    """One kind of finding.

    Attributes:
        code: its stable name.
        level: as in SARIF.
        name: a short name in words.
        reason: why it is a problem.
        remedy: what to do.
    """

    code: str
    level: Level
    name: str
    reason: str
    remedy: str


_ALL = (
    LintRule(
        "GC001",
        "error",
        "invalid document",
        "The document cannot be loaded; nothing else is checked.",
        "Fix what the message names.",
    ),
    LintRule(
        "GC101",
        "warning",
        "image without a version",
        "An image without a tag, or with `latest`, is another one tomorrow, and at another site.",
        "Name a version, or better a digest: debian:13.1, debian@sha256:...",
    ),
    LintRule(
        "GC102",
        "note",
        "image without a digest",
        "A tag can be moved to another image; results then change without a change of the document.",
        "Pin it: `docker image inspect --format '{{index .RepoDigests 0}}' IMAGE` prints the name with its digest.",
    ),
    LintRule(
        "GC103",
        "warning",
        "no container image",
        "The command has to be installed on every machine that runs it, in the same version.",
        "Add DockerRequirement: {dockerPull: ...} to its hints or requirements.",
    ),
    LintRule(
        "GC104",
        "warning",
        "image that is built or loaded where the job runs",
        "dockerFile, dockerLoad and dockerImport do not work with every engine, and not at most grid sites.",
        "Push the image to a registry, and name it with dockerPull.",
    ),
    LintRule(
        "GC110",
        "warning",
        "needs the network",
        "Worker nodes may have no network, and what a server answers changes.",
        "Take the data as an input File, and remove NetworkAccess.",
    ),
    LintRule(
        "GC111",
        "warning",
        "downloads without NetworkAccess",
        "Containers have no network unless the document asks for it: this command will fail.",
        "Take the data as an input File, or add NetworkAccess: {networkAccess: true}.",
    ),
    LintRule(
        "GC120",
        "warning",
        "absolute path in a command",
        "The path exists on one machine, and not in the container or at another site.",
        "Make the file an input, or put it into the image.",
    ),
    LintRule(
        "GC121",
        "warning",
        "absolute path of a default file",
        "The path exists on one machine only.",
        "Put the file next to the document, and write a relative path.",
    ),
    LintRule(
        "GC122",
        "warning",
        "default file that does not exist",
        "A run without this input will fail.",
        "Correct the path, which counts from the document's folder, or remove the default.",
    ),
    LintRule(
        "GC123",
        "warning",
        "variable that no shell expands",
        "Commands start without a shell: `$HOME` or `~` reaches the program as these characters.",
        "Write $(runtime.outdir) or $(runtime.tmpdir), or make the path an input.",
    ),
    LintRule(
        "GC124",
        "warning",
        "variable that belongs to the runner",
        "HOME, TMPDIR, PATH and the like are set by the runner or the image; others override or ignore this.",
        "Use another variable, or set it in the image.",
    ),
    LintRule(
        "GC130",
        "warning",
        "updates files in place",
        "InplaceUpdateRequirement changes inputs: such jobs cannot be repeated, cached, or run far from their data.",
        "Write a new file, or use InitialWorkDirRequirement with writable: true.",
    ),
    LintRule(
        "GC131",
        "warning",
        "deep listing",
        "deep_listing lists every file below a directory, for every job: slow and large with many files.",
        "Use shallow_listing or no_listing, or a File array.",
    ),
    LintRule(
        "GC140",
        "warning",
        "no ramMin",
        "CWL's default of 256 MiB is asked for, and a site may kill a job that takes more.",
        "Measure it, and add ResourceRequirement: {ramMin: MIB}.",
    ),
    LintRule(
        "GC141",
        "warning",
        "no coresMin",
        "One core is asked for, whatever the program uses.",
        "Add ResourceRequirement: {coresMin: N}.",
    ),
    LintRule(
        "GC201",
        "warning",
        "input that the tool does not use",
        "It has no inputBinding, and no expression reads it.",
        "Give it an inputBinding, or remove it.",
    ),
    LintRule(
        "GC202",
        "warning",
        "workflow input that no step reads",
        "It has to be given, and changes nothing.",
        "Connect it to a step, or remove it.",
    ),
    LintRule(
        "GC203",
        "note",
        "step output that is not used",
        "The file is stored and transferred for nothing.",
        "Connect it, or remove it from the step's out.",
    ),
    LintRule(
        "GC204",
        "warning",
        "step input that its process does not have",
        "The value goes nowhere; a misspelt name looks like this.",
        "Correct the name, or remove it.",
    ),
    LintRule(
        "GC301",
        "warning",
        "unquoted value in a shell command",
        "With shellQuote: false a blank or a quote in the value becomes shell code.",
        "Leave shellQuote out for values that come from inputs.",
    ),
    LintRule(
        "GC302",
        "note",
        "ShellCommandRequirement without effect",
        "All words are quoted unless one has shellQuote: false.",
        "Remove the requirement, or set shellQuote: false for the words that are shell syntax.",
    ),
    LintRule(
        "GC303",
        "warning",
        "input inside of a shell script",
        "A value with a blank, a quote or a semicolon changes the script.",
        "Pass it as an argument: [sh, -c, 'cat \"$1\"', name] with an inputBinding.",
    ),
    LintRule(
        "GC304",
        "warning",
        "shell syntax without a shell",
        "Without ShellCommandRequirement the program gets `|`, `>` or `*` as a plain word.",
        "Use stdout and stdin, or ShellCommandRequirement with shellQuote: false.",
    ),
    LintRule(
        "GC401",
        "warning",
        "requirement that is not CWL's",
        "Other runners must refuse a document with a requirement that they do not know.",
        "Move it to hints, which others ignore.",
    ),
    LintRule(
        "GC402",
        "warning",
        "development version of CWL",
        "Other runners need a switch for it, and its meaning may change.",
        "Use cwlVersion: v1.2.",
    ),
    LintRule(
        "GC403",
        "note",
        "reference to another server",
        "The document cannot be loaded without the network, and may change.",
        "Keep a copy next to the document.",
    ),
    LintRule(
        "GC404",
        "note",
        "InlineJavascriptRequirement without JavaScript",
        "Runners then need node for nothing.",
        "Remove it: parameter references such as $(inputs.x.basename) do without.",
    ),
    LintRule(
        "GC410",
        "note",
        "same file name for every shard",
        "The final outputs of a scattered step have one name; they are renamed by number, and cannot be distinguished.",
        "Derive the name from an input: $(inputs.reads.nameroot).bam.",
    ),
    LintRule(
        "GC411",
        "note",
        "same file name for two outputs",
        "Two outputs of the workflow have one name; one of them is renamed.",
        "Give the tools different output names.",
    ),
    LintRule(
        "GC412",
        "warning",
        "stdout and stderr share a file",
        "Each overwrites what the other has written.",
        "Give them different names.",
    ),
    LintRule(
        "GC413",
        "note",
        "stdout without a name",
        "The file gets a random name.",
        "Add stdout: NAME (or stderr: NAME) to the tool.",
    ),
)

RULES: dict[str, LintRule] = {rule.code: rule for rule in _ALL}
