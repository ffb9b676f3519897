"""As :mod:`multiprocessing.connection`, whose pipes are sockets of two processes alone: nothing to replace there."""

from multiprocessing.connection import Client, Connection, Listener, Pipe, wait

__all__ = ["Client", "Connection", "Listener", "Pipe", "wait"]
