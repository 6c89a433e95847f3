"""Parties and members: joined through lost connections and expired sessions; the owner of the node is checked."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError

from txmirror.errors import ClosingException, NoAuthException, NodeExistsException, PathError
from txmirror.recipes import Members, Party
from txmirror.test.mirror.world import record_log
from txmirror.test.recipes.case import RecipeCase
from txmirror.test.recipes.moments import Moments, MomentsCase, failed
from txmirror.test.recipes.plain import PlainClient
from txmirror.types import READ_ACL, digest_acl

PATH = "/app/party"


class PartyTests(RecipeCase):
    path = PATH

    def party(self, **options: Any) -> Party:
        made: Party = self.lock(kind=Party, **options)
        return made

    def test_party(self) -> None:
        """All see the names of all who have joined, and have not left."""
        first, second = self.party(name="größe"), self.party(name="b")
        self.assertEqual((self.done(first.members()), self.done(first.length())), ([], 0))
        self.assertIn("outside", repr(first))
        for party in (first, second, first):
            self.assertIsNone(self.done(party.join()))
        self.assertEqual((first.joined, second.joined), (True, True))
        self.assertIn(f"<Party '{PATH}' of session 0x", repr(first))
        self.assertIn(" joined>", repr(first))
        names: list[str] = self.done(second.members())
        self.assertCountEqual(names, ["b", "größe"])
        self.assertTrue(all(len(name) == 41 and name.endswith("__party__") for name in self.nodes()))
        self.assertIsNone(self.done(first.leave()))
        self.assertIsNone(self.done(first.leave()))
        self.assertEqual((first.joined, self.done(first.members())), (False, ["b"]))
        self.done(first.join())
        self.assertEqual(self.done(first.length()), 2)

    def test_context(self) -> None:
        """The context manager joins and leaves."""
        party = self.party(name="a")

        async def work() -> list[str]:
            async with party as same:
                return await same.members()

        self.assertEqual((self.done(work()), self.nodes()), (["a"], []))

    def test_other_nodes(self) -> None:
        """Nodes with other names are no members of a party."""
        self.done(self.party().join())
        self.done(self.observer.create(f"{PATH}/x", b"y"))
        party = self.party()
        self.assertEqual(self.done(party.members()), [""])

    def test_through_sessions(self) -> None:
        """A member is one in the next session too, by one node; and again after its node was deleted."""
        client = self.client()
        party = self.party(client=client, name="a")
        self.done(party.join())
        for _ in range(2):
            self.expire(client)
            self.assertTrue(party.joined)
            (node,) = self.nodes()
            stat = self.done(self.observer.exists(f"{PATH}/{node}"))
            assert stat is not None
            self.assertEqual(stat.ephemeralOwner, client.session_id)
        for _ in range(3):
            (node,) = self.nodes()
            self.done(self.observer.delete(f"{PATH}/{node}"))
            self.pass_time(1.0)
            self.assertEqual((self.done(party.members()), party.joined), (["a"], True))

    def test_plain_client(self) -> None:
        """Any client will do."""
        party = Party(PlainClient(self.client()), PATH, name="a", reactor=self.world.reactor)
        self.done(party.join())
        self.assertEqual(self.done(party.members()), ["a"])
        self.done(party.leave())

    def test_acl(self) -> None:
        """All nodes have the ACL; a refused program does not join."""
        acl = [digest_acl("app", "secret"), *READ_ACL]
        client = self.client()
        self.done(client.add_auth("digest", b"app:secret"))
        party = self.party(client=client, acl=acl)
        self.done(party.join())
        (node,) = self.nodes()
        for path in (PATH, f"{PATH}/{node}"):
            self.assertEqual(self.done(client.get_acl(path))[0], acl)
        other = self.party()
        self.assertRaises(NoAuthException, self.done, other.join())
        self.assertIn("outside", repr(other))

    def test_refused_later(self) -> None:
        """If the node cannot be created in a later session, that is logged, and tried again."""
        log = record_log(self)
        client = self.client()
        party = self.party(client=client)
        self.done(party.join())
        (node,) = self.nodes()
        self.done(self.observer.set_acl(PATH, READ_ACL))
        self.expire(client)
        self.assertFalse(party.joined)
        self.assertTrue([line for line in log() if f"{PATH}/{node}: our node cannot be created again" in line], log())
        tree = self.server._state.database.tree
        tree.nodes[PATH].acl = tree.nodes["/app"].acl
        self.pass_time(2.0)
        self.assertTrue(party.joined)

    def test_closed(self) -> None:
        """With a closed client, join fails at once."""
        client = self.client()
        self.done(client.close())
        party = self.party(client=client)
        self.assertRaises(ClosingException, self.done, party.join())
        self.assertIn("outside", repr(party))

    def test_leave_while_joining(self) -> None:
        """Who leaves while joining is not joined."""
        client = self.client()
        self.keep_away(client)
        party = self.party(client=client)
        joining = self.waiting(party.join())
        self.assertIn("joining", repr(party))
        left = party.leave()
        self.failureResultOf(joining, CancelledError)
        self.let_in()
        self.assertIsNone(self.done(left))
        self.assertEqual(self.done(self.party().length()), 0)

    def test_wrong_arguments(self) -> None:
        """Wrong arguments raise at once."""
        self.assertRaises(PathError, Party, self.observer, "/")
        self.assertRaises(TypeError, self.party, name=b"a")


class MembersTests(RecipeCase):
    path = PATH

    def members(self, name: str = "a", data: bytes = b"", **options: Any) -> Members:
        client = options.pop("client", None) or self.client()
        return Members(client, PATH, name, data, reactor=self.world.reactor, **options)

    def test_members(self) -> None:
        """All see the names and data of all."""
        first, second = self.members("a", b"1"), self.members("b", b"2")
        for each in (first, second):
            self.done(each.join())
        self.assertEqual(self.done(first.members()), {"a": b"1", "b": b"2"})
        self.assertEqual(self.nodes(), ["a", "b"])
        self.done(first.leave())
        self.assertEqual(self.done(second.members()), {"b": b"2"})

    def test_taken_name(self) -> None:
        """While another program is the member of the name, join waits, and the log says so once; its node is left alone."""
        log = record_log(self)
        first, second = self.members(data=b"1"), self.members(data=b"2")
        self.done(first.join())
        joining = self.waiting(second.join())
        self.pass_time(20.0)
        self.assertNoResult(joining)
        self.done(self.observer.set(f"{PATH}/a", b"x"))
        self.settle()
        lines = [line for line in log() if f"{PATH}/a belongs to session 0x" in line]
        self.assertEqual(len(lines), 1, log())
        self.done(first.leave())
        self.done(joining)
        self.assertEqual(self.done(first.members()), {"a": b"2"})

    def test_leave_leaves_others(self) -> None:
        """Who leaves while another is the member of the name does not delete its node."""
        first, second = self.members(data=b"1"), self.members(data=b"2")
        self.done(first.join())
        joining = self.waiting(second.join())
        self.done(second.leave())
        self.failureResultOf(joining, CancelledError)
        self.assertEqual(self.done(first.members()), {"a": b"1"})

    def test_taken_in_between(self) -> None:
        """If another takes the name before our next session, we wait until it is free again."""
        client = self.client()
        first, second = self.members(data=b"1", client=client), self.members(data=b"2")
        self.done(first.join())
        joining = self.waiting(second.join())
        self.keep_away(client)
        self.pass_time(8.0)
        self.done(joining)
        self.let_in()
        self.pass_time(5.0)
        self.assertEqual((first.joined, self.done(second.members())), (False, {"a": b"2"}))
        # Who leaves then does not delete the other's node.
        before = self.done(self.observer.exists(f"{PATH}/a"))
        rejoining = first.join()
        self.done(first.leave())
        self.failureResultOf(rejoining, CancelledError)
        self.assertEqual(self.done(self.observer.exists(f"{PATH}/a")), before)
        rejoining = first.join()
        self.done(second.leave())
        self.done(rejoining)
        self.settle()
        self.assertEqual((first.joined, self.done(second.members())), (True, {"a": b"1"}))

    def test_persistent(self) -> None:
        """A persistent node of this name is refused."""
        self.done(self.members("b").join())
        self.done(self.observer.create(f"{PATH}/a"))
        error = self.assertRaises(NodeExistsException, self.done, self.members().join())
        self.assertEqual(str(error), f"'{PATH}/a' is a persistent node: it cannot be kept")

    def test_wrong_arguments(self) -> None:
        """Wrong arguments raise at once, and are quoted."""
        for name in ("", "a/b", ".", "\x00"):
            self.assertRaises(PathError, self.members, name)
        error = self.assertRaises(PathError, self.members, "a/b")
        self.assertEqual(str(error), "'a/b' cannot be the name of a member: it contains a slash")
        wrong: Any = (b"a", 1, None)
        for name in wrong:
            self.assertRaises(TypeError, self.members, name)
        text: Any = "text"
        self.assertRaises(TypeError, self.members, "a", text)


class KeeperMembersTests(RecipeCase):
    """ClickHouse Keeper, where each lost connection costs the session, whose nodes live on for a while."""

    path = PATH

    def test_former_node(self) -> None:
        """The node of a former session of ours is replaced at once."""
        world = Moments(version="keeper")
        self.addCleanup(world.close)
        members = Members(world.second, PATH, "a", b"1", reactor=world.reactor)
        world.result(members.join())
        former = world.second.session_id
        world.drop()
        world.pass_time(1.0)
        self.assertNotEqual(world.second.session_id, former)
        self.assertTrue(members.joined)
        self.assertEqual(world.ephemerals(), {f"{PATH}/a": world.second.session_id})


class _Joining(Moments):
    """A world in which somebody joins."""

    def __init__(self) -> None:
        super().__init__()
        self.members = Members(self.second, PATH, "a", b"1", reactor=self.reactor)

    def join(self) -> None:
        self.begin(self.members.join())


class _Leaving(_Joining):
    """A world in which somebody leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.result(self.members.join())

    def leave(self) -> None:
        self.begin(self.members.leave())


