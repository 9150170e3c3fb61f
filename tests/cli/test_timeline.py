"""``keyring timeline``: the chart of a ring, and its two drawings."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.cli.output import console
from sessionkit.cli.timeline import Chart, Event, Lane, Mark, Span, lay_out, ticks
from sessionkit.cli.timeline_svg import render
from sessionkit.cli.timeline_text import draw
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring, Policy

if TYPE_CHECKING:
    from tests.cli.conftest import Command

NOW = 1_800_000_000.0
DAY = 86_400.0
POLICY = Policy(300.0, 300.0, 14 * DAY)
STAGED, ACTIVE, RETIRED, REVOKED = KeyState.STAGED, KeyState.ACTIVE, KeyState.RETIRED, KeyState.REVOKED
SVG = "{http://www.w3.org/2000/svg}"


def key(number: int, label: str, state: KeyState, **days: float) -> Key:
    """Return a key whose dates are told in days from now."""
    return Key.from_secret(
        bytes([number]) * 32, label=label, state=state, **{name: NOW + day * DAY for name, day in days.items()}
    )


def ring(*keys: Key) -> Keyring:
    """Return a ring of some keys."""
    return Keyring(keys, generation=7, policy=POLICY)


EVERYTHING = ring(
    key(5, "spare", STAGED, created=-1),
    key(4, "2026-12 with a long label", STAGED, created=-10, activates=30),
    key(3, "2026-11", ACTIVE, created=-100, activates=-10),
    key(2, "2026-09", RETIRED, created=-130, activates=-100, retired=-10, prune_after=4 + 900 / DAY),
    key(1, "2026-08", REVOKED, created=-160, activates=-130, revoked=-100),
)

FRESH = ring(key(1, "2027-01-15", ACTIVE, created=0), key(2, "2027-01-15-2", STAGED, created=0))


def lives(made: Keyring, now: float = NOW) -> dict[str, list[tuple[str, float]]]:
    """Return for each label the states with their beginnings in days from now; those that nobody knows are infinite."""
    return {
        lane.label: [
            (span.state.value, -math.inf if span.open else round((span.start - NOW) / DAY, 3))
            for before, span in pairwise((None, *lane.spans))
            if span is not None and (before is None or before.state is not span.state)
        ]
        for lane in lay_out(made, now).lanes
    }


def lines(made: Keyring, width: int, *, ascii_only: bool = False) -> list[str]:
    """Return a drawing for a terminal."""
    return [line.plain for line in draw(lay_out(made, NOW), width, ascii_only=ascii_only)]


def test_the_chart_of_a_fresh_ring() -> None:
    """All of a chart: axis, lanes, spans before and behind now, when the staged key may take over."""
    active, staged = FRESH.keys
    assert lay_out(FRESH, NOW) == Chart(
        start=NOW,
        end=NOW + 636.0,
        now=NOW,
        lanes=(
            Lane("2027-01-15", active.kid, ACTIVE, (Span(ACTIVE, NOW, NOW + 636.0, planned=True),), ()),
            Lane(
                "2027-01-15-2",
                staged.kid,
                STAGED,
                (Span(STAGED, NOW, NOW + 636.0, planned=True),),
                (Mark(Event.PROMOTABLE, NOW + 600.0),),
            ),
        ),
    )


def test_the_life_of_every_key() -> None:
    """Each key is staged, active, retired, revoked since its dates, also such as lie ahead; the oldest stands first."""
    assert lives(EVERYTHING) == {
        "2026-08": [("staged", -160), ("active", -130), ("revoked", -100)],
        "2026-09": [("staged", -130), ("active", -100), ("retired", -10)],
        "2026-11": [("staged", -100), ("active", -10), ("retired", 30)],
        "2026-12 with a long label": [("staged", -10), ("active", 30)],
        "spare": [("staged", -1)],
    }
    retired = lay_out(EVERYTHING, NOW).lanes[1]
    assert [(span.end - NOW) / DAY for span in retired.spans] == [-100, -10, 0, 4 + 900 / DAY]
    assert retired.marks == (Mark(Event.PRUNABLE, NOW + 4 * DAY + 900),)


def test_a_key_that_took_over_by_its_time() -> None:
    """A scheduled key is active since its time, and the one before it retired, before anybody wrote that down."""
    made = ring(key(1, "old", ACTIVE, created=-30), key(2, "new", STAGED, created=-20, activates=-5))
    assert lives(made) == {"old": [("active", -30), ("retired", -5)], "new": [("staged", -20), ("active", -5)]}
    assert [lane.state for lane in lay_out(made, NOW).lanes] == [RETIRED, ACTIVE]
    assert lay_out(made, NOW).lanes[1].marks == (Mark(Event.TAKES_OVER, NOW - 5 * DAY),)


def test_a_time_that_came_before_the_active_key_is_none() -> None:
    """A staged key whose time lies before that of the active key does not take over, and is not drawn so."""
    made = ring(key(1, "active", ACTIVE, created=-30, activates=-5), key(2, "late", STAGED, created=-20, activates=-6))
    assert lives(made) == {"active": [("staged", -30), ("active", -5)], "late": [("staged", -20)]}


def test_two_keys_take_over_one_after_the_other() -> None:
    """Of several scheduled keys each seals until the next one's time."""
    made = ring(
        key(1, "a", ACTIVE, created=-3),
        key(2, "b", STAGED, created=-2, activates=1),
        key(3, "c", STAGED, created=-1, activates=2),
    )
    assert lives(made) == {
        "a": [("active", -3), ("retired", 1)],
        "b": [("staged", -2), ("active", 1), ("retired", 2)],
        "c": [("staged", -1), ("active", 2)],
    }


