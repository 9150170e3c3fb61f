"""Sessions in a real browser: Debian's chromium, driven over its own protocol, against real servers on loopback."""
