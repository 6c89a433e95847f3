"""The rules of reads, writes and sessions: a true history passes, and one that differs from it as little as possible does not."""

from __future__ import annotations

from txmirror.test.history.histories import RulesCase, Script
from txmirror.testing.history import (
    Absent,
    Check,
    Children,
    Create,
    Created,
    Delete,
    Exists,
    Get,
    Names,
    Refusal,
    Refused,
    Rule,
    Set,
    Shown,
    Sync,
    Transaction,
    judge,
)


class OrderTests(RulesCase):
    def test_writes_in_time(self) -> None:
        for later in (6, 4):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.do("c2", Create("/b", "y"), later)
            if later > 5:
                self.assert_true(script)
            else:
                sentence = "#1 (c2: create /b 'y') was done at 0x4, after #0 (c1: create /a 'x') had seen 0x5"
                self.assert_found(script, Rule.ONE_ORDER, sentence, 1, 0)

    def test_writes_at_once(self) -> None:
        """Writes that overlap may have any order, but not the same zxid."""
        for second in (4, 5):
            script = Script()
            script.do("c1", Create("/a", "x"), 5, at=(1, 10))
            script.do("c2", Create("/b", "y"), second, at=(10, 12))
            if second == 4:
                self.assert_true(script)
            else:
                sentence = "#0 (c1: create /a 'x') and #1 (c2: create /b 'y') have the same zxid 0x5"
                self.assert_found(script, Rule.ONE_ORDER, sentence, 0, 1)

    def test_read_from_the_future(self) -> None:
        """A write that began after a read has a higher zxid than the read has seen."""
        for zxid in (7, 6):
            script = Script()
            script.do("c1", Get("/a"), 6, Absent())
            script.do("c2", Create("/b", "x"), zxid)
            if zxid == 7:
                self.assert_true(script)
            else:
                sentence = "#1 (c2: create /b 'x') was done at 0x6, after #0 (c1: get /a) had seen 0x6"
                self.assert_found(script, Rule.ONE_ORDER, sentence, 1, 0)

    def test_unknown_write_from_the_future(self) -> None:
        """The zxid of an unknown write is that which a read shows."""
        script = Script()
        script.do("c1", Create("/b", "y"), 7)
        script.lose("c2", Create("/a", "x"))
        script.do("c3", Get("/a"), 9, Shown(6, "x"))
        sentence = "#1 (c2: create /a 'x') was done at 0x6, after #0 (c1: create /b 'y') had seen 0x7"
        self.assert_found(script, Rule.ONE_ORDER, sentence, 1, 0)

    def test_sync(self) -> None:
        for zxid in (5, 4):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.do("c2", Sync("/a"), zxid)
            if zxid == 5:
                self.assert_true(script)
            else:
                sentence = "#1 (c2: sync /a) has seen 0x4, after #0 (c1: create /a 'x') had seen 0x5"
                self.assert_found(script, Rule.SYNC, sentence, 1, 0)


