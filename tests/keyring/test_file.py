"""The keyring file: what it may say, what each mistake is told as, and that no error ever shows a secret."""

from __future__ import annotations

import base64
import json
import random
import re
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from sessionkit import yamlfile
from sessionkit.exceptions import ConfigurationError, KeyringError
from sessionkit.keyring import file
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = Path(__file__).parents[2] / "config"

ONE, TWO, THREE = (bytes([65 + number]) * 8 + bytes(range(number, number + 24)) for number in range(3))
TEXTS = [base64.b64encode(secret).decode() for secret in (ONE, TWO, THREE)]

WHOLE = f"""\
version: 1
generation: 7
policy:
  propagation: 60
  skew: 30.5
  token_lifetime: 86400
keys:
  - label: "2026-11"
    state: active
    secret: {{base64: "{TEXTS[0]}"}}
    created: 2026-11-01T00:00:00Z
  - label: "2026-12"
    state: staged
    secret:
      env: SESSIONKIT_TEST
    created: 2026-11-01T00:00:00Z
    activates: 2026-12-01T01:00:00+01:00
  - label: 2026-10
    state: retired
    secret: {{file: third.key}}
    retired: 2026-11-01 00:00:00Z
    prune_after: "2026-11-15T00:10:00.5Z"
  - label: "2026-09"
    state: revoked
    kid: 1f0a9c3e
    revoked: 2026-09-30T00:00:00Z
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file for a keyring, readable by its owner alone; what ``WHOLE`` names is there."""
    monkeypatch.setenv("SESSIONKIT_TEST", TEXTS[1])
    (tmp_path / "third.key").write_bytes(THREE)
    kept = tmp_path / "keyring.yaml"
    kept.touch(mode=0o600)
    return kept


