"""What a list of revocations is asked, and what it answers.

Rules of this file:

* A list holds marks and times, nothing else: a mark is a keyed hash of a session's id or of a subject, made before it
  gets here. Whoever reads the list learns neither.
* Everything one request asks is one question, so that it can be one round trip.
* A list raises what it likes when it cannot answer. What that means is the configuration's to say (``policy``), and is
  decided in one place (``guard``).
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sessionkit.exceptions import SessionKitError

__all__ = ["RevocationList", "RevocationUnavailable", "Standing"]


class RevocationUnavailable(SessionKitError):  # noqa: N818 - says what happened, as the actor's errors do
    """The list of revocations did not answer, and the policy is ``closed``; or a subject could not be revoked.

    Attributes:
        error_type: class name of what it raised; its text may hold an address.
    """

    def __init__(self, error_type: str) -> None:
        self.error_type = error_type
        super().__init__(f"the list of revocations does not answer ({error_type}). Try again shortly.")


class Standing(NamedTuple):
    """What a list knows of a session and of its subject.

    Attributes:
        terminated: the session was ended, or replaced under another id.
        not_before: Unix seconds; sessions of the subject that began earlier are revoked. 0 if there is no such time.
    """

    terminated: bool = False
    not_before: float = 0.0


class RevocationList(Protocol):
    """Keeps what has ended until no cookie can outlive it.

    One list serves all requests of a process at once. ``sessionkit.revocation`` brings one in memory and one in Redis.
    """

    async def start(self) -> None:
        """Get ready to be asked on the loop that runs now; called when a lifespan begins.

        Raises:
            ConfigurationError: if it cannot work here at all. Being out of reach is no such reason.
        """

    async def look(
        self, session: bytes | None, subject: bytes | None, *, terminate_for: float | None = None
    ) -> Standing:
        """Tell how a session and its subject stand; in the same step, end the session.

        Args:
            session: mark of the session, if it has one yet.
            subject: mark of whose it is, if it is anybody's.
            terminate_for: seconds for which to remember that ``session`` has ended, from now on. The answer tells how
                it stood before, so of two who end it at once only one finds it alive.

        Raises:
            Exception: anything, if there is no answer.
        """

    async def revoke(self, subject: bytes, not_before: float, *, keep_for: float) -> None:
        """Revoke the sessions of a subject that began before a time; never moves an earlier call's time back.

        Args:
            subject: its mark.
            not_before: Unix seconds.
            keep_for: seconds for which to remember it.

        Raises:
            Exception: anything, if it was not taken down.
        """

    async def aclose(self) -> None:
        """Let go of what the loop that runs now holds; called when a lifespan ends. It may be asked again later."""
