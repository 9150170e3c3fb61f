"""What people write into keyring files by hand: a way back to an older key, and a mistake."""

from __future__ import annotations

import base64
import io
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["rolled_back", "swapped"]


def rolled_back(data: bytes) -> bytes:
    """Return the file that goes back to the key which retired last; the one that seals now is staged again.

    Not retired at once: nodes on the older ring move sessions to it still, and others would move them back.
    """

    def edit(file: dict[str, Any]) -> None:
        active = _first(file, "active")
        again = max(_all(file, "retired"), key=lambda key: str(key["retired"]))
        active["state"], again["state"] = "staged", "active"
        del active["activates"], again["retired"], again["prune_after"]
        file["generation"] += 1

    return _edited(data, edit)


def swapped(data: bytes, now: float, kept: float) -> bytes:
    """Return the file in which a key seals that nobody had before.

    Its generation is the time, as people have it who number files by date. A node that has missed a file in between
    cannot judge what follows, so no node refuses this one.

    Args:
        data: the file as it is.
        now: Unix seconds.
        kept: seconds for which the key that seals now must go on opening.
    """

    def edit(file: dict[str, Any]) -> None:
        _first(file, "active").update(state="retired", retired=_date(now), prune_after=_date(now + kept))
        secret = base64.b64encode(os.urandom(32)).decode("ascii")
        file["keys"].append(
            {"label": "swapped", "state": "active", "secret": {"base64": secret}, "created": _date(now)}
        )
        file["generation"] = int(now)

    return _edited(data, edit)


def _all(file: dict[str, Any], state: str) -> list[dict[str, Any]]:
    return [key for key in file["keys"] if key["state"] == state]


def _first(file: dict[str, Any], state: str) -> dict[str, Any]:
    return _all(file, state)[0]


def _date(moment: float) -> datetime:
    return datetime.fromtimestamp(int(moment), UTC)


def _edited(data: bytes, edit: Callable[[dict[str, Any]], None]) -> bytes:
    yaml = YAML()
    file = yaml.load(data)
    edit(file)
    out = io.BytesIO()
    yaml.dump(file, out)
    return out.getvalue()
