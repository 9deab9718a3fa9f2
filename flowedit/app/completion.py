"""Completion for shells: a script of plain text, written from the parser of the command line itself.

What it offers is what the parser takes, and completing runs no Python.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tyro.conf import Positional

from flowedit._version import __version__
from flowedit.app.console import say

PLAIN = {"INT", "FLOAT", "SECONDS", "TEXT", "WEIGHT", "PROMPT"}  # what a metavar calls values that are no files
NUMBERS = {"INT", "FLOAT", "SECONDS"}


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes:
        names: short ones first: ("-o", "--out").
        about: its help's first sentence.
        values: words for its values, as "FLOAT FLOAT"; none for a flag.
        choices: values that it takes.
        files: whether a value may be a file.
        repeats: whether it may be given again.
    """

    names: tuple[str, ...]
    about: str
    values: tuple[str, ...]
    choices: tuple[str, ...]
    files: bool
    repeats: bool


DEBUG = Option(("--debug",), "Show tracebacks.", (), (), False, False)  # which cli.py takes before the parser


@dataclass(frozen=True)
class Command:
    """A command and its options; `choices` are those of its positional argument, else that is a file or a text."""

    name: str
    about: str
    options: tuple[Option, ...]
    choices: tuple[str, ...]


@dataclass(frozen=True)
class CompletionCommand:
    """Print a script that completes commands and options in a shell: flowedit completion bash"""

    shell: Positional[Literal["bash", "zsh", "fish"]]
    """The shell; the README says where its script goes."""

    def run(self) -> int:
        """Print it."""
        say(script(self.shell))
        return 0


def script(shell: str) -> str:
    """Return the script for bash, zsh or fish."""
    write = {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]
    return "\n".join([*write(read_commands())])


def read_commands() -> list[Command]:
    """Read the commands and their options from the parser."""
    import tyro

    from flowedit.app import cli  # which imports this file, for its command

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # in favor of tyro's scripts, which run Python at each TAB
        parser: Any = tyro.extras.get_parser(cli.Command, prog="flowedit")  # type: ignore[call-overload]
    commands = next(action for action in parser._actions if isinstance(action.choices, dict))
    return [
        Command(
            name,
            _first_sentence(each.description),
            (*(_read_option(action) for action in each._actions if action.option_strings), DEBUG),
            tuple(choice for action in each._actions if not action.option_strings for choice in _choices(action)),
        )
        for name, each in commands.choices.items()
    ]


def _read_option(action: Any) -> Option:
    names = tuple(sorted(action.option_strings, key=len))
    words = re.sub(r"\{.*?\}", "", action.metavar or "")
    values = () if action.nargs == 0 else tuple(re.findall(r"[A-Z]+", words)) or ("VALUE",)
    if set(values) <= NUMBERS and action.nargs != len(values):  # {None}|FLOAT, or as many as one likes
        values = values[:1]
    elif not set(values) <= NUMBERS:
        values = (values[0],)
    files = bool(values) and "VALUE" not in values and not set(values) <= PLAIN
    repeats = type(action).__name__ == "_AppendAction"
    return Option(names, _first_sentence(action.help), values, tuple(_choices(action)), files, repeats)


def _choices(action: Any) -> Iterator[str]:
    """Yield the choices in the order in which help has them, which `action.choices`, a set, does not keep."""
    for braces in re.findall(r"\{(.*?)\}", action.metavar or ""):
        yield from braces.split(",")


def _first_sentence(text: str | None) -> str:
    words = " ".join((text or "").split())
    return re.sub(r"( \((default: .*|required|repeatable)\))+$", "", re.split(r"(?<=[.;:]) ", words)[0]).rstrip(":;")


def _quoted(text: str) -> str:
    """Quote a text for any of the three shells, in single quotes; a single quote in it becomes a typographic one."""
    return "'" + text.replace("'", "’").replace("\\", "/") + "'"


