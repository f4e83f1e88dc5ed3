"""Whether a scope covers what somebody sends. Source: schemas/token.py, which says what a prefix means."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.token import ANYTHING, Scope


def covered(name: str, prefixes: Iterable[str]) -> bool:
    """Whether one of the prefixes covers a name: itself, what is below it, or what begins with it before a `*`."""
    return any(_covers(prefix, name) for prefix in prefixes)


def _covers(prefix: str, name: str) -> bool:
    if prefix.endswith("*"):
        return name.startswith(prefix[:-1])
    # Never a bare comparison of beginnings: the scope `acme` would cover its neighbour `acme-2`.
    return name == prefix or name.startswith(prefix if prefix.endswith("/") else prefix + "/")


def is_everything(scope: Scope) -> bool:
    """Whether a scope covers whatever there is."""
    return ANYTHING in scope.subjects and ANYTHING in scope.sources


def may_see(scope: Scope, customer: str) -> bool:
    """Whether what a customer has used and reserved may be seen and changed: by who may send for it by name, or for
    everybody. A scope of subjects says nothing of the customer that they belong to."""
    return customer in scope.customers or ANYTHING in scope.subjects


def refusal(scope: Scope, *, subject: str, source: str, customer: str) -> str:
    """Why an event is not covered; empty if it is. `customer` is whose the subject is at the event's time."""
    if not covered(source, scope.sources):
        return f"source: {source[:100]!r} is outside the scope of this token"
    if not covered(subject, scope.subjects) and customer not in scope.customers:
        return f"subject: {subject[:100]!r} is outside the scope of this token"
    return ""


def correction_refusal(scope: Scope, *, target_source: str) -> str:
    """Why a correction of somebody's event is not covered; empty if it is.

    Whose event an identity names is not known before it is stored. So whoever may not correct everything may correct
    only what stands under a source that was given to him by name.
    """
    named = [prefix for prefix in scope.sources if prefix != ANYTHING]
    if is_everything(scope) or covered(target_source, named):
        return ""
    return f"data.source: corrections under {target_source[:100]!r} are outside the scope of this token"
