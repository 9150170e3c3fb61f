"""The editor changes what a rotation changes, where it stands, and no other character, however a file is laid out."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionkit.exceptions import KeyringError
from sessionkit.keyring import file, rotation
from sessionkit.keyring.editor import Editor, NewKey
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000.0
NEXT = NewKey(
    Key.from_secret(b"\x03" * 32, label="next", state=KeyState.STAGED, created=NOW), {"file": "the third: {key}"}
)
ONE, TWO = "01" * 32, "02" * 32
INLINE = "A" * 42 + "E"


@pytest.fixture(autouse=True)
def _secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR_ONE", ONE)
    monkeypatch.setenv("EDITOR_TWO", TWO)
    (tmp_path / "the third: {key}").write_text("03" * 32)


def written(path: Path, text: str) -> Editor:
    """Return an editor of a file."""
    path.write_bytes(text.encode())
    path.chmod(0o600)
    return Editor(path)


def promoted(opened: Editor) -> None:
    """Publish the next step of a rotation."""
    opened.publish(rotation.promote(opened.ring, NOW, successor=NEXT.key, force=True), {NEXT.key.kid: NEXT})


BEFORE = """\
# head
version: 1
generation: 4  # four
policy: {propagation: 0, skew: 0, token_lifetime: 10}

keys:
  # one: in use
  - label: one  # the first
    state: "active"
    secret:
      env: EDITOR_ONE
      # from the vault
    created: 2026-12-01T01:00:00+01:00
    # inside one

  # two: stands by
  # and waits
  - label: two
    state: staged
    secret: {env: EDITOR_TWO}  # also from there
    created: 2026-12-01

# tail
"""
BEFORE = BEFORE.replace("created: 2026-12-01\n", "created: '2026-12-01T00:00:00Z'\n")


def test_a_publish_leaves_everything_else_where_it_is(tmp_path: Path) -> None:
    """Comments stay above, behind and inside the entries they were written for; new fields and entries come last."""
    path = tmp_path / "keyring.yaml"
    promoted(written(path, BEFORE))
    expected = (
        BEFORE.replace("generation: 4", "generation: 5")
        .replace('state: "active"', "state: retired")
        .replace(
            "created: 2026-12-01T01:00:00+01:00\n",
            "created: 2026-12-01T01:00:00+01:00\n"
            "    retired: 2027-01-15T08:00:00Z\n    prune_after: 2027-01-15T08:00:10Z\n",
        )
        .replace("state: staged", "state: active")
        .replace(
            "created: '2026-12-01T00:00:00Z'\n",
            "created: '2026-12-01T00:00:00Z'\n    activates: 2027-01-15T08:00:00Z\n\n"
            '  - label: "next"\n    state: staged\n    secret: {file: "the third: {key}"}\n'
            "    created: 2027-01-15T08:00:00Z\n",
        )
    )
    assert path.read_text() == expected


def test_a_pruned_entry_takes_its_own_comments_along(tmp_path: Path) -> None:
    """What stands above and inside a pruned entry goes; its neighbours' comments stay."""
    path = tmp_path / "keyring.yaml"
    opened = written(path, BEFORE)
    promoted(opened)
    whole = path.read_text()
    opened.publish(rotation.prune(opened.ring, NOW + 10))
    start, end = whole.index("  # one: in use"), whole.index("  # two: stands by")
    assert path.read_text() == (whole[:start] + whole[end:]).replace("generation: 5", "generation: 6")


def test_the_last_entry_of_a_list_on_one_line_can_go(tmp_path: Path) -> None:
    """It takes the comma before it along; the entry before it, and what stands behind the list, stay as they are."""
    path = tmp_path / "keyring.yaml"
    one, two = (
        "{label: one, state: active, secret: {env: EDITOR_ONE}}",
        "{label: two, state: retired, secret: {env: EDITOR_TWO}}",
    )
    opened = written(path, f"version: 1\ngeneration: 4\nkeys: [{one}, {two}] # both\n")
    opened.publish(rotation.prune(opened.ring, NOW, ["two"], force=True))
    assert path.read_text() == f"version: 1\ngeneration: 5\nkeys: [{one}] # both\n"


