"""Completion for shells: what may stand at a place of the command line. The scripts ask ``gridcwl completion words``.

All that is known comes from the parsers themselves and from the journals of runs; nothing large is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

FILES = ":files"
"""A line that asks the shell for its own completion of file names."""
SHELLS = ("bash", "zsh", "fish")
_MOST_RUNS = 30

SCRIPTS = {
    "bash": """\
# bash completion for gridcwl: source <(gridcwl completion bash)
_gridcwl() {
    local line current=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == ":files" ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
        else
            COMPREPLY+=("${line%%$'\\t'*}")
        fi
    done < <(gridcwl completion words -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _gridcwl gridcwl
""",
    "zsh": """\
#compdef gridcwl
# zsh completion for gridcwl: source <(gridcwl completion zsh), or put it into a folder of $fpath as _gridcwl
_gridcwl() {
    local line
    local -a found
    for line in "${(@f)$(gridcwl completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        if [[ $line == ":files" ]]; then
            _files
        elif [[ -n $line ]]; then
            found+=("${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}")
        fi
    done
    if (( ${#found} )); then _describe gridcwl found; fi
}
if [[ ${funcstack[1]} == _gridcwl ]]; then _gridcwl "$@"; else compdef _gridcwl gridcwl; fi
""",
    "fish": """\
# fish completion for gridcwl: gridcwl completion fish | source
function __gridcwl_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (gridcwl completion words -- $words[2..-1] 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c gridcwl -f -a '(__gridcwl_complete)'
""",
}


def completion(given: argparse.Namespace) -> int:
    """Print a shell's script, or what may stand at the end of some words."""
    if given.shell != "words":
        print(SCRIPTS[given.shell], end="")
        return 0
    words = given.words[1:] if given.words[:1] == ["--"] else given.words
    for line in candidates(words or [""]):
        print(line)
    return 0


def candidates(words: Sequence[str]) -> Iterator[str]:
    """What the last word may become: value, tab, description; or :data:`FILES`.

    Args:
        words: the command line behind ``gridcwl``, the last word as far as it is typed.
    """
    *before, current = words
    parser = parser_of(before)
    while (inner := _inner(parser, before)) is not None:
        parser, before = inner
    if not _plain(parser, words[:-1]) and _waiting(parser, words[:-1]) is None and not current.startswith("-"):
        for value, text in _commands():
            if value.startswith(current):
                yield f"{value}\t{text}"
    for value, text in _here(parser, before, current):
        if value == FILES:
            yield FILES
        elif value.startswith(current):
            yield f"{value}\t{text}"


def parser_of(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of these words: of the testbed, of the commands, or of a document that runs."""
    from gridcwl.cli import commands, main, options

    first = next((word for word in words if not word.startswith("-")), "")
    if first in main.PROGRAMS:
        module = importlib.import_module(main.PROGRAMS[first])
        return _within(first, (getattr(module, "parser", None) or module._parser)())
    if first in main.COMMANDS:
        return commands._parser()
    if first == main.PLAN:
        return _within(main.PLAN, options._parser())
    return options._parser()


def _within(name: str, parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """A parser with another one behind a word."""
    outer = argparse.ArgumentParser(add_help=False)
    outer.add_subparsers().choices[name] = parser
    return outer


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _inner(parser: argparse.ArgumentParser, words: list[str]) -> tuple[argparse.ArgumentParser, list[str]] | None:
    """The parser of the command in these words, and the words behind it."""
    known = subparsers(parser)
    for number, word in enumerate(words):
        if word in known:
            return known[word], words[number + 1 :]
    return None


def _here(parser: argparse.ArgumentParser, before: Sequence[str], current: str) -> Iterator[tuple[str, str]]:
    waiting = _waiting(parser, before)
    if waiting is not None:
        yield from _values(waiting, before)
        return
    if current.startswith("-"):
        yield from _options(parser)
        return
    inner = subparsers(parser)
    if inner:
        helps = {action.dest: action.help for action in _choices(parser)}
        yield from ((name, helps.get(name) or "") for name in inner)
        return
    positionals = [action for action in parser._actions if not action.option_strings]
    if not positionals:  # a document and its inputs
        yield FILES, ""
        return
    at = len(_plain(parser, before))
    for action in positionals[at : at + 1] or positionals[-1:]:
        yield from _values(action, _plain(parser, before))


def _waiting(parser: argparse.ArgumentParser, before: Sequence[str]) -> argparse.Action | None:
    """The option that the next word belongs to."""
    if not before:
        return None
    for action in parser._actions:
        if before[-1] in action.option_strings and action.nargs not in (0, "?", "*"):
            return action
    return None


def _plain(parser: argparse.ArgumentParser, before: Sequence[str]) -> list[str]:
    """The words that are no options, and no values of options."""
    found = []
    for number, word in enumerate(before):
        if not word.startswith("-") and _waiting(parser, before[:number]) is None:
            found.append(word)
    return found


def _options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:
        if action.help != argparse.SUPPRESS:
            for option in action.option_strings:
                if option.startswith("--"):
                    yield option, action.help or ""


def _commands() -> Iterator[tuple[str, str]]:
    from gridcwl.cli import commands, main

    helps = {action.dest: action.help or "" for action in _choices(commands._parser())}
    helps |= {main.PLAN: "what a run would do", main.TESTBED: "a real DIRAC and a real Rucio on this machine"}
    helps[main.EXEC] = "run a command as a job, without writing a document"
    helps["shell"] = "the container of a job with its inputs, to find out why it failed"
    helps["production"] = "one document over a growing list of inputs or seeds, in portions"
    helps["pool"] = "nodes in DIRAC jobs that wait for jobs of yours"
    helps["kernel"] = "Jupyter kernels as jobs, in JupyterLab's launcher"
    helps["schedule"] = "run documents at certain times, at intervals, or when data arrive"
    helps["basket"] = "items of an ESAP basket, or rows of Virtual Observatory results, as inputs"
    helps[main.SERVE] = "serve GA4GH WES, for gridcwl --server and other clients"
    yield from helps.items()


def _choices(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return next((a._choices_actions for a in parser._actions if isinstance(a, argparse._SubParsersAction)), [])


def _values(action: argparse.Action, before: Sequence[str]) -> Iterator[tuple[str, str]]:
    if action.dest == "shell":
        yield from ((shell, "") for shell in SHELLS)
    elif action.choices:
        yield from ((str(choice), "") for choice in action.choices)
    elif action.dest in ("run", "runs"):
        yield from latest_runs()
    elif action.dest == "step":
        yield from ((step, "") for step in steps(before[-1] if before else "last"))
    else:
        yield FILES, ""


def _state_dir() -> Path:
    from gridcwl.plugins import configuration

    return configuration().state()


def latest_runs() -> Iterator[tuple[str, str]]:
    """The last runs, with their documents."""
    from gridcwl.runs.record.folder import all_folders

    yield "last", "the last run"
    for folder in all_folders(_state_dir())[:_MOST_RUNS]:
        yield folder.run, _document(folder.journal)


def _document(journal: Path) -> str:
    from gridcwl.errors import StoreError
    from gridcwl.runs.record.journal_file import document_of

    with contextlib.suppress(StoreError):
        return document_of(journal)
    return ""


def steps(run: str) -> list[str]:
    """The steps of a run."""
    from gridcwl.errors import GridCWLError
    from gridcwl.runs.record.folder import find
    from gridcwl.runs.record.journal_file import steps_of

    try:
        return steps_of(find(_state_dir(), run).folder.journal)
    except GridCWLError:
        return []
