"""The session as an application sees it: a dict in every respect, that notes what was done to it."""

from __future__ import annotations

import copy
import json
import pickle
import pprint
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sessionkit.exceptions import SessionClosedError
from sessionkit.session import ID_SIZE, Record, Session, SessionInfo

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_700_000_000.0
RECORD = Record(id=bytes(range(ID_SIZE)), created=NOW - 500, authenticated=NOW - 60, issued=NOW - 10)


def _matches(session: Session) -> bool:
    match session:
        case {"a": 1}:
            return True
        case _:
            return False


def _misses(session: Session) -> None:
    with pytest.raises(KeyError):
        session["missing"]


READS: dict[str, Callable[[Session], object]] = {
    "[]": lambda session: session["a"],
    "[] of a missing key": _misses,
    "get": lambda session: session.get("a"),
    "get of a missing key": lambda session: session.get("missing", 0),
    "in": lambda session: "a" in session,
    "iter": iter,
    "reversed": reversed,
    "len": len,
    "bool": bool,
    "==": lambda session: session == {},
    "== from the right": lambda session: dict[str, Any]() == session,
    "!=": lambda session: session != {},
    "keys": lambda session: session.keys(),
    "values": lambda session: session.values(),
    "items": lambda session: session.items(),
    "copy": lambda session: session.copy(),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "dict": dict,
    "list": list,
    "**": lambda session: {**session},
    "|": lambda session: session | {"b": 2},
    "| from the right": lambda session: {"b": 2} | session,
    "json": json.dumps,
    "match": _matches,
    "pop of a missing key": lambda session: session.pop("missing", None),
    "setdefault of a key that is there": lambda session: session.setdefault("a", 2),
    "mark_accessed": lambda session: session.mark_accessed(),
}

WRITES: dict[str, Callable[[Session], object]] = {
    "[]=": lambda session: session.__setitem__("b", 2),
    "del": lambda session: session.__delitem__("a"),
    "pop": lambda session: session.pop("a"),
    "popitem": lambda session: session.popitem(),
    "setdefault": lambda session: session.setdefault("b", 2),
    "update with a dict": lambda session: session.update({"b": 2}),
    "update with pairs": lambda session: session.update([("b", 2)]),
    "update with keywords": lambda session: session.update(b=2),
    "|=": lambda session: session.__ior__({"b": 2}),
    "clear": lambda session: session.clear(),
    "mark_modified": lambda session: session.mark_modified(),
    "regenerate": lambda session: session.regenerate(),
    "destroy": lambda session: session.destroy(),
}

SILENT: dict[str, Callable[[Session], object]] = {
    "repr": repr,
    "str": str,
    "format": lambda session: f"{session}",
    "pprint": pprint.pformat,
    "isinstance": lambda session: isinstance(session, dict),
    "hasattr": lambda session: hasattr(session, "mark_accessed"),
    "id": lambda session: session.id,
    "created": lambda session: session.created,
    "authenticated": lambda session: session.authenticated,
    "info": lambda session: session.info,
    "expired": lambda session: session.expired(),
    "require_recent_auth": lambda session: session.require_recent_auth(60),
}


def make(data: dict[str, Any] | None = None, *, record: Record | None = None, now: float = NOW, **info: Any) -> Session:
    """Return a session whose clock stands still."""
    return Session(data, record=record, info=SessionInfo(**info), clock=lambda: now)


# --- a dict -----------------------------------------------------------------------------------------------------------


