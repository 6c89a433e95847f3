"""Znode paths, by the rules of ZooKeeper's PathUtils."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import PathError
from txmirror.paths import (
    are_names,
    is_path,
    join,
    join_each,
    name_of,
    normalise,
    parent_of,
    validate,
    validate_each,
)

#: What Java's characters, which are UTF-16's, may not be.
FORBIDDEN = (range(0x20), range(0x7F, 0xA0), range(0xD800, 0xF900), range(0xFFF0, 0x10000))

#: The first and last character on both sides of each edge.
ALLOWED_EDGES = "\x20\x7e\xa0\ud7ff\uf900\uffef"
FORBIDDEN_EDGES = "\x00\x01\x1f\x7f\x9f\ud800\udfff\ue000\uf8ff\ufff0\uffff\U00010000\U0001f600\U0010ffff"

VALID = (
    "/",
    "/a",
    "/a/b/c",
    "/zookeeper/quota",
    "/this is / a valid/path",
    "/name/with.period.",
    "/...",
    "/.hidden",
    "/..a",
    "/a../b",
    "/a/.../b",
    "/ ",
    "/services/ssh/server1:22",
    "/é/日本",
    "/\\",
    "/a%00",
)
INVALID = (
    "",
    "a",
    "not/valid",
    " /a",
    "./a",
    "//",
    "///",
    "/a/",
    "/a//b",
    "//a",
    "/a//",
    "/.",
    "/..",
    "/./a",
    "/../a",
    "/a/.",
    "/a/..",
    "/single/./period",
    "/double/../period",
    "/a\n",
    "/a\r\n/b",
    "/.\n",
    "\n/a",
)


def is_valid(text: str) -> bool:
    """Say by other means than those under test whether ``text`` is a path: name by name, in UTF-16."""
    if text == "/":
        return True
    first, *names = text.split("/")
    return first == "" and names != [] and all(is_name(name) for name in names)


def is_name(name: str) -> bool:
    """Say whether ``name`` may stand between two slashes."""
    encoded = name.encode("utf-16-be", "surrogatepass")
    units = [int.from_bytes(encoded[place : place + 2], "big") for place in range(0, len(encoded), 2)]
    return name not in {"", ".", ".."} and not any(unit in block for unit in units for block in FORBIDDEN)


#: Characters of which paths and what nearly are paths are made.
ingredients = st.sampled_from("/" * 6 + "." * 4 + "ab é" + ALLOWED_EDGES + FORBIDDEN_EDGES + "\n")
near_paths = st.text(ingredients, max_size=10) | st.text(ingredients, max_size=10).map("/".__add__)
names = st.text(st.characters(exclude_categories=["Cs", "Cc", "Co"], max_codepoint=0xFFEF), min_size=1).filter(
    lambda name: "/" not in name and is_name(name)
)
paths = st.lists(names, max_size=5).map(lambda parts: "/" + "/".join(parts))


def accepts(path: str, *, sequence: bool = False) -> bool:
    """Say whether ``validate`` accepts ``path``; any exception but PathError goes on to the test, and fails it."""
    try:
        return validate(path, sequence=sequence) is path
    except PathError:
        return False


class ValidateTests(SynchronousTestCase):
    def test_valid(self) -> None:
        """A path is given back as it is."""
        for path in VALID:
            self.assertEqual(validate(path), path)

    def test_invalid(self) -> None:
        """An invalid path is refused in one line that quotes it."""
        for path in INVALID:
            error = self.assertRaises(PathError, validate, path)
            self.assertIn(repr(path), str(error))
            self.assertEqual(len(str(error).splitlines()), 1)

    def test_allowed_characters(self) -> None:
        """The characters next to those that are forbidden are allowed."""
        for character in ALLOWED_EDGES:
            self.assertTrue(accepts(f"/a{character}b"), repr(character))

    def test_forbidden_characters(self) -> None:
        """Controls, surrogates, the private use area, the specials, and all outside the first plane are forbidden."""
        for character in FORBIDDEN_EDGES:
            self.assertFalse(accepts(f"/a{character}b"), repr(character))

    def test_every_character(self) -> None:
        """Every character of the first plane is allowed or forbidden as PathUtils has it."""
        for number in range(0x10000):
            path = f"/a{chr(number)}b"
            self.assertEqual(accepts(path), not any(number in block for block in FORBIDDEN), hex(number))

    @given(near_paths)
    def test_as_path_utils(self, text: str) -> None:
        """Texts that resemble paths are accepted or refused by the rules of PathUtils."""
        self.assertEqual(accepts(text), is_valid(text))

    @given(near_paths)
    def test_sequence_as_path_utils(self, text: str) -> None:
        """The path of a sequence node is valid if it is valid with digits."""
        self.assertEqual(accepts(text, sequence=True), is_valid(text + "1"))

    @given(st.text(st.characters(exclude_categories=())))
    def test_any_text(self, text: str) -> None:
        """Any text at all, lone surrogates too, is accepted or refused, and nothing else happens."""
        self.assertEqual(accepts(text), is_valid(text))

    def test_sequence_may_end_in_a_slash(self) -> None:
        """The name of a sequence node may be nothing but its digits, and is given back without any."""
        for path in ("/", "/a/", "/a/b-", "/a/.", "/a/.."):
            self.assertEqual(validate(path, sequence=True), path)

    def test_sequence_is_no_excuse(self) -> None:
        """A path that is invalid also with digits is refused for a sequence node too, quoted without digits."""
        for path in ("", "a", "//", "/a//", "/./", "/../a", "/a\x00"):
            error = self.assertRaises(PathError, validate, path, sequence=True)
            self.assertIn(repr(path) + " ", str(error))

    def test_says_why(self) -> None:
        """The message has the reason."""
        for path, reason in (
            ("a", "start with a slash"),
            ("", "start with a slash"),
            ("/a/", "end with a slash"),
            ("/a//b", "empty name"),
            ("/a/./b", "'.'"),
            ("/a/..", "'..'"),
            ("/a\x00", "character"),
        ):
            self.assertIn(reason, str(self.assertRaises(PathError, validate, path)))

    def test_not_a_str(self) -> None:
        """Bytes, None and numbers are a TypeError that quotes them."""
        for value in (b"/a", None, 1, ["/a"]):
            error = self.assertRaises(TypeError, validate, value)
            self.assertIn(repr(value), str(error))

    def test_long_path(self) -> None:
        """A path of a megabyte is judged at once."""
        self.assertTrue(accepts("/a" * 500_000))
        self.assertFalse(accepts("/a" * 500_000 + "/"))
        self.assertFalse(accepts("/" + "." * 1_000_000 + "/.."))


class ValidateEachTests(SynchronousTestCase):
    @given(st.lists(near_paths | paths | st.sampled_from(("/", "/a/b", "/a-1.2:22")), max_size=4))
    def test_as_validate(self, texts: list[str]) -> None:
        """Several paths are valid if each is valid, and otherwise the error is of the first one that is not."""
        try:
            validate_each(texts)
        except PathError as error:
            wrong = next(text for text in texts if not is_valid(text))
            self.assertEqual(str(error), str(self.assertRaises(PathError, validate, wrong)))
        else:
            self.assertTrue(all(is_valid(text) for text in texts))

    def test_every_character(self) -> None:
        """Every character is allowed or forbidden beside other paths as it is alone."""
        for number in (*range(0x250), *range(0xD700, 0x10002)):
            for path in (f"/a{chr(number)}b", chr(number), f"/{chr(number)}", f"{chr(number)}/a"):
                try:
                    validate_each(["/x/y", path, "/z"])
                except PathError:
                    self.assertFalse(is_valid(path), hex(number))
                else:
                    self.assertTrue(is_valid(path), hex(number))

    def test_not_a_str(self) -> None:
        """Bytes, None and numbers are a TypeError that quotes them."""
        for value in (b"/a", None, 1, ["/a"]):
            texts: list[Any] = ["/a", value]
            error = self.assertRaises(TypeError, validate_each, texts)
            self.assertIn(repr(value), str(error))


class JudgeTests(SynchronousTestCase):
    """The checks of paths and names that a server sends."""

    @given(near_paths)
    def test_is_path(self, text: str) -> None:
        """A string is a path by the same rules."""
        self.assertIs(is_path(text), is_valid(text))

    @given(st.lists(names | st.text(ingredients, max_size=3), max_size=4))
    def test_are_names(self, texts: list[str]) -> None:
        """Strings are names if each of them is one."""
        self.assertIs(are_names(texts), all("/" not in text and is_name(text) for text in texts))

    def test_every_character(self) -> None:
        """Every character is allowed in a name as it is in a path, beside others and alone."""
        for number in (*range(0x250), *range(0xD700, 0x10002)):
            character = chr(number)
            allowed = character != "/" and is_name("a" + character)
            self.assertIs(are_names(["a", character + "a"]), allowed, repr(character))

    def test_none(self) -> None:
        """A node need not have children."""
        self.assertTrue(are_names([]))


class NormaliseTests(SynchronousTestCase):
    def test_mends(self) -> None:
        """A missing leading slash is added; doubled and trailing ones go."""
        for text, path in (
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("a", "/a"),
            ("a/", "/a"),
            ("/a/", "/a"),
            ("/a//", "/a"),
            ("//a///b//", "/a/b"),
            ("a/b", "/a/b"),
            (" a", "/ a"),
        ):
            self.assertEqual(normalise(text), path)

    def test_does_not_mend_names(self) -> None:
        """A name that no znode has is refused in a message that quotes the path as it was given."""
        for text in (".", "a/../b", "/a//./", "a\x00"):
            error = self.assertRaises(PathError, normalise, text)
            self.assertIn(f"{text!r} is not a znode path", str(error))

    def test_not_a_str(self) -> None:
        """Bytes and None are a TypeError that quotes them."""
        for value in (b"/a", None):
            error = self.assertRaises(TypeError, normalise, value)
            self.assertIn(repr(value), str(error))

    @given(paths)
    def test_paths_stay(self, path: str) -> None:
        """A valid path stays as it is."""
        self.assertEqual(normalise(path), path)

    @given(near_paths)
    def test_gives_a_path(self, text: str) -> None:
        """The result is a path of the given names; only an invalid name is refused."""
        parts = [name for name in text.split("/") if name]
        try:
            path = normalise(text)
        except PathError:
            self.assertFalse(all(is_name(name) for name in parts))
        else:
            self.assertTrue(is_valid(path))
            self.assertEqual([name for name in path.split("/") if name], parts)


class PartsTests(SynchronousTestCase):
    def test_join(self) -> None:
        """A child's path is its parent's and its name, with one slash between them."""
        self.assertEqual([join("/", "a"), join("/a", "b"), join("/a/b", "c")], ["/a", "/a/b", "/a/b/c"])

    def test_join_each(self) -> None:
        """The paths of several children are in the order of their names."""
        self.assertEqual(join_each("/", ["b", "a"]), ["/b", "/a"])
        self.assertEqual(join_each("/a", ["b", "c"]), ["/a/b", "/a/c"])

    def test_parent_of(self) -> None:
        """A parent's path is the child's without its last name; that of the first level is the root."""
        self.assertEqual([parent_of("/a"), parent_of("/a/b"), parent_of("/a/b/c")], ["/", "/a", "/a/b"])

    def test_root_has_no_parent(self) -> None:
        """The root has no parent."""
        self.assertIsNone(parent_of("/"))

    def test_name_of(self) -> None:
        """A node's name is the last part of its path."""
        self.assertEqual([name_of("/a"), name_of("/a/b c")], ["a", "b c"])

    def test_root_has_no_name(self) -> None:
        """The root's name is empty: no list of children holds it."""
        self.assertEqual(name_of("/"), "")

    @given(paths, names)
    def test_apart_again(self, parent: str, name: str) -> None:
        """A joined path is valid, and splits into the same parts."""
        path = join(parent, name)
        self.assertTrue(is_valid(path))
        self.assertEqual((parent_of(path), name_of(path)), (parent, name))

    @given(paths.filter(lambda path: path != "/"))
    def test_together_again(self, path: str) -> None:
        """A path that is taken apart is the same when put together."""
        parent = parent_of(path)
        assert parent is not None
        self.assertEqual(join(parent, name_of(path)), path)
