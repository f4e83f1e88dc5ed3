"""The example that `tally demo` runs: seeded usage that knows its own truth, and a real trace as events."""
