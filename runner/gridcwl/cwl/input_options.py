"""Inputs as command-line options: how each input of a document is spelled, read and shown.

cwltool makes an argparse parser of a document's inputs; names like ``help``, two names that differ in ``-`` and ``_``,
booleans whose default is true, and most types do not fit in there.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from cwltool.process import shortname
from ruamel.yaml.comments import CommentedMap

from gridcwl.cwl.option_values import Misfit, ValueKind, kind_of_input
from gridcwl.errors import UnknownOption, UsageError
from gridcwl.suggest import did_you_mean

if TYPE_CHECKING:
    from cwltool.process import Process

HELP = ("-h", "--help")
_NUMBER = re.compile(r"-\.?\d")
_HELP_ENDS = """\
INPUTS.yml is an input object in YAML or JSON, or - for standard input; options take precedence over it.
gridcwl's own options may stand here, too, unless an input is called so; see gridcwl --help."""
_TABLES = (".yml", ".yaml", ".json")


class InputOption(msgspec.Struct, frozen=True):
    """One input of a document, or one field of a record, as an option."""

    path: tuple[str, ...]
    """The input's name, and that of the field in it."""
    kind: ValueKind
    flags: tuple[str, ...]
    off: str | None = None
    """The option that means false."""
    required: bool = False
    default: Any = None
    doc: str = ""

    @property
    def name(self) -> str:
        """As the document has it; fields after a dot."""
        return ".".join(self.path)


class ReadWords(msgspec.Struct, frozen=True):
    """What stands behind a document on the command line."""

    values: CommentedMap
    """By input; the paths in it are still relative."""
    file: str | None = None
    """The input object's file, or ``-``."""
    help: bool = False
    """``--help`` is among the words."""
    behind: str | None = None
    """The option in front of ``file`` that takes true or false, and took it for neither."""


@dataclass(slots=True)
class InputOptions:
    """All options of a document."""

    options: list[InputOption]
    doc: str = ""
    by_flag: dict[str, tuple[InputOption, bool]] = field(default_factory=dict)
    """With whether the flag means false."""

    def __post_init__(self) -> None:
        for option in self.options:
            for flag in option.flags:
                self.by_flag[flag] = (option, False)
            if option.off:
                self.by_flag[option.off] = (option, True)

    def match(self, word: str) -> tuple[str, str | None] | None:
        """The flag that a word gives, and the value behind its ``=``; None if the word is none of these options."""
        if word in self.by_flag:
            return word, None
        at = [number for number, character in enumerate(word) if character == "=" and word[:number] in self.by_flag]
        return (word[: at[-1]], word[at[-1] + 1 :]) if at else None

    def read(self, words: Sequence[str], document: str) -> ReadWords:
        """The words behind the document.

        Args:
            words: as typed, without gridcwl's own options.
            document: as typed, for messages.

        Raises:
            UsageError: there is no such option, or its value is not of its type.
        """
        return _Reader(self, list(words), document).read()

    def help(self, document: str) -> str:
        """The text of ``DOCUMENT --help``."""
        width = min(shutil.get_terminal_size().columns, 100) - 2
        formatter = argparse.HelpFormatter(document, max_help_position=28, width=width)
        formatter.add_usage(f"gridcwl {_plain(document)} [INPUTS.yml] [--NAME VALUE ...]", [], [])
        for paragraph in self.doc.strip().split("\n\n"):
            formatter.add_text(_plain(paragraph))
        formatter.start_section("inputs")
        for option in self.options:
            if not option.kind.fields:  # a record can be given as a whole, but its fields say more
                formatter.add_argument(_shown(option))
        formatter.end_section()
        formatter.add_text(_HELP_ENDS)
        return formatter.format_help()


