"""``revoke --compromised-file``, ``not-before`` and ``rollback``: one publish each, and what is refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sessionkit.backend.backend import SessionBackend
from sessionkit.config import SessionConfig
from sessionkit.keyring.key import KeyState
from sessionkit.keyring.keyring import DEFAULT_POLICY, Keyring

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command

NOW = "2027-01-15T08:00:00Z"
"""What the command takes for the present."""


def states(path: Path) -> list[str]:
    """Return the states of a file's keys, in order."""
    return [key.state.value for key in Keyring.load(path)]


@pytest.fixture
def elsewhere(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a command on a ring whose secrets are in the environment."""
    for number in range(1, 5):
        monkeypatch.setenv(f"RING_{number}", f"{number:02d}" * 32)
        (command.path.parent / f"ring-{number}.key").write_text(f"{number + 4:02d}" * 32)
    command.path.write_text(
        "version: 1\npolicy: {propagation: 0, skew: 0}\nkeys:\n"
        "- {label: one, state: active, secret: {env: RING_1}, created: 2026-01-01T00:00:00Z}\n"
        "- {label: two, state: staged, secret: {env: RING_2}, created: 2026-01-01T00:00:00Z}\n"
    )
    return command


# --- the whole file ---------------------------------------------------------------------------------------------------


def test_a_compromised_file(command: Command) -> None:
    """All keys are revoked, the staged one too; a fresh one seals and another stands by, in one publish."""
    command.keyring("init", "--propagation", "0", "--skew", "0")
    command.keyring("promote")
    before = Keyring.load(command.path)
    done = command.keyring("revoke", "--compromised-file")
    assert done.status == 0, done.err
    assert done.out.startswith(f"keys {', '.join(key.kid for key in before)} are revoked; key ")
    assert "stands by: stage" not in done.out
    after = Keyring.load(command.path)
    assert after.generation == before.generation + 1
    assert states(command.path) == ["revoked"] * 3 + ["active", "staged"]
    assert [key.label for key in after][3:] == ["2027-01-15-4", "2027-01-15-5"]
    assert not {key.id for key in before} & {key.id for key in after if key.decrypts}
    facts = command.keyring("revoke", "--compromised-file", "--label", "fresh", "--json").facts
    assert facts["revoked"] == [key.kid for key in after if key.state is not KeyState.REVOKED]
    assert facts["restart"] is False
    assert [key["label"] for key in facts["keys"]][-2:] == ["fresh", "2027-01-15-6"]


def test_fresh_secrets_from_elsewhere(elsewhere: Command) -> None:
    """Where secrets are kept outside of the file, the fresh ones come from where the options say, one for each key."""
    done = elsewhere.keyring(
        "revoke", "--compromised-file", "--secret-file", "ring-3.key", "--secret-file", "ring-4.key"
    )
    assert done.status == 0, done.err
    assert states(elsewhere.path) == ["revoked", "revoked", "active", "staged"]
    text = elsewhere.path.read_text()
    assert "base64" not in text
    assert "RING_" not in text
    assert text.index("ring-3.key") < text.index("ring-4.key")


def test_one_fresh_secret(elsewhere: Command) -> None:
    """With one, nothing stands by, and that is said; a variable that running processes do not have is said, too."""
    done = elsewhere.keyring("revoke", "--compromised-file", "--secret-env", "RING_3")
    assert done.status == 0, done.err
    assert "No key stands by: stage one." in done.out
    assert "Processes that run do not have the new variable, and keep the old ring: restart them." in done.out
    assert states(elsewhere.path) == ["revoked", "revoked", "active"]


def test_a_command_and_a_variable(elsewhere: Command) -> None:
    """Sources may be of different kinds: first variables, then files, then the command."""
    words = ["--secret-command", "cat", "--secret-command", "ring-3.key", "--secret-env", "RING_3"]
    done = elsewhere.keyring("revoke", "--compromised-file", *words, "--json")
    assert done.status == 0, done.err
    assert done.facts["restart"] is True
    text = elsewhere.path.read_text()
    assert text.index("RING_3") < text.index("command")


def test_a_secret_in_the_file_by_request(elsewhere: Command) -> None:
    """``--secret-inline`` makes both; beside one that is told, it makes the other."""
    assert elsewhere.keyring("revoke", "--compromised-file", "--secret-inline", "--secret-env", "RING_3").status == 0
    assert states(elsewhere.path) == ["revoked", "revoked", "active", "staged"]
    assert elsewhere.path.read_text().count("base64") == 1
    assert elsewhere.keyring("revoke", "--compromised-file", "--secret-inline").status == 0
    assert elsewhere.path.read_text().count("base64") == 3


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "kept outside of its file"),
        (["--secret-env", "RING_9"], "variable RING_9 is not set"),
        (["--secret-env", "RING_3", "--secret-env", "RING_3"], "stands 2 times"),
        (["--secret-env", "RING_1"], "stands 2 times"),
    ],
)
def test_fresh_secrets_that_are_none(elsewhere: Command, words: list[str], problem: str) -> None:
    """No secret, one that is not there, the same one twice, the compromised one itself: the file is left alone."""
    before = elsewhere.path.read_bytes()
    done = elsewhere.keyring("revoke", "--compromised-file", *words)
    assert done.status == 1
    assert problem in done.err
    assert elsewhere.path.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["one", "--compromised-file"],
        ["one", "--secret-env", "RING_3", "--secret-env", "RING_4"],
        ["one", "--secret-env", "RING_3", "--secret-file", "ring-4.key"],
        ["--compromised-file", *["--secret-env", "RING_3"] * 3],
    ],
)
def test_revoke_is_for_one_key_or_for_all(elsewhere: Command, words: list[str]) -> None:
    """No key, a key beside all of them, or more secrets than keys to make: wrong usage, and nothing is done."""
    before = elsewhere.path.read_bytes()
    assert elsewhere.keyring("revoke", *words).status == 2
    assert elsewhere.path.read_bytes() == before


def test_revoke_says_what_a_new_variable_takes(elsewhere: Command) -> None:
    """Also for a single key: the staged one takes over everywhere, but the file names what no process has."""
    done = elsewhere.keyring("revoke", "one", "--secret-env", "RING_3")
    assert done.status == 0
    assert "restart them" in done.out
    assert states(elsewhere.path) == ["revoked", "active", "staged"]


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_not_before_now(command: Command) -> None:
    """The second that has begun counts as over; the keys stay, the file says so, and so does ``status``."""
    command.keyring("init")
    before = Keyring.load(command.path)
    assert command.keyring("status", "--json").facts["not_before"] is None
    done = command.keyring("not-before", "now")
    assert done.status == 0, done.err
    assert done.out == "sessions begun before 2027-01-15T08:00:01Z are refused from now on.\n"
    after = Keyring.load(command.path)
    assert (after.not_before, after.generation, after.keys) == (command.clock.now + 1, 2, before.keys)
    assert "generation: 2\nnot_before: 2027-01-15T08:00:01Z\n" in command.path.read_text()
    assert "refused: sessions begun before 2027-01-15T08:00:01Z" in command.keyring("status").out
    assert command.keyring("status", "--json").facts["not_before"] == "2027-01-15T08:00:01Z"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2027-01-15T07:00:00Z", "2027-01-15T07:00:00Z"),
        ("2027-01-15T08:00:00+01:00", "2027-01-15T07:00:00Z"),
        ("2027-01-15 07:00:00.001Z", "2027-01-15T07:00:01Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ],
)
def test_not_before_a_time(command: Command, text: str, written: str) -> None:
    """A time has its zone; a fraction of a second lets nothing in that it should not."""
    command.keyring("init")
    assert command.keyring("not-before", text).status == 0
    assert f"not_before: {written}\n" in command.path.read_text()


@pytest.mark.parametrize("text", ["tomorrow", "2027-01-15T07:00:00", "1800000000", "1969-12-31T23:59:59Z", ""])
def test_no_such_time(command: Command, text: str) -> None:
    """What is no time, or has no zone, is wrong usage."""
    command.keyring("init")
    assert command.keyring("not-before", text).status == 2


def test_not_before_goes_forward(command: Command) -> None:
    """A time to come is refused; an earlier one than before takes force; the later one replaces it where it stands."""
    command.keyring("init", "--skew", "5")
    done = command.keyring("not-before", "2027-01-15T08:00:07Z")
    assert done.status == 1
    assert "that time lies ahead" in done.err
    command.path.write_text(command.path.read_text().replace("generation: 1", "generation: 1  # first"))
    assert command.keyring("not-before", NOW).status == 0
    done = command.keyring("not-before", "2027-01-15T07:00:00Z")
    assert done.status == 1
    assert "are refused already" in done.err
    assert command.keyring("not-before", "2027-01-15T07:00:00Z", "--force").status == 0
    assert command.keyring("not-before", NOW).status == 0
    assert f"generation: 4  # first\nnot_before: {NOW}\npolicy:" in command.path.read_text()


def test_check_tells_of_an_emergency_undone(command: Command, tmp_path: Path) -> None:
    """A file from before, given a higher generation, is told to let sessions in again."""
    command.keyring("init")
    old = tmp_path / "old.yaml"
    old.write_text(command.path.read_text().replace("generation: 1", "generation: 9"))
    old.chmod(0o600)
    command.keyring("not-before", "now")
    done = command("keyring", "check", str(command.path), str(old))
    assert done.status == 1
    assert re.match("E1: not_before goes back", done.err)


# --- going back -------------------------------------------------------------------------------------------------------


def test_rollback(command: Command) -> None:
    """The key before seals again and the new one stands by; both are named."""
    command.keyring("init", "--propagation", "0", "--skew", "0")
    assert command.keyring("rollback").status == 1
    first, second = Keyring.load(command.path)
    command.keyring("promote", "--no-successor")
    done = command.keyring("rollback")
    assert done.status == 0, done.err
    assert done.out == f"key {first.kid} ({first.label}) seals again; key {second.kid} ({second.label}) stands by.\n"
    assert states(command.path) == ["active", "staged"]
    assert Keyring.load(command.path).active(command.clock.now).id == first.id
    command.keyring("promote", "--no-successor")
    assert command.keyring("rollback", first.label, "--json").facts["active"] == first.kid
    assert command.keyring("rollback", "nobody").status == 1


def test_inspect_says_what_not_before_refuses(command: Command) -> None:
    """A cookie that opens and began too early is not accepted by ``inspect`` either: it judges by the whole ring."""
    command.keyring("init")
    backend = SessionBackend(
        SessionConfig(), Keyring.load(command.path).changed(policy=DEFAULT_POLICY), clock=command.clock
    )
    [value] = backend.dump_data({"user": 7})
    assert command("inspect", value.decode(), "--keyring", str(command.path)).status == 0
    command.keyring("not-before", "now")
    done = command("inspect", value.decode(), "--keyring", str(command.path))
    assert (done.status, done.err) == (1, "not accepted: revoked\n")
