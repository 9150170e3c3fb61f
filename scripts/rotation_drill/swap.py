"""A mistake that people make in a keyring file: they put another key in place of the one that seals."""

from __future__ import annotations

import base64
import io
import os
from datetime import UTC, datetime

from ruamel.yaml import YAML

__all__ = ["swapped"]


def swapped(data: bytes, now: float, kept: float) -> bytes:
    """Return the file in which a key seals that nobody had before.

    Its generation is the time, as people have it who number files by date. A node that has missed a file in between
    cannot judge what follows, so no node refuses this one.

    Args:
        data: the file as it is.
        now: Unix seconds.
        kept: seconds for which the key that seals now must go on opening.
    """
    yaml = YAML()
    file = yaml.load(data)
    active = next(key for key in file["keys"] if key["state"] == "active")
    active.update(state="retired", retired=_date(now), prune_after=_date(now + kept))
    secret = base64.b64encode(os.urandom(32)).decode("ascii")
    file["keys"].append({"label": "swapped", "state": "active", "secret": {"base64": secret}, "created": _date(now)})
    file["generation"] = int(now)
    out = io.BytesIO()
    yaml.dump(file, out)
    return out.getvalue()


def _date(moment: float) -> datetime:
    return datetime.fromtimestamp(int(moment), UTC)
