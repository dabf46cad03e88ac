"""How the local backend is found; the backend itself is in ``gridcwl.backends.local.backend``."""

from __future__ import annotations

from gridcwl.backends.base import BackendPlugin

PLUGIN = BackendPlugin(
    "local",
    "this machine",
    "gridcwl.backends.local.factory",
    hooks=frozenset({"start_ahead", "stop_processes", "stop_containers"}),
    reads=frozenset(
        {
            "engine",
            "max_jobs",
            "reuse_containers",
            "strict_memory_limit",
            "strict_cpu_limit",
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
