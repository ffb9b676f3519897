"""The main process of a program with many others."""

from __future__ import annotations

import logging
import threading

from framewire import multiprocessing as mp
from framewire.valkka.logs import Logged


class MainContext(Logged):
    """The main process: subclass it, and start and stop what you need in its methods.

    Your ``__init__`` calls ``super().__init__()`` last: that starts the processes, then the threads.
    """

    def __init__(self) -> None:
        self.logger = logging.getLogger(type(self).__name__)
        self.started = False
        self.loop = True
        self.aux_pipe_read, self.aux_pipe_write = mp.Pipe()
        self.startProcesses()
        self.startThreads()

    def startProcesses(self) -> None:
        """Makes and starts the processes; yours."""
        raise NotImplementedError(f"{type(self).__name__} has no startProcesses")

    def startThreads(self) -> None:
        """Starts the threads; yours."""
        raise NotImplementedError(f"{type(self).__name__} has no startThreads")

    def close(self) -> None:
        """Stops processes and threads; yours, called when the main loop has ended."""
        raise NotImplementedError(f"{type(self).__name__} has no close")

    def __call__(self) -> None:
        """The main loop; yours. This one only waits for Ctrl-C, or :meth:`stopThread`."""
        self.loop = True
        while self.loop:
            try:
                if self.aux_pipe_read.poll(1.0):
                    self.aux_pipe_read.recv()
                    break
            except KeyboardInterrupt:
                print("you pressed CTRL-C: will exit asap")
                break

    def runAsThread(self) -> None:
        """Runs the main loop in a thread: for tests."""
        self.thread = threading.Thread(target=self.__call__)
        self.thread.start()

    def stopThread(self) -> None:
        """Ends what :meth:`runAsThread` began: the main loop sees it at ``self.aux_pipe_read``."""
        self.loop = False
        self.aux_pipe_write.send(None)
        self.thread.join()
        self.close()
