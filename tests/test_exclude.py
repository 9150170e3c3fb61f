"""Which paths are left alone."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionkit.exclude import compile_exclude, route_path

SEGMENTS = st.lists(st.text(st.sampled_from("ab.é\n "), min_size=1, max_size=3), max_size=4)


@pytest.mark.parametrize(
    ("pattern", "inside", "outside"),
    [
        (
            "/health",
            ["/health", "/health/", "/health/live", "/health/live/x"],
            ["/", "/healthy", "/un/health", "/Health"],
        ),
        ("/static/", ["/static/", "/static/a.css", "/static/a/b.css"], ["/static", "/statics/a", "/x/static/"]),
        ("/", ["/"], ["/a", "//", "//a", ""]),
        ("/a/?", ["/a", "/a/", "/a/b"], ["/ab"]),
        (r"/v\d+/docs", ["/v1/docs", "/v22/docs/x"], ["/v/docs", "/v1/docsx"]),
        (r"/.*\.css", ["/a.css", "/a/b.css"], ["/a.cssx", "/a.scss2"]),
        ("/a|/ab", ["/a", "/ab", "/ab/c", "/a/b"], ["/abc", "/b"]),
        ("^/a$", ["/a"], ["/ab", "/a/b", "/a\n"]),
        (".*", ["/", "/a", "/a/b\nc", ""], []),
        ("", [""], ["/", "/a"]),
    ],
)
def test_a_pattern_ends_where_a_segment_ends(pattern: str, inside: list[str], outside: list[str]) -> None:
    """Case 139: a pattern means a path and all below it, from the start of the path, and no part of a segment."""
    excluded = compile_exclude(pattern)
    assert [path for path in inside + outside if excluded({"path": path})] == inside


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/über uns", True),
        ("/über uns/%", True),
        ("/%C3%BCber%20uns", False),
        ("//über uns", False),
        ("/über uns//", True),
        ("/Über uns", False),
        ("/über uns\n", False),
        ("/über uns/\n/x", True),
    ],
)
def test_paths_are_taken_as_the_server_decoded_them(path: str, inside: bool) -> None:
    """Case 141: the decoded path decides; case counts, slashes are not merged, a trailing one is below."""
    assert compile_exclude("/über uns")({"path": path, "raw_path": b"/something/else"}) is inside


@given(SEGMENTS.filter(bool), SEGMENTS)
def test_a_literal_excludes_exactly_its_subtree(excluded: list[str], visited: list[str]) -> None:
    """Case 139: an escaped path is excluded with all paths that begin with its segments, and no other."""
    excludes = compile_exclude(re.escape("/" + "/".join(excluded)))
    assert excludes({"path": "/" + "/".join(visited)}) is (visited[: len(excluded)] == excluded)
    assert excludes({"path": "/" + "/".join(excluded + visited)})


def test_several_patterns() -> None:
    """A list excludes what any of its patterns excludes; an empty one excludes nothing."""
    excluded = compile_exclude(["/health", "/static/"])
    assert [path for path in ("/health", "/static/x", "/x") if excluded({"path": path})] == ["/health", "/static/x"]
    assert not compile_exclude([])({"path": ""})


def test_patterns_do_not_meddle_with_each_other() -> None:
    """Groups keep the numbers and names they have in their own pattern, and flags hold for their own pattern alone."""
    excluded = compile_exclude([r"/(?P<id>\d)/x", r"/(?P<id>[a-z])/\1", "(?i)/Flag", "(?x) /long  # a remark"])
    paths = ["/1/x", "/b/b", "/FLAG/x", "/long/x", "/b/1", "/B/B", "/1/X", "/LONG", "/ long"]
    assert [path for path in paths if excluded({"path": path})] == ["/1/x", "/b/b", "/FLAG/x", "/long/x"]


@pytest.mark.parametrize("pattern", ["/a(", "/a)(?:/b", "*", "(?P<x>"])
def test_what_is_no_regular_expression_is_refused(pattern: str) -> None:
    """Case 142: the error holds the pattern as it was written."""
    with pytest.raises(re.error) as caught:
        compile_exclude(["/fine", pattern])
    assert caught.value.pattern == pattern


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"path": "/app/health", "root_path": "/app"}, "/health"),
        ({"path": "/health", "root_path": "/app"}, "/health"),
        ({"path": "/app/health", "root_path": "/app/"}, "/health"),
        ({"path": "/app", "root_path": "/app"}, "/"),
        ({"path": "/app/", "root_path": "/app"}, "/"),
        ({"path": "/application", "root_path": "/app"}, "/application"),
        ({"path": "/a/b/c", "root_path": "/a/b"}, "/c"),
        ({"path": "/app", "root_path": "/"}, "/app"),
        ({"path": "/app", "root_path": ""}, "/app"),
        ({"path": "/app"}, "/app"),
        ({}, ""),
    ],
)
def test_root_path_is_no_part_of_the_path(scope: dict[str, str], path: str) -> None:
    """Case 104: the same whether the server puts ``root_path`` in front of ``path`` or not, and without either."""
    assert route_path(scope) == path


@given(SEGMENTS, SEGMENTS)
def test_both_kinds_of_server_agree(root: list[str], inner: list[str]) -> None:
    """Case 104: a mounted path is the same from a server that includes ``root_path`` and from one that does not."""
    mounted, path = "".join(f"/{part}" for part in root), "/" + "/".join(inner)
    assert route_path({"root_path": mounted, "path": mounted + path}) == path
    if inner[: len(root)] != root:
        assert route_path({"root_path": mounted, "path": path}) == path
