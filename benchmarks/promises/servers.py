"""The web server and the supervisor are killed repeatedly during one run; the next visit of a page
restarts both.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import psutil
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from benchmarks.promises.lab import Lab, opened, over, processes_of
from benchmarks.promises.row import Row, Size, TooLong
from core.jobs import actions
from core.runs import artifacts
from core.settings import PROJECT
from core.storage.job import Job, JobState
from core.storage.locks import is_locked
from tests.support.faults.plan import FaultPlan

PLAN = FaultPlan(steps=10**6, step_seconds=0.02, validate_every=10**6, checkpoint_every=50)
BACK_SECONDS = 60.0  # a server that starts and draws its first page, on a busy machine
LOADED = "loading the model"  # each attempt logs it once


def killed_servers(size: Size) -> Row:
    """Kill page server and supervisor at the same random moment, then open the page again."""
    row = Row("server killed during one run: one worker, no step twice")
    with opened(Lab(size.home, PLAN)) as lab, _Server(lab) as server:
        job = lab.queue()
        server.visit()
        worker = lab.watch(job, lambda job: job.done > 5, BACK_SECONDS).pid
        for _ in range(size.of(1, 20)):
            time.sleep(size.draw.random())
            killed = server.kill() + sum(
                _kill(process) for process in processes_of(lab, "core.jobs.supervisor")
            )
            complaint = _go_on(lab, server, job)
            pids = [process.pid for process in processes_of(lab)]
            row.count(
                complaint
                or ("" if pids == [worker] else f"the workers are {pids}, the first was {worker}"),
                int(killed >= 2),
            )
        actions.stop(lab.store, lab.store.read_job(job.id))
        lab.watch(job, over, BACK_SECONDS)
        row.failures += _wrong_at_the_end(lab, job)
        for process in processes_of(lab, "core.jobs.supervisor"):
            _kill(process)
    return row


def _go_on(lab: Lab, server: "_Server", job: Job) -> str:
    """Open the page again; return the error if the run does not continue or is not supervised."""
    server.start()
    server.visit()
    done = lab.store.read_job(job.id).done
    try:
        lab.watch(
            job,
            lambda job: job.done > done and is_locked(lab.settings.home / "supervisor.lock"),
            BACK_SECONDS,
        )
    except TooLong as stuck:
        return f"stuck: {stuck}"
    return ""


def _wrong_at_the_end(lab: Lab, job: Job) -> list[str]:
    ended = lab.store.read_job(job.id)
    steps = [metric.step for metric in lab.store.read_metrics(job.id) if metric.split == "train"]
    loaded = artifacts.read_log(lab.store.get_folder(job)).decode().count(LOADED)
    wrong = {
        f"it ended {ended.state} in attempt {ended.attempt}": (ended.state, ended.attempt)
        != (JobState.CANCELLED, 1),
        f"the curve has {len(steps)} points and not each step once": steps
        != list(range(1, len(steps) + 1))
        or not steps,
        f"{loaded} workers have begun": loaded != 1,
    }
    return [description for description, is_wrong in wrong.items() if is_wrong]


def _kill(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        process.kill()
        return 1
    return 0


class _Server:
    """A Streamlit server of the app on the lab's home folder."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"

    def __enter__(self) -> "_Server":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it answers. Raises TooLong."""
        address, port = self.address.split(":")
        options = ["--server.headless", "true", "--server.address", address, "--server.port", port]
        with (self.lab.settings.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streamlit", "run", "Home.py", *options],
                cwd=PROJECT,
                env=self.lab.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + BACK_SECONDS
        while time.monotonic() < deadline:
            with (
                suppress(OSError),
                urllib.request.urlopen(f"http://{self.address}/_stcore/health", timeout=1),
            ):
                return
            time.sleep(0.05)
        raise TooLong("the server does not answer")

    def visit(self) -> None:
        """Open Home as a browser does, and return once the script has run in the server."""
        message = BackMsg()
        message.rerun_script.query_string = ""
        with connect(
            f"ws://{self.address}/_stcore/stream",
            subprotocols=[Subprotocol("streamlit")],
            max_size=None,
        ) as socket_:
            socket_.send(message.SerializeToString())
            deadline = time.monotonic() + BACK_SECONDS
            while (
                not is_locked(self.lab.settings.home / "supervisor.lock")
                and time.monotonic() < deadline
            ):
                with suppress(TimeoutError):
                    socket_.recv(timeout=0.1)

    def kill(self) -> int:
        """Send SIGKILL to the whole group, as a service manager does; return 1 if it was alive."""
        if self.process.poll() is not None:
            return 0
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return 1