class SessionTests(RulesCase):
    def test_step_back(self) -> None:
        for second in (8, 7):
            script = Script()
            script.do("c1", Get("/a"), 8, Absent())
            script.do("c1", Get("/b"), second, Absent(), session=2)
            if second == 8:
                self.assert_true(script)
            else:
                sentence = "#1 (c1: get /b) shows 0x7, after #0 (c1: get /a) had seen 0x8"
                self.assert_found(script, Rule.NO_STEP_BACK, sentence, 1, 0)

    def test_another_client(self) -> None:
        """Another client may see an older state."""
        script = Script()
        script.do("c1", Get("/a"), 8, Absent())
        script.do("c2", Get("/a"), 7, Absent())
        self.assert_true(script)

    def test_own_write(self) -> None:
        for second in (8, 7):
            script = Script()
            script.do("c2", Create("/a", "w"), 6)
            script.do("c1", Set("/a", "x"), 8)
            script.do("c1", Get("/a"), second, Shown(8, "x") if second == 8 else Shown(6, "w"))
            if second == 8:
                self.assert_true(script)
            else:
                sentence = "#2 (c1: get /a) shows 0x7, after #1 (c1: set /a 'x') had seen 0x8"
                self.assert_found(script, Rule.NO_STEP_BACK, sentence, 2, 1)

    def test_own_write_without_zxid(self) -> None:
        """A read without a zxid shows at least what its client has seen."""
        for client in ("c2", "c1"):
            script = Script()
            script.do("c2", Create("/a", "w"), 6)
            script.do("c1", Set("/a", "x"), 8)
            script.do(client, Get("/a"), None, Shown(6, "w"))
            if client == "c2":
                self.assert_true(script)
            else:
                sentence = "#2 (c1: get /a) shows the state of 0x6, as of 0x8, and #1 (c1: set /a 'x') was done at 0x8"
                self.assert_found(script, Rule.TRUE_READ, sentence, 2, 1)

    def test_own_deletion_without_zxid(self) -> None:
        for client in ("c2", "c1"):
            script = Script()
            script.do("c1", Create("/a", "w"), 6)
            script.do(client, Get("/a"), None, Absent())
            if client == "c2":
                self.assert_true(script)
            else:
                sentence = "#1 (c1: get /a) shows no node as of 0x6, and #0 (c1: create /a 'w') was done at 0x6"
                self.assert_found(script, Rule.TRUE_READ, sentence, 1, 0)

    def test_deleted_meanwhile(self) -> None:
        """A read without a zxid may show a deletion that began before its end."""
        for moment in (30, 31):
            script = Script()
            script.do("c1", Create("/a", "w"), 6)
            script.do("c1", Get("/a"), None, Absent(), at=(20, 31))
            script.do("c2", Delete("/a"), 7, at=(moment, 40))
            if moment == 30:
                self.assert_true(script)
            else:
                sentence = "#1 (c1: get /a) shows no node as of 0x6, and #0 (c1: create /a 'w') was done at 0x6"
                self.assert_found(script, Rule.TRUE_READ, sentence, 1, 0)

    def test_pipelined(self) -> None:
        """Requests that were sent in one session are answered in order, and see each other's effects."""
        for pipelined in ((), ("c1",)):
            script = Script(*pipelined)
            script.do("c1", Create("/a", "x"), 8, at=(1, 10))
            script.do("c1", Get("/a"), 7, Absent(), at=(2, 11))
            if not pipelined:
                self.assert_true(script)
            else:
                sentence = "#1 (c1: get /a) shows 0x7, after #0 (c1: create /a 'x') had seen 0x8"
                self.assert_found(script, Rule.NO_STEP_BACK, sentence, 1, 0)

    def test_pipelined_session(self) -> None:
        script = Script("c1")
        script.do("c1", Create("/a", "x"), 8, at=(1, 10))
        script.do("c1", Get("/a"), 7, Absent(), at=(2, 11), session=2)
        self.assert_true(script)

    def test_write_after_read(self) -> None:
        """A write has a higher zxid than the reply before it in the pipeline."""
        for zxid in (9, 8):
            script = Script("c1")
            script.do("c1", Get("/a"), 8, Absent(), at=(1, 10))
            script.do("c1", Create("/b", "x"), zxid, at=(2, 11))
            if zxid == 9:
                self.assert_true(script)
            else:
                sentence = "#1 (c1: create /b 'x') was done at 0x8, after #0 (c1: get /a) had seen 0x8"
                self.assert_found(script, Rule.NO_STEP_BACK, sentence, 1, 0)


