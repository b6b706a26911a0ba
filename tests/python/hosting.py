"""The orchestrator's and the slot's part of the protocol of hosts, for tests."""

import os
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PARTS = Path(__file__).parents[2] / "crates/engine/src/executor/host"
SOURCE = "".join(
    (PARTS / name).read_text() for name in ("base.py", "trial.py", "reaper.py", "host.py")
)

# Time in seconds after which a host, a trial or a run counts as hanging.
WITHIN = 240


def wait_until(is_true):
    until = time.monotonic() + WITHIN
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.02)


def is_gone(pid):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return True
    return fields[0] in "ZX"


def send(connection, *fields, fds=()):
    body = b"".join(struct.pack("<I", len(field)) + field for field in map(encode, fields))
    message = struct.pack("<I", len(body)) + body
    if fds:
        sent = socket.send_fds(connection, [message], list(fds))
        message = message[sent:]
    connection.sendall(message)


def encode(field):
    return field if isinstance(field, bytes) else os.fsencode(str(field))


def receive(connection):
    """Returns the fields of the next message; `None` at the end."""
    head = receive_bytes(connection, 4)
    if head is None:
        return None
    body = receive_bytes(connection, struct.unpack("<I", head)[0])
    fields = []
    while body:
        end = 4 + struct.unpack_from("<I", body)[0]
        fields.append(os.fsdecode(body[4:end]))
        body = body[end:]
    return fields


def receive_bytes(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            return None
        data += piece
    return data


class Refused(Exception):
    """The reason why a host has not forked a trial."""


class Trial:
    """A trial that a host has forked."""

    def __init__(self, connection, pid, reaper):
        self.connection, self.pid, self.reaper = connection, pid, reaper

    def wait(self):
        """Returns the wait status, once nothing of the trial is left."""
        status = self.wait_and_keep()
        self.connection.close()
        return status

    def wait_and_keep(self):
        """Waits, and leaves the reaper for another trial."""
        kind, status, *_ = receive(self.connection)
        assert kind == "exited"
        assert receive(self.connection)[0] == "ended"
        return int(status)


class Host:
    """A host, as the orchestrator sees it."""

    def __init__(self, folder, *options, env=None, arguments=()):
        self.control, other = socket.socketpair()
        self.control.settimeout(WITHIN)
        self.folder, self.options = folder, options
        # The last trial whose reaper waits for another one.
        self.kept = None
        command = [sys.executable, *options, "-c", SOURCE, *arguments]
        self.process = subprocess.Popen(
            command,
            stdin=other,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        other.close()
        assert receive(self.control) == ["ready"]

    def fork(self, words, env=None, cgroup="", after=None):
        """Forks a trial, `python WORDS…`, from the reaper of the trial `after` if there is one.

        Raises `Refused`.
        """
        if after is None:
            own, other = socket.socketpair()
            own.settimeout(WITHIN)
            send(self.control, "fork", fds=[other.fileno()])
            other.close()
        else:
            own = after.connection
        streams = open_streams(self.folder)
        argv = [sys.executable, *self.options, *words]
        changes = [f"{name}={value}" for name, value in (env or {}).items()]
        try:
            send(own, "start", cgroup, self.folder, len(argv), *argv, *changes, fds=streams)
        except (BrokenPipeError, ConnectionResetError):
            # It was refused meanwhile.
            pass
        for fd in streams:
            os.close(fd)
        kind, *rest = receive(own)
        if kind == "refused":
            raise Refused(rest[0])
        send(own, "go")
        return Trial(own, int(rest[0]), int(rest[1]))

    def run(self, words, env=None):
        """Runs a trial below the reaper of the one before; returns its wait status."""
        self.kept = self.fork(words, env, after=self.kept)
        return self.kept.wait_and_keep()

    def learn(self, script):
        """Has a trial run that imports packages, and waits until the host has them."""
        (Path(self.folder) / "learn.py").write_text(script)
        status = self.fork(["learn.py"]).wait()
        assert status == 0, (Path(self.folder) / "stderr.log").read_text()
        assert receive(self.control) == ["importing"]
        return receive(self.control)

    def close(self):
        if self.kept is not None:
            self.kept.connection.close()
        self.control.close()
        self.process.wait(WITHIN)


def open_streams(folder):
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    names = ("stdout.log", "stderr.log")
    logs = [os.open(Path(folder) / name, flags, 0o644) for name in names]
    return [os.open(os.devnull, os.O_RDONLY), *logs]


def start_cold(folder, words, env=None, options=()):
    """Starts the same program as any other; returns its wait status."""
    stdin, stdout, stderr = open_streams(folder)
    process = subprocess.Popen(
        [sys.executable, *options, *words],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=folder,
        env={**os.environ, **(env or {})},
        process_group=0 if sys.version_info >= (3, 11) else None,
    )
    for fd in (stdin, stdout, stderr):
        os.close(fd)
    code = process.wait(WITHIN)
    return -code if code < 0 else code << 8


def is_readable(connection, within):
    return bool(select.select([connection], [], [], within)[0])


def new_folder():
    return tempfile.mkdtemp()
