"""Java programs of a test, with Curator on their class path."""

from __future__ import annotations

import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest

from txmirror.test.neighbours.case import need, policy

_JARS = Path("/usr/share/java")
_NAMES = [
    "curator-x-discovery",
    "curator-recipes",
    "curator-framework",
    "curator-client",
    "jackson-annotations",
    "jackson-core",
    "jackson-databind",
    "guava",
    "zookeeper",
    "zookeeper-jute",
    "slf4j-api",
    "slf4j-nop",
    "netty-all",
]


class JavaProgram:
    """Compiled classes.

    :param folder: the folder for the files.
    :param sources: the texts of the classes, by their names.
    :raises SkipTest: Java or Curator is not installed, or these tests are off.
    """

    def __init__(self, folder: Path, **sources: str) -> None:
        compiler = need("javac", "default-jdk-headless")
        missing = [name for name in _NAMES if not (_JARS / f"{name}.jar").exists()]
        if missing:
            message = f"there is no {missing[0]}.jar: apt-get install libcurator-discovery-java libcurator-recipes-java"
            raise RuntimeError(message) if policy() == "require" else SkipTest(message)
        classes = ":".join([str(_JARS / f"{name}.jar") for name in _NAMES] + [str(folder)])
        for name, text in sources.items():
            (folder / f"{name}.java").write_text(text)
        files = [f"{name}.java" for name in sources]
        subprocess.run([compiler, "-cp", classes, "-d", ".", *files], cwd=folder, check=True, timeout=120)
        self._command = [need("java", "default-jdk-headless"), "-cp", classes]

    def command(self, name: str, *arguments: str) -> list[str]:
        """Return the command line of a process.

        :param name: the class with ``main``.
        """
        return [*self._command, name, *arguments]