class SameAsDict(RuleBasedStateMachine):
    """Case 188: whatever is done to it, a session holds, gives and raises what a plain dict would, in its order."""

    keys = st.sampled_from(["a", "b", "c", ""])
    values = st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2)
    mappings = st.dictionaries(keys, values, max_size=3)

    def __init__(self) -> None:
        super().__init__()
        self.session = make()
        self.plain: dict[str, Any] = {}

    def both(self, act: Callable[[dict[str, Any]], Any]) -> None:
        """Do the same to both and compare what comes of it."""
        outcomes = []
        for one in (self.session, self.plain):
            try:
                outcomes.append(("returned", act(one)))
            except (KeyError, RuntimeError) as error:
                outcomes.append((type(error).__name__, error.args))
        assert outcomes[0] == outcomes[1]

    @rule(key=keys, value=values)
    def set_item(self, key: str, value: Any) -> None:
        """``session[key] = value``."""
        self.both(lambda one: one.__setitem__(key, value))

    @rule(key=keys)
    def read(self, key: str) -> None:
        """``session[key]``, ``get``, ``in``."""
        self.both(lambda one: one[key])
        self.both(lambda one: (one.get(key), one.get(key, "none"), key in one))

    @rule(key=keys)
    def delete(self, key: str) -> None:
        """``del session[key]``."""
        self.both(lambda one: one.__delitem__(key))

    @rule(key=keys, default=st.just(()) | st.tuples(values))
    def pop(self, key: str, default: tuple[Any, ...]) -> None:
        """``pop`` with and without a default."""
        self.both(lambda one: one.pop(key, *default))

    @rule()
    def popitem(self) -> None:
        """``popitem``: the last one in."""
        self.both(lambda one: one.popitem())

    @rule(key=keys, value=values)
    def setdefault(self, key: str, value: Any) -> None:
        """``setdefault``."""
        self.both(lambda one: one.setdefault(key, value))

    @rule(data=mappings, pairs=st.booleans())
    def update(self, data: dict[str, Any], pairs: bool) -> None:
        """``update`` with a mapping or with pairs, and keywords beside it."""
        self.both(lambda one: one.update(list(data.items()) if pairs else data, extra=1))

    @rule(data=mappings)
    def union(self, data: dict[str, Any]) -> None:
        """``|`` from both sides, and ``|=``, which returns the session itself."""
        self.both(lambda one: list((one | data).items()))
        self.both(lambda one: list((data | one).items()))
        before = self.session
        self.session |= data
        self.plain |= data
        assert self.session is before

    @precondition(lambda self: len(self.plain) > 2)
    @rule()
    def clear(self) -> None:
        """``clear``."""
        self.both(lambda one: one.clear())

    @rule(value=values)
    def nested(self, value: Any) -> None:
        """A list inside is the application's own."""
        self.both(lambda one: one.setdefault("list", []).append(value))

    @invariant()
    def alike(self) -> None:
        """Everything that shows the whole shows the same."""
        session, plain = self.session, self.plain
        assert session == plain
        assert plain == session
        assert not session != plain  # noqa: SIM202 - __ne__ is what is asked
        assert session != {**plain, "else": 1}
        assert (len(session), bool(session)) == (len(plain), bool(plain))
        assert list(session) == list(session.keys()) == list(plain)
        assert list(reversed(session)) == list(reversed(plain))
        assert list(session.values()) == list(plain.values())
        assert list(session.items()) == list(plain.items())
        assert json.dumps(session) == json.dumps(plain)
        for copied in (dict(session), {**session}, session.copy(), copy.copy(session), session | {}, {} | session):
            assert type(copied) is dict
            assert list(copied.items()) == list(plain.items())


TestSameAsDict = SameAsDict.TestCase


def test_it_is_a_dict() -> None:
    """Case 192: libraries that ask for a dict get one."""
    session = make({"a": 1})
    assert isinstance(session, dict)
    assert dict.items(session) == {"a": 1}.items()
    assert json.dumps(session, indent=1) == '{\n "a": 1\n}'


