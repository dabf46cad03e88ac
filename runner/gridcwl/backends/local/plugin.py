"""How the local backend is found, and its settings: the table ``[local]``."""

from __future__ import annotations

from typing import Annotated

import msgspec

from gridcwl.backends.base import BackendPlugin
from gridcwl.settings import Setting


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How jobs run in containers on this machine."""

    reuse_containers: Annotated[
        bool,
        Setting(
            "reuse a container for several jobs (docker)",
            option="--reuse-containers",
            off="--no-reuse-containers",
            alone=True,
        ),
    ] = False
    strict_memory_limit: Annotated[
        bool,
        Setting("limit the memory of containers to their ramMin", option="--strict-memory-limit", alone=True),
    ] = False
    strict_cpu_limit: Annotated[
        bool,
        Setting("limit the cores of containers to their coresMin", option="--strict-cpu-limit", alone=True),
    ] = False


PLUGIN = BackendPlugin(
    "local",
    "this machine",
    "gridcwl.backends.local.factory",
    settings=LocalSettings,
    table="local",
    hooks=frozenset({"start_ahead", "stop_processes", "stop_containers", "offers", "open_nodes", "machine_planner"}),
    reads=frozenset(
        {
            "engine",
            "max_jobs",
            "cap_resources",
            "user_space_docker_cmd",
            "force_docker_pull",
            "pull",
            "custom_net",
            "no_match_user",
            "no_read_only",
            "rm_container",
            "cidfile_dir",
            "cidfile_prefix",
            "record_container_id",
            "singularity_sandbox_path",
        }
    ),
)
