"""Settings: the reference's defaults, and a word for every mistake: which field, what is wrong, what to write."""

from __future__ import annotations

import base64
import json
import re
import warnings
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from litestar.middleware.session.client_side import CookieBackendConfig
from pydantic import SecretBytes

from sessionkit import config, yamlfile
from sessionkit.audit.pseudonyms import MIN_KEY_SIZE
from sessionkit.config import MAX_AGE_LIMIT, MAX_CHUNKS_LIMIT, AuditConfig, SessionConfig
from sessionkit.exceptions import ConfigurationError, SessionKitWarning
from sessionkit.keyring.source import SecretSource
from sessionkit.wire.cookies import CookieWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parents[1] / "config"
SECRET = bytes(range(200, 232))
TEXT = base64.b64encode(SECRET).decode()


def refused(**settings: Any) -> str:
    """Return what settings are refused with, after checking that nothing hangs on it."""
    with pytest.raises(ConfigurationError) as caught:
        SessionConfig(**settings)
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
    return str(caught.value)


def test_the_defaults_are_the_references() -> None:
    """Every field of Litestar's client-side sessions has its default; its secret is replaced by the keyring."""
    theirs, ours = CookieBackendConfig(secret=bytes(16)), SessionConfig()
    shared = set(SessionConfig.model_fields) & set(vars(theirs))
    assert {name: getattr(ours, name) for name in shared - {"scopes"}} == {
        "key": "session",
        "max_age": 1_209_600,
        "path": "/",
        "domain": None,
        "secure": False,
        "httponly": True,
        "samesite": "lax",
        "exclude": None,
        "exclude_opt_key": "skip_session",
    }
    assert all(getattr(ours, name) == getattr(theirs, name) for name in shared - {"scopes"})
    assert {str(scope) for scope in ours.scopes} == {scope.value for scope in theirs.scopes}


def test_the_other_defaults() -> None:
    """What the reference does not have is off, or has the value the design gives."""
    ours = SessionConfig()
    assert (ours.persistent, ours.partitioned, ours.max_chunks, ours.context) == (True, False, 8, "")
    assert (ours.absolute_max_age, ours.idle_timeout, ours.keyring, dict(ours.type_encoders)) == (None, None, None, {})
    assert (ours.save_on_error, ours.strict, ours.cache_control) == (False, False, "private, no-store")
    assert (ours.websocket_persistence, ours.audit) == ("accept", AuditConfig(level="info", key=None, client_ref=False))


@pytest.mark.parametrize("name", ["a.b", "a+b", "^x$", "$", "|", "!#$%&'*+-.^_`|~0aA", "x" * 256, "session-", "s-007"])
def test_names(name: str) -> None:
    """Cases 41 and 42: every RFC 6265 token up to 256 characters is a name, whatever it means elsewhere."""
    assert SessionConfig(key=name).key == name


@pytest.mark.parametrize("name", ["a(b", "a;b", "a=b", "a b", "a\r\nb", "a\n", "é", "a,b", 'a"b', "a\0b", "[x]", " a"])
def test_characters_no_name_may_hold(name: str) -> None:
    """Cases 41 and 42: refused at start-up, and what may stand there is told."""
    told = refused(key=name)
    assert told.startswith("key: holds a character that no cookie name may hold. Use letters, digits and any of !#$")


@pytest.mark.parametrize(
    ("name", "problem"),
    [("", "is empty"), ("x" * 257, "is 257 characters long. Use at most 256"), (5, "input should be a valid string")],
)
def test_lengths_no_name_may_have(name: Any, problem: str) -> None:
    """Case 42: empty and overlong names, and what is no text."""
    assert refused(key=name).startswith(f"key: {problem}")


