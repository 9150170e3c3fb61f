"""One page that holds a whole report: it loads nothing, runs nothing, and can be kept, mailed and printed.

Rules of this file:

* Every string of a log is hostile: control characters go (``audit.log.clean``), the template escapes the rest, and the
  page forbids itself scripts and anything from elsewhere.
* The page says in words what its charts show; each chart over time has its numbers in a table below it.
* Lists end somewhere: a page is for people. All there is stands in ``--json``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from sessionkit.audit.text import clean
from sessionkit.exceptions import RejectReason
from sessionkit.report import charts
from sessionkit.report.charts import Mark, Row, Span
from sessionkit.report.findings import Basis, Safety, details, duration, shown, warned
from sessionkit.report.survey import EXPIRED, KEY_REVOKED, SESSION_SERIES
from sessionkit.report.timeline import OTHERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sessionkit.report.charts import Picture
    from sessionkit.report.findings import Findings, KeyFinding, Worker
    from sessionkit.report.timeline import Timeline

__all__ = ["build"]

MOST = 20
"""Rows of a table that names sessions, clients or workers."""

LANES = 24
"""Rows of a chart."""

_NUMBERS = 24
"""Rows of a table below a chart over time."""

_COLOURS = 8
"""Different colours of series in the style sheet; what comes later has the colour of the rest."""

_STATES = ("staged", "active", "retired", "revoked")

_MEANINGS = {
    RejectReason.BAD_TAG: "altered or forged, or made for another name or context",
    RejectReason.MALFORMED: "no cookie of ours: damaged or made up",
    RejectReason.TOO_LARGE: "longer than any that was ever set",
    RejectReason.CHUNK_MISSING: "a part did not arrive, or parts of two were mixed",
    RejectReason.UNSUPPORTED_VERSION: "of another release",
    RejectReason.UNKNOWN_KEY: "names a key that is gone, not here yet, or made up",
    RejectReason.NOT_YET_VALID: "from the future: a clock of ours is wrong",
    RejectReason.BAD_PAYLOAD: "authentic, and unreadable to this release",
    RejectReason.WRONG_CONTEXT: "made for another audience",
    KEY_REVOKED: "its key is revoked",
    RejectReason.TERMINATED: "from before a logout or a new id: kept, or copied",
    RejectReason.SUBJECT: "from before all sessions of its user were revoked",
    f"{EXPIRED}_idle": "used long after its time: kept, or copied",
    f"{EXPIRED}_absolute": "used long after its time: kept, or copied",
}
"""What a reason may mean, in a few words. Only the first ones speak of an attack."""

_SESSION_COLOURS = {name: f"var(--s{number})" for number, name in enumerate(SESSION_SERIES)}


@dataclass(frozen=True, slots=True)
class _Figure:
    """A chart as the page shows it.

    Attributes:
        title: above it.
        note: what it shows and how to read it.
        pictures: one for each width.
        legend: names with their colours.
        head: of the table of its numbers.
        rows: of that table; none if another table on the page has the numbers.
    """

    title: str
    note: str
    pictures: tuple[tuple[str, Markup], ...]
    legend: Mapping[str, str]
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class _Card:
    """An answer in a few words; ``mood`` is ``good``, ``bad`` or ``plain``."""

    question: str
    answer: str
    more: str
    mood: str = "plain"


def build(findings: Findings, *, sources: Sequence[str], made_at: float) -> str:
    """Return a report as HTML.

    Args:
        findings: what it says.
        sources: names of the logs.
        made_at: when, in Unix seconds.
    """
    folder = resources.files("sessionkit.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_cleaned
    )
    environment.filters.update(time=shown, duration=duration, number=lambda count: f"{count:,}")
    template = environment.from_string((folder / "page.html.jinja").read_text("utf-8"))
    style = Markup((folder / "page.css").read_text("utf-8"))  # noqa: S704 - a file of this package
    # Nothing over time: no picture has a time axis to stand on.
    figures = {} if findings.start is None else _figures(findings)
    return template.render(
        f=findings,
        sources=sources,
        made_at=made_at,
        style=style,
        cards=_cards(findings),
        figures=figures,
        most=MOST,
        meanings=_MEANINGS,
        details=details,
        warned=warned,
    )


def _cleaned(value: object) -> object:
    """Take control characters out of all that a template prints."""
    return clean(value, None) if isinstance(value, str) and not isinstance(value, Markup) else value


# --- in a few words ---------------------------------------------------------------------------------------------------


def _cards(findings: Findings) -> list[_Card]:
    return [_rotations(findings), _dependants(findings), _pruning(findings), _refused(findings), _workers(findings)]


def _rotations(findings: Findings) -> _Card:
    count = sum(1 for key in findings.keys if key.took_over is not None)
    seals = [key.name for key in findings.keys if key.state == "active"]
    return _Card(
        "Key changes",
        f"{count:,}",
        f"{', '.join(seals)} seals now." if seals else "The log does not tell which key seals now.",
    )


def _dependants(findings: Findings) -> _Card:
    keys = [key for key in findings.keys if key.sessions]
    count = sum(len(key.sessions) for key in keys)
    if not keys:
        return _Card("On retired keys", "none", "No session of this log depends on a key that has been retired.")
    until = max(key.depends_until or 0.0 for key in keys)
    return _Card("On retired keys", f"{count:,} sessions", f"At the latest until {shown(until)}.")


def _pruning(findings: Findings) -> _Card:
    keys = [key for key in findings.keys if key.state in {"retired", "revoked"}]
    ready = [key.name for key in keys if key.pruning.safe is Safety.YES]
    if not keys:
        return _Card("Safe to prune", "nothing to prune", "No key is retired or revoked.")
    if ready:
        return _Card("Safe to prune", f"{len(ready)} of {len(keys)} keys", f"{', '.join(ready)}.", "good")
    times = [key.pruning.allowed_at for key in keys if key.pruning.allowed_at is not None]
    return _Card(
        "Safe to prune", "not yet", f"The next from {shown(min(times))}." if times else "See the table of keys."
    )


def _refused(findings: Findings) -> _Card:
    refusals = findings.refusals
    if not refusals.total:
        return _Card("Refused cookies", "none", "", "good")
    reason, count = next(iter(refusals.by_reason().items()), (OTHERS, refusals.total))
    return _Card("Refused cookies", f"{refusals.total:,}", f"Most of all {reason}: {count:,}.")


def _workers(findings: Findings) -> _Card:
    workers, question = findings.workers, "Same ring everywhere"
    if not workers.live:
        return _Card(question, "no worker", workers.last_words())
    stray = (*workers.behind, *workers.silent)
    if stray:
        more = f"{len(stray)} of {workers.live} live workers: {', '.join(stray)}."
        return _Card(question, "no" if workers.behind else "not known", f"Another ring, or none told: {more}", "bad")
    return _Card(question, "yes", f"All {workers.live} live workers have ring {workers.digest}.", "good")


# --- charts -----------------------------------------------------------------------------------------------------------


def _figures(findings: Findings) -> dict[str, _Figure]:
    start, end = findings.start or 0.0, findings.end or 0.0
    period = (start, max(end, start + 1.0))
    names = _short_names(findings.keys)
    marks = [Mark(key.took_over, names[key.kid]) for key in findings.keys if key.took_over is not None]
    marks.sort(key=lambda mark: mark.when)
    figures = {
        "lives": _lives(findings, names, period, marks),
        "shares": _shares(findings, names, period, marks),
        "sessions": _sessions(findings, period, marks),
        "refusals": _refusals(findings, period, marks),
        "reasons": _reasons(findings),
        "clients": _clients(findings),
        "workers": _rings(findings, period, marks),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _short_names(keys: Sequence[KeyFinding]) -> dict[str, str]:
    """Return what to call each key in a chart: its label, unless another one has it too."""
    labels = [key.label for key in keys]
    return {key.kid: clean(key.name if labels.count(key.label) > 1 else key.label or key.kid) for key in keys}


def _lives(
    findings: Findings, names: Mapping[str, str], period: tuple[float, float], marks: Sequence[Mark]
) -> _Figure | None:
    spans = [
        Span(
            names[key.kid],
            life.start,
            life.end,
            f"var(--{life.what})",
            f"{names[key.kid]}: {life.what} from {shown(life.start)} to {shown(life.end)}",
        )
        for key in findings.keys[-LANES:]
        for life in key.lives
    ]
    if not spans:
        return None
    pictures = charts.lanes(spans, period, said="The life of each key: when it was in which state.", marks=marks)
    return _Figure(
        "Key lives",
        "Each bar is a key, from its first state that the log tells to its last. A dashed line is a take-over.",
        _shown(pictures),
        {state: f"var(--{state})" for state in _STATES},
    )


def _shares(
    findings: Findings, names: Mapping[str, str], period: tuple[float, float], marks: Sequence[Mark]
) -> _Figure | None:
    over_time = findings.keys_over_time
    kids = [key.kid for key in findings.keys if key.kid in over_time.series]
    colours = _coloured([*kids, *sorted(over_time.series - set(kids))])
    what = "sessions opened" if findings.basis is Basis.OPENED else "sessions written"
    return _over_time(
        over_time,
        colours,
        names,
        period,
        marks,
        title="Share of traffic by key",
        note=f"Of all {what} in each stretch of time, the share under each key.",
        share=True,
    )


def _sessions(findings: Findings, period: tuple[float, float], marks: Sequence[Mark]) -> _Figure | None:
    return _over_time(
        findings.sessions_over_time,
        _SESSION_COLOURS,
        {},
        period,
        marks,
        title="Sessions over time",
        note="What became of sessions. After a rotation, those that come back are encrypted again under the new key.",
    )


def _refusals(findings: Findings, period: tuple[float, float], marks: Sequence[Mark]) -> _Figure | None:
    return _over_time(
        findings.refusals_over_time,
        _reason_colours(findings),
        {},
        period,
        marks,
        title="Refused cookies over time",
        note="By reason, including those that were only summed up.",
    )


def _over_time(
    timeline: Timeline,
    colours: Mapping[str, str],
    names: Mapping[str, str],
    period: tuple[float, float],
    marks: Sequence[Mark],
    *,
    title: str,
    note: str,
    share: bool = False,
) -> _Figure | None:
    colours = {name: colour for name, colour in colours.items() if name in timeline.series}
    if not colours:
        return None
    said = f"{title}: {', '.join(names.get(name, name) for name in colours)}."
    pictures = charts.columns(
        timeline.buckets, colours, period, said=clean(said), share=share, marks=marks, names=names
    )
    rows = [
        (shown(bucket.start), *(f"{bucket.counts.get(name, 0):,}" for name in colours))
        for bucket in timeline.buckets(_NUMBERS)
    ]
    total = timeline.totals()
    rows.append(("in all", *(f"{total[name]:,}" for name in colours)))
    shown_names = {names.get(name, name): colour for name, colour in colours.items()}
    return _Figure(title, note, _shown(pictures), shown_names, ("from", *shown_names), tuple(rows))


def _reason_colours(findings: Findings) -> dict[str, str]:
    return _coloured([*findings.refusals.by_reason(), OTHERS], "r")


def _reasons(findings: Findings) -> _Figure | None:
    colours = _reason_colours(findings)
    counts = list(findings.refusals.by_reason().items())[:LANES]
    rows = [Row(reason, [(colours[reason], count, f"{reason}: {count:,}")]) for reason, count in counts]
    if not rows:
        return None
    pictures = charts.bars(rows, said="Refused cookies by reason, the most frequent first.")
    return _Figure("By reason", "The most frequent first.", _shown(pictures), {})


def _clients(findings: Findings) -> _Figure | None:
    refusals, colours = findings.refusals, _reason_colours(findings)
    clients = [client for client in refusals.by_client() if client is not None][: LANES // 2]
    if not clients:
        return None
    parts: dict[str, list[tuple[str, int, str]]] = {client: [] for client in clients}
    for kind in refusals.kinds:
        if kind.client_ref in parts:
            told = f"{kind.client_ref}, {kind.reason}: {kind.count:,}"
            parts[kind.client_ref].append((colours[kind.reason], kind.count, told))
    reasons = {kind.reason for kind in refusals.kinds if kind.client_ref in parts}
    pictures = charts.bars(
        [Row(client, part) for client, part in parts.items()],
        said="Refused cookies by client and reason, the client with the most first.",
    )
    return _Figure(
        "By client",
        "Clients go by a reference, a keyed hash of their address; the most active first.",
        _shown(pictures),
        {reason: colour for reason, colour in colours.items() if reason in reasons},
    )


def _rings(findings: Findings, period: tuple[float, float], marks: Sequence[Mark]) -> _Figure | None:
    workers = [worker for worker in findings.workers.all if worker.rings][-LANES:]
    if not workers:
        return None
    colours = _coloured(_rings_in_order(workers))
    spans = [
        Span(
            worker.instance,
            ring.start,
            ring.end,
            colours[ring.what],
            f"{worker.instance}: ring {ring.what} from {shown(ring.start)} to {shown(ring.end)}",
        )
        for worker in workers
        for ring in worker.rings
    ]
    pictures = charts.lanes(spans, period, said="Which ring each worker had in force, and when.", marks=marks)
    return _Figure(
        "Rings in force",
        "Each bar is a worker, each colour a ring. Where colours change one below the other, all changed at once.",
        _shown(pictures),
        {f"ring {digest}": colour for digest, colour in colours.items()},
    )


def _rings_in_order(workers: Sequence[Worker]) -> list[str]:
    first: dict[str, float] = {}
    for worker in workers:
        for ring in worker.rings:
            first[ring.what] = min(ring.start, first.get(ring.what, ring.start))
    return sorted(first, key=lambda digest: (first[digest], digest))


def _coloured(names: Sequence[str], kind: str = "s") -> dict[str, str]:
    """Give each name a colour: the last ones the strongest difference, the many before them the same grey."""
    distinct = list(dict.fromkeys(names))
    grey = max(0, len(distinct) - _COLOURS) if kind == "s" else 0
    return {
        name: f"var(--{kind}{number - grey})" if grey <= number < grey + _COLOURS else "var(--rest)"
        for number, name in enumerate(distinct)
    }


def _shown(pictures: Sequence[Picture]) -> tuple[tuple[str, Markup], ...]:
    return tuple((picture.layout, Markup(picture.svg)) for picture in pictures)  # noqa: S704 - tamed in charts
