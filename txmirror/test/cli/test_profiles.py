"""Profiles: settings from a TOML file, which options override, and errors of one line with file, line and key."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.access import Access
from txmirror.cli.profiles import ProfileError, profile_names, profiles_file, read_profile
from txmirror.cli.settings import Settings
from txmirror.printable import quote
from txmirror.test.cli.test_command import CommandLineTestCase
from txmirror.test.pages.found import tested_blocks
from txmirror.types import OPEN_ACL

_FILE = """\
# Two ensembles.
[profile.prod]
servers = "zk1:2281,zk2:2281"
chroot = "/app"
timeout = "1m"
session_timeout = 30
max_reply = "16M"

[profile.prod.access]
username = "app"
password_file = "secret"
acl = "open"

[profile.test]
servers = "localhost:2181"
"""


class ProfileTestCase(CommandLineTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.file = self.folder / "profiles.toml"
        self.write("secret", "hush\n").chmod(0o600)
        self.write("profiles.toml", _FILE)
        os.environ["TXMIRROR_CONFIG"] = str(self.file)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def settings(self, *arguments: str) -> Settings:
        self.assertEqual((self.main(*arguments), self.err.getvalue()), (0, ""))
        return self.launched.pop()

    def assert_refused(self, *arguments: str, says: str) -> None:
        self.err.seek(0)
        self.err.truncate()
        self.assertEqual(self.main(*arguments), 64)
        self.assertEqual(self.err.getvalue(), f"txmirror: {says}\n")
        self.assertEqual(self.launched, [])


class UsingTests(ProfileTestCase):
    prod = Settings(
        servers="zk1:2281,zk2:2281/app",
        access=Access("app", "hush", given_acl=OPEN_ACL),
        timeout=60.0,
        session_timeout=30.0,
        max_reply=16 * 1024**2,
    )

    def test_settings(self) -> None:
        """A profile has the settings that options have, before and after the command's name."""
        self.assertEqual(self.settings("--profile", "prod", "ls"), self.prod)
        self.assertEqual(self.settings("ls", "--profile", "prod"), self.prod)
        self.assertEqual(self.settings("--profile", "test", "ls", "--profile", "prod"), self.prod)
        self.assertEqual(self.settings("--profile", "test", "ls"), Settings())

    def test_page(self) -> None:
        """The file of the documentation has the settings that it shows."""
        (block,) = tested_blocks("docs/operations/command.rst", __name__)
        self.write(block.options["caption"], block.text)
        self.write("prod.password", "hush\n").chmod(0o600)
        servers, access = "zk1:2181,zk2:2181,zk3:2181/shop", Access("app", "hush")
        self.assertEqual(
            self.settings("--profile", "prod", "ls"), Settings(servers=servers, access=access, timeout=10.0)
        )
        self.assertEqual(self.settings("--profile", "local", "ls"), Settings(servers="127.0.0.1:2181"))

    def test_options(self) -> None:
        """Options override the profile, each for itself."""
        other = self.write("other", "word")
        other.chmod(0o600)
        found = self.settings(
            *("--profile", "prod", "ls", "-s", "zk9:1", "--timeout", "3", "-u", "me", "--password-file", str(other))
        )
        self.assertEqual((found.servers, found.timeout, found.session_timeout), ("zk9:1", 3.0, 30.0))
        self.assertEqual(found.access, Access("me", "word", given_acl=OPEN_ACL))

    def test_variable(self) -> None:
        os.environ["TXMIRROR_PROFILE"] = "prod"
        self.assertEqual(self.settings("ls"), self.prod)
        self.assertEqual(self.settings("ls", "--profile", "test"), Settings())

    def test_other_variables(self) -> None:
        """With a profile, the variables for its settings do not count: a password does not reach another ensemble."""
        os.environ.update({"TXMIRROR_SERVERS": "zk9:1", "TXMIRROR_USERNAME": "me", "TXMIRROR_PASSWORD": "word"})
        self.assertEqual(self.settings("--profile", "test", "ls"), Settings())

    def test_contradiction(self) -> None:
        """If variables name both a profile and servers, it is not clear which one is meant."""
        os.environ.update({"TXMIRROR_PROFILE": "test", "TXMIRROR_SERVERS": "zk9:1"})
        self.assertEqual(self.settings("--profile", "prod", "ls"), self.prod)
        self.assert_refused("ls", says="ls: TXMIRROR_PROFILE and TXMIRROR_SERVERS exclude each other")

    def test_not_needed(self) -> None:
        """Without a profile the file is not read."""
        self.write("profiles.toml", "=")
        self.assertEqual(self.settings("ls"), Settings())

    def test_completion(self) -> None:
        """The names of the profiles are completed; without a file there are none."""
        self.assertEqual(profile_names(self.file), ["prod", "test"])


