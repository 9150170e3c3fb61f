"""The benchmark measures what it says, in turn, and its promises about counts hold; no time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from bench_sessions import (
    audit_cost,
    audit_flood,
    audit_stall,
    codecs,
    counting,
    goals,
    instructions,
    memory,
    peers,
    plot,
    published,
    scaling,
    served,
    soak,
)
from bench_sessions.__main__ import main
from bench_sessions.contenders import CONTENDERS
from bench_sessions.figures import Figure
from bench_sessions.registry import GROUPS
from bench_sessions.scaling import SWEEPS
from bench_sessions.shop import bare, check, shop, values
from bench_sessions.timing import Work, interleaved
from tests.unmeasured import environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


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
    monkeypatch.setattr(goals, "QUICK", (2, 2))
    monkeypatch.setattr(goals, "CALLERS", 2)
    monkeypatch.setattr(goals, "RETIRED", 3)
    monkeypatch.setattr(goals, "ASKS", 10)
    monkeypatch.setattr(goals, "QUICK_TRAFFIC", (2, 0.01))
    monkeypatch.setattr(memory, "ASKS", 10)
    monkeypatch.setattr(memory, "MIDDLEWARES", 1)
    monkeypatch.setattr(peers, "QUICK", (2, 2))
    monkeypatch.setattr(scaling, "QUICK", 2)
    sweeps = [replace(sweep, sizes=sweep.sizes[:2], times=4) for sweep in SWEEPS]
    monkeypatch.setattr(scaling, "SWEEPS", sweeps)
    monkeypatch.setattr(plot, "SWEEPS", sweeps[:2])  # one that is to be flat, one that is to be linear
    monkeypatch.setattr(soak, "TURN", 1)
    monkeypatch.setattr(soak, "MOMENTS", 4)
    monkeypatch.setattr(served, "QUICK", (2, 0.01))
    monkeypatch.setattr(served, "WHO", ("bare app", "sessionkit"))
    monkeypatch.setattr(instructions, "counted", lambda: counts(1000))
    monkeypatch.setattr(instructions, "accepted", lambda: counts(1000))


@pytest.mark.usefixtures("small")
def test_every_group_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All groups print a table, write their figures and draw; what the flood promises holds."""
    path, picture, folder = tmp_path / "figures.json", tmp_path / "all.png", tmp_path / "scaling"
    arguments = ["--quick", "--soak=0.1", f"--json={path}", f"--plot={picture}", f"--scaling={folder}"]
    main([*GROUPS, *arguments])
    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    printed = capsys.readouterr().out
    assert told["groups"].keys() == GROUPS.keys()
    assert told["quick"] is True
    for name, by_loop in told["groups"].items():
        assert tuple(by_loop) == GROUPS[name].loops
        for figure in by_loop["asyncio"]:
            assert figure["row"].split()[0] in printed
    flood = told["groups"]["audit-flood"]["asyncio"]
    assert [figure["note"] for figure in flood if figure["note"]] == ["as promised"] * 4
    assert len(list(folder.iterdir())) == 2
    assert picture.read_bytes().startswith(b"\x89PNG")
    section = published.text(told)
    assert "| **sessionkit** |" in section
    assert "| Starlette | " in section
    assert "sessionkit with JSON by msgspec and base64 by pybase64" in section
    assert " ".join(printed.split()).count("sessionkit with JSON by msgspec and base64 by pybase64") == len(GROUPS)
    assert (
        f"Goals met: {sum(figure['met'] is True for by in told['groups']['goals'].values() for figure in by)}"
        in section
    )


