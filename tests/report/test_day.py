"""A made-up day in small: the report tells what happened, and the judge would say so if it did not."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import jq
import pytest
from typer.testing import CliRunner

from audit_day.day import ATTACKERS, DAY, LAGGING_AT, MIDNIGHT, REASONS, Day, Plan, Truth
from audit_day.judge import judge, judge_lagging
from sessionkit.audit import events
from sessionkit.audit.reading import LogReader
from sessionkit.audit.usage import Usage
from sessionkit.cli.app import app
from sessionkit.report.findings import shown
from tests.audit.logs import NOW, Book, loaded
from tests.audit.samples import EVENTS
from tests.test_architecture import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CONFIG = ROOT / "config"
NEXT_MIDNIGHT = MIDNIGHT + DAY
OTHER_VALUES = ("null", "[1]", "{}", '"x"', "7")
PLAN = Plan(lines=5_000, forged=5_000, attack=60.0, tally=600.0)


@dataclass(frozen=True)
class Played:
    """A day, its log and its ring."""

    log: Path
    keyring: Path
    truth: Truth

    def report(self, *words: str, at: float = NEXT_MIDNIGHT, keyring: bool = True) -> dict[str, Any]:
        """Return the facts that the command comes to."""
        options = ["--keyring", str(self.keyring)] if keyring else []
        moment = shown(at).replace(" ", "T")
        done = CliRunner().invoke(
            app, ["audit", "report", str(self.log), "--json", "--at", moment, *options, *words], catch_exceptions=False
        )
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts

    @property
    def session(self) -> str:
        """The session with the most to tell."""
        return next(iter(self.truth.traces))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Play the day once."""
    folder = tmp_path_factory.mktemp("day")
    log, keyring = folder / "audit.jsonl", folder / "keyring.yaml"
    with log.open("wb") as file:
        day = Day(PLAN, file)
        truth = day.play()
    day.write_keyring(keyring)
    return Played(log, keyring, truth)


@pytest.fixture(scope="module")
def facts(played: Played) -> dict[str, Any]:
    """Return the report on the whole day, asked about one session."""
    return played.report("--session", played.session)


def test_every_answer_is_right(played: Played, facts: dict[str, Any]) -> None:
    """All six questions, at midnight; the fifth also while one worker lags."""
    verdicts = [*judge(facts, played.truth), *judge_lagging(played.report(at=LAGGING_AT), played.truth)]
    assert [verdict for verdict in verdicts if not verdict.right] == []
    assert {verdict.question for verdict in verdicts} == {1, 2, 3, 4, 5, 6}


def test_the_day_has_what_is_asked_about(played: Played) -> None:
    """Sessions that hang on a retired key, live cookies among them; a worker that lags; a life of several kinds."""
    truth = played.truth
    assert truth.lines >= PLAN.lines
    assert len(truth.hanging[truth.kids["third"]]) > 100
    assert len(set(truth.lagging.values())) == 2
    assert len(set(truth.rings.values())) == 1
    assert {"session.created", "session.regenerated", "session.rekeyed"} <= {
        name for name, _ in truth.traces[played.session]
    }


def test_the_attack_wrote_few_lines(played: Played) -> None:
    """What the aggregation admits in two windows, from each worker and of each kind: no more, whatever the number."""
    kinds = ATTACKERS * len(REASONS)
    assert 0 < played.truth.attack_lines <= 4 * kinds * 2 * (10 + 1)
    attack = sum(count for (event, _, _), count in played.truth.refused.items() if event == "session.rejected")
    assert attack >= PLAN.forged


def _drop_session(facts: dict[str, Any]) -> None:
    next(key for key in facts["keys"] if key["sessions"])["sessions"].pop()


def _end_early(facts: dict[str, Any]) -> None:
    for entry in next(key for key in facts["keys"] if key["sessions"])["sessions"]:
        entry["until"] = shown(NEXT_MIDNIGHT)


def _use_earlier(facts: dict[str, Any]) -> None:
    facts["keys"][0]["unused_for"] += 1


def _allow(facts: dict[str, Any]) -> None:
    next(key for key in facts["keys"] if key["sessions"])["pruning"]["safe"] = "yes"


def _miscount(facts: dict[str, Any]) -> None:
    facts["refusals"]["kinds"][0]["count"] -= 1


def _disagree(facts: dict[str, Any]) -> None:
    facts["workers"]["agree"] = False


def _forget(facts: dict[str, Any]) -> None:
    facts["trace"].pop(0)


@pytest.mark.parametrize(
    ("question", "spoil"),
    [(1, _drop_session), (1, _end_early), (2, _use_earlier), (3, _allow), (4, _miscount), (5, _disagree), (6, _forget)],
)
def test_a_wrong_answer_is_found(
    played: Played, facts: dict[str, Any], question: int, spoil: Callable[[dict[str, Any]], None]
) -> None:
    """One session, one second, one cookie or one line suffices."""
    spoilt = deepcopy(facts)
    spoil(spoilt)
    assert question in {verdict.question for verdict in judge(spoilt, played.truth) if not verdict.right}


