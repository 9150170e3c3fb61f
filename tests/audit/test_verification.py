"""Whatever is done to a log is found, at the line where it was done; and an untouched log is never doubted."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.audit.verification import Kind
from tests.audit.chained import ROOT, Thief, event, fields, interleaved, process, told, verified, write

if TYPE_CHECKING:
    from collections.abc import Callable

TRIES = 120
"""Places at which each attack is tried."""


class Log:
    """What three processes wrote into one stream, and the checkpoints they sent elsewhere."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.checkpoints: list[str] = []
        streams = []
        for _ in range(3):
            chain, lines = process(self.rng, self.rng.randint(2, 15), checkpoints=self.checkpoints.append)
            chain.checkpoint()
            streams.append(lines)
        self.lines = interleaved(self.rng, streams)

    def uid(self, at: int) -> str:
        """Return the chain of a line."""
        uid: str = fields(self.lines[at])["chain_uid"]
        return uid

    def sequence(self, at: int) -> int:
        """Return the number of a line in its chain."""
        number: int = fields(self.lines[at])["sequence"]
        return number

    def followers(self, at: int) -> list[int]:
        """Return where the lines of the same chain behind a line stand."""
        return [later for later in range(at + 1, len(self.lines)) if self.uid(later) == self.uid(at)]

    def any_line(self, fit: Callable[[int], object] | None = None) -> int:
        """Return where one of the lines stands that fit."""
        return self.rng.choice([at for at in range(len(self.lines)) if fit is None or fit(at)])

    def render(self, said: dict[str, Any]) -> bytes:
        """Return a line that is written by hand."""
        return json.dumps(said).encode()


@pytest.mark.unmeasured
@pytest.mark.parametrize("seed", range(TRIES))
def test_an_edit_is_found(seed: int) -> None:
    """Attack 1: another value, another name, one field more or fewer: the line is named, and nothing else is."""
    log = Log(seed)
    at = log.any_line()
    said = fields(log.lines[at])
    name = log.rng.choice(["event", "component", "number", "took", "user"])
    match log.rng.randrange(4):
        case 0:
            said[name] = "another"
        case 1:
            said["other"] = said.pop(name)
        case 2:
            said["more"] = None
        case _:
            del said[name]
    number = log.sequence(at)
    log.lines[at] = log.render(said)
    assert told(verified(log.lines)) == [("edited", at + 1, number)]


@pytest.mark.unmeasured
@pytest.mark.parametrize("seed", range(TRIES))
def test_an_edit_of_the_chain_itself_is_found(seed: int) -> None:
    """Attack 1 on the chain's own fields: wherever the line claims to belong, it is named."""
    log = Log(seed)
    at = log.any_line()
    said = fields(log.lines[at])
    name = log.rng.choice(["chain_uid", "sequence", "prev_fingerprint", "fingerprint"])
    others: list[Any] = ["0" * 32, 0, 3, 1 << 70, -1, 2.5, None, []]
    others += [log.uid(log.any_line()), log.uid(at) + ".7", log.uid(at).lower()]
    said[name] = log.rng.choice([other for other in others if other != said[name]])
    log.lines[at] = log.render(said)
    found = verified(log.lines).findings
    assert at + 1 in {one.place.line for one in found if one.place is not None}
    assert {one.kind for one in found} & {Kind.EDITED, Kind.INSERTED, Kind.FOREIGN}


@pytest.mark.unmeasured
@pytest.mark.parametrize("seed", range(TRIES))
def test_a_deletion_is_found(seed: int) -> None:
    """Attack 2: the number that is missing is named, and the line behind the gap."""
    log = Log(seed)
    at = log.any_line(log.followers)
    behind, number = log.followers(at)[0], log.sequence(at)
    del log.lines[at]
    assert told(verified(log.lines)) == [("missing" if number else "headless", behind, number)]