def test_the_last_entry_can_go(tmp_path: Path) -> None:
    """An entry at the end goes with the blank line before it; what stands at the end of the file stays."""
    path = tmp_path / "keyring.yaml"
    opened = written(path, BEFORE.replace("state: staged", "state: retired"))
    opened.publish(rotation.prune(opened.ring, NOW, ["two"], force=True))
    text = path.read_text()
    assert text.endswith("    # inside one\n\n# tail\n")
    assert "two" not in text


def _layouts() -> dict[str, str]:
    one = "{label: one, state: active, secret: {env: EDITOR_ONE}, created: 2026-12-01T00:00:00Z, retired: }"
    two = "{label: two, secret: {env: EDITOR_TWO}, state: 'staged', retired}"
    block = BEFORE.replace("  - ", "- ").replace("\n    ", "\n  ")
    return {
        "windows": BEFORE.replace("\n", "\r\n"),
        "byte order mark": "\ufeff" + BEFORE,
        "no line break at the end": BEFORE.replace("\n\n# tail\n", ""),
        "dashes at the margin": block,
        "flow entries": f"version: 1\ngeneration: 4\nkeys:\n- {one} # 1\n- {two}",
        "flow lists": f"version: 1\ngeneration: 4\nkeys: [{one}, # one\n  {two},\n]\n",
        "one line": f"{{version: 1, generation: 4, keys: [{one}, {two}]}}",
        "no generation": BEFORE.replace("generation: 4  # four\n", ""),
        "an empty generation": "%YAML 1.2\n---\n"
        + BEFORE.replace("generation: 4  # four\n", "generation: 0\n")
        + "...",
        "keys first": "keys:\n"
        + BEFORE.partition("keys:\n")[2].replace("\n# tail\n", "")
        + BEFORE.partition("keys:\n")[0].removeprefix("# head\n"),
        "dash on a line of its own": BEFORE.replace("  - label: two", "  -   # - 2 -\n    label: two"),
        "empty fields": BEFORE.replace("    state: staged", "    retired:\n    activates: ~ # no\n    state: staged"),
        "wide indentation": BEFORE.replace("\n    ", "\n       ").replace("  - ", "  -    "),
        "secrets in blocks": BEFORE.replace(
            "secret: {env: EDITOR_TWO}", "secret:\n      command:\n        - printenv\n        - EDITOR_TWO"
        ),
        "a label in a block": BEFORE.replace("label: two", "label: >-\n      two"),
    }


@pytest.mark.parametrize("layout", list(_layouts()))
def test_every_layout_can_be_edited(tmp_path: Path, layout: str) -> None:
    """Block or flow, wherever dashes, line breaks and fields stand: promote, prune and revoke come out as intended."""
    path = tmp_path / "keyring.yaml"
    before = _layouts()[layout]
    opened = written(path, before)
    generation = opened.ring.generation
    promoted(opened)
    text = path.read_bytes().decode()
    for comment in re.findall(r"# [a-z ]+", before):
        assert text.count(comment) == before.count(comment)
    assert ("\r\n" in text) == ("\r\n" in before)
    assert re.search(r"[^\r]\n", text) is None or "\r\n" not in before
    assert [key.state.value for key in file.read(path)] == ["retired", "active", "staged"]
    opened.publish(rotation.prune(opened.ring, NOW, ["one"], force=True))
    opened.publish(rotation.revoke(opened.ring, "two", NOW))
    opened.publish(rotation.prune(opened.ring, NOW, ["two"], force=True))
    (left,) = opened.ring
    assert (left.label, left.state, opened.ring.generation) == ("next", KeyState.ACTIVE, generation + 4)
    assert file.read(path).digest == opened.ring.digest
    text = path.read_bytes().decode()
    for told in ("# tail", "# head"):
        assert (told in text) == (told in before)


SECRETS = [b64encode(bytes([number]) * 32).decode() for number in range(5)]
FLOW = st.sampled_from(["block", "flow"])


