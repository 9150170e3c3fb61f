"""The simulation: naive rotations lose sessions, the prescribed one loses none, and one seed gives one result."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from rotation_sim.__main__ import main
from rotation_sim.strategies import PROTOCOL, STRATEGIES, barrier
from rotation_sim.world import Result, Settings, World

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.unmeasured  # it runs what other tests cover, millions of times

SMALL = Settings(nodes=60, users=200, seed=7)
SWAP, EAGER, _, HASTY, FORGETFUL = STRATEGIES


def run(number: int, settings: Settings = SMALL) -> Result:
    """Run a strategy with so few users that each of them must be busy."""
    return World(settings, replace(STRATEGIES[number], away=200.0)).run()


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    """Return what came of every strategy in one world."""
    return {strategy.name: run(number) for number, strategy in enumerate(STRATEGIES)}


def test_the_protocol_loses_no_session(results: dict[str, Result]) -> None:
    """Stage, wait, promote, wait, prune: every session goes on, many move to the new key, and none moves back."""
    result = results[PROTOCOL.name]
    assert (result.lost, result.backwards, result.reasons) == (0, 0, {})
    assert result.rekeyed > 100
    assert result.violations == [[], [], []]


@pytest.mark.parametrize(
    ("name", "conditions"),
    [(SWAP.name, {"C1"}), (HASTY.name, {"C1", "C2"}), (FORGETFUL.name, {"C3"})],
    ids=["swap", "hasty", "forgetful"],
)
def test_naive_rotations_lose_sessions(results: dict[str, Result], name: str, conditions: set[str]) -> None:
    """A key that not every node has, and a key that is gone too early, cost sessions; ``check`` would have said so."""
    result = results[name]
    assert result.lost > 0
    assert result.reasons == {"unknown_key": result.lost}
    assert conditions & {one for publish in result.violations for one in publish}


def test_who_cannot_tell_old_from_new_moves_sessions_back(results: dict[str, Result]) -> None:
    """Re-encrypting whatever is not under the active key loses nothing by itself, and works against the rotation."""
    eager, ours = results[EAGER.name], results[PROTOCOL.name]
    assert eager.lost == 0
    assert eager.backwards > 0
    assert eager.rekeyed > ours.rekeyed


def test_all_strategies_meet_the_same_world(results: dict[str, Result]) -> None:
    """They differ in what they lose, not in the requests that are made."""
    assert len({result.requests for result in results.values()}) == 1
    assert results[PROTOCOL.name].everywhere == results[EAGER.name].everywhere == results[HASTY.name].everywhere


def test_one_seed_gives_one_result(results: dict[str, Result]) -> None:
    """The same seed gives the same numbers, another one others."""
    assert run(3) == results[HASTY.name]
    assert run(3, replace(SMALL, seed=8)) != results[HASTY.name]


def test_a_session_that_comes_too_late_is_not_lost() -> None:
    """A session whose time is over has expired, and is not counted as lost."""
    result = World(SMALL, replace(PROTOCOL, away=7_200.0)).run()
    assert result.expired > 20
    assert result.lost == 0


def test_a_barrier_is_long_enough_when_every_node_has_the_key() -> None:
    """Promoting before the slowest node has the staged key loses sessions there; afterwards, none."""
    settings = Settings(nodes=40, users=1_000, seed=3)
    hasty = World(settings, barrier(0)).run()
    assert hasty.lost > 0
    assert hasty.behind == 40
    patient = World(settings, barrier(int(hasty.everywhere) + 1)).run()
    assert (patient.lost, patient.behind, patient.everywhere) == (0, 0, hasty.everywhere)
    stopped = World(settings, barrier(0)).run(until_lost=True)
    assert stopped.lost == 1
    assert stopped.requests < hasty.requests


def test_a_run_tells_how_far_it_has_come() -> None:
    """A run says every thousand requests where it is, in seconds since its start."""
    told: list[float] = []
    World(Settings(nodes=20, users=800), PROTOCOL).run(tell=told.append)
    assert told == sorted(told)
    assert len(told) >= 2
    assert 0 < told[-1] < 10_000


def simulate(folder: Path, jobs: int) -> tuple[str, dict[str, Any]]:
    """Run the script; return what it printed, and the JSON it wrote."""
    file = folder / f"{jobs}.json"
    words = ["--nodes", "40", "--users", "1000", "--seed", "3", "--jobs", str(jobs), "--json", str(file)]
    assert main([*words, "--markdown"]) == 0
    facts: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return file.read_text("utf-8"), facts


def test_the_script_finds_the_smallest_barrier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It finds the barrier than which one second less loses a session, whatever the number of cores."""
    text, facts = simulate(tmp_path, 2)
    out = capsys.readouterr().out
    smallest = facts["smallest_barrier"]
    assert smallest > 0
    assert f"The smallest barrier that loses none: {smallest} s." in out
    assert f"| {PROTOCOL.name} | " in out
    assert facts["barriers"][str(smallest)]["lost"] == 0
    assert World(Settings(nodes=40, users=1_000, seed=3), barrier(smallest - 1)).run(until_lost=True).lost == 1
    assert facts["strategies"][PROTOCOL.name]["lost"] == 0
    assert facts["strategies"][FORGETFUL.name]["lost"] > 0
    assert simulate(tmp_path, 1)[0] == text
