"""`python -m framewire run …`: the program `framewire`, that of this interpreter's package."""

from __future__ import annotations

import os
import sys
import sysconfig


def main() -> int:
    """Becomes the program; returns only if it isn't there."""
    program = os.path.join(sysconfig.get_path("scripts"), "framewire")
    try:
        os.execv(program, [program, *sys.argv[1:]])
    except OSError as error:
        print(f"could not run {program}: {error.strerror}; it comes with the wheel of framewire", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
