"""Every key of the file, with valid and invalid values."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import attrs

from txmirror.access import Access
from txmirror.configuration import (
    Configuration,
    Service,
    SocketAddress,
    UNIXAddress,
    access_keys,
    dns,
    http,
    model,
    probes,
)
from txmirror.configuration.access_keys import AccessKeys
from txmirror.configuration.dns import DNS
from txmirror.configuration.http import HTTPServer
from txmirror.configuration.model import Also, Daemon, Host, WriteRate, ZooKeeper
from txmirror.configuration.probes import PROBES, CheckName, CheckSettings, FlapHold
from txmirror.configuration.structuring import key_of
from txmirror.test.configuration.case import WEB, ConfigurationCase

#: TOML values and their meaning.
_Good = list[tuple[str, Any]]
#: TOML values, and a part of the error.
_Bad = list[tuple[str, str]]

_FLAG: tuple[_Good, _Bad] = (
    [("true", True), ("false", False)],
    [('"yes"', "'yes' is neither true nor false"), ("1", "1 is")],
)
_TEXT_BAD: _Bad = [('""', "it is empty"), ("5", "5 is no string"), (r'"\u0000"', " is not ")]
_NO_STRING: _Bad = [("5", "it is no string")]


def duration(least: str, most: str) -> tuple[_Good, _Bad]:
    """Return values of a duration whose bounds are these, in seconds."""
    return (
        [(least, float(least)), (f'"{most}s"', float(most)), ('"1.5s"', 1.5), ('"1500ms"', 1.5), ("1.5", 1.5)],
        [
            ('"10 parsecs"', "'10 parsecs' is no duration"),
            ("true", "True is no duration"),
            ("nan", "nan is no duration"),
            ("inf", "inf is not between"),
            ("-1", "-1 is not between"),
            ('"-1s"', "'-1s' is no duration"),
            ('""', "'' is no duration"),
            ("[]", "[] is no duration"),
            ('"999999999999d"', "'999999999999d' is not between"),
            (f"0x{'f' * 4000}", "a number with too many digits is not between"),
        ],
    )


def number(least: int, most: int) -> tuple[_Good, _Bad]:
    """Return values of an integer with these bounds."""
    return (
        [(str(least), least), (str(most), most)],
        [
            (str(least - 1), f"{least - 1} is not between {least}"),
            (str(most + 1), f"{most + 1} is not between {least}"),
            ("2.0", "2.0 is no integer"),
            ("true", "True is no integer"),
            ('"2"', "'2' is no integer"),
        ],
    )


def choice(*words: str) -> tuple[_Good, _Bad]:
    """Return values of a choice."""
    return (
        [(f'"{word}"', word) for word in words],
        [
            (f'"{words[0]}s"', f"did you mean {words[0]!r}?"),
            ('"???"', f"is not one of {words[0]!r}"),
            ("3", "3 is no string"),
        ],
    )


def file_name() -> tuple[_Good, _Bad]:
    """Return values of a file's name; a relative one starts from the folder of the configuration file."""
    return [('"/run/a b"', "/run/a b"), ('"a/b"', "FOLDER/a/b")], [
        *_TEXT_BAD,
        (r'"-----BEGIN KEY\n"', "it has several lines"),
    ]


_WORD: tuple[_Good, _Bad] = (
    [('"a.b-c:1/ü"', "a.b-c:1/ü")],
    [
        *_TEXT_BAD,
        ('"a b"', "'a b' is not one word"),
        ('"-a"', "not one word"),
        ('"*"', "not one word"),
        (r'"\u007f"', "word"),
    ],
)
_HOSTS: _Good = [
    (f'"{host}"', host.strip("[]")) for host in ("a_b.example", "10.0.0.7", "::1", "[2001:db8::1]", "fe80::1%eth0")
]
_BAD_HOSTS: _Bad = [
    *_TEXT_BAD,
    *(
        (f'"{host}"', f"{host!r} is no host name or address")
        for host in ("a b", "a:80", "10.0.0.7:80", "a/b", "[a]", "[", "::1::")
    ),
]
_ADVERTISE: tuple[_Good, _Bad] = (
    [*_HOSTS, ('"route"', "route"), ('"interface:eth0"', "interface:eth0")],
    [*_BAD_HOSTS, ('"interface:"', "'interface:' is no host name")],
)
_SETTINGS = {
    "interval": duration("0.1", "86400"),
    "fast_interval": duration("0.1", "9"),
    "jitter": (
        [("0", 0.0), ("0.9", 0.9)],
        [
            ("1", "1 is not between 0 and 0.9"),
            ("nan", "nan is not between"),
            ('"0.1"', "'0.1' is no number from 0 to 0.9"),
        ],
    ),
    "timeout": duration("0.01", "9"),
    "rise": number(1, 1000),
    "fall": number(1, 1000),
    "on_fail": choice("down", "warn"),
}
_BAD_CODECS: _Bad = [
    ('"ndsrs"', "did you mean 'ndsr'?"),
    ('"???"', "'???' is not one of 'ndsr', 'zczk', 'nerve', "),
    ("3", "3 is no string"),
]
_TEXTS: tuple[_Good, _Bad] = ([('"PING\\r\\n"', "PING\r\n"), ('""', "")], _NO_STRING)
_EXPECT: tuple[_Good, _Bad] = ([('"+PONG"', "+PONG")], _TEXT_BAD)

