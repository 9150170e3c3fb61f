"""A program that forks while it logs: run by test_chain.py, with the path of its log."""

from __future__ import annotations

import os
import sys
import threading

import structlog

from sessionkit.audit.chain import HashChain
from tests.audit.chained import ROOT

path, second = sys.argv[1:]
stream = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


class Logger:
    """Writes each line at once, as a stream that processes share must be written."""

    def info(self, line: str) -> None:
        """Write a line."""
        os.write(stream, f"{line}\n".encode())


chain = HashChain(ROOT, checkpoints=second, every=2)
structlog.configure(
    processors=[chain, structlog.processors.JSONRenderer()],
    logger_factory=lambda *_: Logger(),
    cache_logger_on_first_use=True,
)
log = structlog.get_logger()


def fork(name: str, depth: int) -> int:
    """Fork a child that logs, forks a child of its own if there is depth left, logs, and ends."""
    child = os.fork()
    if not child:
        log.info("begin", name=name)
        children = [fork(f"{name}.child", depth - 1)] if depth else []
        for number in range(5):
            log.info("line", name=name, number=number)
        for one in children:
            os.waitpid(one, 0)
        if depth:
            chain.close()
        os._exit(0)
    return child


def talk(ready: threading.Barrier) -> None:
    """Log beside the forks."""
    ready.wait()
    for number in range(50):
        log.info("beside", number=number)


log.info("before")
ready = threading.Barrier(3)
threads = [threading.Thread(target=talk, args=[ready]) for _ in range(2)]
for thread in threads:
    thread.start()
ready.wait()
for child in [fork(str(number), 1) for number in range(2)]:
    os.waitpid(child, 0)
for thread in threads:
    thread.join()
chain.close()
