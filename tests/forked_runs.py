"""Real processes that train, without the seconds of importing: one process imports, and forks every run.

with ForkServer() as server:
    run = server.start(["--train_data_dir", ...], log)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


class ForkServer:
    """Starts runs of train_accelerate.main, each in a process of its own."""

    def __enter__(self):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *_):
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(30)

    def ask(self, **request):
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, arguments, log, **environment):
        pid = self.ask(arguments=[str(a) for a in arguments], log=str(log), environment=environment)
        return ForkedRun(self, pid, Path(log))


@dataclass
class ForkedRun:
    server: ForkServer
    pid: int
    log: Path

    def wait(self):
        """Wait for the end; return the exit status, negative for a signal."""
        return self.server.ask(wait=self.pid)

    def ended(self):
        return self.server.ask(poll=self.pid)

    def said(self):
        return self.log.read_text(errors="replace")

    def wait_for(self, condition, seconds=60.0):
        """Wait until `condition()`; False if the run ended before."""
        until = time.monotonic() + seconds
        while not condition():
            if self.ended():
                return False
            assert time.monotonic() < until, self.said()
            time.sleep(0.001)
        return True


def serve():
    import train_accelerate

    statuses = {}

    def reap(pid, options):
        """The exit status of a run, or None while it is running."""
        if pid not in statuses:
            found, status = os.waitpid(pid, options)
            if found:
                statuses[pid] = os.waitstatus_to_exitcode(status)
        return statuses.get(pid)

    for line in sys.stdin:
        request = json.loads(line)
        if "arguments" in request:
            answer = os.fork()
            if answer == 0:
                run(train_accelerate.main, request)
        elif "poll" in request:
            answer = reap(request["poll"], os.WNOHANG) is not None
        else:
            answer = reap(request["wait"], 0)
        print(json.dumps(answer), flush=True)


def run(main, request):
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.update(request["environment"])
    sys.argv = ["train_accelerate.py", *request["arguments"]]
    status: Any = 1
    try:
        status = main(request["arguments"])
    except SystemExit as end:
        status = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status or 0)


if __name__ == "__main__":
    serve()
