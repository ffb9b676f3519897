"""What the engine, written in Rust, gives to Python."""

from collections.abc import Callable
from typing import Any, final

from framewire.exit import ExitKind

__version__: str

_Exit = tuple[ExitKind, str, int | None]

def run_child(host: Any, arguments: list[str]) -> int | None:
    """Live as the child that `arguments` name, and give its exit code; `None` if they name none."""

def flush_log() -> None:
    """Wait until what was said so far has been told, for a second at most."""

@final
class Operation:
    """A wait under way. Dropped before it is done, it has taken nothing."""

    def poll(self, bell: Bell, key: int) -> tuple[Any] | None:
        """Go on with it. `(result,)` when it is done; `None` if `key` will be among what `bell` names."""
    def cancel(self) -> None:
        """Give it up."""

@final
class Bell:
    """What a loop watches for all its operations."""

    def __new__(cls) -> Bell: ...
    def fileno(self) -> int:
        """Readable when operations are to be polled again."""
    def take(self) -> list[int]:
        """Which ones."""

@final
class Pending:
    """Something to come. For asyncio it is an operation as `framewire.aio.run` takes them; one can also block on it."""

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for it; `None` when `timeout` seconds are over. It can be waited for again then."""
    def poll(self, bell: Bell, key: int) -> tuple[Any] | None:
        """Goes on with it: `(result,)` when it has come; `None` if `key` will be among what `bell` names."""
    def cancel(self) -> None:
        """Give it up: a call is cancelled."""

@final
class Call:
    """A question that hasn't been put yet."""

    def wait(self, timeout: float | None = None) -> Any:
        """Asks and waits for the answer, `timeout` seconds at most."""
    def begin(self) -> Pending:
        """Asks; the answer is to come."""
    def detach(self) -> None:
        """Asks, and doesn't want to know."""

@final
class Handle:
    """A process under supervision, over all its incarnations."""

    @property
    def name(self) -> str: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def state(self) -> str: ...
    @property
    def restarts(self) -> int: ...
    @property
    def exit(self) -> _Exit | None:
        """How it ended for good."""
    @property
    def last_exit(self) -> tuple[_Exit, list[str]] | None:
        """How its latest incarnation ended, and what it wrote last."""
    def call(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Call:
        """Put a call together; its arguments are encoded now."""
    def next_event(self) -> Pending:
        """Ask for the next event, to come, in a tuple; `None` when there will never be another one."""
    def dropped_events(self) -> int:
        """How many events were dropped because nobody read them."""
    def ended(self) -> Pending:
        """Its end for good, to come."""
    def sentinel(self, bell: Bell) -> Pending:
        """Have `bell` rung at its end for good; what comes back has to be kept for that."""
    def stop(self, grace: float) -> None:
        """Stop it for good; it is gone when this returns."""
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def interrupt(self) -> None: ...
    def detach(self) -> None: ...

@final
class Starting:
    """A process that was started and may not be ready yet. Dropped, it is stopped."""

    def wait(self) -> Handle:
        """Wait until it is ready."""

@final
class System:
    """A supervisor: its thread starts processes, watches and stops them."""

    def __new__(cls) -> System: ...
    def begin(
        self, command: list[str], preparation: bytes | None, configuration: Any, options: dict[str, Any]
    ) -> Starting:
        """Start a process: `preparation` is what a Python child takes first, `None` for other programs."""
    def stop_all(self, grace: float) -> None:
        """Stop all processes and start no more; they are gone when this returns."""

@final
class ChildContext:
    """A process's view of the world."""

    @property
    def name(self) -> str:
        """Its name."""
    def emit(self, event: Any) -> None:
        """Says something unasked."""
    def progress(self) -> None:
        """Says that the command being handled goes on."""
    def is_cancelled(self) -> bool:
        """Whether the answer to the call being handled isn't wanted any more."""
    def watch(self, fileno: int, callback: Callable[[], object]) -> int:
        """Has `callback` called whenever the descriptor is readable; gives the number that ends it."""
    def unwatch(self, number: int) -> None:
        """End a watch."""
    def invite(self) -> None:
        """From now on Python's own loop gets turns."""

@final
class Outcome:
    """What a coroutine came to."""

    def done(self, value: Any) -> None:
        """Tell that it returned this."""
    def failed(self, error: BaseException) -> None:
        """Tell that it raised this."""

@final
class Group:
    """Some tasks' outcomes."""

    def __new__(cls) -> Group: ...
    def take(self, number: int | None, count: int, timeout: float | None) -> list[tuple[int, bool, Any]]:
        """Take the outcomes that are there: number, whether it is an answer, and that or the exception.

        Waits until the one of that number is there, or so many, or all; an empty list when `timeout` seconds are over.
        """
    def wait(self, timeout: float | None) -> bool:
        """Wait until all have an outcome; whether that is so."""
    def is_done(self) -> bool:
        """Whether all have an outcome."""
    def notify(self, bell: Bell, key: int) -> None:
        """Has `bell` name `key` when all have an outcome."""

@final
class Pool:
    """Workers that share tasks."""

    def __new__(
        cls, system: System, command: list[str], preparation: bytes, configuration: Any, staff: dict[str, Any]
    ) -> Pool: ...
    def submit(self, group: Group, first: int, function: bytes, items: list[Any]) -> None:
        """Give one task for each item, numbered from `first`; `function` is pickled. Outcomes come to `group`."""
    def close(self) -> None:
        """Take no more tasks; what was taken is done."""
    def terminate(self) -> None:
        """End everything now."""
    def join(self, timeout: float | None = None) -> bool:
        """Wait until the workers are gone; whether they are."""
    def workers(self) -> list[tuple[str, int | None]]:
        """Names and process identifiers of the workers that take tasks now."""
