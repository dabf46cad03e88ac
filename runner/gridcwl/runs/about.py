"""All about one run, for ``gridcwl status`` and for services: plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from gridcwl.runs.record.counts import StepCounts, step_counts
from gridcwl.runs.record.folder import RunFolder
from gridcwl.runs.record.history import History
from gridcwl.runs.record.journal_rows import FailedShard, FailureGroup
from gridcwl.runs.record.listing import about_run, disk_use

_FAILURES = 20
_GROUPS = 10
_OF_A_GROUP = 3
_RUNNING = 20


def about_whole(folder: RunFolder, history: History) -> dict[str, Any]:
    """What the run is and how it stands, with its steps, failures and latest events."""
    about = about_run(folder, history)
    going = about["state"] in ("running", "detached")
    counts = step_counts(history, alive=going)
    groups = history.failure_groups(_GROUPS)
    return about | {
        "disk_bytes": disk_use(folder, history.meta("working")),
        "sessions": [
            {
                "started": s.started,
                "ended": s.ended,
                "status": s.status,
                "message": s.message,
                "host": s.host,
                "pid": s.pid,
            }
            for s in history.sessions()
        ],
        "steps": [_step(step, going) for step in counts],
        "running": [
            {"name": row.name, "where": row.place, "detail": row.detail, "since": row.started, "attempt": row.attempt}
            for row in (history.running(_RUNNING) if going else ())
        ],
        "failures": [_shard(shard) for shard in history.failed_shards(None, _FAILURES)],
        "failure_groups": [_group(group, history.failed_shards(group, _OF_A_GROUP)) for group in groups],
        "events": [{"at": at, "kind": kind, "text": text} for at, _, kind, text in history.events(20)],
        "working": history.meta("working"),
    }


def _step(counts: StepCounts, going: bool) -> dict[str, Any]:
    plain = asdict(counts)
    waiting = plain.pop("waiting")
    return plain | {"waiting": waiting if going else 0, "not_started": 0 if going else waiting}


def _shard(shard: FailedShard) -> dict[str, Any]:
    return {
        "name": shard.name,
        "attempts": shard.attempts,
        "exit_code": shard.exit_code,
        "reason": shard.reason,
        "inputs": dict(shard.inputs),
    }


def _group(group: FailureGroup, shards: list[FailedShard]) -> dict[str, Any]:
    plain = msgspec.structs.asdict(group)
    del plain["alike"]
    return plain | {"shards": [_shard(shard) for shard in shards]}
