"""Host of Python trials: imports packages once and forks a process for each trial.

swath starts this program with `python -c` and a socket as standard input. docs/hosts.md
describes the messages. It needs Linux, CPython 3.9 or later, and the standard library only.

Processes: the host forks a reaper for each slot, which is the parent of its trials and the
subreaper of all that they start. The reaper is connected to the slot process and ends
everything below it when that connection closes. A trial does not end with its host.
"""

import sys

# Modules of a Python that has just started. All others may hide a file of the user.
STARTED_WITH = frozenset(sys.modules)

import array
import atexit
import ctypes
import gc
import importlib
import importlib.machinery
import io
import json
import mmap
import os
import select
import signal
import socket
import stat
import struct
import tempfile
import threading
import time
import traceback
import types

# Interval between two looks at what a trial has left, while it ends.
NAP = 0.005

PR_SET_PDEATHSIG = 1
PR_SET_MM = 35
PR_SET_MM_MAP = 14
PR_SET_CHILD_SUBREAPER = 36

libc = ctypes.CDLL(None, use_errno=True)
libc.sbrk.restype = ctypes.c_void_p
libc.sbrk.argtypes = [ctypes.c_ssize_t]


class Refused(Exception):
    """The reason why a trial cannot be forked, for the user."""


class Wire:
    """Messages over a stream socket, with file descriptors."""

    def __init__(self, connection):
        self.connection = connection
        self.buffer = b""
        self.fds = []

    def send(self, *fields):
        body = b"".join(
            struct.pack("<I", len(field)) + field
            for field in (to_bytes(field) for field in fields)
        )
        try:
            self.connection.sendall(struct.pack("<I", len(body)) + body)
        except OSError:
            # The other end is closed, which the next read tells.
            pass

    def receive(self):
        """Waits for the next message. Returns its fields; `None` if the other end is closed."""
        while True:
            if len(self.buffer) >= 4:
                end = 4 + struct.unpack_from("<I", self.buffer)[0]
                if len(self.buffer) >= end:
                    message, self.buffer = self.buffer[4:end], self.buffer[end:]
                    return split_fields(message)
            if not self.read():
                return None

    def read(self):
        """Reads a piece. Returns whether the other end is open."""
        size = array.array("i").itemsize
        try:
            piece, control, _, _ = self.connection.recvmsg(65536, socket.CMSG_SPACE(4 * size))
        except InterruptedError:
            return True
        except OSError:
            return False
        for level, kind, data in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(data[: len(data) - len(data) % size])
                for fd in fds:
                    os.set_inheritable(fd, False)
                    self.fds.append(fd)
        self.buffer += piece
        return bool(piece)


def to_bytes(field):
    return field if isinstance(field, bytes) else os.fsencode(str(field))


def split_fields(message):
    fields = []
    while message:
        end = 4 + struct.unpack_from("<I", message)[0]
        fields.append(message[4:end])
        message = message[end:]
    return fields


def take_no_notice(*_):
    """Handles a signal that only has to wake the process."""


def write_quietly(fd, data):
    try:
        os.write(fd, data)
    except OSError:
        pass


def read_quietly(fd):
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""


def is_of_packages(path):
    parts = path.split(os.sep)
    return "site-packages" in parts or "dist-packages" in parts


def children():
    try:
        with open("/proc/self/task/%d/children" % os.getpid()) as listed:
            return {int(pid) for pid in listed.read().split()}
    except OSError:
        return set()


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def tree(root):
    """Returns a process and its descendants."""
    members, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        members.append(pid)
        try:
            for task in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/children" % (pid, task)) as listed:
                    waiting.extend(int(child) for child in listed.read().split())
        except OSError:
            continue
    return members


def flush(stream):
    try:
        if stream is not None and not stream.closed:
            stream.flush()
    except BaseException:
        pass
