"""Was a log touched? Reads its lines in whatever order and says where chains and lines do not fit together.

Each line proves itself (only its own key makes its fingerprint), so lines can be read in any order, and only their
places have to be kept of unbroken runs. What is found:

* **edited**, **inserted**: a line whose fingerprint does not fit. It is an insertion if the line with its number is
  there as well.
* **copied**: a line that stands twice. **moved**: a line that stands behind one with a higher number; of all ways to
  tell it, that which moves the fewest lines.
* **missing**: a line between two others. **headless**: the lines before the first one. **cut**: lines that a checkpoint
  or a closing line tells of and that are not there any more. **gone**: a whole chain of that kind.
* **rewritten**: a line that fits its key, but neither what follows it nor a checkpoint: written with stolen keys.
* **foreign**: a chain no line of which was made with this root key.
* **bare**: a line of sessionkit's (or any line, if the whole stream was chained) without a chain.
* **unproven**: a checkpoint that is none, or was not made with this root key.

Rules of this file: pure, and no line can end it. A log is hostile input: what it claims is believed after it is proven,
and bounds the work only then. What a line says is never quoted.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sessionkit.audit import checkpoints as checkpointing
from sessionkit.audit.fingerprint import (
    CHAIN_FIELDS,
    FIRST,
    MAX_LINES,
    Ratchet,
    canonical,
    fingerprint,
    lines_seed,
    secret_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sessionkit.audit.checkpoints import Checkpoint

__all__ = ["ChainFacts", "Finding", "Kind", "Place", "Report", "Verifier"]

_AHEAD = 64
"""Lines by which a chain's keys are turned forward one by one; beyond, a jump (40 steps) is as cheap."""


class Kind(StrEnum):
    """What is wrong."""

    EDITED = "edited"
    INSERTED = "inserted"
    COPIED = "copied"
    MOVED = "moved"
    MISSING = "missing"
    HEADLESS = "headless"
    CUT = "cut"
    GONE = "gone"
    REWRITTEN = "rewritten"
    FOREIGN = "foreign"
    BARE = "bare"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a line stands.

    Attributes:
        file: number of its file, in the order in which they were read.
        line: counted from 1.
        source: name of the file.
    """

    file: int
    line: int
    source: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong.

    Attributes:
        kind: what.
        place: the line at which it shows; of missing lines, the one behind the gap, or the last one before a cut.
        problem: for people.
        chain_uid: the chain concerned, as far as it is known.
        sequence: number of the (first) line concerned.
        count: lines concerned.
    """

    kind: Kind
    place: Place | None
    problem: str
    chain_uid: str | None = None
    sequence: int | None = None
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFacts:
    """What is known of a chain.

    Attributes:
        chain_uid: its name.
        lines: how many were found to be genuine, copies not counted.
        first: number of the first of them.
        last: number of the last of them.
        proven: lines that a checkpoint or a closing line tells of.
        closed: whether it ended in order, with the lines that are there; if not, its process runs, has crashed, or the
            tail was cut.
    """

    chain_uid: str
    lines: int
    first: int
    last: int
    proven: int
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What verification came to.

    Attributes:
        lines: lines read.
        chained: lines that carry a chain's fields.
        bare: lines that carry none.
        broken: lines that are no JSON object with distinct names.
        checkpoints: checkpoints read.
        chains: genuine chains, in the order of their first line.
        absent: chains that checkpoints know, passed over because older files were not given.
        findings: what is wrong, in the order of the lines.
    """

    lines: int
    chained: int
    bare: int
    broken: int
    checkpoints: int
    chains: Sequence[ChainFacts]
    absent: int
    findings: Sequence[Finding]


@dataclass(slots=True)
class _Run:
    """Genuine lines that follow one another in one file."""

    first: int
    last: int
    before: str
    """Fingerprint that its first line names as the one before."""
    fingerprint: str
    start: Place
    end: Place

    @property
    def size(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class _Misfit:
    """A line whose fingerprint does not fit.

    Attributes:
        place: where it stands.
        claimed: the number it claims, if it is a number.
        after: number of the genuine line of its chain before it in its file.
    """

    place: Place
    claimed: int | None
    after: int | None


@dataclass(slots=True)
class _Chain:
    uid: str
    seeds: list[bytes]
    """Seed of the lines' keys, for each root key that may be the right one; one, as soon as a line has fitted."""
    keys: Ratchet | None = None
    runs: list[_Run] = field(default_factory=list)
    misfits: list[_Misfit] = field(default_factory=list)
    proven: int = 0
    closed: bool = False
    witness: Place | None = None
    """Where it is told of, should it be gone."""
    expected: dict[int, str] = field(default_factory=dict)
    """Fingerprints that checkpoints know, by the line's number."""


