"""Storms: a program in a world in memory, with random actions and random faults, all of which a seed decides.

``python -m txmirror.testing.storm --seed N`` lets txmirror itself pass a storm. :func:`check` is for other programs.
"""

from __future__ import annotations

from txmirror.testing.storm.checking import check
from txmirror.testing.storm.faults import FaultKind
from txmirror.testing.storm.storms import Program

__all__ = ["FaultKind", "Program", "check"]
