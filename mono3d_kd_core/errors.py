"""Errors meant for the person who reads them: which input, what is wrong, what to do."""

from __future__ import annotations


class Mono3DError(Exception):
    """Base of all errors caused by the user's input. The command line prints it without a traceback."""


class CalibrationError(Mono3DError):
    """A camera model, an extrinsic or a rig file cannot be used."""


class DataError(Mono3DError):
    """A file, bag or message holds something else than it should."""


class ModelError(Mono3DError):
    """A bundle, checkpoint or recipe cannot be used."""
