"""Faults of configuration, each at the path of its field, several at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

Found = tuple[tuple[str | int, ...], str, Any]
Model = TypeVar("Model", bound=BaseModel)


class Malformed(ValueError):
    """A value that is not what its model says; the message names the first field and says why."""


class Strict(BaseModel):
    """A frozen value that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def contradiction(message: str) -> PydanticCustomError:
    """A fault of a field that is well formed but contradicts another; the message says what would be right."""
    return PydanticCustomError("contradiction", "{message}", {"message": message})


def refuse(title: str, faults: Iterable[Found], also: ValidationError | None = None) -> None:
    """Raises all faults (path below the field being validated, message, input) together; nothing if there are none.

    `also` is what the field's own checks found: contradictions between parts are told beside faults within them.
    """
    errors = [] if also is None else [_again(error) for error in also.errors(include_url=False)]
    errors += [InitErrorDetails(type=contradiction(message), loc=loc, input=value) for loc, message, value in faults]
    if errors:
        raise ValidationError.from_exception_data(title, errors)


def _again(error: ErrorDetails) -> InitErrorDetails:
    kind: str | PydanticCustomError = error["type"]
    context = error.get("ctx", {})
    if kind == "contradiction":
        kind = contradiction(str(context["message"]))
    return InitErrorDetails(type=kind, loc=error["loc"], input=error["input"], ctx=context)


def checked(kind: type[Model], fields: Mapping[str, Any]) -> Model:
    """A value of a model from its fields. Raises Malformed."""
    try:
        return kind.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Malformed(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from None
