"""Logs with chains in them, as processes of an application write them, and what a thief of the keys would do."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from sessionkit.audit.chain import HashChain
from sessionkit.audit.fingerprint import CHAIN_FIELDS, canonical, fingerprint
from sessionkit.audit.verification import Report, Verifier

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

ROOT = b"root key of the chains 32 octets"
NOW = 1_800_000_000.0

RENDERERS: dict[str, Any] = {
    "json": structlog.processors.JSONRenderer(),
    "json, sorted, as it is": structlog.processors.JSONRenderer(sort_keys=True, ensure_ascii=False, indent=None),
    "json, no spaces": structlog.processors.JSONRenderer(separators=(",", ":")),
    "orjson": structlog.processors.JSONRenderer(serializer=lambda line, **_: orjson.dumps(line)),
    "orjson, sorted": structlog.processors.JSONRenderer(
        serializer=lambda line, **_: orjson.dumps(line, option=orjson.OPT_SORT_KEYS)
    ),
}


def event(rng: random.Random, number: int) -> dict[str, Any]:
    """Return an event such as an application logs, with values of many kinds."""
    line: dict[str, Any] = {
        "event": rng.choice(["session.created", "request handled", "Grüße"]),
        "component": rng.choice(["sessionkit", "shop"]),
        "number": number,
        "took": rng.choice([0.25, 1.0, 1e16, 1e-7, rng.random(), -0.0]),
        "user": rng.choice(["zoë", "😀", "a\nb", "\u2028", "", "\ud800"]),
    }
    if rng.random() < 0.3:
        line["cart"] = {"lines": [1, 2.0, None, True, {"é": "x"}], "total": 12.5, 7: (1, {2})}
    return line


def process(rng: random.Random, lines: int, key: bytes = ROOT, **options: Any) -> tuple[HashChain, list[bytes]]:
    """Return a process's chain and what it wrote."""
    chain = HashChain(key, clock=lambda: NOW, **options)
    return chain, [write(chain, event(rng, number), rng) for number in range(lines)]


def write(chain: HashChain, line: dict[str, Any], rng: random.Random) -> bytes:
    """Return a line as the stream gets it, in one renderer's spelling or another's."""
    rendered = rng.choice(list(RENDERERS.values()))(None, "info", chain(None, "info", line))
    return rendered if isinstance(rendered, bytes) else rendered.encode("utf-8")


def interleaved(rng: random.Random, streams: Iterable[Sequence[bytes]]) -> list[bytes]:
    """Return the lines of several processes in one stream, each one's in its own order."""
    waiting = [list(reversed(stream)) for stream in streams]
    mixed = []
    while waiting := [stream for stream in waiting if stream]:
        mixed.append(rng.choice(waiting).pop())
    return mixed


def verified(
    *files: Iterable[bytes], roots: Sequence[bytes] = (ROOT,), checkpoints: Iterable[str] = (), **options: bool
) -> Report:
    """Return what verification says of some files, which are named by their numbers from 0."""
    verifier = Verifier(roots, **options)
    for number, line in enumerate(checkpoints, 1):
        verifier.checkpoint("checkpoints", number, line.encode())
    for name, lines in enumerate(files):
        for number, one in enumerate(lines, 1):
            verifier.feed(str(name), number, one)
    return verifier.report()


def told(report: Report) -> list[tuple[str, int | None, int | None]]:
    """Return kind, line and sequence of all findings."""
    return [(str(one.kind), None if one.place is None else one.place.line, one.sequence) for one in report.findings]


def fields(line: bytes) -> dict[str, Any]:
    """Return what a line says."""
    said: dict[str, Any] = json.loads(line)
    return said


class Thief:
    """Has what the memory of a process holds, from one moment on."""

    def __init__(self, chain: HashChain) -> None:
        (state,) = chain._chains
        self.keys = copy.copy(state.keys)
        self.keys._ahead = list(state.keys._ahead)
        self.uid = state.uid

    def forge(self, line: bytes, **changes: Any) -> bytes:
        """Return a line with changes, fitted as well as can be: with its own key, or the oldest one there is."""
        said = fields(line) | changes
        uid, sequence, previous, _ = (said.pop(name) for name in CHAIN_FIELDS)
        keys = copy.copy(self.keys)
        keys._ahead = list(self.keys._ahead)
        while keys.index < sequence:
            keys.advance()
        made = fingerprint(keys.key, uid, sequence, previous, canonical(said))
        chained = dict(zip(CHAIN_FIELDS, (uid, sequence, previous, made), strict=True))
        return json.dumps(said | chained).encode()
