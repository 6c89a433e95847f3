"""``[[watch]]`` in a configuration."""

from __future__ import annotations

from txmirror.configuration import Watch, describe, difference
from txmirror.test.configuration.case import SECRET, ConfigurationCase

_WATCH = '[[watch]]\npath = "/services/web"\noutput = "web.json"\n'


class WatchTests(ConfigurationCase):
    def watch(self, text: str = "") -> Watch:
        (watch,) = self.load(_WATCH + text).watches
        return watch

    def reasons(self, text: str) -> list[str]:
        return self.errors(_WATCH + text)

    def test_defaults(self) -> None:
        """Only the path and the file are needed. A relative file is one of the configuration's folder."""
        watch = self.watch()
        self.assertEqual((watch.name, watch.codec, watch.format), ("web", "auto", "json"))
        self.assertEqual((watch.output, watch.permissions), (f"{self.folder.absolute()}/web.json", 0o644))
        self.assertEqual((watch.settle, watch.keep_if_below, watch.keep_for, watch.command), (2.0, 0.5, 60.0, ()))

    def test_all_keys(self) -> None:
        """Every key has its value, with its placeholders."""
        watch = self.watch(
            """
            name = "{host}"
            codec = "plain"
            format = "template"
            template = "t.j2"
            mode = "0640"
            command = ["systemctl", "reload", "haproxy"]
            command_timeout = "5s"
            settle = "100ms"
            keep_if_below = 1
            keep_for = "10m"
            """
        )
        self.assertEqual(watch.name, self.machine.host_name)
        self.assertEqual((watch.codec, watch.format, watch.permissions), ("plain", "template", 0o640))
        self.assertEqual(watch.template, f"{self.folder.absolute()}/t.j2")
        self.assertEqual((watch.command, watch.command_timeout), (("systemctl", "reload", "haproxy"), 5.0))
        self.assertEqual((watch.settle, watch.keep_if_below, watch.keep_for), (0.1, 1.0, 600.0))

    def test_included(self) -> None:
        """An included file may have watches."""
        self.write(_WATCH, "conf.d/a.toml")
        (watch,) = self.load('include = ["conf.d/*"]').watches
        self.assertEqual(watch.output, f"{self.folder.absolute()}/conf.d/web.json")

    def test_errors(self) -> None:
        """Each error has its place, and all are found at once."""
        errors = self.errors(
            '[[watch]]\npath = "x"\nformat = "xml"\ncodec = "none"\nmode = "644"\ncommand = [1]\nkeep_if_below = 2\n'
            'settle = "2 parsecs"\noutpt = "x"\n'
        )
        self.assertEqual(errors[0], "watch[0].path: 'x' is not a znode path: it must start with a slash")
        places = [error.partition(": ")[0].removeprefix("watch[0].") for error in errors[1:]]
        self.assertEqual(
            places, ["codec", "output", "format", "mode", "command[0]", "settle", "keep_if_below", "outpt"]
        )
        self.assertIn("did you mean 'output'?", errors[-1])

    def test_template(self) -> None:
        """A template belongs to the format of that name, and to no other."""
        self.assertEqual(
            self.reasons('format = "template"'), ["watch[0].template: it is missing: the format 'template' needs it"]
        )
        self.assertEqual(
            self.reasons('template = "x"'), ["watch[0].template: it is not used, because the format is 'json'"]
        )

    def test_empty_command(self) -> None:
        """A command without a program is an error."""
        self.assertEqual(self.reasons('command = [""]'), ["watch[0].command[0]: it is empty"])

    def test_one_owner(self) -> None:
        """Two watches cannot write the same file, nor one that the daemon writes for itself, nor another one's template."""
        again = f'{_WATCH}[[watch]]\npath = "/b"\noutput = "web.json"\n'
        name = "web.json"
        self.assertEqual(self.errors(again)[0], f"watch[1].output: {name!r} is watch[0].output too")
        state = f'[zookeeper]\nstate_file = "web.json"\n{_WATCH}'
        self.assertIn("is zookeeper.state_file too", self.errors(state)[0])
        template = f'{_WATCH}[[watch]]\npath = "/b"\noutput = "b"\nformat = "template"\ntemplate = "web.json"\n'
        self.assertIn("watch[1].template", self.errors(template)[0])
        later = f'[[watch]]\npath = "/b"\noutput = "b"\nformat = "template"\ntemplate = "web.json"\n{_WATCH}'
        self.assertIn("watch[0].template", self.errors(later)[0])
        own = f'{_WATCH}format = "template"\ntemplate = "web.json"\n'
        self.assertIn("watch[0].template", self.errors(own)[0])
        source = _WATCH.replace("web.json", "main.toml")
        self.assertIn("is the configuration file", self.errors(source)[0])

    def test_links(self) -> None:
        """Paths that lead to one file by symbolic links, of a folder or of the file itself, are the same; the message quotes both."""
        (self.folder / "real").mkdir()
        (self.folder / "folder").symlink_to("real")
        (self.folder / "file").symlink_to("folder/web.json")
        both = '[[watch]]\npath = "/a"\noutput = "{}"\n[[watch]]\npath = "/b"\noutput = "{}"\n'
        for one, other in (("real/web.json", "folder/web.json"), ("file", "real/web.json"), ("a", "real/../a")):
            self.assertEqual(
                self.errors(both.format(one, other)),
                [f"watch[1].output: {other!r} is the same file as {one!r}, which is watch[0].output"],
            )
        state = '[zookeeper]\nstate_file = "file"\n' + both.format("b", "folder/web.json")
        self.assertEqual(
            self.errors(state),
            ["watch[1].output: 'folder/web.json' is the same file as 'file', which is zookeeper.state_file"],
        )
        self.assertEqual(len(self.load(both.format("real/b", "folder/c")).watches), 2)

    def test_prometheus(self) -> None:
        """Prometheus reads only files with certain names."""
        self.assertEqual(self.watch('format = "prometheus-file-sd"').format, "prometheus-file-sd")
        other = _WATCH.replace("web.json", "web") + 'format = "prometheus-file-sd"'
        (error,) = self.errors(other)
        self.assertIn("does not end with .json", error)

    def test_unreadable_mode(self) -> None:
        """A file that its owner cannot read cannot be compared."""
        self.assertIn("watch[0].mode", self.reasons('mode = "0244"')[0])

    def test_no_table(self) -> None:
        """Something else than tables is an error."""
        self.assertIn("no array of tables: write [[watch]]", self.errors("watch = 1")[0])
        self.assertIn("watch[0]: '1' is no table".replace("'", ""), self.errors("watch = [1]")[0].replace("'", ""))

    def test_difference(self) -> None:
        """The files that were added, removed or changed are known."""
        old = self.load(f'{_WATCH}[[watch]]\npath = "/b"\noutput = "b"\n')
        new = self.load(f'{_WATCH}mode = "0600"\n[[watch]]\npath = "/c"\noutput = "c"\n')
        folder = self.folder.absolute()
        self.assertEqual(difference(old, new).outputs, (f"{folder}/web.json", f"{folder}/c", f"{folder}/b"))
        self.assertEqual(difference(old, old).outputs, ())

    def test_description(self) -> None:
        """A watch is described without the arguments of its command, which may be secret."""
        configuration = self.load(f'{_WATCH}command = ["reload", "{SECRET}"]\n')
        lines = describe(configuration)
        self.assertEqual(
            lines[-4:],
            [
                f"File {self.folder.absolute()}/web.json:",
                "  has the instances below /services/web, in the format json",
                "  stays as it is for up to 1 m if the list has less than 0.5 of its former length",
                "  is followed by the command reload after each change",
            ],
        )
        self.assertNotIn(SECRET, "\n".join(lines))
