"""What is generated: tables of the README, the audit log's catalogue, the JSON Schemas in config/.

``scripts/generate`` writes them; the test suite fails when one is out of date.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import audit_page
from pydantic import BaseModel

import server_survey.table as servers
from bench_sessions import published
from sessionkit import config
from sessionkit.audit import catalogue
from sessionkit.config import SessionConfig
from sessionkit.keyring import file

ROOT = Path(__file__).resolve().parent.parent
APPS = ROOT / "tests" / "apps"

_SECTION = re.compile(r"(<!-- generated: (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def files() -> dict[Path, str]:
    """Return what every generated file should hold."""
    readme = ROOT / "README.md"
    return {
        readme: with_tables(readme.read_text("utf-8")),
        ROOT / "config" / "audit.md": audit_page.page(),
        ROOT / "config" / "audit.schema.json": catalogue.schema(),
        ROOT / "config" / "keyring.schema.json": file.schema(),
        ROOT / "config" / "sessionkit.schema.json": config.schema(),
    }


def with_tables(text: str) -> str:
    """Return a README with its generated sections renewed."""
    tables = {
        "apps": applications,
        "audit": audit_page.summary,
        "bench": published.table,
        "configuration": configuration,
        "servers": server_table,
    }

    def renew(match: re.Match[str]) -> str:
        return f"{match[1]}\n{tables[match['name']]()}\n{match[3]}"

    return _SECTION.sub(renew, text)


_APPLICATIONS = {
    "any ASGI application": ("raw_app.py",),
    "Starlette": ("starlette_app.py",),
    "FastAPI": ("fastapi_app.py",),
    "Litestar": ("litestar_app.py",),
    "Quart": ("quart_app.py",),
    "Django": ("django_settings.py", "django_app.py"),
}
_SHOWN_LINE = re.compile(r"^ *(?:return )?(.*?),?  # shown$", re.MULTILINE)


def applications() -> str:
    """Return the table of complete applications: what sessions take in each of them, as it stands there."""
    rows = ["| | all that it takes | the whole of it |", "|---|---|---|"]
    for name, files in _APPLICATIONS.items():
        lines = [line for file in files for line in _SHOWN_LINE.findall((APPS / file).read_text("utf-8"))]
        links = ", ".join(f"[`{file}`](tests/apps/{file})" for file in files)
        rows.append(f"| {name} | {'<br>'.join(f'`{line}`' for line in lines)} | {links} |")
    return "\n".join(rows) + "\n"


def configuration() -> str:
    """Return the table of settings."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    rows += _settings(SessionConfig, "")
    return "\n".join(rows) + "\n"


def server_table() -> str:
    """Return the table of servers, as it was measured last."""
    return servers.markdown(servers.from_json(servers.MEASURED.read_text("utf-8")))


def _settings(model: type[BaseModel], prefix: str) -> list[str]:
    rows: list[str] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            rows += _settings(inner, f"{prefix}{name}.")
            continue
        default = field.get_default(call_default_factory=True)
        rows.append(f"| `{prefix}{name}` | {_shown(default)} | {field.description} |")
    return rows


def _shown(default: object) -> str:
    if isinstance(default, frozenset):
        return "both" if len(default) == 2 else ", ".join(sorted(default))  # noqa: PLR2004 - http and websocket
    if default is None or default in ("", {}, ()):
        return "–"
    return f"`{json.dumps(default)}`"


def main() -> None:
    """Write every generated file."""
    for path, text in files().items():
        path.write_text(text, "utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
