"""All errors that a user can see.

LoraLabError                what happened, with which value, and what to do
├── ConfigError             unknown field, value out of range, or incompatible fields
├── DataError               missing folder, missing columns, a single class, empty texts
├── ModelUnavailable        base model not available on this machine, or with invalid files
├── JobNotFound             no job with this id
├── StateConflict           action that the job's state does not allow
├── StoreDamaged            unusable database
│   └── StoreBusy           database locked by another process for too long
├── ArtifactDamaged         missing or unreadable file of a run
├── Diverged                loss is not a finite number
├── NotAllowed              action that this visitor may not take
│   └── NameKnown           name of another person of the class
├── NotEnoughRoom           not enough disk space or memory
└── Stopped                 stop requested by the user; never shown as a failure
"""

from functools import partial

from core.translation import translate


class LoraLabError(Exception):
    """A failure with a message for the reader and, if there is one, a fix.

    Both are English and have ``values`` in braces; they are translated where they are read, so an
    error may cross threads and processes.
    """

    def __init__(self, message: str, fix: str = "", **values: object) -> None:
        super().__init__(message)
        self._message, self._fix, self._values = message, fix, values

    @property
    def message(self) -> str:
        """The message in the language of the visit."""
        return translate(self._message, **self._values)

    @property
    def fix(self) -> str:
        """The fix in the language of the visit; empty if there is none."""
        return translate(self._fix, **self._values)

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()

    # keeps all parts when pickled between processes
    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), self._message, self._fix, **self._values), ()


class ConfigError(LoraLabError):
    """Unknown field, value out of range, or incompatible fields."""


class DataError(LoraLabError):
    """Data that is missing or unsuitable for a classifier."""


class ModelUnavailable(LoraLabError):
    """Base model that is not available on this machine."""


class JobNotFound(LoraLabError):
    """No job with this id."""


class StateConflict(LoraLabError):
    """Action that the job's state does not allow."""


class StoreDamaged(LoraLabError):
    """Unusable database."""


class StoreBusy(StoreDamaged):
    """Database locked by another process for too long."""


class ArtifactDamaged(LoraLabError):
    """Missing or unreadable file of a run."""


LEARNING_RATE_DIVISOR = 4  # a retry of a run that diverged divides the learning rate by it


class Diverged(LoraLabError):
    """Loss that is not a finite number."""


class NotAllowed(LoraLabError):
    """Action that this visitor may not take."""


class NameKnown(NotAllowed):
    """Name of another person of the class."""


class NotEnoughRoom(LoraLabError):
    """Not enough disk space or memory."""


class Stopped(LoraLabError):
    """Stop requested by the user."""
