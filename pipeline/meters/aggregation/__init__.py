"""What a meter makes of a set of events: the truth in Python that the SQL of `pipeline.meters.meter_sql` is held to.

A function of the set and of arrival order for ties in time; nothing is approximated. Source: rating.md §9.
"""

from pipeline.meters.aggregation.events import MeteredEvent, read_payload
from pipeline.meters.aggregation.rows import MeterRow, aggregate, row_order

__all__ = ["MeterRow", "MeteredEvent", "aggregate", "read_payload", "row_order"]
