"""`flowedit completion`: scripts that offer what the parser takes, in each shell that is here."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from flowedit.app.cli import main
from flowedit.app.completion import Option, read_commands, script

bash = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """A folder with the script of each shell."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        (folder / shell).write_text(script(shell))
    return folder


def complete(scripts, line, *, folder=None):
    """What bash's complete offers at the end of a line, as readline would call it: COMP_WORDS split at = too."""
    words = [word for word in re.split(r" |(=)", line) if word is not None]
    words = [word for i, word in enumerate(words) if word or i == len(words) - 1]
    quoted = " ".join(f"'{word}'" for word in words)
    asked = f'COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _flowedit; printf "%s\\n" "${{COMPREPLY[@]}}"'
    command = ["bash", "--norc", "--noprofile", "-c", f"source {scripts}/bash; {asked}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_each_command_and_option_of_the_help_is_known(capsys):
    commands = {command.name: command for command in read_commands()}
    with pytest.raises(SystemExit):
        main(["--help"])
    assert set(re.findall(r"^\W*(\w+) +[A-Z].*", capsys.readouterr().out.partition("subcommands")[2], re.M)) == {
        *commands
    }
    for name in ("edit", "apply", "explain", "completion"):
        with pytest.raises(SystemExit):
            main([name, "--help"])
        told = set(re.findall(r"^\W*((?:-\w, )?--[a-z][\w.-]*)", capsys.readouterr().out, re.M))
        known = {each for option in commands[name].options for each in option.names}
        assert {each.split(", ")[-1] for each in told} <= known, name
        assert len(told) > 1 or name == "completion"


def test_options_are_read_as_the_parser_takes_them():
    edit = {
        option.names[-1]: option for option in next(each for each in read_commands() if each.name == "edit").options
    }
    about = "Only this part of the face may change."
    parts = ("None", "mouth", "eyes", "brows", "nose", "jaw", "skin")
    assert edit["--region"] == Option(("--region",), about, ("VALUE",), parts, False, False)
    assert edit["--out"].names == ("-o", "--out") and edit["--out"].files and edit["--mask"].files
    assert edit["--parts.lips"].values == ("FLOAT", "FLOAT") and edit["--steps"].values == ("INT",)
    assert edit["--also"].repeats and not edit["--also"].files
    assert edit["--fast"].values == () and "--no-align" in edit["--no-align"].names


@bash
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("flowedit ap", ["apply", "app"]),
        ("flowedit --v", ["--version"]),
        ("flowedit edit face.jpg --reg", ["--region"]),
        ("flowedit edit --region m", ["mouth"]),
        ("flowedit edit --region=m", ["mouth"]),
        ("flowedit apply --by=", ["landmarks", "frame"]),
        ("flowedit edit --seed ", []),
        ("flowedit explain --j", ["--json"]),
        ("flowedit completion ", ["bash", "zsh", "fish"]),
        ("flowedit completion z", ["zsh"]),
        ("flowedit unheard --", []),
    ],
)
def test_bash_completes(scripts, line, offered):
    assert complete(scripts, line) == offered


@bash
def test_a_tab_completes_in_bash(scripts, tmp_path):
    """Through readline, with files where a file is wanted and none where a word is."""
    (tmp_path / "mouse.jpg").touch()
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "PS1": "> ", "INPUTRC": "/dev/null"}
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    shown = ""

    def wait_for(text):
        nonlocal shown
        end = time.monotonic() + 60
        while text not in shown and time.monotonic() < end:
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 4096).decode()
        assert text in shown
        shown = shown.partition(text)[2]

    try:
        os.write(
            terminal, f"source {scripts}/bash; flowedit() {{ printf '<%s>' \"$@\"; echo .; }}; echo rea''dy\n".encode()
        )
        wait_for("ready\r\n")
        os.write(terminal, b'flowedit swe\tmo\t"smile" --reg\tmo\t\n')
        wait_for("<sweep><mouse.jpg><smile><--region><mouth>.")
        os.write(terminal, b"flowedit edit --seed mo\t\n")  # no file is a number
        wait_for("<edit><--seed><mo>.")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_is_of_its_shells_grammar(scripts, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    done = subprocess.run([shell, "-n", str(scripts / shell)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_knows_each_command_and_runs_no_python(scripts, shell):
    text = (scripts / shell).read_text()
    assert "python" not in text
    for command in read_commands():
        assert re.search(rf"\b{command.name}\b", text)
        for option in command.options:
            assert option.names[-1].lstrip("-") in text
    assert text.count("'") % 2 == 0 or shell == "bash"  # a help's own quotes end none of ours


def test_the_command_prints_it(capsys):
    assert main(["completion", "fish"]) == 0
    assert capsys.readouterr().out == script("fish") + "\n"
    assert main(["completion", "tcsh"]) == 2
    assert "bash" in capsys.readouterr().err