def test_it_is_not_hashable() -> None:
    """As a dict it has no hash, although it defines equality."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(make())


def test_a_union_needs_a_mapping() -> None:
    """``|`` with anything else raises ``TypeError``, as a dict does."""
    with pytest.raises(TypeError):
        make() | 1  # type: ignore[operator]  # refused at run time too
    with pytest.raises(TypeError):
        1 | make()  # type: ignore[operator]  # refused at run time too


def test_the_given_data_are_its_own() -> None:
    """The mapping it was filled from is not written to; ``None`` and nothing make an empty one."""
    data = {"a": 1}
    session = make(data)
    session["b"] = 2
    assert data == {"a": 1}
    assert make(None) == make({}) == {}


# --- flags ------------------------------------------------------------------------------------------------------------


def test_filling_it_is_no_access() -> None:
    """Case 93: a session that was loaded and never touched carries no flag."""
    session = make({"a": 1}, record=RECORD)
    assert (session.accessed, session.modified, session.renewed, session.destroyed) == (False, False, False, False)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_reading_is_access_and_no_change(read: Callable[[Session], object]) -> None:
    """Case 92: every accessor makes the response depend on the session; none of them counts as a write."""
    session = make({"a": 1}, record=RECORD)
    read(session)
    assert (session.accessed, session.modified) == (True, False)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_writing_is_access_and_change(write: Callable[[Session], object]) -> None:
    """Case 188: every mutator is noted as a write."""
    session = make({"a": 1}, record=RECORD)
    write(session)
    assert (session.accessed, session.modified) == (True, True)


@pytest.mark.parametrize("look", SILENT.values(), ids=SILENT)
def test_looking_at_it_is_no_access(look: Callable[[Session], object]) -> None:
    """Case 92: what a debugger or a log does, and facts about the session, do not touch its data."""
    session = make({"a": 1}, record=RECORD)
    look(session)
    assert (session.accessed, session.modified) == (False, False)


def test_starlette_marks_it() -> None:
    """Case 193: Starlette's property finds both methods by ``hasattr`` and calls them; they set the flags it reads."""
    session = make()
    session.mark_accessed()
    assert (session.accessed, session.modified) == (True, False)
    session.mark_modified()
    assert (session.accessed, session.modified) == (True, True)


def test_setting_and_deleting_leaves_the_value() -> None:
    """Case 188: a change that is taken back is noted, but the value is what it was, and values decide."""
    session = make({"a": 1})
    session["b"] = 2
    del session["b"]
    assert session.modified
    assert session == {"a": 1}


# --- what leaves it ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({}, "<Session: 0 keys>"),
        ({"passphrase": "hunter2"}, "<Session: 1 key>"),
        ({"passphrase": "hunter2", "user": 7}, "<Session: 2 keys>"),
    ],
)
def test_repr_tells_a_count_alone(data: dict[str, Any], shown: str) -> None:
    """Case 194: repr, str, format, pprint and logging show how many keys there are, no name and no value."""
    session = make(data, record=RECORD)
    assert {repr(session), str(session), f"{session}", pprint.pformat(session), "%r" % session} == {shown}  # noqa: UP031 - one of the ways to show it
    assert repr([session]) == f"[{shown}]"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_a_plain_dict(protocol: int) -> None:
    """Case 195: a pickle holds the data alone: no id, no clock, nothing of this package."""
    session = make({"a": [1]}, record=RECORD)
    pickled = pickle.dumps(session, protocol)
    assert b"sessionkit" not in pickled
    assert RECORD.id not in pickled
    restored = pickle.loads(pickled)  # noqa: S301 - made two lines above
    assert type(restored) is dict
    assert restored == {"a": [1]}


def test_copies_are_plain_and_as_deep_as_asked() -> None:
    """Case 195: ``copy`` shares what is inside, ``deepcopy`` does not; neither is a session."""
    session = make({"a": [1]}, record=RECORD)
    shallow, deep = copy.copy(session), copy.deepcopy(session)
    assert type(shallow) is type(deep) is dict
    session["a"].append(2)
    assert shallow == {"a": [1, 2]}
    assert deep == {"a": [1]}


