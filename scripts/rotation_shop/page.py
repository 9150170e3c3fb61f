"""The shop's one page."""

from __future__ import annotations

from html import escape
from string import Template
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sessionkit import Keyring

__all__ = ["render"]

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>A small shop</title>
<style>
:root { color-scheme: light dark; --ink: #1c2430; --dim: #5d6b7c; --paper: #f5f6f8; --card: #fff; --line: #dfe3e8;
  --mark: #0b6e5f; --on-mark: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --dim: #98a4b3; --paper: #12161c; --card: #1b2129;
  --line: #2e3742; --mark: #4cc9b0; --on-mark: #06201b; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 46rem; margin: auto; display: grid; gap: 1rem; }
h1 { margin: 0; font-size: 1.5rem; } h2 { margin: 0 0 .75rem; font-size: 1rem; } p { margin: 0; color: var(--dim); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.25rem; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); gap: 1rem; margin: 0; }
dt { color: var(--dim); font-size: .85rem; } dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
table { width: 100%; border-collapse: collapse; font-size: .95rem; }
td, th { text-align: left; padding: .35rem .5rem .35rem 0; border-top: 1px solid var(--line); font-weight: 400; }
thead th { border: 0; color: var(--dim); font-size: .85rem; }
tr.mine td:first-child::after { content: " ◂ sealed this session"; color: var(--mark); }
code { font: .95em ui-monospace, monospace; }
ul { margin: 0 0 .75rem; padding-left: 1.25rem; }
form { display: inline-flex; gap: .5rem; margin: .25rem .5rem .25rem 0; }
input, button { font: inherit; color: inherit; padding: .4rem .8rem; border: 1px solid var(--line); border-radius: 8px;
  background: var(--paper); min-width: 0; }
button { cursor: pointer; } button.main { background: var(--mark); border-color: var(--mark); color: var(--on-mark); }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px; }
</style>
<main>
<header><h1>A small shop</h1><p>$greeting All it knows of you travels in your own encrypted cookies.</p></header>
<section>
<h2>Your session, as it came with this request</h2>
<dl>
<div><dt>Sealed by key</dt><dd><code>$kid</code></dd></div>
<div><dt>Size</dt><dd>$size</dd></div>
<div><dt>Cookies</dt><dd>$chunks</dd></div>
<div><dt>Writes</dt><dd>$writes</dd></div>
<div><dt>Served by process</dt><dd>$pid</dd></div>
</dl>
</section>
<section>
<h2>Cart</h2>
$cart
<form method="post" action="/cart"><input name="item" aria-label="Item" placeholder="honey" maxlength="40">
<button class="main">Add</button></form>
<form method="post" action="/cart/remove"><button>Remove the oldest</button></form>
</section>
<section>
<h2>You</h2>
$account
<form method="post" action="/note"><input type="hidden" name="note" value="$note">
<button>Keep a long note (3 cookies)</button></form>
<form method="post" action="/note"><input type="hidden" name="note" value=""><button>Drop the note</button></form>
</section>
<section>
<h2>Keyring, generation $generation</h2>
<table><thead><tr><th>Key</th><th>Label</th><th>State</th></tr></thead><tbody>$keys</tbody></table>
</section>
</main>
</html>
""")

_LOGIN = """<form method="post" action="/login">
<input name="name" aria-label="Name" placeholder="Your name" maxlength="40">
<button class="main">Log in</button></form>"""

_LOGOUT = """<form method="post" action="/logout"><button>Log out</button></form>"""

_NOTE = "All work and no play makes Jack a dull boy. " * 170


def render(state: dict[str, Any], keyring: Keyring) -> str:
    """Return the page.

    Args:
        state: what the session holds, and the facts about its cookie.
        keyring: the worker's ring.
    """
    rows = (
        f"<tr{' class=mine' if key.kid == state['kid'] else ''}><td><code>{key.kid}</code></td>"
        f"<td>{escape(key.label)}</td><td>{key.state}</td></tr>"
        for key in keyring.keys
    )
    items = "".join(f"<li>{escape(item)}</li>" for item in state["cart"])
    user = state["user"]
    return _PAGE.substitute(
        greeting=f"Welcome, {escape(user)}." if user else "Welcome.",
        kid=state["kid"] or "none yet",
        size=f"{state['size']:,} octets",
        chunks=state["chunks"],
        writes=state["writes"],
        pid=state["pid"],
        cart=f"<ul>{items}</ul>" if items else "<p>Nothing in it yet.</p>",
        account=_LOGOUT if user else _LOGIN,
        note=_NOTE,
        generation=keyring.generation,
        keys="".join(rows),
    )
