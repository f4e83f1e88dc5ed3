"""The crash run: everything that can die dies, again and again, and afterwards every record is accounted for.

`make crash` runs it in full, a story of `make test` runs it short. It is a test, so it lives with the tests: it starts
servers of its own, counts by code of its own, and nothing of it ships.
"""
