"""Histories of clients: the operations of a test, recorded and judged.

Record a test with a :class:`Recorder`, and write its :class:`History` with :func:`to_lines`.
"""

from __future__ import annotations

from txmirror.testing.history.calls import (
    Absent,
    Add,
    Answer,
    Call,
    Check,
    Children,
    Count,
    Create,
    Created,
    Delete,
    Exists,
    Get,
    Names,
    Number,
    Put,
    Refusal,
    Refused,
    Set,
    Shown,
    Sync,
    Take,
    Taken,
    Transaction,
)
from txmirror.testing.history.findings import Finding, Rule
from txmirror.testing.history.judging import judge
from txmirror.testing.history.lines import from_lines, to_lines
from txmirror.testing.history.operations import Fired, History, Hold, Operation, Outcome
from txmirror.testing.history.recorder import Recorder

__all__ = [
    "Absent",
    "Add",
    "Answer",
    "Call",
    "Check",
    "Children",
    "Count",
    "Create",
    "Created",
    "Delete",
    "Exists",
    "Finding",
    "Fired",
    "Get",
    "History",
    "Hold",
    "Names",
    "Number",
    "Operation",
    "Outcome",
    "Put",
    "Recorder",
    "Refusal",
    "Refused",
    "Rule",
    "Set",
    "Shown",
    "Sync",
    "Take",
    "Taken",
    "Transaction",
    "from_lines",
    "judge",
    "to_lines",
]
