"""Kafka's address and its failures, sorted: a broker that is away may be asked again, a refusal may not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalArgumentError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    KafkaUnavailableError,
    NodeNotReadyError,
    RequestTimedOutError,
    UnsupportedVersionError,
)

from agents.settings import Settings

AWAY = (KafkaConnectionError, KafkaTimeoutError, KafkaUnavailableError, NodeNotReadyError, RequestTimedOutError)
WRONG = (AuthenticationFailedError, IllegalArgumentError, UnsupportedVersionError)


class BrokerUnavailable(Exception):
    """Kafka cannot be reached or did not answer in time: retry within limits, then stop. Nothing was decided."""


class BrokerRefused(Exception):
    """Kafka understood and refused: our request or our rights are wrong. Retrying cannot help."""


def addresses(settings: Settings) -> list[str]:
    """Bootstrap servers, one `host:port` each."""
    return [address.strip() for address in settings.kafka.split(",") if address.strip()]


@contextmanager
def sorted_failures(settings: Settings) -> Iterator[None]:
    """Turns failures of the Kafka client inside the block into `BrokerUnavailable` or `BrokerRefused`."""
    try:
        yield
    except (TimeoutError, *AWAY, ConnectionError) as error:
        raise BrokerUnavailable(f"Kafka at {settings.kafka}: {_said(error)}") from error
    except KafkaError as error:
        if getattr(error, "retriable", False) and not isinstance(error, WRONG):
            raise BrokerUnavailable(f"Kafka at {settings.kafka}: {_said(error)}") from error
        raise BrokerRefused(f"Kafka at {settings.kafka}: {_said(error)}") from error


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
