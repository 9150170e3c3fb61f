"""Moving in: sessions of other libraries, opened with their old secrets and written on as ours."""

from __future__ import annotations

from sessionkit.migrate.settings import Migration as Migration
from sessionkit.migrate.settings import OldSecret as OldSecret

__all__ = ["Migration", "OldSecret"]
