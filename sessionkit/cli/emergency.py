"""``sessionkit keyring revoke`` and ``not-before``: what ends sessions on purpose, in one publish each."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sessionkit.cli.keyring import (
    Label,
    Ring,
    SecretCommand,
    SecretInline,
    _editing,
    _facts,
    _label,
    _new_key,
    _shown,
)
from sessionkit.cli.output import AsJson, now, say, when
from sessionkit.keyring import emergency, rotation
from sessionkit.keyring.editor import NewKey
from sessionkit.keyring.key import KeyState

if TYPE_CHECKING:
    from pathlib import Path

    from sessionkit.keyring.editor import Editor
    from sessionkit.keyring.key import Key
    from sessionkit.keyring.keyring import Keyring

__all__ = ["not_before", "revoke", "rollback"]

_TWICE = "; with --compromised-file a second one is for the key that stands by."


def revoke(
    path: Ring,
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="Label or id of the key.")] = None,
    compromised_file: Annotated[
        bool,
        typer.Option("--compromised-file", help="Revoke every key, and put fresh ones in their places: ends all."),
    ] = False,
    label: Label = None,
    secret_env: Annotated[
        list[str] | None, typer.Option(help="Take the new secret from this environment variable" + _TWICE)
    ] = None,
    secret_file: Annotated[
        list[str] | None, typer.Option(help="Take the new secret from this file, relative to the keyring" + _TWICE)
    ] = None,
    secret_command: SecretCommand = None,
    secret_inline: SecretInline = False,
    as_json: AsJson = False,
) -> None:
    """Refuse a key from now on; if it is the active one, the staged key takes over in the same publish."""
    if (key is None) != compromised_file:
        raise typer.BadParameter("give the label or id of one key, or --compromised-file for all of them.")
    sources = _sources(secret_env, secret_file, secret_command)
    if len(sources) > 1 + compromised_file:
        raise typer.BadParameter("that is more secrets than keys to make.")
    moment = now()
    with _editing(path, as_json=as_json) as editor:
        made = (
            _made_for_all(editor, path, label, moment, sources, inline=secret_inline)
            if key is None
            else _made_for_one(editor, path, label, moment, sources, inline=secret_inline, key=key)
        )
        fresh = [one.key for one in made]
        if key is None:
            ring = emergency.compromise(editor.ring, moment, *fresh)
        else:
            ring = rotation.revoke(editor.ring, key, moment, successor=fresh[0] if fresh else None)
        gone = _revoked_now(editor.ring, ring)
        editor.publish(ring, {one.key.kid: NewKey(rotation.select(ring, one.key.kid), one.secret) for one in made})
    seals = ring.active(moment)
    told = f"{_named(gone)} revoked; key {seals.kid} seals."
    if not ring.counts()[KeyState.STAGED]:
        told += " No key stands by: stage one."
    restart = any("env" in one.secret for one in made)
    if restart:
        told += " Processes that run do not have the new variable, and keep the old ring: restart them."
    facts = _facts(ring, moment, revoked=gone[0].kid if key is not None else [one.kid for one in gone], restart=restart)
    say(told, facts, as_json=as_json)


def not_before(
    path: Ring,
    time: Annotated[
        str, typer.Argument(metavar="TIME", help="A time with its zone, such as 2026-11-25T14:00:00Z, or 'now'.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Let sessions in again that are refused now.")] = False,
    as_json: AsJson = False,
) -> None:
    """Refuse every session that began before a time: everybody logs in again, and the keys stay."""
    moment = now()
    at = moment + 1 if time == "now" else _moment(time)  # the second that has begun is over, too
    with _editing(path, as_json=as_json) as editor:
        ring = emergency.end_before(editor.ring, at, moment, force=force)
        editor.publish(ring)
    say(f"sessions begun before {when(at)} are refused from now on.", _facts(ring, moment), as_json=as_json)


def rollback(
    path: Ring,
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", help="The retired key to go back to; the last one by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Go back to the key that sealed before; the one that seals now stands by, and opens what it sealed."""
    moment = now()
    with _editing(path, as_json=as_json) as editor:
        before = editor.ring.active(moment)
        ring = rotation.rollback(editor.ring, moment, key)
        editor.publish(ring)
    seals = ring.active(moment)
    say(
        f"key {seals.kid} ({_shown(seals)}) seals again; key {before.kid} ({_shown(before)}) stands by.",
        _facts(ring, moment, active=seals.kid),
        as_json=as_json,
    )


def _moment(text: str) -> float:
    """Return a time in whole Unix seconds; of a fraction nothing is let in."""
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("it is no time such as 2026-11-25T14:00:00Z.") from None
    if given.tzinfo is None:
        raise typer.BadParameter("it has no zone. Put a Z behind it if it is UTC.")
    if given.timestamp() < 0:
        raise typer.BadParameter("it is before 1970.")
    return float(math.ceil(given.timestamp()))


def _sources(env: list[str] | None, file: list[str] | None, command: list[str] | None) -> list[dict[str, Any]]:
    """Return where the options say that new secrets come from, one after the other."""
    told: list[dict[str, Any]] = [{"env": name} for name in env or ()]
    told += [{"file": name} for name in file or ()]
    return [*told, {"command": command}] if command else told


def _made_for_one(
    editor: Editor,
    path: Path,
    label: str | None,
    moment: float,
    sources: list[dict[str, Any]],
    *,
    inline: bool,
    key: str,
) -> list[NewKey]:
    """Make what is to be staged in the place of one revoked key, if anything is."""
    settled = rotation.settle(editor.ring, moment)
    target = rotation.select(settled, key)
    if target.state not in {KeyState.ACTIVE, KeyState.STAGED}:
        return []
    # An emergency does not wait for a successor, unless there is nothing that could take over.
    alone = target.state is KeyState.ACTIVE and not settled.counts()[KeyState.STAGED]
    if not (sources or inline or editor.inline or alone):
        return []
    return [_new_key(editor, path, label, moment, sources[0] if sources else {}, inline=inline)]


def _made_for_all(
    editor: Editor, path: Path, label: str | None, moment: float, sources: list[dict[str, Any]], *, inline: bool
) -> list[NewKey]:
    """Make a key to seal and, where its secret can be had, one to stand by."""
    first = _new_key(editor, path, label, moment, sources[0] if sources else {}, inline=inline)
    if not (sources[1:] or inline or editor.inline):
        return [first]
    another = _label(emergency.compromise(editor.ring, moment, first.key), None, moment)
    return [first, _new_key(editor, path, another, moment, sources[1] if sources[1:] else {}, inline=inline)]


def _revoked_now(before: Keyring, after: Keyring) -> list[Key]:
    revoked = {key.id for key in after.keys if key.state is KeyState.REVOKED}
    return [key for key in before.keys if key.id in revoked and key.state is not KeyState.REVOKED]


def _named(keys: list[Key]) -> str:
    if len(keys) == 1:
        return f"key {keys[0].kid} is"
    return f"keys {', '.join(key.kid for key in keys)} are"
