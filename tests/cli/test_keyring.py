"""``sessionkit keyring``: every command, its refusals, its JSON and its exit statuses."""

from __future__ import annotations

import base64
import stat
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from sessionkit.keyring.key import KeyState
from sessionkit.keyring.keyring import Keyring

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command

DAY = 86_400.0


def states(path: Path) -> list[str]:
    """Return the states of a file's keys, in its order."""
    return [key.state.value for key in Keyring.load(path)]


def test_init_writes_one_active_and_one_staged_key(command: Command) -> None:
    """``init`` makes a ring that is ready to rotate, readable by its owner alone, with random secrets of 32 octets."""
    done = command.keyring("init", "--propagation", "60", "--skew", "5", "--token-lifetime", "3600.5", "--json")
    assert done.status == 0
    ring = Keyring.load(command.path)
    assert done.facts["digest"] == ring.digest
    assert [key["state"] for key in done.facts["keys"]] == ["active", "staged"] == states(command.path)
    assert (ring.generation, ring.policy.propagation, ring.policy.skew, ring.policy.token_lifetime) == (
        1,
        60,
        5,
        3600.5,
    )
    assert stat.S_IMODE(command.path.stat().st_mode) == 0o600
    assert all(key.created == command.clock.now for key in ring)


def test_init_never_replaces_a_file(command: Command) -> None:
    """``init`` on a file that exists is refused and leaves it as it is."""
    command.keyring("init")
    before = command.path.read_bytes()
    done = command.keyring("init")
    assert done.status == 1
    assert "exists already" in done.err
    assert command.path.read_bytes() == before
    beside = sorted(entry.name for entry in command.path.parent.iterdir())
    assert beside == [".keyring.yaml.lock", "keyring.yaml"]


def test_promote_waits_until_every_node_has_the_staged_key(command: Command) -> None:
    """``promote`` before propagation and skew are over is refused, and says from when it is allowed."""
    command.keyring("init", "--propagation", "60", "--skew", "5")
    command.clock.advance(64)
    before = command.path.read_bytes()
    done = command.keyring("promote")
    assert done.status == 1
    assert "Allowed from 2027-01-15T08:01:05Z." in done.err
    told = command.keyring("promote", "--json")
    assert told.status == 1
    assert told.facts["allowed_at"] == "2027-01-15T08:01:05Z"
    assert command.path.read_bytes() == before
    command.clock.advance(1)
    assert command.keyring("promote").status == 0


def test_promote_is_one_publish(command: Command) -> None:
    """``promote`` activates the staged key, retires the active one with its dates and stages a fresh one, at once."""
    command.keyring("init", "--propagation", "0", "--skew", "0", "--token-lifetime", "100")
    first, second = Keyring.load(command.path).keys
    command.clock.advance(10)
    done = command.keyring("promote", "--label", "third", "--json")
    ring = Keyring.load(command.path)
    assert done.facts["active"] == second.kid
    assert ring.generation == 2
    assert ring.active(command.clock.now).id == second.id
    retired = ring.find(first.id)
    assert retired is not None
    assert (retired.state, retired.retired) == (KeyState.RETIRED, command.clock.now)
    assert retired.prune_after == command.clock.now + 100
    assert [key.label for key in ring if key.state is KeyState.STAGED] == ["third"]


def test_promote_by_force(command: Command) -> None:
    """``--force`` promotes at once; without a staged key even that is refused."""
    command.keyring("init")
    assert command.keyring("promote", "--force", "--no-successor").status == 0
    assert states(command.path) == ["retired", "active"]
    done = command.keyring("promote", "--force")
    assert done.status == 1
    assert "no key is staged" in done.err


def test_promote_at_a_time(command: Command) -> None:
    """``promote --at`` publishes now and lets every node change by its own clock then."""
    command.keyring("init", "--propagation", "60", "--skew", "5")
    first, second = Keyring.load(command.path).keys
    done = command.keyring("promote", "--at", "2027-01-15T09:00:00Z", "--no-successor")
    assert done.status == 0, done.err
    assert "from 2027-01-15T09:00:00Z" in done.out
    ring = Keyring.load(command.path)
    assert ring.active(command.clock.now).id == first.id
    assert ring.active(command.clock.now + 3600).id == second.id


