"""The tests of sessionkit; each package mirrors one of the product."""