class ReadTests(RulesCase):
    def test_overwritten(self) -> None:
        for zxid in (6, 7):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.do("c1", Set("/a", "y"), 7)
            script.do("c2", Get("/a"), zxid, Shown(5, "x"))
            if zxid == 6:
                self.assert_true(script)
            else:
                sentence = "#2 (c2: get /a) shows the state of 0x5, as of 0x7, and #1 (c1: set /a 'y') was done at 0x7"
                self.assert_found(script, Rule.TRUE_READ, sentence, 2, 1)

    def test_wrong_data(self) -> None:
        for data in ("x", "y"):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.do("c2", Get("/a"), 6, Shown(5, data))
            if data == "x":
                self.assert_true(script)
            else:
                sentence = "#1 (c2: get /a) shows 'y' as of 0x5, where #0 (c1: create /a 'x') has written 'x'"
                self.assert_found(script, Rule.TRUE_READ, sentence, 1, 0)

    def test_data_of_nobody(self) -> None:
        """What was there before the first zxid of the history may come from outside."""
        for mzxid in (4, 6):
            script = Script()
            script.do("c1", Create("/b", "x"), 5)
            script.do("c2", Get("/a"), 6, Shown(mzxid, "z"))
            if mzxid == 4:
                self.assert_true(script)
            else:
                sentence = "#1 (c2: get /a) shows /a with 'z' as of 0x6, which nobody has written"
                self.assert_found(script, Rule.TRUE_READ, sentence, 1)

    def test_newer_than_its_reply(self) -> None:
        script = Script()
        script.do("c1", Create("/a", "x"), 5)
        script.do("c2", Get("/a"), 4, Shown(5, "x"))
        self.assert_found(script, Rule.TRUE_READ, "#1 (c2: get /a) shows a state of 0x5 as of 0x4", 1)

    def test_two_faces(self) -> None:
        """One state is the same for all."""
        for version in (0, 1):
            script = Script()
            script.do("c1", Get("/a"), 9, Shown(5, "x", 5, 0))
            script.do("c2", Exists("/a"), 9, Shown(5, None, 5, version))
            if version == 0:
                self.assert_true(script)
            else:
                sentence = "#1 (c2: exists /a) and #0 (c1: get /a) show /a as of 0x5 with different version: 1 and 0"
                self.assert_found(script, Rule.TRUE_READ, sentence, 1, 0)

    def test_absent(self) -> None:
        for zxid in (4, 5):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.do("c2", Exists("/a"), zxid, Absent())
            if zxid == 4:
                self.assert_true(script)
            else:
                sentence = "#1 (c2: exists /a) shows no node as of 0x5, and #0 (c1: create /a 'x') was done at 0x5"
                self.assert_found(script, Rule.TRUE_READ, sentence, 1, 0)

    def test_absent_by_loose_deletion(self) -> None:
        """A deletion without a zxid may be the reason, if it can have come between."""
        for begin, end in ((3, 9), (30, 40), (3, 4), (60, 70)):
            script = Script()
            script.do("c1", Create("/a", "x"), 5, at=(5, 8))
            script.do("c2", Get("/a"), 6, Absent(), at=(40, 50))
            script.do("c3", Delete("/a"), at=(begin, end))
            if (begin, end) in {(3, 9), (30, 40)}:
                self.assert_true(script)
            else:
                sentence = "#1 (c2: get /a) shows no node as of 0x6, and #0 (c1: create /a 'x') was done at 0x5"
                self.assert_found(script, Rule.TRUE_READ, sentence, 1, 0)

    def test_absent_by_recursive_deletion(self) -> None:
        for path in ("/a", "/b"):
            script = Script()
            script.do("c1", Create("/a/x", "x"), 5)
            script.lose("c3", Delete(path, recursive=True))
            script.do("c2", Get("/a/x"), 6, Absent())
            if path == "/a":
                self.assert_true(script)
            else:
                sentence = "#2 (c2: get /a/x) shows no node as of 0x6, and #0 (c1: create /a/x 'x') was done at 0x5"
                self.assert_found(script, Rule.TRUE_READ, sentence, 2, 0)

    def test_absent_by_expiry(self) -> None:
        """An ephemeral node goes with its session, also after others have written to it."""
        script = Script()
        script.do("c1", Create("/a", "x", ephemeral=True), 5)
        script.do("c2", Set("/a", "y"), 6)
        script.do("c2", Get("/a"), 7, Absent())
        script.do("c2", Create("/a", "z"), 8)
        self.assert_true(script)

    def test_children(self) -> None:
        """A list has all children but ephemeral ones, and no others."""
        for names, complaint, other in (
            (("x", "e"), None, 0),
            (("x",), None, 0),
            (("e",), "does not show /a/x as of 0x9, and #1 (c1: create /a/x '') was done at 0x5", 1),
            (("x", "d"), "shows /a/d as of 0x9, and #4 (c1: delete /a/d) was done at 0x8", 4),
            (("x", "y"), "shows /a/y as of 0x9, and #5 (c1: create /a/y '') was done at 0xb", 5),
            (("x", "z"), "shows /a/z as of 0x9, and nobody has created it", None),
        ):
            script = Script()
            script.do("c1", Create("/a"), 4)
            script.do("c1", Create("/a/x"), 5)
            script.do("c1", Create("/a/d"), 6)
            script.do("c1", Create("/a/e", ephemeral=True), 7)
            script.do("c1", Delete("/a/d"), 8)
            script.do("c1", Create("/a/y"), 11)
            script.do("c2", Children("/a"), 9, Names(frozenset(names)))
            if complaint is None:
                self.assert_true(script)
            else:
                operations = (6,) if other is None else (6, other)
                self.assert_found(script, Rule.TRUE_READ, f"#6 (c2: children /a) {complaint}", *operations)

    def test_sequential_children(self) -> None:
        """A creation without a result may have led to any name."""
        script = Script()
        script.do("c1", Create("/a"), 4)
        script.lose("c1", Create("/a/n-", sequential=True))
        script.do("c2", Children("/a"), 9, Names(frozenset({"n-0000000000"})))
        self.assert_true(script)

    def test_children_of_nobody(self) -> None:
        """A child that nobody has created may be older than the history; a loose creation or deletion explains any list."""
        script = Script()
        script.do("c1", Create("/a/x"), 5)
        script.do("c1", Delete("/a/x"), 6)
        script.lose("c1", Create("/a/x"))
        script.do("c1", Create("/a/y"), 7)
        script.lose("c1", Delete("/a/y"))
        script.do("c2", Children("/a"), 9, Names(frozenset({"x", "older"})))
        self.assert_true(script)


