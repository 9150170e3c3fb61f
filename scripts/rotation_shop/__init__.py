"""A small shop, its visitors and its servers: what the demonstration and the drill have in common."""