def test_after_a_scheduled_takeover(command: Command, tmp_path: Path) -> None:
    """Case 185: every command treats the key that took over as the one that seals, and the outrun one as retired."""
    command.keyring("init", "--propagation", "60", "--skew", "5", "--token-lifetime", "1000")
    first, second = Keyring.load(command.path).keys
    third = command.keyring("promote", "--at", "2027-01-15T09:00:00Z", "--json").facts["staged"]
    assert f"next: wait; {second.label} takes over by itself at 2027-01-15T09:00:00Z" in command.keyring("status").out
    command.clock.advance(3600)
    facts = command.keyring("status", "--json").facts
    assert [(key["kid"], key["state"], key["seals"]) for key in facts["keys"]] == [
        (first.kid, "retired", False),
        (second.kid, "active", True),
        (third, "staged", False),
    ]
    assert facts["digest"] == Keyring.load(command.path).digest  # what nodes report, whatever time has brought about
    assert (facts["keys"][0]["retired"], facts["keys"][0]["prune_after"]) == (
        "2027-01-15T09:00:00Z",
        "2027-01-15T09:17:50Z",
    )
    assert facts["next"].startswith("all is well")
    assert "2027-01-15T09:17:50Z" in command.keyring("prune").err
    assert "is active, and a ring needs one" in command.keyring("retire", second.kid).err
    before = tmp_path / "before.yaml"
    before.write_bytes(command.path.read_bytes())
    before.chmod(0o600)
    assert command.keyring("promote", "--json").facts["active"] == third
    assert states(command.path) == ["retired", "retired", "active", "staged"]
    assert command("keyring", "check", str(before), str(command.path)).status == 0
    assert Keyring.load(command.path).keys[0].retired == command.clock.now


def test_revoke_after_a_scheduled_takeover(command: Command) -> None:
    """The key that seals by its time is replaced, by a new one where none stands by; the outrun one is no emergency."""
    command.keyring("init", "--propagation", "0", "--skew", "0")
    first, second = Keyring.load(command.path).keys
    command.keyring("promote", "--at", "2027-01-15T09:00:00Z", "--no-successor")
    command.clock.advance(3600)
    done = command.keyring("revoke", second.label)
    assert done.status == 0, done.err
    ring = Keyring.load(command.path)
    assert states(command.path) == ["retired", "revoked", "active"]
    assert f"key {second.kid} is revoked; key {ring.keys[2].kid} seals." in done.out
    command.keyring("revoke", first.label)
    assert Keyring.load(command.path).active(command.clock.now).kid == ring.keys[2].kid


def test_rollback(command: Command, tmp_path: Path) -> None:
    """``rollback`` is a publish like any other, which ``check`` lets pass; it goes one step, and further by name."""
    command.keyring("init", "--propagation", "0", "--skew", "0")
    first, second = Keyring.load(command.path).keys
    refused = command.keyring("rollback")
    assert (refused.status, "no retired key is known" in refused.err) == (1, True)
    command.clock.advance(1)
    command.keyring("promote")
    before = tmp_path / "before.yaml"
    before.write_bytes(command.path.read_bytes())
    before.chmod(0o600)
    done = command.keyring("rollback", "--json")
    assert (done.status, done.facts["active"], done.facts["generation"]) == (0, first.kid, 3)
    assert states(command.path) == ["active", "staged", "staged"]
    assert command("keyring", "check", str(before), str(command.path)).status == 0
    command.keyring("promote")
    assert Keyring.load(command.path).active(command.clock.now).kid == second.kid
    assert f"key {first.kid} ({first.label}) seals again" in command.keyring("rollback", first.label).out