@pytest.mark.parametrize("name", ["session-0", "session-1", "session-99", "a-b-7", "--0"])
def test_names_like_chunks_warn(name: str) -> None:
    """Case 18: such a name works, but another session of this host may split into one; it is warned of."""
    with pytest.warns(SessionKitWarning, match=f"^key: '{name}' is what a part of a split session named ") as caught:
        SessionConfig(key=name)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"key": "__Host-x"}, "secure: is False, but the name's prefix demands True. Set secure=True"),
        ({"key": "__host-x"}, "secure: is False"),
        ({"key": "__Secure-x"}, "secure: is False"),
        ({"key": "__Http-x"}, "secure: is False"),
        ({"key": "__Host-x", "secure": True, "domain": "a.org"}, "domain: is set, but __Host- cookies belong to one"),
        ({"key": "__HOST-x", "secure": True, "path": "/a"}, "path: is not '/', which __Host- demands. Set path='/'"),
        ({"key": "__Http-x", "secure": True, "httponly": False}, "httponly: is False, but the name's prefix demands"),
        ({"key": "__Host-Http-x", "secure": True, "httponly": False}, "httponly: is False, but the name's prefix"),
        ({"samesite": "none"}, "samesite: is 'none' without secure=True, so browsers drop the cookie. Set secure=True"),
        ({"partitioned": True}, "partitioned: needs secure=True, or browsers drop the cookie. Set secure=True"),
    ],
)
def test_what_browsers_would_drop(settings: dict[str, Any], told: str) -> None:
    """Cases 43 and 45: prefixes in any case, SameSite=None and Partitioned demand what browsers demand."""
    assert refused(**settings).startswith(told)


@pytest.mark.parametrize(
    "settings",
    [
        {"key": "__Host-x", "secure": True},
        {"key": "__Secure-x", "secure": True, "domain": "a.org", "path": "/a"},
        {"key": "__Host-Http-x", "secure": True},
        {"key": "__Http-x", "secure": True, "path": "/a"},
        {"key": "__Hostess", "domain": "a.org"},
        {"samesite": "none", "secure": True, "partitioned": True},
    ],
)
def test_what_browsers_take(settings: dict[str, Any]) -> None:
    """Case 43: with what they demand, these are fine."""
    ours = SessionConfig(**settings)
    assert {name: getattr(ours, name) for name in settings} == settings


@pytest.mark.parametrize("value", ["", "a", "/a;b", "/a\r\nb", "/a\n", "/\0", "/é", "/\x7f", "/" + "a" * 1024])
def test_paths_no_cookie_may_carry(value: str) -> None:
    """Case 46: nothing that ends the attribute, and no more than 1,024 octets."""
    assert refused(path=value).startswith("path: is no path that a cookie may carry. Begin with '/'")


@pytest.mark.parametrize(
    "value", ["", "a;b", "a b", "a\nb", "a\n", "é.org", "https://a.org", "a.org:80", "-a", "a-", "a" * 254, "."]
)
def test_domains_no_cookie_may_carry(value: str) -> None:
    """Case 46: a bare host name of at most 253 octets, and nothing else."""
    assert refused(domain=value).startswith("domain: is no domain name that a cookie may carry. Give a bare host name")


def test_paths_and_domains() -> None:
    """Case 46: the longest there may be, and a leading dot as old as cookies."""
    assert len(SessionConfig(path="/" + "a" * 1023).path) == 1024
    assert SessionConfig(domain="a" * 253).domain == "a" * 253
    assert SessionConfig(domain=".example.org", path="/a b/%C3%A9?x").domain == ".example.org"


def test_the_worst_settings_leave_room() -> None:
    """Case 13: with the longest name, path and domain there may be, a cookie still holds two thirds of its octets."""
    worst = SessionConfig(
        key="x" * 256,
        path="/" + "a" * 1023,
        domain="a" * 253,
        max_age=MAX_AGE_LIMIT,
        max_chunks=MAX_CHUNKS_LIMIT,
        secure=True,
        samesite="strict",
        partitioned=True,
    )
    assert CookieWriter(worst).size > 2_400


TIMES = ("max_age", "absolute_max_age", "idle_timeout")


