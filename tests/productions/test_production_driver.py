"""Productions with fake runs: portions, failures that are submitted again, extension, stops."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gridcwl.errors import ConfigError
from gridcwl.productions.driver import ProductionDriver
from gridcwl.productions.model import PortionState, Production, portions_of, progress, seeds_of
from gridcwl.productions.store import ProductionStore


@dataclass
class FakeRuns:
    """Runs of which some instances fail, so often; what has succeeded does not run again."""

    fails: dict[int, int] = field(default_factory=dict)
    """By seed: how often it fails."""
    states: dict[str, str] = field(default_factory=dict)
    done: dict[str, set] = field(default_factory=dict)
    executed: list[int] = field(default_factory=list)
    most: int = 0
    cancelled: list[str] = field(default_factory=list)
    collected: list[int] = field(default_factory=list)
    portions: dict[str, object] = field(default_factory=dict)

    def start(self, _production, portion):
        assert portion.run not in self.states
        self.portions[portion.run] = portion
        self.states[portion.run] = "active"
        self.most = max(self.most, sum(state == "active" for state in self.states.values()))

    def resume(self, portion):
        self.portions[portion.run] = portion
        self.states[portion.run] = "active"

    def end(self):
        for run, state in self.states.items():
            if state != "active":
                continue
            finished = self.done.setdefault(run, set())
            for seed in self.portions[run].items:
                if seed in finished:
                    continue
                self.executed.append(seed)
                if self.fails.get(seed, 0) > 0:
                    self.fails[seed] -= 1
                else:
                    finished.add(seed)
            self.states[run] = "success" if len(finished) == len(self.portions[run].items) else "failed"

    def state(self, portion):
        state = self.states.get(portion.run, "missing")
        return state, "some jobs failed" if state == "failed" else ""

    def failures(self, portion):
        return len(portion.items) - len(self.done[portion.run])

    def cancel(self, portion):
        self.cancelled.append(portion.run)
        self.states[portion.run] = "cancelled"

    def collect(self, _production, portion):
        self.collected.append(portion.number)


def production(**fields):
    return Production(
        **{"id": "p1", "name": "mc", "input": "seed", "counts": True, "portion": 20, "created": 1e9, **fields}
    )


@pytest.fixture
def store(tmp_path):
    with ProductionStore(tmp_path / "p.db") as made:
        yield made


def drive(store, runs, one, steps=200):
    driver = ProductionDriver(store, runs, one)
    driver.take_over()
    for _ in range(steps):
        if not driver.step():
            break
        runs.end()
    return progress(one, store.portions(one.name))


def test_two_hundred_instances_with_five_percent_of_failures_end_complete(store):
    one = production()
    store.create(one, portions_of(one, range(1, 201), 1))
    runs = FakeRuns(dict.fromkeys(range(7, 201, 20), 1))
    standing = drive(store, runs, one)
    assert standing.complete
    assert standing.total == 200
    assert len(runs.executed) == 210  # each failed one once more, and no other
    assert runs.most == 4
    assert sorted(runs.collected) == list(range(1, 11))


def test_what_fails_for_good_is_counted_and_retried_when_its_user_wants(store):
    one = production(resubmit=1)
    store.create(one, portions_of(one, range(1, 41), 1))
    runs = FakeRuns({3: 3})
    standing = drive(store, runs, one)
    assert (standing.done, standing.failed, standing.total) == (39, 1, 40)
    driver = ProductionDriver(store, runs, one)
    assert driver.retry() == 1
    assert drive(store, runs, one).complete
    assert runs.executed.count(4) == 1


def test_an_extension_continues_the_seeds_in_new_portions(store):
    one = production()
    store.create(one, portions_of(one, range(1, 31), 1))
    runs = FakeRuns()
    drive(store, runs, one)
    before = store.portions("mc")
    last = before[-1].items[-1]
    store.extend("mc", portions_of(one, range(last + 1, last + 1 + 25), len(before) + 1))
    assert drive(store, runs, one).total == 55
    assert sorted(runs.executed) == list(range(1, 56))


def test_a_stopped_production_goes_on_where_it_was(store):
    one = production(at_once=2)
    store.create(one, portions_of(one, range(1, 101), 1))
    runs = FakeRuns()
    driver = ProductionDriver(store, runs, one)
    driver.step()
    store.set_stopped("mc", stopped=True)
    assert driver.step()
    driver.step()
    assert len(runs.cancelled) == 2
    assert {portion.state for portion in store.portions("mc")[:2]} == {PortionState.STOPPED}
    assert not driver.step()
    store.set_stopped("mc", stopped=False)
    driver.retry()
    assert drive(store, runs, one).complete


def test_a_driver_that_was_killed_is_followed_by_one_that_finds_its_runs(store):
    one = production()
    store.create(one, portions_of(one, range(1, 61), 1))
    runs = FakeRuns()
    ProductionDriver(store, runs, one).step()
    first = next(iter(runs.states))
    runs.states[first] = "stopped"
    (second, third) = [run for run in runs.states if run != first]
    del runs.states[second]  # it was claimed only
    assert drive(store, runs, one).complete
    assert sorted(runs.executed) == list(range(1, 61))
    assert third in runs.states


def test_one_process_drives_a_production(store):
    with store.driving("mc"), pytest.raises(ConfigError, match="Another process drives"), store.driving("mc"):
        pass


def test_ids_of_runs_sort_by_portion_and_are_the_same_again(store):
    one = production()
    ids = [portion.run for portion in portions_of(one, range(1000), 1)]
    assert ids == sorted(ids) == [portion.run for portion in portions_of(one, range(1000), 1)]
    assert len(set(ids)) == 50


@pytest.mark.parametrize("text", ["1..5", "seed=5..1", "seed=a..b", "seed=1..99999999"])
def test_seeds_that_mean_nothing_are_refused(text):
    with pytest.raises(ConfigError):
        seeds_of(text)


def test_names_that_are_close_are_suggested(store):
    store.create(production(name="corsika"), [])
    with pytest.raises(ConfigError, match="There is no production corsica") as caught:
        store.get("corsica")
    assert "Did you mean corsika" in caught.value.remedy