#: The values of each key, by the class and the key.
KEYS: dict[type[Any], dict[str, tuple[_Good, _Bad]]] = {
    ZooKeeper: {
        "servers": (
            [('"zk1"', "zk1"), ('"zk1:1,[::1]:2/prod"', "zk1:1,[::1]:2/prod")],
            [*_TEXT_BAD, ('"zk1:218100"', "'218100' is no port"), ('"zk1/a/"', "chroot")],
        ),
        "session_timeout": duration("0.001", "86400"),
        "connect_timeout": duration("0.001", "86400"),
        "access": ([("{}", Access())], [('"app:hunter2"', "it is no table")]),
        "parent": choice("persistent", "container"),
        "state_file": file_name(),
        "write_rate": (
            [("{ per_second = 5, burst = 50 }", WriteRate(per_second=5.0, burst=50))],
            [
                ("5", "it is no table"),
                ("{ burst = 1 }", "per_second: it is missing"),
                ("{ rate = 1 }", "rate: unknown key"),
            ],
        ),
    },
    Host: {
        "name": (
            [('"web1.example"', "web1.example")],
            [*_TEXT_BAD, ('"a b"', "'a b' is not a name"), ('"a/b"', "not a name")],
        ),
        "advertise": _ADVERTISE,
        "allow_loopback": _FLAG,
    },
    Daemon: {
        "splay": duration("0", "3600"),
        "stop_timeout": duration("0.1", "86400"),
        "control": file_name(),
        "control_group": ([('"adm"', "adm")], _TEXT_BAD),
        "metrics": (
            [
                ('"127.0.0.1:9145"', SocketAddress("127.0.0.1", 9145)),
                ('"0.0.0.0:1"', SocketAddress("0.0.0.0", 1)),  # noqa: S104
                ('"[::1]:65535"', SocketAddress("::1", 65535)),
                ('"[0:0:0:0:0:0:0:1]:80"', SocketAddress("::1", 80)),
            ],
            [
                ("9145", "9145 is no string"),
                ('""', "'' is no IP address and port"),
                ('"9145"', "'9145' is no IP address and port"),
                ('":9145"', "':9145' is no"),
                ('"localhost:9145"', "'localhost:9145' is no"),
                ('"127.0.0.1"', "'127.0.0.1' is no"),
                ('"127.0.0.1:0"', "'127.0.0.1:0' is no"),
                ('"127.0.0.1:65536"', "'127.0.0.1:65536' is no"),
                ('"127.0.0.256:80"', "'127.0.0.256:80' is no"),
                ('"::1:80"', "'::1:80' is no"),
                ('"[127.0.0.1]:80"', "'[127.0.0.1]:80' is no"),
                ('"tcp:9145:interface=127.0.0.1"', "'tcp:9145:interface=127.0.0.1' is no"),
            ],
        ),
        "maintenance_file": file_name(),
        "heartbeat_file": file_name(),
    },
    Service: {
        "name": _WORD,
        "id": _WORD,
        "port": number(1, 65535),
        "advertise": _ADVERTISE,
        "path": (
            [('"/"', "/"), ('"/services/web"', "/services/web")],
            [
                ("5", "5 is no string"),
                ('"a"', "must start with a slash"),
                ('"/a/"', "must not end"),
                ('"/a/../b"', "'.'"),
            ],
        ),
        "node": (
            [('"a:80"', "a:80"), ('"é b"', "é b")],
            [("5", "5 is no string"), ('""', "'' is no name"), ('"a/b"', "'a/b' is no name"), ('".."', "no name")],
        ),
        "address": (_HOSTS, _BAD_HOSTS),
        "data": (
            [
                ('{ a = 1, b = [true, "x", { c = 1.5 }] }', {"a": 1, "b": [True, "x", {"c": 1.5}]}),
                ('"text"', "text"),
                ("{}", {}),
            ],
            [
                ("5", "5 is neither a table nor a string"),
                ("{ a = { b = [2026-11-29] } }", "data.a.b[0]: a date or time cannot be stored"),
                ("{ a = 10:30:00 }", "data.a: a date or time"),
                ('{ "a b" = nan }', "data.'a b': the number nan"),
                (
                    f"{{ a = 0x{'f' * 4000} }}",
                    "data: the codec 'ndsr' cannot write the service 'web': it cannot store its facts",
                ),
                (f'{{ a = "{"x" * 1_000_001}" }}', "are more than the 1000000 that a znode can hold"),
            ],
        ),
        "codec": ([('"ndsr"', "ndsr")], _BAD_CODECS),
        "weight": number(0, 1_000_000),
        "warn_weight": (
            [("0", 0.0), ("0.5", 0.5), ("1", 1.0)],
            [("-0.1", "-0.1 is not between 0 and 1"), ("1.1", "1.1 is not between"), ("true", "True is no number")],
        ),
        "labels": (
            [('{ az = "a", "b c" = "" }', {"az": "a", "b c": ""})],
            [("5", "it is no table"), ("{ az = 1 }", "labels.az: 1 is no string")],
        ),
        "tls_port": number(1, 65535),
        "endpoints": (
            [("{ admin = 8081 }", {"admin": 8081})],
            [("{ admin = 0 }", "endpoints.admin: 0 is not between"), ('{ a = "1" }', "'1' is no integer")],
        ),
        "also": ([("[]", ())], [("5", "5 is no array of tables"), ("[5]", "also[0]: it is no table")]),
        "check": ([("[]", ())], [("5", "5 is no array of tables"), ("[5]", "check[0]: it is no table")]),
        "require": choice("all", "any"),
        "flap_hold": (
            [("{ downs = 0 }", FlapHold(downs=0))],
            [("5", "it is no table"), ("{ down = 1 }", "did you mean 'downs'?")],
        ),
        "takeover": choice("same-instance", "wait"),
        "drain": duration("0", "29"),
        "on_stop": (
            [('"deregister"', "deregister")],
            [('"keep"', "'keep' is not one of 'deregister', 'keep-session'")],
        ),
        "depends": (
            [("[]", ())],
            [
                ('"a"', "it is no array"),
                ("[5]", "depends[0]: 5 is no string"),
                ('["b"]', "depends[0]: there is no service 'b'"),
            ],
        ),
    },
    Also: {
        "path": ([('"/services/web"', "/services/web")], [("5", "5 is no string"), ('"a"', "must start with a slash")]),
        "node": ([('"a:80"', "a:80")], [("5", "5 is no string"), ('"a/b"', "'a/b' is no name")]),
        "codec": (
            [(f'"{name}"', name) for name in ("ndsr", "zczk", "nerve", "curator", "curator-spring", "plain", "merged")],
            _BAD_CODECS,
        ),
        "port": number(1, 65535),
        "data": (
            [("{ a = 1 }", {"a": 1}), ('"text"', "text"), ("{}", {})],
            [("5", "5 is neither a table nor a string"), ("{ a = nan }", "data.a: the number nan")],
        ),
    },
    DNS: {
        "listen": (
            [('"0.0.0.0:53"', SocketAddress("0.0.0.0", 53)), ('"[::1]:53"', SocketAddress("::1", 53))],  # noqa: S104
            [("53", "53 is no string"), ('"localhost:53"', "'localhost:53' is no")],
        ),
        "domain": (
            [('"mirror"', "mirror"), ('"a_b.example-1.com"', "a_b.example-1.com")],
            [
                *_TEXT_BAD,
                ('"Mirror"', "'Mirror' is not a domain in lower case"),
                ('"mirror."', "'mirror.' is not a domain"),
                ('"a..b"', "'a..b' is not a domain"),
                (f'"{"a" * 64}"', "is not a domain"),
                (f'"{"abcd." * 36}a"', "is not a domain"),
            ],
        ),
        "root": (
            [('"/"', "/"), ('"/services/web"', "/services/web")],
            [('"services"', "'services'"), ("5", "5 is no string")],
        ),
        "ttl": duration("0", "3600"),
        "zone": ([('"eu-1"', "eu-1")], _TEXT_BAD),
        "stale_for": duration("0", "86400"),
        "credentials": _FLAG,
        "data": _FLAG,
        "forward": (
            [("[]", ()), ('["192.0.2.53:53"]', (SocketAddress("192.0.2.53", 53),))],
            [('"192.0.2.53:53"', "it is no array"), ('["192.0.2.53"]', "forward[0]: '192.0.2.53' is no IP address")],
        ),
    },
    HTTPServer: {
        "listen": (
            [
                ('"127.0.0.9:80"', SocketAddress("127.0.0.9", 80)),
                ('"unix:/a/b"', UNIXAddress("/a/b")),
            ],
            [
                ("80", "80 is no string"),
                ('"localhost:80"', "'localhost:80' is no"),
                ('"unix:"', "it is empty"),
                (f'"unix:/{"a" * 107}"', "is too long"),
                (
                    '"0.0.0.0:80"',
                    'other machines reach "0.0.0.0:80": that needs token_file, or certificate and client_ca',
                ),
                ('"[::]:80"', "other machines reach"),
            ],
        ),
        "group": ([('"adm"', "adm")], _TEXT_BAD),
        "root": (
            [('"/"', "/"), ('"/services/web"', "/services/web")],
            [('"services"', "'services'"), ("5", "5 is no string")],
        ),
        "hosts": (
            [("[]", ()), ('["a.example", "10.0.0.1"]', ("a.example", "10.0.0.1"))],
            [('"a"', "it is no array"), ('["a b"]', "hosts[0]: 'a b' is no host name")],
        ),
        "token_file": file_name(),
        "certificate": file_name(),
        "key": file_name(),
        "client_ca": file_name(),
        "credentials": _FLAG,
        "streams": number(1, 100_000),
    },
    WriteRate: {
        "per_second": (
            [("0.001", 0.001), ("100000", 100000.0)],
            [("0", "0 is not between"), ('"5"', "'5' is no number")],
        ),
        "burst": number(1, 1_000_000),
    },
    FlapHold: {"downs": number(0, 1000), "window": duration("1", "31536000"), "hold": duration("0", "31536000")},
    CheckName: {"name": _WORD},
    CheckSettings: _SETTINGS,
    probes.Command: {
        "argv": (
            [('["/bin/true"]', ("/bin/true",)), ('["a", "", "b c"]', ("a", "", "b c"))],
            [
                ("[]", "it has 0 items, and needs 1"),
                ('"/bin/true hunter2"', "argv: it is no array"),
                ("[5]", "argv[0]: it is no string"),
                ('[""]', "argv[0]: it is empty"),
                (r'["a", "hunter2\u0000"]', "argv[1]: it is not a text without null characters"),
            ],
        ),
        "cwd": file_name(),
        "environment": (
            [('{ A = "1", B = "" }', {"A": "1", "B": ""})],
            [
                ("5", "it is no table"),
                ("{ A = 5 }", "environment.A: it is no string"),
                ('{ "A=B" = "1" }', "'A=B' is not the name of an environment variable"),
                (r'{ A = "hunter2\u0000" }', "environment.A: it is not a text without null"),
            ],
        ),
    },
    probes.TCP: {
        "host": (_HOSTS, _BAD_HOSTS),
        "port": number(1, 65535),
        "send": _TEXTS,
        "expect": _EXPECT,
    },
    probes.UNIX: {"socket": file_name(), "send": _TEXTS, "expect": _EXPECT},
    probes.HTTP: {
        "url": (
            [(f'"{url}"', url) for url in ("http://localhost/", "https://[::1]:8443/a?b=c")],
            [
                ("5", "5 is no string"),
                *(
                    (f'"{url}"', "it is no URL such as")
                    for url in ("ftp://a/hunter2", "http://", "http://a:99999/", "http://a b")
                ),
                ('"http://a:0/"', "it is no URL"),
                ('"http://[::1/"', "it is no URL"),
                ('"http://app:hunter2@localhost/"', "it has a user name or a password: send them in headers"),
            ],
        ),
        "method": choice("GET", "HEAD", "POST"),
        "headers": (
            [('{ Host = "a", X-B = "" }', {"Host": "a", "X-B": ""})],
            [
                ('{ "A B" = "1" }', "'A B' is not the name of a header"),
                (r'{ Authorization = "hunter2\r\nX: y" }', "headers.Authorization: it is not a text of one line"),
                ("{ A = 1 }", "headers.A: it is no string"),
            ],
        ),
        "expect_status": (
            [('["2xx", "404"]', ("2xx", "404"))],
            [('["6xx"]', "[0]: '6xx' is not such as"), ("[200]", "[0]: 200 is no string"), ("[]", "needs 1")],
        ),
        "expect_body": _EXPECT,
        "expect_body_regex": ([('"^ok$"', "^ok$")], [('"("', "'(' is no regular expression"), *_TEXT_BAD]),
        "follow": _FLAG,
        "verify": _FLAG,
        "ca_file": file_name(),
    },
    probes.Process: {"pid_file": file_name()},
    probes.File: {"path": file_name(), "max_age": duration("0.1", "31536000")},
    probes.TTL: {"ttl": duration("0.1", "31536000")},
    probes.Alias: {
        "service": (
            [('"other"', "other")],
            [('"othr"', "there is no service 'othr'; did you mean 'other'?"), *_TEXT_BAD],
        )
    },
    probes.Noop: {},
}