def test_records_and_facts_do_not_change() -> None:
    """What is known of a session beside its data cannot be altered by the application."""
    session = make(record=RECORD)
    for fact, field in ((RECORD, "issued"), (session.info, "kid")):
        with pytest.raises(AttributeError):
            setattr(fact, field, None)


# --- identity ---------------------------------------------------------------------------------------------------------


def test_a_stored_session_keeps_its_id() -> None:
    """The id of a session that was stored is the one in its record, in hexadecimal."""
    session = make(record=RECORD)
    assert session.raw_id == RECORD.id
    assert session.id == RECORD.id.hex()
    assert session.created == RECORD.created


def test_a_new_session_has_one_random_id() -> None:
    """A new session's id is made when first asked for, stays, and is nobody else's."""
    session = make()
    assert session.id == session.id == session.raw_id.hex()
    assert len(session.raw_id) == ID_SIZE
    assert session.id != make().id
    assert session.created is None


def test_regenerate_changes_the_id_and_keeps_the_data() -> None:
    """Case 196: a new id, the old one told, the data and the absolute window kept, no login claimed."""
    session = make({"a": 1}, record=RECORD)
    session.regenerate()
    assert session.id != RECORD.id.hex()
    assert session.previous_id == RECORD.id
    assert session == {"a": 1}
    assert session.reason == "privilege_change"
    assert (session.created, session.authenticated) == (RECORD.created, RECORD.authenticated)
    assert session.signed_in is None


def test_regenerate_on_login_notes_the_time() -> None:
    """Case 196: only a real login begins a new absolute window."""
    session = make(record=RECORD)
    session.regenerate(authenticated=True, reason="login")
    assert session.signed_in == session.authenticated == NOW
    assert session.reason == "login"


def test_regenerate_twice_tells_the_id_that_was_stored() -> None:
    """Case 196: of several new ids in one request only the last is used; the previous one is what the browser holds."""
    session = make(record=RECORD)
    session.regenerate()
    between = session.id
    session.regenerate()
    assert session.id not in {between, RECORD.id.hex()}
    assert session.previous_id == RECORD.id


def test_regenerating_a_new_session_has_no_previous_id() -> None:
    """Case 196: what was never stored has nothing to be revoked."""
    session = make()
    first = session.id
    session.regenerate()
    assert session.id != first
    assert session.previous_id is None


def test_destroy_leaves_nothing() -> None:
    """Case 197: data, record, login and id go; the end and its reason are told."""
    session = make({"a": 1}, record=Record(RECORD.id, NOW, NOW, NOW, remember=True))
    session.regenerate(authenticated=True)
    session.destroy()
    assert session == {}
    assert (session.destroyed, session.reason) == (True, "logout")
    assert (session.record, session.created, session.authenticated, session.previous_id) == (None, None, None, None)
    assert session.remember is False
    assert not session.require_recent_auth(3600)


def test_writing_after_destroy_begins_a_new_session() -> None:
    """Case 197: what is written after the end stands in a new session with a new id."""
    session = make({"a": 1}, record=RECORD)
    session.destroy("password_changed")
    session["b"] = 2
    assert session == {"b": 2}
    assert session.id != RECORD.id.hex()
    assert (session.destroyed, session.reason) == (True, "password_changed")


def test_clear_is_not_destroy() -> None:
    """Emptying a session keeps its id: writing on continues it."""
    session = make({"a": 1}, record=RECORD)
    session.clear()
    assert not session.destroyed
    assert session.id == RECORD.id.hex()


def test_renew_is_asked_for_without_a_change() -> None:
    """``renew`` extends the idle time although nothing changed."""
    session = make({"a": 1}, record=RECORD)
    session.renew()
    assert (session.renewed, session.modified) == (True, False)


@pytest.mark.parametrize(
    ("record", "remember"), [(None, False), (RECORD, False), (RECORD._replace(remember=True), True)]
)
def test_remember_is_what_was_stored(record: Record | None, remember: bool) -> None:
    """Case 57: whether the cookie outlives the browser comes from the record, and is open for a new session."""
    session = make(record=record)
    assert session.remember is remember
    session.remember = True
    assert session.remember is True
    assert (session.accessed, session.modified) == (True, True)