def test_a_key_that_never_sealed() -> None:
    """A staged key that was retired or revoked was staged until then: another key sealed at the time."""
    made = ring(
        key(1, "active", ACTIVE, created=-30),
        key(2, "retired", RETIRED, created=-20, retired=-10),
        key(3, "revoked", REVOKED, created=-19, revoked=-9),
        key(4, "both", REVOKED, created=-18, retired=-9, revoked=-8),
    )
    assert lives(made) == {
        "active": [("active", -30)],
        "retired": [("staged", -20), ("retired", -10)],
        "revoked": [("staged", -19), ("revoked", -9)],
        "both": [("staged", -18), ("retired", -9), ("revoked", -8)],
    }


def test_the_first_key_of_a_ring_was_active_from_the_start() -> None:
    """A retired key without a time of its own has sealed if its retirement is when another one began."""
    made = ring(
        key(1, "first", RETIRED, created=-30, retired=-10), key(2, "second", ACTIVE, created=-30, activates=-10)
    )
    assert lives(made)["first"] == [("active", -30), ("retired", -10)]


def test_what_nobody_wrote_down_is_left_open() -> None:
    """Bars without a known beginning are open there; nothing is made up."""
    made = ring(
        key(1, "active", ACTIVE),
        key(2, "staged", STAGED),
        key(3, "retired", RETIRED),
        Key.tombstone(b"abcd", label="tomb"),
        key(5, "since", RETIRED, retired=-1),
    )
    assert lives(made) == {
        "active": [("active", -math.inf)],
        "staged": [("staged", -math.inf)],
        "retired": [("retired", -math.inf)],
        "tomb": [("revoked", -math.inf)],
        "since": [("retired", -1)],
    }
    assert lay_out(made, NOW).start < NOW - DAY


def test_dates_of_a_former_life() -> None:
    """An active key is active whatever dates of other states people left in its entry."""
    made = ring(key(1, "active", ACTIVE, revoked=2), key(2, "next", STAGED, activates=1, revoked=3))
    assert lives(made) == {
        "active": [("active", -math.inf), ("retired", 1)],
        "next": [("staged", -math.inf), ("active", 1)],
    }


