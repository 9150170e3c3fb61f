"""``sessionkit audit ref``: which session in the log a cookie belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sessionkit.audit.pseudonyms import Pseudonyms
from sessionkit.cli.inspect import described
from sessionkit.cli.output import AsJson, failing, now, refuse, say
from sessionkit.config import AuditConfig, SessionConfig
from sessionkit.exceptions import ConfigurationError
from sessionkit.keyring.keyring import Keyring
from sessionkit.wire.codec import Loaded, Rejected

__all__ = ["ref"]


def ref(
    cookie: Annotated[
        str,
        typer.Option(
            "--cookie",
            help="The cookie: its value, or 'name=value; name-1=value' as in a Cookie header; '-' reads stdin, and "
            "keeps it out of the shell's history.",
        ),
    ],
    keyring: Annotated[
        Path | None, typer.Option("--keyring", help="The keyring file; without it, the one that --config names.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="The application's settings: name, context and audit.key.")
    ] = None,
    audit_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Take the audit key from this environment variable (base64).")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The cookie's name; 'session' without --config.")] = None,
    context: Annotated[str | None, typer.Option(help="The audience it is sealed for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the session_ref of a cookie that a user sent in, for `audit trace`; if it is refused, its cookie_ref."""
    with failing(as_json=as_json):
        settings = SessionConfig() if config is None else SessionConfig.load(config)
        path = settings.keyring if keyring is None else keyring
        if path is None:
            raise ConfigurationError("keyring", "is not given", "Name the file by --keyring, or settings by --config.")
        audit = settings.audit if audit_key_env is None else AuditConfig(key={"env": audit_key_env})
        octets = audit.key_octets()
        if octets is None:
            raise ConfigurationError(
                "audit.key",
                "is not known",
                "Give --config with the application's settings, or --audit-key-env. Where no audit.key is set, each "
                "process makes its own, and nobody can tell a reference afterwards.",
            )
        received = described(
            cookie,
            Keyring.load(path),
            settings.key if name is None else name,
            settings.context if context is None else context,
            clock=now,
        )
    refs = Pseudonyms(octets)
    match received:
        case Loaded(record=record) | Rejected(record=record) if record is not None:
            # Also of one that has expired: people write in about those.
            refused = received.reason.value if isinstance(received, Rejected) else None
            reference = refs.session(record.id)
            say(reference, {"session_ref": reference, "refused": refused}, as_json=as_json)
        case Rejected() as rejected:
            reference = refs.cookie(rejected.value)
            refuse(
                f"not accepted: {rejected.reason.value}. Its session.rejected lines have cookie_ref {reference}.",
                as_json=as_json,
                cookie_ref=reference,
            )
        case _:
            refuse("there is no such cookie in it.", as_json=as_json)
