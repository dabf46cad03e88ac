"""Job descriptions as DIRAC reads them, peculiarities and all: ClassAdLight, and what a parametric one expands to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_SEQUENCES = ("Parameters", "ParameterStart", "ParameterStep", "ParameterFactor")


class BadJdl(ValueError):
    """DIRAC would refuse this description."""


@dataclass(frozen=True, slots=True)
class ParsedJdl:
    """A job's attributes, each as the text to the right of its equals sign."""

    attributes: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        """An attribute without its quotation marks."""
        return self.attributes.get(name, default).replace('"', "").strip()

    def number(self, name: str, default: int) -> int:
        """An attribute as a whole number.

        Raises:
            BadJdl: it is none.
        """
        if name not in self.attributes:
            return default
        try:
            return int(self.text(name))
        except ValueError as error:
            raise BadJdl(f"{name} is not a number: {self.text(name)}") from error

    def list(self, name: str) -> tuple[str, ...]:
        """An attribute as a list; a single text is a list of one."""
        if name not in self.attributes:
            return ()
        inner = self.attributes[name].strip().removeprefix("{").removesuffix("}")
        return tuple(item for each in inner.split(",") if (item := each.strip().strip('"').strip()))

    def is_list(self, name: str) -> bool:
        """It is in braces."""
        return self.attributes[name].strip().startswith("{")

    def __str__(self) -> str:
        lines = "".join(f"    {name} = {value};\n" for name, value in sorted(self.attributes.items()))
        return f"[ \n{lines}]"


def parse(jdl: str) -> ParsedJdl:
    """Read a description as ClassAdLight does: a semicolon ends an attribute wherever it stands.

    Raises:
        BadJdl: it is none.
    """
    body = "\n".join(line for line in jdl.strip().split("\n") if not line.strip().startswith("#")).strip()
    body = body.removeprefix("[").removesuffix("]")
    attributes: dict[str, str] = {}
    for part in body.split(";"):
        name, equals, value = part.partition("=")
        if not equals:
            continue
        if not value.strip():
            raise BadJdl("Invalid job JDL")
        attributes[name.strip()] = value.strip().replace("\n", "")
    if not attributes:
        raise BadJdl("Invalid job JDL")
    return ParsedJdl(attributes)


def parameter_count(job: ParsedJdl) -> int | None:
    """How many jobs it stands for; None if it is not parametric.

    Raises:
        BadJdl: its lists differ in length, or it stands for none.
    """
    count: int | None = None
    for name in job.attributes:
        if name.split(".")[0] != "Parameters":
            continue
        here = len(job.list(name)) if job.is_list(name) else job.number(name, 0)
        if count is not None and here != count:
            raise BadJdl(f"Different length of parameter vectors: for {name}, {count} != {here}")
        count = here
    if count is not None and count <= 0:
        raise BadJdl(f"Illegal number of job parameters {count}")
    return count


def expand(job: ParsedJdl) -> list[ParsedJdl]:
    """The jobs that a description stands for: itself, if it is not parametric.

    Raises:
        BadJdl: see :func:`parameter_count`.
    """
    count = parameter_count(job)
    if count is None:
        return [job]
    values = _values(job, count)
    plain = {name: value for name, value in job.attributes.items() if name.split(".")[0] not in _SEQUENCES}
    return [ParsedJdl(_filled(plain, number, count, values)) for number in range(count)]


def _values(job: ParsedJdl, count: int) -> dict[str, list[str]]:
    """The values of every parameter; the one without a name is called by the empty string."""
    values: dict[str, list[str]] = {}
    for name in job.attributes:
        base, _, key = name.partition(".")
        if base == "Parameters":
            values[key] = list(job.list(name)) if job.is_list(name) else _sequence(job, key, count)
    return values


def _sequence(job: ParsedJdl, key: str, count: int) -> list[str]:
    suffix = f".{key}" if key else ""
    start, step, factor = (
        float(job.text(f"{name}{suffix}", default))
        for name, default in (("ParameterStart", "1"), ("ParameterStep", "0"), ("ParameterFactor", "1"))
    )
    sequence = [start]
    while len(sequence) < count:
        sequence.append(sequence[-1] * factor + step)
    return [str(int(value)) if value == int(value) else str(value) for value in sequence]


def _filled(plain: Mapping[str, str], number: int, count: int, values: Mapping[str, list[str]]) -> dict[str, str]:
    """One job's attributes: %n is its number, %s and %(name)s its parameters."""
    digits = str(number).zfill(len(str(count - 1)))
    filled = {name: value.replace("%n", digits) for name, value in plain.items()}
    for key, sequence in values.items():
        pattern = f"%({key})s" if key else "%s"
        filled = {name: text.replace(pattern, sequence[number]) for name, text in filled.items()}
        filled[f"Parameter.{key}" if key else "Parameter"] = f'"{sequence[number]}"'
    filled["ParameterNumber"] = str(number)
    return filled
