"""What pydantic found wrong, as people write it: the path in the file and a sentence that says what would be right."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

Steps = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)

_SENTENCES = {
    "missing": "is missing",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "contradiction": "{message}",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table of keys",
    "model_attributes_type": "must be a table of keys",
    "mapping_type": "must be a table",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "time_delta_parsing": 'must be a length of time such as "6 h" or "PT6H"',
    "time_delta_type": 'must be a length of time such as "6 h" or "PT6H"',
    "timezone_aware": 'must have a time zone, such as "2027-06-01T00:00:00Z"',
    "datetime_type": 'must be a moment, such as "2027-06-01T00:00:00Z"',
    "datetime_parsing": 'must be a moment, such as "2027-06-01T00:00:00Z"',
    "datetime_from_date_parsing": 'must be a moment, such as "2027-06-01T00:00:00Z"',
    "datetime_object_invalid": 'must be a moment, such as "2027-06-01T00:00:00Z"',
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "unexpected_keyword_argument": "unknown key",
    "union_tag_not_found": "is missing: say which, in `model`",
    "union_tag_invalid": "must be one of {expected_tags}",
}


class Faulty(ValueError):
    """A table that its model refuses: every fault as (path below the table, sentence)."""

    def __init__(self, faults: Iterable[tuple[Steps, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{path_text(steps)}: {text}" for steps, text in self.faults))


def checked(model: type[Model], raw: object) -> Model:
    """The table as its model. Raises Faulty with every fault."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise Faulty(faults_of(error, model, raw)) from None


def faults_of(error: ValidationError, model: type[BaseModel], raw: object) -> list[tuple[Steps, str]]:
    """Every fault as (path below the table, sentence), each path once."""
    faults: dict[Steps, str] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # pydantic does not count the faulty ones, which are told themselves
        steps = _written(detail["loc"], raw)
        if detail["type"] in ("union_tag_not_found", "union_tag_invalid"):
            steps = (*steps, "model")
        faults.setdefault(steps, _sentence(detail, steps, model, raw))
    deeper = {steps[:end] for steps in faults for end in range(1, len(steps))}
    # A union tells one fault per branch; the branch that was meant is the one that was read further.
    return [(steps, text) for steps, text in faults.items() if steps not in deeper or not text.startswith("must be ")]


def path_text(steps: Iterable[str | int]) -> str:
    """`plan.rate_cards[2].price.tiers[1].up_to`."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def nearest(name: str, known: Iterable[str]) -> str:
    """A suggestion to end a sentence with: the known name that is most like this one; empty if none is."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _sentence(detail: Any, steps: Steps, model: type[BaseModel], raw: object) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key{nearest(str(steps[-1]), _fields_at(model, steps[:-1], raw))}"
    sentence = _SENTENCES.get(kind)
    if sentence is None:
        return re.sub(r"^(Value|Assertion) error, ", "", str(detail["msg"]))
    text = sentence.format(**context).replace("False", "false")
    if kind == "contradiction":
        return text
    if kind == "literal_error" and isinstance(detail["input"], str):
        choices = re.findall(r"'([^']*)'", str(context["expected"]))
        return f"{text}, not {detail['input']!r}{nearest(detail['input'], choices)}"
    shown = kind not in ("missing", "too_short") and isinstance(detail["input"], str | int) and detail["input"] != ""
    return f"{text}, not {detail['input']!r}" if shown and "such as" not in text else text


def _written(location: Iterable[str | int], raw: object) -> Steps:
    """The path as the file has it: pydantic puts the tags and types of unions between its steps."""
    steps: list[str | int] = []
    at = raw
    for step in location:
        if isinstance(at, Mapping):
            if step not in at and _is_union_step(step, at):
                continue
            at = at.get(step)
        elif isinstance(at, list | tuple) and isinstance(step, int):
            at = at[step] if step < len(at) else None
        elif at is not None:
            continue  # below a plain value there are only the branches of a union
        steps.append(step)
    return tuple(steps)


def _is_union_step(step: str | int, at: Mapping[str, object]) -> bool:
    return at.get("model") == step or (isinstance(step, str) and (step[:1].isupper() or "[" in step))


def _fields_at(model: type[BaseModel], steps: Steps, raw: object) -> set[str]:
    """The keys that a table at a path may have, by walking the models along the path."""
    models: list[type[BaseModel]] = [model]
    at = raw
    for step in steps:
        at = (
            at.get(step)
            if isinstance(at, Mapping)
            else at[step]
            if isinstance(at, list) and isinstance(step, int)
            else None
        )
        if isinstance(step, str):
            models = [
                below for held in models if step in held.model_fields
                for below in _models_in(held.model_fields[step].annotation)
            ]  # fmt: skip
    tag = at.get("model") if isinstance(at, Mapping) else None
    chosen = [held for held in models if "model" in held.model_fields and held.model_fields["model"].default == tag]
    return {name for held in chosen or models for name in held.model_fields}


def _below(at: object, step: str | int) -> object:
    if isinstance(at, Mapping):
        return at.get(step)
    return at[step] if isinstance(at, list) and isinstance(step, int) else None


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, types.UnionType, tuple, Mapping) or get_args(annotation):
        for argument in get_args(annotation):
            yield from _models_in(argument)
