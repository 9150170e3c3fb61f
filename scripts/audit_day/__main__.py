"""Makes the day, has it reported on, and judges: see ``--help``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from audit_day.day import DAY, LAGGING_AT, MIDNIGHT, Day, Plan
from audit_day.judge import Verdict, judge, judge_lagging
from sessionkit.report.findings import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_SECONDS, MOST_MEGABYTES, MOST_ATTACK_LINES = 20.0, 500.0, 5_000
"""What the report on a day of a million lines may take, and what the attack may write. Judged are seconds of processor
time: the report runs on one thread, and on a machine of its own both figures are the same."""

_RSS_UNIT = 1 if sys.platform == "darwin" else 1_024
"""Octets that ``ru_maxrss`` counts in."""


@dataclass(frozen=True, slots=True)
class Run:
    """One call of ``sessionkit audit report``.

    Attributes:
        facts: what it printed, as JSON.
        seconds: that it took.
        processor: seconds of processor time; what else runs on a machine shows in the other figure alone.
        megabytes: of memory at the most.
    """

    facts: dict[str, Any]
    seconds: float
    processor: float
    megabytes: float


def run(*words: str) -> Run:
    """Call the command as its users do, in a process of its own."""
    command = [str(Path(sys.executable).with_name("sessionkit")), "audit", "report", *words, "--json"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe, as asked for
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}: {printed.decode(errors='replace')}")
    return Run(json.loads(printed), seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * _RSS_UNIT / 1e6)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/audit-day",
        description="Writes the audit log of a made-up day and compares what 'sessionkit audit report' says of it with "
        "what happened. Exit status 0 if every answer is right, and time, memory and lines keep to their bounds.",
    )
    parser.add_argument("--lines", type=int, default=1_000_000, help="of the log, at least (default: %(default)d)")
    parser.add_argument("--forged", type=int, default=200_000, help="cookies of the attack (default: %(default)d)")
    parser.add_argument("--attack", type=float, default=600.0, help="seconds that it lasts (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=7, help="of all chance (default: %(default)d)")
    parser.add_argument("--folder", type=Path, default=Path(".cache/audit-day"), help="for the log (%(default)s)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run; return the exit status."""
    options = parse(arguments)
    console = Console(highlight=False)
    folder: Path = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log, keyring, page = folder / "audit.jsonl", folder / "keyring.yaml", folder / "report.html"

    started = time.perf_counter()
    with log.open("wb") as file:
        day = Day(Plan(options.lines, options.forged, options.attack, seed=options.seed), file)
        truth = day.play()
    day.write_keyring(keyring)
    console.print(
        f"{truth.lines:,} lines, {log.stat().st_size / 1e6:,.0f} MB, written in {time.perf_counter() - started:.0f} s; "
        f"{options.forged:,} forged cookies wrote {truth.attack_lines:,} of them"
    )

    midnight = ("--at", _at(MIDNIGHT + DAY), "--keyring", str(keyring))
    whole = run(str(log), *midnight)
    with_page = run(str(log), *midnight, "--html", str(page))
    verdicts = judge(whole.facts, truth)
    verdicts += judge_lagging(run(str(log), "--at", _at(LAGGING_AT), "--keyring", str(keyring)).facts, truth)
    for reference in truth.traces:
        verdicts += judge(run(str(log), *midnight, "--session", reference).facts, truth)[-1:]
    verdicts.append(Verdict(0, "lines", truth.lines >= options.lines, f"{truth.lines:,}"))
    verdicts.append(
        Verdict(0, "lines of the attack", truth.attack_lines < MOST_ATTACK_LINES, f"{truth.attack_lines:,}")
    )
    for name, ran in (("JSON", whole), ("JSON and page", with_page)):
        told = f"{ran.seconds:.1f} s ({ran.processor:.1f} s of processor), {ran.megabytes:.0f} MB"
        verdicts.append(Verdict(0, name, ran.processor < MOST_SECONDS and ran.megabytes < MOST_MEGABYTES, told))
    _print(console, verdicts)
    console.print(f"The page: {page}, {page.stat().st_size / 1e3:,.0f} kB", soft_wrap=True)
    return 0 if all(verdict.right for verdict in verdicts) else 1


def _at(moment: float) -> str:
    return shown(moment).replace(" ", "T")


def _print(console: Console, verdicts: Sequence[Verdict]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("question", "about", "the report says", ""):
        table.add_column(column)
    for verdict in sorted(verdicts, key=lambda verdict: verdict.question or 9):
        right = "[green]right[/]" if verdict.right else "[bold red]WRONG[/]"
        table.add_row(str(verdict.question or ""), verdict.about, verdict.told, right)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
