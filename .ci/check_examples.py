"""Check the types of the programs in docs/examples, as strictly as those of the package, but allow calls of unannotated functions of
trial and kazoo.

The Python in the documents is part of these programs: txmirror.test.pages.test_covered checks that.

``python .ci/check_examples.py`` needs the packages of ``pip install '.[test,types]'``, and exits with mypy's status.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
#: A program in Python 2.
NOT_CHECKED = {"old_program.py"}


def main() -> int:
    """Run mypy, and return its status."""
    files = sorted(path for path in (TREE / "docs" / "examples").glob("*.py") if path.name not in NOT_CHECKED)
    options = ["--strict", "--allow-untyped-calls", f"--config-file={TREE / 'pyproject.toml'}"]
    command = [sys.executable, "-m", "mypy", *options, *map(str, files)]
    return subprocess.run(command, cwd=TREE, env={**os.environ, "MYPYPATH": str(TREE)}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
