"""Logging somebody out everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sessionkit.backend.backend import SCOPE_KEY
from sessionkit.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

__all__ = ["revoke_subject"]


async def revoke_subject(scope: Mapping[str, Any], subject: str | int | UUID, name: str | None = None) -> None:
    """Revoke all sessions of a subject that began before now, this one among them if it is theirs.

    A session begins when it is made, and at ``regenerate(authenticated=True)``: call that afterwards to keep the one
    that asks.

    Args:
        scope: the ASGI scope of a request that the middleware serves.
        subject: what stands in the entry named by ``revocation.subject_key``; 7 and "7" are the same.
        name: the cookie's name, where there are several sessions; by default the innermost with a list.

    Raises:
        ConfigurationError: if no list of revocations is configured, or no ``subject_key``.
        TypeError: if ``subject`` is none.
        RevocationUnavailable: if the list did not take it down, whatever the policy: nobody was logged out.
    """
    owners: Mapping[str, Any] = getattr(scope.get(SCOPE_KEY), "owners", {})
    asked = list(owners.values()) if name is None else [owners[name]] if name in owners else []
    gate = next((owner.service.gate for owner in reversed(asked) if owner.service.gate is not None), None)
    if gate is None:
        raise ConfigurationError(
            "revocation", "is not configured for this request", "Name a list in the settings: revocation: {redis: …}."
        )
    await gate.revoke_subject(subject)