def _bash(commands: Sequence[Command]) -> Iterator[str]:
    yield f"# Completion of flowedit {__version__} for bash, by `flowedit completion bash`."
    yield """\
_flowedit() {
    local IFS=$' \\t\\n' word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} options= values=
    COMPREPLY=()
    if [[ $word == "=" ]]; then  # --option=
        word=
    elif [[ $before == "=" ]]; then
        before=${COMP_WORDS[COMP_CWORD-2]}
    fi
    if (( COMP_CWORD == 1 )); then"""
    names = " ".join([*(command.name for command in commands), "--help", "--version"])
    yield f'        COMPREPLY=($(compgen -W "{names}" -- "$word"))'
    yield "        return"
    yield "    fi"
    yield "    case ${COMP_WORDS[1]} in"
    for command in commands:
        yield f"        {command.name})"
        yield f'            options="{" ".join(name for option in command.options for name in option.names)}"'
        yield "            case $before in"
        for option in command.options:
            if option.choices and not option.files:
                yield f'                {"|".join(option.names)}) values="{" ".join(option.choices)}" ;;'
        typed = [name for option in command.options for name in option.names if option.values and not option.files
                 and not option.choices]  # fmt: skip
        if typed:
            yield f'                {"|".join(typed)}) values=" " ;;'
        if command.choices:
            yield f'                {command.name}) values="{" ".join(command.choices)}" ;;'
        yield "            esac ;;"
    yield """\
    esac
    if [[ -n $values ]]; then
        COMPREPLY=($(compgen -W "$values" -- "$word"))
        compopt +o default 2> /dev/null  # no file names: a number, a text or one of a few words is wanted
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    fi
}
complete -o default -F _flowedit flowedit"""


def _zsh(commands: Sequence[Command]) -> Iterator[str]:
    yield "#compdef flowedit"
    yield f"# Completion of flowedit {__version__} for zsh, by `flowedit completion zsh`."
    yield "_flowedit() {"
    yield "    local -a commands"
    yield "    commands=("
    for command in commands:
        yield f"        {_quoted(f'{command.name}:{command.about}')}"
    yield """\
    )
    if (( CURRENT == 2 )); then
        _describe -t commands command commands
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in"""
    for command in commands:
        yield f"        {command.name}) _arguments -s -S \\"
        for option in command.options:
            again = "*" if option.repeats else "(" + " ".join(option.names) + ")"
            choices = f"({' '.join(option.choices)})"
            action = choices if option.choices else "_files" if option.files else " "
            values = "".join(f":{value}:{action}" for value in option.values)
            about = re.sub(r"([\[\]:])", r"\\\1", option.about.replace("\\", "/"))
            for name in option.names:
                equals = "=" if values and name.startswith("--") else ""
                yield f"            '{again}{name}{equals}[{about.replace(chr(39), '’')}]{values}' \\"
        words = f"({' '.join(command.choices)})" if command.choices else "_files"
        yield f"            '*:argument:{words}' ;;"
    yield """\
    esac
}
if [[ $funcstack[1] == _flowedit ]]; then  # autoloaded
    _flowedit "$@"
else
    compdef _flowedit flowedit
fi"""


def _fish(commands: Sequence[Command]) -> Iterator[str]:
    yield f"# Completion of flowedit {__version__} for fish, by `flowedit completion fish`."
    yield """\
function __flowedit_command
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test $words[2] = $argv[1]
end
function __flowedit_no_command
    test (count (commandline -opc)) -eq 1
end"""
    yield "complete -c flowedit -n __flowedit_no_command -f"
    for command in commands:
        about = _quoted(command.about)
        yield f"complete -c flowedit -n __flowedit_no_command -a {command.name} -d {about}"
    for command in commands:
        place = f"complete -c flowedit -n '__flowedit_command {command.name}'"
        if command.choices:
            yield f"{place} -f -a {_quoted(' '.join(command.choices))}"
        for option in command.options:
            names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
            if option.choices:
                values = f" -x -a {_quoted(' '.join(option.choices))}"
            else:
                values = "" if not option.values else " -r -F" if option.files else " -x"
            yield f"{place} {names}{values} -d {_quoted(option.about)}"
