"""Invoice previews as JSON: a request in, an answer or its faults out. Needs no service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from pipeline.catalogue.fault_texts import faults_of, path_text
from pipeline.documents.invoice_preview import PreviewRefused, preview
from schemas.identity import canonical_json
from schemas.invoice_preview import InvoicePreview, InvoicePreviewed
from schemas.quantity import read_json


def previewed(text: str | bytes) -> InvoicePreviewed:
    """The answer to a request in JSON; its numbers are taken at their literal value.

    Raises PreviewRefused with every fault of the request.
    """
    try:
        raw = read_json(text)
    except ValueError as fault:
        raise PreviewRefused([("", f"is not JSON: {fault}")]) from None
    try:
        request = InvoicePreview.model_validate(raw)
    except ValidationError as error:
        faults = faults_of(error, InvoicePreview, raw)
        raise PreviewRefused([(path_text(steps), problem) for steps, problem in faults]) from None
    return preview(request)


def answers(lines: Iterable[str]) -> Iterator[str]:
    """One JSON answer per line that is not blank: the documents, or `{"faults": [{"path", "problem"}]}`."""
    for line in lines:
        if line.strip():
            yield answer(line)


def answer(text: str) -> str:
    """The answer to one request, as one line."""
    try:
        told: object = previewed(text).model_dump(mode="json")
    except PreviewRefused as refused:
        told = {"faults": [{"path": path, "problem": problem} for path, problem in refused.faults]}
    return canonical_json(told).decode()
