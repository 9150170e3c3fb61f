"""Charts as still pictures in SVG, drawn by Vega-Lite without a browser, coloured by the page they stand in.

Rules of this file:

* Colours are variables of the page's style sheet (``var(--s0)``), so that one picture serves light, dark and print.
* Each chart is drawn twice, for a wide page and for a phone: text that is scaled down cannot be read. The page shows
  one of the two.
* A picture goes through ``_tamed`` before it goes anywhere: what is not a shape, a text or a title is taken out. Names
  in a log are other people's words, and no script, link or foreign element gets into the page by way of a chart.
* To a screen reader a chart is one picture with one sentence; its numbers stand in a table beside it. Marks carry a
  title, which a pointer shows.

Why Vega-Lite, drawn by vl-convert. Measured with one chart of 288 points by 4 series, on one of two cores that had much
else to do: 44 kB a picture, no script, 1.3 s for the first and 0.27 s for each further one. A page by plotly is of
4.9 MB, one that carries Vega's own script of 0.95 MB; both run JavaScript, which a page made of hostile strings should
forbid. pygal (69 kB, 0.06 s) and matplotlib (64 kB, 0.4 s) draw still pictures too; pygal has no bars with a start and
an end along a time axis, matplotlib no colours that a page can change. altair would write the same JSON, in 3 s more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias
from xml.etree import ElementTree as ET
from zlib import crc32

import vl_convert

from sessionkit.audit.events import timestamp
from sessionkit.audit.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sessionkit.report.timeline import Bucket

__all__ = ["Layout", "Mark", "Picture", "Row", "Span", "bars", "columns", "lanes"]

_Spec: TypeAlias = "dict[str, Any]"
"""A chart, or a part of one, in Vega-Lite's terms."""

_SVG = "http://www.w3.org/2000/svg"

_ELEMENTS = frozenset({"clipPath", "defs", "g", "line", "path", "rect", "svg", "text", "tspan"})
"""What Vega draws with. Anything else is taken out with all that is in it."""

_FORBIDDEN = frozenset({"href", "style", "class"})
"""Attributes that lead out of the picture or into the page's own style; ``on…`` goes as well."""

_COUNT = "datum.value >= 10000 ? format(datum.value, '~s') : format(datum.value, ',')"
"""Label of a count on an axis, in Vega's language."""

_FIGURES = 60
"""Pixels for the sum beside a bar."""

_COUNTS = 48
"""Pixels for such labels."""

_LEGIBLE = 70
"""Pixels between two texts at the top of a chart; some ten letters."""

_TIMES = (
    (600.0, "utcFormat(datum.value, '%H:%M:%S')"),
    (
        172_800.0,
        "utcFormat(datum.value, utchours(datum.value) + utcminutes(datum.value) ? '%H:%M' : '%b %e')",
    ),
    (inf, "utcFormat(datum.value, '%b %e')"),
)
"""Labels of times on an axis, by how many seconds it covers at most."""

