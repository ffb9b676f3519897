"""What the engine, written in Rust, gives to Python."""

__version__: str
