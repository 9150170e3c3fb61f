"""One token and several cookie values: what is cut is found again, whatever else lies around."""

from __future__ import annotations

from itertools import product, zip_longest

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sessionkit.wire.chunking import MAX_COMBINATIONS, candidates, capacity, split


@st.composite
def limits(draw: st.DrawFn) -> tuple[int, int, int]:
    """Draw ``single, size, max_chunks`` as a configuration could have them, only smaller."""
    max_chunks = draw(st.integers(1, 6))
    size = draw(st.integers(max_chunks + 1, 20))
    return size + draw(st.integers(0, 6)), size, max_chunks


@st.composite
def cuts(draw: st.DrawFn, *, least: int = 1) -> tuple[bytes, list[bytes]]:
    """Draw a token that fits and its chunks, at least so many."""
    single, size, max_chunks = draw(limits())
    top = capacity(single, size, max_chunks)
    bottom = 1 if least == 1 else single + 1
    assume(bottom <= top)
    # No two octets of a token are alike, so that no two chunks are.
    token = bytes(range(draw(st.integers(bottom, top))))
    return token, split(token, single, size)


def sets(chunks: list[bytes]) -> dict[int, list[bytes]]:
    """Return chunks as a reader hands them on."""
    return {number: [value] for number, value in enumerate(chunks)}


@given(cuts())
def test_joined_it_is_the_token(cut: tuple[bytes, list[bytes]]) -> None:
    """Case 17: chunks are slices of the token; nothing is added and nothing depends on where the cut falls."""
    token, chunks = cut
    assert b"".join(chunks) == token


@given(cuts())
def test_all_but_the_last_have_one_length(cut: tuple[bytes, list[bytes]]) -> None:
    """Case 6: the last chunk is shorter than the others and never empty, so a set tells its own end."""
    _, chunks = cut
    assert len({len(chunk) for chunk in chunks[:-1]}) <= 1
    assert chunks[-1]
    assert len(chunks) == 1 or len(chunks[-1]) < len(chunks[0])


@given(limits(), st.data())
def test_what_fits_is_cut_into_what_is_allowed(limits: tuple[int, int, int], data: st.DataObject) -> None:
    """Case 10: a token up to ``capacity`` takes at most ``max_chunks`` values; one octet more does not."""
    single, size, max_chunks = limits
    top = capacity(single, size, max_chunks)
    chunks = split(bytes(data.draw(st.integers(1, top))), single, size)
    assert len(chunks) <= max_chunks
    assert len(chunks[0]) <= (single if len(chunks) == 1 else size)
    assert len(split(bytes(top), single, size)) <= max_chunks
    assert len(split(bytes(top + 1), single, size)) > max_chunks


@pytest.mark.parametrize(
    ("length", "lengths"),
    [
        (1, [1]),
        (11, [11]),
        (12, [12]),
        (13, [10, 3]),
        (19, [10, 9]),
        (20, [9, 9, 2]),
        (21, [10, 10, 1]),
        (30, [9, 9, 9, 3]),
        (39, [10, 10, 10, 9]),
    ],
)
def test_one_cut_per_length(length: int, lengths: list[int]) -> None:
    """Case 10: at the limit, one below and one above; a multiple of the size is cut one octet shorter."""
    assert [len(chunk) for chunk in split(bytes(length), 12, 10)] == lengths


@given(cuts(least=2))
def test_a_whole_set_is_found_alone(cut: tuple[bytes, list[bytes]]) -> None:
    """Case 1: from its chunks, in any order, exactly one set is made."""
    _, chunks = cut
    assert candidates(dict(reversed(sets(chunks).items()))) == (tuple(chunks),)


@given(cuts(least=2), st.lists(st.binary(min_size=1, max_size=24), max_size=5), st.integers(0, 2))
def test_leftovers_are_never_joined_on(cut: tuple[bytes, list[bytes]], leftovers: list[bytes], gap: int) -> None:
    """Case 6: whatever an older, longer session left behind the end, next to it or further on, changes nothing."""
    _, chunks = cut
    left = {len(chunks) + gap + number: [value] for number, value in enumerate(leftovers)}
    assert candidates(sets(chunks) | left) == (tuple(chunks),)


