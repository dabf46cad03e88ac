"""Schedules at the service: their owners' runs, each tick once whichever driver sees it, by API and command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from commandline import gridcwl as command
from documents import expression
from issuing import Provided
from sqlalchemy import delete, insert
from waiting import until
from wes import Wes, in_thread, serving

from gridcwl.model.confinement import Confinement
from gridcwl.schedules.model import Schedule, Trigger
from gridcwl.service.db import Database, Viewer
from gridcwl.service.folders import ServiceFolder
from gridcwl.service.scheduled_runs import ScheduleDriver, ScheduledRuns
from gridcwl.service.schema import drivers
from gridcwl.service.settings import load
from gridcwl.service.states import State
from gridcwl.service.submitting import driver_intake

PATH = "/api/v1/schedules"
COUNT = expression(
    "${ return {said: inputs.night + ' ' + inputs.events.length}; }",
    {"night": "string", "events": {"type": "File[]", "default": []}},
    {"said": "string"},
)
EACH_NIGHT = {"name": "nightly", "cron": "0 2 * * *", "timezone": "Europe/Berlin"}


@pytest.fixture
def wes(tmp_path: Path, issuer: Provided) -> Iterator[Wes]:
    (tmp_path / "data").mkdir()
    with serving(tmp_path, auth=issuer.auth(tmp_path), file_roots=[str(tmp_path / "data")]) as client:
        yield client


def add(wes: Wes, issuer: Provided, user: str = "ann", params: Any = None, **about: Any) -> Any:
    """POST a schedule; the response."""
    fields = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "count.cwl"}
    fields |= {"workflow_params": json.dumps(params or {"night": "{tick:%Y-%m-%d}"})}
    fields["schedule"] = json.dumps(EACH_NIGHT | about)
    parts = [(name, (None, value)) for name, value in fields.items()]
    parts.append(("workflow_attachment", ("count.cwl", json.dumps(COUNT).encode())))  # type: ignore[arg-type]
    return wes.http.post(PATH, files=parts, headers=issuer.bearer(user))


def show(wes: Wes, issuer: Provided, name: str = "nightly", user: str = "ann") -> dict[str, Any]:
    return dict(wes.http.get(f"{PATH}/{name}", headers=issuer.bearer(user)).json())


def act(wes: Wes, issuer: Provided, action: str, name: str = "nightly", user: str = "ann") -> Any:
    return wes.http.post(f"{PATH}/{name}/{action}", headers=issuer.bearer(user))


def test_a_schedule_is_added_shown_run_and_removed_and_its_run_is_its_owner_s(wes: Wes, issuer: Provided):
    added = add(wes, issuer)
    assert added.status_code == 200, added.text
    assert added.json()["when"] == "cron 0 2 * * * (Europe/Berlin)"
    assert [" 02:00:00 CE" in one for one in added.json()["next"]] == [True] * 5
    assert add(wes, issuer).status_code == 409
    run = act(wes, issuer, "run-now").json()["run"]
    until(lambda: show(wes, issuer)["ticks"][0]["state"] == "success")
    stored = wes.service.db.get(run)
    assert (stored.owner, stored.tags["schedule"]) == ("ann", "nightly")
    at = datetime.fromtimestamp(show(wes, issuer)["ticks"][0]["at"], ZoneInfo("Europe/Berlin"))  # the schedule's day
    assert stored.outputs["said"] == f"{at:%Y-%m-%d} 0"
    assert [one["name"] for one in wes.http.get(PATH, headers=issuer.bearer("ann")).json()["schedules"]] == ["nightly"]
    assert wes.http.delete(f"{PATH}/nightly", headers=issuer.bearer("ann")).status_code == 200
    assert wes.http.get(f"{PATH}/nightly", headers=issuer.bearer("ann")).status_code == 404
    assert wes.service.db.get(run) is not None
    kept = [path.name for path in (wes.service.folder.path / "runs").iterdir() if path.name.startswith("kept-")]
    assert kept == []


def test_a_paused_schedule_shows_no_next_times_until_it_is_resumed(wes: Wes, issuer: Provided):
    add(wes, issuer)
    act(wes, issuer, "pause")
    assert show(wes, issuer)["state"] == "paused: by its user"
    assert show(wes, issuer)["next"] == []
    act(wes, issuer, "resume")
    assert len(show(wes, issuer)["next"]) == 5


def test_nobody_else_sees_or_changes_a_schedule_and_two_users_may_use_one_name(wes: Wes, issuer: Provided):
    add(wes, issuer)
    assert wes.http.get(PATH, headers=issuer.bearer("eve")).json() == {"schedules": []}
    identity = show(wes, issuer)["id"]
    for name in ("nightly", identity):
        assert wes.http.get(f"{PATH}/{name}", headers=issuer.bearer("eve")).status_code == 404
        assert act(wes, issuer, "rm", name, "eve").status_code == 404
    assert wes.http.get(PATH).status_code == 401
    assert add(wes, issuer, "eve").status_code == 200


def test_a_changed_schedule_keeps_its_past_and_the_new_document(wes: Wes, issuer: Provided):
    add(wes, issuer)
    act(wes, issuer, "run-now")
    until(lambda: show(wes, issuer)["ticks"][0]["state"] == "success")
    changed = add(wes, issuer, replace=True, cron="0 3 * * *", params={"night": "other"}).json()
    assert changed["changed"] is True
    assert len(changed["ticks"]) == 1
    run = act(wes, issuer, "run-now").json()["run"]
    until(lambda: show(wes, issuer)["ticks"][0]["state"] == "success")
    assert wes.service.db.get(run).outputs["said"] == "other 0"


def test_new_files_start_a_run_with_them(wes: Wes, issuer: Provided, tmp_path: Path):
    query = f"{tmp_path}/data/*.dat"
    added = add(wes, issuer, params={"night": "{schedule}", "events": "{dids}"}, cron="", arrival=query, every_s=1)
    assert added.status_code == 200, added.text
    until(lambda: wes.service.db.counts() is not None and _looked(wes))
    (tmp_path / "data" / "a.dat").touch()
    wes.service.driver.wake_schedules()
    until(lambda: [tick["state"] for tick in show(wes, issuer)["ticks"]] == ["success"])
    (tick,) = show(wes, issuer)["ticks"]
    assert wes.service.db.get(tick["run"]).outputs["said"] == "nightly 1"


def test_a_run_that_is_wanted_now_has_what_arrived_since_the_last_look(wes: Wes, issuer: Provided, tmp_path: Path):
    query = f"{tmp_path}/data/*.dat"
    add(wes, issuer, params={"night": "{schedule}", "events": "{dids}"}, arrival=query)
    until(lambda: _looked(wes))
    assert act(wes, issuer, "run-now").status_code == 409
    (tmp_path / "data" / "a.dat").touch()
    run = act(wes, issuer, "run-now").json()["run"]
    until(lambda: show(wes, issuer)["ticks"][0]["state"] == "success")
    assert wes.service.db.get(run).outputs["said"] == "nightly 1"


def test_files_below_a_folder_with_a_space_in_its_name_arrive(tmp_path: Path):
    folder = tmp_path / "data of ann"
    folder.mkdir()
    (folder / "a.dat").touch()
    with serving(tmp_path, file_roots=[str(folder)]) as wes:
        assert wes.service is not None
        found = ScheduledRuns(wes.service, None).matching(f"{folder}/*.dat", "ann", "nightly")
    assert found == [(folder / "a.dat").as_uri()]


def _looked(wes: Wes) -> bool:
    from gridcwl.service.schedules import ServiceSchedules

    wes.service.driver.wake_schedules()
    return all(kept.looked for kept in ServiceSchedules(wes.service.db.engine).all())


def test_files_that_the_service_does_not_read_do_not_arrive(wes: Wes, issuer: Provided, tmp_path: Path):
    (tmp_path / "secret.dat").touch()
    query = f"{tmp_path}/*.dat"
    add(wes, issuer, params={"night": "x", "events": "{dids}"}, cron="", arrival=query, every_s=1, existing=True)
    until(lambda: _looked(wes))
    assert show(wes, issuer)["ticks"] == []


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"cron": "99 * * * *"}, "is no cron expression"),
        ({"timezone": "Mars/Base"}, "There is no time zone"),
        ({"cron": ""}, "needs a cron expression, an interval, or a query"),
        ({"every_s": 60}, "exclude each other"),
        ({"name": "a b"}, "cannot be the name of a schedule"),
        ({"group_count": 3}, "need a query"),
        ({"overlap": "never"}, "The field schedule is wrong"),
        ({"unknown": 1}, "The field schedule is wrong"),
        ({"params": {"nights": "x"}}, "The input night is missing"),
        ({"params": {"night": "x", "other": 1}}, "has no input other"),
    ],
)
def test_mistakes_are_explained(wes: Wes, issuer: Provided, about: dict[str, Any], message: str):
    params = about.pop("params", None)
    answer = add(wes, issuer, params=params, **about)
    assert answer.status_code == 400
    assert message in answer.json()["msg"]


# -- drivers ---------------------------------------------------------------------------------------------------------


class Queue:
    """Stands for the driver of the queue, which the test plays."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def confinement(self, *folders: Path) -> Confinement:
        return Confinement(tuple(map(str, folders)))

    def cancel(self, run: str) -> None:
        self._db.move(run, State.CANCELED)


