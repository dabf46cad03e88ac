"""A run for a service: the document and its inputs are read here, where mistakes can be shown, and uploaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gridcwl.cwl.grouped import input_to_group
from gridcwl.cwl.problems import adopt_logging
from gridcwl.cwl.uploads import Uploads, uploads_of
from gridcwl.errors import ConfigError
from gridcwl.remote.connection import WES, Connection, form_of
from gridcwl.runs.dialect import grouping_of
from gridcwl.runs.from_options import opened
from gridcwl.runs.options import Options

_VERSIONS = ("v1.0", "v1.1", "v1.2")


def prepared(options: Options, folder: Path, text: str | None, *, check: bool = True) -> tuple[dict[str, str], Uploads]:
    """The fields of a request, and what it uploads.

    Args:
        options: of the run.
        folder: where relative paths count from.
        text: the input object, where an empty word stands for it.
        check: whether the input object is complete; with templates in it, it is not.

    Raises:
        GridCWLError: the document or its inputs are wrong.
    """
    adopt_logging()
    session = opened(options, folder=folder, text=text)
    how = grouping_of(options, session)
    name = input_to_group(session.document.process, how.input) if how is not None else ""
    uploads = uploads_of(session, name, check=check)
    written = str(session.document.process.metadata.get("http://commonwl.org/cwltool#original_cwlVersion", "v1.2"))
    fields = {
        "workflow_type": "CWL",
        "workflow_type_version": written if written in _VERSIONS else "v1.2",
        "workflow_url": uploads.document,
        "workflow_params": json.dumps(uploads.params, default=_number),
        "workflow_engine_parameters": json.dumps(_parameters(options)),
    }
    if options.run_name:
        fields["tags"] = json.dumps({"name": options.run_name})
    return fields, uploads


def submit(connection: Connection, fields: Mapping[str, str], uploads: Uploads) -> str:
    """Upload and start a run; returns its id.

    Raises:
        GridCWLError: the service refuses it, or does not answer.
    """
    with ExitStack() as stack:
        form = list(form_of(fields, uploads.files))
        for _, (_, content, *_) in form:
            if hasattr(content, "close"):
                stack.callback(content.close)
        answer = connection.post(f"{WES}/runs", files=form)
    run = answer.get("run_id") if isinstance(answer, dict) else None
    if not isinstance(run, str):
        raise ConfigError(f"The service {connection.url} gives no run id", remedy="Is it a WES service?")
    return run


_ALLOWED = frozenset(
    {
        *("outdir", "basedir", "name", "max_jobs", "on_error", "retries", "cap_resources", "cache", "enable_dev"),
        *("skip_schemas", "strict", "eval_timeout", "strict_memory_limit", "strict_cpu_limit", "targets"),
        *("single_step", "single_process", "javascript", "state_dir", "cache_dir", "group", "chunks", "balance"),
    }
)
_FOR_RESUME = ("on_error", "retries", "max_jobs", "cap_resources")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that the service decides.

    Raises:
        ConfigError: naming the first one.
    """
    for name, value in settings.items():
        if name not in _ALLOWED and value is not None:
            raise ConfigError(
                f"{name} has no effect on a run at a service: the service decides it", remedy="Leave it out."
            )


def resume_parameters(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The changes with which a run at a service is resumed.

    Raises:
        ConfigError: one is not possible there.
    """
    for name in settings:
        if name not in (*_FOR_RESUME, "outdir"):
            raise ConfigError(f"A run at a service cannot be resumed with another {name}", remedy="Leave it out.")
    return {f"--{name.replace('_', '-')}": settings[name] for name in _FOR_RESUME if settings.get(name) is not None}


def _parameters(options: Options) -> dict[str, str]:
    """The options that a service lets clients choose, where they differ from what holds anyway."""
    plain, place = Options(document=""), options.grid.settings
    chosen: dict[str, Any] = {
        "--on-error": options.on_error if options.on_error != plain.on_error else None,
        "--retries": options.retries or None,
        "--max-jobs": options.max_jobs,
        "--cap-resources": options.cap_resources or None,
        "--cache": options.cache or None,
        "--enable-dev": options.enable_dev or None,
        "--skip-schemas": options.skip_schemas or None,
        "--non-strict": not options.strict or None,
        "--eval-timeout": int(options.eval_timeout_s) if options.eval_timeout_s != plain.eval_timeout_s else None,
        "--strict-memory-limit": getattr(place, "strict_memory_limit", None) or None,
        "--strict-cpu-limit": getattr(place, "strict_cpu_limit", None) or None,
        "--target": ",".join(options.cwltool.targets) or None,
        "--single-step": options.cwltool.single_step,
        "--single-process": options.cwltool.single_process,
        **(options.grouping.words() if options.grouping is not None else {}),
    }
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in chosen.items()
        if value is not None
    }


def _number(value: Any) -> Any:
    return float(value) if hasattr(value, "__float__") else str(value)
