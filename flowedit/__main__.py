"""`python -m flowedit` is the command `flowedit`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType


def main() -> int:
    """Run the command line; Ctrl-C and SIGTERM end it with one line while the libraries still load, too."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each, handler in before.items():
        if handler in (signal.default_int_handler, signal.SIG_DFL):  # else the parent process wants it ignored
            signal.signal(each, _leave)
    try:
        from flowedit.app.cli import main as run
    except (ImportError, OSError) as error:  # torch or tyro is missing or broken, which no command can do without
        if "--debug" in sys.argv:
            raise
        reason = " ".join(str(error).split())
        print(f"flowedit: cannot start: {reason} (--debug shows where)", file=sys.stderr)
        return 1
    for each, handler in before.items():
        signal.signal(each, handler)
    code = run()
    for each in before:  # all is written: a signal now would only hide what became of it behind its own exit status
        signal.signal(each, signal.SIG_IGN)
    return code


def _leave(number: int, frame: FrameType | None) -> None:
    """End the process at once: nothing is written yet, and an exception would come out of some library's import."""
    with contextlib.suppress(OSError):
        os.write(2, b"flowedit: interrupted\n")
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
