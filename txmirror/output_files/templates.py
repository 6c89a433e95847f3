"""Templates of Jinja for output files."""

from __future__ import annotations

from pathlib import Path

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from txmirror.files import LARGEST
from txmirror.json_text import JSONWriter
from txmirror.output_files.formats import LiveList, Rendering, host_port

_WRITER = JSONWriter(ascii_only=False)


def render_template(path: Path, live: LiveList) -> Rendering:
    """Return the text of a template with the attributes of :class:`.formats.LiveList` as its variables.

    An undefined variable is an error. A template cannot call what the sandbox of Jinja does not permit. Beside Jinja's own
    filters it has ``json``, and the function ``host_port(host, port)``.

    :raises OSError: the template cannot be read.
    :raises ValueError: it is invalid, or fails. The message names the line, if that is known.
    """
    environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    environment.filters["json"] = _WRITER.write
    environment.globals["host_port"] = host_port
    with path.open("rb") as file:
        source = file.read(LARGEST + 1)
    if len(source) > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    try:
        template = environment.from_string(source.decode())
        text = template.render(name=live.name, path=live.path, instances=live.instances)
    except TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.message}") from None
    except TemplateError as error:
        raise ValueError(error.message or type(error).__name__) from None
    except Exception as error:
        # Whatever a template calls may raise anything.
        raise ValueError(f"{type(error).__name__}: {error}") from None
    return Rendering(text.encode())
