"""``export --folder`` writes a folder, and ``import`` reads it, whatever the nodes' names are."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.cli.subtrees.names import clashing, file_name, znode_name
from txmirror.test.cli.test_transferring import TransferTestCase
from txmirror.types import ACL, Permission

_NAMES = (
    *(
        "a",
        "A",
        "..a",
        ".git",
        "a.",
        "a b",
        " a",
        "a ",
        "%41",
        "%",
        "%value",
        "%export",
        "con",
        "CON",
        "ä",
        "a\u0308",
        "ß",
        "ss",
    ),
    *(
        "\u2215",
        "\u2044",
        "..\u2215..",
        "a\\b",
        "a:b",
        "a*?",
        "\u200b",
        "x" * 255,
        "x" * 256,
        "x" * 3000,
        "ä" * 200,
        "-rf",
        "~",
    ),
)


class FolderTests(TransferTestCase):
    def export(self, *arguments: str) -> Path:
        self.do("export", "/app", self.file, "--folder", *arguments)
        return Path(self.file)

    def files(self) -> dict[str, bytes]:
        root = Path(self.file)
        return {str(each.relative_to(root)): each.read_bytes() for each in root.rglob("*") if each.is_file()}

    def test_layout(self) -> None:
        """A node without children is a file with its data."""
        self.make_app()
        self.export()
        export = b'{"txmirror-export": 1, "root": "/app", "acls": false, "ephemerals": false, "nodes": 5, "unreadable": []}\n'
        self.assertEqual(
            self.files(),
            {
                "%export": export,
                "%value": b"whole",
                "binary": b"\xff\x00",
                "db/host": "zoé\n".encode(),
                "db/port": b"5432",
            },
        )

    def test_round_trip(self) -> None:
        self.make_app()
        self.export()
        self.do("import", "/copy", self.file)
        self.assertEqual(self.tree("/copy"), self.tree())
        self.done("diff", "/app", "--file", self.file)

    def test_names(self) -> None:
        """Names that no file may have, that escape from the folder, or that differ only in case, stay different and inside."""
        self.make("/app")
        for name in _NAMES:
            self.make(f"/app/{name}", name.encode())
            self.make(f"/app/{name}/below", b"below")
        self.export()
        self.assertEqual(list(Path(self.file).parent.iterdir()), [Path(self.file)])
        names = [each.name for each in Path(self.file).iterdir() if each.name != "%export"]
        self.assertEqual(len({name.casefold() for name in names}), len(_NAMES))
        self.assertTrue(all(name.isascii() and len(name) <= 255 and name[0] != "." for name in names))
        self.do("import", "/copy", self.file)
        self.assertEqual(self.tree("/copy"), self.tree())

    def test_attributes(self) -> None:
        """ACLs other than the usual one, and sessions, are in a file of their own."""
        self.make_app()
        acl = [ACL(Permission.READ, "world", "anyone")]
        self.world.result(self.other.create("/app/read", b"data", acl))
        self.make("/app/live", b"me", ephemeral=True)
        folder = self.export("--acls", "--ephemerals")
        self.assertEqual(json.loads((folder / "read" / "%meta").read_text()), {"acl": ["world:anyone:r"]})
        self.assertEqual(list(json.loads((folder / "live" / "%meta").read_text())), ["ephemeral"])
        self.assertEqual(sorted(name for name in self.files() if name.endswith("%meta")), ["live/%meta", "read/%meta"])
        self.do("import", "/copy", self.file)
        self.done("diff", "/app", "/copy", "--acls")

    def test_resume(self) -> None:
        """After it was cut, all becomes as in a new export: files are completed, replaced and removed."""
        self.make_app()
        self.make("/app/leaf", b"1")
        folder = self.export()
        whole = self.files()
        (folder / "db" / "host").write_bytes(b"zo")
        (folder / "binary").unlink()
        (folder / "db" / "gone").write_bytes(b"old")
        (folder / "leaf").unlink()
        (folder / "leaf").mkdir()
        (folder / "leaf" / "below").write_bytes(b"old")
        (folder / "old").mkdir()
        (folder / "%export").write_text('{"txmirror-export": 1, "root": "/app", "acls": false, "ephemerals": false}')
        self.assertIn("its end is missing", self.refused(1, "import", "/copy", self.file))
        self.export("--resume")
        self.assertEqual(self.files(), whole)

    def test_resume_link(self) -> None:
        """The folder may be a symbolic link, which stays."""
        self.make_app()
        folder = self.export()
        target = folder.rename(f"{self.file}-target")
        folder.symlink_to(target)
        self.world.result(self.other.set("/app/db/port", b"1"))
        self.export("--resume")
        self.assertTrue(folder.is_symlink())
        self.assertEqual((target / "db" / "port").read_bytes(), b"1")

    def test_exists(self) -> None:
        self.make_app()
        folder = Path(self.file)
        folder.mkdir()
        (folder / "precious").write_text("precious")
        message = self.refused(1, "export", "/app", self.file, "--folder")
        self.assertEqual(message, f"{self.file} exists already: --resume continues an export that was cut")
        message = self.refused(1, "export", "/app", self.file, "--folder", "--resume")
        self.assertEqual(message, f"{self.file}: it is no export of txmirror: it has no '%export'")
        self.assertEqual(self.files(), {"precious": b"precious"})

    def test_no_permission(self) -> None:
        """A folder that may not be read is named in one line."""

        def refuse(_: Path) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        self.make_app()
        Path(self.file).mkdir()
        # The user may be root.
        self.patch(Path, "iterdir", refuse)
        message = self.refused(74, "export", "/app", self.file, "--folder", "--resume")
        self.assertEqual(message, f"{self.file}: it cannot be read: Permission denied")

    def test_long_names_of_others(self) -> None:
        """The file with a long name is no link out of the export, whose text a message would show, and no pipe, which would block."""
        self.make_app()
        folder = self.export() / "%long-0"
        folder.mkdir()
        name = folder / "%name"
        outside = folder.parent.with_name("outside")
        outside.write_text("secret\n")
        for make, says in (
            (lambda: name.symlink_to(outside), "'%name' is a symbolic link"),
            (lambda: os.mkfifo(name), "'%name' is no file"),
            (lambda: name.write_bytes(b"\xff"), "'%name' in '%long-0' is not UTF-8"),
        ):
            make()
            self.assertEqual(self.refused(1, "import", "/copy", self.file), f"{self.file}: {says}")
            name.unlink()

    def test_foreign_files(self) -> None:
        """Hidden files are left alone; links and doubled names are errors."""
        self.make_app()
        folder = self.export()
        (folder / ".git").mkdir()
        (folder / ".git" / "x").write_text("x")
        self.do("import", "/copy", self.file)
        self.assertEqual(self.tree("/copy"), self.tree())
        (folder / "link").symlink_to("/etc/passwd")
        self.assertEqual(
            self.refused(1, "import", "/x", self.file), f"{self.file}: 'link' is neither a file nor a folder"
        )
        (folder / "link").unlink()
        (folder / "%62inary").write_text("twice")
        self.assertIn("are the same node", self.refused(1, "import", "/x", self.file))
        (folder / "%62inary").unlink()
        (folder / "%2f").write_text("")
        self.assertIn("is not a znode path", self.refused(1, "import", "/x", self.file))
        (folder / "%2f").unlink()
        (folder / "50%").write_text("")
        self.assertIn("'50%' has a '%' without two digits after it", self.refused(1, "import", "/x", self.file))

    def test_unreadable(self) -> None:
        """A node that could not be read is not deleted when the folder is imported."""
        self.make_app()
        self.world.result(self.other.set_acl("/app/db", [ACL(Permission.ALL, "ip", "10.0.0.1")]))
        command = self.start("export", "/app", self.file, "--folder")
        self.assertEqual(command.status, 77)
        err = self.do("import", "/app", self.file, "--prune").err
        self.assertIn("0 deleted, 2 equal already, 1 were unreadable", err)


class NameTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        clashes = clashing(_NAMES)
        for name in _NAMES:
            written = file_name(name, clashes=name in clashes)
            if not written.startswith("%long-"):
                self.assertEqual(znode_name(written), name)

    def test_readable(self) -> None:
        for name in ("web-1.example:8080", "_c_0815-lock-0000000001", "a,b=c@d"):
            self.assertEqual(file_name(name, clashes=False), name)
