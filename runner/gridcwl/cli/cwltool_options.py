"""Options that gridcwl has because cwltool has them: parts of a workflow, what is printed, containers, refusals."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from gridcwl.cli.parsing import RefusedOption
from gridcwl.cli.provenance_commands import add_crate_options
from gridcwl.runs.options import CwltoolOptions
from gridcwl.worker.engine import ContainerSettings

_PACKAGES = (
    "gridcwl installs no software; map packages to images or environment modules in its configuration, as [software]"
)
REFUSED = {
    "--beta-dependency-resolvers-configuration": _PACKAGES,
    "--beta-dependencies-directory": _PACKAGES,
    "--beta-conda-dependencies": _PACKAGES,
    "--beta-use-biocontainers": "gridcwl does not choose images; name one with --default-container IMAGE",
    "--generate-help-preview": "gridcwl draws no picture of its help; --help prints it",
}
"""Options of cwltool that are an error here, with the reason."""


def add_parts(group: argparse._ArgumentGroup) -> None:
    """Add the options that choose a part of a workflow."""
    ways = group.add_mutually_exclusive_group()
    ways.add_argument(
        "--target", "-t", action="append", metavar="NAME", help="only what this output needs, or what needs this step"
    )
    ways.add_argument("--single-step", metavar="STEP", help="only this step, with its scatter and condition")
    ways.add_argument("--single-process", metavar="STEP", help="only the tool or workflow that this step runs")


def add_printed(group: argparse._MutuallyExclusiveGroup) -> None:
    """Add the options that print something instead of running."""
    for option, value, text in (
        ("--tool-help", "help", "print the document's inputs as options"),
        ("--print-targets", "targets", "print what --target can name"),
        ("--print-subgraph", "subgraph", "print the part that --target or --single-step chooses"),
        ("--print-deps", "deps", "print the files that the document consists of"),
        ("--print-input-deps", "input-deps", "print the files of the input object"),
        ("--print-pre", "pre", "print the document after preprocessing"),
        ("--print-rdf", "rdf", "print the document as RDF"),
        ("--print-supported-versions", "versions", "print the versions of CWL"),
    ):
        group.add_argument(option, dest="show", action="store_const", const=value, help=text)


def add_how_printed(group: argparse._ArgumentGroup) -> None:
    """Add the options that say how it is printed."""
    group.add_argument(
        "--relative-deps",
        choices=("primary", "cwd"),
        default="primary",
        help="paths of --print-deps are relative to the document or to this directory (default: primary)",
    )
    group.add_argument("--rdf-serializer", metavar="FORMAT", default="turtle", help="turtle (default), n3, nt or xml")


def add_containers(group: argparse._ArgumentGroup) -> None:
    """Add the options for containers."""
    group.add_argument("--user-space-docker-cmd", metavar="CMD", help="run containers with this udocker")
    pulls = group.add_mutually_exclusive_group()
    pulls.add_argument("--force-docker-pull", action="store_true", help="pull images even if they are present")
    pulls.add_argument("--disable-pull", dest="pull", action="store_false", default=True, help="do not pull images")
    pulls.add_argument("--enable-pull", dest="pull", action="store_true", help=argparse.SUPPRESS)
    group.add_argument("--custom-net", metavar="NET", help="network of containers that may use one")
    group.add_argument("--no-match-user", action="store_true", help="run as the image's user (docker, podman)")
    group.add_argument("--no-read-only", action="store_true", help="let tools write into the image's folders")
    keep = group.add_mutually_exclusive_group()
    keep.add_argument("--leave-container", dest="rm_container", action="store_false", help="do not remove containers")
    keep.add_argument("--rm-container", dest="rm_container", action="store_true", default=True, help=argparse.SUPPRESS)
    group.add_argument("--cidfile-dir", metavar="DIR", help="directory for files with the ids of containers")
    group.add_argument("--cidfile-prefix", metavar="PREFIX", help="prefix of the names of these files")
    group.add_argument("--record-container-id", action="store_true", help=argparse.SUPPRESS)
    group.add_argument(
        "--singularity-sandbox-path", metavar="DIR", help="directory of unpacked images (singularity, apptainer)"
    )


def add_results(group: argparse._ArgumentGroup) -> None:
    """Add the options for what jobs leave."""
    group.add_argument("--log-dir", metavar="DIR", help="copy stdout and stderr of tools to this directory")
    sums = group.add_mutually_exclusive_group()
    sums.add_argument(
        "--no-compute-checksum", dest="checksums", action="store_false", help="print output objects without checksums"
    )
    sums.add_argument("--compute-checksum", dest="checksums", action="store_true", default=True, help=argparse.SUPPRESS)


def add_provenance(group: argparse._ArgumentGroup) -> None:
    """Add the options for the crate of the run."""
    group.add_argument("--provenance", metavar="DIR", help="write the run as an RO-Crate to this folder or .zip")
    add_crate_options(group)


def add_reading(group: argparse._ArgumentGroup) -> None:
    """Add the options for how documents are read."""
    group.add_argument("--disable-js-validation", action="store_true", help="do not check expressions before the run")
    group.add_argument("--js-hint-options-file", metavar="FILE", help="options of jshint, to check expressions with it")
    group.add_argument(
        "--add-ga4gh-tool-registry", action="append", metavar="URL", help="look for documents in this registry"
    )
    registry = group.add_mutually_exclusive_group()
    registry.add_argument(
        "--disable-ga4gh-tool-registry", dest="registry", action="store_false", help="look in no registry"
    )
    registry.add_argument(
        "--enable-ga4gh-tool-registry", dest="registry", action="store_true", default=True, help=argparse.SUPPRESS
    )
    cache = group.add_mutually_exclusive_group()
    cache.add_argument(
        "--no-doc-cache", dest="doc_cache", action="store_false", help="do not cache documents from the web"
    )
    cache.add_argument("--doc-cache", dest="doc_cache", action="store_true", default=True, help=argparse.SUPPRESS)
    group.add_argument("--fast-parser", action="store_true", help=argparse.SUPPRESS)  # the same result, here too


def add_refused(parser: argparse.ArgumentParser) -> None:
    """Add the options that are refused."""
    for option, why in REFUSED.items():
        if option not in parser._option_string_actions:
            parser.add_argument(option, action=RefusedOption, why=why)


def read(given: argparse.Namespace) -> CwltoolOptions:
    """The options of a command line."""
    pull: Literal["missing", "always", "never"] = "always" if given.force_docker_pull else "missing"
    folder = given.cidfile_dir or ("." if given.record_container_id else None)
    registries = tuple(given.add_ga4gh_tool_registry or ()) or None
    return CwltoolOptions(
        targets=tuple(given.target or ()),
        single_step=given.single_step,
        single_process=given.single_process,
        relative_deps=given.relative_deps,
        rdf_serializer=given.rdf_serializer,
        log_dir=str(Path(given.log_dir).absolute()) if given.log_dir else None,
        checksums=given.checksums,
        js_validation=not given.disable_js_validation,
        js_hints=str(Path(given.js_hint_options_file).absolute()) if given.js_hint_options_file else None,
        registries=registries if given.registry else (),
        document_cache=given.doc_cache,
        provenance=str(Path(given.provenance).absolute()) if given.provenance else None,
        orcid=given.orcid or "",
        full_name=given.full_name or "",
        user_provenance=given.user,
        host_provenance=given.host,
        crate_data=given.data or "auto",
        crate_limit=given.data_limit,
        containers=ContainerSettings(
            program=given.user_space_docker_cmd,
            pull=pull if given.pull else "never",
            network=given.custom_net,
            match_user=not given.no_match_user,
            read_only=not given.no_read_only,
            remove=given.rm_container,
            id_folder=str(Path(folder).absolute()) if folder else None,
            id_prefix=given.cidfile_prefix or "",
            sandboxes=str(Path(given.singularity_sandbox_path).absolute()) if given.singularity_sandbox_path else None,
        ),
    )