@pytest.mark.parametrize("seed", range(TRIES))
def test_an_insertion_is_found(seed: int) -> None:
    """Attack 3: a line made up, with a chain's fields or without, and a line that was there before."""
    log = Log(seed)
    model, at = log.any_line(), log.any_line()
    said = fields(log.lines[model])
    match log.rng.randrange(3):
        case 0:
            line, expected = log.render(said | {"event": "made up"}), {"inserted"}
        case 1:
            line = log.render({"event": "session.destroyed", "component": "sessionkit"})
            expected = {"bare"}
        case _:
            line, expected = log.lines[model], {"copied"}
    log.lines.insert(at, line)
    (finding,) = verified(log.lines).findings
    assert finding.kind in expected
    assert finding.place is not None
    assert log.lines[finding.place.line - 1] == line  # beside its original, nothing tells a copy from it
    beside = abs(finding.place.line - 1 - at)
    assert beside == 0 or log.lines.count(line) == 2


@pytest.mark.unmeasured
@pytest.mark.parametrize("seed", range(TRIES))
def test_a_swap_is_found(seed: int) -> None:
    """Attack 4: two lines of a chain that have changed places are named; of two neighbours, one is."""
    log = Log(seed)
    one = log.any_line(log.followers)
    other = log.rng.choice(log.followers(one))
    apart = log.sequence(other) - log.sequence(one)
    log.lines[one], log.lines[other] = log.lines[other], log.lines[one]
    report = verified(log.lines)
    places = {finding.place.line for finding in report.findings if finding.place is not None}
    assert {finding.kind for finding in report.findings} == {Kind.MOVED}
    if apart == 1:
        assert len(places) == 1
        assert places <= {one + 1, other + 1}
    elif apart == 2:  # the one between may be taken for moved as well as either of them
        assert len(places) == 2
        assert places & {one + 1, other + 1}
    else:
        assert places == {one + 1, other + 1}


@pytest.mark.unmeasured
@pytest.mark.parametrize("seed", range(TRIES))
def test_a_rewrite_with_stolen_keys_is_found(seed: int) -> None:
    """Attack 5: who has all keys in memory cannot alter what was written before, with whatever key it is fitted."""
    rng = random.Random(seed)
    chain, lines = process(rng, rng.randint(2, 15))
    thief = Thief(chain)
    lines += [write(chain, event(rng, number), rng) for number in range(rng.randint(1, 15))]
    at = rng.randrange(thief.keys.index)
    assert verified(lines).findings == []
    lines[at] = thief.forge(lines[at], event="forged")
    for later in range(at + 1, len(lines)):  # and makes everything behind it follow on
        lines[later] = thief.forge(lines[later], prev_fingerprint=fields(lines[later - 1])["fingerprint"])
    found = told(verified(lines))
    assert found[0] == ("edited", at + 1, at)
    assert {line for _, line, _ in found} <= set(range(at + 1, thief.keys.index + 2))


@pytest.mark.unmeasured
@pytest.mark.parametrize("seed", range(TRIES))
def test_a_cut_tail_is_found_by_a_checkpoint(seed: int) -> None:
    """Attack 6: of each chain the last line that is left is named, and how many are gone; a whole chain is, too."""
    log = Log(seed)
    length = log.rng.randrange(len(log.lines))
    ends = {log.uid(at): log.sequence(at) + 1 for at in range(len(log.lines))}
    expected = set()
    for uid, count in ends.items():
        left = [at for at in range(length) if log.uid(at) == uid]
        if not left:
            expected.add((Kind.GONE, "checkpoints", 0, count))
        elif len(left) < count:
            expected.add((Kind.CUT, "0", left[-1] + 1, count - len(left)))
    report = verified(log.lines[:length], checkpoints=log.checkpoints)
    found = {
        (one.kind, one.place.source, 0 if one.kind is Kind.GONE else one.place.line, one.count)
        for one in report.findings
        if one.place is not None
    }
    assert found - {(Kind.BARE, "0", 0, 1)} == expected
    assert all(chain.proven <= chain.last + 1 for chain in report.chains if chain.closed)
    assert expected