# --- the shipped queries ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def without_ring(played: Played) -> dict[str, Any]:
    """Return the report that queries are compared with: they know no keyring file."""
    return played.report("--session", played.session, keyring=False)


@pytest.fixture(scope="module")
def answered(played: Played) -> dict[str, list[dict[str, Any]]]:
    """Return the answers of the queries for DuckDB."""
    return duckdb_answers(played.log, NEXT_MIDNIGHT, played.session)


def duckdb_answers(log: Path, moment: float, session: str) -> dict[str, list[dict[str, Any]]]:
    """Return the answers of the queries for DuckDB by name, each row as a dict."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET VARIABLE log = '{log}'")
    connection.execute(f"SET VARIABLE moment = '{shown(moment)}'")
    connection.execute(f"SET VARIABLE session = '{session}'")
    answers: dict[str, list[dict[str, Any]]] = {}
    for block in f"set up\n{(CONFIG / 'audit.duckdb.sql').read_text('utf-8')}".split("-- name: "):
        name, _, text = block.partition("\n")
        for statement in duckdb.extract_statements(text):
            result = connection.execute(statement)
            if statement.type == duckdb.StatementType.SELECT:
                columns = [column[0] for column in result.description]
                answers[name] = [dict(zip(columns, row, strict=True)) for row in result.fetchall()]
    return answers


def asked(log: Path, question: str) -> Any:
    """Return what jq answers."""
    program = (CONFIG / "audit.jq").read_text("utf-8") + question
    return jq.compile(program).input_value(log.read_text("utf-8").splitlines()).first()


@pytest.fixture(scope="module")
def jq_answered(played: Played) -> dict[str, Any]:
    """Return the answers of the queries for jq by name."""
    at = f"{NEXT_MIDNIGHT:.0f}"
    questions = ", ".join(f"{name}: {name}({at})" for name in ("dependants", "last_use", "pruning", "workers"))
    answers: dict[str, Any] = asked(played.log, f"summed(log(.[])) | {{{questions}, refusals: refusals}}")
    answers["trace"] = asked(played.log, f'trace(log(.[]); "{played.session}")')
    return answers


def _whole(text: str) -> str:
    """Return a time to the second."""
    return f"{text[:19]}Z"


def test_queries_tell_the_same_dependants(
    without_ring: dict[str, Any], answered: dict[str, Any], jq_answered: dict[str, Any]
) -> None:
    """Question 1, with the same end to the millisecond."""
    told = {
        (key["kid"], entry["session_ref"]): entry["until"] for key in without_ring["keys"] for entry in key["sessions"]
    }
    assert len(told) > 100
    by_duckdb = {
        (row["kid"], row["session_ref"]): row["until"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for row in answered["dependants"]
    }
    assert by_duckdb == told
    by_jq = {(row["kid"], row["session_ref"]): row["until"] for row in jq_answered["dependants"]}
    assert set(by_jq) == set(told)
    assert {_whole(shown(until)) for until in by_jq.values()} == {
        _whole(until).replace("T", " ") for until in told.values()
    }


def test_queries_tell_the_same_last_use(
    without_ring: dict[str, Any], answered: dict[str, Any], jq_answered: dict[str, Any]
) -> None:
    """Question 2, to the millisecond."""
    told = {key["kid"]: key["unused_for"] for key in without_ring["keys"]}
    by_duckdb = {
        row["kid"]: None if row["unused_for"] is None else row["unused_for"].total_seconds()
        for row in answered["last_use"]
    }
    by_jq = {row["kid"]: row["unused_for"] for row in jq_answered["last_use"]}
    for found in (by_duckdb, by_jq):
        assert found == pytest.approx(told, abs=0.002)
    states = {key["kid"]: key["state"] for key in without_ring["keys"]}
    assert {row["kid"]: row["state"] for row in answered["last_use"]} == states
    assert {row["kid"]: row["state"] for row in jq_answered["last_use"]} == states


def test_queries_judge_alike(
    without_ring: dict[str, Any], answered: dict[str, Any], jq_answered: dict[str, Any]
) -> None:
    """Question 3: the same keys, the same times, the same verdicts."""
    told = {
        key["label"]: (_whole(key["pruning"]["allowed_at"]), key["pruning"]["safe"] == "yes")
        for key in without_ring["keys"]
        if key["state"] in {"retired", "revoked"}
    }
    assert {safe for _, safe in told.values()} == {True, False}
    assert {
        row["label"]: (f"{row['allowed_at']:%Y-%m-%dT%H:%M:%SZ}", row["safe"]) for row in answered["pruning"]
    } == told
    assert {row["label"]: (row["allowed_at"], row["safe"]) for row in jq_answered["pruning"]} == told


def test_queries_count_alike(
    without_ring: dict[str, Any], answered: dict[str, Any], jq_answered: dict[str, Any]
) -> None:
    """Question 4: what was only summed up included."""

    def counted(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str | None], tuple[int, int]]:
        return {(row["event"], row["reason"], row["client_ref"]): (row["count"], row["summed"] or 0) for row in rows}

    told = counted(without_ring["refusals"]["kinds"])
    assert counted(answered["refusals"]) == told
    assert counted(jq_answered["refusals"]) == told


def test_queries_see_the_same_workers(
    without_ring: dict[str, Any], answered: dict[str, Any], jq_answered: dict[str, Any]
) -> None:
    """Question 5: those that are live, by ring."""
    live = sorted(worker["instance"] for worker in without_ring["workers"]["all"] if worker["live"])
    assert [(row["digest"], row["instances"]) for row in answered["workers"]] == [
        (without_ring["workers"]["digest"], live)
    ]
    assert [(row["digest"], sorted(row["instances"])) for row in jq_answered["workers"]] == [
        (without_ring["workers"]["digest"], live)
    ]


def test_queries_tell_the_same_life(
    without_ring: dict[str, Any], answered: dict[str, Any], jq_answered: dict[str, Any]
) -> None:
    """Question 6: line by line."""
    told = [(event["timestamp"], event["event"]) for event in without_ring["trace"]]
    assert len(told) > 3
    by_duckdb = [
        (row["timestamp"].isoformat(timespec="milliseconds").replace("+00:00", "Z"), row["event"])
        for row in answered["trace"]
    ]
    assert sorted(by_duckdb) == sorted(told)
    assert [(row["timestamp"], row["event"]) for row in jq_answered["trace"]] == told


def test_queries_know_that_a_closed_chain_is_no_worker(tmp_path: Path) -> None:
    """The closing line of a hash chain has an instance of its own, which runs no ring and forbids no pruning."""
    book, chain = Book(), Book()
    book(events.ActorStarted(), loaded())
    chain(events.AuditChainClosed(chains=1))
    log = tmp_path / "app.log"
    log.write_text(book.text + chain.text, "utf-8")
    at = NOW + 1
    assert asked(log, f"summed(log(.[])) | workers({at:.0f}) | map(.instances)") == [[book.instance]]
    assert [row["instances"] for row in duckdb_answers(log, at, "")["workers"]] == [[book.instance]]


@pytest.mark.parametrize("silent", [120, 121])
def test_queries_judge_silence_as_the_report_does(tmp_path: Path, silent: int) -> None:
    """Two minutes of it are the end of one without a lifespan, and of no other: not of one that is hosted as well."""
    inline, hosted, both, last = Book(), Book(), Book(), Book()
    inline(events.ActorInline(reason="no_lifespan"), loaded())
    hosted(events.ActorStarted(), loaded())
    both(events.ActorStarted(), events.ActorInline(reason="no_lifespan"), loaded())
    last.clock.advance(silent)
    last(events.ActorStarted(), loaded())
    log = tmp_path / "app.log"
    log.write_text("".join(book.text for book in (inline, hosted, both, last)), "utf-8")
    at = NOW + silent
    live = sorted(book.instance for book in (hosted, both, last, *((inline,) if silent == 120 else ())))
    usage = Usage()
    usage.feed(LogReader([log]))
    assert sorted(one.name for one in usage.live(at)) == live
    assert asked(log, f"summed(log(.[])) | workers({at:.0f}) | map(.instances | sort)") == [live]
    assert [row["instances"] for row in duckdb_answers(log, at, "")["workers"]] == [live]


def test_jq_passes_over_what_is_broken(played: Played, jq_answered: dict[str, Any], tmp_path: Path) -> None:
    """Whichever field of whatever event is missing or of another type, no answer ends in an error of jq."""
    lines = []
    for event in EVENTS:
        book = Book()
        book(event)
        told = json.loads(book.lines[0])
        for name in told:
            lines += [json.dumps(told | {name: json.loads(value)}) for value in OTHER_VALUES]
    log = tmp_path / "broken.log"
    log.write_text("\n".join([*lines, "{", "7", '"x"']), "utf-8")
    names = ("dependants", "last_use", "pruning", "workers")
    questions = ", ".join(f"{name}: {name}({NEXT_MIDNIGHT:.0f})" for name in names)
    answers = asked(log, f"summed(log(.[])) | {{{questions}, refusals: refusals}}")
    answers["trace"] = asked(log, f'trace(log(.[]); "{played.session}")')
    assert answers.keys() == jq_answered.keys()