class OutcomeTests(RulesCase):
    def test_refused_and_shown(self) -> None:
        script = Script()
        script.do("c1", Create("/a", "x"), 5)
        script.refuse("c1", Set("/a", "y"))
        script.do("c2", Get("/a"), 6, Shown(6, "y"))
        sentence = "#2 (c2: get /a) shows the write of #1 (c1: set /a 'y'), which was reported as not applied"
        self.assert_found(script, Rule.TRUE_OUTCOME, sentence, 2, 1)

    def test_unknown(self) -> None:
        """A write without a result may have been done, even long after, or not."""
        for shown in (Shown(5, "x"), Shown(7, "y")):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.lose("c1", Set("/a", "y"))
            script.do("c1", Create("/b", "z"), 6)
            script.do("c2", Get("/a"), 8, shown)
            self.assert_true(script)

    def test_done_twice(self) -> None:
        """A client has sent a write again whose outcome it did not know."""
        for again in (None, 9):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.do("c1", Set("/a", "y"), again, at=(30, 200))
            script.do("c2", Get("/a"), 8, Shown(7, "y"))
            script.do("c2", Get("/a"), 9, Shown(9, "y") if again else Shown(7, "y"))
            if again is None:
                self.assert_true(script)
            else:
                sentence = "#1 (c1: set /a 'y') was done twice: at 0x9, and at 0x7, as #2 (c2: get /a) shows"
                self.assert_found(script, Rule.TRUE_OUTCOME, sentence, 1, 2)

    def test_unknown_done_twice(self) -> None:
        script = Script()
        script.lose("c1", Set("/a", "y"))
        script.do("c2", Get("/a"), 8, Shown(7, "y"))
        script.do("c2", Get("/a"), 9, Shown(9, "y"))
        sentence = "#0 (c1: set /a 'y') was done twice: at 0x7, and at 0x9, as #2 (c2: get /a) shows"
        self.assert_found(script, Rule.TRUE_OUTCOME, sentence, 0, 2)

    def test_same_data(self) -> None:
        """Of writes with the same data nobody knows which one a read shows."""
        script = Script()
        script.lose("c1", Set("/a", "y"))
        script.lose("c2", Set("/a", "y"))
        script.do("c3", Get("/a"), 8, Shown(7, "y"))
        script.do("c3", Get("/a"), 9, Shown(9, "y"))
        self.assert_true(script)

    def test_parents(self) -> None:
        """A node without data may have been created for one below it."""
        for applied in (True, False):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            (script.do if applied else script.refuse)("c1", Create("/a/x/y", "x", parents=True))
            script.do("c2", Children("/a"), 9, Names(frozenset({"x"})))
            script.do("c2", Get("/a/x"), 9, Shown(7, "", 6))
            self.assert_true(script)


