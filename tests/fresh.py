"""Scripts in processes of their own, which begin with numpy and torch imported and nothing else of weight.

They are forked from one process per session: importing torch takes seconds, and most tests of what a script loads,
prints or leaves behind need it fresh only from there on.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SERVER = """
import json, os, sys, traceback
import numpy, torch

def run(script, arguments, folder, out, err):
    for number, name in ((0, os.devnull), (1, out), (2, err)):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), number)
    os.chdir(folder)
    sys.argv[1:] = arguments
    try:
        exec(compile(script, "<string>", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(code)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        run(*json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    return server


def run_fresh(script: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a script as `python -c` would, and return its exit code and what it printed.

    Args:
        script: begins with torch and numpy in sys.modules.
        arguments: for sys.argv.
        cwd: its folder, which is first in sys.path too.
    """
    server = _server()
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, name) for name in ("out", "err")]
        server.stdin.write(json.dumps([script, arguments, str(cwd or Path.cwd()), *files]) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        said = [Path(name).read_text() for name in files]
    return subprocess.CompletedProcess(["python", "-c", script, *arguments], code, *said)
