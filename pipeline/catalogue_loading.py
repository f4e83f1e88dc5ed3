"""The older name of `pipeline.catalogue_validation`; import from there."""

from pipeline.catalogue_validation import Fault, Loaded, load_catalogue

__all__ = ["Fault", "Loaded", "load_catalogue"]
