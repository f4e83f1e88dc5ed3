"""Prepaid credits: grants, and what an invoice used of them. Source: rating.md §6."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from schemas.faults import Strict, contradiction
from schemas.meter import Name
from schemas.period import Instant, Moment
from schemas.quantity import ZERO, Amount

Treatment = Literal["payment", "discount"]


class CreditGrant(Strict):
    """Prepaid or given credit, usable in `[effective_at, expires_at)`.

    With treatment `payment` it pays the total including tax; with `discount` it is drawn before tax. Grants are burnt
    in order of priority (a lower one first), expiry, free before paid, creation, id.
    """

    id: Name
    amount: Annotated[Amount, Field(ge=0)]
    returned: Annotated[Amount, Field(ge=0)] = ZERO
    """What of it was drawn and has come back: by credit notes, voids and rejected drafts."""
    used: Annotated[Amount, Field(ge=0)] = ZERO
    """What documents so far have drawn."""
    currency: Annotated[str, Field(min_length=1)]
    priority: Annotated[int | None, Field(strict=True)] = None
    created_at: Instant | None = None
    """Order among equals; when it becomes effective, if left out."""
    effective_at: Instant
    expires_at: Instant | None = None
    funding: Literal["free", "paid"] = "paid"
    treatment: Annotated[Treatment | None, Field(validate_default=True)] = None
    """`payment` for paid grants and `discount` for free ones, unless set."""
    applies_to: tuple[Name, ...] = ()
    """Charges by id; empty for all."""

    @field_validator("used")
    @classmethod
    def _within_the_grant(cls, used: Decimal, info: ValidationInfo) -> Decimal:
        amount, returned = info.data.get("amount"), info.data.get("returned", ZERO)
        if amount is not None and used > amount + returned:
            raise contradiction(f"must be at most the amount, {amount + returned}")
        return used

    @field_validator("expires_at")
    @classmethod
    def _expires_later(cls, expires_at: Instant | None, info: ValidationInfo) -> Instant | None:
        effective_at = info.data.get("effective_at")
        if expires_at is not None and effective_at is not None and expires_at <= effective_at:
            raise contradiction(f"must be after effective_at, {effective_at.isoformat()}")
        return expires_at

    @field_validator("treatment")
    @classmethod
    def _by_funding(cls, treatment: Treatment | None, info: ValidationInfo) -> Treatment:
        return treatment or ("discount" if info.data.get("funding") == "free" else "payment")

    @property
    def left(self) -> Decimal:
        """What has not been drawn, and what came back."""
        return self.amount - self.used + self.returned

    def covers(self, charge: str) -> bool:
        """Whether it may pay for a charge."""
        return not self.applies_to or charge in self.applies_to

    def is_usable_at(self, moment: Moment) -> bool:
        """Whether it is valid then."""
        return moment.lies_in(self.effective_at, self.expires_at)


@dataclass(frozen=True, slots=True)
class CreditUse:
    """What a document drew from one grant, and what is left of it."""

    grant: str
    treatment: Treatment
    used: Amount
    left: Amount
