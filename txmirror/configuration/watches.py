"""``[[watch]]`` in a configuration: files that are kept equal to lists of instances."""

# Not with "from __future__ import annotations": see probes.py.

from importlib.util import find_spec
from typing import Annotated

import attrs

from txmirror import paths
from txmirror.configuration.errors import InvalidValue
from txmirror.configuration.rules import (
    SECRET,
    WORD,
    ArrayOf,
    Choice,
    CodecName,
    Duration,
    FileName,
    Number,
    Text,
    ZnodePath,
)
from txmirror.placeholders import transform

TEMPLATE = "template"
PROMETHEUS = "prometheus-file-sd"
#: The values of ``Watch.format``.
FORMATS = ("json", "lines", PROMETHEUS, "haproxy-map", "envoy-eds", TEMPLATE)
#: The value of ``Watch.codec`` that finds out the codec of each node.
AUTO = "auto"


# More than 7 parameters: the class has a field for each key of its table.
@attrs.frozen(kw_only=True)
class Watch:
    """``[[watch]]``: a file to keep equal to the list of a service's instances.

    The file is written when the list is first known, and when it has changed; always as a whole, by a rename, and only if its content
    differs. Without a connection to ZooKeeper it stays as it is.
    """

    path: Annotated[str, ZnodePath()]
    """The znode whose children are the instances."""
    name: Annotated[str, WORD] = attrs.field(
        default=attrs.Factory(lambda self: transform(paths.name_of, self.path), takes_self=True),
        metadata={"default": "the last part of ``path``"},
    )
    """The name of the service, for the file's content: Envoy's cluster, for example."""
    codec: Annotated[str, CodecName(kind='name of a codec, or ``"auto"``', other=AUTO)] = AUTO
    """The format of the nodes' data. ``"auto"`` recognises that of each node."""
    output: Annotated[str, FileName()]
    """The file. No other ``[[watch]]`` has the same. Its folder must exist."""
    format: Annotated[str, Choice(FORMATS)] = "json"
    """The format of the file: see below."""
    template: Annotated[str | None, FileName()] = None
    """The template of Jinja, for the format ``template``. It is read whenever the file is written, and after a reload."""
    mode: Annotated[
        str,
        Text(
            kind='string such as ``"0644"``',
            form="0[4-7][0-7]{2}",
            form_text="such as '0644', with which its owner can read it",
        ),
    ] = "0644"
    """The permissions of the file, in octal digits."""
    command: Annotated[tuple[str, ...], ArrayOf(SECRET)] = ()
    """A program and its arguments, to run after each change of the file, one at a time. There is no shell. If it fails, it is run again
    after growing pauses. Default: none."""
    command_timeout: Annotated[float, Duration(0.1, 3600.0)] = 30.0
    """The longest time that the command may take. Then it is killed, and has failed."""
    settle: Annotated[float, Duration(0.0, 3600.0)] = 2.0
    """The time after a change, a half more or less, within which later changes are collected. The first one is written at once."""
    keep_if_below: Annotated[float, Number(0, 1)] = 0.5
    """The part of the last list's length below which a new list does not replace the file at once, for example 0.5. An empty list never
    does. With 0 every list does, also an empty one."""
    keep_for: Annotated[float, Duration(0.0, 86400.0)] = 60.0
    """The longest time for which the former list then stays in the file."""

    @property
    def permissions(self) -> int:
        """The mode as a number."""
        return int(self.mode, 8)

    def __attrs_post_init__(self) -> None:
        errors = []
        if self.format == TEMPLATE:
            if self.template is None:
                errors.append((".template", f"it is missing: the format {TEMPLATE!r} needs it"))
            if find_spec("jinja2") is None:
                errors.append((".format", "templates need another package: pip install 'txmirror[daemon]'"))
        elif self.template is not None:
            errors.append((".template", f"it is not used, because the format is {self.format!r}"))
        if self.format == PROMETHEUS and not self.output.endswith(".json"):
            errors.append((".output", "its name does not end with .json, so that Prometheus would not read it"))
        if self.command and not self.command[0]:
            errors.append((".command[0]", "it is empty"))
        if errors:
            raise InvalidValue(*errors)