_REFERENCE = re.compile(r"url\(#([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Layout:
    """One of the two sizes that a chart is drawn in, in CSS pixels.

    Attributes:
        name: ``wide`` or ``narrow``.
        width: of the whole picture.
        columns: stretches of time that a chart is divided into, at most.
        ticks: on a time axis, about.
        names: room for names at the left.
    """

    name: str
    width: int
    columns: int
    ticks: int
    names: int


LAYOUTS = (Layout("wide", 860, 144, 10, 190), Layout("narrow", 350, 72, 4, 110))
"""The narrow one fits a phone of 390 pixels with its margins, the wide one half a screen and a sheet of A4."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn chart.

    Attributes:
        layout: which size.
        svg: an element without a declaration, to stand in HTML.
    """

    layout: str
    svg: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment to be pointed out, in Unix seconds."""

    when: float
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """A bar of a lane, from ``start`` to ``end`` in Unix seconds, coloured and described."""

    lane: str
    start: float
    end: float
    colour: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A bar made of parts: ``(colour, count, description)`` each."""

    name: str
    parts: Sequence[tuple[str, int, str]]


def columns(
    buckets: Callable[[int], Sequence[Bucket]],
    colours: Mapping[str, str],
    period: tuple[float, float],
    *,
    said: str,
    share: bool = False,
    height: int = 170,
    marks: Sequence[Mark] = (),
    names: Mapping[str, str] | None = None,
) -> list[Picture]:
    """Draw counts over time, stacked in the order of the colours.

    Args:
        buckets: returns them, given how many there is room for.
        colours: by series, from the bottom up; other series are not drawn.
        period: what the time axis covers, in Unix seconds.
        said: the chart in one sentence.
        share: whether columns show shares of their sum.
        height: of the chart in pixels.
        marks: moments to point out.
        names: what to call a series, if not by its own name.
    """

    def draw(layout: Layout) -> _Spec:
        found = buckets(layout.columns)
        width = found[1].start - found[0].start if len(found) > 1 else max(1.0, period[1] - period[0])
        stacked = [part for bucket in found for part in _stacked(bucket, width, colours, names or {}, share=share)]
        label = "format(datum.value, '.0%')" if share else _COUNT
        axis = {"labelExpr": label, "tickCount": 4, "domain": False, "ticks": False, "minExtent": _COUNTS - 8}
        chart = {
            "data": {"values": stacked},
            "mark": {"type": "rect", "clip": True},
            "encoding": {
                "x": _time(period, layout),
                "x2": {"field": "end"},
                "y": {"field": "from", "type": "quantitative", "title": None, "axis": axis},
                "y2": {"field": "to"},
                **_LOOK,
            },
        }
        layers = [chart, *_marked(marks, period, layout)]
        return {"layer": layers, "width": _inner(layout, _COUNTS), "height": height}

    return _drawn(draw, said)


def lanes(
    spans: Sequence[Span],
    period: tuple[float, float],
    *,
    said: str,
    marks: Sequence[Mark] = (),
) -> list[Picture]:
    """Draw lanes of bars along one time axis, the first lane at the top."""
    order = list(dict.fromkeys(clean(span.lane) for span in spans))

    def draw(layout: Layout) -> _Spec:
        values = [
            {
                "lane": clean(span.lane),
                "start": span.start * 1e3,
                # A bar that nobody can see tells nothing: at least two pixels' worth.
                "end": max(span.end, span.start + 2 * (period[1] - period[0]) / _inner(layout, layout.names)) * 1e3,
                "colour": span.colour,
                "text": clean(span.text),
            }
            for span in spans
        ]
        chart = {
            "data": {"values": values},
            "mark": {"type": "bar", "height": 14, "clip": True},
            "encoding": {"x": _time(period, layout), "x2": {"field": "end"}, "y": _names(order, layout), **_LOOK},
        }
        layers = [chart, *_marked(marks, period, layout)]
        return {"layer": layers, "width": _inner(layout, layout.names), "height": 26 * max(1, len(order))}

    return _drawn(draw, said)


def bars(rows: Sequence[Row], *, said: str) -> list[Picture]:
    """Draw one bar a row, the first at the top, with its sum beside it."""
    order = [clean(row.name) for row in rows]

    def draw(layout: Layout) -> _Spec:
        values, sums = [], []
        for name, row in zip(order, rows, strict=True):
            at = 0
            for colour, count, text in row.parts:
                values.append({"lane": name, "from": at, "to": at + count, "colour": colour, "text": clean(text)})
                at += count
            sums.append({"lane": name, "to": at, "sum": f"{at:,}"})
        y = _names(order, layout)
        x = {"field": "from", "type": "quantitative", "title": None, "axis": None}
        chart = {
            "data": {"values": values},
            "mark": {"type": "bar", "height": 14},
            "encoding": {"x": x, "x2": {"field": "to"}, "y": y, **_LOOK},
        }
        told = {
            "data": {"values": sums},
            "mark": {"type": "text", "align": "left", "dx": 5, "color": "var(--ink)"},
            "encoding": {"x": {**x, "field": "to"}, "y": y, "text": {"field": "sum"}},
        }
        # Room for the figures beside the longest bar.
        width = _inner(layout, layout.names + _FIGURES)
        return {"layer": [chart, told], "width": width, "height": 24 * max(1, len(rows))}

    return _drawn(draw, said)


# --- parts ------------------------------------------------------------------------------------------------------------


def _stacked(
    bucket: Bucket, width: float, colours: Mapping[str, str], names: Mapping[str, str], *, share: bool
) -> Iterable[dict[str, float | str]]:
    whole = sum(bucket.counts.get(name, 0) for name in colours)
    at = 0
    for name, colour in colours.items():
        count = bucket.counts.get(name, 0)
        if not count:
            continue
        scale = 1 / whole if share else 1.0
        part = f" ({count / whole:.1%})" if share else ""
        yield {
            "start": bucket.start * 1e3,
            "end": (bucket.start + width) * 1e3,
            "from": at * scale,
            "to": (at + count) * scale,
            "colour": colour,
            "text": clean(
                f"{names.get(name, name)}: {count:,}{part}, {width:g} s from {timestamp(bucket.start)[:19]}Z"
            ),
        }
        at += count


def _time(period: tuple[float, float], layout: Layout) -> _Spec:
    label = next(label for most, label in _TIMES if period[1] - period[0] <= most)
    return {
        "field": "start",
        "type": "temporal",
        "title": None,
        "scale": {"type": "utc", "domain": [period[0] * 1e3, period[1] * 1e3], "nice": False},
        "axis": {
            "tickCount": layout.ticks,
            "grid": False,
            "labelOverlap": True,
            "labelFlush": True,
            "labelExpr": label,
        },
    }


def _names(order: list[str], layout: Layout) -> _Spec:
    room = layout.names - 10
    return {
        "field": "lane",
        "type": "nominal",
        "title": None,
        "sort": order,
        "axis": {
            "domain": False,
            "ticks": False,
            "grid": False,
            "labelLimit": room,
            "labelPadding": 8,
            "minExtent": room,
            "maxExtent": room,
        },
    }


_LOOK: _Spec = {
    "color": {"field": "colour", "type": "nominal", "scale": None},
    "description": {"field": "text", "type": "nominal"},
}
"""Every mark brings its colour and its text along."""


def _marked(marks: Sequence[Mark], period: tuple[float, float], layout: Layout) -> list[_Spec]:
    """Return layers with a line through the chart for each mark, and its text above where there is room."""
    values: list[dict[str, float | str]] = []
    last = -inf
    room = (period[1] - period[0]) / _inner(layout, _COUNTS) * _LEGIBLE  # in seconds
    for mark in marks:
        if not period[0] <= mark.when <= period[1]:
            continue
        shown = clean(mark.text) if mark.when - last >= room else ""
        last = mark.when if shown else last
        values.append({"start": mark.when * 1e3, "text": clean(mark.text), "shown": shown})
    if not values:
        return []
    x = _time(period, layout)
    return [
        {
            "data": {"values": values},
            "mark": {"type": "rule", "color": "var(--ink)", "strokeDash": [3, 3], "opacity": 0.55},
            "encoding": {"x": x, "description": _LOOK["description"]},
        },
        {
            "data": {"values": values},
            "mark": {"type": "text", "baseline": "bottom", "dy": -3, "color": "var(--muted)", "fontSize": 11},
            "encoding": {"x": x, "y": {"value": 0}, "text": {"field": "shown"}},
        },
    ]


def _inner(layout: Layout, names: int) -> int:
    return layout.width - names - 12


# --- drawing ----------------------------------------------------------------------------------------------------------


def _drawn(draw: Callable[[Layout], _Spec], said: str) -> list[Picture]:
    return [Picture(layout.name, _tamed(_rendered(draw(layout)), layout, said)) for layout in LAYOUTS]


def _rendered(chart: _Spec) -> str:
    look = {
        "background": "transparent",
        "font": "system-ui, sans-serif",
        "padding": {"left": 2, "right": 8, "top": 4, "bottom": 2},
        "view": {"stroke": None},
        "axis": {
            "labelColor": "var(--muted)",
            "gridColor": "var(--grid)",
            "domainColor": "var(--grid)",
            "tickColor": "var(--grid)",
            "labelFontSize": 12,
        },
    }
    svg: str = vl_convert.vegalite_to_svg({**chart, "config": look})
    return svg


def _tamed(svg: str, layout: Layout, said: str) -> str:
    """Return a picture with nothing in it but shapes and text, which scales and says what it is."""
    ET.register_namespace("", _SVG)
    root = ET.fromstring(svg)  # noqa: S314 - Vega wrote it just now, without a doctype
    _strip(root)
    _name(root, f"{layout.name}-{crc32(said.encode()):x}")
    for element in list(root.iter()):
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        text = element.attrib.pop("aria-label", None)
        if text and element.attrib.get("role") == "graphics-symbol":
            ET.SubElement(element, "title").text = text
        for name in [name for name in element.attrib if name.startswith("aria-") or name == "role"]:
            del element.attrib[name]
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.attrib.update({"role": "img", "aria-label": said, "xmlns": _SVG})
    return ET.tostring(root, encoding="unicode")


def _strip(element: ET.Element) -> None:
    for child in list(element):
        if child.tag.removeprefix(f"{{{_SVG}}}") in _ELEMENTS:
            _strip(child)
        else:
            element.remove(child)
    for name in [name for name in element.attrib if _is_foreign(name)]:
        del element.attrib[name]


def _is_foreign(attribute: str) -> bool:
    plain = attribute.rpartition("}")[2].lower()
    return plain in _FORBIDDEN or plain.startswith("on") or attribute.startswith("{")


def _name(root: ET.Element, prefix: str) -> None:
    """Make ids differ from those of other pictures on the page."""
    for element in root.iter():
        if "id" in element.attrib:
            element.attrib["id"] = f"{prefix}-{element.attrib['id']}"
        for name, value in element.attrib.items():
            if "url(#" in value:
                element.attrib[name] = _REFERENCE.sub(rf"url(#{prefix}-\1)", value)