class ErrorTests(ProfileTestCase):
    def refuse(self, text: str, line: int, says: str) -> None:
        """Assert that a file is refused, in one line."""
        self.write("profiles.toml", text)
        self.assert_refused("--profile", "prod", "ls", says=f"ls: {self.file}:{line}: {says}")

    def test_unknown(self) -> None:
        self.assert_refused(
            *("--profile", "prd", "ls"),
            says=f"ls: {self.file}: no profile 'prd'; did you mean 'prod'? (it has prod, test)",
        )

    def test_keys(self) -> None:
        """The message names the file, the line and the key, and the key that was perhaps meant."""
        self.refuse(
            "[profile.prod]\n\nserver = 'a:1'\n", 3, "profile.prod.server: unknown key; did you mean 'servers'?"
        )
        self.refuse("[profiles.prod]\n", 1, "profiles: unknown key; did you mean 'profile'?")
        self.refuse("profile.prod = 1\n", 1, "profile.prod: it is no table: write [profile.prod]")
        self.refuse("profile = 1\n", 1, "profile: it is no table: write [profile.NAME]")

    def test_values(self) -> None:
        head = "[profile.prod]\n"
        self.refuse(
            f"{head}servers = 'a:x'\n",
            2,
            "profile.prod.servers: 'a:x' is no server address: 'x' is no port from 1 to 65535",
        )
        self.refuse(
            f"{head}timeout = 'soon'\n",
            2,
            "profile.prod.timeout: 'soon' is no duration: it is a number of seconds, or a string such as"
            ' "500ms", "1.5m" or "2h"',
        )
        self.refuse(f"{head}max_reply = 'x'\n", 2, "profile.prod.max_reply: 'x' is no number of bytes, such as 16M")
        self.refuse(
            f"{head}servers = 'a:1/b'\nchroot = '/c'\n",
            3,
            "profile.prod.chroot: the servers 'a:1/b' have a chroot already",
        )
        self.refuse(f"{head}chroot = '/c'\n", 2, "profile.prod.chroot: it needs servers")

    def test_line(self) -> None:
        """The line is right after values of several lines, and for tables in one line."""
        text = '[profile.prod]\nservers = """a:1,\\\n  b:1"""\naccess = { tls = "x" }\n'
        self.refuse(text, 4, "profile.prod.access.tls: 'x' is neither true nor false")

    def test_no_toml(self) -> None:
        self.refuse("[profile.prod]\nservers = a\n", 2, "it is not TOML: Invalid value")

    def test_password(self) -> None:
        """A file with a password that everybody may read is refused, and the message does not quote the password."""
        (self.folder / "secret").chmod(0o644)
        self.refuse(
            _FILE,
            11,
            f"profile.prod.access.password_file: {quote(str(self.folder / 'secret'))} cannot be used: everybody may read it (mode 0644)",
        )
        self.refuse(
            "[profile.prod.access]\npassword = 'hush'\n",
            2,
            "profile.prod.access.password: unknown key; did you mean 'password_file'?",
        )
        self.assertNotIn("hush", self.err.getvalue())

    def test_files(self) -> None:
        """A file that is missing, or that others may write to, is refused."""
        self.file.chmod(0o666)
        self.assert_refused(
            *("--profile", "prod", "ls"), says=f"ls: '{self.file}' cannot be read: others may write to it (mode 0666)"
        )
        self.file.unlink()
        self.assert_refused("--profile", "prod", "ls", says=f"ls: there is no file '{self.file}' with profiles")


class PlaceTests(SynchronousTestCase):
    def test_places(self) -> None:
        """The file is where the variables, or the XDG Base Directory Specification, say."""
        for environment, expected in (
            ({"TXMIRROR_CONFIG": "/etc/p.toml", "XDG_CONFIG_HOME": "/x"}, "/etc/p.toml"),
            ({"XDG_CONFIG_HOME": "/x", "HOME": "/home/me"}, "/x/txmirror/profiles.toml"),
            ({"XDG_CONFIG_HOME": "relative", "HOME": "/home/me"}, "/home/me/.config/txmirror/profiles.toml"),
            ({"HOME": "/home/me"}, "/home/me/.config/txmirror/profiles.toml"),
        ):
            self.assertEqual(str(profiles_file(environment)), expected)

    def test_missing(self) -> None:
        self.assertRaises(ProfileError, read_profile, Path("/no/such/file"), "prod")
