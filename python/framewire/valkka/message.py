"""What front and back end say to each other."""

from __future__ import annotations

import traceback
from typing import Any

import framewire


class BackendDied(framewire.Error):
    """A back end ended while the front end waited for it."""


class MessageObject:
    """A command, or a signal from the back end, with its parameters by name.

    >>> message = MessageObject("analyse", frame=7)
    >>> message(), message["frame"]
    ('analyse', 7)
    """

    def __init__(self, command: str, **kwargs: Any) -> None:
        self.command = command
        self.kwargs = kwargs

    def __str__(self) -> str:
        return f"<MessageObject: {self.command}: {self.kwargs}>"

    def __call__(self) -> str:
        """The command."""
        return self.command

    def __getitem__(self, key: str) -> Any:
        return self.kwargs[key]


class Returned:
    """What a handler returned, on its way to the front end, with the number of the message that it handled."""

    def __init__(self, number: int, value: Any) -> None:
        self.number = number
        self.value = value


class Raised:
    """A handler's exception on its way to the front end, with the number of the message that met it."""

    def __init__(self, number: int, error: BaseException) -> None:
        self.number = number
        self.error = error
        self.trace = "".join(traceback.format_exception(error))

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.number, self.error, self.trace)

    def raise_it(self) -> None:
        """Raises it here, with the back end's traceback as a note."""
        self.error.add_note(f"in the back end:\n{self.trace}")
        raise self.error


def _arrived(number: int, error: BaseException, trace: str) -> Raised:
    raised = Raised(number, error)
    raised.trace = trace
    return raised