@pytest.mark.unmeasured
@pytest.mark.parametrize("seed", range(100))
def test_an_untouched_log_is_not_doubted(seed: int) -> None:
    """Three processes, every renderer, files rotated anywhere and read in any order, checkpoints taken at any time."""
    rng = random.Random(seed)
    checkpoints: list[str] = []
    streams = []
    for _ in range(rng.randint(1, 3)):
        chain, lines = process(rng, rng.randint(1, 20), checkpoints=checkpoints.append)
        if rng.random() < 0.5:
            chain.checkpoint()
        lines += [write(chain, event(rng, number), rng) for number in range(rng.randint(0, 10))]
        streams.append(lines)
    stream = interleaved(rng, streams)
    cuts = sorted(rng.choices(range(len(stream) + 1), k=rng.randint(0, 3)))
    files = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, None], strict=True)]
    rng.shuffle(files)
    report = verified(*files, checkpoints=checkpoints)
    assert told(report) == []
    assert (report.lines, report.chained, report.bare, report.broken) == (len(stream), len(stream), 0, 0)
    assert sum(chain.lines for chain in report.chains) == len(stream)


MODEL = Log(1000)

deeds = st.lists(
    st.one_of(
        st.tuples(st.just("delete"), st.integers(0, 99)),
        st.tuples(st.just("copy"), st.integers(0, 99), st.integers(0, 99)),
        st.tuples(st.just("swap"), st.integers(0, 99), st.integers(0, 99)),
        st.tuples(st.just("overwrite"), st.integers(0, 99), st.integers(0, 399), st.binary(min_size=1, max_size=2)),
        st.tuples(st.just("cut"), st.integers(0, 99)),
        st.tuples(st.just("insert"), st.integers(0, 99), st.binary(max_size=30)),
    ),
    max_size=6,
)


def done_to(lines: list[bytes], deed: tuple[Any, ...]) -> None:
    """Do something to a log."""
    what, *places = deed
    at = places[0] % (len(lines) + 1)
    if what == "insert":
        lines.insert(at, places[1])
    elif what == "cut":
        del lines[at:]
    elif at < len(lines):
        if what == "delete":
            del lines[at]
        elif what == "copy":
            lines.insert(places[1] % len(lines), lines[at])
        elif what == "swap":
            other = places[1] % len(lines)
            lines[at], lines[other] = lines[other], lines[at]
        else:
            start = places[1] % len(lines[at])
            lines[at] = lines[at][:start] + places[2] + lines[at][start + len(places[2]) :]


def chains_of(lines: list[bytes]) -> dict[str, list[Any]]:
    """Return what each chain says, line by line, as far as lines can be read."""
    said: dict[str, list[Any]] = {}
    for line in lines:
        try:
            one = json.loads(line)
            said.setdefault(one["chain_uid"], []).append(one)
        except (ValueError, KeyError, TypeError):
            continue
    return said


@given(deeds)
def test_what_is_not_doubted_is_what_was_written(done: list[tuple[Any, ...]]) -> None:
    """Whatever is done in whatever order: if nothing is found, every chain says what it said, or the beginning of it.

    With the checkpoints at hand, it says all of it.
    """
    lines = list(MODEL.lines)
    for deed in done:
        done_to(lines, deed)
    before, after = chains_of(MODEL.lines), chains_of(lines)
    if not verified(lines).findings:
        assert after == {uid: before[uid][: len(said)] for uid, said in after.items()}
    if not verified(lines, checkpoints=MODEL.checkpoints).findings:
        assert after == before


def test_another_root_key_fits_nothing() -> None:
    """With a wrong key, every chain is foreign: said once for each, at its first line, not for every line."""
    log = Log(1)
    report = verified(log.lines, roots=[b"another root key, also long enough"], checkpoints=log.checkpoints)
    assert {one.kind for one in report.findings} == {Kind.FOREIGN, Kind.UNPROVEN}
    foreign = [one for one in report.findings if one.kind is Kind.FOREIGN]
    assert [one.place.line for one in foreign if one.place] == sorted(
        {log.uid(at): at + 1 for at in reversed(range(len(log.lines)))}.values()
    )
    assert sum(one.count for one in foreign) == len(log.lines)


