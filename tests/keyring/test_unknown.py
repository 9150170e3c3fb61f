"""Ids that were looked for in vain: known under one state alone, and never more than there is room for."""

from __future__ import annotations

from sessionkit.keyring.unknown import CAPACITY, UnknownKeys

ONE, TWO = b"\x00\x00\x00\x01", b"\x00\x00\x00\x02"


def test_known_until_the_state_is_another() -> None:
    """What was not found is known as long as what was looked at is the same, and forgotten with it."""
    unknown = UnknownKeys()
    assert ONE not in unknown
    unknown.looked("a", [ONE])
    unknown.looked("a", [TWO])
    assert ONE in unknown
    assert TWO in unknown
    unknown.looked("b", [TWO])
    assert ONE not in unknown
    assert TWO in unknown
    unknown.looked("a", ())
    assert len(unknown) == 0


def test_the_oldest_gives_way() -> None:
    """Beyond its capacity the id that was looked for first is forgotten, one for one."""
    unknown = UnknownKeys()
    for number in range(CAPACITY):
        unknown.looked(None, [number.to_bytes(4, "big")])
    assert len(unknown) == CAPACITY
    assert bytes(4) in unknown
    unknown.looked(None, [b"new!", b"too!"])
    assert len(unknown) == CAPACITY
    assert [number.to_bytes(4, "big") in unknown for number in range(3)] == [False, False, True]
    assert b"new!" in unknown
    unknown.looked(None, (number.to_bytes(4, "little") for number in range(5 * CAPACITY)))
    assert len(unknown) == CAPACITY


def test_repr_tells_no_id() -> None:
    """Clients make them up."""
    unknown = UnknownKeys(2)
    unknown.looked(None, [b"\xca\xfe\xca\xfe"])
    assert repr(unknown) == "<UnknownKeys: 1 of 2>"
