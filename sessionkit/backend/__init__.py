"""The backend: a generic actor, and the behaviour that seals and opens sessions."""
