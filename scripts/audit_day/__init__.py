"""A day of traffic that never was, written by the real audit log, and a judge who knows what happened in it."""
