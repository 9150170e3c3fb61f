"""Who lacks a library is told what to install."""

from __future__ import annotations

import importlib
import sys

import pytest

from sessionkit.contrib import extra


@pytest.mark.parametrize("name", ["django", "fastapi", "litestar", "quart"])
def test_a_missing_framework_names_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the framework, its module says which extra brings it."""
    importlib.import_module(name)
    for module in list(sys.modules):
        if module == name or module.startswith(f"{name}."):
            monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"sessionkit.contrib.{name}", raising=False)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'asgi-sessionkit\[{name}\]'") as caught:
        importlib.import_module(f"sessionkit.contrib.{name}")
    assert caught.value.name == name


@pytest.mark.parametrize("missing", ["another", "another.part", None])
def test_other_missing_modules_are_told_as_they_are(missing: str | None) -> None:
    """A library that is there but lacks something of its own is not taken for missing."""
    error = ModuleNotFoundError("as Python tells it", name=missing)
    with pytest.raises(ModuleNotFoundError, match="as Python tells it") as caught, extra("litestar"):
        raise error
    assert caught.value is error
