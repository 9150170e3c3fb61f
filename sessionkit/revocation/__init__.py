"""Real logout: a list of what has ended, kept outside of the cookies, and asked before a session is believed.

Off unless configured: then nothing of it runs. See the README, "Real logout".
"""

from sessionkit.revocation.lists import RevocationList, RevocationUnavailable, Standing
from sessionkit.revocation.settings import RevocationConfig

__all__ = ["RevocationConfig", "RevocationList", "RevocationUnavailable", "Standing"]