def options_of(process: Process) -> InputOptions:
    """The options of a document's inputs.

    An input called ``help`` is spelled ``--input-help``, for ``--help`` shows them all. An input of one letter may be
    given with one dash, too, as cwltool has it.
    """
    taken = set(HELP)
    whole = list(_inputs(process))
    made: list[InputOption] = []
    for path, kind, required, default, doc in sorted(whole, key=lambda one: len(one[0])):
        name = ".".join(path)
        flags = [_free(f"--{name}", f"--input-{name}", taken)]
        if len(name) == 1 and f"-{name}" not in taken:
            flags.insert(0, f"-{name}")
        taken.update(flags)
        made.append(InputOption(path, kind, tuple(flags), None, required, default, doc))
    options = []
    for option in made:
        off = f"--no-{option.name}" if option.kind.boolean else None
        free = off is not None and off not in taken
        options.append(_with_off(option, off if free else None))
    order = {one[0]: number for number, one in enumerate(whole)}
    options.sort(key=lambda option: order[option.path])
    doc = process.tool.get("doc") or process.tool.get("label") or ""
    return InputOptions(options, _text(doc))


def _with_off(option: InputOption, off: str | None) -> InputOption:
    return InputOption(option.path, option.kind, option.flags, off, option.required, option.default, option.doc)


def _free(wanted: str, otherwise: str, taken: set[str]) -> str:
    if wanted not in taken:
        return wanted
    while otherwise in taken:
        otherwise = f"--input-{otherwise[2:]}"
    return otherwise


def _inputs(process: Process) -> Iterator[tuple[tuple[str, ...], ValueKind, bool, Any, str]]:
    """Path, type, whether it has to be given, default and doc of each input and of each field of a record."""
    for parameter in process.tool["inputs"]:
        kind = kind_of_input(process, parameter)
        doc = _text(parameter.get("doc") or parameter.get("label") or "")
        default = parameter.get("default")
        name = shortname(parameter["id"])
        yield from _with_fields((name,), kind, not kind.optional and default is None, default, doc)


def _with_fields(
    path: tuple[str, ...], kind: ValueKind, required: bool, default: Any, doc: str
) -> Iterator[tuple[tuple[str, ...], ValueKind, bool, Any, str]]:
    yield path, kind, required and not kind.fields, default, doc
    for name, (inner, about) in kind.fields.items():
        given = default.get(name) if isinstance(default, dict) else None
        yield from _with_fields((*path, name), inner, required and not inner.optional and given is None, given, about)


def _shown(option: InputOption) -> argparse.Action:
    """A line of the help."""
    flags = [*option.flags, *([option.off] if option.off else [])]
    words = [option.doc.strip(), f"({option.kind}"]
    if option.default is not None:
        words[-1] += f", default: {json.dumps(plain_value(option.default), ensure_ascii=False)}"
    words[-1] += ", required)" if option.required else ")"
    name = option.name.upper()
    metavar = f"{{{','.join(option.kind.symbols)}}}" if option.kind.symbols else name
    alone = option.kind.boolean and not option.kind.many
    return argparse.Action(
        flags,
        option.name,
        nargs=0 if alone else "+" if option.kind.many else None,
        metavar=metavar,
        help=_plain(" ".join(" ".join(words).split())),
    )


def _plain(text: str) -> str:
    """For argparse, which takes a percent sign for the beginning of a field."""
    return text.replace("%", "%%")


def plain_value(value: Any) -> Any:
    """For JSON: without ruamel's containers and numbers."""
    if isinstance(value, dict):
        if value.get("class") in ("File", "Directory") and ("location" in value or "path" in value):
            return str(value.get("location", value.get("path"))).rpartition("/")[2]
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    return value if isinstance(value, str | bool | int | None) else float(value)


def _text(doc: Any) -> str:
    return "\n".join(str(line) for line in doc) if isinstance(doc, list) else str(doc)


def _looks_like_a_file(word: str) -> bool:
    return "/" in word or word.endswith(_TABLES)


def not_true_or_false(flag: str, word: str) -> UsageError:
    """The error of a word behind a boolean option that is no value of it, and no input object either."""
    return UsageError(
        f"{flag} takes true or false, not '{word}'",
        remedy=f"Write {flag} alone or {flag}=true for true, and {flag}=false for false.",
    )


