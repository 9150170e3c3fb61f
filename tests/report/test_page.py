"""The page: loads nothing, runs nothing, escapes everything, and shows each answer."""

from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from sessionkit.audit import events
from sessionkit.audit.events import timestamp
from sessionkit.audit.reading import LogParser
from sessionkit.report import charts, page
from sessionkit.report.charts import Mark, Row, Span
from sessionkit.report.survey import Survey
from tests.audit.logs import NOW, Book, created, digest, loaded, ref, rekeyed, reloaded, used

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sessionkit.audit.events import Event

HOSTILE = '</svg></style><script>alert(\'"x")</script><img src=x onerror=alert(1)>\x1b[31m\u202e&{{7*7}}'
OLD, NEW = "0a0a0a0a", "0b0b0b0b"

VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})


class Elements(HTMLParser):
    """Collects the elements of a page with their attributes and text, and checks that they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element that has an end."""
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element that is its own end."""
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Take an end: of the element that was opened last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Take text."""
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of the elements of one name."""
        return [attributes for name, attributes in self.found if name == tag]


def survey(*books: Book) -> tuple[Survey, LogParser]:
    """Return a survey of some books."""
    parser, made = LogParser(), Survey()
    for book in books:
        for number, line in enumerate(book.lines, 1):
            event = parser.parse(line.encode(), "log", number)
            if event is not None:
                made.add(event)
    return made, parser


def built(*books: Book, session: str | None = None, trace: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return the page on some books."""
    made, parser = survey(*books)
    found = made.findings(parser, NOW + 500, session=session, trace=trace)
    return page.build(found, sources=["audit.jsonl"], made_at=NOW + 600)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave charts empty: drawing takes seconds, and most tests are about words."""
    monkeypatch.setattr("vl_convert.vegalite_to_svg", lambda _: '<svg xmlns="http://www.w3.org/2000/svg"/>')


@cache
def plain() -> str:
    """Return the page on a rotation, with its charts."""
    return built(rotation())


def rotation() -> Book:
    """Return a book with a rotation, sessions on the old key, refusals by a client."""
    book = Book()
    book(loaded(), created("STAYS", OLD), created("MOVES", OLD), used(OLD, opened=2, sealed=2, last_sealed=NOW))

    def of_key(kind: type[Any], kid: str, state: str, name: str) -> Event:
        made: Event = kind(kid=kid, label=name, state=state, digest=digest("d2"), generation=2)
        return made

    book.clock.advance(100)
    book(
        reloaded(),
        of_key(events.KeyRetired, OLD, "retired", "first"),
        of_key(events.KeyActivated, NEW, "active", "second"),
        rekeyed("MOVES"),
    )
    for _ in range(20):
        book(rejection())
    book.clock.advance(100)
    book(created("LATE", NEW))
    return book


def rejection(reason: str = "bad_tag", client: str = "MALLORY") -> Event:
    """Return the event of a cookie that was not accepted."""
    return events.SessionRejected(reason=reason, cookie_ref=ref("C"), size=9, chunks=1, client_ref=ref(client))


def spoilt(book: Book) -> Book:
    """Put hostile words where a log has free ones: whoever can write to it can write anything."""
    for number, line in enumerate(book.lines):
        fields = json.loads(line)
        hostile = {name: HOSTILE for name in ("label", "reason", "client_ref") if fields.get(name)}
        book.lines[number] = json.dumps({**fields, **hostile})
    return book


def test_the_page_loads_and_runs_nothing() -> None:
    """It has no script, no address of anything else, and forbids itself both, whatever gets in."""
    elements = Elements(plain())
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & {tag for tag, _ in elements.found}
    policies = [
        meta["content"] for meta in elements.named("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    for tag, attributes in elements.found:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in {"href", "src", "xlink:href"}:
                assert tag == "a"
                assert value is not None
                assert value.startswith("#")


def test_the_page_answers() -> None:
    """Each question has its words on the page, and each chart its two pictures."""
    text = plain()
    said = " ".join(" ".join(Elements(text).text).split())
    for words in (
        "first 0a0a0a0a retired",
        "1 session of this log may still hang on it.",
        "Sessions on first (0a0a0a0a): 1",
        ref("STAYS"),
        "Refused cookies 20",
        "Most of all bad_tag: 20.",
        "bad_tag altered or forged",
        f"All 1 live workers have ring {digest('d2')}.",
        "Key changes 1 second (0b0b0b0b) seals now.",
    ):
        assert words in said
    for title in (
        "Key lives",
        "Share of traffic by key",
        "Sessions over time",
        "By reason",
        "By client",
        "Rings in force",
    ):
        assert f"<h3>{title}</h3>" in text
    assert text.count('<div class="wide">') == text.count('<div class="narrow">') == 7


def test_hostile_strings_are_shown_as_text() -> None:
    """Labels, reasons and references come from a log; none of them becomes an element, in the text or in a chart."""
    book = spoilt(rotation())
    line = {"timestamp": NOW, "event": "session.destroyed", "session_ref": HOSTILE, "kid": HOSTILE, "reason": HOSTILE}
    text = built(book, session=HOSTILE, trace=[line])
    elements = Elements(text)
    assert not {"script", "img"} & {tag for tag, _ in elements.found}
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    assert "alert(" in "".join(elements.text)
    assert "{{7*7}}" in "".join(elements.text)
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_pictures_are_told_apart_and_told() -> None:
    """No two elements share an id, every picture says what it is, and every reference in one leads to it."""
    elements = Elements(plain())
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = [svg for svg in elements.named("svg") if svg.get("role") == "img"]
    assert len(pictures) == 14
    assert all(svg.get("aria-label") for svg in pictures)
    used_ids = {
        match
        for _, found in elements.found
        for value in found.values()
        for match in re.findall(r"url\(#(.*?)\)", value or "")
    }
    assert used_ids <= set(ids)


def test_colours_are_those_of_the_page() -> None:
    """Dark, light and print are a matter of the style sheet: no picture brings a colour that it does not name."""
    text = plain()
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    defined = set(re.findall(r"(--\w+):", style[1]))
    assert set(re.findall(r"var\((--\w+)\)", text)) <= defined
    pictures = "".join(re.findall(r'<svg role="img".*?</svg>|<svg [^>]*role="img".*?</svg>', text, re.DOTALL))
    painted = set(re.findall(r'(?:fill|stroke)="(.*?)"', pictures))
    assert all(colour.startswith("var(") or colour in {"none", "transparent"} for colour in painted)
    assert "prefers-color-scheme: dark" in style[1]
    assert "@media print" in style[1]


def test_an_empty_log_has_a_page_as_well() -> None:
    """It says that there is nothing."""
    text = built()
    assert "No session event was found." in text
    assert 'role="img"' not in text


def test_a_quiet_log_has_no_chart_of_what_did_not_happen() -> None:
    """Neither refusals nor rotations: their charts are left out, the words remain."""
    book = Book()
    book(events.ActorStarted())
    text = built(book)
    assert "No cookie was refused." in text
    assert "<figure>" not in text
    assert "The log tells of no key." in text


@pytest.mark.usefixtures("undrawn")
def test_workers_that_disagree_are_named() -> None:
    """In the card, and in the table."""
    lagging, book = Book(), rotation()
    lagging(loaded())
    text = built(book, lagging)
    assert f"1 of 2 live workers: {lagging.instance}." in text
    assert '<div class="card bad">' in text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("tell", "words"),
    [
        (lambda book: book(events.ActorStopped(handled=1, unanswered=0)), "No worker was live when the log ended"),
        (lambda book: book.lines.append("{broken sessionkit"), "lines could not be read"),
        (
            lambda book: book(events.AuditOverflow(count=7, first_seen=timestamp(NOW), last_seen=timestamp(NOW))),
            "7 more events",
        ),
        (lambda book: book(*(rekeyed(f"S{number}", NEW, OLD) for number in range(30))), "the 20 that last longest"),
    ],
)
def test_what_is_out_of_the_ordinary_is_said(tell: Any, words: str) -> None:
    """Stopped workers, broken lines, overflow, long lists."""
    book = rotation()
    book.clock.advance(1)
    tell(book)
    assert words in built(book)


@pytest.mark.usefixtures("undrawn")
def test_what_may_be_pruned_is_said_first() -> None:
    """A key whose time has come is named in its card."""
    made, parser = survey(rotation())
    text = page.build(made.findings(parser, NOW + 90_000), sources=["-"], made_at=NOW)
    assert re.search(r"Safe to prune</h2><p class=\"answer\">1 of 1 keys</p><p>first \(0a0a0a0a\).</p>", text)


@pytest.mark.usefixtures("undrawn")
def test_a_session_of_which_nothing_is_told() -> None:
    """It was asked about, so it is spoken of."""
    assert "The log does not tell of it." in built(rotation(), session="UNKNOWN")


@pytest.mark.usefixtures("undrawn")
def test_more_keys_than_colours() -> None:
    """The newest are told apart, the older ones share a grey; keys of one label go by their ids, too."""
    book = Book()
    for number in range(12):
        book(loaded(f"d{number}", number, f"{number:08x}"), created(f"S{number}", f"{number:08x}"))
        book(
            events.KeyActivated(
                kid=f"{number:08x}", label="same", state="active", digest=digest(f"d{number}"), generation=number
            )
        )
        book.clock.advance(10)
    text = built(book)
    assert "same (0000000b)" in text
    assert 'fill="var(--rest)"' in text


def test_foreign_elements_and_attributes_are_taken_out_of_pictures() -> None:
    """Should the drawing library ever pass one on."""
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9">'
        '<a xlink:href="javascript:x"><path d="M0"/></a><script>x</script><foreignObject/>'
        '<g id="one" onclick="x" style="x" class="y" clip-path="url(#two)"><path role="graphics-symbol" '
        'aria-label="told" xlink:href="x" d="M1"/></g></svg>'
    )
    root = ET.fromstring(charts._tamed(svg, charts.LAYOUTS[0], "A chart"))  # noqa: S314 - made here
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert names == ["svg", "g", "path", "title"]
    group = root[0]
    assert set(group.attrib) == {"id", "clip-path"}
    assert group.attrib["clip-path"].removeprefix("url(#").endswith("-two)")
    assert group[0].attrib == {"d": "M1"}
    assert group[0][0].text == "told"


@pytest.mark.parametrize("seconds", [30.0, 7_200.0, 2_000_000.0])
def test_time_axes_of_any_length(seconds: float) -> None:
    """Seconds, hours and days have labels that tell them apart; nothing is drawn outside of the axis."""
    period = (NOW, NOW + seconds)
    marks = [Mark(NOW + seconds / 2, "half"), Mark(NOW + seconds / 2 + 0.01, "near"), Mark(NOW - 9, "before")]
    wide, narrow = charts.lanes([Span("a", NOW, NOW + 1, "var(--s0)", "told")], period, said="Lanes", marks=marks)
    assert (wide.layout, narrow.layout) == ("wide", "narrow")
    texts = [element.text for element in ET.fromstring(wide.svg).iter() if element.tag.endswith("text")]  # noqa: S314 - made here
    assert "half" in texts
    assert "near" not in texts
    assert "before" not in texts
    label = {30.0: r"08:00:\d\d", 7_200.0: r"0[89]:\d\d", 2_000_000.0: r"Jan \d+"}[seconds]
    assert any(re.fullmatch(label, text or "") for text in texts)


def test_bars_tell_their_sums() -> None:
    """Parts add up, and each has its own title."""
    wide, _ = charts.bars([Row("one", [("var(--s0)", 1200, "part one"), ("var(--s1)", 34, "part two")])], said="Bars")
    texts = [element.text for element in ET.fromstring(wide.svg).iter() if element.text]  # noqa: S314 - made here
    assert "1,234" in texts
    assert {"part one", "part two"} <= set(texts)


def test_times_in_the_page_are_those_of_the_log() -> None:
    """In UTC, in elements that programs can read."""
    times = [time["datetime"] for time in Elements(plain()).named("time")]
    assert times[0] == timestamp(NOW)[:19].replace("T", " ") + "Z"
