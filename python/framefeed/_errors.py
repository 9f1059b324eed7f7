"""The exceptions of framefeed: one class for each kind of error, all derived from :class:`Error`; and its warnings."""

from __future__ import annotations

import os
import sys
import warnings


class Error(Exception):
    """An error of framefeed, with its kind and its place.

    Attributes:
        kind: what the caller can do about it, in words: ``"not found"``, ``"corrupt"``, ``"invalid argument"``, ...
        path: the file that is to blame, if one is.
        record: the key of the record that is to blame, if one is.
        offset: the byte offset in ``path``, where it is known.
    """

    kind: str
    path: str | None
    record: str | None
    offset: int | None

    def __init__(
        self,
        message: str = "",
        *,
        kind: str = "error",
        path: str | None = None,
        record: str | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.path = path
        self.record = record
        self.offset = offset

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), self.args, self.__dict__)


class ArgumentTypeError(TypeError):
    """An argument is of another type than it must be. The message begins with the argument's name."""

    def add_note(self, note: str, /) -> None:
        """Puts the argument's name, which comes as a note from whoever unpacks arguments, before the message."""
        start, end = "while processing '", "'"
        if note.startswith(start) and note.endswith(end) and len(self.args) == 1:
            self.args = (f"{note[len(start) : -len(end)]} {self.args[0]}",)
        else:
            self.__notes__ = [*getattr(self, "__notes__", []), note]


class SkippedWarning(UserWarning):
    """A sample could not be read or decoded, and ``on_error`` left it out or replaced it. Each loader warns of its first."""


class ShortWarning(UserWarning):
    """Records are too short for a loader's window, and are no samples of it. ``loader.excluded()`` lists them."""


_PACKAGE = os.path.join(os.path.dirname(__file__), "")


def warn(text: str, category: type[Warning]) -> None:
    """Warns at the line that called this package, however deep in it the warning is."""
    frame, level = sys._getframe(1), 2
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


class NotFoundError(Error):
    """A file, record, column or device does not exist."""


class ConflictError(Error):
    """Another run or another dataset is in the way."""


class CorruptError(Error):
    """Bytes contradict a checksum, the specification or each other."""


class UnsupportedError(Error):
    """Valid, but beyond what this build, machine or version can do."""


class InvalidArgumentError(Error, ValueError):
    """An argument is outside its range, or arguments contradict each other."""


class LimitExceededError(Error):
    """A budget was used up: frames, packets, bytes or time."""


class DecodeError(Error):
    """A decoder or demuxer refused its input."""


class DeviceError(Error):
    """A GPU or its driver failed."""


class OutOfMemoryError(Error, MemoryError):
    """An allocation was refused."""


class ClosedError(Error):
    """The loader was closed, or is used in another process than the one that made it."""


class StorageError(Error):
    """The operating system refused a read, a write or an open."""


# They are known by the name that they are imported by, also in tracebacks and pickles.
for _class in (Error, *Error.__subclasses__(), SkippedWarning, ShortWarning):
    _class.__module__ = "framefeed"