#: The other required keys of a check of each type.
_REQUIRED = {
    "command": {"argv": '["a"]'},
    "tcp": {"port": "1"},
    "unix": {"socket": '"/a"'},
    "http": {"url": '"http://a"'},
    "process": {"pid_file": '"/a"'},
    "file": {"path": '"/a"', "max_age": "1"},
    "ttl": {"ttl": "1"},
    "alias": {"service": '"other"'},
}
_OTHER = '\n[[service]]\nname = "other"\npath = "/services/other"\nnode = "a"\n'


def make_text(cls: type[Any], key: str, value: str) -> str:
    """Return a configuration in which a key of a class has a value of TOML."""
    line = f"{key} = {value}\n"
    if cls in (ZooKeeper, Host, Daemon, DNS):
        control = 'control = "/c"\n' if key == "control_group" else ""
        return f"[{cls.__name__.lower()}]\n{control}{line}{WEB}"
    if cls is HTTPServer:
        others = {"group": 'listen = "unix:/a"\n', "key": 'certificate = "/c"\n', "client_ca": 'certificate = "/c"\n'}
        return f"[http]\n{others.get(key, '')}{line}{WEB}"
    if cls is WriteRate:
        other = {"per_second": "burst = 1", "burst": "per_second = 1"}[key]
        return f"[zookeeper.write_rate]\n{other}\n{line}{WEB}"
    if cls is Service:
        # The service itself, without the key.
        own = "".join(each for each in WEB.splitlines(keepends=True) if not each.startswith(f"{key} ="))
        return own + line
    if cls is FlapHold:
        return f"{WEB}[service.flap_hold]\n{line}"
    if cls is Also:
        lines = {"path": '"/x"', "node": '"a:1"', "codec": '"ndsr"', key: value}
        return f"{WEB}port = 80\n[[service.also]]\n" + "".join(f"{each} = {lines[each]}\n" for each in lines)
    word = "command" if cls in (CheckSettings, CheckName) else cls.type
    required = {**_REQUIRED.get(word, {}), key: value}
    if cls is CheckSettings and key == "interval":
        required["timeout"] = "0.05"
    return (
        f'{WEB}[[service.check]]\ntype = "{word}"\n'
        + "".join(f"{each} = {required[each]}\n" for each in required)
        + _OTHER
    )


