"""The drill does what it says, sees what went wrong, and fails when a mistake is made on purpose."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
import structlog
from rich.console import Console

from rotation_drill.hosts import Delivery, Host, hosts
from rotation_drill.logs import Logs, Ran
from rotation_drill.picture import Scene, draw
from rotation_drill.plan import Plan, Sabotage, Step
from rotation_drill.report import report
from rotation_drill.steps import Held, Mark, Operator, Proof
from rotation_drill.swap import swapped
from rotation_drill.verdict import Finding, Outcome, findings
from rotation_drill.worker import AUDIT_KEY, CLOCKS, FOLDER, LIFETIME, worker
from rotation_shop.tally import End, Tally
from sessionkit import Keyring
from sessionkit.audit import events
from sessionkit.audit.events import Level
from sessionkit.audit.log import AuditLog
from sessionkit.testing import AsgiClient
from tests.unmeasured import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from sessionkit.audit.log import Sink

SCRIPTS = Path(__file__).parent.parent / "scripts"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``sessionkit keyring``."""
    words = [sys.executable, "-c", "from sessionkit.cli import main; main()", "keyring", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def keyring(tmp_path: Path) -> Path:
    """Return a keyring file after one rotation: a retired, an active and a staged key."""
    path = tmp_path / "keyring.yaml"
    assert command("init", str(path), "--propagation=0", "--skew=0").returncode == 0
    assert command("promote", str(path)).returncode == 0
    return path


# --- the plan ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1.0, 27.0, 150.0, 600.0])
@pytest.mark.parametrize("short", [True, False])
def test_a_plan_of_any_length_can_be_kept(seconds: float, *, short: bool) -> None:
    """Files arrive well within the propagation that the policy promises, and no visitor outsleeps a session."""
    plan = Plan.of(seconds, short=short)
    assert plan.latest < plan.propagation
    assert 1 <= plan.skew <= plan.propagation
    # Looked at when nearly half of its life was over, which renews nothing, then slept over once more.
    assert plan.lifetime / 2 + 2 * plan.rest() < plan.lifetime - plan.skew


def test_the_whole_plan_is_what_was_asked_for() -> None:
    """Five rotations, one of them scheduled, a rollback, a bad file, a stuck host and an emergency; less in short."""
    plan = Plan.of(150)
    assert plan.rotations == 5
    for once in (Step.ROTATE_AT, Step.ROTATE_STUCK, Step.ROLL_BACK, Step.BAD_FILE, Step.REVOKE, Step.PRUNE):
        assert plan.steps.count(once) == 1
    assert set(Plan.of(27, short=True).steps) == set(plan.steps) - {Step.PRUNE}
    assert Plan.of(27, short=True).rotations == 3


# --- hosts, workers and the delivery ----------------------------------------------------------------------------------


def test_clocks_differ_by_nearly_the_skew(tmp_path: Path) -> None:
    """No two workers' clocks are further apart than the policy allows, and the furthest nearly are."""
    fleet = hosts(tmp_path, 3.0, Random(1))
    ahead = [clock for host in fleet for clock in host.clocks]
    assert len(ahead) == len(set(ahead)) == 4
    assert 2.8 < max(ahead) - min(ahead) < 3.0
    assert {host.server for host in fleet} == {"uvicorn", "hypercorn"}
    assert len({host.port for host in fleet}) == 2


async def test_a_worker_has_a_clock_and_a_log_of_its_own(keyring: Path) -> None:
    """Each takes the next place of its host; a third one, which is not to be, is refused."""
    folder = keyring.parent
    variables = {FOLDER: str(folder), CLOCKS: "1.5 -0.5", LIFETIME: "3600", AUDIT_KEY: "5a" * 32}
    workers = [worker(variables) for _ in range(2)]
    with pytest.raises(RuntimeError, match="has its 2 workers already"):
        worker(variables)
    for (app, audit), ahead in zip(workers, (1.5, -0.5), strict=True):
        assert app.clock() == pytest.approx(time.time() + ahead, abs=0.4)
        client = AsgiClient(app, base_url="http://127.0.0.1:8000")
        await client.post("/cart", body=b"item=tea")
        audit.close()
    for number in range(2):
        lines = (folder / f"audit-{number}.jsonl").read_text().splitlines()
        assert "session.created" in {json.loads(line)["event"] for line in lines}


def delivered(tmp_path: Path) -> tuple[Delivery, Path, list[Host]]:
    """Return a delivery to two hosts that has brought the first file."""
    source = tmp_path / "keyring.yaml"
    source.write_bytes(b"0")
    fleet = hosts(tmp_path, 1.0, Random(1))
    delivery = Delivery(source, fleet, 4.0, Random(1))
    delivery.first()
    return delivery, source, fleet


def test_each_time_another_host_is_first(tmp_path: Path) -> None:
    """A change is at one host within the first half of the time and at the other within the second, in turns."""
    delivery, source, fleet = delivered(tmp_path)
    now = 100.0
    for turn in range(1, 5):
        data = str(turn).encode()
        source.write_bytes(data)
        delivery.look(now)
        delivery.look(now + 2.0)
        arrived = [host.keyring.read_bytes() == data for host in fleet]
        assert arrived == [turn % 2 == 1, turn % 2 == 0]
        delivery.look(now + 4.0)
        assert all(host.keyring.read_bytes() == data for host in fleet)
        assert stat.S_IMODE(fleet[0].keyring.stat().st_mode) == 0o600
        now += 10.0


def test_a_stuck_host_gets_its_files_later_and_in_order(tmp_path: Path) -> None:
    """Nothing arrives while it is held; then what is due does, the newest last."""
    delivery, source, fleet = delivered(tmp_path)
    stuck, other = fleet[1], fleet[0]
    delivery.hold(stuck)
    for turn in range(1, 3):
        source.write_bytes(str(turn).encode())
        delivery.look(100.0 * turn)
        delivery.look(100.0 * turn + 4.0)
    assert (other.keyring.read_bytes(), stuck.keyring.read_bytes()) == (b"2", b"0")
    delivery.release(stuck)
    delivery.look(204.0)
    assert stuck.keyring.read_bytes() == b"2"
    source.write_bytes(b"3")
    delivery.look(300.0)
    delivery.look(304.0)
    assert stuck.keyring.read_bytes() == b"3"


# --- the logs ---------------------------------------------------------------------------------------------------------


def line(event: str, second: int = 0, **fields: object) -> bytes:
    """Return what the drill reads of a line of an audit log."""
    told = {"timestamp": f"2026-11-25T10:00:{second:02d}.000Z", "event": event, "instance": "one", **fields}
    return json.dumps(told).encode() + b"\n"


def one_host(tmp_path: Path) -> tuple[Logs, Path, Path]:
    """Return the logs of a host with two workers, and where they are."""
    host = Host("uvicorn", tmp_path, 8000, (2.0, -1.0))
    first, second = host.audits()
    first.write_bytes(line("keyring.loaded", 2, digest="a", generation=1))
    second.write_bytes(line("keyring.loaded", 2, digest="a", generation=1))
    return Logs([host]), first, second


def test_logs_tell_who_is_behind(tmp_path: Path) -> None:
    """A worker runs what it said last, also while it refuses a newer file; a line that is half written waits."""
    logs, first, second = one_host(tmp_path)
    assert logs.behind("a") == ["uvicorn 1", "uvicorn 2"]
    logs.look()
    assert logs.behind("a") == []
    news = line("keyring.reloaded", 9, digest="b", generation=2)
    with first.open("ab") as file:
        file.write(news[:40])
    logs.look()
    assert logs.behind("b") == ["uvicorn 1", "uvicorn 2"]
    with first.open("ab") as file:
        file.write(news[40:])
        file.write(line("keyring.key_activated", 10, kid="cc", digest="b", generation=2))
        file.write(line("keyring.reload_failed", 12, digest="b", generation=2))
        file.write(line("keyring.recovered", 15, digest="b", generation=2))
    logs.look()
    assert logs.behind("b") == ["uvicorn 2"]
    worker_1, worker_2 = logs.workers
    assert (worker_1.refused, worker_1.recovered, worker_2.refused) == (1, 1, 0)
    began = worker_2.history[0].since - 1.0  # its clock is behind: by ours it was later
    assert (worker_1.activated, worker_2.activated) == ({"cc"}, set())
    assert worker_1.history == [
        Ran(began - 2.0, 1, refusing=False),
        Ran(began + 5.0, 2, refusing=False),
        Ran(began + 8.0, 2, refusing=True),
        Ran(began + 11.0, 2, refusing=False),
    ]
    assert second.exists()


def test_logs_count_what_became_of_sessions(tmp_path: Path) -> None:
    """Re-encryptions by key, rejections by reason; what says nothing of a ring makes no history."""
    logs, first, _ = one_host(tmp_path)
    with first.open("ab") as file:
        file.write(line("session.rekeyed", previous_kid="aa", kid="bb") * 2)
        file.write(line("session.rejected", reason="unknown_key"))
        file.write(line("actor.started", instance="another"))
    logs.look()
    assert logs.rekeyed == {("aa", "bb"): 2}
    assert logs.rejected == {"unknown_key": 1}
    assert logs.workers[0].instances == {"one", "another"}
    assert len(logs.workers[0].history) == 1


# --- what people write ------------------------------------------------------------------------------------------------


def test_the_swap_is_what_the_gate_is_for(keyring: Path) -> None:
    """A key that was never staged is what `keyring check` is there to stop."""
    candidate = keyring.with_name("candidate.yaml")
    candidate.write_bytes(swapped(keyring.read_bytes(), time.time(), 3600))
    candidate.chmod(0o600)
    done = command("check", str(keyring), str(candidate))
    assert done.returncode == 1
    assert "C1" in done.stderr


# --- the verdict ------------------------------------------------------------------------------------------------------


def good(tmp_path: Path) -> Outcome:
    """Return what a drill shows in which all went well."""
    logs, first, second = one_host(tmp_path)
    with first.open("ab") as file:
        file.write(line("session.rekeyed", previous_kid="a", kid="b") * 3)
        file.write(line("session.rekeyed", previous_kid="b", kid="a"))
    assert second.exists()
    logs.look()
    tally = Tally(requests=100, sessions=10, alive=5, workers=Counter({1: 60, 2: 40}))
    tally.ends.update({End.LOGOUT: 3, End.REVOKED: 2})
    proof = Proof(
        rotations=5,
        scheduled=1,
        rolled_back=[("b", "a")],
        held=["uvicorn 2"],
        refused=2,
        recovered=2,
        command_refused=True,
        revoked="c",
        prune_refused=True,
        pruned=["a"],
    )
    return Outcome(Plan.of(150), tally, logs, proof, ["a", "b", "c"], [])


def test_all_holds(tmp_path: Path) -> None:
    """Nothing is found where all went well."""
    found = list(findings(good(tmp_path)))
    assert [finding for finding in found if not finding.good] == []
    assert {finding.what for finding in found} == set(BREAKS)


def _lose(outcome: Outcome) -> None:
    outcome.tally.sessions += 1
    outcome.tally.end(End.LOST, "visitor", "another state")


def _start_again(outcome: Outcome) -> None:
    outcome.logs.workers[0].instances.add("two")


def _go_back(outcome: Outcome) -> None:
    outcome.logs.rekeyed["c", "b"] += 1


BREAKS: dict[str, list[Callable[[Outcome], object]]] = {
    "the whole plan": [lambda outcome: setattr(outcome.proof, "stopped", "waited in vain")],
    "sessions lost": [_lose],
    "errors": [
        lambda outcome: outcome.tally.error("visitor", "status 500"),
        lambda outcome: setattr(outcome.tally, "requests", 0),
    ],
    "every session accounted for": [lambda outcome: setattr(outcome.tally, "alive", 4)],
    "workers": [_start_again, lambda outcome: outcome.tally.workers.pop(2)],
    "rotations": [
        lambda outcome: setattr(outcome.proof, "rotations", 4),
        lambda outcome: setattr(outcome.proof, "scheduled", 0),
    ],
    "re-encryption": [_go_back, lambda outcome: outcome.proof.rolled_back.clear()],
    "a prune that comes too early": [lambda outcome: setattr(outcome.proof, "prune_refused", False)],
    "a stuck host": [
        lambda outcome: setattr(outcome.proof, "held", []),
        lambda outcome: setattr(outcome.proof, "held", ["uvicorn 1", "uvicorn 2"]),
    ],
    "a rollback": [lambda outcome: outcome.proof.rolled_back.clear()],
    "a bad file": [
        lambda outcome: setattr(outcome.proof, "refused", 1),
        lambda outcome: setattr(outcome.proof, "recovered", 1),
        lambda outcome: setattr(outcome.proof, "command_refused", False),
    ],
    "a revoked key": [lambda outcome: setattr(outcome.proof, "revoked", None)],
    "a prune in time": [lambda outcome: outcome.proof.pruned.clear()],
}


@pytest.mark.parametrize(
    ("what", "number"), [(what, number) for what, breaks in BREAKS.items() for number in range(len(breaks))]
)
def test_whatever_does_not_hold_is_found(tmp_path: Path, what: str, number: int) -> None:
    """Each promise is found broken when it is."""
    outcome = good(tmp_path)
    BREAKS[what][number](outcome)
    assert what in {finding.what for finding in findings(outcome) if not finding.good}


def test_a_server_that_raised_is_found(tmp_path: Path) -> None:
    """A traceback in a server's output is as bad as a worker that ended."""
    outcome = replace(good(tmp_path), troubles=["uvicorn raised: server.log"])
    (broken,) = [finding for finding in findings(outcome) if not finding.good]
    assert "uvicorn raised" in broken.seen


def test_the_table_ends_with_the_verdict(keyring: Path) -> None:
    """The last line says whether all holds, and so does what is returned; what was lost is told line by line."""
    tally = Tally(requests=3)
    ring = Keyring.load(keyring)
    output = io.StringIO()
    for holds, words in ((True, "all holds"), (False, "it does not hold")):
        found = [Finding("a promise", "what was seen", holds)]
        folder = keyring.parent
        kept = report(
            Console(file=output, width=100), tally, ring, found, folder=folder, picture=folder / "traffic.svg"
        )
        assert kept is holds
        assert output.getvalue().endswith(f"{words}\n")
        assert "what was seen" in output.getvalue()
        tally.end(End.LOST, "visitor-1", "another state")
    assert "lost:" in output.getvalue()


# --- the picture ------------------------------------------------------------------------------------------------------


def test_the_picture_names_keys_steps_and_workers(tmp_path: Path) -> None:
    """It is well-formed SVG whose text is text: every key, every step with its number, every worker with its clock."""
    logs, first, _ = one_host(tmp_path)
    with first.open("ab") as file:
        file.write(line("keyring.reload_failed", 20, digest="a", generation=1))
    logs.look()
    began = logs.workers[0].history[0].since
    keys = {second: Counter({"aaaa0001": 20 - second, "bbbb0002": second}) for second in range(21)}
    scene = Scene(
        title="Rotation drill: 3 visitors",
        seconds=20.5,
        began=began,
        keys=keys,
        order=["aaaa0001", "bbbb0002"],
        notes={"aaaa0001": "revoked", "bbbb0002": "seals"},
        marks=[Mark(5.0, "revoke: aaaa0001; bbbb0002 takes over"), Mark(6.0, "good file again")],
        workers=logs.workers,
    )
    path = tmp_path / "traffic.svg"
    draw(scene, path)
    texts = ["".join(node.itertext()) for node in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314 - our own file
    assert {"A  aaaa0001  (revoked)", "B  bbbb0002  (seals)", "A", "B", "1", "2"} <= set(texts)
    assert any("revoke: A; B takes over" in text for text in texts)
    assert any("uvicorn 1  (+2.0 s)" in text for text in texts)
    first_drawn = path.read_bytes()
    draw(scene, path)
    assert path.read_bytes() == first_drawn
    draw(scene, tmp_path / "traffic.png")
    assert (tmp_path / "traffic.png").read_bytes().startswith(b"\x89PNG")


# --- the operator -----------------------------------------------------------------------------------------------------


def lines_to(path: Path) -> Sink:
    """Return a logger that appends lines to a file."""

    def write(message: str) -> None:
        with path.open("a") as file:
            file.write(message + "\n")

    logger: Sink = structlog.wrap_logger(SimpleNamespace(info=write), [structlog.processors.JSONRenderer()])
    return logger


def loaded(ring: Keyring) -> events.KeyringLoaded:
    """Return what a process says of the ring that it runs."""
    active = ring.active(time.time()).kid
    counts = {"staged": 1, "retired": 1, "revoked": 0}
    return events.KeyringLoaded(
        digest=ring.digest, generation=ring.generation, active_kid=active, source="keyring.yaml", **counts
    )


@pytest.mark.real_time
async def test_nothing_is_promoted_while_a_worker_is_behind(keyring: Path, tmp_path: Path) -> None:
    """Whatever the policy's times allow: the command refuses, the file stays as it is, and who is behind is named."""
    ring = Keyring.load(keyring)
    host = Host("uvicorn", tmp_path, 8000, (0.0, 0.0))
    first, second = (AuditLog(Level.INFO, clock=time.time, logger=lines_to(path)) for path in host.audits())
    first.emit([loaded(ring), events.ActorStarted()])
    second.emit([replace(loaded(ring), digest="0123456789abcdef", generation=1), events.ActorStarted()])
    delivery = Delivery(keyring, [host], 1.0, Random(1))
    operator = Operator(
        Plan.of(18, short=True), keyring, [host], delivery, logs=Logs([host]), tally=Tally(), tell=print
    )
    with pytest.raises(Held) as held:
        await operator._promote()
    assert held.value.workers == ["uvicorn 2"], held.value
    assert Keyring.load(keyring).digest == ring.digest
    assert operator.order == []
    second.emit([loaded(ring)])
    before, after = await operator._promote()
    assert (before, after) == (ring.keys[1].kid, ring.keys[2].kid)
    assert Keyring.load(keyring).active(time.time()).kid == after
    assert [mark.what for mark in operator.marks] == [f"promote: {after} after {before}"]


# --- the whole --------------------------------------------------------------------------------------------------------


def drill(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a short drill as the script does."""
    words = [sys.executable, "-m", "rotation_drill", "--short", "--folder", str(folder), *arguments]
    path = os.pathsep.join([str(SCRIPTS), str(SCRIPTS.parent)])
    variables = {**environment(), "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    return subprocess.run(words, env=variables, capture_output=True, text=True, timeout=400, check=False)


@pytest.mark.real_time
def test_a_short_drill_loses_nothing(tmp_path: Path) -> None:
    """Two servers, four workers, and whatever may happen to keys: all holds, and the exit status says so."""
    done = drill("--seconds", "18", "--clients", "24", folder=tmp_path / "drill")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("sessions lost 0, errors 0: all holds\n")
    assert "NO" not in done.stdout
    assert "Traceback" not in done.stderr
    for word in ("stuck", "refused: hypercorn", "rollback:", "bad file", "promote --at", "took over by", "revoke:"):
        assert word in done.stdout
    assert ET.parse(tmp_path / "drill" / "traffic.svg").getroot().tag.endswith("svg")  # noqa: S314 - our own file
    logs = sorted((tmp_path / "drill").glob("*/audit-*.jsonl"))
    assert len(logs) == 4
    for log in logs:
        names = [json.loads(told)["event"] for told in log.read_text("utf-8").splitlines()]
        assert names.count("actor.started") == names.count("actor.stopped") == 1


@pytest.mark.real_time
@pytest.mark.parametrize("mistake", list(Sabotage))
def test_a_mistake_loses_sessions(tmp_path: Path, mistake: Sabotage) -> None:
    """Made on purpose, each mistake that the protocol guards against loses sessions, and the drill fails for it."""
    done = drill("--seconds", "18", "--clients", "12", "--sabotage", mistake, folder=tmp_path / "drill")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.endswith(": it does not hold\n")
    assert "lost: " in done.stdout
    assert "Traceback" not in done.stderr
