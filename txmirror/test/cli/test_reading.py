"""``get``, ``ls``, ``tree`` and ``services`` show the nodes in every format."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.nodes import FORMATS
from txmirror.cli.times import show_time
from txmirror.test.cli.case import Command, CommandTestCase
from txmirror.types import ZnodeStat, digest_acl

_DATA = '{"pid":4711,"created":"2012-12-14 21:17:50","foo":"bar"}'

_YAML = """\
path: /services
data: ''
stat:
  czxid: '0x2'
  mzxid: '0x2'
  ctime: 0.0
  mtime: 0.0
  version: 0
  cversion: 1
  aversion: 0
  ephemeralOwner: null
  dataLength: 0
  numChildren: 1
  pzxid: '0x3'
children:
  ssh:
    data: notes
    stat:
      czxid: '0x3'
      mzxid: '0x3'
      ctime: 0.0
      mtime: 0.0
      version: 0
      cversion: 2
      aversion: 0
      ephemeralOwner: null
      dataLength: 5
      numChildren: 2
      pzxid: '0x5'
    children:
      server1:22:
        data: '{"pid":4711,"created":"2012-12-14 21:17:50","foo":"bar"}'
        stat:
          czxid: '0x4'
          mzxid: '0x6'
          ctime: 0.0
          mtime: 0.0
          version: 1
          cversion: 0
          aversion: 0
          ephemeralOwner: 'OWNER'
          dataLength: 56
          numChildren: 0
          pzxid: '0x4'
        children: {}
      server2:22:
        data_base64: /xs=
        stat:
          czxid: '0x5'
          mzxid: '0x5'
          ctime: 0.0
          mtime: 0.0
          version: 0
          cversion: 0
          aversion: 0
          ephemeralOwner: 'OWNER'
          dataLength: 2
          numChildren: 0
          pzxid: '0x5'
        children: {}
