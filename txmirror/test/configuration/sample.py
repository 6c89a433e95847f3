"""Make the sample configuration from the classes of the configuration: their keys, defaults and docstrings.

``python -m txmirror.test.configuration.sample`` writes it to the package. A test checks that it is up to date.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import attrs

import txmirror
from txmirror.access import Access
from txmirror.configuration.access_keys import AccessKeys
from txmirror.configuration.defaults import KEYS
from txmirror.configuration.dns import DNS
from txmirror.configuration.http import HTTPServer
from txmirror.configuration.model import Daemon, Host, Service, ZooKeeper
from txmirror.configuration.probes import PROBES, Check, CheckName, CheckSettings
from txmirror.configuration.rules import ArrayOf, Choice, Duration, FileName, Flag, Number, Rule
from txmirror.configuration.structuring import key_of, rule_of
from txmirror.configuration.watches import Watch
from txmirror.durations import show_seconds
from txmirror.json_text import JSONWriter

#: The file.
PATH = Path(txmirror.__file__).parent / "data" / "txmirror.toml.sample"
_WIDTH = 110

_HEAD = """\
# The configuration of txmirror's registration daemon. "txmirror sample-config" prints this file: save it as
# /etc/txmirror/txmirror.toml, which belongs to root, and to which nobody else may write.
#
# It has every key. A key behind a single "#" has its default, or an example if it has none. Durations are numbers
# of seconds, or strings with a unit: ms, s, m, h or d. Every string may contain {env:VARIABLE}, {host} and {pid};
# in a service also {name}, {port}, {address}, {uuid} and {number}. Braces are written {{ and }}.
#
# twistd txmirror --config /etc/txmirror --check          shows what the daemon would do
# systemctl reload txmirror, or txmirror reload           applies changes

version = 1

