"""A server in a process of its own: started, waited for, and ended with everything that it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from lapd.endpoints.endpoint import Endpoint
from lapd.endpoints.listing import list_models
from lapd.errors import EndpointError, LapdError

GRACE = 15.0
"""Seconds that a server has to end by itself."""

TOLD = 12
"""So many lines of a server's log are shown when it fails."""

LOOK_AGAIN = 0.5
"""Seconds between two looks whether a server is up."""


class Server:
    """A server's process; to be used as `with Server(...) as server`, which ends it.

    Args:
        command: word by word.
        environment: that it is started in.
        log: where everything that it prints goes; a former one is replaced.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._command, self._environment, self.log = list(command), dict(environment), log

    def __enter__(self) -> Server:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as stream:
            # In a session of its own: a Ctrl-C is ours, and its whole group can be ended.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=self._environment,
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        self._end(signal.SIGKILL)  # its children too, which may outlive it
        self._process.wait()

    def _end(self, how: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)

    def wait_until_up(
        self, endpoint: Endpoint, names: Sequence[str], timeout: float, say: Callable[[float, str], None]
    ) -> None:
        """Wait until the server lists these models.

        Args:
            endpoint: where it will answer.
            names: of the models.
            timeout: seconds.
            say: called every now and then with the seconds so far and the log's last line.

        Raises:
            LapdError: it has ended, takes longer, or lists other models.
        """
        started = time.monotonic()
        while True:
            self.check_runs("before it was up")
            with suppress(EndpointError):
                listed = [model.name for model in list_models(endpoint)]
                if missing := [name for name in names if name not in listed]:
                    raise LapdError(f"{endpoint.base_url} has no {missing[0]}, but {', '.join(listed)}.")
                return
            seconds = time.monotonic() - started
            if seconds > timeout:
                raise LapdError(f"The server is not up after {seconds:.0f} s.", f"Its log: {self.log}")
            say(seconds, next(iter(self.last_lines(1)), ""))
            time.sleep(LOOK_AGAIN)

    def wait(self) -> None:
        """Wait until the server ends by itself.

        Raises:
            LapdError: it has.
        """
        self._process.wait()
        self.check_runs("by itself")

    def check_runs(self, when: str) -> None:
        """Refuse to go on with a server that has ended.

        Raises:
            LapdError: it has; `when` says when.
        """
        if (code := self._process.poll()) is not None:
            raise LapdError(f"The server ended {when} (exit code {code}).", f"Its log: {self.log}")

    def last_lines(self, number: int = TOLD) -> list[str]:
        """The last lines of the log that say something."""
        with self.log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 65536))
            text = stream.read().decode(errors="replace")
        return [line.strip() for line in text.splitlines() if line.strip()][-number:]
