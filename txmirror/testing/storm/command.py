"""The command line of storms, which runs in a child process whose strings have the same hashes in each run."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import attrs
from twisted.logger import globalLogBeginner

from txmirror.testing.history import to_lines
from txmirror.testing.storm.endpoints import EndpointProgram
from txmirror.testing.storm.everything import ALL, RECIPES, Everything, make_world, replaced_for
from txmirror.testing.storm.shrinking import describe, shrink
from txmirror.testing.storm.storms import Plan, Result, Storm

_MODULE = "txmirror.testing.storm"
_DEFAULT_STEPS = 100


def main(arguments: Sequence[str]) -> int:
    """Run the command. Return its exit code: 1 if a storm has failed."""
    parser = _parser(
        _MODULE,
        "Clients, mirrors, registries and recipes in a world in memory, under random faults. The same seed gives the same log.",
    )
    program = parser.add_mutually_exclusive_group()
    program.add_argument(
        "--recipes", action="store_true", help="only recipes: those that are not in the other storms, and further locks"
    )
    program.add_argument("--endpoints", action="store_true", help="only endpoints: servers that register, and clients")
    options = parser.parse_args(arguments)
    plan = partial(plan_of, recipes=options.recipes, endpoints=options.endpoints)
    option = " --recipes" if options.recipes else " --endpoints" if options.endpoints else ""
    return _run_in_child(arguments, options, _Storms(_MODULE, option, plan))


def run_command(arguments: Sequence[str], module: str, description: str, plan: Callable[[int], Plan]) -> int:
    """Run the command of another module, whose storms have a program of their own. Return its exit code, as :func:`main`.

    :param module: the name of the module.
    :param description: for its help.
    :param plan: returns the plan of the storm with a seed.
    """
    return _run_in_child(arguments, _parser(module, description).parse_args(arguments), _Storms(module, "", plan))


@attrs.frozen
class _Storms:
    """The storms of a command."""

    module: str
    option: str
    """The option that chooses the program, after a space."""
    plan: Callable[[int], Plan]


def _parser(module: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="the first seed (default: 1)")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="the number of seeds (default: 1)")
    parser.add_argument(
        "--steps", type=int, default=_DEFAULT_STEPS, metavar="M", help=f"the steps of each (default: {_DEFAULT_STEPS})"
    )
    parser.add_argument("--quiet", action="store_true", help="write one line for each seed in place of the log")
    parser.add_argument("--operations", type=Path, metavar="FILE", help="write the operations as lines of JSON")
    return parser


def _run_in_child(arguments: Sequence[str], options: argparse.Namespace, storms: _Storms) -> int:
    if os.environ.get("PYTHONHASHSEED") != "0":
        environment = {**os.environ, "PYTHONHASHSEED": "0", "TZ": "UTC"}
        return subprocess.call([sys.executable, "-m", storms.module, *arguments], env=environment)
    return _run(options, storms)


def _run(options: argparse.Namespace, storms: _Storms) -> int:
    # The messages are in the log of the storm.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    found = 0
    for seed in range(options.seed, options.seed + options.count):
        plan = storms.plan(seed)
        result = Storm(plan, seed, None if options.quiet else _write).run(options.steps)
        _write(f"seed {seed}: {result.journal.count} lines, {result.faults} faults, {result.journal.digest}")
        if options.operations is not None:
            with options.operations.open("a") as file:
                file.writelines(f"{line}\n" for line in to_lines(result.journal.history))
        if result.failed is not None:
            found += 1
            _report(plan, result, storms)
    return 1 if found else 0


def plan_of(seed: int, *, recipes: bool = False, endpoints: bool = False) -> Plan:
    """Return the plan of the command's storms. Each program has seeds of its own.

    :param recipes: the second program, whose storms have only recipes.
    :param endpoints: the third one, with endpoints that listen, register, and connect.
    """
    program = EndpointProgram if endpoints else partial(Everything, kinds=RECIPES if recipes else ALL)
    return Plan(partial(make_world, seed), program, spared=Everything.spared, replaced=replaced_for(seed))


def _report(plan: Plan, result: Result, storms: _Storms) -> None:
    shortest = shrink(plan, result)
    _write(describe(shortest, result.steps))
    _write(f"To repeat it: python -m {storms.module}{storms.option} --seed {result.seed} --steps {shortest.steps}")


_write: Callable[[str], object] = lambda line: print(line, flush=True)  # noqa: E731, T201 - the command's output
