"""Four ways to a secret, the spellings it may have, and what each way says when it fails."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sessionkit.exceptions import ConfigurationError
from sessionkit.keyring.source import SecretSource

SECRETS = st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
SECRET = bytes(range(200, 232))
TEXT = base64.b64encode(SECRET).decode()
HEX = re.compile("[0-9a-fA-F]{32}")
HERE = Path()


def failure(error: ConfigurationError) -> str:
    """Return what an error says, after checking that nothing hangs on it."""
    assert error.__context__ is None
    assert error.__cause__ is None
    return str(error)


def resolve(base: Path = HERE, **way: Any) -> bytes:
    """Fetch a secret."""
    return SecretSource(**way).resolve(base)


def refused(base: Path = HERE, **way: Any) -> str:
    """Return how fetching a secret fails."""
    with pytest.raises(ConfigurationError) as caught:
        resolve(base, **way)
    return failure(caught.value)


def spellings(secret: bytes) -> list[str]:
    """Return all texts that stand for a secret."""
    standard, urlsafe = base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode()
    texts = [standard, urlsafe, standard.rstrip("="), urlsafe.rstrip("="), secret.hex(), secret.hex().upper()]
    return [*texts, f" {standard}\r\n"]


@given(SECRETS)
def test_every_spelling_is_read(secret: bytes) -> None:
    """Base64 of both alphabets, with padding and without, and hexadecimal; blanks around it do not count."""
    texts = spellings(secret)
    assume(not HEX.fullmatch(texts[0]))
    for text in texts:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SESSIONKIT_TEST", text)
            assert resolve(env="SESSIONKIT_TEST") == secret
    for text in texts[:4]:
        assert resolve(base64=text) == secret


def test_32_hexadecimal_digits_are_hexadecimal() -> None:
    """They would be base64 too; the rule is that they are not. Inline they are base64, as the field says."""
    text = "00112233445566778899aabbccddeeff"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SESSIONKIT_TEST", text)
        assert resolve(env="SESSIONKIT_TEST") == bytes.fromhex(text)
    assert resolve(base64=text) == base64.b64decode(text)


@pytest.mark.parametrize("text", ["", "=", "a", "abcde", "ab c", "a" * 5000, "é", "ab=c", "ab===", "\0", "{}"])
def test_garbage(text: str) -> None:
    """What is no base64 is refused, and not quoted."""
    assert refused(base64=text) == "base64: is not base64. Give base64 or hexadecimal of 16, 24 or 32 octets."


def test_a_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named."""
    monkeypatch.delenv("SESSIONKIT_TEST", raising=False)
    assert refused(env="SESSIONKIT_TEST") == "env: variable SESSIONKIT_TEST is not set. Set it, or name another."


def test_a_variable_that_holds_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, what it holds is not quoted."""
    monkeypatch.setenv("SESSIONKIT_TEST", "-- no secret --")
    told = "env: variable SESSIONKIT_TEST holds neither base64 nor hexadecimal. Give base64 or hexadecimal of 16, 24"
    assert refused(env="SESSIONKIT_TEST").startswith(told)


@pytest.mark.parametrize("name", [TEXT, SECRET.hex(), SECRET[:16].hex(), TEXT.rstrip("="), "lower_case"])
def test_a_secret_in_the_place_of_a_variable_is_not_told(name: str) -> None:
    """Names that are not written as variables' names are might be the secret itself."""
    assert refused(env=name) == "env: variable … is not set. Set it, or name another."


@pytest.mark.parametrize("data", [*(text.encode() for text in spellings(SECRET)), SECRET])
def test_files(tmp_path: Path, data: bytes) -> None:
    """A file holds the text or the octets; its path is relative to the keyring's folder, or absolute."""
    (tmp_path / "s").write_bytes(data)
    assert resolve(tmp_path, file="s") == resolve(file=str(tmp_path / "s")) == SECRET


@pytest.mark.parametrize("data", [b"sixteen byte key", b"\xff" * 24, b"\n" * 32])
def test_octets_that_are_no_text(tmp_path: Path, data: bytes) -> None:
    """Octets of the right number that cannot be base64 are the secret itself, blanks at its ends included."""
    (tmp_path / "s").write_bytes(data)
    assert resolve(tmp_path, file="s") == data


def test_a_text_that_was_cut_off_is_not_taken_for_octets(tmp_path: Path) -> None:
    """24 characters of base64 are 18 octets, which the key then refuses, and not a secret of 24."""
    (tmp_path / "s").write_text(TEXT[:24])
    assert len(resolve(tmp_path, file="s")) == 18


@pytest.mark.parametrize("data", [b"", b"\xff" * 17, b"ab c", b"\xff" * 10_000, b"a" * 10_000])
def test_files_that_hold_garbage(tmp_path: Path, data: bytes) -> None:
    """The path is told, nothing of what it holds."""
    (tmp_path / "s").write_bytes(data)
    told = f"file: {tmp_path / 's'} holds neither base64 nor hexadecimal, nor 16, 24 or 32 octets."
    assert refused(tmp_path, file="s").startswith(told)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """The path and the system's reason are told; a path that cannot be is one that cannot be read."""
    assert refused(tmp_path, file="s").startswith(f"file: {tmp_path / 's'} cannot be read (No such file or directory)")
    assert "cannot be read (Is a directory)" in refused(file=str(tmp_path))
    assert "cannot be read (no such name can be)" in refused(tmp_path, file="s\0")


