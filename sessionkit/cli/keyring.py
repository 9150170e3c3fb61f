"""``sessionkit keyring``: the life of a keyring file, one publish a command."""

from __future__ import annotations

import math
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from filelock import FileLock, Timeout
from rich.table import Table
from rich.text import Text

from sessionkit.audit.usage import SILENT_AFTER
from sessionkit.cli import fleet
from sessionkit.cli.logs import AuditLogs, LiveWithin, log_facts, summed
from sessionkit.cli.output import AsJson, console, failing, now, refuse, say, span, when
from sessionkit.cli.timeline import lay_out
from sessionkit.cli.timeline_svg import render
from sessionkit.cli.timeline_text import draw
from sessionkit.exceptions import ConfigurationError, KeyringError, RotationRefused
from sessionkit.keyring import rotation
from sessionkit.keyring.admission import refuse_ahead, self_test
from sessionkit.keyring.editor import Editor, NewKey, create
from sessionkit.keyring.file import DEFAULT_LIFETIME, LONGEST
from sessionkit.keyring.key import Key, KeyState
from sessionkit.keyring.keyring import Keyring, Policy
from sessionkit.keyring.source import SecretSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["app"]

app = typer.Typer(help="Make, rotate and check keyring files.", no_args_is_help=True, add_completion=False)


def _printable(label: str | None) -> str | None:
    if label is not None and not label.isprintable():
        raise typer.BadParameter("it holds characters that cannot be printed.")
    return label


