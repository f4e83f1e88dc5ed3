"""Log lines: text for people, or one JSON object per line with the position as fields of its own."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from agents.settings import Settings

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
FIELDS = (
    "topic",
    "partition",
    "offset",
    "next_offset",
    "tick",
    "customer",
    "reason",
    "records",
    "seconds",
    "positions",
)
"""What a line may say beside its message: `log.info("…", extra={"topic": …, "partition": …})`."""
NOISY = ("aiokafka", "faust", "mode")


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and those of FIELDS that the line has."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(settings: Settings) -> None:
    """Sends the log of this process to standard error, in the format of the settings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