# Further files, relative to this one, which have only [[service]] and [[watch]].
#include = ["conf.d/*.toml"]
"""

#: Values for keys without a default, and for those whose default is described in words.
_EXAMPLES = {
    "zookeeper.state_file": '"/var/lib/txmirror/session.json"',
    "zookeeper.write_rate.per_second": "5",
    "zookeeper.write_rate.burst": "50",
    "zookeeper.access.username": '"app"',
    "zookeeper.access.password_file": '"/etc/txmirror/password"',
    "zookeeper.access.acl": '"creator"',
    "zookeeper.access.tls": "true",
    "zookeeper.access.tls_ca": '"/etc/txmirror/authority.pem"',
    "zookeeper.access.tls_cert": '"/etc/txmirror/client.pem"',
    "zookeeper.access.tls_key": '"/etc/txmirror/client.key"',
    "host.name": '"server1"',
    "daemon.control": '"/run/txmirror/control.sock"',
    "daemon.control_group": '"adm"',
    "daemon.maintenance_file": '"/var/lib/txmirror/maintenance.json"',
    "daemon.heartbeat_file": '"/run/txmirror/heartbeat"',
    "daemon.metrics": '"127.0.0.1:9145"',
    "dns.listen": '"127.0.0.1:8600"',
    "dns.zone": '"eu-1"',
    "http.listen": '"127.0.0.1:8580"',
    "http.group": '"www-data"',
    "http.token_file": '"/etc/txmirror/http-token"',
    "http.certificate": '"/etc/txmirror/http.pem"',
    "http.key": '"/etc/txmirror/http.key"',
    "http.client_ca": '"/etc/txmirror/readers.pem"',
    "defaults.path": '"/services/{name}"',
    "defaults.node": '"{address}:{port}"',
    "defaults.weight": "100",
    "service.name": '"web"',
    "service.id": '"web"',
    "service.port": "8080",
    "service.advertise": '"route"',
    "service.path": '"/services/{name}"',
    "service.node": '"{address}:{port}"',
    "service.address": '"{address}"',
    "service.weight": "100",
    "service.tls_port": "8443",
    "service.also.path": '"/metrics/{name}"',
    "service.also.node": '"member_{number}"',
    "service.also.codec": '"serverset"',
    "service.also.port": "9100",
    "service.also.data": "{}",
    "service.check.name": '"load"',
    "service.check.fast_interval": '"2500ms"',
    "service.check.timeout": '"2s"',
    "service.check.command.argv": '["/usr/lib/nagios/plugins/check_load", "-w", "8"]',
    "service.check.command.cwd": '"/"',
    "service.check.tcp.port": "6379",
    "service.check.tcp.send": r'"PING\r\n"',
    "service.check.tcp.expect": '"+PONG"',
    "service.check.unix.socket": '"/run/redis/redis.sock"',
    "service.check.unix.send": r'"PING\r\n"',
    "service.check.unix.expect": '"+PONG"',
    "service.check.http.url": '"http://127.0.0.1:{port}/health"',
    "service.check.http.expect_body": '"ok"',
    "service.check.http.expect_body_regex": '"^ok$"',
    "service.check.http.ca_file": '"/etc/txmirror/authority.pem"',
    "service.check.process.pid_file": '"/run/web/web.pid"',
    "service.check.file.path": '"/var/lib/web/alive"',
    "service.check.file.max_age": '"5m"',
    "service.check.ttl.ttl": '"30s"',
    "service.check.alias.service": '"db"',
    "watch.path": '"/services/db"',
    "watch.name": '"db"',
    "watch.output": '"/run/txmirror/db.json"',
    "watch.template": '"/etc/txmirror/db.j2"',
    "defaults.advertise": '"route"',
    "defaults.check.fast_interval": '"2500ms"',
    "defaults.check.timeout": '"2s"',
}

_MARKUP = ((r":[a-z]+:`([^<`]+?)(?: <[^>`]*>)?`", r"\1"), (r"``([^`]*)``", r"\1"))


def make_sample() -> str:
    """Return the text of the sample configuration."""
    parts = [_HEAD]
    for cls in (ZooKeeper, Host, Daemon):
        name = cls.__name__.lower()
        parts += ["", *_comment(_first_paragraph(cls)), f"[{name}]", *_keys(cls, name)]
    for name, table in (("dns", DNS), ("http", HTTPServer)):
        parts += ["", *_comment(_first_paragraph(table)), f"#[{name}]", *_keys(table, name)]
    parts += [*_defaults(), *_service(), "", *_comment(_first_paragraph(Watch)), "#[[watch]]", *_keys(Watch, "watch")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip("\n") + "\n"


def _defaults() -> Iterator[str]:
    yield from ("", "# Values for all services that do not have the key.", "[defaults]")
    for field in attrs.fields(Service):
        key = key_of(field)
        if key in KEYS:
            yield f"#{key} = {_value(f'defaults.{key}', field)}"
    yield from ("", *_comment("Settings for all checks that have them and do not have the key."), "#[defaults.check]")
    yield from _keys(CheckSettings, "defaults.check")


def _service() -> Iterator[str]:
    yield from ("", *_comment(_first_paragraph(Service)), "#[[service]]", *_keys(Service, "service"))
    first = True
    for name, probe in PROBES.items():
        settings = probe.settings
        text = _first_paragraph(probe)
        if settings:
            text += f" It may also have these keys of [defaults.check]: {', '.join(settings)}."
        yield from ("", *_comment(text), "#[[service.check]]", f'#type = "{name}"')
        if first:
            yield from _keys(CheckName, "service.check")
        yield from _keys(probe, f"service.check.{name}")
        first = False


def _keys(cls: type[Any], place: str) -> Iterator[str]:
    """Yield the lines of the keys of a class, and after them those of the tables in it."""
    documentation = _attribute_docs(cls)
    tables: list[tuple[attrs.Attribute[Any], type[Any], bool]] = []
    for field in attrs.fields(cls):
        inner, is_array = _table_of(field)
        if inner is Check:
            continue
        if inner is not None:
            tables.append((field, inner, is_array))
            continue
        yield from _comment(" ".join(_sentences(field, documentation[field.name])))
        yield f"#{key_of(field)} = {_value(f'{place}.{key_of(field)}', field)}"
        yield ""
    for field, inner, is_array in tables:
        header = f"{place}.{key_of(field)}"
        yield from ("", *_comment(" ".join(_sentences(field, documentation[field.name]))))
        yield f"#[[{header}]]" if is_array else f"#[{header}]"
        yield from _keys(inner, header)


def _sentences(field: attrs.Attribute[Any], documentation: str) -> Iterator[str]:
    yield documentation.replace(": see below.", ".")
    rule = rule_of(field.type)
    if isinstance(rule, Choice):
        yield f"One of: {', '.join(rule.words)}."
    described = field.metadata.get("default")
    if described is not None:
        yield f"Default: {described}."
    elif field.default is attrs.NOTHING:
        yield "Required, here or in [defaults]." if field.metadata.get("defaultable") else "Required."
    if field.metadata.get("restart"):
        yield "A change needs a restart."


def _value(place: str, field: attrs.Attribute[Any]) -> str:
    """Return the default of a key in TOML, or an example."""
    if place in _EXAMPLES:
        return _EXAMPLES[place]
    rule = rule_of(field.type)
    default: Any = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class at run time
        default = None if default.takes_self else default.factory()
    if default is None or default is attrs.NOTHING:
        return _example(place, rule)
    if attrs.has(type(default)):
        pairs = (f"{key_of(each)} = {_value(f'{place}.{each.name}', each)}" for each in attrs.fields(type(default)))
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(rule, Duration):
        return f'"{show_seconds(default).replace(" ", "")}"'
    return JSONWriter().write(list(default) if isinstance(default, tuple) else default)


def _example(place: str, rule: Rule | None) -> str:
    if isinstance(rule, FileName):
        return '"/path/to/a/file"'
    if isinstance(rule, Choice):
        return f'"{rule.words[0]}"'
    if isinstance(rule, Flag):
        return "true"
    if isinstance(rule, Number):
        return f"{rule.least:g}"
    if isinstance(rule, Duration):
        return f'"{show_seconds(rule.least).replace(" ", "")}"'
    if isinstance(rule, ArrayOf):
        return "[]"
    raise KeyError(f"{place} has no default: add an example to {__name__}")


def _table_of(field: attrs.Attribute[Any]) -> tuple[type[Any] | None, bool]:
    """Return the class of the table, or of the tables of the array, that a key is; None for any other key."""
    if rule_of(field.type) is not None:
        return None, False
    if field.type is Access:
        return AccessKeys, False
    is_array = get_origin(field.type) is tuple
    kinds = get_args(field.type) if is_array or isinstance(field.type, UnionType) else (field.type,)
    found = next((each for each in kinds if isinstance(each, type) and attrs.has(each)), None)
    return found, is_array


def _attribute_docs(cls: type[Any]) -> dict[str, str]:
    """Return the docstrings of the attributes of a class, in plain text."""
    (body,) = (
        each for each in ast.parse(textwrap.dedent(inspect.getsource(cls))).body if isinstance(each, ast.ClassDef)
    )
    found = {}
    for each, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and isinstance(following, ast.Expr):
            found[each.target.id] = _plain(ast.literal_eval(following.value))
    return found


def _first_paragraph(cls: type[Any]) -> str:
    return _plain(inspect.getdoc(cls) or "").partition("\n\n")[0]


def _plain(text: str) -> str:
    for pattern, replacement in _MARKUP:
        text = re.sub(pattern, replacement, text)
    return text


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(_plain(" ".join(text.split())), _WIDTH - 2)]


if __name__ == "__main__":
    PATH.write_text(make_sample(), encoding="utf-8")