def find(configuration: Configuration, cls: type[Any]) -> Any:
    """Return the instance of a class."""
    service = configuration.services[0]
    return {
        ZooKeeper: lambda: configuration.zookeeper,
        Host: lambda: configuration.host,
        Daemon: lambda: configuration.daemon,
        DNS: lambda: configuration.dns,
        HTTPServer: lambda: configuration.http,
        WriteRate: lambda: configuration.zookeeper.write_rate,
        Service: lambda: service,
        FlapHold: lambda: service.flap_hold,
        Also: lambda: service.also[0],
        CheckName: lambda: service.checks[0],
        CheckSettings: lambda: service.checks[0].settings,
    }.get(cls, lambda: service.checks[0].probe)()


def fields() -> Iterator[tuple[type[Any], attrs.Attribute[Any]]]:
    """Yield all keys of the file, with their classes."""
    for cls in (*KEYS, AccessKeys):
        yield from ((cls, field) for field in attrs.fields(cls))


class KeyTests(ConfigurationCase):
    def test_complete(self) -> None:
        """These tests have all keys; test_access.py has those of [zookeeper.access]."""
        for cls, keys in KEYS.items():
            self.assertEqual(list(keys), [key_of(field) for field in attrs.fields(cls)], cls)
        self.assertEqual(set(PROBES.values()) - KEYS.keys(), set())

    def test_good(self) -> None:
        """A valid value becomes the value of its type."""
        for cls, keys in KEYS.items():
            for key, (good, _) in keys.items():
                (name,) = (field.name for field in attrs.fields(cls) if key_of(field) == key)
                for value, expected in good:
                    loaded = getattr(find(self.load(make_text(cls, key, value)), cls), name)
                    wanted = expected.replace("FOLDER", str(self.folder)) if isinstance(expected, str) else expected
                    self.assertEqual((loaded, type(loaded)), (wanted, type(wanted)), (cls, key, value))

    def test_bad(self) -> None:
        """An invalid value is one error, which names the key and quotes the value, unless it may be a secret."""
        for cls, keys in KEYS.items():
            for key, (_, bad) in keys.items():
                for value, part in bad:
                    errors = self.errors(make_text(cls, key, value))
                    matching = [line for line in errors if part in line and key in line.partition(": ")[0]]
                    self.assertTrue(matching, (cls, key, value, errors))
                    self.assertTrue(all(len(line) < 300 for line in errors), errors)

    def test_required(self) -> None:
        """A required key that is missing is an error."""
        for cls, field in fields():
            key = key_of(field)
            if field.default is not attrs.NOTHING or key in ("node", "name"):
                continue
            text = make_text(cls, key, "MISSING")
            text = "".join(line for line in text.splitlines(keepends=True) if "MISSING" not in line)
            self.assertIn(f"{key}: it is missing", " ".join(self.errors(text)), (cls, key))
        self.assertEqual(self.errors('[[service]]\npath = "/a"\nnode = "a"'), ["service[0].name: it is missing"])

    def test_http(self) -> None:
        """Keys of [http] that another one leaves without use, or makes necessary, are errors."""
        unused = "it is not used, because listen is a UNIX socket"
        for text, errors in (
            ('listen = "unix:/a"\ncertificate = "/c"', [f"http.certificate: {unused}"]),
            ('listen = "unix:/a"\nkey = "/k"\nclient_ca = "/c"', [f"http.key: {unused}", f"http.client_ca: {unused}"]),
            ('group = "adm"', ["http.group: it is not used, because listen is no UNIX socket"]),
            ('key = "/k"', ["http.key: it is not used without certificate"]),
            ('listen = "0.0.0.0:1"\nclient_ca = "/c"', ["http.client_ca: it is not used without certificate"]),
            ('listen = "0.0.0.0:1"\ntoken_file = "/t"', []),
            ('listen = "0.0.0.0:1"\ncertificate = "/c"\nclient_ca = "/c"', []),
        ):
            table = f"[http]\n{text}\n"
            if errors:
                self.assertEqual(self.errors(table), errors)
            else:
                self.load(table)

    def test_documented(self) -> None:
        """Every key has a docstring, of which the documentation is made, and a type in words."""
        documented = set()
        for module in (model, probes, access_keys, dns, http):
            for cls in ast.parse(inspect.getsource(module)).body:
                if isinstance(cls, ast.ClassDef):
                    documented |= {(cls.name, name) for name in names_with_docstrings(cls)}
        missing = [
            (cls.__name__, field.name) for cls, field in fields() if (cls.__name__, field.name) not in documented
        ]
        self.assertEqual(missing, [])


def names_with_docstrings(cls: ast.ClassDef) -> Iterator[str]:
    """Yield the attributes of a class that have docstrings."""
    for each, following in zip(cls.body, cls.body[1:], strict=False):
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and isinstance(following, ast.Expr):
            yield each.target.id