class House:
    """A service's database and folder with drivers of schedules, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.settings = load(None, {"folder": folder})
        self.folder = ServiceFolder(folder)
        self.folder.make()
        self.db = Database(self.settings.database_url)
        self.now = 1_800_000_000.0
        kept = self.folder.run("kept")
        kept.files.mkdir(parents=True)
        (kept.files / "count.cwl").write_text(json.dumps(COUNT))

    def driver(self, name: str) -> ScheduleDriver:
        with self.db.engine.begin() as connection:
            connection.execute(insert(drivers).values(id=name, host="h", pid=1, session=0, seen=self.now))
        made = ScheduleDriver(driver_intake(self.settings, self.folder, self.db, Queue(self.db)), None)
        made.name = name
        return made

    def bury(self, name: str) -> None:
        with self.db.engine.begin() as connection:
            connection.execute(delete(drivers).where(drivers.c.id == name))

    def add(self, driver: ScheduleDriver, name: str, **fields: Any) -> None:
        request = {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "count.cwl"}
        request["workflow_params"] = json.dumps({"night": "{tick}"})
        trigger = Trigger(every_s=60, start=self.now)
        schedule = Schedule(id=name, name=name, trigger=trigger, owner="ann", request=request, files="kept", **fields)
        driver.record.add(schedule, self.now)

    @property
    def runs(self) -> list[str]:
        return [run.id for run in self.db.page(Viewer("x", sees_all=True), 1000)]

    def end_all(self) -> None:
        for run in self.db.page(Viewer("x", sees_all=True), 1000, states=[State.QUEUED]):
            for state in (State.INITIALIZING, State.RUNNING, State.COMPLETE):
                self.db.move(run.id, state)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "service")
    with closing(made.db):
        yield made


def test_two_drivers_put_each_tick_into_the_queue_once(house: House):
    first, second = house.driver("one"), house.driver("two")
    for number in range(3):
        house.add(first, f"s{number}")
    for _ in range(12):
        house.now += 20
        for driver in (first, second):
            driver.step(house.now)
        house.end_all()
    assert len(house.runs) == len(set(house.runs)) == 3 * 4


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_tick_of_a_driver_that_was_killed_runs_once(house: House, when: str, monkeypatch: pytest.MonkeyPatch):
    first, second = house.driver("one"), house.driver("two")
    house.add(first, "s")
    enqueue = type(first._launcher).start

    def killed(self: Any, schedule: Schedule, tick: Any) -> None:
        if when == "after":
            enqueue(self, schedule, tick)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(first._launcher), "start", killed)
    with pytest.raises(KeyboardInterrupt):
        first.step(house.now + 61)
    monkeypatch.undo()
    second.step(house.now + 62)  # the first one may be alive
    assert len(house.runs) == (0 if when == "before" else 1)
    house.bury("one")
    second.step(house.now + 63)
    assert len(house.runs) == 1


def test_a_tick_whose_run_could_not_be_put_into_the_queue_is_tried_again(house: House, monkeypatch: pytest.MonkeyPatch):
    driver = house.driver("one")
    house.add(driver, "s")
    add = house.db.add
    monkeypatch.setattr(house.db, "add", lambda *_: False)
    driver.step(house.now + 61)
    (tick,) = driver.record.open_ticks("s")
    assert (str(tick.state), tick.message) == ("waiting", "The queue is full; try again later")
    monkeypatch.setattr(house.db, "add", add)
    driver.step(house.now + 92)
    assert house.runs == [tick.run]


def test_a_run_that_its_user_removed_does_not_run_again(house: House):
    driver = house.driver("one")
    house.add(driver, "s")
    driver.step(house.now + 61)
    house.end_all()
    house.db.remove(house.runs[0])
    driver.step(house.now + 62)
    assert house.runs == []
    assert [str(tick.state) for tick in driver.record.latest_ticks("s", 9)] == ["success"]


def test_only_the_latest_runs_are_kept_if_a_schedule_says_so(house: House):
    driver = house.driver("one")
    house.add(driver, "s", keep=2)
    for _ in range(5):
        house.now += 60
        driver.step(house.now)
        house.end_all()
    driver.step(house.now + 1)
    assert len(house.runs) == 2
    assert len(driver.record.latest_ticks("s", 9)) == 5


# -- the command line ------------------------------------------------------------------------------------------------


def test_the_command_line_adds_shows_and_removes_schedules_of_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "count.cwl").write_text(json.dumps(COUNT))
    (tmp_path / "inputs.yml").write_text("night: '{tick:%Y}'\nevents: '{dids}'\n")
    with in_thread(tmp_path) as wes:
        server = ["--server", str(wes.http.base_url).rstrip("/")]
        added = command("schedule", "add", "daily", "--every", "1d", *server, "--", "count.cwl", "inputs.yml")
        assert added.code == 0, added.stderr
        assert "gridcwl: added daily" in added.stderr
        listed = command("schedule", "list", *server)
        assert "every 1d" in listed.stdout
        run = command("schedule", "run-now", "daily", *server).stdout.strip()
        until(lambda: wes.get(f"/runs/{run}/status").json().get("state") == "COMPLETE")
        assert run in command("schedule", "show", "daily", *server).stdout
        assert command("schedule", "rm", "daily", *server).code == 0
        missing = command("schedule", "show", "daily", *server)
        assert "There is no schedule daily" in missing.stderr