@settings(deadline=None)
@given(
    states=st.permutations(["active", "staged", "retired", "revoked", "staged"]),
    gone=st.sets(st.integers(0, 4)),
    added=st.integers(0, 2),
    layout=FLOW,
    entry=FLOW,
    blank=st.booleans(),
    comments=st.booleans(),
    end=st.booleans(),
)
def test_any_keys_can_go_and_come(  # noqa: PLR0917 - drawn, not called
    tmp_path_factory: pytest.TempPathFactory,
    states: list[str],
    gone: set[int],
    added: int,
    layout: str,
    entry: str,
    blank: bool,
    comments: bool,
    end: bool,
) -> None:
    """Whichever entries go, change and come at once, the file is the ring that was meant, and comments stay whole."""
    path = tmp_path_factory.mktemp("any") / "keyring.yaml"
    lines = ["version: 1", "keys: [" if layout == "flow" else "keys:"]
    for number, state in enumerate(states):
        fields = [f"label: k{number}", f"state: {state}", f"secret: {{base64: {SECRETS[number]}}}"]
        if comments:
            lines.append(f"  # above {number}")
        if layout == "flow":
            lines.append(f"  {{{', '.join(fields)}}},{f' # behind {number}' * comments}")
        elif entry == "flow":
            lines.append(f"  - {{{', '.join(fields)}}}")
        else:
            lines += [f"  - {fields[0]}", *(f"    {field}" for field in fields[1:])]
        lines += [""] * blank
    path.touch(mode=0o600)
    path.write_text("\n".join([*lines, *(["]"] if layout == "flow" else [])]) + "\n" * end)
    opened = Editor(path)
    kept = [
        Key.from_secret(bytes([number]) * 32, label=key.label, state=key.state, retired=NOW)
        if key.state is KeyState.RETIRED
        else key
        for number, key in enumerate(opened.ring)
        if number not in gone or key.state is KeyState.ACTIVE
    ]
    new = [NewKey.generate(f"new{number}", KeyState.STAGED, NOW) for number in range(added)]
    ring = Keyring([*kept, *(one.key for one in new)], generation=1, policy=opened.ring.policy)
    opened.publish(ring, {one.key.kid: one for one in new})
    assert file.read(path).digest == ring.digest
    text = path.read_text()
    if comments and layout == "block":
        told = {int(found) for found in re.findall(r"# above (\d)", text)}
        assert told == {number for number in range(5) if f"label: k{number}" in text}


def test_revoking_leaves_the_id_of_a_secret_that_lies_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable of a revoked key may go at once: the file still loads. A secret in the file itself stays there."""
    path = tmp_path / "keyring.yaml"
    opened = written(path, BEFORE)
    promoted(opened)
    one = opened.ring.keys[0]
    opened.publish(rotation.revoke(opened.ring, "one", NOW))
    monkeypatch.delenv("EDITOR_ONE")
    assert f'    kid: "{one.kid}"\n      # from the vault\n' in path.read_text()
    assert file.read(path).find(one.id) is not None
    opened = written(
        path, BEFORE.replace("EDITOR_ONE", "EDITOR_TWO").replace("{env: EDITOR_TWO}", "{base64: " + INLINE + "}")
    )
    assert opened.inline
    opened.publish(rotation.revoke(opened.ring, "two", NOW))
    assert INLINE in path.read_text()


def test_revoking_a_key_whose_id_is_told_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that stood there as a check is enough; a tombstone stays as it is."""
    path = tmp_path / "keyring.yaml"
    two = Key.from_secret(bytes.fromhex(TWO))
    opened = written(path, BEFORE.replace("label: two", f"label: two\n    kid: '{two.kid}'"))
    opened.publish(rotation.revoke(opened.ring, "two", NOW))
    monkeypatch.delenv("EDITOR_TWO")
    assert "secret: null  # also from there" in path.read_text()
    tombstones = BEFORE.replace("state: staged\n    secret: {env: EDITOR_TWO}", f"state: revoked\n    kid: '{two.kid}'")
    opened = written(path, tombstones)
    keys = [
        key if key.label == "one" else Key.tombstone(two.id, label="two", created=key.created) for key in opened.ring
    ]
    opened.publish(Keyring(keys, generation=5, policy=opened.ring.policy))
    assert path.read_text() == tombstones.replace("generation: 4", "generation: 5")


