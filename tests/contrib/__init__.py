"""Fits for other people's libraries, beside what the common suite in tests/apps shows of them."""
