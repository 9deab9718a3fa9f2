"""The command line: arguments -> a command -> its exit code.

It uses what any user of the library can use, parses with tyro (so a flag, a field of Config, its default and its help
line are one text), and prints through `console` only.
Exit codes: 0 done, 1 failed or stopped by Ctrl-C, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro
from tyro.conf import subcommand

import flowedit
from flowedit.app import commands, options
from flowedit.app.completion import CompletionCommand
from flowedit.app.console import complain, complain_of, log_in_one_line, say, warnings_in_one_line
from flowedit.app.doctor import DoctorCommand
from flowedit.app.folder import BatchCommand
from flowedit.app.gallery import GalleryCommand
from flowedit.app.imagine import ImagineCommand
from flowedit.app.paths import WrongUsage
from flowedit.app.remake import RemakeCommand
from flowedit.app.serve import AppCommand
from flowedit.app.video import VideoCommand
from flowedit.config import Config
from flowedit.photo.interrupts import interrupts_in_finalizers_unsaid, sigterm_as_ctrl_c

Command = (
    Annotated[commands.EditCommand, subcommand("edit", prefix_name=False)]
    | Annotated[commands.SweepCommand, subcommand("sweep", prefix_name=False)]
    | Annotated[commands.VaryCommand, subcommand("vary", prefix_name=False)]
    | Annotated[BatchCommand, subcommand("batch", prefix_name=False)]
    | Annotated[commands.ApplyCommand, subcommand("apply", prefix_name=False)]
    | Annotated[VideoCommand, subcommand("video", prefix_name=False)]
    | Annotated[ImagineCommand, subcommand("imagine", prefix_name=False)]
    | Annotated[RemakeCommand, subcommand("remake", prefix_name=False)]
    | Annotated[commands.ExplainCommand, subcommand("explain", prefix_name=False)]
    | Annotated[GalleryCommand, subcommand("gallery", prefix_name=False)]
    | Annotated[AppCommand, subcommand("app", prefix_name=False)]
    | Annotated[commands.InfoCommand, subcommand("info", prefix_name=False)]
    | Annotated[DoctorCommand, subcommand("doctor", prefix_name=False)]
    | Annotated[CompletionCommand, subcommand("completion", prefix_name=False)]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` defaults to the process's own arguments."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    with (
        warnings_in_one_line(debug),
        log_in_one_line("--quiet" in arguments, debug),
        sigterm_as_ctrl_c(),
        interrupts_in_finalizers_unsaid(),
    ):
        try:
            if arguments == ["--version"]:
                say(f"flowedit {flowedit.__version__}")
                return 0
            return parse([word for word in arguments if word != "--debug"]).run()
        except WrongUsage as error:
            complain_of(error)
            return 2
        except KeyboardInterrupt:
            complain("interrupted")
            return 1
        except BrokenPipeError:  # the reader of our output has gone, as in `flowedit info | head -1`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            complain_of(error)
            return 1


def parse(arguments: Sequence[str]) -> Command:
    """Read the command line; a complaint of tyro's becomes one line.

    Raises:
        WrongUsage: it cannot be carried out as written.
        SystemExit: after --help.
    """
    complaint = io.StringIO()
    token = options.base_config.set(_read_settings(arguments))
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                Command,
                prog="flowedit",
                description="Edit portraits by a sentence. Every command takes --debug, for tracebacks.",
                args=arguments,
            )
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        # tyro has no plain form of its complaints: a title, the complaint, a ruler, hints; with or without a box.
        lines = (line.strip("│ ") for line in complaint.getvalue().splitlines()[1:])
        words = " ".join(itertools.takewhile(_has_words, itertools.dropwhile(lambda line: not _has_words(line), lines)))
        raise WrongUsage(f"{_reword(words)} (flowedit --help tells more)") from None
    except (TypeError, ValueError) as error:  # the checks of Config and the commands
        raise WrongUsage(str(error)) from error
    finally:
        options.base_config.reset(token)


def _reword(complaint: str) -> str:
    """Return a complaint of tyro's in the form of ours: what, must be, got."""
    choice = re.fullmatch(r"invalid choice ('.*') for argument '(.*)'\. Expected one of \((.*)\)\.", complaint)
    if choice is not None:
        got, flag, choices = choice.groups()
        names = ", ".join(sorted(re.findall("[^', ]+", choices)))
        return f"{flag} must be one of {names}; got {got}"
    error, _, reason = complaint.partition(": ")
    place = error.removeprefix("Error parsing ")
    if place != error and not place.startswith("-") and not place.isupper():  # a check of ours, in tyro's terms
        return reason
    kinds = {
        "int()": "a whole number",
        "to float:": "a number",
        "|INT": "a whole number or None",
        "|FLOAT": "a number or None",
        "[float, float]": "two numbers",
    }
    kind = next((kind for words, kind in kinds.items() if words in reason), None)
    got = " ".join(re.findall("'[^']*'", reason))
    return complaint if kind is None else f"{place} must be {kind}; got {got}"


def _has_words(line: str) -> bool:
    return any(character.isalnum() for character in line)


def _read_settings(arguments: Sequence[str]) -> Config | None:
    """Read the file of --config, whose settings become the defaults of the flags; None without one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config")
    try:
        path = parser.parse_known_args(arguments)[0].config
    except argparse.ArgumentError:  # no file behind it, which tyro says better
        return None
    return None if path is None else Config.from_toml(path)
