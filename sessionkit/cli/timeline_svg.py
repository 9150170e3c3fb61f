"""Draws a timeline as an SVG that stands alone: no script, no font, no picture from elsewhere.

Rules of this file:

* As wide as the place it is put into: what lies on the axis is placed in percent, and text keeps its size in pixels, so
  that it can be read on a phone and on a wall. Where there is room, more times stand below the axis.
* Colours follow the reader's choice of light or dark. Each state also has a pattern of its own and is named in words.
* Text is text, written by a library for XML: nothing that a label holds can become markup.

Charting libraries draw text in pixels of a picture that is scaled (matplotlib), or need a script in the page (Altair,
plotly, Bokeh); none lets one file fit itself to its place. What is left to do is rectangles and lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from sessionkit.cli.output import when
from sessionkit.cli.timeline import Event, ticks
from sessionkit.keyring.key import KeyState

if TYPE_CHECKING:
    from sessionkit.cli.timeline import Chart, Lane, Span

__all__ = ["render"]

_HEAD = 46
_LANE = 52
_CAPTION = 14
_BAR_TOP, _BAR = 22, 16
_AXIS = 34
_ENTRY, _ENTRIES_A_ROW = 20, 3
"""Pixels from top to bottom: title and present, each key with its caption and its bar, axis, each row of the legend."""

_ENTRY_WIDTH = 112
"""Pixels of an entry of the legend: three fit on a phone."""

_FEW, _MANY = 3, 8
"""Times below the axis on a phone, and from ``_WIDE`` pixels on."""

_WIDE = 760

_LABEL = 26
"""Characters of a label: with what stands beside it, it fits on a phone. The description has all of it."""

_DAYS = 3 * 86_400.0
"""Seconds of an axis on which days tell enough."""

_STYLE = f"""
:root {{ --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --paper: #ffffff; --now: #a40e63;
  --staged: #0969da; --active: #1a7f37; --retired: #9a6700; --revoked: #cf222e; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #f0f6fc; --soft: #9198a1; --line: #3d444d; --paper: #0d1117; --now: #ff80c8;
    --staged: #6cb6ff; --active: #57ab5a; --retired: #daaa3f; --revoked: #f47067; }}
}}
text {{ font: 12px system-ui, sans-serif; fill: var(--ink); }}
.title {{ font-size: 14px; font-weight: 600; }}
.label {{ font-weight: 600; }}
.soft {{ fill: var(--soft); }}
.paper {{ fill: var(--paper); }}
.axis {{ stroke: var(--line); }}
.now {{ stroke: var(--now); stroke-width: 2; }}
text.now {{ stroke: none; fill: var(--now); font-weight: 600; }}
.mark {{ fill: var(--ink); stroke: var(--paper); }}
.planned {{ opacity: 0.45; }}
.staged {{ color: var(--staged); }} .active {{ color: var(--active); }}
.retired {{ color: var(--retired); }} .revoked {{ color: var(--revoked); }}
.bar {{ stroke: currentColor; }}
.many {{ display: none; }}
@media (min-width: {_WIDE}px) {{ .many {{ display: inline; }} .few {{ display: none; }} }}
"""

_PATTERNS = {
    KeyState.STAGED: "M0 8 L8 0",
    KeyState.ACTIVE: "",
    KeyState.RETIRED: "M0 2 H8 M0 6 H8",
    KeyState.REVOKED: "M0 0 L8 8 M0 8 L8 0",
}
"""What fills a bar: lines on tiles of eight pixels; the active key is solid."""

_SYMBOLS = {
    Event.PROMOTABLE: "M-4 -5 L5 0 L-4 5 Z M-2 -2 L2 0 L-2 2 Z",
    Event.TAKES_OVER: "M-4 -6 L6 0 L-4 6 Z",
    Event.PRUNABLE: "M0 -6 L6 0 L0 6 L-6 0 Z",
}


def render(chart: Chart) -> str:
    """Return the SVG of a chart."""
    return _Drawing(chart).text()


def _percent(share: float) -> str:
    return f"{share * 100:.3f}%"


class _Drawing:
    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        seen = {span.state for lane in chart.lanes for span in lane.spans}
        events = {mark.event for lane in chart.lanes for mark in lane.marks}
        states, symbols = [one for one in KeyState if one in seen], [one for one in Event if one in events]
        self._entries: list[KeyState | Event] = [*states, *symbols]
        self._bottom = _HEAD + _LANE * len(chart.lanes)
        rows = -(-len(self._entries) // _ENTRIES_A_ROW)
        height = self._bottom + _AXIS + _ENTRY * rows + 10
        self._root = Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "width": "100%",
                "height": str(height),
                "role": "img",
                "aria-labelledby": "title description",
            },
        )
        self._put(self._root, "title", "The keys of a sessionkit keyring over time", id="title")
        self._put(self._root, "desc", " ".join(map(self._told, chart.lanes)), id="description")
        self._put(self._root, "style", _STYLE)
        self._patterns()
        self._put(self._root, "rect", width="100%", height="100%", **{"class": "paper"})
        # Within margins of its own, so that 0 % and 100 % are the ends of the axis.
        self._plot = self._put(self._root, "svg", x="4%", width="92%", height=str(height), overflow="visible")
        self._put(self._plot, "text", "Keys over time (UTC)", x="0", y="16", **{"class": "title"})
        self._axis()
        for number, lane in enumerate(chart.lanes):
            self._lane(lane, _HEAD + _LANE * number)
        self._present()
        self._legend()

    def text(self) -> str:
        """Return the whole file."""
        indent(self._root)
        return tostring(self._root, encoding="unicode") + "\n"

    @staticmethod
    def _put(parent: Element, tag: str, text: str | None = None, **attributes: str) -> Element:
        element = SubElement(parent, tag, {name.replace("_", "-"): value for name, value in attributes.items()})
        element.text = text
        return element

    def _at(self, time: float) -> str:
        return _percent(self._chart.share(time))

    def _told(self, lane: Lane) -> str:
        """Return the life of a key in words: what the picture shows to those who see it."""
        spans = [
            f"{span.state.value} {'until ' + str(when(span.end)) if span.open else 'from ' + str(when(span.start))}"
            for before, span in zip((None, *lane.spans), lane.spans, strict=False)
            if before is None or before.state is not span.state
        ]
        marks = [
            f"{mark.event.value} from {when(mark.time)}" for mark in lane.marks if mark.event is not Event.TAKES_OVER
        ]
        return f"Key {lane.label} ({lane.kid}): {', '.join([*spans, *marks])}."

    def _caption(self, lane: Lane) -> str:
        """Return what stands beside a key's label: what it is now and what comes next."""
        planned = [span for span in lane.spans if span.planned and span.state is not lane.state]
        coming = [f"{span.state.value} from {self._date(span.start)}" for span in planned[:1]]
        coming += [
            f"{mark.event.value} from {self._date(mark.time)}"
            for mark in lane.marks
            if mark.event is not Event.TAKES_OVER
        ]
        return ", ".join([lane.state.value, *coming])

    def _date(self, time: float) -> str:
        told = str(when(time))
        return told[:10] if self._chart.end - self._chart.start > _DAYS else told[5:16].replace("T", " ")

    def _patterns(self) -> None:
        definitions = self._put(self._root, "defs")
        for state, path in _PATTERNS.items():
            tile = self._put(
                definitions, "pattern", id=f"fill-{state}", width="8", height="8", patternUnits="userSpaceOnUse"
            )
            back = "1" if not path else "0.18"
            group = self._put(tile, "g", **{"class": state.value})
            self._put(group, "rect", width="8", height="8", fill="currentColor", fill_opacity=back)
            if path:
                self._put(group, "path", d=path, stroke="currentColor", stroke_width="1.5", fill="none")

    def _axis(self) -> None:
        y = str(self._bottom)
        self._put(self._plot, "line", x1="0", x2="100%", y1=y, y2=y, **{"class": "axis"})
        for kind, most in (("few", _FEW), ("many", _MANY)):
            group = self._put(self._plot, "g", **{"class": kind})
            for tick in ticks(self._chart, most):
                share = self._chart.share(tick.time)
                x = _percent(share)
                self._put(group, "line", x1=x, x2=x, y1=str(_HEAD), y2=str(self._bottom + 5), **{"class": "axis"})
                self._put(
                    group,
                    "text",
                    tick.text,
                    x=x,
                    y=str(self._bottom + 20),
                    text_anchor=_anchor(share, 0.06),
                    **{"class": "soft"},
                )

    def _lane(self, lane: Lane, top: int) -> None:
        caption = self._put(self._plot, "text", x="0", y=str(top + _CAPTION))
        short = lane.label if len(lane.label) <= _LABEL else f"{lane.label[: _LABEL - 1]}…"
        label = self._put(caption, "tspan", short, **{"class": "label"})
        label.tail = "  "
        self._put(caption, "tspan", self._caption(lane), **{"class": "soft"})
        for span in lane.spans:
            self._bar(span, top + _BAR_TOP)
        for mark in lane.marks:
            # A path has no place in percent; an inner picture has.
            place = self._put(
                self._plot, "svg", x=self._at(mark.time), y=str(top + _BAR_TOP + _BAR // 2), overflow="visible"
            )
            symbol = self._put(place, "path", d=_SYMBOLS[mark.event], fill_rule="evenodd", **{"class": "mark"})
            self._put(symbol, "title", f"{lane.label}: {mark.event.value}, {when(mark.time)}")

    def _bar(self, span: Span, y: int) -> None:
        width = _percent(self._chart.share(span.end) - self._chart.share(span.start))
        bar = self._put(
            self._plot,
            "rect",
            x=self._at(span.start),
            y=str(y),
            width=width,
            height=str(_BAR),
            fill=f"url(#fill-{span.state})",
            **{"class": f"bar {span.state.value}{' planned' if span.planned else ''}"},
        )
        begun = "some time" if span.open else when(span.start)
        self._put(
            bar, "title", f"{span.state.value}: {begun} to {when(span.end)}{' (planned)' if span.planned else ''}"
        )

    def _present(self) -> None:
        share = self._chart.share(self._chart.now)
        x = _percent(share)
        self._put(self._plot, "line", x1=x, x2=x, y1=str(_HEAD - 6), y2=str(self._bottom), **{"class": "now"})
        self._put(
            self._plot,
            "text",
            f"now, {_minute(self._chart.now)}",
            x=x,
            y=str(_HEAD - 11),
            text_anchor=_anchor(share, 0.2),
            **{"class": "now"},
        )

    def _legend(self) -> None:
        for number, entry in enumerate(self._entries):
            row, column = divmod(number, _ENTRIES_A_ROW)
            x, y = column * _ENTRY_WIDTH, self._bottom + _AXIS + row * _ENTRY
            if isinstance(entry, KeyState):
                self._put(
                    self._plot,
                    "rect",
                    x=str(x),
                    y=str(y),
                    width="16",
                    height="10",
                    fill=f"url(#fill-{entry})",
                    **{"class": f"bar {entry}"},
                )
            else:
                self._put(
                    self._plot,
                    "path",
                    d=_SYMBOLS[entry],
                    transform=f"translate({x + 8} {y + 5})",
                    fill_rule="evenodd",
                    **{"class": "mark"},
                )
            self._put(self._plot, "text", entry.value, x=str(x + 22), y=str(y + 9))


def _anchor(share: float, edge: float) -> str:
    """Return which end of a text stands at a place: its middle, but at the edges, so that none leaves the picture."""
    return "start" if share < edge else "end" if share > 1 - edge else "middle"


def _minute(time: float) -> str:
    return str(when(time))[:16].replace("T", " ")
