"""``get``, ``ls``, ``tree`` and ``services`` show the nodes in every format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from txmirror.cli.nodes import FORMATS
from txmirror.test.cli.case import Command, CommandTestCase
from txmirror.types import ZnodeStat, digest_acl

_DATA = '{"pid":4711,"created":"2012-12-14 21:17:50","foo":"bar"}'

_YAML = """\
path: /services
data: null
stat:
  czxid: 2
  mzxid: 2
  ctime: 0
  mtime: 0
  version: 0
  cversion: 1
  aversion: 0
  ephemeralOwner: 0
  dataLength: 0
  numChildren: 1
  pzxid: 3
children:
  ssh:
    data:
      string_value: notes
    stat:
      czxid: 3
      mzxid: 3
      ctime: 0
      mtime: 0
      version: 0
      cversion: 2
      aversion: 0
      ephemeralOwner: 0
      dataLength: 5
      numChildren: 2
      pzxid: 5
    children:
      server1:22:
        data:
          pid: 4711
          created: '2012-12-14 21:17:50'
          foo: bar
        stat:
          czxid: 4
          mzxid: 6
          ctime: 0
          mtime: 0
          version: 1
          cversion: 0
          aversion: 0
          ephemeralOwner: OWNER
          dataLength: 56
          numChildren: 0
          pzxid: 4
        children: {}
      server2:22:
        data: "\\\\xff\\e"
        stat:
          czxid: 5
          mzxid: 5
          ctime: 0
          mtime: 0
          version: 0
          cversion: 0
          aversion: 0
          ephemeralOwner: OWNER
          dataLength: 2
          numChildren: 0
          pzxid: 5
        children: {}
"""

_JSON = """\
{
  "path": "/services",
  "data": null,
  "stat": {
    "czxid": 2,
    "mzxid": 2,
    "ctime": 0,
    "mtime": 0,
    "version": 0,
    "cversion": 1,
    "aversion": 0,
    "ephemeralOwner": 0,
    "dataLength": 0,
    "numChildren": 1,
    "pzxid": 3
  },
  "children": {
    "ssh": {
      "data": {
        "string_value": "notes"
      },
      "stat": {
        "czxid": 3,
        "mzxid": 3,
        "ctime": 0,
        "mtime": 0,
        "version": 0,
        "cversion": 2,
        "aversion": 0,
        "ephemeralOwner": 0,
        "dataLength": 5,
        "numChildren": 2,
        "pzxid": 5
      },
      "children": {
        "server1:22": {
          "data": {
            "pid": 4711,
            "created": "2012-12-14 21:17:50",
            "foo": "bar"
          },
          "stat": {
            "czxid": 4,
            "mzxid": 6,
            "ctime": 0,
            "mtime": 0,
            "version": 1,
            "cversion": 0,
            "aversion": 0,
            "ephemeralOwner": OWNER,
            "dataLength": 56,
            "numChildren": 0,
            "pzxid": 4
          },
          "children": {}
        },
        "server2:22": {
          "data": "\\\\xff\\u001b",
          "stat": {
            "czxid": 5,
            "mzxid": 5,
            "ctime": 0,
            "mtime": 0,
            "version": 0,
            "cversion": 0,
            "aversion": 0,
            "ephemeralOwner": OWNER,
            "dataLength": 2,
            "numChildren": 0,
            "pzxid": 5
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
        self.assertEqual(self.get_all("yaml"), _YAML.replace("OWNER", str(self.other.session_id)))

    def test_json(self) -> None:
        self.assertEqual(self.get_all("json"), _JSON.replace("OWNER", str(self.other.session_id)))

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

    def test_path_alone(self) -> None:
        """Without options it is the path alone, of a node that must be there."""
        expected = {
            "yaml": "path: /services\n",
            "json": '{\n  "path": "/services"\n}\n',
            "jsonl": '{"path": "/services"}\n',
            "dir": "/services\n",
            "table": "PATH\n/services\n",
        }
        for output in FORMATS:
            self.assertEqual(self.done("get", "services/", "-o", output).out, expected[output])
            self.assertEqual(self.refused(1, "get", "/missing", "-o", output), "no such znode: '/missing'")
            self.assertEqual(self.refused(1, "get", "/missing", "-r", "-o", output), "no such znode: '/missing'")

    def test_data(self) -> None:
        """With -d it is the node's data, as the registry reads them, and its stat."""
        got = self.done("get", "/services/ssh/server1:22", "-d", "--outputformat", "json").json
        self.assertEqual(list(got), ["path", "data", "stat"])
        self.assertEqual(got["data"]["foo"], "bar")
        self.assertEqual(tuple(got["stat"]), ZnodeStat._fields)

    def test_children(self) -> None:
        """With -r it is the children, nested; the data only if they are asked for."""
        expected = {
            "path": "/services",
            "children": {"ssh": {"children": {"server1:22": {"children": {}}, "server2:22": {"children": {}}}}},
        }
        self.assertEqual(self.done("get", "/services", "-r", "-o", "json").json, expected)

    def test_root(self) -> None:
        """Without a path it is the root."""
        self.assertEqual(self.done("get").out, "path: /\n")
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
                self.assertEqual(found["3"]["data"], {"string_value": '{"a":NaN}'})
                self.assertEqual(found["5"]["data"], {"string_value": "{,}"})

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


class CredentialsTests(ReadingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.hide("/services/ssh")
        self.right, self.wrong = self.mktemp(), self.mktemp()
        Path(self.right).write_text("else\n")
        Path(self.wrong).write_text("wrong")

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
            ("create", "/a", "--makepath"),
            ("create", "/a/b", "--makepath"),
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
        self.done("-s", servers, "create", "--makepath", "/a/b")
