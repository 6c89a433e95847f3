"""Writes measured figures as the tables that the documentation draws, ``docs/speed/*.csv``."""

from __future__ import annotations

import csv
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from txmirror.test.zookeeper import ZooKeeperProcess

#: The folder of the tables.
DOCS = Path(__file__).parent.parent / "docs" / "speed"
#: How the documentation calls the peers.
NAMES = {"limit": "bare socket"}
#: The headers of wall and CPU time.
TIMES = ("wall time (s)", "CPU time (s)")


class Conditions:
    """The state of the machine from now on, to be written above the figures."""

    def __init__(self, packages: Sequence[str] = (), server: ZooKeeperProcess | None = None) -> None:
        """Look at the machine.

        :param packages: other clients that are measured.
        :param server: a started server whose version counts.
        """
        self._loads = [os.getloadavg()[0]]
        self._versions = [f"Python {platform.python_version()}"]
        for package in ("Twisted", *packages):
            try:
                self._versions.append(f"{package} {version(package)}")
            except PackageNotFoundError:
                continue
        if server is not None:
            found = server.four_letter("srvr").partition("version: ")[2].partition("-")[0]
            self._versions.append(f"ZooKeeper {found}")
        java = subprocess.run(["java", "--version"], capture_output=True, text=True, check=True).stdout
        self._versions.append(f"Java {java.split()[1].partition('.')[0]}")

    def look(self) -> None:
        """Note the load of this moment."""
        self._loads.append(os.getloadavg()[0])

    def described(self, how: str) -> str:
        """Return a sentence about the machine.

        :param how: how often it was measured, such as "Medians of three rounds".
        """
        self.look()
        least, most = min(self._loads), max(self._loads)
        return (
            f"{how}, on {os.cpu_count()} cores shared by client, server and the other programs, at a load of {least:.1f} to"
            f" {most:.1f}. {', '.join(self._versions)}, {time.strftime('%Y-%m-%d')}"
        )


def write(
    path: Path,
    header: Sequence[str],
    rows: Iterable[Sequence[str | float]],
    *,
    title: str,
    measured: str,
    command: str = "",
    ratios: bool = False,
) -> None:
    """Write a table.

    :param rows: numbers are rounded to three digits.
    :param ratios: the first row of each group is compared with the others.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# title: {title}\n")
        if ratios:
            file.write("# ratios: yes\n")
        file.write(f"# measured: {measured}\n")
        if command:
            file.write(f"# command: {command}\n")
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows([each if isinstance(each, str) else rounded(each) for each in row] for row in rows)


def rounded(figure: float) -> str:
    """Return a number with three digits."""
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


def medians_of_rounds(rounds: int) -> str:
    """Return the words for medians of some rounds: one or more."""
    return "One round" if rounds == 1 else f"Medians of {rounds} rounds"