class MembersMomentsTests(MomentsCase):
    def test_join(self) -> None:
        """A member has one node, in the present session, whenever the connection is lost or the session expires (H1, H2, H4)."""

        def check(world: _Joining) -> None:
            self.assertEqual((world.outcomes, world.members.joined), ([None], True))
            self.assertEqual(world.ephemerals(), {f"{PATH}/a": world.second.session_id})
            world.result(world.members.leave())

        for deed in (_Joining.drop, _Joining.expire, _Joining.drop_and_expire):
            self.everywhere(_Joining, _Joining.join, deed, check)

    def test_given_up(self) -> None:
        """Who is cancelled or closed at any moment has left, and there is no node (H3)."""

        def check(world: _Joining) -> None:
            (outcome,) = world.outcomes
            if outcome is None:
                if world.second.session_id in world.server.sessions:
                    world.result(world.members.leave())
            else:
                self.assertTrue(failed(outcome, CancelledError, ClosingException), outcome)
                self.assertIn("outside", repr(world.members))

        for deed in (_Joining.cancel, _Joining.cancel_and_drop, _Joining.drop_and_cancel, _Joining.close_second):
            self.everywhere(_Joining, _Joining.join, deed, check)

    def test_leave(self) -> None:
        """Who leaves has left, whatever happens meanwhile."""

        def check(world: _Leaving) -> None:
            (outcome,) = world.outcomes
            self.assertTrue(outcome is None or failed(outcome, CancelledError), outcome)

        deeds = (_Leaving.drop, _Leaving.expire, _Leaving.drop_and_expire, _Leaving.cancel, _Leaving.close_second)
        for deed in deeds:
            self.everywhere(_Leaving, _Leaving.leave, deed, check, least=1)

    def test_lost_messages(self) -> None:
        """Any request, or the reply to any, may be lost, and the next one too (H1)."""
        for kind in ("create", "get", "delete", "sync"):
            for fault in ("lose_request", "lose_reply"):
                for also in ("create", "get", "delete", "sync"):
                    with _Joining() as world:
                        session = world.second.session_id
                        getattr(world.server, fault)(kind, session_id=session)
                        world.server.lose_reply(also, session_id=session)
                        world.join()
                        world.pass_time(3.0)
                        self.assertEqual(world.ephemerals(), {f"{PATH}/a": session})
                        world.begin(world.members.leave())
                        world.pass_time(3.0)
                        self.assertEqual((world.outcomes, world.ephemerals()), ([None, None], {}))
