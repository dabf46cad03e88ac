"""Many kernels in jobs at a time: ``make test-kernels`` starts twenty."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from job_kernels import PATIENCE_S, added, own_jupyter
from jupyter_client.manager import AsyncKernelManager

COUNT = int(os.environ.get("GRIDCWL_KERNELS", "2"))
LINES = 2000
pytestmark = pytest.mark.timeout(1200)


async def printed(number: int) -> tuple[int, str, bool]:
    """What a kernel of its own prints; the last is whether it was alive at the end."""
    manager = AsyncKernelManager(kernel_name="grid")
    await manager.start_kernel()
    try:
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=4 * PATIENCE_S)
        found: list[str] = []

        def show(message: Any) -> None:
            if message["msg_type"] == "stream":
                found.append(message["content"]["text"])

        code = f"for line in range({LINES}): print({number}, line, 'x' * 500)"
        await client.execute_interactive(code, output_hook=show, timeout=4 * PATIENCE_S)
        alive = await manager.is_alive()
        client.stop_channels()
        return number, "".join(found), alive
    finally:
        await manager.shutdown_kernel(now=True)


def test_kernels_at_a_time_have_their_own_outputs(tmp_path: Path) -> None:
    async def run() -> list[tuple[int, str, bool]]:
        return await asyncio.gather(*(printed(number) for number in range(COUNT)))

    with own_jupyter(tmp_path):
        added("grid")
        for number, text, alive in asyncio.run(run()):
            assert alive
            assert text == "".join(f"{number} {line} {'x' * 500}\n" for line in range(LINES))
