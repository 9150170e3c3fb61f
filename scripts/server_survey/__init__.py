"""What each ASGI server delivers of a session: every one of them is run on loopback, and asked."""
