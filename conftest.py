"""How hard the laws are tried: `normal` in every run, `long` with `pytest --hypothesis-profile=long`."""

from hypothesis import HealthCheck, settings

settings.register_profile("normal", max_examples=200, deadline=None)
settings.register_profile("long", max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("normal")
