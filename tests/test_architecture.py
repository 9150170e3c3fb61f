"""Imports point downwards, the core is synchronous and pure, and each foreign library has its few places.

Everything is read from the source, without importing it: imports inside functions and for type checkers count too.
"""

from __future__ import annotations

import ast
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "sessionkit"

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"exceptions"}),
    frozenset(
        {
            "asgi",
            "audit.events",
            "backend.actor",
            "backend.lifecycle",
            "backend.mailbox",
            "backend.parking",
            "backend.parking_trio",
            "exclude",
            "headers",
            "session",
        }
    ),
    frozenset({"audit.aggregate", "audit.background", "audit.pseudonyms", "lifespan", "yamlfile"}),
    frozenset({"keyring"}),
    frozenset({"migrate.settings", "revocation"}),
    frozenset({"config"}),
    frozenset({"wire"}),
    frozenset({"keyring.admission", "migrate"}),
    frozenset({"backend"}),
    frozenset({"revocation.gate", "revocation.guard", "revocation.memory", "revocation.redis", "revocation.subjects"}),
    frozenset({"audit", "backend.service", "canonical", "keyring.reloader"}),
    frozenset({"exchange", "health", "typed"}),
    frozenset({"middleware"}),
    frozenset({"contrib", "report", "testing"}),
    frozenset({"cli"}),
    frozenset({""}),  # the facade
)
"""From the bottom up. A name stands for its module or package; the longest name that fits decides."""

GENERIC = frozenset(
    {"backend.actor", "backend.lifecycle", "backend.mailbox", "backend.parking", "backend.parking_trio"}
)
"""The actor knows nothing of sessions: these may import one another, the exceptions and anyio."""

FOREIGN: dict[str, frozenset[str]] = {
    "audit.log": frozenset({"structlog"}),
    "audit.reading": frozenset({"pydantic_core"}),
    "backend.actor": frozenset({"anyio"}),
    "backend.mailbox": frozenset({"anyio"}),
    "backend.parking_trio": frozenset({"outcome", "trio"}),
    "backend.service": frozenset({"anyio"}),
    "cli": frozenset({"filelock", "rich", "typer"}),
    "config": frozenset({"pydantic"}),
    "contrib.django": frozenset({"asgiref"}),
    "contrib.fastapi": frozenset({"pydantic"}),
    "contrib.litestar": frozenset({"pydantic"}),
    "keyring.editor": frozenset({"ruamel"}),
    "keyring.file": frozenset({"pydantic"}),
    "keyring.key": frozenset({"cryptography"}),
    "keyring.reloader": frozenset({"anyio", "watchfiles"}),
    "keyring.source": frozenset({"pydantic"}),
    "migrate.aiohttp": frozenset({"cryptography"}),
    "migrate.litestar": frozenset({"cryptography"}),
    "migrate.settings": frozenset({"pydantic"}),
    "report.charts": frozenset({"vl_convert"}),
    "report.page": frozenset({"jinja2", "markupsafe"}),
    "revocation.gate": frozenset({"anyio"}),
    "revocation.guard": frozenset({"anyio"}),
    "revocation.redis": frozenset({"redis"}),
    "revocation.settings": frozenset({"pydantic"}),
    "testing.client": frozenset({"anyio"}),
    "testing.task": frozenset({"anyio"}),
    "typed": frozenset({"pydantic"}),
    "wire.base64_pybase64": frozenset({"pybase64"}),
    "wire.base64_pydantic": frozenset({"pydantic_core"}),
    "wire.json_msgspec": frozenset({"msgspec"}),
    "wire.json_pydantic": frozenset({"pydantic_core"}),
    "wire.serializer": frozenset({"pydantic_core"}),
    "wire.straight": frozenset({"cryptography"}),
    "wire.token": frozenset({"cryptography"}),
    "wire.xaes": frozenset({"cryptography"}),
    "yamlfile": frozenset({"pydantic", "ruamel"}),
}
"""What a module may import from outside the standard library. A package's name stands for all its modules."""

CORE = ("wire", "keyring", "migrate", "backend", "session", "config", "exceptions")
"""Packages and modules that are synchronous and pure."""

SHELL = frozenset(
    {
        "audit.log",
        "backend.actor",
        "backend.mailbox",
        "backend.parking",
        "backend.parking_trio",
        "backend.service",
        "keyring.reloader",
    }
)
"""Modules within the core's packages that are not core."""


class Import(NamedTuple):
    """One import of a module.

    Attributes:
        target: dotted name of what is imported; of a name in a package of ours, that module.
        eager: whether it happens when the importing module is loaded.
        line: where it stands.
    """

    target: str
    eager: bool
    line: int


