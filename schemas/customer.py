"""The customer's record: who documents are made out to, and what new subscriptions take from it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.faults import Strict
from schemas.tax import Exemption

Text = Annotated[str, Field(max_length=300)]


class Customer(Strict):
    """What is known of a customer beside its id. A document freezes it as of its tick; empty is unknown."""

    name: Text = ""
    address: tuple[Text, ...] = ()
    """Lines as on an envelope, the country last."""
    country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    """ISO 3166-1 alpha-2."""
    tax_ids: tuple[Text, ...] = ()
    email: Text = ""
    order_reference: Text = ""
    currency: Annotated[str, Field(pattern=r"^([A-Z0-9_]{2,20})?$")] = ""
    """Of new subscriptions, if they name none."""
    time_zone: Text = ""
    """Of new subscriptions, if they name none."""
    language: Annotated[str, Field(pattern=r"^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*)?$")] = ""
    """BCP 47, of documents."""
    exemption: Exemption | None = None
    """Why no tax is charged, if none is."""