class WriteTests(RulesCase):
    def test_created_twice(self) -> None:
        for deleted in (6, None):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            if deleted:
                script.do("c1", Delete("/a"), deleted)
            else:
                script.do("c1", Delete("/b"), 6)
            script.do("c1", Create("/a", "y"), 7)
            if deleted:
                self.assert_true(script)
            else:
                sentence = (
                    "#2 (c1: create /a 'y') was done at 0x7, and /a was there since 0x5, by #0 (c1: create /a 'x')"
                )
                self.assert_found(script, Rule.TRUE_WRITE, sentence, 2, 0)

    def test_set_without_node(self) -> None:
        for created in ("/a", "/b"):
            script = Script()
            script.do("c1", Delete("/a"), 5)
            script.lose("c1", Create(created, "x"))
            script.do("c1", Set("/a", "y"), 7)
            if created == "/a":
                self.assert_true(script)
            else:
                sentence = "#2 (c1: set /a 'y') was done at 0x7, and /a was not there since 0x5, by #0 (c1: delete /a)"
                self.assert_found(script, Rule.TRUE_WRITE, sentence, 2, 0)

    def test_deleted_twice(self) -> None:
        script = Script()
        script.do("c1", Delete("/a"), 5)
        script.do("c2", Delete("/a"), 6)
        sentence = "#1 (c2: delete /a) was done at 0x6, and /a was not there since 0x5, by #0 (c1: delete /a)"
        self.assert_found(script, Rule.TRUE_WRITE, sentence, 1, 0)

    def test_compare_and_set(self) -> None:
        for version in (1, 0, 2):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.do("c1", Set("/a", "y"), 6)
            script.do("c2", Set("/a", "z", version), 7)
            if version == 1:
                self.assert_true(script)
            else:
                sentence = (
                    f"#2 (c2: set /a 'z') required the version {version} at 0x7, not 1, after #1 (c1: set /a 'y')"
                )
                self.assert_found(script, Rule.TRUE_WRITE, sentence, 2, 1)

    def test_compare_and_set_beside_loose_writes(self) -> None:
        """Each write whose effect is not known may have raised the version."""
        for version in (1, 2, 3):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.do("c1", Set("/a", "y"), 6)
            script.lose("c3", Set("/a", "w"))
            script.do("c2", Set("/a", "z", version), 7)
            if version < 3:
                self.assert_true(script)
            else:
                sentence = "#3 (c2: set /a 'z') required the version 3 at 0x7, not 1 to 2, after #1 (c1: set /a 'y')"
                self.assert_found(script, Rule.TRUE_WRITE, sentence, 3, 1)

    def test_compare_and_delete(self) -> None:
        for version in (0, 1):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.do("c2", Delete("/a", version), 7)
            if version == 0:
                self.assert_true(script)
            else:
                sentence = "#1 (c2: delete /a) required the version 1 at 0x7, not 0, after #0 (c1: create /a 'x')"
                self.assert_found(script, Rule.TRUE_WRITE, sentence, 1, 0)

    def test_versions_count(self) -> None:
        for version in (2, 1, 3):
            script = Script()
            script.do("c1", Get("/a"), 3, Shown(2, "w", 2, 0))
            script.do("c1", Set("/a", "x"), 5)
            script.do("c1", Set("/a", "y"), 6, Shown(6, None, 2, version))
            if version == 2:
                self.assert_true(script)
            else:
                sentence = (
                    f"#2 (c1: set /a 'y') has led to the version {version} at 0x6, not 2, after #1 (c1: set /a 'x')"
                )
                self.assert_found(script, Rule.TRUE_WRITE, sentence, 2, 1)

    def test_versions_begin_anew(self) -> None:
        script = Script()
        script.do("c1", Create("/a", "w"), 2)
        script.do("c1", Set("/a", "x"), 5, Shown(5, None, 2, 1))
        script.lose("c1", Delete("/a"))
        script.lose("c1", Create("/a", "y"))
        script.do("c1", Set("/a", "z"), 9, Shown(9, None, 8, 1))
        self.assert_true(script)


