"""What the supervisor's tests supervise: `python -m tests.unit.supervised FOLDER KIND`."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

from ops.local_stack.parent_watchdog import watch_parent


def main(folder: Path, kind: str) -> None:
    (folder / f"{kind}.{os.getpid()}").touch()
    if kind == "failing":
        sys.exit(3)
    if kind == "done":
        return
    if kind == "refusing" and not (folder / "the-port-is-free").exists():
        sys.exit("sightline: the port is taken (password=hunter22): set another")
    if kind == "broken":
        raise KeyError("the port")
    parent = multiprocessing.parent_process()
    assert parent is not None
    watch_parent(parent, 0.5)
    drain = kind != "stubborn"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0) if drain else None)
    while True:
        signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