def test_dates_that_contradict_the_state() -> None:
    """Whatever dates people write, at this time every key has the state that it has."""
    made = ring(
        key(1, "active", ACTIVE, created=3, activates=5),
        key(2, "retired", RETIRED, created=-1, activates=-2, retired=4),
        key(3, "overdue", RETIRED, created=-90, activates=-80, retired=-60, prune_after=-46),
    )
    chart = lay_out(made, NOW)
    assert {lane.label: lane.state for lane in chart.lanes} == {
        "active": ACTIVE,
        "retired": RETIRED,
        "overdue": RETIRED,
    }
    overdue = next(lane for lane in chart.lanes if lane.label == "overdue")
    assert overdue.spans[-1] == Span(RETIRED, NOW - 60 * DAY, NOW), "it opens until it is taken out"


days = st.none() | st.integers(-400, 400).map(float) | st.sampled_from([-1e4, 0.0, 1e-5, 1e4])


@st.composite
def rings(draw: st.DrawFn) -> Keyring:
    """Return a ring as people may write it, with whatever dates."""
    states = [ACTIVE, *draw(st.lists(st.sampled_from([STAGED, RETIRED, REVOKED]), max_size=6))]
    keys = []
    for number, state in enumerate(draw(st.permutations(states))):
        told = {name: draw(days) for name in ("created", "activates", "retired", "revoked", "prune_after")}
        dates = {name: NOW + day * DAY for name, day in told.items() if day is not None}
        keys.append(Key.from_secret(bytes([number]) * 32, label=f"key {number}", state=state, **dates))
    return Keyring(keys, generation=1, policy=draw(st.sampled_from([POLICY, Policy(0.0, 0.0, None)])))


@given(rings())
def test_no_bar_leaves_the_axis(made: Keyring) -> None:
    """All that is drawn lies on the axis; a key's states follow one another, and change from past to plan at now."""
    chart = lay_out(made, NOW)
    assert chart.start <= NOW <= chart.end
    assert len(chart.lanes) == len(made)
    for lane in chart.lanes:
        for span in lane.spans:
            assert chart.start <= span.start < span.end <= chart.end
            assert span.planned is (span.start >= NOW)
            assert span.planned or span.end <= NOW
        for before, after in pairwise(lane.spans):
            assert before.end == after.start
        for mark in lane.marks:
            assert chart.start <= mark.time <= chart.end
        begun = [span.state for span in lane.spans if span.start <= NOW]
        assert begun[-1] is lane.state


@given(rings())
def test_the_key_that_seals_is_the_one_that_is_active(made: Keyring) -> None:
    """At now exactly one key is active: the one that the ring seals with."""
    assert [lane.kid for lane in lay_out(made, NOW).lanes if lane.state is ACTIVE] == [made.active(NOW).kid]


@given(rings(), st.integers(10, 200), st.booleans())
def test_every_drawing_fits_its_place(made: Keyring, width: int, plain: bool) -> None:
    """No line is wider than the terminal from 24 columns on, and nothing in the SVG lies beyond its edges."""
    told = lines(made, max(24, width), ascii_only=plain)
    assert max(map(len, told)) <= max(24, width)
    assert not plain or all(line.isascii() for line in told)
    for element in ET.fromstring(render(lay_out(made, NOW))).iter():  # noqa: S314 - we made it
        x, more = element.get("x", "0"), element.get("width", "0")
        if x.endswith("%") and more.endswith("%"):
            assert 0 <= float(x[:-1]) <= float(x[:-1]) + float(more[:-1]) <= 100.001


@given(st.floats(1e9, 2e9), st.floats(60, 1e10), st.integers(1, 12))
def test_ticks_are_on_the_axis(start: float, length: float, most: int) -> None:
    """However long the axis, its times lie on it, are told in order, and are few enough."""
    chart = Chart(start, start + length, start, ())
    found = ticks(chart, most)
    assert len(found) <= most + 1
    assert all(chart.start <= tick.time <= chart.end for tick in found)
    assert sorted(found, key=lambda tick: tick.time) == list(found)