@given(cuts(least=2), st.data())
def test_a_missing_chunk_is_seen(cut: tuple[bytes, list[bytes]], data: st.DataObject) -> None:
    """Case 7: without any one of its chunks, first, middle or last, there is no set at all; nothing is left to open."""
    _, chunks = cut
    missing = data.draw(st.integers(0, len(chunks) - 1))
    assert candidates({number: values for number, values in sets(chunks).items() if number != missing}) == ()


@given(cuts(), st.integers(1, 7))
def test_one_numbered_cookie_is_no_set(cut: tuple[bytes, list[bytes]], number: int) -> None:
    """Case 8: a numbered cookie alone is never taken for a whole token, be it the first."""
    token, _ = cut
    assert candidates({0: [token]}) == candidates({number: [token]}) == candidates({}) == ()


@given(st.lists(st.integers(2, 4), min_size=2, max_size=2), st.integers(0, 8), st.integers(0, 8), st.booleans())
def test_two_whole_sets_are_both_found(counts: list[int], short: int, shorter: int, swapped: bool) -> None:
    """Case 29: the sessions of two paths come chunk by chunk in step; each is among the sets, in both orders."""
    writes = [
        [bytes([65 + number + 32 * write]) * 10 for number in range(count - 1)] + [bytes([48 + write]) * (9 - last)]
        for write, (count, last) in enumerate(zip(counts, (short, shorter), strict=True))
    ]
    found = candidates(interleaved(*(reversed(writes) if swapped else writes)))
    assert {tuple(write) for write in writes} <= set(found)


@pytest.mark.parametrize("count", [2, 5, 8, 16])
@pytest.mark.parametrize("writes", [2, 3, 4])
def test_sets_in_step_come_first(count: int, writes: int) -> None:
    """Case 29: whole sets of one length are found however many chunks they have, before any mixture of them."""
    whole = [
        [bytes([65 + write]) * 10 for _ in range(count - 1)] + [bytes([65 + write]) * 3] for write in range(writes)
    ]
    assert set(candidates(interleaved(*whole))[:writes]) == {tuple(write) for write in whole}


@given(
    st.dictionaries(
        st.integers(0, 7), st.lists(st.text("ab", min_size=1, max_size=4).map(str.encode), max_size=4, unique=True)
    )
)
def test_whatever_comes_work_is_bounded(chunks: dict[int, list[bytes]]) -> None:
    """Case 15: of any jumble at most ``MAX_COMBINATIONS`` different sets are made, each of them a possible cut."""
    found = candidates(chunks)
    assert len(found) == len(set(found)) <= MAX_COMBINATIONS
    for parts in found:
        assert all(part in chunks[number] for number, part in enumerate(parts))
        assert {len(part) for part in parts[:-1]} == {len(parts[0])}
        assert 0 < len(parts[-1]) < len(parts[0])


@given(
    st.lists(
        st.lists(st.integers(1, 9).map(lambda length: b"x" * length), min_size=1, max_size=2, unique=True), max_size=3
    )
)
def test_a_small_jumble_is_searched_whole(values: list[list[bytes]]) -> None:
    """Case 28: as long as the bound is not reached, no possible cut is left out."""
    possible = (parts for end in range(2, len(values) + 1) for parts in product(*values[:end]))
    assert set(candidates(dict(enumerate(values)))) == {
        parts
        for parts in possible
        if all(len(part) == len(parts[0]) for part in parts[:-1]) and len(parts[-1]) < len(parts[0])
    }


def test_more_cookies_than_a_browser_holds() -> None:
    """Case 15: sixteen numbers with four values each, 4^16 mixtures, cost no more than the bound."""
    chunks = {number: [bytes([65 + value]) * (9 + (number < 15)) for value in range(4)] for number in range(16)}
    assert len(candidates(chunks)) == MAX_COMBINATIONS


def interleaved(*writes: list[bytes]) -> dict[int, list[bytes]]:
    """Return the chunks of several writes as a browser sends them: all that it has of each number, in one order."""
    columns = zip_longest(*writes)
    return {number: [value for value in column if value is not None] for number, column in enumerate(columns)}