"""

_JSON = """\
{
  "path": "/services",
  "data": "",
  "stat": {
    "czxid": "0x2",
    "mzxid": "0x2",
    "ctime": 0.0,
    "mtime": 0.0,
    "version": 0,
    "cversion": 1,
    "aversion": 0,
    "ephemeralOwner": null,
    "dataLength": 0,
    "numChildren": 1,
    "pzxid": "0x3"
  },
  "children": {
    "ssh": {
      "data": "notes",
      "stat": {
        "czxid": "0x3",
        "mzxid": "0x3",
        "ctime": 0.0,
        "mtime": 0.0,
        "version": 0,
        "cversion": 2,
        "aversion": 0,
        "ephemeralOwner": null,
        "dataLength": 5,
        "numChildren": 2,
        "pzxid": "0x5"
      },
      "children": {
        "server1:22": {
          "data": "{\\"pid\\":4711,\\"created\\":\\"2012-12-14 21:17:50\\",\\"foo\\":\\"bar\\"}",
          "stat": {
            "czxid": "0x4",
            "mzxid": "0x6",
            "ctime": 0.0,
            "mtime": 0.0,
            "version": 1,
            "cversion": 0,
            "aversion": 0,
            "ephemeralOwner": "OWNER",
            "dataLength": 56,
            "numChildren": 0,
            "pzxid": "0x4"
          },
          "children": {}
        },
        "server2:22": {
          "data_base64": "/xs=",
          "stat": {
            "czxid": "0x5",
            "mzxid": "0x5",
            "ctime": 0.0,
            "mtime": 0.0,
            "version": 0,
            "cversion": 0,
            "aversion": 0,
            "ephemeralOwner": "OWNER",
            "dataLength": 2,
            "numChildren": 0,
            "pzxid": "0x5"
          },
          "children": {}
        }
      }
    }
  }
}
"""

_DIR = """\
/services
/services/ssh
/services/ssh/server1:22
/services/ssh/server2:22
"""


class ReadingTestCase(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make("/services")
        self.make("/services/ssh", b"notes")
        self.make("/services/ssh/server1:22", ephemeral=True)
        self.make("/services/ssh/server2:22", b"\xff\x1b", ephemeral=True)
        self.world.result(self.other.set("/services/ssh/server1:22", _DATA.encode()))
        self.owner = f"{self.other.session_id:#x}"

    def hide(self, path: str) -> None:
        """Let nobody read a node."""
        acl = [digest_acl("somebody", "else")]
        self.world.result(self.other.set_acl(path, acl))


class GetTests(ReadingTestCase):
    def get_all(self, output: str) -> str:
        return self.done("get", "/services", "-r", "-d", "--output", output).out

    def test_yaml(self) -> None:
        self.assertEqual(self.get_all("yaml"), _YAML.replace("OWNER", self.owner))

    def test_json(self) -> None:
        self.assertEqual(self.get_all("json"), _JSON.replace("OWNER", self.owner))

    def test_dir(self) -> None:
        self.assertEqual(self.get_all("dir"), _DIR)

    def test_table(self) -> None:
        none = " " * len(self.owner)
        expected = [
            f"PATH                      VERSION  {'OWNER':<{len(self.owner)}}  DATA",
            "/services                 0",
            f"/services/ssh             0        {none}  notes",
            f"/services/ssh/server1:22  1        {self.owner}  {_DATA}",
            rf"/services/ssh/server2:22  0        {self.owner}  \xff\x1b",
        ]
        self.assertEqual(self.get_all("table"), "".join(f"{line}\n" for line in expected))

    def test_one(self) -> None:
        """Without -r, it is the node alone, with its data and stat, of a node that must be there."""
        got = self.done("get", "services/ssh/", "-o", "json").json
        self.assertEqual(list(got), ["path", "data", "stat"])
        self.assertEqual((got["path"], got["data"]), ("/services/ssh", "notes"))
        self.assertEqual(tuple(got["stat"]), ZnodeStat._fields)
        self.assertEqual(yaml.safe_load(self.done("get", "-d", "/services/ssh").out), got)
        self.assertEqual(self.done("get", "/services/ssh", "-o", "jsonl").json, got)
        self.assertEqual(self.done("get", "/services/ssh", "-o", "dir").out, "/services/ssh\n")
        table = "PATH           VERSION  OWNER  DATA\n/services/ssh  0               notes\n"
        self.assertEqual(self.done("get", "/services/ssh", "-o", "table").out, table)
        for output in ("text", *FORMATS):
            self.assertEqual(self.refused(1, "get", "/missing", "-o", output), "no such znode: '/missing'")
        for output in FORMATS:
            self.assertEqual(self.refused(1, "get", "/missing", "-r", "-o", output), "no such znode: '/missing'")

    def test_unchanged(self) -> None:
        """Data are neither decoded, wrapped nor stripped."""
        for text in (_DATA, " a ", "\n", '"a"', "a\r\nb\n", "null", "", "\ufeffa"):
            self.world.result(self.other.set("/services/ssh", text.encode()))
            self.assertEqual(self.done("get", "-d", "/services/ssh", "-o", "json").json["data"], text)
            self.assertEqual(yaml.safe_load(self.done("get", "-d", "/services/ssh").out)["data"], text)

    def test_several(self) -> None:
        """Several nodes are a list in JSON and YAML; a node that is missing does not hide the others."""
        wanted = ("/services", "/services/ssh")
        self.assertEqual([each["path"] for each in self.done("get", *wanted, "-o", "json").json], list(wanted))
        lines = self.done("get", *wanted, "-o", "jsonl").lines
        self.assertEqual([json.loads(each)["path"] for each in lines], list(wanted))
        self.assertEqual(
            self.refused(1, "get", "/missing", *wanted, "-o", "dir", out="/services\n/services/ssh\n"),
            "no such znode: '/missing'",
        )

    def test_lines(self) -> None:
        """JSON lines have one node each, and those below it with -r."""
        records = [json.loads(each) for each in self.done("get", "/services", "-rd", "-o", "jsonl").lines]
        self.assertEqual([each["path"] for each in records], _DIR.split())
        self.assertEqual(records[1]["data"], "notes")
        self.assertNotIn("children", records[1])
        lines = self.done("get", "/services", "-r", "-o", "jsonl").lines
        self.assertEqual(lines[1], '{"path": "/services/ssh"}')

    def test_children(self) -> None:
        """With -r it is the children, nested; the data only if they are asked for."""
        expected = {
            "path": "/services",
            "children": {"ssh": {"children": {"server1:22": {"children": {}}, "server2:22": {"children": {}}}}},
        }
        self.assertEqual(self.done("get", "/services", "-r", "-o", "json").json, expected)

    def test_root(self) -> None:
        """Without a path it is the root."""
        self.assertEqual(self.done("get").data, b"")
        self.assertEqual(self.done("get", "-r", "-o", "dir").lines[:2], ["/", "/services"])

    def test_same_in_yaml(self) -> None:
        """YAML and JSON say the same."""
        self.assertEqual(yaml.safe_load(self.get_all("yaml")), self.done("get", "/services", "-rd", "-o", "json").json)

    def test_hostile(self) -> None:
        """Binary data, deep JSON and invalid JSON break no format; the terminal gets printable characters only."""
        for number, data in enumerate(
            (
                b"\x00\xff\x1b[2J",
                b"[" * 5000,
                b'{"a":' * 5000 + b"1" + b"}" * 5000,
                b'{"a":NaN}',
                b'{"a":1e999}',
                b"{,}",
            )
        ):
            self.make(f"/services/{number}", data)
        for output in FORMATS:
            out = self.done("get", "/services", "-rd", "-o", output).out
            self.assertTrue(out.replace("\n", "").isprintable())
            if output in ("yaml", "json"):
                found: Any = yaml.safe_load(out)["children"]
                self.assertEqual(found["3"]["data"], '{"a":NaN}')
                self.assertEqual(found["5"]["data"], "{,}")
                self.assertEqual(b64decode(found["0"]["data_base64"]), b"\x00\xff\x1b[2J")

    def test_hostile_names(self) -> None:
        """Names with control characters, or characters that change the direction of a line, break no format."""
        self.make("/services/\u202eevil\u00ad")
        for output in FORMATS:
            out = self.done("get", "/services", "-rd", "-o", output).out
            self.assertTrue(out.replace("\n", "").isprintable())
            self.assertIn(r"\u202eevil", out.replace(r"\u202E", r"\u202e"))

    def test_deep_paths(self) -> None:
        """Nodes that are nested too deeply for one format are shown in others; the error is one line."""
        path = "/services"
        for _ in range(520):
            path += "/a"
            self.other.create(path)
        self.world.settle()
        for command in (("get", "-r", "-o", "dir"), ("get", "-r", "-o", "table"), ("tree",)):
            self.assertGreater(len(self.done(*command, "/services").lines), 520)
        message = self.refused(1, "get", "-r", "-o", "yaml", "/services")
        self.assertIn("nested too deeply for 'yaml'", message)

    def test_holes(self) -> None:
        """The error names the unreadable nodes, the others are shown, and the status is 77."""
        self.hide("/services/ssh")
        self.make("/services/web")
        out = "/services\n/services/web\n"
        message = self.refused(77, "get", "/services", "-r", "-o", "dir", out=out)
        self.assertEqual(message, "not permitted by the ACL: '/services/ssh'")
        self.assertEqual(self.refused(77, "get", "/services/ssh"), "not permitted by the ACL: '/services/ssh'")
        self.assertEqual(self.refused(77, "get", "/services/ssh", "-r"), "not permitted by the ACL: '/services/ssh'")


class TextTests(CommandTestCase):
    """``get`` without other options prints the data."""

    def get(self, data: bytes, *options: str) -> bytes:
        self.world.result(self.other.set("/a", data))
        return self.done("get", "/a", *options).data

    def setUp(self) -> None:
        super().setUp()
        self.make("/a")

    def test_text(self) -> None:
        """Text is printed as it is; a line end is added if it has none."""
        for data in (b"a\n", b" a \n\n", "é日😀\n".encode(), b"\tb\r\n", b'{"foo": "bar"}\n', b"string_value\n"):
            self.assertEqual(self.get(data), data)
        self.assertEqual(self.get(b"a"), b"a\n")
        self.assertEqual(self.get(b""), b"")

    def test_raw(self) -> None:
        """Raw bytes are exactly those of the node, and setting them changes nothing."""
        for data in (b"", b"a", b"a\n", b"\x00\xff\x1b[2J", bytes(range(256)) * 4, b"\r\n"):
            self.assertEqual(self.get(data, "--raw"), data)
            self.done("set", "/a", "-", stdin=data)
            self.assertEqual(self.data("/a"), data)

    def test_several(self) -> None:
        """The data of several nodes follow one another; a message names what cannot be read."""
        self.make("/b", b"2\n")
        self.make("/c", b"\x1f\x8b\x08\x00")
        self.world.result(self.other.set("/a", b"1"))
        self.assertEqual(self.done("get", "/a", "/b", "/a").data, b"1\n2\n1\n")
        self.assertEqual(self.done("get", "--raw", "/a", "/b").data, b"12\n")
        command = self.start("get", "/a", "/missing", "/c", "/b")
        self.assertEqual((command.status, command.data), (1, b"1\n2\n"))
        expected = ["no such znode: '/missing'", "'/c' is not text: 4 bytes, gzip; --raw writes its bytes"]
        self.assertEqual(command.err.splitlines(), [f"txmirror: {each}" for each in expected])

    def test_no_text(self) -> None:
        """Of data that are not text, the message names size and kind; nothing else is printed."""
        for data, says in (
            (b"\x1f\x8b" + bytes(1_022), "1,024 bytes, gzip"),
            (b"\x00", "1 byte"),
            (b"\xff\xfea\x00", "4 bytes, UTF-16"),
            (b"\xac\xed\x00\x05sr", "6 bytes, a serialized Java object"),
            (b"a\x1b[31mred", "9 bytes"),
            ("a\x9b31m".encode(), "6 bytes"),
        ):
            self.world.result(self.other.set("/a", data))
            self.assertEqual(self.refused(65, "get", "/a"), f"'/a' is not text: {says}; --raw writes its bytes")

    def test_reader_gone(self) -> None:
        """When the reader of a pipe is gone, the command ends without a message."""
        for options in ((), ("--raw",), ("-o", "json")):
            self.world.result(self.other.set("/a", b"1"))
            self.world.server.delay_next("get", 1.0)
            command = self.start("get", "/a", *options)
            command.break_output(BrokenPipeError())
            self.world.pass_time(1.0)
            self.assertEqual((command.status, command.err), (141, ""))


class StatTests(CommandTestCase):
    begins = 1_700_000_000.0

    def test_text(self) -> None:
        """Times are for people, and ids in hexadecimal."""
        self.make("/a", b"1,000" * 300)
        self.make("/a/b", ephemeral=True)
        self.world.pass_time(90.0)
        self.world.result(self.other.set("/a", b"1"))
        self.world.pass_time(7200.0)
        expected = [
            "Path:      /a",
            "Kind:      not ephemeral",
            "Data:      1 byte, version 1",
            "Children:  1, version 1, zxid 0x3",
            "ACL:       version 0",
            "Created:   2023-11-14 22:13:20 UTC, 2 hours ago, zxid 0x2",
            "Changed:   2023-11-14 22:14:50 UTC, 2 hours ago, zxid 0x4",
        ]
        self.assertEqual(self.done("stat", "/a").lines, expected)
        lines = self.done("stat", "/a", "/a/b").lines
        self.assertEqual(lines[:8], [*expected, ""])
        self.assertEqual(lines[9], f"Kind:      ephemeral, of session {self.other.session_id:#x}")

    def test_machines(self) -> None:
        """The other formats have ZooKeeper's names, times in seconds, and ids in hexadecimal."""
        self.make("/a", ephemeral=True)
        found = self.done("stat", "/a", "-o", "jsonl").json
        self.assertEqual(tuple(found), ("path", *ZnodeStat._fields))
        self.assertEqual(
            (found["ctime"], found["czxid"], found["ephemeralOwner"]),
            (1_700_000_000.0, "0x2", f"{self.other.session_id:#x}"),
        )
        self.assertEqual(self.done("stat", "/a", "-o", "json").json, found)
        self.assertEqual(self.done("stat", "/a", "/a", "-o", "json").json, [found, found])

    def test_missing(self) -> None:
        self.make("/a")
        self.assertEqual(self.refused(1, "stat", "/missing"), "no such znode: '/missing'")
        command = self.start("stat", "/missing", "/a", "-o", "yaml")
        self.assertEqual((command.status, len(command.lines)), (1, 12))

    def test_hidden(self) -> None:
        """A stat needs no permission to read."""
        self.make("/a")
        self.world.result(self.other.set_acl("/a", [digest_acl("somebody", "else")]))
        self.assertEqual(self.done("stat", "/a").lines[0], "Path:      /a")


