"""Who stands on a document: the seller and the buyer, frozen when it becomes final."""

from __future__ import annotations

from schemas.customer import Customer
from schemas.faults import Strict
from schemas.issuer import Bank, Issuer


class Party(Strict):
    """A seller or buyer as the law wants it on a document."""

    name: str
    address: tuple[str, ...] = ()
    country: str = ""
    tax_ids: tuple[str, ...] = ()
    registration: str = ""
    email: str = ""
    bank: Bank | None = None


def buyer_of(record: Customer, customer: str) -> Party:
    """What documents say about a customer: by its id, while no name is known."""
    return Party(
        name=record.name or customer,
        address=record.address,
        country=record.country,
        tax_ids=record.tax_ids,
        email=record.email,
    )


def seller_of(issuer: Issuer) -> Party:
    """What documents say about the issuer."""
    return Party(
        name=issuer.name,
        address=issuer.address,
        country=issuer.country,
        tax_ids=issuer.tax_ids,
        registration=issuer.registration,
        email=issuer.email,
        bank=issuer.bank,
    )