def test_several_root_keys() -> None:
    """After the root key was changed, a log holds chains of both; each finds its own."""
    log = Log(2)
    assert verified(log.lines, roots=[b"x" * 32, ROOT], checkpoints=log.checkpoints).findings == []


def test_a_rewrite_after_the_theft_is_found_by_a_checkpoint() -> None:
    """What is written after the theft can be forged without a trace, but not behind a checkpoint's back."""
    rng = random.Random(3)
    checkpoints: list[str] = []
    chain, lines = process(rng, 3, checkpoints=checkpoints.append)
    thief = Thief(chain)
    lines += [write(chain, event(rng, number), rng) for number in range(3)]
    chain.checkpoint()
    lines[4] = thief.forge(lines[4], event="forged")
    lines[5] = thief.forge(lines[5], prev_fingerprint=fields(lines[4])["fingerprint"])
    assert verified(lines).findings == []
    assert told(verified(lines, checkpoints=checkpoints[-1:])) == [("rewritten", 6, 5)]


def test_a_forged_line_that_does_not_lead_on_is_found() -> None:
    """A line fitted with its stolen key, whose successor was left as it is, is a rewrite."""
    rng = random.Random(4)
    chain, lines = process(rng, 2)
    thief = Thief(chain)
    lines += [write(chain, event(rng, number), rng) for number in range(3)]
    lines[3] = thief.forge(lines[3], event="forged")
    assert told(verified(lines)) == [("rewritten", 5, 4)]


@pytest.mark.parametrize("heads", [{"x": 1}, {"x": "1"}, {1: None}, [], {"A" * 16: 1 << 80}, "x", {"": {}}])
def test_a_thief_cannot_end_the_verification(heads: object) -> None:
    """Whatever nonsense is fitted with stolen keys, the rest is verified all the same."""
    rng = random.Random(20)
    chain, lines = process(rng, 2)
    thief = Thief(chain)
    lines += [write(chain, event(rng, number), rng) for number in range(2)]
    lines[3] = thief.forge(lines[3], chain_heads=heads)
    del lines[1]
    assert ("missing", 2, 1) in told(verified(lines))


def test_a_chain_of_which_every_line_was_edited() -> None:
    """Where a checkpoint knows the chain, its lines are edited ones, not those of a foreign chain; it is gone, too."""
    rng = random.Random(21)
    checkpoints: list[str] = []
    chain, lines = process(rng, 2, checkpoints=checkpoints.append)
    chain.checkpoint()
    touched = [line.replace(b'"event"', b'"events"') for line in lines]
    assert told(verified(touched, checkpoints=checkpoints)) == [
        ("gone", 1, 0),
        ("edited", 1, 0),
        ("edited", 2, 1),
    ]


def test_a_checkpoint_of_an_unknown_chain() -> None:
    """A made-up checkpoint makes no chain."""
    log = Log(6)
    record = json.loads(log.checkpoints[0]) | {"chain_uid": "A" * 16}
    report = verified(log.lines, checkpoints=[json.dumps(record)])
    assert told(report) == [("unproven", 1, None)]
    assert len(report.chains) == 3


def test_a_thief_cannot_make_an_earlier_checkpoint() -> None:
    """A checkpoint for fewer lines than there were at the theft is not authentic."""
    rng = random.Random(5)
    checkpoints: list[str] = []
    chain, lines = process(rng, 4, checkpoints=checkpoints.append)
    chain.checkpoint()
    forged = json.loads(checkpoints[-1]) | {"lines": 2}
    report = verified(lines[:2], checkpoints=[json.dumps(forged)])
    assert told(report) == [("unproven", 1, None)]


