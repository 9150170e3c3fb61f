"""Counts over time keep their totals, whatever is merged, and their memory, whatever comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sessionkit.report.timeline import OTHERS, SERIES, Timeline

TIMES = st.one_of(st.floats(0, 100), st.floats(1.7e9, 1.8e9), st.floats(0, 2.5e11))
COUNTS = st.integers(0, 10**9)


def test_a_bucket_holds_what_happened_in_it() -> None:
    """Times of one second are one bucket, and empty seconds between two of them are there as well."""
    timeline = Timeline()
    for when in (10.0, 10.9, 13.0):
        timeline.add("a", when)
    timeline.add("b", 13.5, 4)
    assert [(start, dict(counts)) for start, counts in timeline.buckets(100)] == [
        (10, {"a": 2}),
        (11, {}),
        (12, {}),
        (13, {"a": 1, "b": 4}),
    ]
    assert timeline.width == 1
    assert timeline.series == {"a", "b"}


@given(st.lists(st.tuples(st.sampled_from("abc"), TIMES, COUNTS), max_size=60), st.integers(2, 50))
def test_totals_are_exact_and_buckets_few(added: list[tuple[str, float, int]], most: int) -> None:
    """However far apart the times lie, nothing is lost, and there are never more buckets than allowed."""
    timeline = Timeline(most)
    for series, when, count in added:
        timeline.add(series, when, count)
        assert len(timeline.buckets(10**9)) <= most
    expected = {name: sum(count for series, _, count in added if series == name) for name, _, _ in added}
    assert timeline.totals() == expected
    for at_most in (1, 7):
        merged = timeline.buckets(at_most)
        assert len(merged) <= at_most
        assert sum(sum(bucket.counts.values()) for bucket in merged) == sum(expected.values())


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1e6)), max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_times_does_not_matter(added: list[tuple[str, float]], random: object) -> None:
    """Logs of several workers, read one after the other, come to the same buckets as their lines in order."""
    one, other = Timeline(20), Timeline(20)
    for series, when in added:
        one.add(series, when)
    for series, when in sorted(added, key=lambda entry: entry[1]):
        other.add(series, when)
    assert one.buckets(20) == other.buckets(20)


@given(TIMES, st.floats(-10, 1e7), COUNTS, st.integers(2, 50))
def test_what_is_spread_adds_up(start: float, length: float, count: int, most: int) -> None:
    """A count over a stretch of time, even one that ends before it begins, is divided without a rest."""
    timeline = Timeline(most)
    timeline.spread("a", start, max(0.0, start + length), count)
    assert timeline.totals() == {"a": count}
    assert all(part >= 0 for bucket in timeline.buckets(10**9) for part in bucket.counts.values())


def test_what_is_spread_is_spread_evenly() -> None:
    """Each second of a window gets its share, those at the ends in proportion."""
    timeline = Timeline()
    timeline.spread("a", 100.5, 103.5, 300)
    assert [bucket.counts["a"] for bucket in timeline.buckets(10)] == [50, 100, 100, 50]


def test_series_are_bounded() -> None:
    """More series than there is room for are counted together, and the first ones go on apart."""
    timeline = Timeline()
    for number in range(SERIES + 10):
        timeline.add(f"series {number}", 1.0)
    timeline.add("series 0", 1.0)
    totals = timeline.totals()
    assert len(totals) == SERIES + 1
    assert totals[OTHERS] == 10
    assert totals["series 0"] == 2


def test_nothing_counted_is_nothing_to_show() -> None:
    """An empty timeline has no buckets."""
    assert Timeline().buckets(10) == []
    assert Timeline().totals() == {}


def test_centuries_fit() -> None:
    """Two times that no stretch of the usual widths spans still share one timeline."""
    timeline = Timeline(4)
    timeline.add("a", 0.0)
    timeline.add("a", 2.5e11)
    assert len(timeline.buckets(4)) <= 4
    assert timeline.totals() == {"a": 2}
