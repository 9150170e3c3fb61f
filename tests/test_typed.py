"""Models in a session: what is read and written is valid, versions are upgraded, and errors show no value."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from enum import Enum
from typing import Any, assert_type

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

from sessionkit.exceptions import ConfigurationError
from sessionkit.session import Session
from sessionkit.testing import FixedClock
from sessionkit.typed import SessionModel, TypedSession, TypedSessionError
from tests.middleware.apps import Site

CANARY = "canary-7f3a9"


class Size(Enum):
    """An enumeration; a session stores its values."""

    SMALL = "s"


class Item(BaseModel):
    """Something inside a model."""

    name: str
    count: int = 1
    size: Size = Size.SMALL


class Cart(BaseModel):
    """What a visitor is about to buy."""

    model_config = ConfigDict(strict=True)

    items: list[Item] = []
    since: datetime | None = None
    tags: set[str] = set()


CART = SessionModel(Cart, "cart")


def session(**data: Any) -> Session:
    """Return a session that holds something."""
    return Session(data, clock=FixedClock())


def test_a_session_without_the_entry_has_the_initial_model() -> None:
    """Nothing stored is the class called without arguments, or what makes the initial model; reading writes nothing."""
    held = session()
    assert_type(CART.load(held), Cart)
    assert_type(held.load_as(CART), Cart)
    assert held.load_as(CART) == Cart()
    assert CART.load(held) == Cart()
    schema = SessionModel(Item, "item", initial=lambda: Item(name="tea"))
    assert schema.load(held) == Item(name="tea")
    assert not held.modified


async def test_models_survive_the_cookie() -> None:
    """What is stored, sealed, sent and read again is the same model, with its enumerations, sets and moments."""
    cart = Cart(items=[Item(name="tea", count=2)], since=datetime(2026, 10, 1, tzinfo=UTC), tags={"a", "b"})
    site, seen = Site(), []
    await site.visit(lambda held: CART.store(held, cart))
    await site.visit(lambda held: seen.append(CART.load(held)))
    assert seen == [cart]


async def test_storing_the_same_again_sends_no_cookie() -> None:
    """A model that did not change is no change of the session."""
    site = Site()
    await site.visit(lambda held: CART.store(held, Cart()))
    assert (await site.visit(lambda held: CART.store(held, CART.load(held)))).set_cookies == []


def test_other_entries_are_left_alone() -> None:
    """Models and what else a session holds live side by side."""
    held = session(user="ann")
    CART.store(held, Cart(tags={"a"}))
    SessionModel(Item, "item", initial=lambda: Item(name="x")).store(held, Item(name="tea"))
    assert held["user"] == "ann"
    assert CART.load(held).tags == {"a"}


def test_the_loaded_model_is_a_copy() -> None:
    """A change of the model reaches the session when it is stored, not before."""
    held = session()
    CART.store(held, Cart(tags={"a"}))
    cart = CART.load(held)
    cart.tags.add("b")
    assert CART.load(held).tags == {"a"}
    CART.store(held, cart)
    assert CART.load(held).tags == {"a", "b"}
    cart.tags.add("c")
    assert CART.load(held).tags == {"a", "b"}


# --- what does not fit ------------------------------------------------------------------------------------------------


def refused(held: Session, schema: SessionModel[Any] = CART) -> TypedSessionError:
    """Return the error of a load that changes nothing, having made sure that nothing around it shows the value."""
    before = dict(held)
    with pytest.raises(TypedSessionError) as caught:
        schema.load(held)
    discreet(caught.value)
    assert dict(held) == before
    return caught.value


def discreet(error: TypedSessionError) -> None:
    """Assert that neither the error, what it stems from, nor a frame of ours on its way shows a value."""
    assert error.__cause__ is None
    assert error.__context__ is None
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    inside = [frame for frame in told.stack if frame.filename.endswith("typed.py") and "test_" not in frame.filename]
    assert inside
    shown = [str(error), *(str(frame.locals) for frame in inside)]
    assert not [line for line in shown if CANARY in line]


def test_data_that_does_not_fit_is_an_error_that_names_places() -> None:
    """A payload is ours: that it does not fit is told, with places and kinds, and the session stays as it is."""
    held = session(cart={"version": 1, "data": {"items": [{"name": "tea", "count": CANARY}], "since": CANARY}})
    error = refused(held)
    assert error.entry == "cart"
    assert str(error) == (
        "session['cart'] does not fit Cart (stored by version 1): items.0.count (int_parsing), "
        "since (datetime_from_date_parsing). Correct the data, or count the version up and upgrade what is stored."
    )


def test_many_errors_are_summed_up() -> None:
    """Five places are listed, the others counted; of long keys, forty characters."""

    class Counts(BaseModel):
        by_name: dict[str, int] = {}

    held = session(counts={"version": 1, "data": {"by_name": {f"{n}{'k' * 50}": "no" for n in range(7)}}})
    problem = refused(held, SessionModel(Counts, "counts")).problem
    assert problem.endswith(" and 2 more")
    assert "k" * 39 in problem
    assert "k" * 40 not in problem


@pytest.mark.parametrize("data", [CANARY, None, 4, [CANARY]])
def test_an_entry_that_is_no_mapping_does_not_fit(data: object) -> None:
    """Whatever stood there before the model is data of version 0, and judged as such."""
    assert "(stored by version 0): the whole (model_type)" in str(refused(session(cart=data)))


def test_invalid_data_is_reset_on_request() -> None:
    """Who would rather lose the entry gets the initial model; the entry itself goes with the next store."""
    schema = SessionModel(Cart, "cart", invalid="reset")
    held = session(cart={"version": 1, "data": {"items": CANARY}})
    assert schema.load(held) == Cart()
    assert not held.modified


@pytest.mark.parametrize("invalid", ["raise", "reset"])
def test_a_newer_version_is_never_reset(invalid: Any) -> None:
    """While a release is under way, processes before it do not throw away what those after it have written."""
    held = session(cart={"version": 3, "data": {"items": CANARY}})
    error = refused(held, SessionModel(Cart, "cart", version=2, invalid=invalid))
    assert error.problem == "was written by version 3, this process knows up to 2"


def test_a_model_made_invalid_is_not_stored() -> None:
    """Pydantic does not watch assignments by default; the store does, and the session keeps what it has."""
    held = session()
    CART.store(held, Cart(tags={"a"}))
    cart = CART.load(held)
    cart.items = [CANARY]  # type: ignore[list-item]  # what a mistake would put there
    with pytest.raises(TypedSessionError, match=r"that is not valid: items\.0 \(model_type\)") as caught:
        CART.store(held, cart)
    discreet(caught.value)
    assert CART.load(held).tags == {"a"}


def test_another_type_is_not_stored() -> None:
    """A dict in the place of the model is refused."""
    wrong: Any = {"items": CANARY}
    with pytest.raises(TypedSessionError, match="takes a Cart, not a dict") as caught:
        CART.store(session(), wrong)
    discreet(caught.value)


def test_validators_that_break_are_told_by_kind() -> None:
    """An error that pydantic lets through may quote the value: its class is told, no more."""

    class Fragile(BaseModel):
        value: str = ""

        @field_validator("value")
        @classmethod
        def _break(cls, value: str) -> str:
            raise LookupError(value)

    error = refused(session(entry={"version": 1, "data": {"value": CANARY}}), SessionModel(Fragile, "entry"))
    assert error.problem == "does not fit Fragile (stored by version 1): LookupError was raised"


# --- versions ---------------------------------------------------------------------------------------------------------


def _upgrade(data: Any, version: int) -> Any:
    """Bring older data up: names alone in version 0, a count for all in version 1."""
    if version == 0:
        data = {"names": data}
    return {"items": [{"name": name} for name in data["names"]]}


@pytest.mark.parametrize(
    "held", [["tea", "milk"], {"version": 1, "data": {"names": ["tea", "milk"]}}], ids=["untyped", "version 1"]
)
def test_older_data_is_upgraded(held: object) -> None:
    """Data of an older version, or of a time without a model, goes through the upgrade; storing makes it current."""
    schema = SessionModel(Cart, "cart", version=2, upgrade=_upgrade)
    holder = session(cart=held)
    cart = schema.load(holder)
    assert [item.name for item in cart.items] == ["tea", "milk"]
    schema.store(holder, cart)
    assert holder["cart"]["version"] == 2
    assert SessionModel(Cart, "cart", version=2).load(holder) == cart


def test_current_data_is_not_upgraded() -> None:
    """The hook is for older data alone."""
    schema = SessionModel(Cart, "cart", version=1, upgrade=_upgrade)
    held = session()
    schema.store(held, Cart(tags={"a"}))
    assert schema.load(held) == Cart(tags={"a"})


def test_without_a_hook_older_data_is_validated_as_it_is() -> None:
    """Fields with defaults need no hook."""
    assert SessionModel(Cart, "cart", version=5).load(session(cart={"tags": ["a"]})) == Cart(tags={"a"})


def test_an_upgrade_that_breaks_is_told_by_kind() -> None:
    """What the hook raises may quote the data: its class is told, no more."""
    schema = SessionModel(Cart, "cart", version=2, upgrade=lambda data, _: {}[data])
    assert refused(session(cart=CANARY), schema).problem == (
        "could not be upgraded from version 0: KeyError was raised"
    )


# --- what is refused when it is declared ------------------------------------------------------------------------------


def test_a_version_counts_from_one() -> None:
    """0 is what was there before the model."""
    with pytest.raises(ConfigurationError, match="version: is less than 1"):
        SessionModel(Cart, "cart", version=0)


def test_a_model_needs_a_beginning() -> None:
    """A model that cannot be made of nothing is refused at once, not at the first visitor."""
    with pytest.raises(ConfigurationError, match="initial: is missing: Item cannot be made without arguments"):
        SessionModel(Item, "item")


class OneWay(BaseModel):
    """Written as another name than it is read from: its value would be lost between two requests."""

    field: int = Field(default=0, serialization_alias="written")


class Nested(BaseModel):
    """Holds such a one, some way down."""

    again: Nested | None = None
    inside: dict[str, list[OneWay] | None] = {}


@pytest.mark.parametrize("model", [OneWay, Nested])
def test_fields_that_would_not_come_back_are_refused(model: type[BaseModel]) -> None:
    """A field must be read from the name that it is written under, at any depth."""
    with pytest.raises(ConfigurationError, match=r"OneWay\.field: is written under a name that it is not read from"):
        SessionModel(model, "entry")


class Aliased(BaseModel):
    """Fields with aliases that go both ways."""

    model_config = ConfigDict(populate_by_name=True)

    same: int = Field(default=0, alias="Same")
    chosen: int = Field(default=0, validation_alias=AliasChoices("old", "new"), serialization_alias="new")
    by_name: int = Field(default=0, validation_alias="ByName", serialization_alias="by_name")


def test_fields_with_aliases_come_back() -> None:
    """An alias for both ways, one of several, or the field's own name."""
    schema, held = SessionModel(Aliased, "entry"), session()
    schema.store(held, Aliased(same=1, chosen=2, by_name=3))
    assert schema.load(held) == Aliased(same=1, chosen=2, by_name=3)


# --- a session with its model -----------------------------------------------------------------------------------------


def test_session_and_model_together() -> None:
    """One object to change and save; its repr shows what it is and nothing of the value."""
    held = session()
    cart = CART.of(held)
    assert_type(cart, TypedSession[Cart])
    cart.value.tags.add(CANARY)
    cart.save()
    assert cart.session is held
    assert CART.load(held).tags == {CANARY}
    assert repr(cart) == "<TypedSession <SessionModel Cart v1 in 'cart'>>"
