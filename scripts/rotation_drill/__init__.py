"""The drill: a fleet of two servers through everything that happens to keys, with every session accounted for."""
