"""Check requests and answers against the OpenAPI description, with openapi-core."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any
from unittest import SkipTest
from urllib.parse import parse_qsl, urlsplit

from txmirror.test.web.exchange import Response
from txmirror.web.api import ROUTES, describe

#: The environment variable that makes a missing openapi-core a failure.
_REQUIRED = "TXMIRROR_OPENAPI"
_NODES = "/v1/nodes/"


@lru_cache(maxsize=1)
def description() -> Any:
    """Return the description for openapi-core, which checks it; None if openapi-core is not installed."""
    try:
        from openapi_core import OpenAPI
    except ImportError:
        if os.environ.get(_REQUIRED) == "require":
            raise
        return None
    return OpenAPI.from_dict(describe(ROUTES))


def need_description() -> Any:
    """Return the description for openapi-core.

    :raises SkipTest: openapi-core is not installed.
    """
    found = description()
    if found is None:
        raise SkipTest("openapi-core is not installed")
    return found


class _Request:
    """A request for openapi-core."""

    def __init__(self, method: str, target: str, body: bytes | None) -> None:
        from openapi_core.datatypes import RequestParameters
        from werkzeug.datastructures import Headers, ImmutableMultiDict

        parts = urlsplit(target)
        # OpenAPI has no parameter for several segments of a path.
        self.path = f"{_NODES}a" if parts.path.startswith(_NODES) else parts.path
        self.host_url = "http://localhost"
        self.method = method.lower()
        self.body = body
        self.content_type = "application/json"
        query = parse_qsl(parts.query, keep_blank_values=True)
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(query), header=Headers(), cookie=ImmutableMultiDict()
        )


class _Response:
    """An answer for openapi-core."""

    def __init__(self, response: Response) -> None:
        from werkzeug.datastructures import Headers

        self.status_code = response.status
        self.headers = Headers(list(response.headers.items()))
        self.content_type = response.headers.get("content-type", "")
        self.data = response.content


def check_answer(method: str, target: str, body: bytes | None, response: Response) -> None:
    """Check an answer, if openapi-core is installed; and its request too, if it was accepted.

    :raises OpenAPIError: it is not as described.
    """
    described = description()
    if described is None:
        return
    request = _Request(method, target, body)
    if response.status == 200 and method != "HEAD":
        described.validate_request(request)
    described.validate_response(request, _Response(response))
