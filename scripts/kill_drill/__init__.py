"""The kill drill: SIGKILL for the command line in the middle of every step of its writing, and what is left then."""
