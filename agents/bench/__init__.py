"""The benchmark: what an event costs on its way from the broker's bytes to money, beside what others pay for it.

One run measures everything on servers of its own, so that figures may be divided by each other. CPU time per event is
what counts; seconds on the wall are told as ratios, because a machine is never alone.
"""
