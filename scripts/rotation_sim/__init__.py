"""The simulation: a thousand nodes that load keyrings late, a hundred thousand users, and rotations among them.

Rules of this package:

* What is simulated is the world: time, clocks, files that arrive late, visitors. What is sealed, opened, refused and
  checked, and which key does it, is the package's own code: one ``SessionBackend`` a node, ``rotation`` for every step.
* Everything random comes from generators seeded by name, so that all strategies meet the same world: the same delays,
  the same clocks, the same requests at the same moments. One seed gives one result, to the byte.
"""
