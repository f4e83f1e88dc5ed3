"""A sample payment service: a process of its own that knows only topics."""
