"""The demonstration: a small shop under real load while its keys are rotated, with every session accounted for."""
