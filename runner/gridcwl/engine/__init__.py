"""The dataflow: which invocations are ready, with which inputs, and what comes out in the end.

An event-driven core over an immutable graph of plain values. No I/O, no cwltool, no asyncio, no containers: expressions
go through an injected ``Evaluator``, invocations are run by whoever takes them.
"""

from gridcwl.engine.dataflow import Dataflow, EngineFailure, Invocation, OnError, Status, spelled
from gridcwl.engine.evaluation import Evaluator
from gridcwl.engine.graph import (
    MISSING,
    Leaf,
    LeafKind,
    LinkMerge,
    Loop,
    LoopOutput,
    Missing,
    PickValue,
    ScatterMethod,
    Sink,
    Step,
    Values,
    Workflow,
)
from gridcwl.engine.instances import Path
from gridcwl.engine.progress import StepProgress

__all__ = [
    "MISSING",
    "Dataflow",
    "EngineFailure",
    "Evaluator",
    "Invocation",
    "Leaf",
    "LeafKind",
    "LinkMerge",
    "Loop",
    "LoopOutput",
    "Missing",
    "OnError",
    "Path",
    "PickValue",
    "ScatterMethod",
    "Sink",
    "Status",
    "Step",
    "StepProgress",
    "Values",
    "Workflow",
    "spelled",
]
