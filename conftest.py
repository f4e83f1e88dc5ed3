"""How hard the laws are tried: `default` in every run, `long` with `pytest --hypothesis-profile=long`."""

from hypothesis import settings

settings.register_profile("default", max_examples=200, deadline=None)
settings.register_profile("long", max_examples=10_000, deadline=None)
settings.load_profile("default")