class RefusalTests(RulesCase):
    def test_reasons(self) -> None:
        """Nothing has changed a node, so its state is known."""
        for call, reason, true in (
            (Set("/a", "y", 0), Refusal.BAD_VERSION, False),
            (Set("/a", "y", 1), Refusal.BAD_VERSION, True),
            (Delete("/a", 0), Refusal.BAD_VERSION, False),
            (Set("/a", "y", 0), Refusal.NO_NODE, False),
            (Create("/a", "y"), Refusal.NODE_EXISTS, True),
            (Create("/gone", "y"), Refusal.NODE_EXISTS, False),
            (Set("/gone", "y"), Refusal.NO_NODE, True),
            (Create("/gone", "y"), Refusal.NO_NODE, True),
            (Delete("/a"), Refusal.NOT_EMPTY, True),
            (Create("/older", "y"), Refusal.NODE_EXISTS, True),
        ):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.do("c1", Delete("/gone"), 6)
            script.refuse("c2", call, Refused(reason))
            if true:
                self.assert_true(script)
            else:
                (finding,) = judge(script.history)
                writer = "delete /gone) was done at 0x6" if call.path == "/gone" else "create /a 'x') was done at 0x5"
                self.assertEqual(finding.rule, Rule.TRUE_REFUSAL)
                self.assertIn(f"was refused ({reason.value}), and nothing has changed the node since", finding.sentence)
                self.assertIn(writer, finding.sentence)
                self.assertIn("#2 (c2: ", finding.sentence)

    def test_strange(self) -> None:
        script = Script()
        script.refuse("c2", Set("/a", "y"), Refused(Refusal.BAD_VERSION))
        sentence = "#0 (c2: set /a 'y') was refused for its version, and had none"
        self.assert_found(script, Rule.TRUE_REFUSAL, sentence, 0)

    def test_changed_meanwhile(self) -> None:
        """Another write that may have come before the end of the refused one may be the reason."""
        for begin in (25, 40):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.refuse("c2", Set("/a", "y", 0), Refused(Refusal.BAD_VERSION), at=(20, 30))
            script.do("c1", Set("/a", "z"), 6, at=(begin, 50))
            if begin == 25:
                self.assert_true(script)
            else:
                (finding,) = judge(script.history)
                self.assertEqual(finding.rule, Rule.TRUE_REFUSAL)


class TransactionTests(RulesCase):
    def test_whole(self) -> None:
        for shown in (Shown(7, "z"), Shown(6, "y")):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.do("c1", Create("/b", "y"), 6)
            script.lose("c1", Transaction((Set("/a", "w"), Set("/b", "z"))))
            script.do("c2", Get("/a"), 9, Shown(7, "w"))
            script.do("c2", Get("/b"), 9, shown)
            if shown.data == "z":
                self.assert_true(script)
            else:
                sentence = (
                    "#4 (c2: get /b) shows the state of 0x6, as of 0x9, and"
                    " #2 (c1: transaction of set /a 'w', set /b 'z') was done at 0x7"
                )
                self.assert_found(script, Rule.TRUE_READ, sentence, 4, 2)

    def test_torn(self) -> None:
        script = Script()
        script.lose("c1", Transaction((Set("/a", "w"), Set("/b", "z"))))
        script.do("c2", Get("/a"), 9, Shown(7, "w"))
        script.do("c2", Get("/b"), 9, Shown(8, "z"))
        sentence = (
            "#0 (c1: transaction of set /a 'w', set /b 'z') was done at 0x7, but #2 (c2: get /b) shows /b as of 0x8"
        )
        self.assert_found(script, Rule.WHOLE_TRANSACTION, sentence, 0, 2)

    def test_checks(self) -> None:
        for path, version in (("/a", 0), ("/a", -1), ("/a", 1), ("/gone", -1)):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.do("c1", Delete("/gone"), 6)
            script.do("c1", Transaction((Check(path, version), Set("/b", "z"))), 7)
            if path == "/a" and version < 1:
                self.assert_true(script)
            else:
                writer = "#0 (c1: create /a 'x') at 0x5" if path == "/a" else "#1 (c1: delete /gone) at 0x6"
                sentence = (
                    f"#2 (c1: transaction of check {path}, set /b 'z') was done at 0x7, and {path} did not pass its"
                    f" check, since {writer}"
                )
                self.assert_found(script, Rule.WHOLE_TRANSACTION, sentence, 2, 0 if path == "/a" else 1)