def test_a_change_by_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    """A file that was saved by a text editor since it was read is left alone, and that is said."""
    path = tmp_path / "keyring.yaml"
    opened = written(path, BEFORE)
    path.write_text(BEFORE + "# a thought\n")
    with pytest.raises(KeyringError, match="was changed by somebody else meanwhile"):
        promoted(opened)
    assert path.read_text() == BEFORE + "# a thought\n"
    promoted(Editor(path))
    assert path.read_text().endswith("# a thought\n")


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    """Temporary files of this keyring go with the next publish, those of others stay."""
    path = tmp_path / "key[r]ing.yaml"
    mine, other = tmp_path / ".key[r]ing.yaml.00000000.tmp", tmp_path / ".keyring.yaml.00000000.tmp"
    for left in (mine, other):
        left.write_text("half")
    stuck = tmp_path / ".key[r]ing.yaml.11111111.tmp"
    stuck.mkdir()
    promoted(written(path, BEFORE))
    assert (mine.exists(), other.exists(), stuck.exists()) == (False, True, True)


def test_a_key_that_the_file_does_not_take(tmp_path: Path) -> None:
    """The error names the file and the key, not the temporary file, nor a line of it."""
    path = tmp_path / "keyring.yaml"
    opened = written(path, BEFORE)
    new = NewKey.generate("x" * 65, KeyState.STAGED, NOW)
    with pytest.raises(KeyringError, match="label: string should have at most 64 characters") as caught:
        opened.publish(rotation.stage(opened.ring, new.key), {new.key.kid: new})
    assert (caught.value.path, caught.value.line) == (path, None)
    assert path.read_text() == BEFORE
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("owner", "expected"), [((1, 2), [(1001, 1002)]), ((1001, 2), [(-1, 1002)]), ((1001, 1002), [])]
)
def test_the_owner_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: tuple[int, int], expected: list[tuple[int, int]]
) -> None:
    """Run by root, the command gives the new file to the owner of the old one, whose processes read it."""
    path = tmp_path / "keyring.yaml"
    opened = written(path, BEFORE)
    given_to: list[tuple[int, int]] = []
    true_stat = type(path).stat

    def stat(self: Path, **how: Any) -> Any:
        found = true_stat(self, **how)
        return SimpleNamespace(st_mode=found.st_mode, st_uid=1001, st_gid=1002) if self.name == path.name else found

    def give(_: int, uid: int, gid: int) -> None:
        given_to.append((uid, gid))
        if uid < 0:
            raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "stat", stat)
        patch.setattr(os, "fstat", lambda _: SimpleNamespace(st_uid=owner[0], st_gid=owner[1]))
        patch.setattr(os, "fchown", give)
        promoted(opened)
    assert given_to == expected
    assert file.read(path).generation == 5


def test_an_owner_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that would come to belong to somebody else is left alone."""
    path = tmp_path / "keyring.yaml"
    opened = written(path, BEFORE)

    def deny(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", lambda _: SimpleNamespace(st_uid=-5, st_gid=-5))
        patch.setattr(os, "fchown", deny)
        with pytest.raises(KeyringError, match=re.escape("cannot be written (Operation not permitted)")):
            promoted(opened)
    assert path.read_text() == BEFORE
    assert len(list(tmp_path.iterdir())) == 2


def test_errors_of_writing_carry_no_secret(tmp_path: Path) -> None:
    """No frame of the writer stays in the traceback of its error: what it was about to write stood there."""
    path = tmp_path / "keyring.yaml"
    opened = written(path, BEFORE)
    path.write_text(BEFORE + "#\n")
    with pytest.raises(KeyringError) as caught:
        promoted(opened)
    assert caught.value.__context__ is caught.value.__cause__ is None
    held = [repr(value) for entry in caught.traceback for value in entry.frame.f_locals.values()]
    assert not any("03" * 32 in text or "AwMDAwMD" in text for text in held)
