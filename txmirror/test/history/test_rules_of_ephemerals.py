"""The checker's rule of ephemeral nodes: histories that break it, and similar ones that do not."""

from __future__ import annotations

from txmirror.test.history.histories import RulesCase, Script
from txmirror.testing.history import (
    Absent,
    Create,
    Created,
    Delete,
    Exists,
    Get,
    Outcome,
    Rule,
    Shown,
    Transaction,
)

NODE = Create("/e", "x", ephemeral=True)


def shown(czxid: int | None, data: str | None = "x") -> Shown:
    """Return the node of session 7."""
    return Shown(czxid, data, czxid, 0, 7)


class EphemeralTests(RulesCase):
    def test_missed(self) -> None:
        """A session misses its own ephemeral node."""
        script = Script()
        script.do("c1", NODE, 1)
        script.do("c1", Get("/e"), None, Absent())
        self.assert_found(
            script,
            Rule.EPHEMERAL,
            "#1 (c1: get /e) does not show the ephemeral node of #0 (c1: create /e 'x') in the same session, and nobody has"
            " deleted it",
            1,
            0,
        )

    def test_other_node(self) -> None:
        """A session sees another node in the place of its own."""
        script = Script()
        script.do("c1", NODE, 1)
        script.lose("c2", Create("/e", "y"))
        script.do("c1", Exists("/e"), None, shown(5, "y"))
        self.assertEqual(self.rules(script), [Rule.EPHEMERAL])

    def test_created_again(self) -> None:
        """The latest creation counts."""
        script = Script()
        script.do("c1", NODE, 1)
        script.do("c1", Delete("/e"), 2)
        script.do("c1", Create("/e", "y", ephemeral=True), 3)
        script.do("c1", Get("/e"), None, shown(3, "y"))
        self.assert_true(script)
        number = script.do("c1", Get("/e"), None, Absent())
        self.assertEqual([each.operations for each in self.found(script)], [(number, 2)])

    def test_sequential(self) -> None:
        """The node has the path of the answer."""
        script = Script()
        script.do("c1", Create("/e-", "x", ephemeral=True, sequential=True), 1, Created("/e-0000000000"))
        script.do("c1", Get("/e-"), None, Absent())
        self.assert_true(script)
        script.do("c1", Get("/e-0000000000"), None, Absent())
        self.assertEqual(self.rules(script), [Rule.EPHEMERAL])

    def test_deleted(self) -> None:
        """Anybody may have deleted it, in any way, if that may have happened before the read."""
        deletions = (Delete("/e"), Delete("/", recursive=True), Transaction((Delete("/e"),)))
        for deletion in deletions:
            for outcome in (Outcome.APPLIED, Outcome.UNKNOWN):
                with self.subTest(deletion, outcome=outcome):
                    script = Script()
                    script.do("c1", NODE, 1)
                    script.do("c2", deletion, outcome=outcome)
                    script.do("c1", Get("/e"), None, Absent())
                    self.assert_true(script)

    def test_not_deleted(self) -> None:
        """A deletion was not done, had ended before the creation, or began after the read."""
        script = Script()
        script.do("c2", Delete("/e"), 1)
        script.do("c1", NODE, 2)
        script.refuse("c2", Delete("/e"))
        script.do("c1", Get("/e"), None, Absent())
        script.do("c2", Delete("/e"), 3)
        self.assertEqual(self.rules(script), [Rule.EPHEMERAL])

    def test_not_its_own(self) -> None:
        """Another session, or another client, may be late or early; so may a read that began before the creation had ended."""
        script = Script()
        script.do("c1", NODE, 1, at=(10, 20))
        script.do("c1", Get("/e"), None, Absent(), at=(15, 30))
        script.do("c2", Get("/e"), None, Absent(), at=(40, 50))
        script.do("c1", Get("/e"), None, Absent(), at=(60, 70), session=2)
        self.assert_true(script)

    def test_not_certain(self) -> None:
        """A creation may not have been done, and a read of unknown outcome shows nothing."""
        script = Script()
        script.lose("c1", NODE)
        script.do("c1", Get("/e"), None, Absent())
        script.do("c1", NODE, 2)
        script.lose("c1", Get("/e"))
        script.do("c1", Create("/p", "y"), 3)
        self.assert_true(script)

    def test_data_was_lost(self) -> None:
        """The ensemble has lost its data."""
        script = Script()
        script.do("c1", NODE, 1)
        script.reset()
        script.do("c1", Get("/e"), None, Absent())
        self.assert_true(script)
