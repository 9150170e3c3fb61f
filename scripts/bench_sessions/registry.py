"""The groups of rows there are. A new one is a module with a ``GROUP``, listed here."""

from __future__ import annotations

from bench_sessions import (
    audit_cost,
    audit_flood,
    audit_stall,
    goals,
    instructions,
    memory,
    peers,
    scaling,
    served,
    soak,
)

__all__ = ["GROUPS"]

GROUPS = {
    group.name: group
    for group in (
        goals.GROUP,
        peers.GROUP,
        memory.GROUP,
        served.GROUP,
        scaling.GROUP,
        soak.GROUP,
        instructions.GROUP,
        audit_cost.GROUP,
        audit_stall.GROUP,
        audit_flood.GROUP,
    )
}
