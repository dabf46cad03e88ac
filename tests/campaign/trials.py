"""One trial: a generated workflow is started, disturbed, resumed, disturbed, ... and resumed until it is done.

A fault counts when it was done to somebody. A violation names the seed, the combination and the faults: the same words
give the same workflow and the same adversary again.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from campaign import faults, invariants
from campaign.clients import Client, Clients, Command, Ended
from campaign.combinations import Place
from campaign.documents import Case, Witness, generate
from campaign.faults import Attack, Fault
from campaign.invariants import Expected, Ledger
from campaign.scene import Scene

_LAST_RESUMES = 3
_PATIENCE_S = 240.0


@dataclass(frozen=True)
class Plan:
    """What a trial is. Its text can be given to ``--repeat``."""

    seed: int
    backend: str
    store: str
    faults: tuple[str, ...]
    fuzz: bool = True

    def __str__(self) -> str:
        words = {"seed": self.seed, "on": f"{self.backend}+{self.store}", "faults": list(self.faults)}
        return json.dumps(words if self.fuzz else words | {"fuzz": False})

    @staticmethod
    def parsed(text: str) -> Plan:
        """The plan of a text."""
        words = json.loads(text)
        backend, store = words["on"].split("+")
        return Plan(words["seed"], backend, store, tuple(words["faults"]), words.get("fuzz", True))


@dataclass
class Outcome:
    """What became of a trial.

    Attributes:
        done: faults that were done to somebody.
        violations: of invariants, each with the fault before it.
    """

    plan: Plan
    done: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    skipped: str = ""


@dataclass
class Bench:
    """What all trials of a campaign share."""

    root: Path
    clients: Clients = field(default_factory=Clients)
    _expected: dict[tuple[int, bool], tuple[Case, Expected] | None] = field(default_factory=dict)

    @property
    def schemas(self) -> Path:
        """CWL's parsed schemas."""
        folder = self.root / "schemas"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def undisturbed(self, seed: int, *, fuzz: bool) -> tuple[Case, Expected] | None:
        """The case of a seed, and what it makes when nobody disturbs it; None if it is refused."""
        key = seed, fuzz
        if key not in self._expected:
            if len(self._expected) > 8:
                self._expected.clear()
            known = self._undisturbed(generate(seed, fuzz=fuzz))
            self._expected[key] = known or self._undisturbed(generate(seed, fuzz=False))
        return self._expected[key]

    def _undisturbed(self, case: Case) -> tuple[Case, Expected] | None:
        scene, place = Scene(self.root / "undisturbed"), Place("bare", "local", ("--no-container",))
        scene.remove()
        with scene.open(self.schemas):
            case.write(scene.desk, Witness(scene.witness), containers=False)
            client = self.clients.start(_command(scene, place, case), scene.root / "client")
            ended = client.wait(_PATIENCE_S)
            if ended is None or ended.code:
                client.kill()
                return None
            outputs = invariants.content(json.loads(ended.stdout), place.read)
            return case, Expected(outputs, scene.marks().started)


def _command(scene: Scene, place: Place, case: Case | None, run: str = "", **more: Any) -> Command:
    """Run the document, or resume the run."""
    words: tuple[str, ...] = ("resume", run, "--quiet")
    if case is not None:
        development = ("--enable-dev",) if "dev" in case.document["cwlVersion"] else ()
        words = ("--quiet", *place.words, "--outdir", "out", *development, "main.cwl", "inputs.json")
    environment = {**scene.environment, **place.environment}
    return Command(words, scene.desk, environment, place.connect, control=scene.control, **more)


