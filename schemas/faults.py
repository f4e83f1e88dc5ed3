"""Faults of configuration, each at the path of its field, several at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError


class Strict(BaseModel):
    """A frozen value that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def contradiction(message: str) -> PydanticCustomError:
    """A fault of a field that is well formed but contradicts another; the message says what would be right."""
    return PydanticCustomError("contradiction", "{message}", {"message": message})


def refuse(title: str, faults: Iterable[tuple[tuple[str | int, ...], str, Any]]) -> None:
    """Raises all faults (path below the field being validated, message, input) together; nothing if there are none."""
    errors = [InitErrorDetails(type=contradiction(message), loc=loc, input=value) for loc, message, value in faults]
    if errors:
        raise ValidationError.from_exception_data(title, errors)
