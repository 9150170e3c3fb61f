"""Fits for other people's libraries: a module a library, named after it; each is imported by who wants it alone."""
