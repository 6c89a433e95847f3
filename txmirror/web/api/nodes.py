"""One znode, as it is shown: its data, stat, ACL and children. Read-only, and without digests of passwords."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any, Final

import attrs

from txmirror import paths
from txmirror.errors import PathError
from txmirror.printable import stat_fields
from txmirror.types import ACL, Permission, ZnodeStat
from txmirror.web.calls import InvalidRequest

#: The longest data that is shown, in bytes, and the most names of children.
MOST_DATA: Final = 2**20
MOST_CHILDREN: Final = 10_000
#: The characters that a text does not have: the controls, but for tabs and ends of lines.
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
_PERMISSIONS: Final = ("read", "write", "create", "delete", "admin")


@attrs.frozen
class NodeView:
    """A znode at one moment."""

    path: str
    """Its path."""
    data: bytes
    """Its data."""
    stat: ZnodeStat
    """Its stat."""
    acl: Sequence[ACL] | None
    """Its access control list; None if it is not known."""
    children: Sequence[str]
    """The names of its children; not all of them if the stat has more."""
    age: float | None = None
    """The seconds since it was current; None if it is."""


def read_path(segments: str) -> str:
    """Return the path of a znode from the rest of a request's path.

    :raises InvalidRequest: it is no znode path; the line quotes it.
    """
    try:
        return paths.validate(f"/{segments}")
    except PathError as error:
        raise InvalidRequest(str(error)) from None


def describe_node(view: NodeView) -> dict[str, Any]:
    """Return a znode as a value of JSON."""
    children = sorted(view.children)[:MOST_CHILDREN]
    return {
        "path": view.path,
        "data": _describe_data(view.data[:MOST_DATA], cut=len(view.data) > MOST_DATA),
        "truncated": len(view.data) > MOST_DATA,
        "stat": stat_fields(view.stat),
        "acl": None if view.acl is None else [_describe_acl(each) for each in view.acl],
        "children": children,
        "children_truncated": len(children) < max(len(view.children), view.stat.numChildren if not children else 0),
        "stale": view.age is not None,
        "age": view.age or 0.0,
    }


def _describe_data(data: bytes, *, cut: bool) -> dict[str, str]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if not (cut and error.reason == "unexpected end of data"):
            return _encode(data)
        # A character was cut in two.
        text = data[: error.start].decode()
    return _encode(data) if _NOT_IN_TEXT.search(text) else {"text": text}


def _encode(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode()}


def _describe_acl(acl: ACL) -> dict[str, Any]:
    identity = acl.identity
    if acl.scheme == "digest":
        # Behind the user's name is a hash from which a weak password can be found.
        identity = f"{identity.partition(':')[0]}:***"
    permissions = [name for bit, name in enumerate(_PERMISSIONS) if acl.permissions & Permission(1 << bit)]
    return {"scheme": acl.scheme, "id": identity, "permissions": permissions}
