"""What the engine, written in Rust, gives to Python."""

__version__: str

def become_analyser(arguments: list[str]) -> int | None:
    """Becomes an analyser, if `arguments` are those of one, and gives its exit code at its end; else gives `None`."""

def log(level: int, text: str) -> None:
    """Logs a line of `logging`, whose levels are numbers."""
