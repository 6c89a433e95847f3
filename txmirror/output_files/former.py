"""The number of instances in a file that another process has written: a new process does not know the former list otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from txmirror.json_text import JSONReader

_READER: Final = JSONReader(in_thread=True)


def count_instances(path: Path, file_format: str) -> int | None:
    """Return the number of instances in a file; 1 if it is in no known form, and not empty. It blocks.

    :param file_format: the format in which it should be.
    :returns: None if there is no file, or it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if not content:
        return 0
    count = _COUNTS.get(file_format)
    if count is None:
        return 1
    try:
        return count(content)
    except (ValueError, TypeError, LookupError):
        # Somebody else has written it.
        return 1


def _lines(content: bytes) -> int:
    return content.count(b"\n")


def _targets(groups: Any) -> int:
    return sum(len(group["targets"]) for group in groups)


def _endpoints(response: Any) -> int:
    return sum(len(place["lb_endpoints"]) for resource in response["resources"] for place in resource["endpoints"])


#: The functions that count in the content, by format. A template may write anything.
_COUNTS: Final[Mapping[str, Callable[[bytes], int]]] = {
    "json": lambda content: len(_READER.read(content)["instances"]),
    "lines": _lines,
    "haproxy-map": _lines,
    "prometheus-file-sd": lambda content: _targets(_READER.read(content)),
    "envoy-eds": lambda content: _endpoints(_READER.read(content)),
}