@dataclass
class Trial:
    """One trial on a place."""

    bench: Bench
    place: Place
    plan: Plan
    crash_at: Sequence[int] = ()
    """Before which calls the first clients are ended, instead of faults."""
    keep: bool = False
    _random: Random = field(init=False)
    _outcome: Outcome = field(init=False)
    _ledger: Ledger = field(default_factory=Ledger)
    _last: str = "none"
    _number: int = 0
    crashed_at: list[str] = field(default_factory=list)
    counted: int = 0

    def run(self) -> Outcome:
        """Do it, and look at what is left."""
        began = time.monotonic()
        plan = self.plan
        self._random = Random(f"{plan.seed} {plan.backend} {plan.store}")
        self._outcome = Outcome(plan)
        known = self.bench.undisturbed(plan.seed, fuzz=plan.fuzz)
        if known is None:
            self._outcome.skipped = "the document is refused"
            return self._outcome
        case, expected = known
        chosen = [faults.BY_NAME[name] for name in plan.faults]
        scene = Scene(self.bench.root / "trial", small=any(fault.small for fault in chosen))
        scene.remove()
        with scene.open(self.bench.schemas):
            if self.place.pools is not None:
                (scene.state / "pools").symlink_to(self.place.pools)
            case.write(scene.desk, self.place.witness(scene.witness), containers=bool(self.place.engine))
            try:
                self._disturbed(scene, case, expected, chosen)
            finally:
                for server in self.place.servers.values():
                    server.heal()
            if self._outcome.violations and self.keep:
                kept = self.bench.root / "violations" / f"{plan.seed}-{plan.backend}-{plan.store}-{int(time.time())}"
                shutil.copytree(scene.root, kept, symlinks=True, ignore_dangling_symlinks=True)
                (kept / "violations").write_text("\n".join(map(str, [plan, *self._outcome.violations])))
        scene.remove()
        self._outcome.seconds = time.monotonic() - began
        return self._outcome

    # -- the course of it ----------------------------------------------------------------------------------------------

    def _disturbed(self, scene: Scene, case: Case, expected: Expected, chosen: Sequence[Fault]) -> None:
        ended: Ended | None = None
        for at in self.crash_at:
            ended = self._crashed(scene, case, expected, at)
            if ended is None or ended.code == 0:
                break
        total = 2 * sum(expected.jobs.values())
        left = list(chosen)
        while left and (ended is None or ended.code):
            ended = self._attacked(scene, case, expected, left, total)
            if ended is None or self._outcome.violations:
                return
        if self._outcome.violations:
            return
        for _ in range(_LAST_RESUMES):
            if ended is not None and ended.code == 0:
                break
            client = self._start(scene, case)
            ended = client.wait(_PATIENCE_S)
            if ended is None:
                self._hangs(client)
                return
            self._look(scene, expected, ended, (0,))
            if self._outcome.violations:
                return
        assert ended is not None
        self._over(scene, expected, ended)

    def _start(self, scene: Scene, case: Case, **more: Any) -> Client:
        """Start the run or resume it; what was ended before it had begun is removed and started again."""
        self._number += 1
        output = scene.root / f"client-{self._number}"
        folder = scene.folder()
        if folder is not None and not scene.resumable():
            command = Command(("rm", folder.run), scene.desk, scene.environment)
            removed = self.bench.clients.start(command, scene.root / f"rm-{self._number}").wait()
            if removed is None or removed.code:
                self._violated(f"a run that had not begun cannot be removed: {removed}")
            folder = None
        command = _command(scene, self.place, None if folder else case, folder.run if folder else "", **more)
        return self.bench.clients.start(command, output)

    def _attacked(self, scene: Scene, case: Case, expected: Expected, left: list[Fault], total: int) -> Ended | None:
        """A client, and faults in its life until it has ended; what was done is taken from those that are left."""
        client = self._start(scene, case)
        struck: list[Fault] = []
        while left and client.alive:
            self._wait(scene, client, total)
            if not client.alive:
                break
            if self._strike(scene, client, fault := left.pop(0)):
                struck.append(fault)
                faults.pause(self._random.random() * 0.3, client)
        codes = {0, *(code for fault in struck for code in fault.codes)}
        may_hang = any(fault.may_hang for fault in struck)
        ended = client.wait(_PATIENCE_S / 4 if may_hang else _PATIENCE_S)
        if ended is None and may_hang:
            client.kill()
            codes.add(-9)
            ended = client.wait(_PATIENCE_S)
        if ended is None:
            self._hangs(client)
            return None
        self._look(scene, expected, ended, tuple(codes))
        return ended

    def _wait(self, scene: Scene, client: Client, total: int) -> None:
        """Until some moment in the client's life."""
        marks = scene.marks()
        before = sum(marks.started.values()) + sum(marks.ended.values())
        wanted = before + self._random.randint(0, max(1, (total - before) // 2))
        until = time.monotonic() + (self._random.random() ** 2) * 3.0 + (20.0 if self._random.random() < 0.7 else 0.0)
        while client.alive and time.monotonic() < until:
            marks = scene.marks()
            if sum(marks.started.values()) + sum(marks.ended.values()) >= wanted:
                faults.pause(self._random.random() ** 3 * 0.5, client)
                return
            time.sleep(0.005)

    def _strike(self, scene: Scene, client: Client, fault: Fault) -> bool:
        """Do it and undo it; False if there was nobody to do it to."""
        attack = Attack(scene, self.place, client, self._random)
        try:
            if not fault.act(attack):
                return False
            self._outcome.done[fault.name] += 1
            self._last = fault.name
            faults.pause(attack.lasts_s, client)
        finally:
            attack.heal()
        return True

    def _crashed(self, scene: Scene, case: Case, expected: Expected, at: int) -> Ended | None:
        """A client that is ended before a system call."""
        client = self._start(scene, case, crash_at=at)
        ended = client.wait(_PATIENCE_S)
        if ended is None:
            self._hangs(client)
            return None
        self.crashed_at.append(ended.crashed_at)
        self.counted = ended.counted
        if ended.code == -9:
            self._last = f"crash before call {at}: {ended.crashed_at}"
            self._outcome.done["client ended between two system calls"] += 1
        self._look(scene, expected, ended, (0, -9))
        return ended

    def _hangs(self, client: Client) -> None:
        self._violated(f"the client has not ended after {_PATIENCE_S:.0f} s")
        client.kill()
        client.wait()

    # -- what has to hold ----------------------------------------------------------------------------------------------

    def _look(self, scene: Scene, expected: Expected, ended: Ended, codes: tuple[int, ...]) -> None:
        """A client has ended."""
        if ended.code < 0:
            self.place.settle()
        resumable = scene.resumable()
        self._violated(*invariants.ended_right(ended, codes, resumable=resumable))
        recorded = scene.recorded()
        self._violated(*self._ledger.again(scene, expected.jobs, recorded))
        self._ledger.note(scene)

    def _over(self, scene: Scene, expected: Expected, ended: Ended) -> None:
        """The run has ended well."""
        self.place.settle()
        outputs = json.loads(ended.stdout)
        try:
            made = invariants.content(outputs, self.place.read)
        except (OSError, KeyError, ValueError, AssertionError) as error:
            self._violated(f"the outputs cannot be read: {error!r}")
        else:
            if made != expected.outputs:
                self._violated(f"other outputs: {_difference(expected.outputs, made)}")
        started = scene.marks().started
        lost = {job: (started[job], count) for job, count in expected.jobs.items() if started[job] < count}
        if lost and sum(started.values()) < sum(expected.jobs.values()):
            self._violated(f"jobs have not run: {lost}")
        if self.place.store == "local":
            self._violated(*invariants.not_listed(outputs, scene.outdir))
        self._violated(*invariants.left_over(scene, self.place))
        self._violated(*self.place.catalogue_violations())

    def _violated(self, *texts: str) -> None:
        self._outcome.violations += [(self._last, text) for text in texts]


def _difference(one: Any, other: Any, place: str = "") -> str:
    """Where two values differ first."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() | other.keys():
            if one.get(name) != other.get(name):
                return _difference(one.get(name), other.get(name), f"{place}.{name}")
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (first, second) in enumerate(zip(one, other, strict=True)):
            if first != second:
                return _difference(first, second, f"{place}[{number}]")
    if isinstance(one, str) and isinstance(other, str):
        same = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
        place, one, other = f"{place} from character {same}", one[same:], other[same:]
    return f"{place}: {str(one)[:300]!r} is {str(other)[:300]!r}"


def reduced(bench: Bench, place: Place, plan: Plan) -> Iterator[Plan]:
    """Ever smaller plans that still have a violation: fewer faults, then without the generated part."""
    tried = [plan]
    while tried:
        plan = tried.pop()
        smaller = [Plan(plan.seed, plan.backend, plan.store, plan.faults[:n] + plan.faults[n + 1 :], plan.fuzz)
                   for n in range(len(plan.faults)) if len(plan.faults) > 1]  # fmt: skip
        if plan.fuzz:
            smaller.append(Plan(plan.seed, plan.backend, plan.store, plan.faults, fuzz=False))
        for one in smaller:
            if Trial(bench, place, one).run().violations:
                yield one
                tried = [one]
                break
