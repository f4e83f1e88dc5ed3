"""Catalogue files on disk: found, read and checked. Needs no service."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.catalogue.loading import Fault, Loaded, load_catalogue
from schemas.catalogue_entry import AlertEntry, AnyEntry, CouponEntry, IssuerEntry, MeterEntry, PlanEntry


def example_folder() -> Path:
    """The example catalogue that ships with the project."""
    import deploy

    return Path(next(iter(deploy.__path__))) / "catalogue"


def read_files(paths: Sequence[Path]) -> Loaded:
    """Loads catalogue files as one catalogue; folders stand for their *.toml, which must be some.

    Raises FileNotFoundError for a path that is not there.
    """
    texts: dict[str, str] = {}
    faults: list[Fault] = []
    for file in _files(paths, faults):
        try:
            texts[_shown(file)] = file.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            faults.append(Fault(_shown(file), "", f"must be UTF-8 text; byte {error.start} is not"))
    loaded = load_catalogue(texts)
    # A file that could not be read may define what others name: their faults would be guesses.
    return Loaded(faults=tuple(faults)) if faults else loaded


def entries_of(loaded: Loaded) -> tuple[AnyEntry, ...]:
    """The records of what files define: meters, plans with the meter versions that they price, issuer, coupons."""
    meters = tuple(MeterEntry.of(meter) for meter in loaded.meters)
    versions = {entry.name: entry.version for entry in meters}
    plans = (PlanEntry.of(plan, versions, loaded.tax_rates) for plan in loaded.plans)
    coupons = (CouponEntry.of(coupon) for coupon in loaded.coupons)
    alerts = (AlertEntry.of(rule) for rule in loaded.alerts)
    return (*meters, *plans, *(IssuerEntry.of(issuer) for issuer in loaded.issuers), *coupons, *alerts)


def _files(paths: Sequence[Path], faults: list[Fault]) -> Iterator[Path]:
    for path in dict.fromkeys(paths):
        if path.is_file():
            yield path
            continue
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: no such file or folder")
        found = sorted(path.glob("*.toml"))
        yield from found
        if not found:
            faults.append(Fault(_shown(path), "", "must hold catalogue files (*.toml); there is none"))


def _shown(path: Path) -> str:
    """A path as people name it: below the current folder without the way there."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
