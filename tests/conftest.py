"""What all tests share: both async backends in virtual time, and one profile for hypothesis.

A test that is about real I/O or real threads of its own takes real time by a marker::

    @pytest.mark.real_time
    async def test_over_a_socket() -> None: ...

One backend alone: ``@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)``.
"""

from __future__ import annotations

import os
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.leaks import Watch
from tests.line_schema import LineWatch
from tests.unmeasured import untraced
from tests.virtual_time import asyncio_options, trio_options

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# Derandomised: the same examples on every run and machine, so a red run is red again.
# No deadline: a shared core stalls.
# The one function-scoped fixture under @given is `anyio_backend`; a loop is made anew for every example anyhow.
settings.register_profile(
    "deterministic", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.register_profile(
    "explore", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile(os.environ.get("SESSIONKIT_HYPOTHESIS_PROFILE", "deterministic"))


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers this file gives a meaning to."""
    config.addinivalue_line("markers", "leaks_on_purpose: says what must not be said, to see it found.")
    config.addinivalue_line("markers", "unmeasured: no coverage is taken of it, as of all by hypothesis.")
    config.addinivalue_line("markers", "violates_on_purpose: writes lines the schema forbids, to see them found.")
    config.addinivalue_line("markers", "real_time: run on the real clock, for tests of sockets, processes or threads.")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Hand every async test to anyio's plugin; its own setting for that is younger than the oldest anyio we take."""
    inner = obj.hypothesis.inner_test if hasattr(obj, "hypothesis") else obj
    if collector.istestfunction(obj, name) and iscoroutinefunction(inner):
        pytest.mark.anyio(obj)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run searches untraced, with their fixtures."""
    if item.get_closest_marker("hypothesis") is None and item.get_closest_marker("unmeasured") is None:
        return (yield)
    with untraced():
        return (yield)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Each async test runs once on asyncio and once on trio, in virtual time unless marked ``real_time``."""
    name: str = request.param
    if request.node.get_closest_marker("real_time") is not None:
        return name, {}
    return name, asyncio_options() if name == "asyncio" else trio_options()


@pytest.fixture(autouse=True)
def nothing_leaks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No secret, token or payload of any test shows up in what the test logs and raises."""
    watch = Watch()
    watch.install(monkeypatch)
    yield
    found = watch.found()
    assert not found or request.node.get_closest_marker("leaks_on_purpose") is not None, found


@pytest.fixture(autouse=True)
def lines_are_as_promised(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every line that any test writes to the audit log satisfies the published schema."""
    watch = LineWatch()
    watch.install(monkeypatch)
    yield
    assert not watch.wrong or request.node.get_closest_marker("violates_on_purpose") is not None, watch.wrong[:10]
