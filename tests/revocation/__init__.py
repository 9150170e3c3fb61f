"""Real logout: lists of revocations, and what they mean for sessions."""
