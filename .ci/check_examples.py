"""Check the types of the Python in the documents: the blocks of README.rst and docs/**/*.rst, and the programs in docs/examples.

The blocks of one document are one program: each can use the names of earlier blocks. They become the body of one function, so
that they can await. Each block keeps its line numbers, so that mypy's messages point into the document. Names that only the prose
introduces are the function's parameters: ``NAMES`` declares them.

``python .ci/check_examples.py`` needs the packages of ``pip install '.[test,types]'``, and exits with mypy's status.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
DIRECTIVE = ".. code-block:: python"
#: For each document: the imports of the parameters' types, and the parameters.
NAMES = {
    "README.rst": (
        ["from typing import Any", "from txmirror.client import ZooKeeperClient"],
        ["client: ZooKeeperClient", "changed: Any", "report: Any", "sweep: Any", "follow: Any"],
    ),
}
#: A program in Python 2.
NOT_CHECKED = {"old_program.py"}


def code_lines(document: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of the Python blocks of a document, each with its number, counted from 0."""
    lines = document.splitlines()
    within = False
    for number, line in enumerate(lines):
        if line == DIRECTIVE:
            within = True
        elif within and line.startswith("    "):
            yield number, line
        elif line:
            within = False


def program(name: str, document: str) -> str:
    """Return a module that consists of a document's blocks, on the same lines.

    :raises ValueError: the first block begins too early: the module's head needs the lines before it.
    """
    imports, parameters = NAMES.get(name, ([], []))
    code = dict(code_lines(document))
    head = [
        "; ".join(["from __future__ import annotations", *imports]),
        f"async def blocks({', '.join(parameters)}) -> None:",
    ]
    if min(code) < len(head):
        raise ValueError(f"{name}: a block begins on line {min(code) + 1}")
    body = [code.get(number, "") for number in range(len(head), max(code) + 1)]
    return "\n".join([*head, *body, ""])


def documents() -> Iterator[Path]:
    """Yield the documents that have Python blocks."""
    for path in [TREE / "README.rst", *sorted((TREE / "docs").glob("**/*.rst"))]:
        if any(code_lines(path.read_text(encoding="utf-8"))):
            yield path


def run_mypy(files: list[Path], folder: Path) -> tuple[int, str]:
    """Run mypy on files in a folder, as strictly as on the package, but allow calls of unannotated functions of trial and kazoo.

    :returns: mypy's status and output.
    """
    environment = {**os.environ, "MYPYPATH": os.pathsep.join([str(folder), str(TREE)])}
    options = ["--strict", "--allow-untyped-calls", f"--config-file={TREE / 'pyproject.toml'}"]
    command = [sys.executable, "-m", "mypy", *options, *map(str, files)]
    done = subprocess.run(command, cwd=TREE, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout


def check_documents() -> tuple[int, str]:
    """Check the blocks of all documents, and return mypy's status and output."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        origins: dict[str, str] = {}
        files = []
        for path in documents():
            name = str(path.relative_to(TREE))
            file = folder / f"{re.sub('[^a-z]', '_', name.lower())}.py"
            file.write_text(program(name, path.read_text(encoding="utf-8")), encoding="utf-8")
            origins[file.name] = name
            files.append(file)
        status, said = run_mypy(files, folder)
        for file_name, name in origins.items():
            # Messages from mypy's cache of an earlier run name another folder.
            said = re.sub(rf"\S*\b{re.escape(file_name)}(?=:)", name, said)
        return status, said


def check_programs() -> tuple[int, str]:
    """Check the programs of the documentation, and return mypy's status and output."""
    folder = TREE / "docs" / "examples"
    return run_mypy(sorted(path for path in folder.glob("*.py") if path.name not in NOT_CHECKED), folder)


def main() -> int:
    """Check everything, print the errors, and return the status."""
    worst = 0
    for status, said in (check_documents(), check_programs()):
        sys.stdout.write(said)
        worst = max(worst, status)
    return worst


if __name__ == "__main__":
    sys.exit(main())
