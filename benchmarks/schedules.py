"""What 1,000 schedules cost a driver: all due at once, a minute in which nothing is due, and a week's outage.

python benchmarks/schedules.py [NUMBER]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gridcwl.schedules.driver import RunState, TickDriver
from gridcwl.schedules.model import Schedule, Tick, Trigger
from gridcwl.schedules.store import ScheduleStore

START = 1_792_454_400.0
"""A midnight."""


class Runs:
    """Runs that end at once."""

    def __init__(self) -> None:
        self.states: dict[str, RunState] = {}

    def find(self, _schedule: Schedule) -> Sequence[str]:
        return []

    def start(self, _schedule: Schedule, tick: Tick) -> None:
        self.states[tick.run] = "success"

    resume = start

    def state(self, tick: Tick) -> tuple[RunState, str]:
        return self.states.get(tick.run, "missing"), ""

    def cancel(self, tick: Tick) -> None:
        pass

    def remove(self, tick: Tick) -> None:
        pass


def main(number: int) -> None:
    with tempfile.TemporaryDirectory() as folder, ScheduleStore(Path(folder, "schedules.db")) as store:
        for index in range(number):
            trigger = Trigger(cron="*/15 * * * *", timezone="Europe/Berlin")
            store.add(Schedule(id=f"{index:x}", name=f"s{index}", trigger=trigger, catch_up="latest"), START)
        runs = Runs()
        driver = TickDriver(store, runs, Path(folder, "drivers"))
        with driver.alive():
            for what, now in (
                ("first look", START + 1),
                ("nothing due", START + 60),
                ("all due", START + 900),
                ("their ends", START + 901),
                ("after a week", START + 7 * 86_400),
            ):
                begin, busy = time.perf_counter(), time.process_time()
                driver.step(now)
                took, busy = time.perf_counter() - begin, time.process_time() - busy
                print(f"{what:<14} {took:7.3f} s, of the processor {busy:7.3f} s; {len(runs.states)} runs so far")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