@pytest.mark.parametrize("way", ["env", "file", "command"])
def test_stage_takes_secrets_from_elsewhere(command: Command, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``stage`` can name a secret in an environment variable, a file or a command instead of making one."""
    secret = bytes(range(32))
    text = base64.b64encode(secret).decode()
    monkeypatch.setenv("NEXT_SECRET", text)
    (command.path.parent / "next").write_text(text)
    options = {
        "env": ["--secret-env", "NEXT_SECRET"],
        "file": ["--secret-file", "next"],
        "command": ["--secret-command", "cat", "--secret-command", "next"],
    }
    command.keyring("init")
    done = command.keyring("stage", "--label", "next", *options[way])
    assert done.status == 0, done.err
    staged = Keyring.load(command.path).keys[-1]
    assert (staged.label, staged.kid, staged.state) == ("next", "b35e5601", KeyState.STAGED)
    assert text not in command.path.read_text()
    assert text not in done.out


def test_stage_with_a_secret_that_is_not_there(command: Command) -> None:
    """A secret that cannot be fetched is named, and the file is left alone."""
    command.keyring("init")
    before = command.path.read_bytes()
    done = command.keyring("stage", "--secret-env", "NO_SUCH_VARIABLE")
    assert done.status == 1
    assert "NO_SUCH_VARIABLE is not set" in done.err
    assert command.path.read_bytes() == before


def test_stage_for_a_time(command: Command) -> None:
    """A key can be staged with the time of its take-over, not before every node can have it."""
    command.keyring("init")
    done = command.keyring("stage", "--activates", "2027-01-15T08:05:00Z")
    assert done.status == 1
    assert "Allowed from 2027-01-15T08:10:00Z" in done.err
    done = command.keyring("stage", "--activates", "2027-01-15T10:00:00Z", "--json")
    assert done.status == 0
    ring = Keyring.load(command.path)
    assert ring.active(command.clock.now + 7200).kid == done.facts["staged"]
    assert "activates: 2027-01-15T10:00:00Z" in command.path.read_text()


def test_retire(command: Command) -> None:
    """``retire`` takes a staged key out of the line; the active one cannot be retired, nor a key that is not there."""
    command.keyring("init")
    active, staged = Keyring.load(command.path).keys
    assert command.keyring("retire", staged.label).status == 0
    assert states(command.path) == ["active", "retired"]
    for name, problem in ((active.kid, "is active"), (staged.kid, "is retired already"), ("nobody", "has no key")):
        done = command.keyring("retire", name)
        assert done.status == 1
        assert problem in done.err


def test_revoke_the_active_key(command: Command) -> None:
    """Revoking the active key lets the staged one take over and stages a fresh one, in one publish, without waiting."""
    command.keyring("init")
    active, staged = Keyring.load(command.path).keys
    done = command.keyring("revoke", active.label, "--json")
    assert done.status == 0
    ring = Keyring.load(command.path)
    assert ring.generation == 2
    assert ring.active(command.clock.now).id == staged.id
    assert states(command.path) == ["revoked", "active", "staged"]
    assert command.keyring("revoke", active.label).status == 1


def test_revoke_without_a_staged_key(command: Command) -> None:
    """If nothing stands by, a fresh key becomes active."""
    command.keyring("init")
    active, staged = Keyring.load(command.path).keys
    command.keyring("retire", staged.kid)
    assert command.keyring("revoke", active.kid).status == 0
    assert states(command.path) == ["revoked", "retired", "active"]


def test_revoke_a_retired_key(command: Command) -> None:
    """Revoking a retired key touches no other."""
    command.keyring("init", "--propagation", "0", "--skew", "0")
    command.keyring("promote")
    first = Keyring.load(command.path).keys[0]
    assert command.keyring("revoke", first.kid).status == 0
    assert states(command.path) == ["revoked", "active", "staged"]


def test_a_key_that_was_retired_and_then_revoked_is_kept_from_its_revocation_on(command: Command) -> None:
    """The date that `status` shows is the one that `prune` keeps to, and no longer what its retirement foresaw."""
    command.keyring("init", "--propagation", "0", "--skew", "0", "--token-lifetime", "3600")
    command.keyring("promote")
    first = Keyring.load(command.path).keys[0]
    assert command.keyring("status", "--json").facts["keys"][0]["prune_after"] == "2027-01-15T09:00:00Z"
    command.clock.advance(1800)
    command.keyring("revoke", first.kid)
    keys = command.keyring("status", "--json").facts["keys"]
    assert [key["prune_after"] for key in keys] == ["2027-01-15T09:30:00Z", None, None]
    assert "2027-01-15T09:30:00Z" in command.keyring("status").out
    command.clock.advance(3599)
    assert "2027-01-15T09:30:00Z" in command.keyring("prune", first.kid).err
    command.clock.advance(1)
    assert command.keyring("prune", first.kid).status == 0


def test_prune_refuses_before_the_last_session_has_ended(command: Command) -> None:
    """``prune`` names the time from which it is safe, prunes then, and tells what it pruned."""
    command.keyring("init", "--propagation", "10", "--skew", "5", "--token-lifetime", "100")
    command.clock.advance(15)
    command.keyring("promote")
    first = Keyring.load(command.path).keys[0]
    command.clock.advance(119)
    for words in ((), (first.label,)):
        done = command.keyring("prune", *words)
        assert done.status == 1
        assert "Allowed from 2027-01-15T08:02:15Z." in done.err
    command.clock.advance(1)
    done = command.keyring("prune", "--json")
    assert done.status == 0
    assert done.facts["pruned"] == [first.kid]
    assert states(command.path) == ["active", "staged"]
    done = command.keyring("prune")
    assert done.status == 1
    assert "no key is retired or revoked" in done.err


def test_prune_never_takes_a_key_in_use(command: Command) -> None:
    """The active and the staged key are not pruned, by no force; a retired one is, by force."""
    command.keyring("init", "--propagation", "0", "--skew", "0")
    command.keyring("promote")
    retired, active, staged = Keyring.load(command.path).keys
    for key in (active, staged):
        assert command.keyring("prune", key.label, "--force").status == 1
    assert command.keyring("prune", retired.label, "--force").status == 0
    assert states(command.path) == ["active", "staged"]


def test_check_is_a_gate(command: Command, tmp_path: Path) -> None:
    """``check OLD NEW`` ends with 0 if the publish is safe, else with 1 and every violated condition."""
    command.keyring("init", "--propagation", "0", "--skew", "0")
    old = tmp_path / "old.yaml"
    old.write_bytes(command.path.read_bytes())
    old.chmod(0o600)
    command.keyring("promote")
    assert command("keyring", "check", str(old), str(command.path)).status == 0
    assert command("keyring", "check", str(old), str(command.path), "--json").facts == {"violations": []}
    done = command("keyring", "check", str(command.path), str(old))
    assert done.status == 1
    gone, backwards = done.err.splitlines()
    fresh = Keyring.load(command.path).keys[2]
    assert gone.startswith(f"C1 ({fresh.kid}): staged key '{fresh.label}' would be gone")
    assert gone.endswith("Retire it instead, and prune it later.")
    assert backwards.startswith("C2: generation goes back from 2 to 1")
    facts = command("keyring", "check", str(command.path), str(old), "--json").facts
    assert [(one["condition"], one["kid"], one["label"]) for one in facts["violations"]] == [
        ("C1", fresh.kid, fresh.label),
        ("C2", None, None),
    ]
    assert all(one["remedy"] and one["reason"] for one in facts["violations"])
    assert {one["allowed_at"] for one in facts["violations"]} == {None}


def test_status_says_what_to_do_next(command: Command) -> None:
    """``status`` shows states, ages and the digest, and advises the next step at each stage of a rotation."""
    command.keyring("init", "--propagation", "10", "--skew", "5", "--token-lifetime", "100")
    command.clock.advance(7)
    done = command.keyring("status")
    assert done.status == 0
    assert Keyring.load(command.path).digest in done.out
    assert "7 s" in done.out
    assert "next: wait; the staged key may be promoted from 2027-01-15T08:00:15Z" in done.out
    command.clock.advance(60)
    assert "1 min" in command.keyring("status").out
    assert "next: all is well" in command.keyring("status").out
    command.keyring("promote", "--no-successor")
    assert command.keyring("status", "--json").facts["next"].startswith("stage a key")
    command.keyring("stage")
    command.clock.advance(2 * DAY)
    assert command.keyring("status", "--json").facts["next"].startswith("prune ")
    assert "2 d" in command.keyring("status").out
    command.clock.now -= 3 * DAY
    assert "in 1 d" in command.keyring("status").out


def test_timeline_lists_past_and_future(command: Command) -> None:
    """``timeline`` puts the life of every key in order, with the present between past and future."""
    command.keyring("init", "--propagation", "0", "--skew", "0")
    assert command.keyring("timeline").out.rstrip().endswith("now")
    command.clock.advance(DAY)
    command.keyring("promote")
    lines = command.keyring("timeline").out.partition("\n\n")[2].splitlines()
    assert [line.split()[2] for line in lines if "now" not in line] == [
        "created", "created", "retired", "activates", "created", "prune"
    ]  # fmt: skip
    assert [line for line in lines if line.endswith("now")] == [lines[-2]]
    facts = command.keyring("timeline", "--json").facts
    assert facts["now"] == "2027-01-16T08:00:00Z"
    assert facts["timeline"][-1]["what"] == "prune after"


def test_labels_of_one_day_differ(command: Command) -> None:
    """Keys made on one day get labels that differ."""
    command.keyring("init")
    command.keyring("stage")
    command.keyring("stage")
    labels = [key.label for key in Keyring.load(command.path)]
    assert labels == ["2027-01-15", "2027-01-15-2", "2027-01-15-3", "2027-01-15-4"]


@pytest.mark.parametrize("name", ["status", "promote", "prune", "timeline", "stage"])
def test_a_file_that_is_not_there(command: Command, name: str) -> None:
    """Every command says that a file is missing, and ends with 1."""
    done = command.keyring(name)
    assert done.status == 1
    assert "keyring.yaml" in done.err


def test_two_writers_at_once(command: Command) -> None:
    """While one command changes the file, another is told so and changes nothing."""
    command.keyring("init")
    before = command.path.read_bytes()
    with FileLock(command.path.with_name(f".{command.path.name}.lock")):
        done = command.keyring("stage")
    assert done.status == 1
    assert "is being changed by another command" in done.err
    assert command.path.read_bytes() == before


def test_a_folder_that_cannot_be_locked(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which no lock can be made is named as the problem."""
    command.keyring("init")

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", deny)
    done = command.keyring("stage")
    assert done.status == 1
    assert "cannot be locked (Permission denied)" in done.err


def test_a_link_and_its_file_have_one_lock(command: Command) -> None:
    """Two commands that reach one file by two names are still told of each other."""
    command.keyring("init")
    link = command.path.with_name("link.yaml")
    link.symlink_to(command.path)
    with FileLock(command.path.with_name(f".{command.path.name}.lock")):
        done = command("keyring", "stage", str(link))
    assert done.status == 1
    assert "is being changed by another command" in done.err
    assert command("keyring", "stage", str(link)).status == 0
    assert link.is_symlink()
    assert len(Keyring.load(command.path)) == 3


@pytest.fixture
def elsewhere(command: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Return a command on a ring whose secrets are in the environment, its file open to everybody."""
    for number in (1, 2, 3):
        monkeypatch.setenv(f"RING_{number}", f"{number:02d}" * 32)
    command.path.write_text(
        "version: 1\npolicy: {propagation: 0, skew: 0}\nkeys:\n"
        "- {label: one, state: active, secret: {env: RING_1}, created: 2026-01-01T00:00:00Z}\n"
        "- {label: two, state: staged, secret: {env: RING_2}, created: 2026-01-01T00:00:00Z}\n"
    )
    return command


@pytest.mark.parametrize("name", ["stage", "promote"])
def test_no_secret_is_put_into_a_file_that_has_none(elsewhere: Command, name: str) -> None:
    """A file whose secrets are elsewhere may lie in a repository: a secret goes there only if that is asked for."""
    before = elsewhere.path.read_bytes()
    done = elsewhere.keyring(name)
    assert done.status == 1
    assert "kept outside of its file. Say where the new one is by --secret-env" in done.err
    assert elsewhere.path.read_bytes() == before
    assert elsewhere.keyring(name, "--secret-env", "RING_3").status == 0
    assert "base64" not in elsewhere.path.read_text()
    assert elsewhere.keyring("stage", "--secret-inline").status == 0
    assert "base64" in elsewhere.path.read_text()
    assert elsewhere.keyring("stage").status == 0


def test_an_emergency_waits_for_no_successor(elsewhere: Command) -> None:
    """Where no successor can be made, the staged key takes over without one; with none staged, that is said."""
    done = elsewhere.keyring("revoke", "one")
    assert done.status == 0
    assert done.out.endswith("seals. No key stands by: stage one.\n")
    assert states(elsewhere.path) == ["revoked", "active"]
    done = elsewhere.keyring("revoke", "two")
    assert done.status == 1
    assert "--secret-env" in done.err
    assert elsewhere.keyring("revoke", "two", "--secret-env", "RING_3").status == 0
    assert states(elsewhere.path) == ["revoked", "revoked", "active"]
    assert "RING_1" not in elsewhere.path.read_text()


def test_labels_are_text_and_no_markup(command: Command) -> None:
    """Whatever a label looks like, it is shown as it is; what a terminal would obey is escaped, and never made here."""
    command.keyring("init", "--propagation", "0", "--skew", "0")
    assert command.keyring("stage", "--label", "[red]a[/b]").status == 0
    done = command.keyring("status")
    assert done.status == 0
    assert "[red]a[/b]" in done.out
    assert command.keyring("stage", "--label", "a\x1b[31m\nb").status == 2
    command.path.write_text(command.path.read_text().replace("[red]a[/b]", "a\\e[31m\\nb"))
    for name in ("status", "timeline", "promote"):
        done = command.keyring(name)
        assert done.status == 0
        assert "\x1b" not in done.out
    assert "a\\x1b[31m\\nb" in command.keyring("status").out


def test_a_label_that_the_file_does_not_take(command: Command) -> None:
    """A label that is too long or taken is refused with the file's own name, and the file is left alone."""
    command.keyring("init")
    before = command.path.read_bytes()
    for label, problem in (("x" * 65, "at most 64 characters"), ("2027-01-15", "stands 2 times"), ("", "at least 1")):
        done = command.keyring("stage", "--label", label)
        assert done.status == 1
        assert problem in done.err
        assert ".tmp" not in done.err
    assert command.path.read_bytes() == before


def test_dates_that_people_left_out(command: Command) -> None:
    """``status`` asks for a missing date; without it ``promote`` and ``prune`` are refused, however late it is."""
    command.keyring("init", "--propagation", "0", "--skew", "0", "--token-lifetime", "1", "--json")
    command.keyring("promote")
    command.clock.advance(9 * DAY)
    whole = command.path.read_text()
    retired, active, staged = Keyring.load(command.path)
    lines = [line for line in whole.splitlines(keepends=True) if "retired:" not in line and "prune_after:" not in line]
    command.path.write_text("".join(lines))
    assert f"write down when {retired.label} retired" in command.keyring("status").out
    assert command.keyring("prune").status == 1
    assert "has no date 'retired'" in command.keyring("prune", retired.kid).err
    lines = [line for line in whole.splitlines(keepends=True) if "created:" not in line]
    command.path.write_text("".join(lines))
    command.keyring("prune")
    assert f"write down when {staged.label} was created" in command.keyring("status").out
    assert "has no date 'created'" in command.keyring("promote").err
    assert Keyring.load(command.path).active(command.clock.now).id == active.id


def test_check_reckons_with_the_present(command: Command, tmp_path: Path) -> None:
    """A key that is pruned while its sessions may be alive is a violation; later, the same publish is safe."""
    command.keyring("init", "--propagation", "0", "--skew", "0", "--token-lifetime", "100")
    command.keyring("promote")
    old = tmp_path / "old.yaml"
    old.write_bytes(command.path.read_bytes())
    old.chmod(0o600)
    command.keyring("prune", "--force")
    done = command("keyring", "check", str(old), str(command.path))
    assert done.status == 1
    assert done.err.startswith("C3 (")
    assert done.err.endswith("Allowed from 2027-01-15T08:01:40Z.\n")
    command.clock.advance(100)
    assert command("keyring", "check", str(old), str(command.path)).status == 0


@pytest.mark.parametrize(
    "words",
    [
        ["keyring", "nonsense"],
        ["keyring", "init"],
        ["keyring", "init", "x", "--skew", "-1"],
        ["keyring", "init", "x", "--skew", "nan"],
        ["keyring", "init", "x", "--propagation", "inf"],
        ["keyring", "check", "a"],
    ],
)
def test_wrong_usage_ends_with_2(command: Command, words: list[str]) -> None:
    """Wrong usage is told apart from a refusal by its exit status."""
    assert command(*words).status == 2


@pytest.mark.parametrize("option", ["--propagation", "--skew", "--token-lifetime"])
def test_init_promises_nothing_that_ends_after_all_dates(command: Command, option: str) -> None:
    """A policy of more than a century is wrong usage: no date would follow from it, and nothing is written."""
    done = command.keyring("init", option, "1e12")
    assert done.status == 2
    assert option in done.err
    assert not command.path.exists()


@pytest.mark.parametrize("name", ["promote", "prune", "retire"])
def test_a_path_that_cannot_be_looked_at_is_told(command: Command, name: str) -> None:
    """A path that the system refuses to look at is an error with the reason, not a traceback."""
    words = ["keyring", name, "k" * 300, *(["KEY"] if name == "retire" else [])]
    done = command(*words)
    assert done.status == 1
    assert "File name too long" in done.err
    assert "Check the path" in done.err


def test_a_take_over_beyond_all_dates_is_refused(command: Command) -> None:
    """``promote --at`` a time that no file may hold leaves the file as it is, and says which times it may."""
    command.keyring("init", "--propagation", "0", "--skew", "0")
    before = command.path.read_bytes()
    done = command.keyring("promote", "--at", "9999-12-31T23:59:59Z")
    assert done.status == 1
    assert "between 1970 and 2999" in done.err
    assert command.path.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("not_before: 2027-01-15T09:00:00Z", "lies 3600 s ahead"),
        ("write_format: 7", "is 7, and this release of sessionkit writes"),
    ],
)
def test_check_refuses_what_processes_refuse(command: Command, tmp_path: Path, line: str, told: str) -> None:
    """A ring that no process would take is not safe to publish, whatever came before it."""
    command.keyring("init", "--skew", "0")
    new = tmp_path / "new.yaml"
    new.write_text(command.path.read_text().replace("generation: 1\n", f"generation: 2\n{line}\n"))
    new.chmod(0o600)
    done = command("keyring", "check", str(command.path), str(new))
    assert done.status == 1
    assert told in done.err


