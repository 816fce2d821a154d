"""SlowWire: a TCP proxy on loopback that can be made slow, cut, and mended."""

import contextlib
import socket
import threading
import time

from rlwd.ops.servers.process import LOOPBACK

CHUNK = 16_384


class SlowWire:
    """Forwards connections from its own port to another.

    One thread accepts (waits for: a connection; unblocked by: `close`), and two pump each
    connection's bytes (wait for: bytes, and for their turn; unblocked by: a cut, or either end).
    """

    def __init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self.to: int | None = None
        """Port behind the wire; None refuses everybody."""
        self.bytes_per_second: float | None = None
        """Of each direction of each connection; None is as fast as it goes."""
        self.delay = 0.0
        """Seconds that each piece takes longer."""
        self.connections = 0
        """How many were ever let through."""
        self._open: set[socket.socket] = set()
        self._lock, self._whole, self._closed = threading.Lock(), True, False
        self._threads = [threading.Thread(target=self._accept, name="wire", daemon=True)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        """What clients are told: host and port."""
        return f"{LOOPBACK}:{self.port}"

    def cut(self) -> None:
        """End every connection and let no new one through."""
        self._whole = False
        self._drop()

    def mend(self) -> None:
        """Let new connections through again."""
        self._whole = True

    def close(self) -> None:
        """Cut it for good and wait for its threads."""
        self._closed = True
        self.cut()
        # Only shutting it down wakes a thread that waits in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10.0)

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = self._reach()
            if far is None:
                near.close()
                continue
            with self._lock:
                self._open |= {near, far}
                self.connections += 1
            for source, sink in ((near, far), (far, near)):
                pump = threading.Thread(target=self._pump, args=(source, sink), daemon=True)
                self._threads.append(pump)
                pump.start()

    def _reach(self) -> socket.socket | None:
        if not self._whole or self.to is None:
            return None
        with contextlib.suppress(OSError):
            return socket.create_connection((LOOPBACK, self.to), 5.0)
        return None

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            source.settimeout(None)
            while piece := source.recv(CHUNK):
                if self.bytes_per_second is not None:
                    time.sleep(self.delay + len(piece) / self.bytes_per_second)
                sink.sendall(piece)
        for each in (source, sink):
            self._end(each)

    def _drop(self) -> None:
        with self._lock:
            ending = list(self._open)
        for each in ending:
            self._end(each)

    def _end(self, each: socket.socket) -> None:
        with self._lock:
            self._open.discard(each)
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