def test_ticks_tell_what_the_scale_needs() -> None:
    """Seconds for a minute, minutes for a day, days for a year."""
    texts = [ticks(Chart(NOW, NOW + length, NOW, ()), 4)[0].text for length in (60, DAY, 300 * DAY, 9_000 * DAY)]
    assert texts == ["08:00:00", "01-15 12:00", "2027-01-21", "2032-10-14"]


def test_on_a_wide_terminal() -> None:
    """A line for each key: label, state, and a bar whose characters tell its states; the legend names what is seen."""
    assert lines(EVERYTHING, 80) == [
        "                                                                     now",
        "2026-08                   revoked  ░░░░░░███████××××××××××××××××××××××│××××××××",
        "2026-09                   retired        ░░░░░░░████████████████████▒▒│◆",
        "2026-11                   active                ░░░░░░░░░░░░░░░░░░░░██│██████▒▒",
        "2026-12 with a long lab…  staged                                    ░░│░░░░░░▶█",
        "spare                     staged                                      │░░░░░░░░",
        "                                   ────────────────┴────────────────────────────",
        "                                              2026-10-22",
        "░ staged   █ active   ▒ retired   × revoked   ▶ takes over   ◆ may be pruned",
    ]


def test_on_a_narrow_terminal_without_unicode() -> None:
    """Where there is little room, the bar gets a line of its own; where there are no such characters, ASCII ones."""
    assert lines(FRESH, 40, ascii_only=True) == [
        "now",
        "2027-01-15                       active",
        "|######################################",
        "2027-01-15-2                     staged",
        "|....................................).",
        "+------------------------------------+--",
        "01-15 08:00                  01-15 08:10",
        ". staged   # active   ) may be promoted",
    ]


def test_wide_characters_take_two_columns() -> None:
    """Bars begin in one column whatever the labels are written in."""
    made = ring(key(1, "漢字", ACTIVE, created=-1), key(2, "abc", STAGED, created=-1))
    shown = lines(made, 80)
    assert shown[1].startswith("漢字  active ")
    assert shown[2].startswith("abc   staged ")


def test_the_svg_stands_alone() -> None:
    """No script, nothing from elsewhere; light and dark; each state a pattern, each key described in words."""
    text = render(lay_out(EVERYTHING, NOW))
    root = ET.fromstring(text)  # noqa: S314 - we made it
    assert root.get("role") == "img"
    named = {element.get("id"): element for element in root.iter() if element.get("id")}
    assert all(name in named for name in (root.get("aria-labelledby") or "?").split())
    described = named["description"].text or ""
    assert "Key 2026-09 (" in described
    assert "retired from 2027-01-05T08:00:00Z, may be pruned from 2027-01-19T08:15:00Z." in described
    assert "prefers-color-scheme: dark" in text
    assert {f"fill-{state}" for state in KeyState} <= set(named)
    assert not {element.tag.removeprefix(SVG) for element in root.iter()} & {
        "script",
        "image",
        "foreignObject",
        "a",
        "use",
    }
    assert not [name for element in root.iter() for name in element.attrib if "href" in name or name.startswith("on")]
    assert text.count("http") == 1, "the namespace"
    words = [element.text for element in root.iter() if element.tag in {f"{SVG}text", f"{SVG}tspan"}]
    assert {"2026-09", "retired, may be pruned from 2027-01-19", "staged, active from 2027-02-14"} <= set(words)
    assert {"staged", "active", "retired", "revoked", "takes over", "may be pruned"} <= set(words)
    assert render(lay_out(EVERYTHING, NOW)) == text


def test_an_svg_of_minutes_tells_minutes() -> None:
    """Where days do not tell enough, times stand beside the key."""
    assert "staged, may be promoted from 01-15 08:10" in render(lay_out(FRESH, NOW))


