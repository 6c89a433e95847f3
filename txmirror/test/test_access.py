"""The options for secured ensembles: the accepted values, their sources, and the error lines for invalid ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.access import OPTIONS, Access, parse_acl, read_access, read_access_file
from txmirror.client import TLS, DigestMD5
from txmirror.test.certificates import Authority
from txmirror.test.wire.strategies import characters
from txmirror.types import ACL, CREATOR_ALL_ACL, OPEN_ACL, READ_ACL, Permission, digest_acl, digest_identity


class AccessCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.environment: dict[str, str] = {}
        self.file = self.mktemp()
        Path(self.file).write_text("hush-hush\n")

    def read(self, **given: Any) -> Access:
        options = {name.replace("_", "-"): value for name, value in given.items()}
        self.assertLessEqual(options.keys(), {option.name for option in OPTIONS})
        return read_access(options, self.environment)

    def refused(self, says: str, **given: Any) -> None:
        """Check that the options are refused in one line with this text, and without a password."""
        text = str(self.assertRaises(ValueError, self.read, **given))
        self.assertIn(says, text)
        self.assertNotIn("hush", text)
        self.assertNotIn("\n", text)


class CredentialsTests(AccessCase):
    def test_none(self) -> None:
        """Nothing given is nobody in particular, in plain text."""
        access = self.read()
        self.assertEqual(access, Access())
        self.assertEqual((access.credentials, access.acl), (None, None))

    def test_digest(self) -> None:
        access = self.read(username="app", password_file=self.file)
        self.assertEqual(access.credentials, b"app:hush-hush")
        self.assertEqual(access.acl, (digest_acl("app", "hush-hush"), *READ_ACL))
        self.assertNotIn("hush", repr(access))

    def test_environment(self) -> None:
        """Each option has a variable, which is the weaker; an empty one counts as unset."""
        self.environment.update(TXMIRROR_USERNAME="app", TXMIRROR_PASSWORD="hush-hush", TXMIRROR_ACL="")
        self.assertEqual(self.read(), Access("app", "hush-hush"))
        self.assertEqual(self.read(username="ann").username, "ann")
        self.environment["TXMIRROR_PASSWORD"] = "of the environment"
        self.assertEqual(self.read(password_file=self.file).password, "hush-hush")
        del self.environment["TXMIRROR_PASSWORD"]
        self.environment["TXMIRROR_PASSWORD_FILE"] = self.file
        self.assertEqual(self.read(), Access("app", "hush-hush"))
        self.environment["TXMIRROR_PASSWORD"] = "hush"
        self.refused("exclude each other")

    def test_process(self) -> None:
        """The default is the environment of the process."""
        self.patch(os, "environ", {"TXMIRROR_ACL": "read-only"})
        self.assertEqual(read_access({}).acl, READ_ACL)

    def test_sources(self) -> None:
        """An error names the option, or the variable that has the value."""
        for name, value in (
            ("acl", "closed"),
            ("tls_ca", "/missing"),
            ("tls_cert", "/missing"),
            ("tls_key", "/missing"),
        ):
            option, variable = f"--{name.replace('_', '-')}", f"TXMIRROR_{name.upper()}"
            self.refused(f"{option}: '{value}'" if name != "tls_key" else option, **{name: value})
            self.environment = {variable: value}
            self.refused(f"{variable}: ")
            self.environment = {}
        self.environment = {"TXMIRROR_SASL": "yes"}
        self.refused("TXMIRROR_SASL needs --username and a password")
        self.environment = {"TXMIRROR_USERNAME": "app:hush", "TXMIRROR_PASSWORD": "hush"}
        self.refused("TXMIRROR_USERNAME: 'app:...' has a colon")

    def test_usernames(self) -> None:
        for name in ("", "\udcff"):
            self.refused(repr(name), username=name, password_file=self.file)
        self.refused("'app:...' has a colon", username="app:hush-hush", password_file=self.file)
        self.refused("go together", username="app")
        self.refused("go together", password_file=self.file)

    def test_files(self) -> None:
        self.refused("'/missing/file' cannot be read: No such file", username="app", password_file="/missing/file")
        self.refused("cannot be read: Is a directory", username="app", password_file="/")
        for content, says in (
            (b"", "is empty"),
            (b"\r\n", "is empty"),
            (b"\xff", "not UTF-8"),
            (b"x" * 65537, "longer"),
        ):
            Path(self.file).write_bytes(content)
            self.refused(says, username="app", password_file=self.file)
        self.refused("null byte", username="app", password_file="a\x00")

    def test_content(self) -> None:
        """Line ends are no part of a password; all other characters are."""
        for content, password in ((b"a b \r\n", "a b "), ("\u00e9\n\n".encode(), "\u00e9"), (b"\tx", "\tx")):
            Path(self.file).write_bytes(content)
            self.assertEqual(self.read(username="app", password_file=self.file).password, password)

    def test_sasl(self) -> None:
        """With SASL there is no scheme digest, and the creator's ACL is SASL's."""
        access = self.read(username="bob", password_file=self.file, sasl=True)
        self.assertEqual(access.sasl, DigestMD5("bob", "hush-hush"))
        self.assertIsNone(access.credentials)
        self.assertEqual(access.acl, (ACL(Permission.ALL, "sasl", "bob"), *READ_ACL))
        self.assertNotIn("hush", repr(access))
        self.refused("--sasl needs --username and a password", sasl=True)
        for text, is_used in (("1", True), ("Yes", True), ("no", False), ("0", False)):
            self.environment["TXMIRROR_SASL"] = text
            access = self.read(username="bob", password_file=self.file)
            self.assertEqual(access.sasl is not None, is_used)
        self.environment["TXMIRROR_SASL"] = "maybe"
        self.refused("TXMIRROR_SASL: 'maybe' is neither yes nor no")


class TLSTests(AccessCase):
    def test_files(self) -> None:
        """Files are read at once, so that an invalid one is reported in one line."""
        authority = Authority(Path(self.mktemp()).parent, "authority")
        certificate = str(authority.vouch("client"))
        tls = self.read(tls_ca=str(authority.file), tls_cert=certificate).tls
        self.assertEqual(tls, TLS(str(authority.file), certificate))
        self.assertEqual(self.read(tls=True).tls, TLS())
        self.assertEqual(self.read(tls_cert=certificate, tls_key=certificate).tls, TLS(None, certificate, certificate))
        self.refused("--tls-ca: '/missing' cannot be read: No such file or directory", tls_ca="/missing")
        self.refused(f"--tls-ca: {self.file!r} has no certificate in PEM", tls_ca=self.file)
        self.refused("--tls-ca: '/dev/zero' cannot be read: it has more than", tls_ca="/dev/zero")
        self.refused("--tls-cert: '/missing' cannot be read", tls_ca=str(authority.file), tls_cert="/missing")
        self.refused(f"--tls-key: there is a key, {certificate!r}, and no certificate", tls_key=certificate)
        self.environment.update(TXMIRROR_TLS_CA=str(authority.file), TXMIRROR_TLS="no")
        self.assertEqual(self.read().tls, TLS(str(authority.file)))

    def test_reactor(self) -> None:
        """No reactor is installed by that: twistd is still to choose one."""
        script = (
            "import sys; from txmirror.access import read_access; read_access({'tls': True}, {});"
            " sys.exit('twisted.internet.reactor' in sys.modules)"
        )
        self.assertEqual(subprocess.run([sys.executable, "-c", script], check=False).returncode, 0)


class ACLTests(SynchronousTestCase):
    def test_zkcli(self) -> None:
        """It is written as zkCli takes it."""
        entry = f"digest:{digest_identity('app', 'pw')}:cdrwa"
        self.assertEqual(
            parse_acl(f"world:anyone:r,{entry},auth::cdrwa,ip:10.0.0.0/8:rw,ip:::1:r"),
            (
                *READ_ACL,
                digest_acl("app", "pw"),
                *CREATOR_ALL_ACL,
                ACL(Permission.READ | Permission.WRITE, "ip", "10.0.0.0/8"),
                ACL(Permission.READ, "ip", "::1"),
            ),
        )

    def test_names(self) -> None:
        self.assertEqual(parse_acl("open"), OPEN_ACL)
        self.assertEqual(parse_acl("read-only"), READ_ACL)
        self.assertEqual(parse_acl("creator,read-only"), (*CREATOR_ALL_ACL, *READ_ACL))

    def test_bad(self) -> None:
        """Messages quote an invalid value, unless it may be a password."""
        for text, says in {
            "": "''",
            "closed": "'closed' is neither",
            "world:anyone": "'world:anyone' is neither",
            ":anyone:r": "':anyone:r' is neither",
            "open,,open": "''",
            "world:anyone:": "'' are no permissions",
            "world:anyone:rx": "'rx' are no permissions",
            "world:anyone:rr": "'rr' are no permissions",
            "digest:app:hush-hush:r": "HASH",
            "digest:hush-hush:r": "HASH",
        }.items():
            error = str(self.assertRaises(ValueError, parse_acl, text))
            self.assertIn(says, error)
            self.assertNotIn("hush", error)

    @given(st.text(characters | st.sampled_from(",:r"), max_size=20))
    def test_anything(self, text: str) -> None:
        """Any text is an ACL, or a ValueError."""
        try:
            self.assertTrue(parse_acl(text))
        except ValueError as error:
            self.assertNotIn("\n", str(error))


class FileTests(SynchronousTestCase):
    """A file with the variables, for endpoint strings."""

    def read(self, text: str, mode: int = 0o600) -> Access:
        file = Path(self.mktemp())
        file.write_text(text)
        file.chmod(mode)
        return read_access_file(str(file))

    def refused(self, says: str, text: str, mode: int = 0o600) -> None:
        message = str(self.assertRaises(ValueError, self.read, text, mode))
        self.assertIn(says, message)
        self.assertNotIn("hush", message)
        self.assertNotIn("\n", message)

    def test_variables(self) -> None:
        """The variables of the file count, and not those of the process."""
        self.patch(os, "environ", {"TXMIRROR_ACL": "open", "TXMIRROR_USERNAME": "other"})
        text = "# a comment\n\n  TXMIRROR_USERNAME=app\nTXMIRROR_PASSWORD=hush=hush\nTXMIRROR_TLS=\n"
        self.assertEqual(self.read(text), Access("app", "hush=hush"))
        self.assertEqual(self.read(""), Access())

    def test_invalid(self) -> None:
        self.refused("line 2: it is not NAME=VALUE", "TXMIRROR_USERNAME=app\nTXMIRROR_PASWORD=hush")
        self.refused("TXMIRROR_USERNAME", "hush")
        self.refused("without the other", "TXMIRROR_USERNAME=app")
        self.refused("TXMIRROR_TLS_CA: '/nowhere/ca.pem' cannot be read", "TXMIRROR_TLS_CA=/nowhere/ca.pem")

    def test_unsafe(self) -> None:
        """A file that everybody may read, or that others may write, is refused."""
        self.refused("everybody may read it", "TXMIRROR_PASSWORD=hush", 0o644)
        self.refused("others may write to it", "TXMIRROR_PASSWORD=hush", 0o620)
        self.assertIn("'/nowhere'", str(self.assertRaises(ValueError, read_access_file, "/nowhere")))
