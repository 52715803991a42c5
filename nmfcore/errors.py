"""The errors that a user may meet: each says where, what, and what to do about it."""


class NmfcoreError(ValueError):
    """Base of every error raised on purpose; its message is meant for a person."""


class InputError(NmfcoreError):
    """The data cannot be factorised as it is."""


class ConfigError(NmfcoreError):
    """The settings are incomplete, unknown or contradict each other."""


class ResultError(NmfcoreError):
    """A result file is damaged, or belongs to other data or other settings."""
