"""Templates of Jinja for output files."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from jinja2 import StrictUndefined, TemplateError, TemplateRuntimeError, TemplateSyntaxError, nodes
from jinja2.sandbox import SandboxedEnvironment

from txmirror.files import LARGEST
from txmirror.formats import LiveList, Rendering, reason_against_text
from txmirror.json_text import JSONWriter
from txmirror.printable import host_and_port

#: The time limit for one rendering, in seconds.
_LONGEST_TIME: Final = 10.0
#: The name of the function that loops call.
_CHECK_TIME: Final = "_txmirror_check_time"
_NOT_IN_WORD = re.compile(r"[^a-zA-Z0-9_.:-]")
_WRITER = JSONWriter(ascii_only=False)


def render_template(path: Path, live: LiveList) -> Rendering:
    """Return the text of a template with the attributes of :class:`.formats.LiveList` as its variables.

    Instances are left out whose address or words could make another line. An undefined variable is an error. A template cannot call what the sandbox of Jinja does not permit. Beside Jinja's own
    filters it has ``json`` and ``word``, and the function ``host_port(host, port)``.

    :raises OSError: the template cannot be read.
    :raises ValueError: it is invalid, fails, takes longer than 10 seconds, or writes more than 67,108,864 characters. The message names the line, if
        that is known.
    """
    environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    environment.filters["json"] = _WRITER.write
    environment.filters["word"] = _to_word
    environment.globals["host_port"] = host_and_port
    with path.open("rb") as file:
        source = file.read(LARGEST + 1)
    if len(source) > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    omitted = {each.name: reason for each in live.instances if (reason := reason_against_text(each)) is not None}
    instances = [each for each in live.instances if each.name not in omitted]
    try:
        parsed = environment.parse(source.decode())
        _limit_time(parsed)
        environment.globals[_CHECK_TIME] = _time_check()
        text = _join(environment.from_string(parsed).generate(name=live.name, path=live.path, instances=instances))
    except TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.message}") from None
    except TemplateError as error:
        raise ValueError(error.message or type(error).__name__) from None
    except Exception as error:
        # Whatever a template calls may raise anything.
        raise ValueError(f"{type(error).__name__}: {error}") from None
    return Rendering(text.encode(), omitted)


def _to_word(text: str) -> str:
    """Return a text that can be the name of a server for HAProxy. A text that cannot has hyphens in place of other characters, and a
    digest at the end, so that different texts stay different.
    """
    word = _NOT_IN_WORD.sub("-", text)
    return word if word == text else f"{word}.{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _limit_time(template: nodes.Template) -> None:
    """Call a function in each loop of a template: a thread cannot be ended from outside."""
    for loop in template.find_all(nodes.For):
        check = nodes.Call(nodes.Name(_CHECK_TIME, "load"), [], [], None, None)
        loop.body.insert(0, nodes.ExprStmt(check, lineno=loop.lineno).set_lineno(loop.lineno))


def _time_check() -> Callable[[], None]:
    """Return a function that fails when the time is over."""
    end = time.monotonic() + _LONGEST_TIME

    def check() -> None:
        if time.monotonic() > end:
            raise TemplateRuntimeError(f"it takes longer than {_LONGEST_TIME:g} s")

    return check


def _join(pieces: Iterable[str]) -> str:
    """Return the whole text, unless it is too long."""
    found, size = [], 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size > LARGEST:
            raise TemplateRuntimeError(f"it writes more than {LARGEST} characters")
    return "".join(found)
