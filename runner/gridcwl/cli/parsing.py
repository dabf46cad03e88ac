"""Reading words: argparse with suggestions, and options before and after the document."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from gridcwl.errors import UnknownOption, UsageError
from gridcwl.runs.units import seconds_of
from gridcwl.suggest import did_you_mean

HELP = ("-h", "--help")
_REQUIRED = "the following arguments are required: "
_NUMBERS = {"invalid int value: ": "takes a whole number, not ", "invalid float value: ": "takes a number, not "}
"""What argparse says of values that are no numbers, and plainer words."""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help that fits a terminal of 80 columns, and is not wider than can be read."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(shutil.get_terminal_size().columns, 100) - 2)


class Parser(argparse.ArgumentParser):
    """argparse's parser; mistakes are errors of ours, with what may have been meant."""

    def __init__(self, **fields: Any) -> None:
        fields.setdefault("formatter_class", HelpFormatter)
        super().__init__(**{**fields, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        command = self.prog.removeprefix("gridcwl").lstrip()
        remedy = f"{self.prog} --help shows the options."
        missing = message.removeprefix(_REQUIRED)
        if missing != message:
            message = f"{missing.replace(', ', ' and ')} must be given"
            if missing.startswith("RUN"):
                remedy = (
                    f"gridcwl runs lists the runs; 'last' is the latest: {self.prog} {missing.replace('RUN', 'last')}"
                )
        for kind, words in _NUMBERS.items():
            message = message.replace(kind, words)
        raise UsageError(f"{command}: {message}" if command else message, remedy=remedy.replace(", ", " "))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but raises UnknownOption for what it does not know."""
        given, unknown = super().parse_known_args(args, namespace)
        if not unknown:
            return given, unknown
        word = next((each for each in unknown if each.startswith("-")), None)
        if word is None:
            self.error(f"unexpected argument {unknown[0]}")
        raise self.unknown(word)

    def unknown(self, word: str) -> UnknownOption:
        """The error for an option that there is not."""
        name = word.partition("=")[0]
        remedy = f"{did_you_mean(name, self.flags)} {self.prog} --help shows all options.".lstrip()
        return UnknownOption(name, f"{self.prog} has no option {name}", remedy=remedy)

    @property
    def flags(self) -> Collection[str]:
        """All options as they are typed."""
        return self._option_string_actions

    def action(self, word: str) -> argparse.Action | None:
        """The action of the option in a word, with a value or without; None if it is no option of this parser."""
        name = word.partition("=")[0]
        if name in self._option_string_actions:
            return self._option_string_actions[name]
        attached = word[:2] if len(word) > 2 and not word.startswith("--") else ""  # -wFILE
        return self._option_string_actions.get(attached)

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError as error:
            if not isinstance(error.__context__, (TypeError, ValueError)):
                raise
            # argparse names the function that refused it
            kind = "number" if action.type is float or _returns(action.type) == "float" else "whole number"
            raise argparse.ArgumentError(action, f"{arg_string!r} is not a {kind}") from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            listed = [str(choice) for choice in action.choices]
            close = did_you_mean(str(value), listed)
            raise argparse.ArgumentError(action, f"{value} is not one of {', '.join(listed)}. {close}".rstrip(" ."))


def _returns(function: Any) -> str:
    """What a function is annotated to return."""
    return str(getattr(function, "__annotations__", {}).get("return", ""))


class OptionalWord(argparse.Action):
    """An option that means one thing alone, and another with certain words behind it.

    Args:
        takes: whether a word belongs to the option.
        alone: the field that the option alone sets, and its value.
    """

    def __init__(
        self,
        option_strings: Sequence[str],
        dest: str,
        *,
        takes: Callable[[str], bool],
        alone: tuple[str, Any],
        **fields: Any,
    ) -> None:
        super().__init__(option_strings, dest, nargs="?", **fields)
        self.takes, self.alone = takes, alone

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        """Set the one field or the other."""
        if values is None:
            setattr(namespace, *self.alone)
        elif isinstance(values, str) and not self.takes(values):
            parser.error(f"{self.option_strings[0]} does not take {values}")
        else:
            setattr(namespace, self.dest, values)


class RefusedOption(argparse.Action):
    """An option of cwltool that gridcwl refuses, with the reason."""

    def __init__(self, option_strings: Sequence[str], dest: str, *, why: str) -> None:
        super().__init__(option_strings, dest, nargs="?", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        self.why = why

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: Any = None) -> None:  # noqa: ARG002
        """Refuse."""
        raise UsageError(f"gridcwl does not support {option}: {self.why}")


def split(parser: Parser, words: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """The options before the document, the document, and what stands behind it.

    Raises:
        UnknownOption: there is no such option.
    """
    own: list[str] = []
    ahead = list(words)
    while ahead:
        word = ahead[0]
        if word == "--":
            return own, ahead[1] if len(ahead) > 1 else None, ahead[2:]
        if not word.startswith("-") or word == "-":
            return own, word, ahead[1:]
        own += _take(parser, ahead)
    return own, None, []


def mentioned(parser: Parser, words: Sequence[str]) -> bool:
    """Whether one of the words behind a document may be an option of gridcwl's own."""
    return any(word.startswith("-") and word not in HELP and parser.action(word) is not None for word in words)


def sort(parser: Parser, words: Sequence[str], is_input: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """The words behind a document: gridcwl's own options with their values, and the rest.

    Args:
        parser: of gridcwl's own options.
        words: as typed.
        is_input: whether a word is an option of the document, which goes before one of gridcwl's.
    """
    own: list[str] = []
    rest: list[str] = []
    ahead = list(words)
    while ahead:
        word = ahead[0]
        if word == "--":
            rest += ahead
            break
        theirs = not word.startswith("-") or word in HELP or is_input(word) or parser.action(word) is None
        if theirs:
            rest.append(ahead.pop(0))
        else:
            own += _take(parser, ahead)
    return own, rest


def _take(parser: Parser, ahead: list[str]) -> list[str]:
    """Take an option and its value from the beginning of the words; a value comes back in one word with its option."""
    word = ahead.pop(0)
    action = parser.action(word)
    if action is None:
        raise parser.unknown(word)
    if isinstance(action, RefusedOption) or action.nargs == 0 or word not in action.option_strings:
        return [word]
    if isinstance(action, OptionalWord) and not ahead:
        return [word]
    if not ahead:
        raise UsageError(f"{word} needs a value", remedy=f"{parser.prog} --help shows the options.")
    if ahead[0].startswith("--") and parser.action(ahead[0]) is not None and not isinstance(action, OptionalWord):
        raise UsageError(f"{word} needs a value", remedy=f"If the value is {ahead[0]}, write {word}={ahead[0]}.")
    if isinstance(action, OptionalWord):
        return [f"{word}={ahead.pop(0)}"] if action.takes(ahead[0]) else [word]
    if word.startswith("--"):
        return [f"{word}={ahead.pop(0)}"]
    return [word, ahead.pop(0)]


def seconds(text: str) -> int:
    """A time as a number of seconds: ``90s``, ``30m``, ``8h``, ``2d``."""
    found = seconds_of(text)
    if not found or not 1 <= found < 1e9:
        raise argparse.ArgumentTypeError(f"takes a time such as 90s, 30m or 8h, not {text!r}")
    return int(found)


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"takes a whole number, at least 1, not {text!r}")
    return int(text)


Act = Callable[[argparse.Namespace], int]
"""Does what an action of the command line says; returns the exit code."""


def here_or_at_server(name: str, act: Act, at_server: Callable[[], Mapping[str, Act]]) -> Act:
    """An action that another one of the same name does instead, if ``--server`` is given.

    Args:
        name: of the action.
        act: does it on this machine.
        at_server: imports the actions that a service does.
    """

    def acting(given: argparse.Namespace) -> int:
        return at_server()[name](given) if getattr(given, "server", None) else act(given)

    return acting


class Actions:
    """The commands of a command, each with ``--state-dir`` and a name of what it acts on."""

    def __init__(self, parser: Parser, what: str) -> None:
        """Prepare; ``what``: production or schedule."""
        self._actions = parser.add_subparsers(metavar="ACTION", required=True)
        self._what = what

    def __call__(
        self,
        name: str,
        act: Act,
        text: str,
        *,
        named: bool = True,
        all_too: bool = False,
    ) -> argparse.ArgumentParser:
        """One of them.

        Args:
            name: the word.
            act: does it.
            text: for the help.
            named: it takes a name.
            all_too: which may be left out.
        """
        one: argparse.ArgumentParser = self._actions.add_parser(
            name, help=text, description=text[:1].upper() + text[1:] + "."
        )
        if named:
            one.add_argument("name", metavar="NAME", nargs="?" if all_too else None, help=f"of the {self._what}")
        one.add_argument("--state-dir", metavar="DIR", help=f"directory of run records and {self._what}s")
        one.set_defaults(act=act)
        return one


def state_dir_of(given: argparse.Namespace) -> Path:
    """The directory that ``--state-dir`` or the configuration names."""
    from gridcwl.plugins import configuration

    return (Path(given.state_dir) if given.state_dir else configuration().state()).absolute()


def acted(parser: Parser, arguments: Sequence[str]) -> int:
    """Call ``act`` of what was parsed; the words behind ``--``, a command line of its own, are in ``words``."""
    words = list(arguments)
    at = words.index("--") if "--" in words else len(words)
    given = parser.parse_args(words[:at])
    given.words = words[at + 1 :]
    return int(given.act(given))
