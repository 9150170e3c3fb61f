"""Complete small applications, one a framework, and one suite that all of them pass.

Each serves the same pages: ``GET /read`` (the session as JSON), ``POST /write`` (a JSON object, merged into it),
``POST /nested`` (appends to a list inside it), ``POST /login``, ``POST /logout``, ``POST /clear``, ``POST /big?n=``
(n characters), ``GET /health`` (opted out), ``GET /boom`` (writes, then raises), and the websocket ``/ws``, which
counts in the session before it accepts and tells the count.

The README's table shows the lines that end in ``# shown``.
"""