@pytest.mark.parametrize("name", [TEXT.replace("/", "_"), SECRET.hex()])
def test_a_secret_in_the_place_of_a_path_or_command_is_not_told(tmp_path: Path, name: str) -> None:
    """Names that look like a secret are left out."""
    assert refused(tmp_path, file=name).startswith(f"file: {tmp_path / '…'} cannot be read")
    assert refused(tmp_path, command=[name]).startswith("command: … cannot be run")


@pytest.mark.parametrize("name", ["SESSIONKIT-SECRET-2026", "sessionkit-secret-2026", "Session-2026"])
def test_names_of_one_case_or_another_length_are_told(name: str) -> None:
    """A random secret has both cases and one of three lengths; most names have not."""
    assert refused(command=[name]).startswith(f"command: {name} cannot be run (No such file or directory)")


def test_commands(tmp_path: Path) -> None:
    """A command prints the secret; it runs in the keyring's folder, without a shell and without input."""
    (tmp_path / "s").write_text(TEXT)
    assert resolve(tmp_path, command=["cat", "s", "-"]) == SECRET
    assert resolve(command=["printf", "%s\n", SECRET.hex()]) == SECRET
    assert "printed neither" in refused(command=["echo", "$HOME"])


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (f"echo {TEXT}; echo {TEXT} >&2; exit 3", "failed with exit status 3"),
        ("true", "printed neither base64 nor hexadecimal"),
        (f"echo {TEXT} and more", "printed neither base64 nor hexadecimal"),
        ("printf '\\351\\351\\351\\351'", "printed neither base64 nor hexadecimal"),
        ("head -c 100000 /dev/zero | tr '\\0' a", "printed neither base64 nor hexadecimal"),
    ],
)
def test_commands_that_fail(code: str, problem: str) -> None:
    """The command is named and how it ended; neither its arguments nor what it printed."""
    told = refused(command=["sh", "-c", code])
    assert told.startswith(f"command: sh {problem}. ")
    assert TEXT not in told


@pytest.mark.parametrize(
    ("command", "reason"),
    [("s", "No such file or directory"), (".", "Permission denied"), ("a\0b", "no such name can")],
)
def test_commands_that_cannot_be_run(command: str, reason: str) -> None:
    """The system's reason is told."""
    told = f"command: {command} cannot be run ({reason}"
    assert refused(command=[command] if command != "." else ["./", "x"]).replace("./", ".").startswith(told)


def test_commands_that_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command has 10 seconds: a reload must end some time. It is told to the system, and nothing waited for here."""
    given: dict[str, Any] = {}

    def run(command: list[str], **options: Any) -> None:
        given.update(options)
        raise subprocess.TimeoutExpired(command, options["timeout"], output=TEXT.encode())

    monkeypatch.setattr(subprocess, "run", run)
    told = "command: vault did not end within 10 s. Run it by hand as the same user to see what it says."
    assert refused(command=["vault", "read"]) == told
    assert (given["timeout"], given["stdin"]) == (10.0, subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("ways", "problem"),
    [
        ({}, "names no way to the secret"),
        ({"env": None}, "names no way to the secret"),
        ({"env": "A", "base64": TEXT}, "names 2 ways: base64, env"),
        ({"env": ""}, "env: string should have at least 1 character"),
        ({"file": ""}, "file: string should have at least 1 character"),
        ({"command": []}, "command: list should have at least 1 item"),
        ({"command": "vault read"}, "command: input should be a valid list. Expected: a command and its arguments"),
        ({"command": [1]}, "command.0: input should be a valid string"),
        ({"base64": 5}, "base64: input should be a valid string"),
        ({"bas64": TEXT}, "bas64: is not known here. Did you mean 'base64'?"),
        ({TEXT: TEXT}, "…: is not known here. Known are: base64, env, file, command."),
        ({"self": TEXT}, "self: is not known here. Known are: base64, env, file, command."),
    ],
)
def test_exactly_one_way(ways: dict[str, Any], problem: str) -> None:
    """None, several, unknown and unfit ways are refused without a word of what they held."""
    with pytest.raises(ConfigurationError, match=re.escape(problem)) as caught:
        SecretSource(**ways)
    assert TEXT not in failure(caught.value)


def test_what_is_shown_of_a_source() -> None:
    """The way, never an inline secret; and whether there is one, for the check of permissions."""
    inline, named = SecretSource(base64=TEXT), SecretSource(env="A")
    assert TEXT not in repr(inline) + str(inline.model_dump()) + inline.model_dump_json()
    assert (inline.inline, named.inline) == (True, False)
    assert "env='A'" in repr(named)
