"""Draws a timeline on a terminal: a line for each key, in as many columns as there are.

States differ in their characters, colours only help. Where a terminal cannot show the characters, plain ASCII takes
their place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from sessionkit.cli.timeline import Event, ticks
from sessionkit.keyring.key import KeyState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sessionkit.cli.timeline import Chart, Lane

__all__ = ["draw"]

_LABEL = 24
"""Columns of a label at most."""

_ROOM = 30
"""Columns of a bar below which label and state get a line of their own."""

_TICK = 16
"""Columns that a tick and the gap to its neighbour take."""


@dataclass(frozen=True, slots=True)
class _Characters:
    staged: str
    active: str
    retired: str
    revoked: str
    promotable: str
    takes_over: str
    prunable: str
    now: str
    axis: str
    tick: str
    more: str


_BLOCKS = _Characters("░", "█", "▒", "×", "▷", "▶", "◆", "│", "─", "┴", "…")
_ASCII = _Characters(".", "#", "-", "x", ")", ">", "P", "|", "-", "+", "~")

_COLOURS = {
    KeyState.STAGED: "cyan",
    KeyState.ACTIVE: "green",
    KeyState.RETIRED: "yellow",
    KeyState.REVOKED: "red",
}
_NOW = "bold magenta"


def draw(chart: Chart, width: int, *, ascii_only: bool = False) -> Iterator[Text]:
    """Yield the lines of a chart.

    Args:
        chart: what to draw.
        width: columns there are; a bar has ten at least.
        ascii_only: whether the terminal cannot show more.
    """
    drawing = _Drawing(chart, width, _ASCII if ascii_only else _BLOCKS)
    yield drawing.header()
    for lane in chart.lanes:
        yield from drawing.lane(lane)
    yield from drawing.axis()
    yield from drawing.legend()


class _Drawing:
    def __init__(self, chart: Chart, width: int, characters: _Characters) -> None:
        self._chart = chart
        self._width = width
        self._characters = characters
        longest = max(cell_len(lane.label) for lane in chart.lanes)
        self._label = min(longest, _LABEL)
        self._left = self._label + 2 + len(KeyState.REVOKED) + 2
        self._stacked = width - self._left < _ROOM
        if self._stacked:
            self._left, self._label = 0, max(1, width - len(KeyState.REVOKED) - 2)
        self._columns = max(10, width - self._left)
        self._now = self._column(chart.now)

    def _column(self, time: float) -> int:
        return min(self._columns - 1, int(self._chart.share(time) * self._columns))

    def header(self) -> Text:
        """Return the line above the bars: the present."""
        line = Text(" " * (self._left + max(0, min(self._now - 1, self._columns - 3))))
        return line.append("now", _NOW)

    def lane(self, lane: Lane) -> Iterator[Text]:
        """Yield the line of a key, or two where there is little room."""
        label = lane.label
        if cell_len(label) > self._label:
            label = set_cell_size(label, self._label - 1) + self._characters.more
        line = Text(set_cell_size(label, self._label) + "  ")
        line.append(f"{lane.state.value:<{len(KeyState.REVOKED)}}", _COLOURS[lane.state])
        if self._stacked:
            line.rstrip()
            yield line
            line = Text()
        else:
            line.append("  ")
        line.append_text(self._bar(lane))
        line.rstrip()
        yield line

    def _bar(self, lane: Lane) -> Text:
        characters = self._characters
        cells = [(" ", "")] * self._columns
        for span in lane.spans:
            first = self._column(span.start)
            drawn = getattr(characters, span.state), f"{'dim ' if span.planned else ''}{_COLOURS[span.state]}"
            for column in range(first, max(first + 1, self._column(span.end))):
                cells[column] = drawn
        cells[self._now] = characters.now, _NOW
        for mark in lane.marks:
            cells[self._column(mark.time)] = getattr(characters, mark.event.name.lower()), "bold"
        bar = Text()
        for character, style in cells:
            bar.append(character, style)
        return bar

    def axis(self) -> Iterator[Text]:
        """Yield the axis, and the times below it."""
        line = [self._characters.axis] * self._columns
        told = [" "] * self._columns
        free = 0
        for tick in ticks(self._chart, max(1, self._columns // _TICK)):
            column = self._column(tick.time)
            first = min(max(0, column - len(tick.text) // 2), self._columns - len(tick.text))
            if first < free:
                continue
            line[column] = self._characters.tick
            told[first : first + len(tick.text)] = tick.text
            free = first + len(tick.text) + 1
        margin = " " * self._left
        yield Text(margin + "".join(line), "dim")
        yield Text((margin + "".join(told)).rstrip(), "dim")

    def legend(self) -> Iterator[Text]:
        """Yield what the characters mean; only what there is to see."""
        characters, lanes = self._characters, self._chart.lanes
        seen = {span.state for lane in lanes for span in lane.spans}
        marks = {mark.event for lane in lanes for mark in lane.marks}
        entries = [(getattr(characters, state), state.value, _COLOURS[state]) for state in KeyState if state in seen]
        entries += [(getattr(characters, event.name.lower()), event.value, "bold") for event in Event if event in marks]
        line = Text()
        for character, word, style in entries:
            entry = Text.assemble((character, style), f" {word}")
            if line and line.cell_len + 3 + entry.cell_len > self._width:
                yield line
                line = Text()
            line = Text("   ").join([line, entry]) if line else entry
        yield line