@pytest.mark.parametrize("field", TIMES)
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, "is not positive. Give 1 to 34560000 seconds; browsers keep no cookie for longer than 400 days."),
        (-1, "is not positive"),
        (timedelta(0), "is not positive"),
        (MAX_AGE_LIMIT + 1, "is more than 400 days"),
        (timedelta(days=401), "is more than 400 days"),
        (3600.0, "is a float. Give whole seconds, or a timedelta of whole seconds."),
        (timedelta(seconds=1.5), "is a float"),
        (True, "is a bool"),
        ("3600", "input should be a valid integer. Expected: seconds"),
        ("-5", "input should be a valid integer"),
        ([], "input should be a valid integer"),
    ],
)
def test_times_that_cannot_be(field: str, value: Any, told: str) -> None:
    """Case 47: whole seconds from 1 to 400 days; text is no number, whatever it says."""
    assert refused(**{field: value}).startswith(f"{field}: {told}")


def test_times() -> None:
    """Case 47: numbers and timedeltas, up to the limit itself."""
    assert SessionConfig(max_age=timedelta(days=400)).max_age == MAX_AGE_LIMIT
    times = SessionConfig(max_age=MAX_AGE_LIMIT, absolute_max_age=timedelta(hours=1), idle_timeout=1)
    assert (times.max_age, times.absolute_max_age, times.idle_timeout) == (MAX_AGE_LIMIT, 3600, 1)
    assert type(times.absolute_max_age) is int


def test_how_long_a_session_lives() -> None:
    """It ends by ``idle_timeout``, or else by ``max_age``, unless renewed."""
    assert SessionConfig(max_age=50).lifetime == 50
    assert SessionConfig(max_age=50, idle_timeout=20).lifetime == 20


