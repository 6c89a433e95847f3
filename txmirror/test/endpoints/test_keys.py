"""The keys of endpoint strings: every error quotes the part and comes before any I/O."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txmirror.access import read_access_file
from txmirror.endpoints import client_string, server_string
from txmirror.endpoints.keys import SESSION_KEYS, StringKeys
from txmirror.test.certificates import Authority
from txmirror.test.endpoints.reactor import EventReactor
from txmirror.test.pages.found import tested_blocks
from txmirror.test.test_examples import find_examples

KNOWN = ("pick", "data.", *SESSION_KEYS)
NAMED = "pick, data.KEY, hosts, credentials, session_timeout"


class KeysTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = EventReactor()
        self.patch(os, "environ", {})

    def refused(self, *parts: str, path: tuple[str, ...] = ("/services/web",), **values: Any) -> None:
        def read() -> None:
            StringKeys(path, values, KNOWN).session(self.reactor)

        message = str(self.assertRaises(ValueError, read))
        for part in parts:
            self.assertIn(part, message)
        self.assertNotIn("\n", message)

    def test_path(self) -> None:
        self.assertEqual(StringKeys(("services/web/",), {}, KNOWN).path, "/services/web")
        for path in ((), ("",)):
            self.refused("it has no path", NAMED, path=path)
        self.refused("'/b'", NAMED, path=("/a", "/b"))
        self.refused("'/a\\x00b'", path=("/a\0b",))

    def test_unknown(self) -> None:
        self.refused("'pik=random'", NAMED, pik="random")
        for key in ("data.", "dat.a", "data", "pick.a"):
            values: dict[str, Any] = {key: "1"}
            self.refused(f"'{key}=1'", NAMED, **values)

    def test_table(self) -> None:
        keys = StringKeys(("/a",), {"data.zone": "b", "data.a.b": "", "pick": "x"}, KNOWN)
        self.assertEqual(keys.table("data."), {"zone": "b", "a.b": ""})

    def test_session(self) -> None:
        """The values of the keys; the file's name is absolute, because twistd changes the folder later."""
        values = {"hosts": "zk1:2181,zk2:2182/app", "credentials": "access", "session_timeout": "4"}
        session = StringKeys(("/a",), values, KNOWN).session(self.reactor)
        self.assertEqual((session.servers, session.session_timeout), ("zk1:2181,zk2:2182/app", 4.0))
        self.assertEqual(session.credentials, str(Path("access").absolute()))
        self.assertIs(session.reactor, self.reactor)

    def test_servers(self) -> None:
        """Without hosts those of the environment count, and then localhost."""
        keys = StringKeys(("/a",), {}, KNOWN)
        self.assertEqual(keys.session(self.reactor).servers, "localhost:2181")
        os.environ["TXMIRROR_SERVERS"] = "zk3:1"
        self.assertEqual(keys.session(self.reactor).servers, "zk3:1")
        os.environ["TXMIRROR_SERVERS"] = "zk3:x"
        self.refused("TXMIRROR_SERVERS", "'zk3:x'")

    def test_invalid_values(self) -> None:
        self.refused("'hosts=zk1:99999'", hosts="zk1:99999")
        for seconds in ("soon", "-1", "nan", "0"):
            self.refused(f"'session_timeout={seconds}'", session_timeout=seconds)
        self.refused("'credentials='", credentials="")

    def test_credentials(self) -> None:
        """The file of the documentation has a user, its password and an authority."""
        (block,) = tested_blocks("docs/guides/endpoints.rst", __name__)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        authority = Authority(folder, "ca").file
        text = block.text.replace("/etc/txmirror/ca.pem", str(authority))
        self.assertNotEqual(text, block.text)
        file = folder / "credentials"
        file.write_text(text)
        file.chmod(0o600)
        access = read_access_file(str(file))
        assert access.tls is not None
        self.assertEqual((access.username, access.password), ("web", "secret"))
        self.assertIn(str(authority), repr(access.tls))

    def test_documentation(self) -> None:
        """The page has a table with the keys of servers, and one with those of clients, in the order of the messages."""
        text = (find_examples().parent / "guides/endpoints.rst").read_text("utf-8")
        tables = [
            re.findall(r"^``([^`]+)``  ", table, re.MULTILINE)
            for table in text.split("The string has the path of the service and these keys")[1:]
        ]
        known = [
            [f"{key}KEY" if key.endswith(".") else key for key in keys]
            for keys in (server_string.KEYS, client_string.KEYS)
        ]
        self.assertEqual(tables, known)
