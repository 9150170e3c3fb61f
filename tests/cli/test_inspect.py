"""``sessionkit inspect``: facts about a cookie; its values only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sessionkit.backend.backend import SessionBackend
from sessionkit.config import SessionConfig
from sessionkit.keyring.keyring import Keyring

if TYPE_CHECKING:
    from tests.cli.conftest import Command

SECRET_VALUE = "pl4nted-value"


def made(command: Command, size: int = 1, **settings: object) -> list[str]:
    """Return the cookie values of a session under the command's keyring."""
    config = SessionConfig(**settings)
    ring = Keyring.load(command.path)
    backend = SessionBackend(config, ring, clock=command.clock)
    data = {"user": SECRET_VALUE, "filler": "x" * size}
    return [chunk.decode() for chunk in backend.dump_data(data)]


def test_facts_without_values(command: Command) -> None:
    """A cookie's key, times and size are shown; nothing of its values."""
    command.keyring("init")
    (cookie,) = made(command)
    done = command("inspect", cookie, "--keyring", str(command.path))
    assert done.status == 0
    ring = Keyring.load(command.path)
    assert ring.active(0).kid in done.out
    assert "2027-01-15T08:00:00Z" in done.out
    assert SECRET_VALUE not in done.out
    facts = command("inspect", cookie, "--keyring", str(command.path), "--json").facts
    assert (facts["state"], facts["cookies"], facts["entries"], facts["size"]) == ("active", 1, 2, len(cookie))
    assert "values" not in facts


def test_values_on_request(command: Command) -> None:
    """``--reveal`` shows the values."""
    command.keyring("init")
    (cookie,) = made(command)
    assert SECRET_VALUE in command("inspect", cookie, "--keyring", str(command.path), "--reveal").out
    facts = command("inspect", "-", "--keyring", str(command.path), "--reveal", "--json", stdin=cookie + "\n").facts
    assert SECRET_VALUE in facts["values"]


def test_split_cookie_with_name_and_context(command: Command) -> None:
    """Several cookies are given as in a Cookie header, with the name and context they were made for."""
    command.keyring("init")
    chunks = made(command, 9000, key="shop", context="tenant")
    header = "; ".join(f"shop-{number}={chunk}" for number, chunk in enumerate(chunks))
    options = ["--keyring", str(command.path), "--name", "shop", "--context", "tenant", "--json"]
    assert command("inspect", header, *options).facts["cookies"] == len(chunks) == 4


@pytest.mark.parametrize(
    ("cookie", "problem"),
    [
        ("null", "no cookie named 'session'"),
        ("garbage!", "malformed"),
        ("session=AbNeVgFA", "malformed"),
        ("x=y", "no cookie"),
    ],
)
def test_refusals(command: Command, cookie: str, problem: str) -> None:
    """A cookie that is not accepted is answered with the reason and exit status 1."""
    command.keyring("init")
    done = command("inspect", cookie, "--keyring", str(command.path))
    assert done.status == 1
    assert problem in done.err
    assert command("inspect", cookie, "--keyring", str(command.path), "--json").status == 1


def test_altered_cookie_names_the_key(command: Command) -> None:
    """An altered cookie is refused and its key is named, since the ring knows it."""
    command.keyring("init")
    (cookie,) = made(command)
    altered = cookie[:-2] + ("A" if cookie[-2] != "A" else "B") + cookie[-1]
    facts = command("inspect", altered, "--keyring", str(command.path), "--json").facts
    assert facts["refused"] == "not accepted: bad_tag"
    assert facts["kid"] == Keyring.load(command.path).active(0).kid


def test_bad_settings(command: Command) -> None:
    """A name no cookie can have, or a keyring that is not there, is an error with its remedy."""
    assert command("inspect", "x", "--keyring", str(command.path)).status == 1
    command.keyring("init")
    done = command("inspect", "x", "--keyring", str(command.path), "--name", "a b")
    assert done.status == 1
    assert "RFC 6265" in done.err
