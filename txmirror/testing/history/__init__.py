"""Histories of clients: the operations of a test, recorded and judged.

Record a test with a ``Recorder``, judge its ``History`` with ``judge``, and write it with ``to_lines``. The names of all modules below
can be imported from here.
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
from txmirror.testing.history.models import COUNTER, NODE, ORDERED_QUEUE, QUEUE, Model
from txmirror.testing.history.operations import Fired, History, Hold, Operation, Outcome
from txmirror.testing.history.recorder import Recorder
from txmirror.testing.history.search import Searched, Verdict, search

__all__ = [
    "COUNTER",
    "NODE",
    "ORDERED_QUEUE",
    "QUEUE",
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
    "Model",
    "Names",
    "Number",
    "Operation",
    "Outcome",
    "Put",
    "Recorder",
    "Refusal",
    "Refused",
    "Rule",
    "Searched",
    "Set",
    "Shown",
    "Sync",
    "Take",
    "Taken",
    "Transaction",
    "Verdict",
    "from_lines",
    "judge",
    "search",
    "to_lines",
]