@pytest.mark.parametrize(
    "line",
    ["", "{}", "[]", "nonsense", '{"checkpoint": 2}', '{"checkpoint": true}', '{"checkpoint": 1}', "[" * 100_000],
)
def test_what_is_no_checkpoint(line: str) -> None:
    """Anything else in a checkpoint file is found, and ends nothing."""
    log = Log(6)
    assert told(verified(log.lines, checkpoints=[line])) == [("unproven", 1, None)]


@pytest.mark.parametrize("lines", [0, -1, 1 << 40, 1 << 80])
def test_a_checkpoint_beyond_measure(lines: int) -> None:
    """No count that a checkpoint claims costs more than any other."""
    log = Log(6)
    record = json.loads(log.checkpoints[0]) | {"lines": lines}
    assert told(verified(log.lines, checkpoints=[json.dumps(record)])) == [("unproven", 1, None)]


@pytest.mark.parametrize(
    "line",
    [
        b"plain text",
        b'{"event": "cut sho',
        b"\xff{}",
        b'{"event": "\xff"}',
        b"[1]",
        b'{"a": ' + b"[" * 100_000,
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"number": ' + b"1" * 5000 + b"}",
    ],
)
def test_broken_lines_are_counted(line: bytes) -> None:
    """What is no JSON, or names a field twice, is counted; where the whole stream was chained, it is an insertion."""
    log = Log(7)
    log.lines.insert(3, line)
    report = verified(log.lines)
    assert (report.broken, report.findings) == (1 if b"\xff{}" not in line else 0, [])
    assert [(one.kind, one.place and one.place.line) for one in verified(log.lines, whole_stream=True).findings] == [
        (Kind.BARE, 4)
    ]


def test_a_broken_line_of_a_chain_is_a_gap() -> None:
    """A line that can no longer be read is missing from its chain, at the place where it stood."""
    log = Log(8)
    at = log.any_line(lambda at: log.followers(at) and log.sequence(at))
    behind, number = log.followers(at)[0], log.sequence(at)
    log.lines[at] = log.lines[at][:-9]
    report = verified(log.lines)
    assert told(report) == [("missing", behind + 1, number)]
    assert report.broken == 1


def test_a_name_that_stands_twice_does_not_pass() -> None:
    """Readers differ on which of two values counts, so a line with both is no line of the chain's."""
    log = Log(9)
    at = log.any_line(log.followers)
    log.lines[at] = log.lines[at].replace(b"{", b'{"event":"other",', 1)
    (finding,) = verified(log.lines).findings
    assert finding.kind in {Kind.MISSING, Kind.HEADLESS}


def test_lines_of_others_pass() -> None:
    """Where sessionkit's lines alone are chained, others' are counted and nothing more."""
    log = Log(10)
    log.lines.insert(0, b'{"event": "other", "component": "shop"}')
    report = verified(log.lines)
    assert (report.bare, report.findings) == (1, [])
    assert told(verified(log.lines, whole_stream=True)) == [("bare", 1, None)]


def test_words_of_a_collector() -> None:
    """A prefix that docker compose or journald puts before each line is no part of it."""
    log = Log(11)
    assert verified([b"web-1  | " + line for line in log.lines]).findings == []


def test_collectors_that_know_one_kind_of_number() -> None:
    """Integers that come back as floats, and floats as integers, are the same numbers."""
    log = Log(12)

    def respelled(line: bytes) -> bytes:
        said = fields(line)
        for name in ("number", "sequence"):
            said[name] = float(said[name])
        if float(said["took"]).is_integer():
            said["took"] = int(said["took"])
        return log.render(said)

    assert verified([respelled(line) for line in log.lines]).findings == []


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"NaN", b"Infinity"])
def test_no_number_at_all(number: bytes) -> None:
    """A number that no chain can have written is an edit, not an error."""
    rng = random.Random(13)
    chain, lines = process(rng, 1)
    lines.append(write(chain, {"event": "e", "size": 12345}, rng))
    lines[1] = lines[1].replace(b"12345", number)
    assert told(verified(lines)) == [("edited", 2, 1)]


