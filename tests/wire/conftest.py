"""With the extra ``speed`` and without it: what the wire holds is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessionkit.wire import base64url
from sessionkit.wire.base64_pybase64 import PYBASE64
from sessionkit.wire.base64_pydantic import PYDANTIC as BASE64
from sessionkit.wire.json_msgspec import MSGSPEC
from sessionkit.wire.json_pydantic import PYDANTIC as JSON
from sessionkit.wire.serializer import Serializer

if TYPE_CHECKING:
    from collections.abc import Iterator

WAYS = {"core": (JSON, BASE64), "speed": (MSGSPEC, PYBASE64)}


@pytest.fixture(scope="module", params=WAYS)
def ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run a module's tests twice, by the libraries of the core and by those of the extra.

    Its ``SERIALIZER``, if it has one, is changed as well.
    """
    text, octets = WAYS[request.param]
    serializer = getattr(request.module, "SERIALIZER", Serializer())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Serializer.__init__, "__defaults__", (None, text))
        patch.setattr(base64url, "encode", octets.encode)
        patch.setattr(base64url, "decode", octets.decode)
        patch.setattr(serializer, "_write", text.write)
        patch.setattr(serializer, "_read", text.read)
        yield