class SequenceTests(RulesCase):
    def test_numbers(self) -> None:
        """A number that is missing may be that of a creation without a result, or of another child."""
        for second, others, true in ((1, 0, True), (0, 0, False), (2, 0, False), (2, 1, True), (3, 1, False)):
            script = Script()
            call = Create("/q/n-", sequential=True)
            script.do("c1", call, 5, Created("/q/n-0000000000"))
            for _ in range(others):
                script.lose("c1", call)
            number = script.do("c2", call, 9, Created(f"/q/n-{second:010d}"))
            if true:
                self.assert_true(script)
                continue
            found = judge(script.history)
            self.assertIn(Rule.SEQUENCE, {each.rule for each in found})
            finding = next(each for each in found if each.rule is Rule.SEQUENCE)
            names = "#0 (c1: create /q/n- '')", f"#{number} (c2: create /q/n- '')"
            self.assertEqual(finding.operations, (0, number))
            if second == 0:
                self.assertEqual(finding.sentence, f"{names[0]} and {names[1]} have the same number 0 in /q")
            else:
                self.assertEqual(
                    finding.sentence,
                    f"no write can have taken a number between 0 of {names[0]} and {second} of {names[1]}",
                )

    def test_in_time(self) -> None:
        for end in (16, 12):
            script = Script()
            call = Create("/q/n-", sequential=True)
            script.do("c1", call, None, Created("/q/n-0000000001"), at=(10, end))
            script.do("c2", call, None, Created("/q/n-0000000000"), at=(15, 20))
            if end == 16:
                self.assert_true(script)
            else:
                sentence = (
                    "#1 (c2: create /q/n- '') has the number 0, and #0 (c1: create /q/n- '') had a higher one before"
                )
                self.assert_found(script, Rule.SEQUENCE, sentence, 1, 0)

    def test_shown(self) -> None:
        """A read of a sequential node shows the creation of which nobody knows the path."""
        script = Script()
        script.lose("c1", Create("/q/n-", "x", sequential=True))
        script.do("c2", Get("/q/n-0000000004"), 9, Shown(7, "x"))
        self.assert_true(script)


class ResetTests(RulesCase):
    def test_parts(self) -> None:
        """After a loss of data, zxids and values begin anew; an old write may show again."""
        script = Script("c1")
        script.do("c1", Create("/a", "x"), 5)
        script.do("c1", Set("/a", "y"), 6)
        script.reset()
        script.do("c1", Get("/a"), 3, Shown(2, "x"))
        script.do("c2", Create("/b", "z"), 4)
        self.assert_true(script)

    def test_over_the_reset(self) -> None:
        """A write that began before may be done after it."""
        script = Script()
        script.do("c1", Create("/a", "x"), 5, at=(1, 100))
        script.reset()
        script.do("c2", Get("/a"), 9, Shown(3, "x"), at=(60, 70))
        script.do("c2", Get("/a"), 8, Shown(3, "x"), at=(71, 80))
        (finding,) = judge(script.history)
        self.assertEqual((finding.rule, finding.operations), (Rule.NO_STEP_BACK, (2, 1)))
