"""The picture of a drill: traffic by key over time, what the operator did, and which ring each worker ran.

Colours are those of Okabe and Ito, which people tell apart whatever colours they see; every area is named in place too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection

    from rotation_drill.logs import Worker
    from rotation_drill.steps import Mark

__all__ = ["Scene", "draw"]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
INK = "#222222"
DIM = "#666666"
STYLE: dict[Any, Any] = {
    "axes.edgecolor": DIM,
    "axes.labelcolor": INK,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "rotation-drill",  # the same picture, the same octets
    "text.color": INK,
    "xtick.color": DIM,
    "ytick.color": DIM,
}

SHADES = ("#E3E8EE", "#C3CCD8")
"""Of two generations that follow each other, in turn."""

REFUSING = "#D55E00"

NOTES = (
    "beside each worker: by how much its clock is off",
    "hatched bars: refuses the file that lies there",
)

NAMED_FROM = 0.12
"""Share of the traffic's peak that an area must reach to be named in place."""

POINTS = 90
"""Points in time at most: more of them show nothing but how busy the machine was."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to draw.

    Attributes:
        title: one line.
        seconds: that the traffic lasted.
        began: Unix seconds at which it began.
        keys: requests by the key that had sealed their cookie, for each second.
        order: ids of the keys, in the order in which they took over.
        notes: what is to be said of a key, by its id.
        marks: what the operator did.
        workers: what each worker ran.
    """

    title: str
    seconds: float
    began: float
    keys: Mapping[int, Counter[str]]
    order: Sequence[str]
    notes: Mapping[str, str]
    marks: Sequence[Mark]
    workers: Sequence[Worker]


def draw(scene: Scene, path: Path) -> None:
    """Write the picture; the suffix of the path tells the format."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(14, 7.2), layout="constrained", facecolor="white")
        grid = figure.add_gridspec(2, 2, width_ratios=(10, 3.6), height_ratios=(4.2, 0.36 * len(scene.workers) + 0.3))
        traffic = figure.add_subplot(grid[0, 0])
        rings = figure.add_subplot(grid[1, 0], sharex=traffic)
        words = figure.add_subplot(grid[:, 1])
        figure.suptitle(scene.title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        areas = _traffic(traffic, scene)
        _rings(rings, scene)
        _words(words, scene, areas)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)


def _traffic(axes: Axes, scene: Scene) -> list[PolyCollection]:
    """Draw requests a second, an area a key; return the areas."""
    width = math.ceil(scene.seconds / POINTS)
    starts = range(0, math.ceil(scene.seconds), width)
    layers = [
        [
            sum(scene.keys[second][kid] for second in range(start, start + width) if second in scene.keys) / width
            for start in starts
        ]
        for kid in scene.order
    ]
    middles = [start + width / 2 for start in starts]
    colours = [COLOURS[number % len(COLOURS)] for number in range(len(layers))]
    areas = axes.stackplot(middles, layers, colors=colours, linewidth=0.5, edgecolor="white")
    peak = max((sum(column) for column in zip(*layers, strict=True)), default=1) or 1
    below = [0.0] * len(starts)
    for kid, layer, area in zip(scene.order, layers, areas, strict=True):
        note = scene.notes.get(kid, "")
        area.set_label(f"{_name(scene, kid)}  {kid}{f'  ({note})' if note else ''}")
        if "revoked" in note:
            area.set_hatch("///")
        widest = max(range(len(starts)), key=partial(_room, layer))
        if layer[widest] >= NAMED_FROM * peak:
            axes.text(
                min(middles[widest], scene.seconds - scene.seconds / 60),
                below[widest] + layer[widest] / 2,
                _name(scene, kid),
                ha="center",
                va="center",
                fontsize=13,
                fontweight="bold",
                color=INK,
                bbox={"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.8},
            )
        below = [lower + height for lower, height in zip(below, layer, strict=True)]
    axes.set_ylabel("requests a second,\nby the key of their session")
    axes.set_xlim(0, scene.seconds)
    axes.set_ylim(0, peak * 1.12)
    axes.tick_params(labelbottom=False)
    for number, mark in enumerate(scene.marks, 1):
        axes.axvline(mark.at, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
        axes.text(
            mark.at,
            peak * (1.07 if number % 2 else 1.01),
            str(number),
            ha="center",
            va="center",
            fontsize=7.5,
            color="white",
            bbox={"boxstyle": "circle,pad=0.25", "facecolor": INK, "edgecolor": "none"},
        )
    _plain(axes)
    return areas


def _room(layer: Sequence[float], place: int) -> float:
    """Return how much room a layer has around a place: the least of what it has nearby."""
    return min(layer[max(0, place - 2) : place + 3]) + layer[place] / 1000


def _name(scene: Scene, kid: str) -> str:
    return chr(ord("A") + scene.order.index(kid) % 26)


def _rings(axes: Axes, scene: Scene) -> None:
    """Draw which generation each worker ran, one bar a worker."""
    for row, worker in enumerate(scene.workers):
        ends = [ran.since - scene.began for ran in worker.history] + [scene.seconds]
        for ran, (since, until) in zip(worker.history, pairwise(ends), strict=True):
            start, end = max(0.0, since), min(scene.seconds, until)
            if end <= start:
                continue
            axes.barh(
                row,
                end - start,
                left=start,
                height=0.74,
                color=SHADES[ran.generation % 2],
                edgecolor=REFUSING if ran.refusing else "white",
                hatch="xxx" if ran.refusing else None,
                linewidth=0.8,
            )
            if end - start > scene.seconds / 60:
                axes.text((start + end) / 2, row, str(ran.generation), ha="center", va="center", fontsize=8)
    names = [f"{worker.name}  ({worker.ahead:+.1f} s)" for worker in scene.workers]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("seconds")
    axes.set_ylabel("generation that\neach worker runs")
    axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    _plain(axes)


def _words(axes: Axes, scene: Scene, areas: Sequence[PolyCollection]) -> None:
    """Write which key is which, and what the operator did."""
    axes.axis("off")
    keys = axes.legend(
        handles=list(areas), loc="upper left", frameon=False, borderpad=0, title="keys, as they took over"
    )
    keys.set_alignment("left")
    lines = [f"{number:2d}  {mark.at:5.1f} s  {_named(scene, mark.what)}" for number, mark in enumerate(scene.marks, 1)]
    told = "\n".join(["what the operator did", *lines, "", *NOTES])
    axes.text(0, 0, told, transform=axes.transAxes, va="bottom", fontsize=8.5, linespacing=1.6)


def _named(scene: Scene, text: str) -> str:
    """Return a text with the names of keys in place of their ids."""
    for kid in scene.order:
        text = text.replace(kid, _name(scene, kid))
    return text


def _plain(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
