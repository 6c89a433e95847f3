"""``[zookeeper.access]``: every key, and the files that it names."""

from __future__ import annotations

import importlib.util
import os

import attrs

from txmirror.access import Access
from txmirror.client import TLS, DigestMD5
from txmirror.configuration.access_keys import AccessKeys
from txmirror.test.configuration.case import SECRET, ConfigurationCase
from txmirror.types import ACL

_KEYS = ("username", "password_file", "sasl", "acl", "tls", "tls_ca", "tls_cert", "tls_key")


class AccessTests(ConfigurationCase):
    def setUp(self) -> None:
        super().setUp()
        self.write(f"{SECRET}\n", "password", 0o600)

    def access(self, text: str) -> Access:
        return self.load(f"[zookeeper.access]\n{text}").zookeeper.access

    def faults(self, text: str) -> list[str]:
        return [line.removeprefix("zookeeper.access.") for line in self.errors(f"[zookeeper.access]\n{text}")]

    def test_complete(self) -> None:
        """These tests have all keys."""
        self.assertEqual([field.name for field in attrs.fields(AccessKeys)], list(_KEYS))

    def test_none(self) -> None:
        """Without keys there are no credentials."""
        self.assertEqual(self.access(""), Access())

    def test_password(self) -> None:
        """The password is read from its file, without the line end; a link is followed."""
        (self.folder / "link").symlink_to("password")
        for name in ("password", "link", str(self.folder / "password")):
            access = self.access(f'username = "app"\npassword_file = "{name}"')
            self.assertEqual((access.username, access.password), ("app", SECRET))
            self.assertNotIn(SECRET, repr(access))
        self.assertEqual(access.credentials, f"app:{SECRET}".encode())

    def test_bad_password_files(self) -> None:
        """A file that everybody may read, or others may write, or that is none, is an error that does not quote it."""
        cases = {
            "everybody may read it (mode 0644)": (SECRET, 0o644),
            "others may write to it (mode 0620)": (SECRET, 0o620),
            "it has 65537 bytes, which is more than 65536": (SECRET + "x" * (65537 - len(SECRET)), 0o600),
        }
        for reason, (text, mode) in cases.items():
            self.write(text, "bad", mode)
            self.assertEqual(len(self.faults('username = "app"\npassword_file = "bad"')), 1)
            (fault,) = self.faults('username = "app"\npassword_file = "bad"')
            self.assertIn(reason, fault)
        self.write("\n", "bad", 0o600)
        self.assertIn("is empty", self.faults('username = "app"\npassword_file = "bad"')[0])
        self.write(b"\xff", "bad", 0o600)
        self.assertIn("it is not UTF-8", self.faults('username = "app"\npassword_file = "bad"')[0])
        os.mkfifo(self.folder / "fifo", 0o600)
        for name, reason in {"fifo": "it is a FIFO", ".": "it is a directory", "none": "No such file"}.items():
            (fault,) = self.faults(f'username = "app"\npassword_file = "{name}"')
            self.assertTrue(fault.startswith("password_file: ") and reason in fault, fault)

    def test_username(self) -> None:
        """A user's name goes with a password, and has none in it."""
        together = "zookeeper.access: username and password_file go together: one is there without the other"
        self.assertEqual(self.faults('username = "app"'), [together])
        self.assertEqual(self.faults('password_file = "password"'), [together])
        self.assertEqual(
            self.faults(f'username = "app:{SECRET}"'),
            ["username: it has a colon: the password belongs in password_file", together],
        )
        self.assertEqual(self.faults("username = 5"), ["username: it is no string"])
        self.assertEqual(self.faults('username = ""'), ["username: it is empty"])

    def test_sasl(self) -> None:
        """SASL takes the same name and password."""
        self.assertEqual(self.faults("sasl = 1"), ["sasl: 1 is neither true nor false"])
        self.assertEqual(self.faults("sasl = true"), ["sasl: it needs username and password_file"])
        text = 'username = "app"\npassword_file = "password"\nsasl = true'
        if importlib.util.find_spec("puresasl") is None:
            self.assertIn("pip install", self.faults(text)[0])
            return
        self.assertEqual(self.access(text).sasl, DigestMD5("app", SECRET))

    def test_acl(self) -> None:
        """The ACL has the form of the command's; an invalid one is not quoted, because it may have a password."""
        self.assertEqual(self.access('acl = "world:anyone:r"').given_acl, (ACL(1, "world", "anyone"),))
        for value in (f'"digest:app:{SECRET}:r"', f'["{SECRET}"]', '"x"', '""'):
            (fault,) = self.faults(f"acl = {value}")
            self.assertTrue(fault.startswith("acl: "), fault)

    def test_tls(self) -> None:
        """TLS is on if it is set, or a file is; false goes with no file."""
        self.assertEqual(self.access("tls = true").tls, TLS())
        self.assertIsNone(self.access("tls = false").tls)
        self.assertEqual(
            self.faults('tls = false\ntls_ca = "a"\ntls_key = "b"'),
            ["tls_ca: it is not used, because tls is false", "tls_key: it is not used, because tls is false"],
        )
        self.assertEqual(self.faults('tls = "yes"'), ["tls: 'yes' is neither true nor false"])

    def test_tls_files(self) -> None:
        """Certificates and keys are read; all unusable files are reported."""
        from txmirror.test.certificates import Authority

        folder = self.folder / "tls"
        folder.mkdir()
        authority = Authority(folder, "authority")
        client = authority.vouch("client")
        client.chmod(0o600)
        authority.file.chmod(0o644)
        tls = self.access(f'tls_ca = "tls/authority.pem"\ntls_cert = "{client}"\ntls_key = "{client}"').tls
        self.assertEqual(tls, TLS(str(authority.file), str(client), str(client)))
        client.chmod(0o644)
        os.mkfifo(self.folder / "fifo", 0o600)
        faults = self.faults(f'tls_ca = "none"\ntls_cert = "fifo"\ntls_key = "{client}"')
        for fault, key, reason in zip(
            faults,
            ("tls_ca", "tls_cert", "tls_key"),
            ("No such file", "it is a FIFO", "everybody may read it"),
            strict=True,
        ):
            self.assertTrue(fault.startswith(f"{key}: ") and reason in fault, fault)
        self.write(f"{SECRET}", "tls/none.pem", 0o600)
        (fault,) = self.faults('tls_ca = "tls/none.pem"')
        self.assertTrue(fault.startswith("tls_ca: ") and "no certificate in PEM" in fault, fault)
        (fault,) = self.faults(f'tls_key = """-----BEGIN KEY-----\n{SECRET}"""')
        self.assertEqual(fault, "tls_key: it has several lines: it is the name of a file, not its contents")

    def test_all_at_once(self) -> None:
        """An unknown key does not hide the errors of the others."""
        faults = self.faults(f'password = "{SECRET}"\nusername = "a"\ntls_ca = "none"\nacl = "x"')
        self.assertEqual(
            [fault.partition(":")[0] for fault in faults], ["password", "zookeeper.access", "tls_ca", "acl"]
        )
        self.assertEqual(faults[0], "password: unknown key; did you mean 'password_file'?")