def read(path: Path, text: str | bytes) -> Keyring:
    """Read a text as a keyring file."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file.read(path)


def refused(path: Path, text: str | bytes) -> KeyringError:
    """Return the error that a text is refused with."""
    with pytest.raises(KeyringError) as caught:
        read(path, text)
    assert caught.value.path == path
    return caught.value


def seconds(text: str) -> float:
    """Return a time as Unix seconds."""
    return datetime.fromisoformat(text).timestamp()


def test_a_whole_file(path: Path) -> None:
    """States, secrets of every way, dates of every zone, policy and generation are as written."""
    ring = read(path, WHOLE)
    november = seconds("2026-11-01T00:00:00Z")
    expected = [
        Key.from_secret(ONE, label="2026-11", created=november),
        Key.from_secret(
            TWO, label="2026-12", state=KeyState.STAGED, created=november, activates=seconds("2026-12-01T00:00:00Z")
        ),
        Key.from_secret(
            THREE,
            label="2026-10",
            state=KeyState.RETIRED,
            retired=november,
            prune_after=seconds("2026-11-15T00:10:00Z") + 0.5,
        ),
        Key.tombstone(b"\x1f\x0a\x9c\x3e", label="2026-09", revoked=seconds("2026-09-30T00:00:00Z")),
    ]
    assert list(ring) == expected
    assert [one.derive() for one in ring.keys[:3]] == [one.derive() for one in expected[:3]]
    assert (ring.generation, ring.policy) == (7, Policy(60.0, 30.5, 86400.0))
    assert ring.digest == Keyring(expected, generation=7, policy=Policy(60, 30.5, 86400)).digest


def test_the_least_there_can_be(path: Path) -> None:
    """A version and one active key: the rest has the defaults that the design reckons with."""
    ring = read(path, f"version: 1\nkeys: [{{label: x, state: active, secret: {{base64: {TEXTS[0]}}}}}]")
    assert (ring.generation, ring.policy) == (0, Policy(300.0, 300.0, 1_209_600.0))
    assert ring.active(0.0) == Key.from_secret(ONE, label="x")


def test_what_is_refused_and_written(path: Path) -> None:
    """Both stand at the top, may be left out or empty, and tell a ring apart."""
    plain = read(path, WHOLE)
    assert (plain.not_before, plain.write_format) == (None, None)
    assert read(path, "not_before:\nwrite_format: null\n" + WHOLE).digest == plain.digest
    ring = read(path, "not_before: 2026-11-20T10:00:00+01:00\nwrite_format: 1\n" + WHOLE)
    assert (ring.not_before, ring.write_format) == (seconds("2026-11-20T09:00:00Z"), 1)
    assert ring.digest == plain.changed(not_before=ring.not_before, write_format=1).digest != plain.digest


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("not_before: 1700000000", "is a number"),
        ("not_before: 2026-11-20T10:00:00", "should have timezone"),
        ("not_before: soon", "valid datetime"),
        ("write_format: 0", "greater than or equal to 1"),
        ("write_format: 256", "less than or equal to 255"),
        ("write_format: '1'", "valid integer"),
        ("write_format: true", "valid integer"),
    ],
)
def test_what_cannot_be_refused_or_written(path: Path, line: str, problem: str) -> None:
    """A time without its zone, or a version that no token can have, is refused by its line."""
    error = refused(path, "version: 1\n" + line + "\n" + WHOLE.removeprefix("version: 1\n"))
    assert (error.field, error.line) == (line.partition(":")[0], 2)
    assert problem in error.problem


def test_a_kid_is_a_check(path: Path) -> None:
    """A key may tell the id its secret must have; one that was exchanged under its label is refused."""
    kid = Key.from_secret(ONE).kid
    state = 'state: active\n    kid: "{}"'
    assert read(path, WHOLE.replace("state: active", state.format(kid))).active(0.0).kid == kid
    error = refused(path, WHOLE.replace("state: active", state.format("00000000")))
    assert (error.field, error.label, error.line) == ("kid", "2026-11", 10)
    assert error.problem == f"is 00000000, but the secret's id is {kid}"


def test_a_revoked_key_may_keep_its_secret(path: Path) -> None:
    """It is refused all the same; with the secret gone, its ring is the same ring."""
    whole = WHOLE.replace("kid: 1f0a9c3e", f"secret: {{base64: {'c2Vj' * 8}}}")
    (key,) = (key for key in read(path, whole) if key.label == "2026-09")
    assert (key.state, key.decrypts) == (KeyState.REVOKED, False)
    gone = WHOLE.replace("kid: 1f0a9c3e", f'kid: "{key.kid}"')
    assert read(path, gone).digest == read(path, whole).digest


def _without(start: str) -> str:
    return "\n".join(line for line in WHOLE.splitlines() if not line.lstrip(" -").startswith(start))


ACTIVE = f'secret: {{base64: "{TEXTS[0]}"}}'

MISTAKES: list[tuple[str, str, str | None, int | None]] = [
    # the file as a whole
    (_without("version"), "version: is missing. Add it: the file's format, always 1.", None, None),
    (WHOLE.replace("version: 1", "version: 2"), "version: input should be 1", None, 1),
    (WHOLE.replace("generation: 7", "generation: -1"), "generation: input should be greater than or equal", None, 2),
    (WHOLE.replace("generation: 7", "generation: 7.5"), "generation: input should be a valid integer", None, 2),
    (WHOLE.replace("generation: 7", 'generation: "7"'), "generation: input should be a valid integer", None, 2),
    (WHOLE.replace("generation", "generatoin"), "generatoin: is not known here. Did you mean 'generation'?", None, 2),
    (WHOLE + f"{TEXTS[1]}: 5\n", "…: is not known here. Known are: version, generation, policy, not_bef", None, 27),
    (WHOLE + "keys.0.state: 5\n", "…: is not known here", None, 27),
    (WHOLE + "keys.9.state: 5\n", "…: is not known here", None, 27),
    (WHOLE + "self: 5\n", "self: is not known here", None, 27),
    ("version: 1", "keys: is missing. Add it: the keys, in any order; exactly one is active.", None, None),
    ("version: 1\nkeys: []", "keys: list should have at least 1 item", None, 2),
    ("version: 1\nkeys: {a: 1}", "keys: input should be a valid list", None, 2),
    ("version: 1\nkeys: [5]", "keys.0: is not a mapping. Expected: the keys", None, 2),
    (WHOLE.replace("  skew: 30.5", "  skew: -1"), "policy.skew: input should be greater than or equal", None, 5),
    (WHOLE.replace("  skew: 30.5", "  skew: soon"), "policy.skew: input should be a valid number", None, 5),
    (WHOLE.replace("  skew: 30.5", "  skew: true"), "policy.skew: input should be a valid number", None, 5),
    (WHOLE.replace("  skew: 30.5", "  skew: 1e999"), "policy.skew: input should be a finite number", None, 5),
    (WHOLE.replace("  skew: 30.5", "  skw: 1"), "policy.skw: is not known here. Did you mean 'skew'?", None, 5),
    (WHOLE.replace("86400", "0"), "policy.token_lifetime: input should be greater than 0", None, 6),
    # one key
    (WHOLE.replace("label: 2026-10\n    state", "state"), "keys.2.label: is missing. Add it: a name", None, 18),
    (WHOLE.replace("label: 2026-10", "label: 2026"), "label: is not text. Put it in quotes.", None, 18),
    (WHOLE.replace("label: 2026-10", "label: ''"), "label: string should have at least 1 character", "", 18),
    (WHOLE.replace("label: 2026-10", f"label: {'x' * 65}"), "label: string should have at most 64 char", None, 18),
    (WHOLE.replace("label: 2026-10", "label:"), "label: is not text", None, 18),
    (WHOLE.replace("label: 2026-10", "lable: x"), "label: is missing", None, 18),
    (WHOLE.replace("state: retired", "state: old"), "state: input should be 'staged', 'active', 'ret", "2026-10", 19),
    (WHOLE.replace("    state: retired\n", ""), "state: is missing. Add it: staged opens and will", "2026-10", 18),
    (WHOLE.replace("retired: 2026", "retird: 2026"), "retird: is not known here. Did you mean", "2026-10", 21),
    (WHOLE.replace("retired: 2026", f"{TEXTS[2]}: 2026"), "…: is not known here. Known are: label", "2026-10", 21),
    (WHOLE.replace(" 00:00:00Z", ""), "retired: input should have timezone info", "2026-10", 21),
    (WHOLE.replace(" 00:00:00Z", " 00:00:00"), "retired: input should have timezone info", "2026-10", 21),
    (WHOLE.replace("2026-11-01 00:00:00Z", "1790000000"), "retired: is a number. Write a time with", "2026-10", 21),
    (WHOLE.replace("2026-11-01 00:00:00Z", "soon"), "retired: input should be a valid datetime", "2026-10", 21),
    (WHOLE.replace("2026-11-01 00:00:00Z", "2026-13-01T00:00:00Z"), "retired: input should be a valid", "2026-10", 21),
    (WHOLE.replace("kid: 1f0a9c3e", "kid: 1F0A9C3E"), "kid: is no key id. Give 8 lower-case hex", "2026-09", 25),
    (WHOLE.replace("kid: 1f0a9c3e", "kid: 12345678"), "kid: is not text. Put it in quotes.", "2026-09", 25),
    (WHOLE.replace("    kid: 1f0a9c3e\n", ""), "secret: is missing. Give one of base64, env", "2026-09", 23),
    (WHOLE.replace(ACTIVE, "kid: 1f0a9c3e"), "secret: is missing. Give one of base64, env", "2026-11", 8),
    # its secret
    (WHOLE.replace(ACTIVE, f"secret: {TEXTS[0]}"), "secret: is not a mapping. Expected: one of base64", "2026-11", 10),
    (WHOLE.replace(ACTIVE, "secret: {}"), "secret: names no way to the secret", "2026-11", 10),
    (WHOLE.replace(ACTIVE, "secret: {env: A, file: b}"), "secret: names 2 ways: env, file", "2026-11", 10),
    (WHOLE.replace(ACTIVE, "secret: {enc: A}"), "secret.enc: is not known here. Did you mean 'env'?", "2026-11", 10),
    (WHOLE.replace(ACTIVE, "secret: {env: 5}"), "secret.env: input should be a valid string", "2026-11", 10),
    (WHOLE.replace(ACTIVE, "secret: {base64: a b}"), "secret.base64: is not base64", "2026-11", 10),
    (WHOLE.replace(ACTIVE, "secret: {base64: YWJj}"), "secret: is 3 octets long. Give 16, 24 or", "2026-11", 10),
    (WHOLE.replace(ACTIVE, "secret: {env: SESSIONKIT_NONE}"), "variable SESSIONKIT_NONE is not set", "2026-11", 10),
    (WHOLE.replace(ACTIVE, "secret: {file: none}"), "none cannot be read (No such file", "2026-11", 10),
    (WHOLE.replace(ACTIVE, "secret: {command: [none]}"), "secret.command: none cannot be run", "2026-11", 10),
    (WHOLE.replace(ACTIVE, "secret: {command: ['false']}"), "secret.command: false failed with exit", "2026-11", 10),
    (WHOLE.replace(ACTIVE, "secret: {command: [echo, '{}']}"), "secret.command: echo printed neither", "2026-11", 10),
    # all keys
    (WHOLE.replace("state: staged", "state: active"), "2 keys are active: '2026-11', '2026-12'", "2026-12", 12),
    (WHOLE.replace("state: active", "state: retired"), "keys: no key is active. Exactly one key must", None, 7),
    (WHOLE.replace('2026-12"', '2026-11"'), "label: '2026-11' stands 2 times", "2026-11", 12),
    (WHOLE.replace("env: SESSIONKIT_TEST", f"base64: {TEXTS[0]}"), "have the same secret: give each", "2026-12", 12),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told", "label", "line"), MISTAKES)
def test_mistakes(path: Path, text: str, told: str, label: str | None, line: int | None) -> None:
    """Every mistake is told with what is wrong and what to do, the label of its key, and its line."""
    error = refused(path, text)
    assert told in str(error)
    assert (error.label, error.line) == (label, line)
    assert str(error).startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert not any(secret in str(error) for secret in TEXTS)


@pytest.mark.parametrize(
    ("text", "told", "line"),
    [
        ("", "file: is empty", 1),
        ("# nothing\n", "file: is empty", 1),
        ("- 1\n", "file: is not a mapping. Write entries as 'name: value'.", 1),
        (TEXTS[0], "file: is not a mapping", 1),
        (b"\x80", "file: is not UTF-8. Save it as UTF-8.", 1),
        (f"a: 1\nb: '{TEXTS[0]}".encode() + b"\xff'", "file: is not UTF-8", 2),
        (WHOLE.encode("utf-16"), "file: is not UTF-8", 1),
        (WHOLE.replace("state: staged", "state: 'staged"), "file: is not valid YAML. Look for wrong", None),
        (WHOLE.replace("  skew", " skew"), "file: is not valid YAML", 5),
        (WHOLE + "\0", "file: is not valid YAML", None),
        ('a: "\\U00110000"', "file: is not valid YAML", None),
        (f"--- {{}}\n--- {TEXTS[0]}", "file: is not valid YAML", 2),
        ("a: *b", "file: is not valid YAML", 1),
        (f"%{TEXTS[0]}\n--- {{}}", "file: is not valid YAML", 1),
        (WHOLE + "version: 1\n", "file: has an entry that stands twice. Drop one of them.", 27),
        (WHOLE.replace("    created", "    state: retired\n    created", 1), "keys.0: has an entry that stands tw", 11),
        (WHOLE.replace("version: 1", "version: &a 1"), "version: has an anchor. Write every value out", 1),
        (WHOLE.replace("policy:", "policy: &a"), "policy: has an anchor", 3),
        (WHOLE.replace("version: 1", "&a version: 1"), "file: has an anchor", 1),
        ("a: &a [*a, *a]", "a: has an anchor", 1),
        ("a: &a 1\nb: &a 2", "a: has an anchor", 1),
        (WHOLE.replace("version: 1", "version: !x 1"), "version: is no plain value", 1),
        (WHOLE.replace("version: 1", "version: !!binary AA=="), "version: is no plain value", 1),
        (WHOLE.replace("policy:", "policy: !!python/object:os.system"), "policy: has a tag. Leave the tag out.", 3),
        ("a: !!set {b, c}", "a: has a tag", 1),
        ("? [a]\n: 1", "file: has an entry whose name is not text. Write 'name: value'.", 1),
        ("<<: {version: 1}", "version: is missing", None),
        ("a: 0x10", "a: is no plain value. Write text, a number, true, false or null.", 1),
        ("a: .inf", "a: is no plain value", 1),
        ('a: "\\ud800"', "a: is no plain value", 1),
        ("a: " + "9" * 5000, "a: is no plain value", 1),
    ],
)
def test_files_that_are_no_keyrings(path: Path, text: str | bytes, told: str, line: int | None) -> None:
    """Syntax, encodings, tags, anchors and repeated names are told by line where there is one, quoting nothing."""
    error = refused(path, text)
    assert told in str(error)
    assert not any(secret in str(error) for secret in TEXTS)
    assert line is None or error.line == line


@pytest.mark.parametrize("depth", [100, 500])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("{a: ", ""), ("- ", "")])
def test_deep_nesting(path: Path, depth: int, opening: str, closing: str) -> None:
    """However deep a file is nested, and whether or not it is closed, it is an error like any other."""
    error = refused(path, f"version: 1\na:\n  {opening * depth}{closing * depth}")
    assert error.problem in {"is nested too deeply", "is not valid YAML", "is missing"}


def test_huge_files_are_not_read(path: Path) -> None:
    """A file of more than 1 MiB is refused before it is looked at."""
    error = refused(path, WHOLE + "#" * (1 << 20))
    assert str(error).endswith("file: is larger than 1048576 octets. Is it the right file?")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """The system's reason is told; a path that cannot be is told as well."""
    for path, reason in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / "a\0b", "no such path can be"),
    ):
        with pytest.raises(KeyringError, match=re.escape(f"file: cannot be read ({reason})")) as caught:
            file.read(path)
        assert (caught.value.path, caught.value.__context__) == (path, None)