def test_figures_are_published_from_a_full_run_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """A quick look, or a part, must not become the README's figures; and a picture needs what it shows."""
    for arguments, told in (
        (["--publish", "--quick"], "--publish needs a full run"),
        (["--publish", "goals"], "--publish needs a full run"),
        (["--publish", "--loop=trio"], "--publish needs a full run"),
        (["goals", "--plot=all.png"], "--plot draws the groups goals and peers"),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert told in capsys.readouterr().err


def test_every_contender_of_the_readme_says_what_it_does() -> None:
    """A table without words for one of them would not be made."""
    measured = {name for name, contender in CONTENDERS.items() if contender.over is not None}
    direct = {codecs.floor().row, codecs.litestar_direct().row, codecs.fernet().row}
    assert published.DOES.keys() == measured | direct


@pytest.mark.parametrize(
    ("costs", "flat", "verdict"),
    [
        ([10, 11, 12], True, "flat"),
        ([10, 9, 5], True, "flat"),
        ([10, 11, 13], True, "NOT FLAT: up to +30%"),
        ([10, 20, 40], False, "linear"),
        ([10, 30, 160], False, "NOT LINEAR"),
    ],
)
def test_shapes_are_told_apart(costs: list[float], flat: bool, verdict: str) -> None:
    """What grows where nothing should, and what bends upwards, is no longer what it is called."""
    assert scaling.shape([1, 2, 4], costs, flat=flat).startswith(verdict)


@pytest.mark.parametrize(
    ("sizes", "unit", "growing"),
    [
        ([100_000_000] * 10, 1, False),
        ([100_000_000 + 200_000 * number for number in range(10)], 1, True),
        ([100_000_000, *[100_300_000] * 9], 1, False),
        ([400_000 + 1000 * number for number in range(10)], 64, True),
        ([400_000 + 100 * number for number in range(10)], 64, False),
    ],
)
def test_growth_is_told_from_a_start(sizes: list[int], unit: int, growing: bool) -> None:
    """A step at first is none; one from each moment to the next is."""
    assert soak.grows(sizes, unit) is growing


@pytest.mark.parametrize(("value", "met"), [(0.334, True), (0.336, False)])
def test_a_goal_is_judged_by_what_is_printed(value: float, met: bool) -> None:
    """Two decimals of a ratio."""
    assert Figure("read + write", value, "×", goal=0.33).met is met
    assert Figure("read + write", value, "×").met is None


async def test_a_contender_that_loses_the_session_is_not_measured() -> None:
    """Answers alone are not enough: what was stored has to come back."""

    async def forgetful(scope: Any, receive: Any, send: Any) -> None:
        scope["session"] = values(200)
        await shop(values(200))(scope, receive, send)

    with pytest.raises(RuntimeError, match="did not arrive"):
        await check(forgetful, values(200))


@pytest.mark.parametrize("size", [200, 2000, 16_000])
def test_sessions_have_the_size_they_are_said_to_have(size: int) -> None:
    """To the octet, as compact JSON."""
    assert len(json.dumps(values(size), separators=(",", ":"))) == size


def test_the_hot_paths_execute_what_was_accepted() -> None:
    """No path takes over 5 % more or fewer instructions, or calls into C, than accepted for this Python."""
    assert instructions.problems(instructions.counted(), instructions.accepted()) == []


WEIGH = """
import anyio
from bench_sessions.memory import queued_asks
for loop in ("asyncio", "trio"):
    print(anyio.run(queued_asks, 3000, backend=loop) / 3000)
"""


def test_a_question_that_waits_weighs_what_was_promised() -> None:
    """A ten-thousandth of 3 MiB at most, its message and its coroutine included; no clock is involved.

    By a process of its own: frames weigh more where something traces them.
    """
    scripts = str(Path(memory.__file__).parent.parent)
    command, environ = [sys.executable, "-c", WEIGH], {**environment(), "PYTHONPATH": scripts}
    done = subprocess.run(command, env=environ, check=True, capture_output=True, text=True, timeout=120)
    weights = [float(line) for line in done.stdout.split()]
    assert len(weights) == 2
    assert max(weights) <= 3 * memory.MIB / 10_000, weights


def counts(number: float, calls: float = 100) -> dict[str, Any]:
    """Return the counts of one path."""
    return {"read": {"instructions": number, "calls": calls, "most": {"codec.load": 60}}}


def test_growth_is_told_with_the_figure_and_how_to_accept_it() -> None:
    """Both ways, from 5 % on, for instructions and for calls into C; and paths that came or went."""
    assert instructions.problems(counts(1050), counts(1000)) == []
    [told] = instructions.problems(counts(1051), counts(1000))
    assert "read: 1,051 instructions a request, +5.1% of the 1,000" in told
    assert "scripts/bench instructions --accept" in told
    assert "codec.load 60" in told
    assert "-5.1%" in instructions.problems(counts(949), counts(1000))[0]
    assert "106 calls" in instructions.problems(counts(1000, 106), counts(1000))[0]
    assert "read: is new" in instructions.problems(counts(1000), {})[0]
    assert "read: is gone" in instructions.problems({}, counts(1000))[0]


def test_counts_are_accepted_for_one_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other versions stay, in order; a version without any says how to get them."""
    file = tmp_path / "instructions.json"
    monkeypatch.setattr(instructions, "FILE", file)
    file.write_text('{"3.9": {}, "3.100": {}}', "utf-8")
    with pytest.raises(LookupError, match=r"no counts for Python 3\.\d+, only for 3\.9, 3\.100\. If that is meant"):
        instructions.accepted()
    instructions.accept(counts(1000), file)
    assert list(json.loads(file.read_text("utf-8"))) == ["3.9", instructions.VERSION, "3.100"]
    assert instructions.accepted() == {"read": {"instructions": 1000, "calls": 100}}


def test_a_slower_path_is_counted_as_slower() -> None:
    """One more look at the session is some instructions, the same ones every time."""

    async def once(scope: Any, receive: Any, send: Any) -> None:
        scope["session"].get("user")
        await bare()(scope, receive, send)

    async def twice(scope: Any, receive: Any, send: Any) -> None:
        scope["session"].get("user")
        await once(scope, receive, send)

    first, again, slower = (anyio.run(counting.count, counting.Way(app))[0].total() for app in (once, once, twice))
    assert first == again
    assert first < slower < first + 50


def test_a_group_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said which there are."""
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "there is no group speed; there are goals, peers, memory" in capsys.readouterr().err