def test_an_empty_log() -> None:
    """Where no line carries a chain, nothing is proven, and that is a finding."""
    assert told(verified([])) == [("bare", None, None)]
    assert told(verified([b"{}"])) == [("bare", None, None)]


def test_older_files_that_are_not_given() -> None:
    """By default a missing beginning is a finding; where older files are known to be missing, it is not."""
    log = Log(14)
    older, newer = log.lines[:-3], log.lines[-3:]
    assert {one.kind for one in verified(newer).findings} == {Kind.HEADLESS}
    report = verified(newer, checkpoints=log.checkpoints, partial=True)
    assert report.findings == []
    assert report.absent == 3 - len(report.chains)
    assert verified(newer, older, checkpoints=log.checkpoints).findings == []


def test_in_a_part_of_a_log_edits_are_found() -> None:
    """Also where the beginning is missing, a line is held against its key; one that claims to be older, too."""
    rng = random.Random(15)
    _, lines = process(rng, 9)
    lines[6] = lines[6].replace(b'"fingerprint"', b'"more":1,"fingerprint"')
    lines[8] = json.dumps(fields(lines[8]) | {"sequence": 2}).encode()
    assert told(verified(lines[4:], partial=True)) == [("edited", 3, 6), ("edited", 5, 2)]


def test_a_line_moved_into_another_file() -> None:
    """Files are in no order, but a line in the wrong one is found, at the beginning of that file too."""
    rng = random.Random(16)
    _, lines = process(rng, 12)
    for at in (6, 9, 12):
        first, second = lines[:6], lines[6:]
        second.insert(at - 6, first.pop(2))
        for files in ([first, second], [second, first]):
            (finding,) = verified(*files).findings
            assert (finding.kind, finding.sequence) == (Kind.MOVED, 2)


def test_a_block_that_was_moved() -> None:
    """Of a block and the rest, the smaller is named, once, with its lines."""
    rng = random.Random(17)
    _, lines = process(rng, 20)
    moved = lines[:5] + lines[9:16] + lines[5:9] + lines[16:]
    (finding,) = verified(moved).findings
    assert (finding.kind, finding.place and finding.place.line, finding.sequence, finding.count) == (
        Kind.MOVED,
        13,
        5,
        4,
    )


def test_a_file_that_is_there_twice() -> None:
    """A copy of some lines under another name is a repetition of them: every line counts once."""
    rng = random.Random(18)
    _, lines = process(rng, 10)
    (finding,) = verified(lines, lines[4:8]).findings
    assert (finding.kind, finding.place and finding.place.source, finding.sequence, finding.count) == (
        Kind.COPIED,
        "1",
        4,
        4,
    )
    (finding,) = verified(lines[:6], lines[4:]).findings
    assert (finding.kind, finding.place and finding.place.source, finding.count) == (Kind.COPIED, "1", 2)


def test_whatever_a_line_claims_costs_little() -> None:
    """Names of chains and numbers beyond all measure are refused as quickly as others."""
    rng = random.Random(19)
    _, lines = process(rng, 3)
    said = fields(lines[1])
    hostile: list[dict[str, Any]] = [
        {"chain_uid": "A" * 16 + ".9" * 100},
        {"chain_uid": "A" * 16 + ".1" * 17},
        {"chain_uid": "A" * 16 + ".2000000000000"},
        {"chain_uid": "A" * 16 + ".01"},
        {"chain_uid": "A" * 1_000_000},
        {"chain_uid": 7},
        {"sequence": (1 << 40) - 1},
        {"sequence": 1 << 40},
        {"sequence": True},
        {"sequence": "1"},
    ]
    for claims in hostile:
        report = verified([*lines, json.dumps(said | claims).encode()])
        (finding,) = report.findings
        assert finding.place is not None
        assert finding.place.line == 4