@pytest.mark.parametrize(
    ("settings", "longest"),
    [({"idle_timeout": 60, "max_age": 59}, 59), ({"idle_timeout": 60, "max_age": 99, "absolute_max_age": 50}, 50)],
)
def test_an_idle_timeout_longer_than_the_session(settings: dict[str, Any], longest: int) -> None:
    """Case 48: it would never come; equal is fine."""
    told = f"idle_timeout: is longer than the session can live ({longest} s by max_age and absolute_max_age). Lower it"
    assert refused(**settings).startswith(told)
    assert SessionConfig(**settings | {"idle_timeout": longest}).lifetime == longest


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"scopes": []}, "scopes: frozenset should have at least 1 item"),
        ({"scopes": ["http", "ftp"]}, "scopes.1: input should be 'http' or 'websocket'. Expected: kinds of connection"),
        ({"scopes": "http"}, "scopes: input should be a valid frozenset"),
        ({"secure": "sure"}, "secure: input should be a valid boolean"),
        ({"httponly": None}, "httponly: input should be a valid boolean. Expected: hide the cookie from scripts."),
        ({"samesite": "Lax"}, "samesite: input should be 'lax', 'strict' or 'none'. Expected: whether the cookie goes"),
        ({"exclude": "/a("}, "exclude: '/a(' is no regular expression: missing ), unterminated subpattern. Correct it"),
        ({"exclude": ["/a", "*"]}, "exclude: '*' is no regular expression: nothing to repeat"),
        ({"exclude": ["/a", 5]}, "exclude: holds something that is no string. Give one pattern or a list of patterns."),
        ({"exclude": "a{99999999999}"}, "exclude: holds a pattern that is too large. Write a simpler one"),
        ({"exclude": "(" * 5000 + ")" * 5000}, "exclude: holds a pattern that is too large"),
        ({"exclude": 5}, "exclude: input should be a valid string. Expected: paths without a session"),
        ({"exclude_opt_key": ""}, "exclude_opt_key: string should have at least 1 character"),
        ({"persistent": 7}, "persistent: input should be a valid boolean"),
        ({"partitioned": []}, "partitioned: input should be a valid boolean"),
        ({"max_chunks": 0}, "max_chunks: input should be greater than or equal to 1. Expected: cookies a session may"),
        ({"max_chunks": 17}, "max_chunks: input should be less than or equal to 16"),
        ({"max_chunks": "8"}, "max_chunks: input should be a valid integer"),
        ({"max_chunks": True}, "max_chunks: input should be a valid integer"),
        ({"context": "é" * 513}, "context: is longer than 1024 octets. Give a short name of the audience"),
        ({"context": "\ud800"}, "context: holds half a character (a lone surrogate). Give a short name"),
        ({"context": None}, "context: input should be a valid string"),
        ({"save_on_error": "x"}, "save_on_error: input should be a valid boolean"),
        ({"strict": "x"}, "strict: input should be a valid boolean"),
        ({"cache_control": "a\r\nX: b"}, "cache_control: is no value that a header may have. Use printable ASCII"),
        ({"cache_control": ""}, "cache_control: is no value that a header may have"),
        ({"cache_control": "é"}, "cache_control: is no value that a header may have"),
        ({"websocket_persistence": "on"}, "websocket_persistence: input should be 'accept' or 'off'"),
        ({"type_encoders": {"x": str}}, "type_encoders: input should be a type"),
        ({"type_encoders": {int: 5}}, "type_encoders: input should be callable"),
        ({"keyring": 5}, "keyring: input is not a valid path"),
        ({"audit": 5}, "audit: is not a mapping. Expected: what the audit log says."),
        ({"audit": {"level": "loud"}}, "audit.level: input should be 'debug', 'info', 'warning', 'error' or 'critic"),
        ({"audit": {"client_ref": "x"}}, "audit.client_ref: input should be a valid boolean"),
        ({"audit": {"key": b"x" * 15}}, "audit.key: is 15 octets long. Give at least 16 random octets"),
        ({"audit": {"key": TEXT}}, "audit.key: is text. Give octets, or one of {base64: …}"),
        ({"audit": {"key": 5}}, "audit.key: input should be a valid bytes"),
        ({"audit": {"key": {}}}, "audit.key: names no way to the secret"),
        ({"audit": {"key": {"env": "A", "base64": TEXT}}}, "audit.key: names 2 ways: base64, env"),
        ({"audit": {"key": {"enc": TEXT}}}, "audit.key.enc: is not known here. Did you mean 'env'?"),
        ({"audit": {"leve": "info"}}, "audit.leve: is not known here. Did you mean 'level'?"),
        ({"maxage": 5}, "maxage: is not known here. Did you mean 'max_age'?"),
        ({"same_site": "lax"}, "same_site: is not known here. Did you mean 'samesite'?"),
        ({"secret": SECRET}, "secret: is not known here. Did you mean 'secure'?"),
        ({TEXT: 5}, "…: is not known here. Known are: key, max_age, scopes"),
        ({"self": 5}, "self: is not known here"),
    ],
)
def test_mistakes(settings: dict[str, Any], told: str) -> None:
    """Every field's error names the field, the problem and what is expected, and no value that may be secret."""
    error = refused(**settings)
    assert error.startswith(told)
    assert TEXT not in error
    assert repr(SECRET) not in error


def test_words_for_headers_and_audiences() -> None:
    """``cache_control`` is any header's value or nothing; a context is any text of up to 1,024 octets."""
    ours = SessionConfig(cache_control='no-cache="x", max-age=0', context="é" * 512)
    assert (ours.cache_control, len(ours.context)) == ('no-cache="x", max-age=0', 512)
    assert SessionConfig(cache_control=None).cache_control is None


def test_settings_stay_as_they_are() -> None:
    """They are checked once, so they cannot be changed afterwards."""
    ours = SessionConfig()
    with pytest.raises(ValueError, match="frozen"):
        ours.key = "other"  # type: ignore[misc]  # that is what is tested


def test_exclude() -> None:
    """A pattern, several, or a function of the scope; nothing is excluded without."""
    scope = {"path": "/health/x"}
    assert SessionConfig(exclude="/health").excludes(scope)
    assert SessionConfig(exclude=("/a", "/health")).excludes(scope)
    assert not SessionConfig(exclude=["/a", "/b"]).excludes(scope)
    assert not SessionConfig().excludes(scope)
    seen: list[Mapping[str, Any]] = []

    def look(given: Mapping[str, Any]) -> bool:
        seen.append(given)
        return True

    assert SessionConfig(exclude=look).excludes(scope)
    assert seen == [scope]