class _Imports(ast.NodeVisitor):
    """Collects the imports of a module."""

    def __init__(self, modules: frozenset[str]) -> None:
        self.found: list[Import] = []
        self._modules = modules
        self._eager = True

    def visit_Import(self, node: ast.Import) -> None:
        self.found += [Import(alias.name, self._eager, node.lineno) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.module is not None, "relative imports hide where they lead"
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            self.found.append(Import(full if full in self._modules else node.module, self._eager, node.lineno))

    def visit_If(self, node: ast.If) -> None:
        self._later(node, lazy=isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._later(node, lazy=True)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._later(node, lazy=True)

    def _later(self, node: ast.AST, *, lazy: bool) -> None:
        before, self._eager = self._eager, self._eager and not lazy
        self.generic_visit(node)
        self._eager = before


@cache
def files() -> dict[str, Path]:
    """Return the file of every module, by the module's full name."""
    found = {}
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@cache
def source(module: str) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(files()[module].read_text("utf-8"))


@cache
def imports() -> dict[str, list[Import]]:
    """Return the imports of every module, by its full name."""
    graph = {}
    for module in files():
        visitor = _Imports(frozenset(files()))
        visitor.visit(source(module))
        graph[module] = visitor.found
    return graph


def short(module: str) -> str:
    """Return a module's name without the package's."""
    return module.removeprefix(PACKAGE).removeprefix(".")


def fits(module: str, name: str) -> bool:
    """Tell whether a module, named in full, is the one named or lies in it."""
    return short(module) == name or (name != "" and short(module).startswith(name + "."))


def is_ours(target: str) -> bool:
    """Tell whether an imported name is a module of this package."""
    return target.partition(".")[0] == PACKAGE


def layer(module: str) -> int:
    """Return a module's height."""
    heights = {name: height for height, names in enumerate(LAYERS) for name in names if fits(module, name)}
    assert heights, f"{module} has no layer"
    return heights[max(heights, key=len)]


def core() -> list[str]:
    """Return the modules that must be synchronous and pure."""
    return [
        module for module in imports() if any(fits(module, package) for package in CORE) and short(module) not in SHELL
    ]


@pytest.mark.parametrize("module", imports())
def test_imports_point_downwards(module: str) -> None:
    """No module imports from a layer above its own, be it for a type or within a function."""
    wrong = [
        f"{module}:{line} imports {target}"
        for target, _, line in imports()[module]
        if is_ours(target) and layer(target) > layer(module)
    ]
    assert wrong == []


def test_no_module_needs_itself_to_load() -> None:
    """What is imported while loading forms no circle."""
    graph = {module: {target for target, eager, _ in found if eager} for module, found in imports().items()}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", imports())
def test_foreign_libraries_keep_to_their_places(module: str) -> None:
    """A library is imported where the table allows it, and nowhere else."""
    allowed = frozenset().union(*(names for place, names in FOREIGN.items() if fits(module, place)))
    if fits(module, "contrib") and module.count(".") > 1:
        allowed |= {short(module).split(".")[1]}  # one module a framework, named after it
    wrong = [
        f"{module}:{line} imports {target}"
        for target, _, line in imports()[module]
        if not is_ours(target) and target.partition(".")[0] not in sys.stdlib_module_names | allowed
    ]
    assert wrong == []


def test_the_table_of_libraries_is_not_wider_than_the_code() -> None:
    """Every entry is used by somebody: a right that nobody needs is taken back."""
    used = {
        (place, root)
        for module, found in imports().items()
        for target, _, _ in found
        for place in FOREIGN
        if fits(module, place) and (root := target.partition(".")[0])
    }
    idle = [(place, name) for place, names in FOREIGN.items() for name in names if (place, name) not in used]
    assert idle == []


@pytest.mark.parametrize("module", core())
def test_the_core_is_pure(module: str) -> None:
    """Neither anyio nor structlog is loaded by the core or by anything that it loads, and nothing in it waits."""
    seen: set[str] = set()
    ahead = [module]
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        for target, eager, line in imports().get(name, ()):
            assert target.partition(".")[0] not in {"anyio", "asyncio", "structlog", "trio"}, f"{name}:{line}"
            if eager and is_ours(target):
                ahead.append(target)
    assert not [node.lineno for node in ast.walk(source(module)) if isinstance(node, ast.Await)]


@pytest.mark.parametrize("name", sorted(GENERIC))
def test_the_actor_knows_nothing_of_sessions(name: str) -> None:
    """It could be taken out and used for something else."""
    allowed = {f"{PACKAGE}.{mate}" for mate in GENERIC} | {f"{PACKAGE}.exceptions"}
    assert {target for target, _, _ in imports()[f"{PACKAGE}.{name}"] if is_ours(target)} <= allowed


@pytest.mark.parametrize("module", imports())
def test_every_module_says_what_it_offers(module: str) -> None:
    """A module with public classes or functions lists its public names (ruff keeps the list in order)."""
    body = source(module).body
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    public = [node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")]
    listed = [ast.unparse(target) for node in body if isinstance(node, ast.Assign) for target in node.targets]
    assert "__all__" in listed or not public