class _Reader:
    """Reads words from left to right."""

    def __init__(self, options: InputOptions, words: list[str], document: str) -> None:
        self._options, self._words, self._document = options, words, document
        self._values: dict[tuple[str, ...], Any] = {}
        self._several: dict[tuple[str, ...], list[Any]] = {}
        """What options that take several values have been given so far."""
        self._files: list[str] = []
        self._behind: dict[str, str] = {}
        """Words behind an option that takes true or false, which are neither; with the option."""
        self._help = False

    def read(self) -> ReadWords:
        while self._words:
            word = self._words.pop(0)
            found = self._options.match(word)
            if word == "--":
                self._files += self._words
                self._words = []
            elif found is not None:
                self._option(*found)
            elif word in HELP:
                self._help = True
            elif word.startswith("-") and word != "-":
                raise self._unknown(word)
            else:
                self._files.append(word)
        doubtful = next((word for word in self._files if word in self._behind), None)
        if len(self._files) > 1 and not self._help:
            if doubtful is not None:
                raise not_true_or_false(self._behind[doubtful], doubtful)
            raise UsageError(
                f"There are {len(self._files)} input objects: {', '.join(self._files[:3])}",
                remedy="Give one file, and values of inputs behind their names: --NAME VALUE.",
            )
        behind = self._behind.get(doubtful) if doubtful is not None else None
        return ReadWords(self._nested(), self._files[0] if self._files else None, self._help, behind)

    def _nested(self) -> CommentedMap:
        values = CommentedMap()
        for path, value in self._values.items():
            at = values
            for name in path[:-1]:
                at = at.setdefault(name, CommentedMap())
            at[path[-1]] = value
        return values

    def _option(self, flag: str, given: str | None) -> None:
        option, off = self._options.by_flag[flag]
        if off:
            if given is not None:
                raise UsageError(f"{flag} takes no value", remedy=f"Write {option.flags[-1]}={given}.")
            self._values[option.path] = False
            return
        values = [given] if given is not None else self._following(option, flag)
        try:
            if option.kind.many:
                self._several[option.path] = [*self._several.get(option.path, ()), *option.kind.items(values)]
                self._values[option.path] = option.kind.few(self._several[option.path])
            else:
                self._values[option.path] = option.kind.value(values[0]) if values else True
        except Misfit as error:
            raise UsageError(f"{flag}: {error}", remedy=error.remedy) from error

    def _following(self, option: InputOption, flag: str) -> list[str]:
        """The words behind a flag that are its values."""
        if option.kind.boolean and not option.kind.many:
            if self._words and option.kind.takes(self._words[0]):
                return [self._words.pop(0)]
            if self._words and not self._words[0].startswith("-") and not _looks_like_a_file(self._words[0]):
                self._behind[self._words[0]] = flag
            return []
        values: list[str] = []
        while self._words and self._is_value(self._words[0]) and (option.kind.many or not values):
            if values and self._is_input_object(values, option.kind):
                break
            values.append(self._words.pop(0))
        if values:
            return values
        if self._words and self._words[0].startswith("-") and self._words[0] != "--":
            word = self._words[0]
            remedy = f"If the value is {word}, write {flag}={word}."
        else:
            remedy = f"gridcwl {self._document} --help shows the inputs."
        raise UsageError(f"{flag} needs a value", remedy=remedy)

    def _is_value(self, word: str) -> bool:
        return not word.startswith("-") or word == "-" or _NUMBER.match(word) is not None

    def _is_input_object(self, values: list[str], kind: ValueKind) -> bool:
        """Whether the next word, behind several values, is the input object: the only file of its kind there.

        As for cwltool in ``--files a.txt in.yml``; of ``--files a.yml b.yml`` both are values.
        """
        word = self._words[0]
        if not kind.fits(word):
            return True
        if self._files or not word.endswith(_TABLES) or not Path(word).is_file():
            return False
        others = [*values, *(each for each in self._words[1:] if self._is_value(each))]
        return not any(each.endswith(_TABLES) for each in others)

    def _unknown(self, word: str) -> UnknownOption:
        name = word.partition("=")[0]
        close = did_you_mean(name, self._options.by_flag)
        return UnknownOption(
            name,
            f"There is no input {name.lstrip('-')} in {self._document}, and no option {name}",
            remedy=f"{close} gridcwl {self._document} --help shows the inputs, gridcwl --help the options.".lstrip(),
        )
