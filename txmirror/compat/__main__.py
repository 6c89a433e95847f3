"""Run an unchanged program that uses txzookeeper: ``python -m txmirror.compat PROGRAM [ARGUMENT...]``.

A program that Python 3 cannot read is translated first, like txzookeeper itself.
"""

from __future__ import annotations

import sys
from pathlib import Path

from txmirror.compat.loading import install
from txmirror.compat.translation import translated

#: The exit status for an invalid command line (``EX_USAGE`` of BSD's sysexits).
_EX_USAGE = 64
_USAGE = "usage: python -m txmirror.compat PROGRAM [ARGUMENT...]\n"
_HELP = f"""{_USAGE}
Run an unchanged program that uses txzookeeper, on Python 3. A program in Python 2 is translated first.
"""


def main() -> None:
    """Run the program of the command line.

    :raises SystemExit: there is none, or a package that it needs is not installed; the message is one line.
    """
    if len(sys.argv) < 2:
        sys.stderr.write(_USAGE)
        raise SystemExit(_EX_USAGE)
    if sys.argv[1] in ("-h", "--help"):
        sys.stdout.write(_HELP)
        return
    program = sys.argv[1]
    try:
        install()
        source = Path(program).read_bytes()
    except (ImportError, OSError) as error:
        raise SystemExit(f"txmirror: {error}") from None
    try:
        code = compile(source, program, "exec", dont_inherit=True)
    except SyntaxError:
        code = compile(translated(source, program), program, "exec", dont_inherit=True)
    # As Python itself does for a program.
    del sys.argv[0]
    sys.path[0] = str(Path(program).parent)
    exec(code, {"__name__": "__main__", "__file__": program, "__builtins__": __builtins__})  # noqa: S102 - as asked for


if __name__ == "__main__":
    main()
