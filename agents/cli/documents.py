"""`tally invoice ACTION DOCUMENT`: what a person decides about a document, as a command that the books decide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.settings import Settings
    from schemas.document_log import ActionKind

ACTIONS: Mapping[str, ActionKind] = {
    "release": "release", "reject": "reject", "void": "void", "reissue": "reissue", "uncollectible": "uncollectible",
}  # fmt: skip
SAID: Mapping[str, str] = {
    "release": "{name} becomes final",
    "reject": "{name} never becomes final; what is owed for its periods is rated anew by the customer's next run",
    "void": "{name} is void, and a credit note books it",
    "reissue": "{name} is void, and an invoice with a new number stands in its place",
    "uncollectible": "{name} is not expected to be paid any more",
}


async def act(
    settings: Settings,
    action: str,
    name: str,
    *,
    actor: str,
    reason: str,
    request_id: str,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Hands in what is to become of a document, and tells the outcome. Raises NotFound, Refused, TimedOut."""
    from agents.cli.failures import Refused
    from agents.cli.handing_in import drawn, hand_in
    from agents.cli.invoices import the_document
    from agents.cli.options import login_name
    from agents.cli.screen import Screen
    from agents.logs import Logs
    from agents.store.connection import Connection
    from agents.store.looks import LookStore
    from schemas.command import ActOnDocument

    if not reason.strip():
        raise Refused(f"--reason: must say why: it is kept with the record of every {action}")
    connection = Connection(settings)
    document = the_document(LookStore(connection), name)
    connection.close()
    command = ActOnDocument(
        request_id=request_id or drawn(),
        actor=actor or login_name(),
        reason=reason,
        customer=document["customer"],
        action=ACTIONS[action],
        document_id=str(document["document_id"]),
    )
    said = SAID[action].format(name=document["number"] or f"draft {str(document['document_id'])[:8]}")
    async with Logs(settings) as logs:
        await hand_in(logs, Screen(json_only=as_json), command, said, timeout=timeout)