class Verifier:
    """Takes lines, and says at the end what is wrong with them.

    Args:
        roots: the root keys that may have been used.
        whole_stream: every line was chained, so that any other line is an insertion.
        partial: older files are not given, so that chains may begin anywhere and others may be absent.
    """

    def __init__(self, roots: Sequence[bytes], *, whole_stream: bool = False, partial: bool = False) -> None:
        self._roots = roots
        self._whole_stream = whole_stream
        self._partial = partial
        self._chains: dict[str, _Chain] = {}
        self._files: dict[str, int] = {}
        self._lines = self._chained = self._bare = self._broken = self._checkpoints = 0
        self._findings: list[Finding] = []

    # --- reading ------------------------------------------------------------------------------------------------------

    def checkpoint(self, source: str, number: int, line: bytes) -> None:
        """Take a line of a checkpoint file; all of them before the first line of a log."""
        self._checkpoints += 1
        place = self._place(source, number)
        found = checkpointing.parse(line)
        chain = self._chain(found.chain_uid) if found is not None else None
        if found is None or chain is None or not self._is_authentic(found, chain):
            problem = "is no checkpoint, or was not made with this root key"
            self._findings.append(Finding(kind=Kind.UNPROVEN, place=place, problem=problem))
            return
        chain.expected[found.lines - 1] = found.fingerprint
        self._expect(chain, found.lines, place)
        chain.closed |= found.closed

    def feed(self, source: str, number: int, line: bytes) -> None:
        """Take a line of a log."""
        self._lines += 1
        place = self._place(source, number)
        fields = _parse(line)
        if fields is None:
            self._broken += 1
            if self._whole_stream:
                self._find_bare(place, "cannot be read")
        elif not any(name in fields for name in CHAIN_FIELDS):
            self._bare += 1
            if self._whole_stream or fields.get("component") == "sessionkit":
                self._find_bare(place, "carries no chain")
        else:
            self._chained += 1
            self._take(fields, place)

    def _find_bare(self, place: Place, what: str) -> None:
        problem = f"{what}: it was inserted, or its fields were taken away, or it could not be chained"
        self._findings.append(Finding(kind=Kind.BARE, place=place, problem=problem))

    def _place(self, source: str, number: int) -> Place:
        return Place(self._files.setdefault(source, len(self._files)), number, source)

    def _chain(self, uid: object) -> _Chain | None:
        if not isinstance(uid, str):
            return None
        chain = self._chains.get(uid)
        if chain is None:
            secrets = [secret_of(root, uid) for root in self._roots]
            chain = self._chains[uid] = _Chain(uid, [lines_seed(secret) for secret in secrets if secret is not None])
        return chain

    def _take(self, fields: dict[str, Any], place: Place) -> None:
        uid, sequence, previous, claimed = (fields.pop(name, None) for name in CHAIN_FIELDS)
        if type(sequence) is float and sequence.is_integer():
            sequence = int(sequence)  # some collectors know one kind of number
        chain = self._chain(uid)
        if chain is None:
            problem = "does not fit its fingerprint: it was edited or inserted"
            self._findings.append(Finding(kind=Kind.EDITED, place=place, problem=problem))
            return
        known = type(sequence) is int and 0 <= sequence < MAX_LINES
        last = chain.runs[-1] if chain.runs and chain.runs[-1].end.file == place.file else None
        if not known or not isinstance(previous, str) or not self._fits(chain, sequence, previous, claimed, fields):
            chain.misfits.append(_Misfit(place, sequence if known else None, None if last is None else last.last))
            return
        wanted = chain.expected.get(sequence, claimed)
        if wanted != claimed:
            self._rewritten(chain, place, sequence, "is not the one that a checkpoint knows")
        heads = fields.get("chain_heads")
        if isinstance(heads, dict):
            self._close(chain, sequence, heads, place)
        if last is not None and sequence == last.last + 1 and previous == last.fingerprint:
            last.last, last.fingerprint, last.end = sequence, claimed, place
        else:
            chain.runs.append(_Run(sequence, sequence, previous, claimed, place, place))

    def _fits(self, chain: _Chain, sequence: int, previous: str, claimed: object, fields: dict[str, Any]) -> bool:
        try:
            text = canonical(fields)
        except ValueError:
            return False  # no number that JSON can have, so no line that a chain has made
        for keys in self._keys(chain, sequence):
            if claimed == fingerprint(keys.key, chain.uid, sequence, previous, text):
                self._settle(chain, keys)
                return True
        return False

    def _is_authentic(self, found: Checkpoint, chain: _Chain) -> bool:
        if not 0 < found.lines < MAX_LINES:
            return False
        for keys in self._keys(chain, found.lines):
            if found.is_authentic(keys.key):
                self._settle(chain, keys)
                return True
        return False

    @staticmethod
    def _keys(chain: _Chain, index: int) -> Iterator[Ratchet]:
        """Yield the keys, turned to a line, that may be the chain's: one, or one for each root key."""
        if chain.keys is None:
            for seed in list(chain.seeds):
                chain.seeds = [seed, *(other for other in chain.seeds if other != seed)]
                yield Ratchet(seed, index)
            return
        if not 0 <= index - chain.keys.index < _AHEAD:
            yield Ratchet(chain.seeds[0], index)
            return
        while chain.keys.index < index:
            chain.keys.advance()
        yield chain.keys

    @staticmethod
    def _settle(chain: _Chain, keys: Ratchet) -> None:
        del chain.seeds[1:]
        chain.keys = keys

    def _close(self, chain: _Chain, sequence: int, heads: dict[str, Any], place: Place) -> None:
        for uid, count in heads.items():
            told = self._chain(uid)
            if told is not None and type(count) is int:
                self._expect(told, count, place)
        chain.closed = chain.closed or heads.get(chain.uid) == sequence + 1

    @staticmethod
    def _expect(chain: _Chain, count: int, witness: Place) -> None:
        if count > chain.proven:
            chain.proven, chain.witness = count, witness

    # --- concluding ---------------------------------------------------------------------------------------------------

    def report(self) -> Report:
        """Say what is wrong. To be asked once, when everything has been read."""
        absent = 0
        facts = []
        for chain in self._chains.values():
            if chain.runs:
                facts.append(self._conclude(chain))
            elif chain.proven:
                absent += self._partial
                self._without_lines(chain)
            elif chain.misfits:
                self._foreign(chain)
        if not self._chained:
            self._findings.append(Finding(kind=Kind.BARE, place=None, problem="no line carries a chain"))
        nowhere = Place(len(self._files), 0, "")
        self._findings.sort(key=lambda finding: finding.place or nowhere)
        return Report(
            lines=self._lines,
            chained=self._chained,
            bare=self._bare,
            broken=self._broken,
            checkpoints=self._checkpoints,
            chains=facts,
            absent=absent,
            findings=self._findings,
        )

    def _add(
        self, chain: _Chain, kind: Kind, place: Place | None, sequence: int | None, problem: str, *, count: int = 1
    ) -> None:
        self._findings.append(
            Finding(kind=kind, place=place, problem=problem, chain_uid=chain.uid, sequence=sequence, count=count)
        )

    def _rewritten(self, chain: _Chain, place: Place, sequence: int, what: str) -> None:
        self._add(chain, Kind.REWRITTEN, place, sequence, f"{what}: written anew with stolen keys")

    def _foreign(self, chain: _Chain) -> None:
        first = chain.misfits[0]
        problem = "belongs to a chain of which no line was made with this root key"
        count = len(chain.misfits)
        self._findings.append(Finding(kind=Kind.FOREIGN, place=first.place, problem=problem, count=count))

    def _without_lines(self, chain: _Chain) -> None:
        for misfit in chain.misfits:
            self._edited(chain, misfit, misfit.claimed)
        if not self._partial:
            problem = f"tells of {chain.proven} lines of a chain that is not there"
            self._add(chain, Kind.GONE, chain.witness, 0, problem, count=chain.proven)

    def _conclude(self, chain: _Chain) -> ChainFacts:
        runs = self._without_copies(chain)
        ordered = sorted(runs, key=lambda run: run.first)
        gaps = self._gaps(chain, ordered)
        self._tell_misfits(chain, gaps)
        for gap, start, stop in gaps.left():
            self._missing(chain, gap, start, stop)
        for run in _moved(runs):
            what = "this line stands" if run.size == 1 else f"{run.size} lines from here stand"
            self._add(chain, Kind.MOVED, run.start, run.first, f"{what} behind later ones: moved", count=run.size)
        return ChainFacts(
            chain_uid=chain.uid,
            lines=sum(run.size for run in ordered),
            first=ordered[0].first,
            last=ordered[-1].last,
            proven=chain.proven,
            closed=chain.closed and chain.proven <= ordered[-1].last + 1,
        )

    def _without_copies(self, chain: _Chain) -> list[_Run]:
        """Return the runs in the order of reading, without those that others hold already, and tell of these."""
        kept = []
        reach: _Run | None = None
        for run in sorted(chain.runs, key=lambda run: (run.first, -run.last)):
            if reach is None or run.first > reach.last:
                kept.append(run)
                reach = run
                continue
            twice = min(run.last, reach.last) - run.first + 1
            what = "its number" if twice == 1 else f"each number of the {twice} lines from here"
            problem = f"{what} is there twice: inserted again (or two processes share one chain: a cloned machine)"
            self._add(chain, Kind.COPIED, run.start, run.first, problem, count=twice)
            if run.last > reach.last:
                # What goes beyond the copy is genuine; its fingerprint before that is the copy's own matter.
                run.first, run.before = reach.last + 1, reach.fingerprint
                kept.append(run)
                reach = run
        return sorted(kept, key=lambda run: run.start)

    def _gaps(self, chain: _Chain, ordered: list[_Run]) -> _Gaps:
        gaps = []
        before: _Run | None = None
        for run in ordered:
            expected = 0 if before is None else before.last + 1
            if run.first > expected:
                kind = Kind.HEADLESS if before is None else Kind.MISSING
                gaps.append(_Gap(expected, run.first, kind, run.start))
            elif run.before != (FIRST if before is None else before.fingerprint):
                self._rewritten(chain, run.start, run.first, "does not follow on the line before it")
            before = run
        last = ordered[-1]
        gaps.append(_Gap(last.last + 1, max(chain.proven, last.last + 1), Kind.CUT, last.end))
        return _Gaps(gaps)

    def _tell_misfits(self, chain: _Chain, gaps: _Gaps) -> None:
        """Give each line that does not fit the number it had, if one is free."""
        for misfit in chain.misfits:
            meant = None if misfit.after is None else misfit.after + 1
            if misfit.claimed is None or gaps.fill(misfit.claimed) or misfit.claimed >= gaps.end:
                self._edited(chain, misfit, misfit.claimed)
            elif meant is not None and gaps.fill(meant):
                self._edited(chain, misfit, meant)
            else:
                problem = "does not fit its fingerprint, and the line with its number is there: inserted"
                self._add(chain, Kind.INSERTED, misfit.place, misfit.claimed, problem)

    def _edited(self, chain: _Chain, misfit: _Misfit, sequence: int | None) -> None:
        self._add(chain, Kind.EDITED, misfit.place, sequence, "does not fit its fingerprint: edited, or inserted")

    def _missing(self, chain: _Chain, gap: _Gap, start: int, stop: int) -> None:
        if gap.kind is Kind.HEADLESS and self._partial:
            return
        count = stop - start
        what = f"line {start} of its chain is" if count == 1 else f"lines {start} to {stop - 1} of its chain are"
        problem = {
            Kind.MISSING: f"{what} missing before this one",
            Kind.HEADLESS: f"{what} missing before this one (if older files are not given, say so: --partial)",
            Kind.CUT: f"{what} missing after this one: the tail was cut",
        }[gap.kind]
        self._add(chain, gap.kind, gap.place, start, problem, count=count)