@pytest.mark.parametrize(
    ("mode", "fine"), [(0o600, True), (0o640, True), (0o644, False), (0o604, False), (0o602, False)]
)
def test_a_file_with_secrets_is_not_for_everybody(path: Path, mode: int, fine: bool) -> None:
    """With inline secrets, a file that everybody may read or write is refused, with what to do about it."""
    path.write_text(WHOLE)
    path.chmod(mode)
    if fine:
        assert len(file.read(path)) == 4
        return
    with pytest.raises(KeyringError) as caught:
        file.read(path)
    assert caught.value.problem == f"holds secrets and is open to everybody on this machine (mode {mode:04o})"
    assert caught.value.remedy == "Run: chmod 600 keyring.yaml (in a Kubernetes Secret volume: defaultMode: 0440)."


def test_a_file_without_secrets_may_be_read_by_everybody(path: Path) -> None:
    """Names of variables, files and commands are no secrets."""
    path.touch()
    path.chmod(0o644)
    (path.parent / "first.key").write_bytes(ONE)
    assert len(read(path, WHOLE.replace(ACTIVE, "secret: {file: first.key}"))) == 4


def test_no_file_may_be_written_by_everybody(path: Path) -> None:
    """Who can put another file or command in a secret's place makes sessions, or runs what they like as the server."""
    (path.parent / "first.key").write_bytes(ONE)
    path.write_text(WHOLE.replace(ACTIVE, "secret: {file: first.key}"))
    path.chmod(0o646)
    with pytest.raises(KeyringError, match=re.escape("is open to everybody on this machine (mode 0646)")):
        file.read(path)


