"""``sessionkit audit``: what audit logs tell."""
