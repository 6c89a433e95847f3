"""Consecutive results make the state of a check."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.checks import CheckSettings, Result, State, Status
from txmirror.checks.judgement import Judgement

_LETTERS = {"o": Status.OK, "w": Status.WARN, "f": Status.FAIL, "u": Status.UNKNOWN}
_SEVERITY = "owf"


def states(letters: str, **settings: Any) -> str:
    """Return the first letter of the state after each result."""
    judgement = Judgement(CheckSettings(**settings))
    text = ""
    for letter in letters:
        judgement.add(Result(_LETTERS[letter]))
        text += {State.UNKNOWN: "-", State.UP: "U", State.WARN: "W", State.DOWN: "D"}[judgement.state]
    return text


def expected_states(letters: str, rise: int, fall: int) -> str:
    """Return the same from the whole history, by the words of the documentation."""
    text, state = "", "-"
    for end in range(1, len(letters) + 1):
        counted = letters[:end].replace("u", "")
        for level, name in enumerate("UWD"):
            good = len(counted) >= rise and all(_SEVERITY.index(each) <= level for each in counted[-rise:])
            bad = len(counted) >= fall and all(_SEVERITY.index(each) >= level for each in counted[-fall:])
            is_better = state == "-" or "UWD".index(state) > level
            is_worse = state == "-" or "UWD".index(state) < level
            if name != "D" and good and is_better:
                state = name
                break
            if (name == "D" and bad and is_worse) or (
                name == "W" and bad and state == "U" and not all(each == "f" for each in counted[-fall:])
            ):
                state = name
        text += state
    return text


class JudgementTests(SynchronousTestCase):
    def test_out_until_proven(self) -> None:
        """The first result counts as one."""
        self.assertEqual(states("ooo", rise=3, fall=1), "--U")
        self.assertEqual(states("fff", rise=1, fall=3), "--D")
        self.assertEqual(states("o", rise=1), "U")

    def test_consecutive(self) -> None:
        """A result of the other kind begins the count again."""
        self.assertEqual(states("ofooffoff" + "f", rise=2, fall=3), "---UUUUUUD")
        self.assertEqual(states("fffofoo", rise=2, fall=3), "--DDDDU")

    def test_warnings(self) -> None:
        """A warning is good enough to be up, with a warning; and changes between ok and warning are damped likewise."""
        self.assertEqual(states("ww", rise=2), "-W")
        self.assertEqual(states("ow", rise=2), "-W")
        self.assertEqual(states("oowww", rise=2, fall=3), "-UUUW")
        self.assertEqual(states("wwoo", rise=2), "-WWU")
        self.assertEqual(states("oowfff", rise=2, fall=3), "-UUUWD")
        self.assertEqual(states("fffwo", rise=2, fall=3), "--DDW")

    def test_unknown(self) -> None:
        """A result without evidence does not count, and does not begin the count again."""
        self.assertEqual(states("uouou", rise=2), "---UU")
        self.assertEqual(states("fuffuu", fall=3), "---DDD")

    def test_on_fail(self) -> None:
        """A failure can count as a warning."""
        self.assertEqual(states("fff", on_fail="warn", rise=2, fall=3), "-WW")
        self.assertEqual(states("oofff", on_fail="warn", rise=2, fall=3), "-UUUW")

    @given(st.text(alphabet="owfu", max_size=40), st.integers(1, 4), st.integers(1, 4))
    def test_words(self, letters: str, rise: int, fall: int) -> None:
        """The counts are equal to a look at the whole history."""
        self.assertEqual(states(letters, rise=rise, fall=fall), expected_states(letters, rise, fall))

    def test_settled(self) -> None:
        """It is settled if the latest result agrees with the state."""
        judgement = Judgement(CheckSettings(rise=2, fall=2))
        for letter, settled in zip("oofufoow", (0, 1, 0, 0, 1, 0, 1, 0), strict=True):
            judgement.add(Result(_LETTERS[letter]))
            self.assertEqual(judgement.settled, bool(settled))
        self.assertEqual((judgement.passed, judgement.failed), (3, 0))


class CheckSettingsTests(SynchronousTestCase):
    def test_pause(self) -> None:
        """The jitter is a fraction of the pause in both directions; unsettled checks are faster."""
        settings = CheckSettings(interval=20.0, jitter=0.1)
        self.assertEqual([settings.pause(True, chance) for chance in (0.0, 0.5, 1.0)], [18.0, 20.0, 22.0])
        self.assertEqual(settings.pause(False, 0.5), 5.0)
        self.assertEqual(CheckSettings(interval=3.0, fast_interval=9.0).pause(False, 0.5), 3.0)

    def test_invalid(self) -> None:
        """The message names the setting."""
        for name, value in (
            ("interval", 0),
            ("timeout", float("inf")),
            ("fast_interval", -1),
            ("jitter", 1.5),
            ("rise", 0),
            ("fall", -1),
            ("on_fail", "up"),
        ):
            wrong: dict[str, Any] = {name: value}
            self.assertIn(name, str(self.assertRaises(ValueError, CheckSettings, **wrong)))
        for name, value in (("interval", "10"), ("rise", 1.5), ("fall", True)):
            wrong = {name: value}
            self.assertIn(name, str(self.assertRaises(TypeError, CheckSettings, **wrong)))