def _finite(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise typer.BadParameter("it is no number of seconds.")
    return seconds


Ring = Annotated[Path, typer.Argument(metavar="PATH", help="The keyring file.")]
Name = Annotated[str, typer.Argument(metavar="KEY", help="Label or id of the key.")]
Label = Annotated[str | None, typer.Option(help="Label of the new key; a date by default.", callback=_printable)]
Force = Annotated[bool, typer.Option("--force", help="Do it although sessions may be lost.")]
SecretEnv = Annotated[str | None, typer.Option(help="Take the new secret from this environment variable.")]
SecretFile = Annotated[str | None, typer.Option(help="Take the new secret from this file, relative to the keyring.")]
SecretCommand = Annotated[
    list[str] | None, typer.Option(help="Take the new secret from a command: give this once for each of its words.")
]
SecretInline = Annotated[
    bool, typer.Option("--secret-inline", help="Make a secret and put it into the file, although the others are not.")
]


@contextmanager
def _editing(path: Path, *, as_json: bool) -> Iterator[Editor]:
    """Hold the file's lock and open it."""
    with failing(as_json=as_json):
        _find(path)
        with _locked(path):
            yield Editor(path)


def _find(path: Path) -> None:
    """Look whether there is a file to change, before anything is made beside it.

    Raises:
        KeyringError: if there is none, or nobody may look.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise KeyringError("file", "does not exist", "Make one: sessionkit keyring init PATH.", path=path) from None
    except OSError as error:
        raise KeyringError(
            "file", f"cannot be read ({error.strerror})", "Check the path and its permissions.", path=path
        ) from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that is there or is to be made."""
    # The name behind a link, so that there is one lock for one file.
    whole = path.resolve()
    if not whole.parent.is_dir():  # the lock's library would make one
        raise KeyringError("file", "has no folder to stand in", "Make the folder first.", path=path)
    lock = FileLock(whole.with_name(f".{whole.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise KeyringError(
            "file", "is being changed by another command", "Wait for it, look at the result, try again.", path=path
        ) from None
    except OSError as error:
        raise KeyringError(
            "file", f"cannot be locked ({error.strerror})", "Check the folder's permissions.", path=path
        ) from None
    try:
        yield
    finally:
        lock.release()


def _label(ring: Keyring | None, wanted: str | None, moment: float) -> str:
    """Return a label that the ring does not have yet: as wanted, or a date."""
    if wanted is not None:
        return wanted
    base = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
    taken = set() if ring is None else {key.label for key in ring.keys}
    number, label = 1, base
    while label in taken:
        number += 1
        label = f"{base}-{number}"
    return label


def _told(env: str | None, file: str | None, command: list[str] | None) -> dict[str, Any]:
    """Return where the options say that a new secret comes from."""
    told: dict[str, Any] = {"env": env, "file": file, "command": command or None}
    return {way: value for way, value in told.items() if value is not None}


def _new_key(
    editor: Editor, path: Path, label: str | None, moment: float, told: dict[str, Any], *, inline: bool
) -> NewKey:
    """Make a staged key: from where an option says, or generated if secrets stand in this file anyway.

    Raises:
        RotationRefused: if it would put the first secret into a file that people may keep where secrets must not be.
    """
    named = _label(editor.ring, label, moment)
    if not told:
        if not (inline or editor.inline):
            raise RotationRefused(
                "the secrets of this ring are kept outside of its file. Say where the new one is by --secret-env, "
                "--secret-file or --secret-command, or let it be put into the file by --secret-inline. "
                "(`promote` can leave it out by --no-successor.)"
            )
        return NewKey.generate(named, KeyState.STAGED, moment)
    try:
        octets = SecretSource(**told).resolve(path.resolve().parent)
    except ConfigurationError as error:
        raise KeyringError(f"secret {error.field}".strip(), error.problem, error.remedy, label=named) from None
    return NewKey(Key.from_secret(octets, label=named, state=KeyState.STAGED, created=moment), told)


def _described(ring: Keyring, moment: float) -> list[dict[str, Any]]:
    """Return the keys as they stand: one that has taken over by its time is active, whatever the file still says."""
    settled = rotation.settle(ring, moment)
    return [
        {
            "label": key.label,
            "kid": key.kid,
            "state": key.state.value,
            "seals": key.state is KeyState.ACTIVE,
            "created": when(key.created),
            "activates": when(key.activates),
            "retired": when(key.retired),
            "revoked": when(key.revoked),
            "prune_after": when(rotation.gone_at(settled, key)),
        }
        for key in settled.keys
    ]


def _facts(ring: Keyring, moment: float, **more: object) -> dict[str, Any]:
    known = {
        "generation": ring.generation,
        "digest": ring.digest,
        "not_before": when(ring.not_before),
        "write_format": ring.write_format,
    }
    return {**known, **more, "keys": _described(ring, moment)}


@app.command()
def init(
    path: Ring,
    propagation: Annotated[
        float,
        typer.Option(min=0, max=LONGEST, help="Seconds until every process has loaded a publish.", callback=_finite),
    ] = 300.0,
    skew: Annotated[
        float, typer.Option(min=0, max=LONGEST, help="Seconds that two clocks may differ by.", callback=_finite)
    ] = 300.0,
    token_lifetime: Annotated[
        float,
        typer.Option(
            min=1,
            max=LONGEST,
            help="Seconds a session may go without being renewed: at least every max_age.",
            callback=_finite,
        ),
    ] = DEFAULT_LIFETIME,
    as_json: AsJson = False,
) -> None:
    """Write a first ring: one active key, one staged key, mode 0600."""
    moment = now()
    first = NewKey.generate(_label(None, None, moment), KeyState.ACTIVE, moment)
    policy = Policy(propagation, skew, token_lifetime)
    with failing(as_json=as_json):
        alone = Keyring([first.key], generation=1, policy=policy)
        second = NewKey.generate(_label(alone, None, moment), KeyState.STAGED, moment)
        ring = Keyring([first.key, second.key], generation=1, policy=policy)
        with _locked(path):
            create(path, ring, {first.key.kid: first, second.key.kid: second})
    say(
        f"{path}: {ring!r}. Key {first.key.kid} seals, {second.key.kid} stands by.",
        _facts(ring, moment),
        as_json=as_json,
    )


@app.command()
def stage(
    path: Ring,
    label: Label = None,
    secret_env: SecretEnv = None,
    secret_file: SecretFile = None,
    secret_command: SecretCommand = None,
    secret_inline: SecretInline = False,
    activates: Annotated[
        datetime | None,
        typer.Option(help="Let it take over by itself at this time (UTC).", formats=["%Y-%m-%dT%H:%M:%SZ"]),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a key that opens at once and seals only when its time has come."""
    moment = now()
    with _editing(path, as_json=as_json) as editor:
        told = _told(secret_env, secret_file, secret_command)
        new = _new_key(editor, path, label, moment, told, inline=secret_inline)
        ring = rotation.stage(editor.ring, new.key)
        if activates is not None:
            ring = rotation.schedule(ring, new.key.kid, _utc(activates), moment)
            scheduled = rotation.select(ring, new.key.kid)
            new = NewKey(scheduled, new.secret)
        editor.publish(ring, {new.key.kid: new})
    say(f"key {new.key.kid} ({_shown(new.key)}) is staged.", _facts(ring, moment, staged=new.key.kid), as_json=as_json)


@app.command()
def promote(
    path: Ring,
    at: Annotated[
        datetime | None,
        typer.Option(help="Take over at this time (UTC) on every node.", formats=["%Y-%m-%dT%H:%M:%SZ"]),
    ] = None,
    label: Label = None,
    secret_env: SecretEnv = None,
    secret_file: SecretFile = None,
    secret_command: SecretCommand = None,
    secret_inline: SecretInline = False,
    no_successor: Annotated[bool, typer.Option("--no-successor", help="Stage no new key in the same publish.")] = False,
    force: Force = False,
    audit: AuditLogs = None,
    live_within: LiveWithin = SILENT_AFTER,
    as_json: AsJson = False,
) -> None:
    """Let the staged key take over, retire the active one, and stage a fresh one: one publish."""
    moment = now()
    usage = summed(audit, as_json=as_json)[0] if audit else None
    with _editing(path, as_json=as_json) as editor:
        before = editor.ring
        if usage is not None and not force:
            fleet.demand_proof(before, usage, moment, live_within)
        new = None
        if not no_successor:
            told = _told(secret_env, secret_file, secret_command)
            new = _new_key(editor, path, label, moment, told, inline=secret_inline)
        ring = rotation.promote(
            before,
            moment,
            successor=None if new is None else new.key,
            at=None if at is None else _utc(at),
            force=force,
        )
        editor.publish(ring, {} if new is None else {new.key.kid: new})
    seals = ring.active(moment if at is None else max(moment, _utc(at)))
    text = f"key {seals.kid} ({_shown(seals)}) seals{'' if at is None else f' from {when(_utc(at))}'}."
    say(text, _facts(ring, moment, active=seals.kid, staged=None if new is None else new.key.kid), as_json=as_json)


@app.command()
def retire(path: Ring, key: Name, as_json: AsJson = False) -> None:
    """Retire a staged key that is not to take over."""
    moment = now()
    with _editing(path, as_json=as_json) as editor:
        ring = rotation.retire(editor.ring, key, moment)
        editor.publish(ring)
    say(f"key {key} is retired.", _facts(ring, moment), as_json=as_json)


@app.command()
def prune(
    path: Ring,
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="Keys to prune; all that may go.")
    ] = None,
    force: Force = False,
    audit: AuditLogs = None,
    live_within: LiveWithin = SILENT_AFTER,
    as_json: AsJson = False,
) -> None:
    """Take out retired keys whose last session has ended, and old revoked ones."""
    moment = now()
    usage = summed(audit, as_json=as_json)[0] if audit else None
    with _editing(path, as_json=as_json) as editor:
        before = editor.ring
        names = list(keys or ())
        if usage is not None and not force:
            fleet.refuse_laggards(before, usage, moment, live_within)
            names = fleet.drained(rotation.settle(before, moment), usage, moment, names)
        ring = rotation.prune(before, moment, names, force=force)
        editor.publish(ring)
    gone = [key.kid for key in before.keys if ring.find(key.id) is None]
    say(f"pruned: {', '.join(gone)}.", _facts(ring, moment, pruned=gone), as_json=as_json)


@app.command()
def check(
    old: Annotated[Path, typer.Argument(help="The keyring file in force.")],
    new: Annotated[Path, typer.Argument(help="The keyring file to publish after it.")],
    as_json: AsJson = False,
) -> None:
    """Say whether publishing NEW after OLD is safe now: a gate for a deployment pipeline."""
    moment = now()
    with failing(as_json=as_json):
        before, after = Keyring.load(old), Keyring.load(new)
        # What every process refuses at loading, whichever ring it has: the publish would come to nothing.
        refuse_ahead(after, moment, new)
        self_test(after)
        found = rotation.check(before, after, moment)
    if found:
        facts = [
            {
                "condition": one.condition,
                "kid": one.kid,
                "label": one.label,
                "reason": one.reason,
                "remedy": one.remedy,
                "allowed_at": when(one.allowed_at),
            }
            for one in found
        ]
        refuse("\n".join(map(_told_of, found)), as_json=as_json, violations=facts)
    say("safe to publish.", {"violations": []}, as_json=as_json)


def _told_of(violation: rotation.Violation) -> str:
    about = "" if violation.kid is None else f" ({violation.kid})"
    allowed = "" if violation.allowed_at is None else f" Allowed from {when(violation.allowed_at)}."
    return f"{violation.condition}{about}: {violation.reason}. {violation.remedy}{allowed}"


@app.command()
def status(
    path: Ring, audit: AuditLogs = None, live_within: LiveWithin = SILENT_AFTER, as_json: AsJson = False
) -> None:
    """Show the keys, their ages, the digest, and what to do next; with logs, also who runs it and what has drained."""
    moment = now()
    with failing(as_json=as_json):
        ring = Keyring.load(path)
    lines: Iterable[str] = ()
    more: dict[str, Any] = {}
    settled = rotation.settle(ring, moment)
    if audit:
        usage, reader = summed(audit, as_json=as_json)
        told = fleet.Told(ring, usage, moment, live_within)
        advice = told.waiting() or _advice(settled, moment, told.prunable)
        lines, more = told.lines(), {**told.facts(), "log": log_facts(reader)}
    else:
        advice = _advice(settled, moment)
    if as_json:
        say("", _facts(ring, moment, next=advice, **more), as_json=True)
        return
    console.print(f"{path}: generation {ring.generation}, digest {ring.digest}", markup=False)
    table = Table("label", "kid", "state", "seals", "for", "prune after", box=None, pad_edge=False)
    for key in settled.keys:
        since = key.revoked or key.retired or key.activates or key.created
        table.add_row(
            Text(_shown(key)),
            key.kid,
            key.state.value,
            "yes" if key.state is KeyState.ACTIVE else "",
            "-" if since is None else span(moment - since),
            when(rotation.gone_at(settled, key)) or "-",
        )
    console.print(table)
    if ring.not_before is not None:
        console.print(f"refused: sessions begun before {when(ring.not_before)}", markup=False)
    if ring.write_format is not None:
        console.print(f"pinned: all processes write version {ring.write_format} of the format", markup=False)
    for line in lines:
        console.print(line, markup=False)
    console.print(f"next: {advice}", markup=False)


@app.command()
def timeline(
    path: Ring,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it into this file instead, for browsers and documents.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw the life of every key, and list what happened to each and what will, in order."""
    moment = now()
    with failing(as_json=as_json):
        ring = Keyring.load(path)
    chart = lay_out(ring, moment)
    if svg is not None:
        _write_svg(svg, render(chart), as_json=as_json)
        say(f"{svg}: drawn.", {"svg": str(svg), "now": when(moment)}, as_json=as_json)
        return
    happenings = sorted(_happenings(rotation.settle(ring, moment)), key=lambda one: one[0])
    if as_json:
        facts = [
            {"time": when(time), "kid": key.kid, "label": key.label, "what": what} for time, key, what in happenings
        ]
        say("", {"timeline": facts, "now": when(moment)}, as_json=True)
        return
    for line in draw(chart, console.width, ascii_only=console.options.ascii_only):
        console.print(line)
    console.print()
    told_now = False
    for time, key, what in happenings:
        if not told_now and time > moment:
            told_now = True
            console.print(f"{when(moment)}  now", markup=False)
        console.print(f"{when(time)}  {key.kid}  {what:<11} {_shown(key)}", markup=False)
    if not told_now:
        console.print(f"{when(moment)}  now", markup=False)


def _write_svg(path: Path, svg: str, *, as_json: bool) -> None:
    """Write a drawing; never over something that is none, as the keyring itself."""
    try:
        if path.exists() and not path.read_bytes().startswith(b"<svg"):
            refuse(f"{path}: is there already and no SVG. Choose another file.", as_json=as_json)
        path.write_text(svg, "utf-8")
    except OSError as error:
        refuse(f"{path}: cannot be written ({error.strerror}). Choose another file.", as_json=as_json)


def _happenings(ring: Keyring) -> Iterator[tuple[float, Key, str]]:
    for key in ring.keys:
        for time, what in (
            (key.created, "created"),
            (key.activates, "activates"),
            (key.retired, "retired"),
            (key.revoked, "revoked"),
            (key.prune_after, "prune after"),
        ):
            if time is not None:
                yield time, key, what


def _advice(ring: Keyring, moment: float, prunable: Mapping[Key, float | None] | None = None) -> str:
    """Say what to do next; ``prunable`` is when each retired key may go, if more than the ring tells of that."""
    staged = [key for key in ring.keys if key.state is KeyState.STAGED]
    retired = prunable
    if retired is None:
        retired = {key: rotation.prunable_at(ring, key) for key in ring.keys if key.state is KeyState.RETIRED}
    over = [key for key, gone in retired.items() if gone is not None and moment >= gone]
    ready = [time for key in staged if (time := rotation.promotable_at(ring, key)) is not None]
    if not staged:
        return "stage a key, so that one stands by: sessionkit keyring stage PATH"
    if over:
        return f"prune {', '.join(map(_shown, over))}: sessionkit keyring prune PATH"
    undated = [key for key, gone in retired.items() if gone is None]
    if undated:
        return f"write down when {', '.join(map(_shown, undated))} retired, so that it can be pruned one day"
    return _advice_on_staged(ring, staged, ready, moment)


def _advice_on_staged(ring: Keyring, staged: list[Key], ready: list[float], moment: float) -> str:
    coming = [key for key in staged if key.activates is not None and key.activates > moment]
    if coming:
        first = min(coming, key=ring.order)
        return f"wait; {_shown(first)} takes over by itself at {when(first.activates)}"
    if not ready:
        return f"write down when {', '.join(map(_shown, staged))} was created, so that it can be promoted"
    if moment < min(ready):
        return f"wait; the staged key may be promoted from {when(min(ready))}"
    return "all is well; promote when the active key is due: sessionkit keyring promote PATH"


def _shown(key: Key) -> str:
    """Return a key's label for a terminal: people may have written anything into the file."""
    return key.label if key.label.isprintable() else repr(key.label)


def _utc(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp()
