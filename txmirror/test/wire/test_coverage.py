"""No record is without the contract that all records keep."""

from __future__ import annotations

import inspect
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txmirror import wire
from txmirror.test.wire import test_later_records, test_multi, test_requests, test_responses
from txmirror.test.wire.strategies import RecordContract

#: A result and a request without fields, the protocol of all requests, and a form of ``MultiReadRequest`` that is only encoded.
_WITHOUT = {"BatchedReadRequest", "DoneResult", "Request", "WhoAmIRequest"}


class CoverageTests(SynchronousTestCase):
    def test_all_records(self) -> None:
        """Every record that the wire exports is tested as one."""
        modules = (test_requests, test_responses, test_multi, test_later_records)
        tested: set[Any] = {
            case.record
            for module in modules
            for _, case in inspect.getmembers(module, inspect.isclass)
            if issubclass(case, RecordContract) and case is not RecordContract
        }
        exported: dict[str, Any] = {name: getattr(wire, name) for name in wire.__all__}
        records = {name for name, value in exported.items() if inspect.isclass(value) and hasattr(value, "encode")}
        self.assertEqual(records - {record.__name__ for record in tested}, _WITHOUT)
