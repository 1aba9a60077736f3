"""Run `pip install ARGUMENTS` for a lock and show how far it is, as `deploy/bootstrap` does.

On a terminal one line is kept up to date; elsewhere there is a line every few seconds. What pip
says is shown only when it fails. It has the standard library alone: nothing is installed yet.
"""

import re
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

_LINE_SECONDS = 5.0
_TERMINAL_LINE_SECONDS = 0.2
_LINES_OF_FAILURE = 40


class Progress:
    """How far an installation is, from what pip prints and from what it has written."""

    def __init__(self, total: int, packages: Path) -> None:
        """`total`: the packages of the lock; `packages`: the folder that they are installed to."""
        self._total = total
        self._packages = packages
        self._before = self._count()
        self._started = time.monotonic()
        self._seen = 0
        self._name = ""
        self._is_installing = False

    def _count(self) -> int:
        return sum(1 for _ in self._packages.glob("*.dist-info"))

    def take(self, line: str) -> None:
        """Take note of a line of pip's."""
        if match := re.match(r"Collecting ([\w.-]+)", line):
            self._seen += 1
            self._name = match[1]
        elif match := re.match(r"\s+Downloading (\S+?)-[\d.]+\S* \((.*)\)", line):
            self._name = f"{match[1]} ({match[2]})"
        elif line.startswith("Installing collected packages"):
            self._is_installing = True

    def line(self) -> str:
        """The state in one line."""
        seconds = f"{time.monotonic() - self._started:.0f} s"
        if self._is_installing:
            count = max(0, self._count() - self._before)
            return f"  {seconds}: unpacked {min(count, self._total)} of {self._total} packages"
        if not self._seen:
            return f"  {seconds}: reading the lock"
        return f"  {seconds}: fetching {self._seen} of {self._total} packages: {self._name}"


def run(command: list[str], progress: Progress, line_seconds: float = _LINE_SECONDS) -> int:
    """Run pip, show its progress on standard error, and return its exit status."""
    is_terminal = sys.stderr.isatty()
    pause = _TERMINAL_LINE_SECONDS if is_terminal else line_seconds
    over = threading.Event()

    def show() -> None:
        last = ""
        while not over.wait(pause):
            if (line := progress.line()) != last:
                sys.stderr.write(f"\r\033[K{line[:100]}" if is_terminal else f"{line}\n")
                sys.stderr.flush()
            last = line

    pip = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    shower = threading.Thread(target=show)
    shower.start()
    tail: deque[str] = deque(maxlen=_LINES_OF_FAILURE)
    with pip:
        for line in pip.stdout or ():
            tail.append(line)
            progress.take(line)
    over.set()
    shower.join()
    if is_terminal:
        sys.stderr.write("\r\033[K")
    if pip.returncode:
        sys.stderr.writelines(tail)
    return pip.returncode


def main() -> int:
    """Install a lock: the only argument is its path."""
    lock = Path(sys.argv[1])
    total = lock.read_text().count("==")
    packages = next(Path(folder) for folder in sys.path if folder.endswith("site-packages"))
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    command += ["--progress-bar", "off", "--no-deps", "--require-hashes", "-r", str(lock)]
    return run(command, Progress(total, packages))


if __name__ == "__main__":
    sys.exit(main())