class TimeTests(SynchronousTestCase):
    def test_distances(self) -> None:
        for now, says in (
            (0.0, "now"),
            (0.9, "now"),
            (1.0, "1 second ago"),
            (119.0, "1 minute ago"),
            (7200.0, "2 hours ago"),
            (86400.0 * 1500, "1,500 days ago"),
            (-90.0, "in 1 minute"),
        ):
            self.assertEqual(show_time(0.0, now), f"1970-01-01 00:00:00 UTC, {says}")

    def test_odd(self) -> None:
        """A time that no calendar has is a number."""
        self.assertEqual(show_time(1e15, 0.0), "1e+15 s since 1970")


class SyncTests(CommandTestCase):
    def test_sync(self) -> None:
        self.make("/a")
        self.assertEqual(self.done("sync", "/a").out, "")


class CredentialsTests(ReadingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.hide("/services/ssh")
        self.right, self.wrong = self.mktemp(), self.mktemp()
        Path(self.right).write_text("else\n")
        Path(self.wrong).write_text("wrong")
        for file in (self.right, self.wrong):
            Path(file).chmod(0o600)

    def test_right(self) -> None:
        """With the right name and password the node is readable."""
        self.done("get", "/services/ssh", "-u", "somebody", "--password-file", self.right)
        self.done("-u", "somebody", "--password-file", self.right, "get", "/services/ssh")

    def test_wrong(self) -> None:
        """With a wrong password the error is one line; nodes that everybody may read are shown."""
        message = self.refused(77, "get", "/services/ssh", "-u", "somebody", "--password-file", self.wrong)
        self.assertEqual(message, "not permitted by the ACL: '/services/ssh'")
        self.done("get", "/services", "-u", "somebody", "--password-file", self.wrong)

    def test_environment(self) -> None:
        """The environment may hold it, or name the file; the command line is the stronger."""
        self.patch(os, "environ", {**os.environ, "TXMIRROR_USERNAME": "somebody", "TXMIRROR_PASSWORD": "else"})
        self.done("get", "/services/ssh")
        self.refused(77, "get", "/services/ssh", "--password-file", self.wrong)
        os.environ["TXMIRROR_PASSWORD_FILE"] = self.right
        del os.environ["TXMIRROR_PASSWORD"]
        self.done("get", "/services/ssh")


class LsTests(ReadingTestCase):
    def test_names(self) -> None:
        self.assertEqual(self.done("ls", "/services/ssh").out, "server1:22\nserver2:22\n")
        self.assertEqual(self.done("ls").out, "services\nzookeeper\n")
        self.assertEqual(self.done("ls", "/services/ssh/server1:22").out, "")
        self.assertEqual(self.refused(1, "ls", "/missing"), "no such znode: '/missing'")

    def test_json_lines(self) -> None:
        self.assertEqual(self.done("ls", "/services/ssh", "-o", "jsonl").out, '"server1:22"\n"server2:22"\n')

    def test_below(self) -> None:
        """With -r it is the paths of all that is below."""
        self.assertEqual(self.done("ls", "/services", "-r").out, _DIR.removeprefix("/services\n"))

    def test_values(self) -> None:
        self.assertEqual(self.done("ls", "/services/ssh", "-o", "json").json, ["server1:22", "server2:22"])
        self.assertEqual(self.done("ls", "/services/ssh", "-o", "yaml").out, "- server1:22\n- server2:22\n")
        self.assertEqual(self.done("ls", "/services", "-r", "-o", "json").json[0], "/services/ssh")

    def test_table(self) -> None:
        expected = [
            f"VERSION  BYTES  CHILDREN  {'OWNER':<{len(self.owner)}}  NAME",
            f"1        56     0         {self.owner}  server1:22",
            f"0        2      0         {self.owner}  server2:22",
        ]
        self.assertEqual(self.done("ls", "/services/ssh", "-o", "table").lines, expected)
        rows = self.done("ls", "/services", "-r", "-o", "table").lines
        self.assertEqual([row.split()[-1] for row in rows], ["PATH", *_DIR.split()[1:]])


class TreeTests(ReadingTestCase):
    def test_drawing(self) -> None:
        self.make("/services/web")
        expected = ["/services", "├── ssh", "│   ├── server1:22", "│   └── server2:22", "└── web"]
        self.assertEqual(self.done("tree", "/services").lines, expected)

    def test_data(self) -> None:
        expected = [
            "/services",
            "└── ssh  notes",
            f"    ├── server1:22  {_DATA}",
            r"    └── server2:22  \xff\x1b",
        ]
        self.assertEqual(self.done("tree", "/services", "--data").lines, expected)

    def test_depth(self) -> None:
        self.assertEqual(self.done("tree", "/services", "--depth", "0").lines, ["/services"])
        self.assertEqual(self.done("tree", "/services", "--depth", "1").lines, ["/services", "└── ssh"])

    def test_formats(self) -> None:
        """In other formats it is that of ``get -r``, with the depth."""
        got = self.done("tree", "/services", "--depth", "1", "-o", "jsonl").lines
        self.assertEqual(got, ['{"path": "/services"}', '{"path": "/services/ssh"}'])
        whole = self.done("tree", "/services", "-d", "-o", "json").json
        self.assertEqual(whole, self.done("get", "/services", "-rd", "-o", "json").json)

    def test_ascii(self) -> None:
        """If the output's encoding lacks the characters of the drawing, plainer ones are used."""
        expected = ["/services", "`-- ssh", "    |-- server1:22", "    `-- server2:22"]
        self.assertEqual(self.done("tree", "/services", encoding="ascii").lines, expected)

    def test_holes(self) -> None:
        """An unreadable node has its place, and its reason."""
        self.hide("/services/ssh")
        self.make("/services/web")
        out = "/services\n├── ssh  [not permitted by the ACL]\n└── web\n"
        self.assertEqual(self.refused(77, "tree", "/services", out=out), "not permitted by the ACL: '/services/ssh'")

    def test_missing(self) -> None:
        self.assertEqual(self.refused(1, "tree", "/missing"), "no such znode: '/missing'")


class ServicesTests(ReadingTestCase):
    def test_table(self) -> None:
        expected = [
            "SERVICE        INSTANCE    DATA",
            f"/services/ssh  server1:22  {_DATA}",
            r"/services/ssh  server2:22  \xff\x1b",
        ]
        self.assertEqual(self.done("services").lines, expected)

    def test_values(self) -> None:
        found = self.done("services", "/", "-o", "json").json
        self.assertEqual(list(found), ["/services/ssh"])
        self.assertEqual(list(found["/services/ssh"]), ["server1:22", "server2:22"])
        self.assertEqual(found["/services/ssh"]["server1:22"]["data"]["foo"], "bar")

    def test_json_lines(self) -> None:
        lines = [json.loads(each) for each in self.done("services", "-o", "jsonl").lines]
        self.assertEqual([each["path"] for each in lines], _DIR.split()[2:])
        self.assertEqual(lines[0]["data"]["foo"], "bar")

    def test_dir(self) -> None:
        self.assertEqual(self.done("services", "/services/ssh", "-o", "dir").lines, _DIR.split()[2:])

    def test_none(self) -> None:
        self.make("/other")
        self.assertEqual(self.done("services", "/other").out, "SERVICE  INSTANCE  DATA\n")
        self.assertEqual(self.done("services", "/other", "-o", "yaml").out, "{}\n")
        self.assertEqual(self.refused(1, "services", "/missing"), "no such znode: '/missing'")


class TooLargeTests(CommandTestCase):
    """Replies over the limit."""

    def setUp(self) -> None:
        super().setUp()
        self.make("/services")
        self.make("/services/small", b"{}", ephemeral=True)
        self.make("/services/large", b"x" * 3_000, ephemeral=True)
        self.make("/many")
        self.names = [f"{'n' * 60}{number:02}" for number in range(40)]
        for name in self.names:
            self.make(f"/many/{name}")

    def limited(self, *arguments: str) -> Command:
        """Run a command line with a limit of 2,048 bytes. It fails with status 65, and the message suggests
        ``--max-reply``.
        """
        command = self.start("--max-reply", "2k", *arguments)
        self.assertEqual(command.status, 65)
        self.assertIn("is over the limit of 2048: --max-reply 1M lets it in", command.err)
        self.assertEqual(command.err.count("\n"), 1)
        return command

    def test_services(self) -> None:
        """Readable replies are shown, and a node with too long a reply is named, with the option that helps."""
        command = self.limited("services", "-o", "dir")
        self.assertEqual(command.lines, ["/services/small"])
        self.assertIn("'/services/large'", command.err)
        command = self.done("services", "-o", "dir", "--max-reply", "1M")
        self.assertEqual(command.lines, ["/services/large", "/services/small"])
        command = self.limited("services", "/many")
        self.assertIn("'/many'", command.err)

    def test_get(self) -> None:
        self.assertEqual(self.limited("get", "/services/large").out, "")
        self.assertEqual(self.limited("get", "/services", "-r", "-o", "dir").lines, ["/services", "/services/small"])
        self.done("get", "/services/large", "--max-reply", "4K")

    def test_ls(self) -> None:
        self.assertEqual(self.limited("ls", "/many").out, "")
        self.assertEqual(self.done("ls", "/many").lines, self.names)

    def test_tree(self) -> None:
        self.assertEqual(self.limited("tree", "/many").lines, ["/many  [the reply is too large]"])

    def test_delete(self) -> None:
        """A node with too many children is deleted once the limit is raised."""
        self.limited("delete", "-r", "-y", "/many")
        self.done("delete", "-r", "-y", "/many")
        self.assertIsNone(self.world.result(self.other.exists("/many")))

    def test_several_reasons(self) -> None:
        """If nodes cannot be read for several reasons, each is printed, and the status is that of a reason that an option removes."""
        self.world.result(self.other.set_acl("/services/small", [digest_acl("somebody", "else")]))
        command = self.start("--max-reply", "2k", "get", "-r", "/services")
        self.assertEqual((command.status, command.err.count("\n")), (65, 2))


class ChrootTests(CommandTestCase):
    def test_missing(self) -> None:
        """If the chroot does not exist, each command names it in its error."""
        servers = self.world.connect_string + "/missing"
        says = f"{servers!r} has a chroot that does not exist"
        for line in (
            ("get", "/"),
            ("get", "/a", "-r"),
            ("ls", "/a"),
            ("ls", "/a", "-r"),
            ("tree", "/a"),
            ("services",),
            ("watch", "/a"),
            ("set", "/a", "1"),
            ("create", "/a"),
            ("create", "/a", "--parents"),
            ("create", "/a/b", "--parents"),
            ("delete", "/a"),
            ("delete", "/a", "-r", "-y"),
            ("lock", "/locks/a", "--", "sh"),
            ("lock", "/locks/a", "--simultaneous", "2", "--", "sh"),
        ):
            with self.subTest(line=line):
                self.assertEqual(self.refused(1, "-s", servers, *line), says)
        self.assertIsNone(self.world.result(self.other.exists("/missing")))

    def test_there(self) -> None:
        """Below one that exists it is the node itself."""
        self.make("/app")
        servers = self.world.connect_string + "/app"
        self.assertEqual(self.refused(1, "-s", servers, "get", "/a"), "no such znode: '/a'")
        self.assertEqual(self.refused(1, "-s", servers, "services"), "no such znode: '/services'")
        self.done("-s", servers, "create", "--parents", "/a/b")
