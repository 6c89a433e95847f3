"""Check with pyright that other programs know the type of every public name of the package.

mypy checks the code itself. pyright checks what it offers: each public variable, parameter and result has a declared type, or one that no
type checker infers otherwise. The tests are no part of that. Run it with the packages of the extras ``test`` and ``types``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
#: In seconds; a run takes about 20 on one processor.
LONGEST = 300


def main() -> int:
    """Print the names whose types are not complete, and return 1 if there are any."""
    with tempfile.TemporaryDirectory() as folder:
        without_tests = shutil.ignore_patterns("test", "__pycache__")
        shutil.copytree(TREE / "txmirror", Path(folder, "txmirror"), ignore=without_tests)
        command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", "--ignoreexternal"]
        done = subprocess.run(
            [*command, "--verifytypes", "txmirror"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": folder},
            stdout=subprocess.PIPE,
            timeout=LONGEST,
            check=False,
        )
    report = json.loads(done.stdout).get("typeCompleteness")
    if report is None or not report["symbols"]:
        sys.stderr.write(f"pyright has checked nothing: {done.stdout.decode(errors='replace')}\n")
        return 1
    for symbol in report["symbols"]:
        if not symbol["isTypeKnown"]:
            reasons = "; ".join(each["message"] for each in symbol["diagnostics"] if "docstring" not in each["message"])
            sys.stdout.write(f"{symbol['name']}: {reasons}\n")
    sys.stdout.write(f"{report['completenessScore']:.2%} of the public names have complete types\n")
    return int(report["completenessScore"] < 1)


if __name__ == "__main__":
    raise SystemExit(main())
