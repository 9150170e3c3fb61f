"""The benchmark measures what it says, in turn, and its promises about counts hold; no time is asserted."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bench_sessions import audit_cost, audit_flood, audit_stall
from bench_sessions.__main__ import main
from bench_sessions.registry import GROUPS
from bench_sessions.timing import Work, interleaved

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


def counted(row: str, done: Counter[str], order: list[str], against: str | None = None) -> Work:
    """Return work that counts how often it is done."""

    @asynccontextmanager
    async def prepare() -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        async def repeat(times: int) -> None:
            done[row] += times
            order.append(row)

        yield repeat

    return Work(row, prepare, against)


@pytest.mark.real_time
async def test_rounds_are_interleaved() -> None:
    """Each row is done as often as the others, in every round once, and compared with its baseline."""
    done, order = Counter[str](), list[str]()
    works = [counted("a", done, order), counted("b", done, order, "a"), counted("c", done, order, "a")]
    figures = await interleaved(works, rounds=5, times=10)
    assert done == {"a": 60, "b": 60, "c": 60}  # once before, to warm up
    assert all(sorted(order[start : start + 3]) == ["a", "b", "c"] for start in range(0, 18, 3))
    assert [(figure.row, figure.against, figure.extra is None) for figure in figures] == [
        ("a", None, True),
        ("b", "a", False),
        ("c", "a", False),
    ]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do little of everything."""
    monkeypatch.setattr(audit_cost, "QUICK", (2, 2))
    monkeypatch.setattr(audit_stall, "QUICK", 101)
    monkeypatch.setattr(audit_stall, "STALL", 0.0)
    monkeypatch.setattr(audit_flood, "QUICK", 300)
    monkeypatch.setattr(audit_flood, "TRACED", 100)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_every_group_runs(backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All groups print a table and write their figures, on either backend; what the flood promises holds."""
    path = tmp_path / "figures.json"
    main(["--quick", "--backend", backend, "--json", str(path)])
    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    printed = capsys.readouterr().out
    assert told["groups"].keys() == GROUPS.keys()
    assert told["options"] == {"quick": True, "backend": backend}
    for figures in told["groups"].values():
        for figure in figures:
            assert figure["row"] in printed
    verdicts = [figure["note"] for figure in told["groups"]["audit-flood"] if figure["note"]]
    assert verdicts == ["as promised"] * 4


def test_a_group_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said which there are."""
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "there is no group speed; there are audit-cost, audit-stall, audit-flood" in capsys.readouterr().err
