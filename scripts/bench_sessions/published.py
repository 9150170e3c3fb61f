"""The README's figures: kept in ``published.json`` by ``scripts/bench --publish``, shown by ``scripts/generate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["FILE", "publish", "table"]

FILE = Path(__file__).with_suffix(".json")

OURS, YARDSTICK = "sessionkit", "Starlette"

DOES = {
    "sessionkit": "encrypts, names the key it used, checks idle and absolute limits, detects change by value, audits",
    "sessionkit, by mailbox": "the same, with every message through the actor's mailbox",
    "sessionkit in Litestar": "the same, as Litestar's session middleware",
    "Starlette": "signs: the client reads all; one key, no audit; FastAPI's too",
    "starsessions": "signs: the client reads all; one key, no audit",
    "asgi-sessions": "encrypts; one key, no audit; one cookie, without HttpOnly",
    "Litestar client-side": "encrypts; one key, no audit; several cookies",
    "Quart": "signs: the client reads all; fallback keys by order in a list, no audit; like Flask's",
    "floor": "JSON, AES-GCM and base64 inline, no ASGI: what encrypting costs at least",
    "Litestar's dump_data and load_data": "its codec alone, no ASGI",
    "Fernet and json, called directly": "a codec alone, no ASGI; aiohttp-session's cookies are these",
}
"""What each does and does not do for its cost. All figures are of reading a session and writing it again."""

METHOD = (
    "One process, asyncio, rounds in turns, medians of processor time; each over the same application without "
    "sessions, which reads a session of 200 octets and writes it again under cookie attributes alike. Ratios carry "
    "over to other machines, microseconds do not."
)


def publish(told: dict[str, Any]) -> None:
    """Keep a run's figures, and renew what is generated from them."""
    FILE.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    import generated  # noqa: PLC0415 - beside this package, not in it; it reads this module

    generated.main()


def table() -> str:
    """Return the README's section: what was measured, on what, and how far the goals are."""
    if not FILE.exists():
        return "No figures are published yet: `scripts/bench --publish` measures them and writes this section.\n"
    return text(json.loads(FILE.read_text("utf-8")))


def text(told: dict[str, Any]) -> str:
    """Return the section for a run."""
    [peers] = told["groups"]["peers"].values()
    yardstick = next(figure["value"] for figure in peers if figure["row"] == YARDSTICK)
    used = " and ".join(f"{what} by {name}" for what, name in told["used"].items())
    names = ("litestar", "starlette", "starsessions", "asgi-sessions", "quart", "cryptography", "anyio")
    versions = ", ".join(f"{name} {told['libraries'][name]}" for name in names)
    measured = f"Measured on {told['when'][:10]} with Python {told['python']} on {told['machine']}: {versions}"
    lines = [
        f"{measured}; sessionkit with {used}. {METHOD}",
        "",
        f"| | µs a request | × {YARDSTICK} | for that, it |",
        "|---|---|---|---|",
    ]
    for figure in sorted(peers, key=lambda figure: figure["value"]):
        name = f"**{figure['row']}**" if figure["row"] == OURS else figure["row"]
        ratio = figure["value"] / yardstick
        lines.append(f"| {name} | {figure['value']:.1f} | {ratio:.2f} | {DOES[figure['row']]} |")
    lines += ["", _goals(told["groups"]["goals"]), "", _served(told["groups"]["served"]["asyncio"])]
    return "\n".join(lines) + "\n"


def _goals(goals: dict[str, list[dict[str, Any]]]) -> str:
    judged = [figure for figures in goals.values() for figure in figures if figure["goal"] is not None]
    missed = [figure for figure in judged if not figure["met"]]
    said = f"Goals met: {len(judged) - len(missed)} of {len(judged)} ({', '.join(goals)})."
    if not missed:
        return said
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for figure in judged:
        rows.setdefault((figure["row"], figure["against"]), []).append(figure)
    lines = [f"{said} Missed:", "", f"| | {' | '.join(goals)} | goal |", f"|---|{'---|' * len(goals)}---|"]
    lines += [
        f"| {row}, against {against} | {_values(figures)} | {figures[0]['goal']:.2f} {figures[0]['unit']} |"
        for (row, against), figures in rows.items()
        if not all(figure["met"] for figure in figures)
    ]
    return "\n".join(lines)


def _values(figures: list[dict[str, Any]]) -> str:
    return " | ".join(f"{figure['value']:.2f}" for figure in figures)


def _served(figures: list[dict[str, Any]]) -> str:
    added = "; ".join(
        f"{figure['row']} {figure['note'].removesuffix(' a request')}" for figure in figures if figure["note"]
    )
    return f"Under uvicorn, over sockets, a session adds per request (noisy to 40 %): {added}."