def test_a_box_that_was_not_ticked_is_no_remember() -> None:
    """``session.remember = form.get("remember")`` is ``None`` then: the session is not remembered any longer."""
    session = make(record=RECORD._replace(remember=True))
    form: dict[str, Any] = {}
    session.remember = form.get("remember")  # type: ignore[assignment]  # as applications without a type checker do
    assert session.remember is False


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expires_at", "now", "expired"),
    [(None, NOW, False), (NOW + 0.001, NOW, False), (NOW, NOW, True), (NOW - 1, NOW, True)],
)
def test_expired_from_the_very_second(expires_at: float | None, now: float, expired: bool) -> None:
    """Case 170: at its deadline a session is expired; one that came without a cookie never is."""
    session = make(expires_at=expires_at, now=now)
    assert session.expired() is expired
    assert make(expires_at=expires_at, now=0).expired(now) is expired


@pytest.mark.parametrize(
    ("authenticated", "recent"), [(0, False), (NOW - 60, False), (NOW - 59, True), (NOW, True), (NOW + 5, True)]
)
def test_recent_login(authenticated: float, recent: bool) -> None:
    """Case 176: a login counts for less than the given seconds; no login at all never counts."""
    session = make(record=Record(RECORD.id, NOW - 500, authenticated, NOW))
    assert session.require_recent_auth(60) is recent
    assert session.authenticated == (authenticated or None)


def test_presenting_the_cookie_is_no_login() -> None:
    """Case 176: neither a renewal nor a new id makes the login any fresher; a new session has none."""
    session = make(record=RECORD)
    session.renew()
    session.regenerate()
    assert session.authenticated == RECORD.authenticated
    assert make().authenticated is None


# --- too late ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_late_write_is_told(write: Callable[[Session], object]) -> None:
    """Case 75: once no cookie can be sent, a write works and is reported with the reason."""
    session, told = make({"a": 1}, record=RECORD), list[str]()
    session.close("response_started", strict=False, on_late_write=told.append)
    write(session)
    assert told == ["response_started"]
    assert session.modified


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_late_write_is_refused_in_strict_mode(write: Callable[[Session], object]) -> None:
    """Case 75: in strict mode a late write raises and changes nothing."""
    session, told = make({"a": 1}, record=RECORD), list[str]()
    session.close("websocket_open", strict=True, on_late_write=told.append)
    with pytest.raises(SessionClosedError) as caught:
        write(session)
    assert caught.value.reason == "websocket_open"
    assert session == {"a": 1}
    assert (session.destroyed, session.previous_id, session.id) == (False, None, RECORD.id.hex())
    assert told == []


def test_a_late_renewal_is_told() -> None:
    """A renewal that can no longer be sent is reported like a late write, and refused in strict mode."""
    session, told = make({"a": 1}, record=RECORD), list[str]()
    session.close("response_started", strict=False, on_late_write=told.append)
    session.renew()
    assert told == ["response_started"]
    session.close("response_started", strict=True, on_late_write=told.append)
    with pytest.raises(SessionClosedError):
        session.renew()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_late_reading_works(read: Callable[[Session], object], strict: bool) -> None:
    """Case 76: reading a closed session is neither refused nor reported."""
    session, told = make({"a": 1}, record=RECORD), list[str]()
    session.close("response_started", strict=strict, on_late_write=told.append)
    read(session)
    assert told == []


@pytest.mark.parametrize("name", ["permanent", "acessed"])
def test_an_attribute_that_a_session_does_not_have_is_not_set(name: str) -> None:
    """A habit of another framework, or a slip of the pen, is told instead of being lost with the request."""
    with pytest.raises(AttributeError):
        setattr(Session(clock=lambda: 0.0), name, True)
