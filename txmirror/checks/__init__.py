"""Health checks: the kinds of checks, the judgement of their results, and the service that runs them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from txmirror.checks.command import CommandCheck
from txmirror.checks.commands_file import CommandsFile
from txmirror.checks.counts import Durations, ResultCounts
from txmirror.checks.files import FileAgeCheck, ProcessCheck
from txmirror.checks.flapping import FlapHold
from txmirror.checks.health import CheckHealth, ServiceCheck, ServiceHealth, Transition
from txmirror.checks.interfaces import ICheck
from txmirror.checks.judgement import CheckSettings, State
from txmirror.checks.results import Result, Status
from txmirror.checks.service import ChecksService
from txmirror.checks.simple import AliasCheck, FunctionCheck, NoopCheck
from txmirror.checks.steady_clock import SteadyClock
from txmirror.checks.steady_reactor import SteadyReactor
from txmirror.checks.tcp import TCPCheck
from txmirror.checks.ttl import TTLCheck

if TYPE_CHECKING:
    from txmirror.checks.http import HTTPCheck
else:

    def __getattr__(name: str) -> object:
        # HTTPCheck needs packages that only the extra ``daemon`` installs.
        if name != "HTTPCheck":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return import_module("txmirror.checks.http").HTTPCheck
        except ImportError:
            raise ImportError("HTTP checks need more packages: pip install 'txmirror[daemon]'") from None


__all__ = [
    "AliasCheck",
    "CheckHealth",
    "CheckSettings",
    "ChecksService",
    "CommandCheck",
    "CommandsFile",
    "Durations",
    "FileAgeCheck",
    "FlapHold",
    "FunctionCheck",
    "HTTPCheck",
    "ICheck",
    "NoopCheck",
    "ProcessCheck",
    "Result",
    "ResultCounts",
    "ServiceCheck",
    "ServiceHealth",
    "State",
    "Status",
    "SteadyClock",
    "SteadyReactor",
    "TCPCheck",
    "TTLCheck",
    "Transition",
]
