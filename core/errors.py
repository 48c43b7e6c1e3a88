"""Every error a user can meet.

LoraLabError                what happened, with which value, and what to do
├── ConfigError             an unknown field, a value out of range, or fields that do not fit together
├── DataError               a folder that is missing, columns that are not there, one class only, empty texts
├── ModelUnavailable        a base model that cannot be had on this machine, or whose files are not what they should be
├── JobNotFound             no run of that id
├── StateConflict           an action that the run's state does not allow
├── StoreDamaged            the database cannot be used
│   └── StoreBusy           another process holds it and does not let go
├── ArtifactDamaged         a file of one run is missing or cannot be read
├── Diverged                the loss is no longer a number
├── NotAllowed              something that this visitor may not do
├── NotEnoughRoom           too little disk or memory for what was asked
└── Stopped                 the user asked the job to stop; never shown as a failure
"""


class LoraLabError(Exception):
    """A failure with a plain sentence for the reader and, where there is one, a remedy."""

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()

    def __reduce__(
        self,
    ) -> tuple[type["LoraLabError"], tuple[str, str]]:  # crosses process borders with both parts
        return type(self), (self.message, self.fix)


class ConfigError(LoraLabError):
    """An unknown field, a value out of range, or fields that do not fit together."""


class DataError(LoraLabError):
    """The data is not there or is not what a classifier needs."""


class ModelUnavailable(LoraLabError):
    """A base model that cannot be had on this machine."""


class JobNotFound(LoraLabError):
    """No job of that id."""


class StateConflict(LoraLabError):
    """An action that the job's state does not allow."""


class StoreDamaged(LoraLabError):
    """The database cannot be used."""


class StoreBusy(StoreDamaged):
    """Another process holds the database and does not let go."""


class ArtifactDamaged(LoraLabError):
    """A file of one run is missing or cannot be read."""


class Diverged(LoraLabError):
    """The loss is no longer a number."""


class NotAllowed(LoraLabError):
    """Something that this visitor may not do."""


class NotEnoughRoom(LoraLabError):
    """Too little disk or memory for what was asked."""


class Stopped(LoraLabError):
    """The user asked the job to stop."""