@dataclass(frozen=True, slots=True)
class _Gap:
    """Numbers from ``start`` up to but not with ``stop`` that no genuine line has."""

    start: int
    stop: int
    kind: Kind
    place: Place


class _Gaps:
    """The numbers that no genuine line of a chain has, of which lines that do not fit may take some."""

    def __init__(self, gaps: list[_Gap]) -> None:
        self._gaps = gaps
        self._starts = [gap.start for gap in gaps]
        self._taken: list[set[int]] = [set() for _ in gaps]
        self.end = gaps[-1].start
        """The first number beyond the last genuine line."""

    def fill(self, number: int) -> bool:
        """Give a number away; tell whether there was one to give."""
        at = bisect_right(self._starts, number) - 1
        if at < 0 or number >= self._gaps[at].stop or number in self._taken[at]:
            return False
        self._taken[at].add(number)
        return True

    def left(self) -> Iterator[tuple[_Gap, int, int]]:
        """Yield what remains: the gap, and the numbers from a first up to but not with a last."""
        for gap, taken in zip(self._gaps, self._taken, strict=True):
            start = gap.start
            for number in [*sorted(taken), gap.stop]:
                if number > start:
                    yield gap, start, number
                start = number + 1


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the fields of a line, or ``None`` if it has none, or names one twice: readers would not agree on it."""
    start = line.find(b"{")  # a collector may have put words of its own in front
    if start < 0:
        return None
    try:
        fields: dict[str, Any] = _decode(line[start:].decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return fields


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice")
    return fields


_decode: Callable[[str], Any] = json.JSONDecoder(object_pairs_hook=_distinct).decode


def _moved(runs: list[_Run]) -> list[_Run]:
    """Return the runs that must have been moved, so few lines as possible.

    The others are the heaviest ascending row. Files are in no order, so each comes where its longest run belongs.
    """
    files: dict[int, list[_Run]] = {}
    for run in runs:
        files.setdefault(run.start.file, []).append(run)
    rows = sorted(files.values(), key=lambda row: max(row, key=lambda run: run.size).first)
    ahead = [run for row in rows for run in row]
    if all(one.first < other.first for one, other in pairwise(ahead)):
        return []
    return _outside_heaviest_row(ahead)


def _outside_heaviest_row(runs: list[_Run]) -> list[_Run]:
    """Return what the heaviest ascending row of runs leaves out (a Fenwick tree of the best row up to each rank)."""
    ranks = {run.first: rank for rank, run in enumerate(sorted(runs, key=lambda run: run.first), 1)}
    best: list[tuple[int, int]] = [(0, -1)] * (len(runs) + 1)
    back: list[int] = []
    for at, run in enumerate(runs):
        rank = ranks[run.first]
        weight, before, look = 0, -1, rank - 1
        while look:
            weight, before = max((weight, before), best[look])
            look &= look - 1
        back.append(before)
        mine, look = (weight + run.size, at), rank
        while look < len(best):
            best[look] = max(best[look], mine)
            look += look & -look
    row = set()
    at = max(best)[1]
    while at >= 0:
        row.add(at)
        at = back[at]
    return [run for at, run in enumerate(runs) if at not in row]