def test_modes_mean_nothing_elsewhere(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Systems other than POSIX have no such bits; the check is left out there."""
    path.write_text(WHOLE)
    path.chmod(0o644)
    monkeypatch.setattr(file, "os", type("Elsewhere", (), {"name": "nt"}))
    assert len(file.parse(path.read_bytes(), path)) == 4


def test_a_file_that_is_gone_again(path: Path) -> None:
    """What was read is whole and taken, also if the file has been replaced meanwhile."""
    path.unlink()
    assert len(file.parse(WHOLE.encode(), path)) == 4


def test_times_are_written_as_they_are_read() -> None:
    """Unix seconds to UTC in ISO 8601, to the second."""
    assert file.timestamp(1_790_000_000.9) == "2026-09-21T14:13:20Z"
    assert datetime.fromisoformat(file.timestamp(0)) == datetime(1970, 1, 1, tzinfo=UTC)


# --- no secret in any error -----------------------------------------------------------------------------------------

SNIPPETS = [
    "&a ", "*a", "!!x ", "!!binary ", '"\\U00110000"', "\0", "? ", "- ", "[", "{", "}", "]", "|", ">", "---\n", "'",
    '"', ":", ": ", "#", "\n", "<<: ", "!!int ", "0x1", "1e999", "\ufeff", "@", "  ", "state: ", "label", "self: 1\n",
    *TEXTS, f"{TEXTS[0]}: ", f"{{env: {TEXTS[1]}}}", f"{{file: {TEXTS[1]}}}", f"[{TEXTS[2]}]",
]  # fmt: skip


LABELLED = re.compile(rf"label[^\n]*\n?[^\n]*({'|'.join(map(re.escape, TEXTS))})")


def mutants(count: int) -> Iterator[str]:
    """Yield texts that are ``WHOLE`` with a few things put in, taken out or repeated; the same on every run."""
    dice = random.Random(2026)
    for _ in range(count):
        text = WHOLE
        for _ in range(dice.randint(1, 4)):
            at, what = dice.randrange(len(text) + 1), dice.random()
            if what < 0.6:
                text = text[:at] + dice.choice(SNIPPETS) + text[at:]
            elif what < 0.8:
                text = text[:at] + text[at + dice.randint(1, 20) :]
            else:
                start = dice.randrange(len(text))
                text = text[:at] + text[start : start + dice.randint(1, 30)] + text[at:]
        # A label is for people and told to them, whatever it is.
        if not LABELLED.search(text):
            yield text


def told_by(error: BaseException) -> str:
    """Return all that can be got out of an error: texts, attributes, traceback with local variables, relatives."""
    here = traceback.TracebackException.from_exception(error, capture_locals=True)
    # The frames of this module hold what they planted.
    frames = [f"{frame.line} {frame.locals}" for frame in here.stack if frame.filename != __file__]
    parts = [str(error), repr(error), repr(error.args), repr(vars(error)), *traceback.format_exception(error), *frames]
    return "\n".join([*parts, *(told_by(one) for one in (error.__cause__, error.__context__) if one is not None)])


def holds_secret(text: str) -> bool:
    """Return whether a planted secret is in a text, in any spelling."""
    return any(planted in text for planted in TEXTS) or any(
        shown in text for secret in (ONE, TWO, THREE) for shown in (secret.hex(), repr(secret)[2:-1])
    )


@pytest.mark.unmeasured
def test_no_error_shows_a_secret(path: Path) -> None:
    """Of hundreds of broken files, each is read or refused, and no error holds a planted secret wherever one looks."""
    fine = 0
    for text in mutants(600):
        try:
            read(path, text)
        except KeyringError as error:
            told = told_by(error)
        else:
            fine += 1
            continue
        assert not holds_secret(told), text
    assert 0 < fine < 300


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    """Nothing but a ``KeyringError`` comes out of whatever is in a file."""
    with pytest.raises(KeyringError):
        file.parse(data, Path("keyring.yaml"))


def test_shapes_are_checked_without_a_file() -> None:
    """The model's own errors are ours too."""
    with pytest.raises(ConfigurationError, match=r"^version: input should be 1") as caught:
        file.KeyringModel(version=2)
    assert caught.value.__context__ is None


# --- the example and its schema -------------------------------------------------------------------------------------


def plain(path: Path) -> Any:
    """Return a YAML file as an editor's schema check sees it: times are text."""
    return yamlfile.parse(path.read_bytes(), path).values


def test_the_example_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """``config/keyring.yaml`` works with the variables it names, and may be readable by everybody."""
    example = CONFIG / "keyring.yaml"
    for number, name in enumerate(sorted(set(re.findall(r"env: (\w+)", example.read_text("utf-8"))))):
        monkeypatch.setenv(name, base64.b64encode(bytes([number]) * 32).decode())
    ring = Keyring.load(example)
    assert repr(ring) == "<Keyring gen 7: 1 active, 1 staged, 1 retired, 1 revoked>"
    moments = ("2026-11-30T23:59:59Z", "2026-12-01T00:00:00Z")
    assert [ring.active(seconds(moment)).label for moment in moments] == ["2026-11", "2026-12"]
    assert YAML(typ="safe", pure=True).load(example)["generation"] == 7


def test_the_schema_is_up_to_date() -> None:
    """``config/keyring.schema.json`` is what ``file.schema()`` returns."""
    assert json.loads((CONFIG / "keyring.schema.json").read_text("utf-8")) == json.loads(file.schema())


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({}, True),
        ({"version": 2}, False),
        ({"generation": -1}, False),
        ({"keys": []}, False),
        ({"more": 1}, False),
        ({"keys": [{"label": "x", "state": "active", "secret": {"env": "A"}}]}, True),
        ({"keys": [{"label": "x", "state": "active", "secret": {"env": "A", "file": "b"}}]}, False),
        ({"keys": [{"label": "x", "state": "active", "secret": {}}]}, False),
        ({"keys": [{"label": "x", "state": "on"}]}, False),
    ],
)
def test_the_schema_agrees_with_the_example(change: dict[str, Any], valid: bool) -> None:
    """Editors that check the example by the schema find nothing, and find mistakes in its neighbours."""
    described = json.loads((CONFIG / "keyring.schema.json").read_text("utf-8"))
    checker = jsonschema.Draft202012Validator(described)
    checker.check_schema(described)
    assert checker.is_valid(plain(CONFIG / "keyring.yaml") | change) is valid


