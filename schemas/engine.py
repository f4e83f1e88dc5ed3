"""The version of the rules that rate and add up: what a document's bytes are a function of, beside the log."""

from __future__ import annotations

ENGINE = "3"
"""What ticks made now ask for. An intended change of any document's bytes raises it, and
`pipeline.closing.engines` keeps the old rule for the ticks that asked for that one."""
