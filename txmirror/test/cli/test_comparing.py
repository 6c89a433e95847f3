"""``diff`` shows what differs between two subtrees, and says so by its status, as diff does."""

from __future__ import annotations

import json
from pathlib import Path

from txmirror.test.cli.test_transferring import TransferTestCase
from txmirror.types import ACL, OPEN_ACL, READ_ACL, Permission, digest_acl


class DiffTests(TransferTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_app()
        self.do("export", "/app", self.file)
        self.do("import", "/copy", self.file)

    def differ(self, *arguments: str) -> list[str]:
        """Run a command line that finds differences; return its lines."""
        command = self.start("diff", *arguments)
        self.assertEqual((command.status, command.err), (1, ""))
        return command.lines

    def set(self, path: str, data: bytes) -> None:
        self.world.result(self.other.set(path, data))

    def test_equal(self) -> None:
        self.assertEqual(self.done("diff", "/app", "/copy").out, "")

    def test_text(self) -> None:
        self.set("/app/db/host", b"one\ntwo\nthree\n")
        self.set("/copy/db/host", b"one\n2\nthree")
        self.assertEqual(
            self.differ("/app", "/copy"),
            [
                *("--- /app/db/host", "+++ /copy/db/host", "@@ -1,3 +1,3 @@"),
                *(" one", "-two", "-three", "+2", "+three", r"\ No newline at end of data"),
            ],
        )

    def test_terminal(self) -> None:
        """Data cannot send codes to a terminal."""
        self.set("/copy/db/port", b"\x1b[2J\n\r")
        self.assertIn(r"+\x1b[2J", self.differ("/app", "/copy"))

    def test_binary(self) -> None:
        self.set("/copy/binary", b"\xff")
        self.assertEqual(
            self.differ("/app", "/copy"), ["The binary data of /app/binary and /copy/binary differ: 2 bytes, 1 byte"]
        )

    def test_long_text(self) -> None:
        self.set("/app", b"a\n" * 60_000)
        self.assertEqual(self.differ("/app", "/copy"), ["The texts of /app and /copy differ: 120,000 bytes, 5 bytes"])

    def test_only(self) -> None:
        self.make("/app/a")
        self.make("/app/a/b")
        self.make("/copy/z")
        lines = ["Only in /app: /a", "Only in /app: /a/b", "Only in /copy: /z"]
        self.assertEqual(self.differ("/app", "/copy"), lines)

    def test_acls(self) -> None:
        self.world.result(self.other.set_acl("/copy/db", [*OPEN_ACL, ACL(Permission.READ, "ip", "10.0.0.1")]))
        self.done("diff", "/app", "/copy")
        self.assertEqual(
            self.differ("/app", "/copy", "--acls"),
            [
                "The ACLs of /app/db and /copy/db differ",
                *("--- /app/db", "+++ /copy/db", "@@ -1 +1,2 @@", " world:anyone:cdrwa", "+ip:10.0.0.1:r"),
            ],
        )

    def test_hidden_acl(self) -> None:
        """An ACL with a digest that the server hides is not compared, and not taken for another one."""
        for path in ("/app/secret", "/copy/secret"):
            acl = [digest_acl("app", "pw"), *READ_ACL] if path == "/app/secret" else READ_ACL
            self.world.result(self.other.create(path, b"", acl))
        command = self.start("diff", "/app", "/copy", "--acls")
        self.assertEqual((command.status, command.out), (77, ""))
        self.assertEqual(
            command.err,
            "txmirror: the ACLs of '/secret' are not compared: one has a digest that servers do not show\n",
        )

    def test_ephemerals(self) -> None:
        self.make("/app/live", ephemeral=True)
        self.make("/copy/live")
        self.assertEqual(self.differ("/app", "/copy"), ["Only in /copy: /live"])
        self.assertEqual(
            self.differ("/app", "/copy", "--ephemerals"), ["Only /app/live is ephemeral, and not /copy/live"]
        )

    def test_json(self) -> None:
        self.set("/copy/db/port", b"\xff")
        self.make("/app/a")
        self.assertEqual(
            [json.loads(line) for line in self.differ("/app", "/copy", "-o", "jsonl")],
            [
                {"path": "/a", "change": "removed", "left": {"data": ""}},
                {
                    "path": "/db/port",
                    "change": "changed",
                    "parts": ["data"],
                    "left": {"data": "5432"},
                    "right": {"data_base64": "/w=="},
                },
            ],
        )

    def test_export(self) -> None:
        """A subtree is compared with an export."""
        self.done("diff", "/copy", "--file", self.file)
        self.set("/copy/db/port", b"1\n")
        lines = self.differ("/copy", "--file", self.file)
        self.assertEqual(lines[:2], ["--- /copy/db/port", f"+++ {self.file}:/db/port"])

    def test_other_ensemble(self) -> None:
        """The other subtree may be in another ensemble; its path is the same by default."""
        servers = f"{self.world.connect_string}/copy"
        self.make("/other")
        self.do("import", "/other/app", self.file, "--parents")
        self.done("diff", "/app", "--other-servers", f"{self.world.connect_string}/other")
        self.set("/copy/db/port", b"1\n")
        lines = self.differ("/app", "/", "--other-servers", servers)
        self.assertEqual(lines[:2], ["--- /app/db/port", f"+++ {servers}:/db/port"])

    def test_other_profile(self) -> None:
        profiles = Path(self.mktemp())
        profiles.write_text(f'[profile.other]\nservers = "{self.world.connect_string}"\n')
        profiles.chmod(0o600)
        self.patch(__import__("os"), "environ", {"TXMIRROR_CONFIG": str(profiles)})
        self.done("diff", "/app", "/copy", "--other-profile", "other")

    def test_other_unreachable(self) -> None:
        command = self.start("diff", "/app", "--other-servers", "127.0.0.1:1")
        self.world.pass_time(6.0)
        self.assertEqual((command.status, command.err), (69, "txmirror: 127.0.0.1:1 was out of reach for 5 s\n"))

    def test_missing(self) -> None:
        self.assertEqual(self.refused(2, "diff", "/app", "/none"), "no such znode: '/none'")
        self.assertEqual(self.refused(2, "diff", "/none", "/app"), "no such znode: '/none'")

    def test_unreadable(self) -> None:
        """Nothing is said about nodes that one side cannot read, nor about those below."""
        self.world.result(self.other.set_acl("/copy/db", [digest_acl("app", "pw")]))
        command = self.start("diff", "/app", "/copy")
        self.assertEqual((command.status, command.out), (77, ""))
        self.assertEqual(command.err.count("\n"), 1)

    def test_usage(self) -> None:
        self.assertIn("nothing to compare with", self.refused(64, "diff", "/app"))
        self.assertIn("--file excludes", self.refused(64, "diff", "/app", "/copy", "--file", self.file))
        self.assertIn("without ACLs", self.refused(64, "diff", "/app", "--file", self.file, "--acls"))
        message = self.refused(64, "diff", "/app", "--file", self.file, "--ephemerals")
        self.assertIn("without ephemeral nodes", message)
        self.assertIn("--other-servers", self.refused(64, "diff", "/app", "--other-servers", ":x"))