def test_an_exclude_that_raises() -> None:
    """Case 143: what the application's own function raises is not hidden."""

    def fail(_: Mapping[str, Any]) -> bool:
        raise LookupError

    with pytest.raises(LookupError):
        SessionConfig(exclude=fail).excludes({"path": "/"})


# --- the audit key ----------------------------------------------------------------------------------------------------


def test_audit_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None, octets, or any of the four sources; a path is relative to the folder given."""
    monkeypatch.setenv("SESSIONKIT_TEST", TEXT)
    (tmp_path / "audit.key").write_text(TEXT)
    assert AuditConfig().key_octets() is None
    given: list[Any] = [SECRET, SecretBytes(SECRET), SecretSource(env="SESSIONKIT_TEST"), {"base64": TEXT}]
    given += [{"env": "SESSIONKIT_TEST"}, {"command": ["cat", "audit.key"]}, {"file": "audit.key"}]
    assert {AuditConfig(key=key).key_octets(tmp_path) for key in given} == {SECRET}
    assert AuditConfig(key=b"x" * MIN_KEY_SIZE).key_octets() == b"x" * 16


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ({"env": "SESSIONKIT_NONE"}, "audit.key.env: variable SESSIONKIT_NONE is not set. Set it, or name another."),
        ({"base64": "YWJj"}, "audit.key: is 3 octets long. Give at least 16 random octets: shorter keys can be"),
        ({"base64": "a b"}, "audit.key.base64: is not base64"),
    ],
)
def test_audit_keys_that_deliver_nothing(key: dict[str, str], told: str) -> None:
    """The setting is named, and what is wrong with what its source delivers."""
    with pytest.raises(ConfigurationError) as caught:
        AuditConfig(key=key).key_octets()
    assert str(caught.value).startswith(told)
    assert caught.value.__context__ is None


def test_audit_keys_are_not_shown() -> None:
    """Neither octets nor inline text, in no form settings are printed or sent in."""
    for key in (SECRET, {"base64": TEXT}):
        ours = SessionConfig(audit={"key": key})
        shown = repr(ours) + str(ours) + repr(ours.model_dump()) + ours.audit.model_dump_json()
        assert TEXT not in shown
        assert repr(SECRET)[2:-1] not in shown


# --- files ------------------------------------------------------------------------------------------------------------


def load(folder: Path, text: str) -> SessionConfig:
    """Load settings from a file in a folder."""
    path = folder / "sessionkit.yaml"
    path.write_text(text, "utf-8")
    return SessionConfig.load(str(path))


def test_settings_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that can be said in YAML; paths are relative to the file, and the audit key is fetched."""
    monkeypatch.chdir("/")
    (tmp_path / "audit.key").write_bytes(SECRET)
    found = load(
        tmp_path,
        """
        key: __Host-s
        secure: yes
        scopes: [http]
        exclude: [/health]
        max_age: 86400
        domain:
        keyring: keys/ring.yaml
        audit: {level: warning, key: {file: audit.key}, client_ref: true}
        """,
    )
    assert (found.key, found.secure, list(found.scopes), found.max_age) == ("__Host-s", True, ["http"], 86400)
    assert (found.exclude, found.excludes({"path": "/health"})) == (["/health"], True)
    assert found.keyring == tmp_path / "keys" / "ring.yaml"
    assert (found.audit.level, found.audit.client_ref, found.audit.key_octets()) == ("warning", True, SECRET)
    assert load(tmp_path, "key: x") == SessionConfig(key="x")
    assert load(tmp_path, "keyring: /etc/ring.yaml").keyring == Path("/etc/ring.yaml")


