"""Draws figures: what sessions cost beside the goals, and how the cost grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("agg")
from matplotlib import pyplot as plt  # after its backend is chosen: no screen is needed

from bench_sessions.scaling import SWEEPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench_sessions.figures import Figure

__all__ = ["overview", "scaling"]

ENCRYPTED, SIGNED, OURS, FLOOR = "#5b8db8", "#c9a227", "#1b7f5c", "#9a9a9a"
MET, MISSED = "#1b7f5c", "#c0392b"
MARKS = {"asyncio": "o", "uvloop": "s", "trio": "^"}

PLAIN: Any = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "svg.fonttype": "none"}


def overview(goals: Mapping[str, Sequence[Figure]], peers: Mapping[str, Sequence[Figure]], file: Path) -> None:
    """Draw one picture: who costs what, and how far each goal is."""
    rows = list(dict.fromkeys((figure.row, figure.against) for figures in goals.values() for figure in figures))
    with mpl.rc_context(PLAIN):
        height = 0.42 * len(rows) + 1.6
        figure, (left, right) = plt.subplots(1, 2, figsize=(15, height), width_ratios=(1, 1.1), layout="constrained")
        _peers(left, next(iter(peers.values())))
        _goals(right, rows, goals)
        figure.savefig(file, dpi=130)
        plt.close(figure)


def _peers(axes: Any, figures: Sequence[Figure]) -> None:
    ordered = sorted(figures, key=lambda figure: -figure.value)
    for place, figure in enumerate(ordered):
        low, high = figure.low or figure.value, figure.high or figure.value
        spread = [[max(figure.value - low, 0)], [max(high - figure.value, 0)]]
        axes.barh(place, figure.value, color=_colour(figure), xerr=spread, ecolor="#444444", height=0.7)
        axes.text(high, place, f"  {figure.value:,.0f} µs", va="center")
    axes.set_yticks(range(len(ordered)), [figure.row for figure in ordered])
    axes.set_xlabel("µs a request, over the same application without sessions")
    axes.margins(x=0.12)
    axes.set_title("What a session costs: read + write, 200 B", loc="left", weight="bold")
    for label, colour in (("sessionkit", OURS), ("encrypts", ENCRYPTED), ("signs only", SIGNED), ("no ASGI", FLOOR)):
        axes.barh(0, 0, color=colour, label=label)
    axes.legend(loc="upper right", frameon=False)


def _colour(figure: Figure) -> str:
    if figure.row.startswith("sessionkit"):
        return OURS
    if not figure.note:
        return FLOOR
    return SIGNED if figure.note.startswith("signed") else ENCRYPTED


def _goals(axes: Any, rows: Sequence[tuple[str, str | None]], goals: Mapping[str, Sequence[Figure]]) -> None:
    for loop, figures in goals.items():
        for figure in figures:
            if figure.goal is None:
                continue
            place = len(rows) - 1 - rows.index((figure.row, figure.against))
            share = max(figure.value / figure.goal, 0.05)
            axes.plot(share, place, MARKS[loop], color=MET if figure.met else MISSED, alpha=0.8, markersize=7)
    axes.axvline(1, color="#444444", linewidth=1)
    axes.set_xscale("log")
    ticks = (0.1, 0.2, 0.5, 1, 2, 5, 10)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("measured ÷ goal: left of the line is better than promised")
    axes.set_yticks(range(len(rows)), [_label(row, against) for row, against in reversed(rows)], fontsize=8)
    axes.grid(axis="y", color="#e6e6e6")
    axes.set_axisbelow(True)
    axes.set_title("Goals", loc="left", weight="bold")
    for loop in goals:
        axes.plot([], [], MARKS[loop], color="#666666", label=loop)
    axes.legend(loc="lower right", frameon=True)


def _label(row: str, against: str | None) -> str:
    return f"{row}\nagainst {against}"


def scaling(by_loop: Mapping[str, Sequence[Figure]], folder: Path) -> None:
    """Draw a picture a sweep, with its verdict."""
    folder.mkdir(parents=True, exist_ok=True)
    for sweep in SWEEPS:
        with mpl.rc_context(PLAIN):
            figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
            verdicts = set()
            for loop, figures in by_loop.items():
                mine = [one for one in figures if one.row.startswith(f"{sweep.name}: ")]
                values = [one.value for one in mine]
                [line] = axes.plot(sweep.sizes, values, MARKS[loop] + "-", label=loop)
                low, high = [one.low or 0.0 for one in mine], [one.high or 0.0 for one in mine]
                axes.fill_between(sweep.sizes, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
                verdicts |= {one.note for one in mine}
            if sweep.flat and min(sweep.sizes) > 0:
                axes.set_xscale("log", base=2)
                axes.set_xticks(sweep.sizes, [f"{size:,}" for size in sweep.sizes])
            axes.set_ylim(bottom=0)
            axes.set_xlabel(sweep.name)
            axes.set_ylabel("µs a request")
            axes.set_title(f"{sweep.name}: {', '.join(sorted(verdicts))}", loc="left", weight="bold")
            if len(by_loop) > 1:
                axes.legend(frameon=False)
            figure.savefig(folder / (sweep.name.replace(",", "").replace(" ", "-") + ".png"), dpi=120)
            plt.close(figure)
