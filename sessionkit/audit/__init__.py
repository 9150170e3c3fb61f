"""Audit: what happened to a session or a key, as typed values first and as log lines second."""