def test_labels_are_no_markup() -> None:
    """What a label holds is text in both drawings, whatever it looks like; a long one is cut, and told whole once."""
    made = ring(
        key(1, "</text><script>&\"'", ACTIVE, created=-1), key(2, "x" * 64, STAGED), key(3, "a\x1b[31m\n", REVOKED)
    )
    text = render(lay_out(made, NOW))
    root = ET.fromstring(text)  # noqa: S314 - we made it
    assert "<script" not in text
    labels = [element.text for element in root.iter(f"{SVG}tspan") if element.get("class") == "label"]
    assert set(labels) == {"</text><script>&\"'", "x" * 25 + "…", repr("a\x1b[31m\n")}
    assert "x" * 64 in text
    assert "\x1b" not in "".join(lines(made, 80))


def test_the_command_draws_and_lists(command: Command) -> None:
    """On a terminal, or into a pipe: the chart, then the list with exact times."""
    command.keyring("init")
    chart, _, listed = command.keyring("timeline").out.partition("\n\n")
    assert "█" in chart
    assert "▷ may be promoted" in chart
    assert "\x1b" not in chart
    assert listed.splitlines()[-1] == "2027-01-15T08:00:00Z  now"


def test_the_command_writes_an_svg(command: Command) -> None:
    """With --svg the drawing goes to a file, which another one may replace."""
    command.keyring("init")
    file = command.path.with_name("keys.svg")
    done = command.keyring("timeline", "--svg", str(file))
    assert (done.status, done.out.strip()) == (0, f"{file}: drawn.")
    assert file.read_text("utf-8").startswith("<svg ")
    command.clock.advance(DAY)
    before = file.read_text("utf-8")
    assert command.keyring("timeline", "--svg", str(file), "--json").facts["svg"] == str(file)
    assert file.read_text("utf-8") != before


def test_the_command_draws_over_nothing_else(command: Command) -> None:
    """A file that is no drawing, such as the keyring itself, is left alone; so is a folder that is not there."""
    command.keyring("init")
    before = command.path.read_bytes()
    done = command.keyring("timeline", "--svg", str(command.path))
    assert done.status == 1
    assert "is there already and no SVG" in done.err
    assert command.path.read_bytes() == before
    done = command.keyring("timeline", "--svg", str(command.path.parent / "no" / "keys.svg"), "--json")
    assert done.status == 1
    assert "cannot be written (No such file or directory)" in done.facts["refused"]


@pytest.mark.parametrize("columns", [60, 120])
def test_the_command_fits_the_terminal(command: Command, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chart is as wide as the terminal."""
    monkeypatch.setattr(console, "_width", columns)  # it may have read COLUMNS when it was made, and reads it no more
    command.keyring("init")
    chart = command.keyring("timeline").out.partition("\n\n")[0].splitlines()
    assert max(map(len, chart)) == columns


def test_the_command_lists_what_a_take_over_by_time_did(command: Command) -> None:
    """After a scheduled take-over the list says of the outrun key what ``status`` says: retired since, prune after."""
    command.keyring("init", "--propagation", "0", "--skew", "0", "--token-lifetime", "60")
    command.keyring("promote", "--at", "2027-01-15T08:01:00Z", "--no-successor")
    command.clock.advance(61)
    outrun = command.keyring("status", "--json").facts["keys"][0]
    listed = command.keyring("timeline", "--json").facts["timeline"]
    told = {one["what"]: one["time"] for one in listed if one["kid"] == outrun["kid"]}
    assert told["retired"] == outrun["retired"] == "2027-01-15T08:01:00Z"
    assert told["prune after"] == outrun["prune_after"] == "2027-01-15T08:02:00Z"


def test_a_key_that_was_outrun_may_be_pruned_one_day() -> None:
    """The chart marks when an outrun key may go as soon as its successor's time has come, not before."""
    made = ring(key(1, "a", ACTIVE, created=-100, activates=-90), key(2, "b", STAGED, created=-10, activates=-1))
    marks = {
        lane.label: [(mark.event, round((mark.time - NOW) / DAY, 3)) for mark in lane.marks]
        for lane in lay_out(made, NOW).lanes
    }
    assert marks["a"] == [(Event.PRUNABLE, round(13 + 900 / DAY, 3))]
    early = {lane.label: lane.marks for lane in lay_out(made, NOW - 2 * DAY).lanes}
    assert early["a"] == ()
