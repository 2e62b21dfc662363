"""The process that owns an embedded store's folder and serves it over HTTP: `footfall store serve`.

It is either its user's, and ends at SIGTERM or Ctrl-C, or a run's with several workers, and ends when the
run's end of a pipe closes: so a run that is killed leaves none behind.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET, AF_INET6, socket
from urllib.parse import urlsplit

from footfall.errors import FootfallError, StoreBusyError, StoreError
from footfall.store import StoreAddress, busy_error
from footfall.store_engine import Engine
from footfall.store_http import OwnerHandler, ping
from footfall.store_lock import FolderLock, hold_folder, leave_folder, read_holder

DEFAULT_PORT = 8123
_READY = "footfall store: serving "
_MOST_QUERIES = 32
_MOST_CONNECTIONS = 256
_LAST_REQUESTS_SECONDS = 10.0


class OwnerServer(ThreadingHTTPServer):
    """The listening socket, and the requests that are under way: one thread to a connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, engine: Engine) -> None:
        self.address_family = AF_INET6 if ":" in host else AF_INET
        self.engine = engine
        self.slots = threading.BoundedSemaphore(_MOST_QUERIES)
        self.host_names = {"127.0.0.1", "localhost", "::1", host}
        self._anywhere = host in ("0.0.0.0", "::")  # noqa: S104 - said by the user, never the default
        self._connections = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._idle = threading.Condition()
        self._running = 0
        super().__init__((host, port), OwnerHandler)

    @property
    def url(self) -> str:
        """The address for clients on this machine."""
        host, port = str(self.server_address[0]), self.server_address[1]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - as above
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def serves(self, host: str) -> bool:
        """Whether a request may call this server by that host name."""
        return self._anywhere or host in self.host_names

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Around each request, so that an orderly end waits for it."""
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def wait_idle(self, seconds: float) -> bool:
        """Wait until no request is under way, so long at most; whether that came."""
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, seconds)

    def process_request(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        """Serve a connection in a thread; over the bound, it waits until another one ends."""
        self._connections.acquire()
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket | tuple[bytes, socket]) -> None:
        """End a connection."""
        try:
            super().shutdown_request(request)
        finally:
            with contextlib.suppress(ValueError):
                self._connections.release()

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        """A connection that breaks is its client's matter; anything else is shown."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def serve(
    folder: Path,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    parent_pipe_fd: int | None = None,
    wait: float = 0.0,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Own a folder and serve it until SIGTERM, SIGINT, or the end of the parent's pipe.

    It is called in the main thread. Requests that are under way then have 10 s to finish; those that don't
    are cut off, and the process ends here.

    Args:
        folder: the embedded store's folder; it is made if it isn't there.
        host: the address to listen at. There is no password: leave it to this machine.
        port: the port; 0 for any that is free.
        parent_pipe_fd: the reading end of a pipe; when its writers are gone, the owner ends.
        wait: seconds to wait for a process that has the folder now.
        tell: gets the one line that says where it serves; None prints it.

    Raises:
        StoreBusyError: another process has the folder.
        StoreError: the folder or the port can't be opened.
    """
    folder = folder.absolute()
    lock = _hold(folder, wait)
    stop = threading.Event()
    try:
        # Times without a zone mean the same on every machine.
        os.environ["TZ"] = "UTC"
        time.tzset()
        engine = _engine(folder)
        try:
            server = _listen(host, port, engine)
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
            with server, _stopping(stop, parent_pipe_fd):
                thread.start()
                lock.announce(server.url, None if parent_pipe_fd is None else os.getppid())
                line = f"{_READY}{folder} at {server.url}"
                if tell is None:
                    print(line, flush=True)
                else:
                    tell(line)
                stop.wait()
                lock.announce(None)
                server.shutdown()
                if not server.wait_idle(_LAST_REQUESTS_SECONDS):
                    # A query that runs on would outlive the engine under it.
                    os._exit(0)
        finally:
            engine.close()
    finally:
        leave_folder(folder)


def _hold(folder: Path, wait: float) -> FolderLock:
    until = time.monotonic() + wait
    while True:
        lock = hold_folder(folder)
        if lock is not None:
            return lock
        if time.monotonic() >= until:
            raise busy_error(StoreAddress("embedded", folder=folder), read_holder(folder))
        time.sleep(0.05)


def _engine(folder: Path) -> Engine:
    try:
        return Engine(folder)
    except (RuntimeError, ImportError) as error:
        raise StoreError(f"the embedded engine can't open {folder}: {error}") from error


def _listen(host: str, port: int, engine: Engine) -> OwnerServer:
    try:
        return OwnerServer(host, port, engine)
    except OSError as error:
        raise StoreError(
            f"can't listen at {host}:{port}: {error.strerror}; name another port with --port (0 for any)"
        ) from error


@contextlib.contextmanager
def _stopping(stop: threading.Event, parent_pipe_fd: int | None) -> Iterator[None]:
    before = {one: signal.signal(one, lambda *_: stop.set()) for one in (signal.SIGTERM, signal.SIGINT)}
    if parent_pipe_fd is not None:
        threading.Thread(target=_wait_for_end, args=(parent_pipe_fd, stop), daemon=True).start()
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _wait_for_end(descriptor: int, stop: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(descriptor, 1024):
            pass
    stop.set()


class OwnerHandle:
    """An owner that others can connect to, and that ends with this handle if it was started for it.

    `url` is its address. Only the process that made the handle may hold the pipe's end: start workers by
    spawn or exec, since forked ones keep the owner alive.
    """

    def __init__(self, url: str, process: "subprocess.Popen[str] | None", pipe: int | None) -> None:
        self.url = url
        self._process = process
        self._pipe = pipe

    @property
    def started(self) -> bool:
        """Whether it was started for this handle; else it was there before, and stays."""
        return self._process is not None

    def alive(self) -> bool:
        """Whether it still runs, as far as this process can tell."""
        if self._process is not None:
            return self._process.poll() is None
        parts = urlsplit(self.url)
        return ping(parts.hostname or "", parts.port or 0)

    def close(self) -> None:
        """End an owner that was started for this handle, and wait until it has left the folder."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            os.close(pipe)
        if self._process is not None:
            try:
                self._process.wait(_LAST_REQUESTS_SECONDS + 10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()


def ensure_owner(address: StoreAddress, *, wait: float = 30.0) -> OwnerHandle:
    """The owner of an embedded store: the one that is there, else one that is started now for this process.

    Args:
        address: an embedded store.
        wait: seconds to wait for a process that has the folder without serving it.

    Raises:
        StoreBusyError: a process has the folder and doesn't serve it.
        StoreError: no owner could be started.
    """
    if address.folder is None:
        raise StoreError(f"{address} is a server: only an embedded store has an owner")
    folder = address.folder.absolute()
    until = time.monotonic() + wait
    while True:
        lock = hold_folder(folder)
        if lock is not None:
            leave_folder(folder)
            try:
                return _start(folder, max(1.0, until - time.monotonic()))
            except StoreBusyError:
                if time.monotonic() >= until:
                    raise
        else:
            holder = read_holder(folder)
            url = holder.url if holder is not None and holder.serving else None
            parts = urlsplit(url or "")
            if url and ping(parts.hostname or "", parts.port or 0):
                return OwnerHandle(url, None, None)
            if time.monotonic() >= until:
                raise busy_error(address, holder)
        time.sleep(0.05)


def _start(folder: Path, wait: float) -> OwnerHandle:
    reading, writing = os.pipe()
    code = "import sys; from footfall.store_owner import owner_main; sys.exit(owner_main(sys.argv[1:]))"
    arguments = [str(folder), "--port", "0", "--parent-pipe-fd", str(reading), "--wait", f"{wait:.1f}"]
    try:
        # A session of its own: Ctrl-C is for the run, which closes the pipe when its workers are done.
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(reading,),
            start_new_session=True,
            text=True,
        )
    except OSError as error:
        os.close(writing)
        raise StoreError(f"the store's owner can't be started: {error}") from error
    finally:
        os.close(reading)
    line = process.stdout.readline() if process.stdout is not None else ""
    if line.startswith(_READY):
        return OwnerHandle(line.rsplit(" ", 1)[1].strip(), process, writing)
    said = process.stderr.read() if process.stderr is not None else ""
    handle = OwnerHandle("", process, writing)
    handle.close()
    if process.returncode == _BUSY_EXIT:
        raise StoreBusyError(said.strip())
    raise StoreError(f"the store's owner for {folder} didn't start: {said.strip() or line.strip()}")


_BUSY_EXIT = 75


def owner_main(arguments: Sequence[str]) -> int:
    """The program that `ensure_owner` starts; 75 when another process has the folder."""
    parser = argparse.ArgumentParser(prog="footfall store serve")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--parent-pipe-fd", type=int)
    parser.add_argument("--wait", type=float, default=0.0)
    said = parser.parse_args(arguments)
    try:
        serve(said.folder, said.host, said.port, parent_pipe_fd=said.parent_pipe_fd, wait=said.wait)
    except StoreBusyError as error:
        print(error, file=sys.stderr)
        return _BUSY_EXIT
    except FootfallError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0