def test_status_tells_of_a_pinned_format(command: Command) -> None:
    """A ``write_format`` is to be taken out again one day, so ``status`` shows it; without one it says nothing."""
    command.keyring("init")
    assert "pinned:" not in command.keyring("status").out
    assert command.keyring("status", "--json").facts["write_format"] is None
    command.path.write_text(command.path.read_text().replace("generation: 1\n", "generation: 2\nwrite_format: 1\n"))
    assert "pinned: all processes write version 1 of the format" in command.keyring("status").out
    assert command.keyring("status", "--json").facts["write_format"] == 1


def test_prune_says_of_a_revoked_key_what_it_is_kept_for(command: Command) -> None:
    """No session is alive under a revoked key: the refusal tells what its tombstone does, and until when."""
    command.keyring("init", "--propagation", "0", "--skew", "0", "--token-lifetime", "100")
    gone = Keyring.load(command.path).keys[0].label
    command.keyring("revoke", gone)
    done = command.keyring("prune", gone)
    assert done.status == 1
    assert "may still be alive" not in done.err
    assert "refused and cleared" in done.err
    assert done.err.endswith("Allowed from 2027-01-15T08:01:40Z.\n")


def test_two_ways_to_a_secret_are_told_apart(command: Command) -> None:
    """More than one option for the new secret is refused with a whole sentence."""
    command.keyring("init")
    done = command.keyring("stage", "--secret-env", "A", "--secret-file", "b")
    assert done.status == 1
    assert "secret: names 2 ways: env, file." in done.err