@pytest.mark.parametrize(
    ("text", "told", "line"),
    [
        ("key: x\nmax_age: soon", "max_age: input should be a valid integer", 2),
        ("key: x\nmax_age: 1.5", "max_age: is a float", 2),
        ("key: x\nmaxage: 5", "maxage: is not known here. Did you mean 'max_age'?", 2),
        ("\naudit:\n  level: loud", "audit.level: input should be 'debug'", 3),
        ("\naudit:\n  key: {env: SESSIONKIT_NONE}", "audit.key.env: variable SESSIONKIT_NONE is not set", 3),
        (f"\naudit:\n  key: {TEXT}", "audit.key: is text. Give octets, or one of", 3),
        (f"\naudit:\n  key:\n    bse64: {TEXT}", "audit.key.bse64: is not known here. Did you mean 'base64'?", 4),
        ("key: __Host-x", "secure: is False", None),
        ("samesite: none", "samesite: is 'none' without secure=True", 1),
        ("exclude:\n- /a\n- '['", "exclude: '[' is no regular expression", 1),
        ("key: [", "file: is not valid YAML. Look for wrong indentation, quotes or brackets there.", 1),
        ("key: x\nkey: y", "file: has an entry that stands twice", 2),
        ("", "file: is empty", 1),
        ("type_encoders: {int: str}", "type_encoders: input should be a type", 1),
    ],
)
def test_mistakes_in_a_file(tmp_path: Path, text: str, told: str, line: int | None) -> None:
    """The file and the line are told before the field, and nothing secret."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    path = tmp_path / "sessionkit.yaml"
    assert str(caught.value).startswith(f"{path}: {told}" if line is None else f"{path}:{line}: {told}")
    assert (caught.value.__context__, TEXT in str(caught.value)) == (None, False)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The path and the system's reason are told."""
    path = tmp_path / "none.yaml"
    with pytest.raises(ConfigurationError, match=re.escape(f"{path}: file: cannot be read (No such file")):
        SessionConfig.load(path)


# --- the example and its schema ---------------------------------------------------------------------------------------


def test_the_example_loads() -> None:
    """``config/sessionkit.yaml`` works as it stands, without a warning, and finds its keyring beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = SessionConfig.load(FOLDER / "sessionkit.yaml")
    assert (found.key, found.secure, found.samesite, found.path) == ("__Host-session", True, "lax", "/")
    assert found.keyring == FOLDER / "keyring.yaml"
    assert found.keyring.is_file()


def test_the_schema_is_up_to_date() -> None:
    """``config/sessionkit.schema.json`` is what ``config.schema()`` returns."""
    assert json.loads((FOLDER / "sessionkit.schema.json").read_text("utf-8")) == json.loads(config.schema())


def test_the_schema_has_what_a_file_can_say() -> None:
    """Every field but what can be given in code alone: functions and octets."""
    described = json.loads(config.schema())
    assert set(described["properties"]) == set(SessionConfig.model_fields) - {"type_encoders"}
    assert all(field["description"] for field in described["properties"].values())
    assert [one["type"] for one in described["properties"]["exclude"]["anyOf"]] == ["string", "array", "null"]


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        ({}, True),
        ({"audit": {"key": {"env": "A"}}}, True),
        ({"audit": {"key": {"env": "A", "file": "b"}}}, False),
        ({"audit": {"key": "text"}}, False),
        ({"max_age": 0}, False),
        ({"max_age": MAX_AGE_LIMIT + 1}, False),
        ({"max_chunks": 17}, False),
        ({"samesite": "Lax"}, False),
        ({"maxage": 5}, False),
        ({"type_encoders": {}}, False),
    ],
)
def test_the_schema_agrees_with_the_example(change: dict[str, Any], valid: bool) -> None:
    """Editors that check the example by the schema find nothing, and find mistakes in its neighbours."""
    described = json.loads((FOLDER / "sessionkit.schema.json").read_text("utf-8"))
    checker = jsonschema.Draft202012Validator(described)
    checker.check_schema(described)
    path = FOLDER / "sessionkit.yaml"
    assert checker.is_valid(yamlfile.parse(path.read_bytes(), path).values | change) is valid