@pytest.mark.parametrize("name", ["propagation", "skew", "token_lifetime"])
def test_a_policy_ends_before_dates_do(path: Path, name: str) -> None:
    """More than a century is refused at loading: a take-over years later would fail on a date that cannot be told."""
    path.write_text(re.sub(rf"{name}: [\d.]+", f"{name}: 1000000000000", WHOLE))
    with pytest.raises(KeyringError, match=f"policy.{name}"):
        file.read(path)


@pytest.mark.parametrize("date", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z"])
def test_dates_are_of_years_that_people_rotate_in(path: Path, date: str) -> None:
    """A date that nothing can be added to is refused, with its key, its line and the years that are good."""
    path.write_text(WHOLE.replace("2026-12-01T01:00:00+01:00", date))
    with pytest.raises(KeyringError, match=r"'2026-12'.*activates.*between 1970 and 2999"):
        file.read(path)


@pytest.mark.parametrize("digits", [16, 4300])
def test_a_generation_is_a_number_that_can_be_told(path: Path, digits: int) -> None:
    """One that readers of the log would round, or that cannot be written out with one more, is refused at loading."""
    path.write_text(WHOLE.replace("generation: 7", f"generation: {'9' * digits}"))
    with pytest.raises(KeyringError, match=r"keyring.yaml:2: generation"):
        file.read(path)
