"""Host of Python trials: imports packages once and forks a process for each trial.

swath starts this program with `python -c` and a socket as standard input. docs/hosts.md
describes the messages. It needs Linux, CPython 3.9 or later, and the standard library only.

Processes: the host forks a reaper for each trial, which is the parent of the trial and the
subreaper of all that the trial starts. The reaper is connected to the slot of the trial and ends
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

# Packages that run threads or hold connections which no forked process can use.
UNSAFE = {
    "jax": "JAX does not work in a forked process",
    "jaxlib": "JAX does not work in a forked process",
    "tensorflow": "TensorFlow does not work in a forked process",
    "grpc": "gRPC does not work in a forked process",
    "ray": "Ray does not work in a forked process",
    "pyspark": "Spark does not work in a forked process",
    "mpi4py": "MPI does not work in a forked process",
}

# Device files of accelerators. A process that has one open may hold a context of the device.
DEVICES = ("/dev/nvidia", "/dev/kfd", "/dev/dri", "/dev/accel")

# Modules with an `is_initialized()` that tells whether they hold a context of a device.
CONTEXTS = ("torch.cuda", "torch.xpu", "torch.mps", "torch.npu")

# Threads of libraries that prepare themselves for a fork: jemalloc stops and restarts its own.
FORK_SAFE_THREADS = {"jemalloc_bg_thd"}

# Options of the interpreter that take a value, as in `-W error`.
WITH_VALUE = "WX"

# Time for threads that have just ended to disappear from /proc.
THREADS_END_WITHIN = 0.02

# Longest time for a trial to hand over the list of its modules.
LEARN_WITHIN = 1.0

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


class Host:
    """The host itself: one thread, and never a thread of a library."""

    def __init__(self):
        control = os.dup(0)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        self.wire = Wire(socket.socket(fileno=control))
        # Everything that an import writes is seen here.
        self.output = tempfile.TemporaryFile()
        os.dup2(self.output.fileno(), 1)
        os.dup2(self.output.fileno(), 2)
        self.wake, wake = socket.socketpair()
        self.wake.setblocking(False)
        wake.setblocking(False)
        self.waker = wake
        signal.signal(signal.SIGCHLD, take_no_notice)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self.reapers = set()
        # Pipes on which trials hand over their lists of modules; `None` once modules are imported.
        self.lessons = {}
        self.refusal = None
        if sys.path and sys.path[0] == "":
            del sys.path[0]
        # Pointers that libraries get from getenv(3) must not point into memory that is given to
        # the environment of another trial.
        for name, value in os.environb.items():
            os.unsetenv(name)
            os.putenv(name, value)
        self.environment = dict(os.environb)
        self.imported_environment = {}
        self.show_name()
        self.inputs = inputs_state()
        self.fds = set(open_fds())

    def show_name(self):
        """Shows a short command line, and finds out whether the kernel lets trials show theirs."""
        name = [os.fsencode(sys.executable), b"-c", b"# host of Python trials, started by swath"]
        try:
            self.block = Block(name, self.environment)
            self.block.use()
        except Refused as refused:
            self.refusal = str(refused)

    def serve(self):
        self.wire.send("ready")
        while True:
            watched = [self.wire.connection, self.wake]
            readable, _, _ = select.select(watched + list(self.lessons or ()), [], [])
            if self.wake in readable:
                self.reap()
            for pipe in readable:
                if self.lessons and pipe in self.lessons:
                    self.learn(pipe)
            if self.wire.connection in readable:
                message = self.wire.receive()
                if message is None:
                    os._exit(0)
                if message[0] == b"fork" and self.wire.fds:
                    self.fork(self.wire.fds.pop(0))

    def reap(self):
        try:
            while self.wake.recv(64):
                pass
        except OSError:
            pass
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.reapers.discard(pid)

    def fork(self, fd):
        """Forks the reaper of a trial, which is connected to its slot by `fd`."""
        connection = Wire(socket.socket(fileno=fd))
        try:
            self.check(fd)
            lesson = None
            if self.lessons is not None:
                reader, lesson = os.pipe()
                self.lessons[reader] = b""
            answer, go = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(go)
                run_reaper(self, connection, answer, lesson)
                os._exit(0)
            self.reapers.add(pid)
            os.close(answer)
            if lesson is not None:
                os.close(lesson)
            try:
                # The fork handlers of libraries have ended the threads that they can restart.
                check_threads()
            except Refused:
                os.kill(pid, signal.SIGKILL)
                raise
            finally:
                # The reaper waits for this byte before it does anything.
                write_quietly(go, b"+")
                os.close(go)
        except Refused as refused:
            self.refusal = self.refusal or str(refused)
            connection.send("refused", refused)
            self.wire.send("refuses", self.refusal)
        except OSError as error:
            connection.send("refused", "its host could not fork: %s" % error)
        finally:
            connection.connection.close()

    def check(self, connection):
        """Raises the reason why no process may be forked from this one."""
        if self.refusal is not None:
            raise Refused(self.refusal)
        if inputs_state() != self.inputs:
            self.wire.send("outdated")
            raise Refused("packages have changed, and another host is started")
        for name, reason in UNSAFE.items():
            if name in sys.modules:
                raise Refused(reason)
        for name in CONTEXTS:
            module = sys.modules.get(name)
            if module is not None and is_initialized(module):
                raise Refused("importing its packages has initialized `%s`" % name)
        own = self.fds | {connection} | set(self.wire.fds) | set(self.lessons or ())
        for fd in set(open_fds()) - own:
            check_fd(fd)
        strangers = children() - self.reapers
        if strangers:
            raise Refused("importing its packages has started another process")

    def learn(self, pipe):
        """Takes in the list of the modules with which a trial has ended."""
        piece = read_quietly(pipe)
        self.lessons[pipe] += piece
        if piece and not self.lessons[pipe].endswith(b"\n"):
            return
        names = self.lessons.pop(pipe)
        os.close(pipe)
        # A trial that was killed has told nothing.
        if names.endswith(b"\n"):
            for other in self.lessons:
                os.close(other)
            self.lessons = None
            self.import_modules(json.loads(names))

    def import_modules(self, names):
        self.wire.send("importing")
        try:
            for name in names:
                reason = UNSAFE.get(name.partition(".")[0])
                if reason:
                    raise Refused(reason)
            self.rehearse(names)
            for name in names:
                self.import_module(name)
        except Refused as refused:
            self.refusal = str(refused)
            self.wire.send("refuses", self.refusal)
            return
        self.imported_environment = {
            name: value
            for name, value in os.environb.items()
            if self.environment.get(name) != value
        }
        gc.collect()
        gc.freeze()
        self.wire.send("ready", len(names))

    def rehearse(self, names):
        """Imports modules in a process that ends then; raises the reason against them.

        A crash, and an audit hook, stay in that process.
        """
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                writes = watch_writes()
                for name in names:
                    self.import_module(name)
                    if writes:
                        raise Refused("importing `%s` writes `%s`" % (name, writes[0]))
                    if children():
                        kill(member for child in children() for member in tree(child))
                        raise Refused("importing `%s` starts another process" % name)
            except Refused as refused:
                write_quietly(writer, to_bytes(refused))
            finally:
                os._exit(0)
        os.close(writer)
        _, status = os.waitpid(pid, 0)
        # A process that an import has started may keep the other end open.
        os.set_blocking(reader, False)
        reason = read_quietly(reader)
        os.close(reader)
        if status != 0:
            raise Refused("importing its packages in a process of their own has crashed it")
        if reason:
            raise Refused(os.fsdecode(reason))

    def import_module(self, name):
        try:
            importlib.import_module(name)
        except Exception:
            # The trial imports it again, and handles the error as it did before.
            pass
        flush(sys.stdout)
        flush(sys.stderr)
        libc.fflush(None)
        if os.fstat(self.output.fileno()).st_size:
            raise Refused("importing `%s` writes to the output of the trial" % name)


def take_no_notice(*_):
    """Handles a signal that only has to wake the process."""


def watch_writes():
    """Returns a list to which the files in the working folder are added that are written."""
    folder = os.path.join(os.getcwd(), "")
    writes = []

    def audit(event, arguments):
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.path.abspath(os.fsdecode(arguments[0]))
            is_written = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if is_written and path.startswith(folder) and "__pycache__" not in path:
                writes.append(path)

    sys.addaudithook(audit)
    return writes


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


def inputs_state():
    """Returns what changes when packages or the interpreter are replaced."""
    folders = [path for path in sys.path if is_of_packages(path)]
    return [file_state(path) for path in [sys.executable, *folders]]


def file_state(path):
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def is_of_packages(path):
    parts = path.split(os.sep)
    return "site-packages" in parts or "dist-packages" in parts


def open_fds():
    fds = []
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:
            # The descriptor of the folder itself.
            continue
        fds.append(int(name))
    return fds


def check_fd(fd):
    """Raises a reason unless a descriptor, opened by an import, may be shared by all trials."""
    try:
        path = os.readlink("/proc/self/fd/%d" % fd)
        with open("/proc/self/fdinfo/%d" % fd) as info:
            flags = int(next(line for line in info if line.startswith("flags:")).split()[1], 8)
    except (OSError, StopIteration):
        return
    if path.startswith(DEVICES):
        raise Refused("importing its packages has opened the device `%s`" % path)
    if path.startswith("socket:"):
        raise Refused("importing its packages has opened a socket")
    if path.startswith(("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")):
        return
    if path.startswith("/") and flags & os.O_ACCMODE == os.O_RDONLY:
        return
    raise Refused("importing its packages has opened `%s`" % path)


def children():
    try:
        with open("/proc/self/task/%d/children" % os.getpid()) as listed:
            return {int(pid) for pid in listed.read().split()}
    except OSError:
        return set()


def check_threads():
    until = time.monotonic() + THREADS_END_WITHIN
    while True:
        count = sum(is_unsafe_thread(task) for task in os.listdir("/proc/self/task"))
        if count == 0:
            return
        if time.monotonic() > until:
            break
        time.sleep(0.001)
    word = "1 thread is" if count == 1 else "%d threads are" % count
    raise Refused("after importing its packages %s alive that a forked process lacks" % word)


def is_unsafe_thread(task):
    if int(task) == os.getpid():
        return False
    try:
        with open("/proc/self/task/%s/comm" % task) as name:
            return name.read().strip() not in FORK_SAFE_THREADS
    except OSError:
        return False


def is_initialized(module):
    try:
        return bool(module.is_initialized())
    except Exception:
        return False


class Request:
    """A program to run, as the slot describes it."""

    def __init__(self, fields):
        count = int(fields[3])
        self.cgroup = os.fsdecode(fields[1])
        self.workdir = os.fsdecode(fields[2])
        self.argv = fields[4 : 4 + count]
        self.changes = {}
        for entry in fields[4 + count :]:
            name, is_set, value = entry.partition(b"=")
            self.changes[name] = value if is_set else None

    def words(self):
        return [os.fsdecode(word) for word in self.argv]

    def script(self):
        """Returns `(path, None)` or `(None, module)`, and the arguments behind it."""
        words = self.words()[1:]
        while words:
            word = words.pop(0)
            if word == "-m":
                return (None, words[0]), words[1:]
            if not word.startswith("-"):
                return (word, None), words
            if word[-1] in WITH_VALUE and word[1:-1].isalpha() | (len(word) == 2):
                words.pop(0)
        raise Refused("its command names no script")


def run_reaper(host, connection, answer, lesson):
    """Runs the reaper of a trial until nothing of the trial is left."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setpgid(0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        if read_quietly(answer) != b"+":
            return
        os.close(answer)
        for own in (host.wire.connection, host.wake, host.waker, host.output):
            own.close()
        for reader in host.lessons or ():
            os.close(reader)
        message = connection.receive()
        if message is None:
            return
        request = Request(message)
        prepare(host, request)
        if len(connection.fds) != 3:
            raise Refused("its slot has sent no streams")
        wake, waker = socket.socketpair()
        for end in (wake, waker):
            end.setblocking(False)
        go, start = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(start)
            wake.close()
            waker.close()
            connection.connection.close()
            become_trial(host, request, connection.fds, go, lesson)
        # From here on, nothing may raise: the trial has its parent. Parent and child both make
        # the group, so that it is there before anyone signals it.
        try:
            os.setpgid(pid, pid)
        except OSError:
            pass
        os.close(go)
        for fd in connection.fds:
            os.close(fd)
        if lesson is not None:
            os.close(lesson)
        Reaper(connection, pid, start, wake, waker).serve()
    except Refused as refused:
        connection.send("refused", refused)
    except Exception as error:
        connection.send("refused", "its host failed: %r" % error)


class Reaper:
    """The parent of a trial."""

    def __init__(self, connection, pid, start, wake, waker):
        self.connection, self.pid, self.start, self.wake = connection, pid, start, wake
        self.waker = waker
        self.has_ended = False
        signal.signal(signal.SIGCHLD, take_no_notice)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)

    def serve(self):
        self.connection.send("started", self.pid, os.getpid())
        # The trial waits until its slot knows of it, so that no trial can run twice.
        if self.connection.receive() is None:
            self.end_all()
        write_quietly(self.start, b"+")
        os.close(self.start)
        while True:
            try:
                readable, _, _ = select.select([self.connection.connection, self.wake], [], [])
            except InterruptedError:
                continue
            if self.wake in readable:
                try:
                    self.wake.recv(4096)
                except OSError:
                    pass
            # Nothing but the end of the connection is expected.
            if self.connection.connection in readable and not self.connection.read():
                self.end_all()
            if not self.reap():
                self.connection.send("ended", self.reaped_microseconds())
                # The slot closes the connection.
                while self.connection.read():
                    pass
                os._exit(0)

    def reap(self):
        """Reaps dead children. Returns whether others live."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid:
                self.has_ended = True
                micros = int((usage.ru_utime + usage.ru_stime) * 1e6)
                self.own = micros
                self.connection.send("exited", status, micros, usage.ru_maxrss)

    def reaped_microseconds(self):
        times = os.times()
        total = int((times.children_user + times.children_system) * 1e6)
        return max(total - self.own, 0)

    def end_all(self):
        """Kills everything below this process."""
        if not self.has_ended:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except OSError:
                pass
        until = time.monotonic() + 5
        while time.monotonic() < until:
            kill(member for child in children() for member in tree(child))
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                break
            time.sleep(NAP)
        os._exit(0)


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


def prepare(host, request):
    """Does what may fail, before the trial exists; raises the reason."""
    (path, module), arguments = request.script()
    try:
        os.chdir(request.workdir)
    except OSError as error:
        raise Refused("its working folder cannot be entered: %s" % error)
    if path is not None:
        try:
            is_file = stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.R_OK)
        except OSError:
            is_file = False
        if not is_file:
            raise Refused("`%s` is no script that can be read" % path)
        with open(path, "rb") as script:
            if b"\0" in script.read():
                raise Refused("`%s` is no text" % path)
    request.target = path, module
    request.arguments = arguments
    request.folder = first_folder(path)
    check_names(request.folder)
    if request.cgroup:
        try:
            with open(request.cgroup, "w") as members:
                members.write("0")
        except OSError as error:
            raise Refused("its reaper cannot enter the cgroup of the slot: %s" % error)
    request.environment = environment_of(host, request.changes)
    request.block = Block(request.argv, request.environment)


def first_folder(path):
    """Returns the first entry of `sys.path`; `None` if the interpreter adds none."""
    if sys.flags.isolated or getattr(sys.flags, "safe_path", False):
        return None
    if path is None:
        return os.getcwd()
    return os.path.dirname(os.path.realpath(path)) or os.getcwd()


def check_names(folder):
    """Raises a reason if a file of the user would be imported in place of a module that is here."""
    if folder is None:
        return
    taken = {name.partition(".")[0] for name in sys.modules} - STARTED_WITH - {"__main__"}
    try:
        entries = os.listdir(folder)
    except OSError:
        return
    for entry in entries:
        name = entry.partition(".")[0]
        if name in taken and (
            entry == name or entry.endswith((".py", *importlib.machinery.EXTENSION_SUFFIXES))
        ):
            raise Refused("`%s` hides a module of its host" % os.path.join(folder, entry))


def environment_of(host, changes):
    environment = dict(host.environment)
    for name, value in changes.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return environment


class MemoryMap(ctypes.Structure):
    """`struct prctl_mm_map` of Linux."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "start_code", "end_code", "start_data", "end_data", "start_brk", "brk",
            "start_stack", "arg_start", "arg_end", "env_start", "env_end", "auxv",
        )
    ] + [("auxv_size", ctypes.c_uint32), ("exe_fd", ctypes.c_uint32)]


class Block:
    """Memory in which the kernel finds the command line and the environment of a process.

    Other programs read both in /proc, above all those that search for the processes of a trial.
    """

    def __init__(self, argv, environment):
        command = b"".join(word + b"\0" for word in argv)
        environment = b"".join(
            name + b"=" + value + b"\0" for name, value in environment.items()
        )
        length = len(command) + len(environment)
        self.memory = mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.memory[:length] = command + environment
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.middle, self.end = self.start + len(command), self.start + length

    def use(self):
        with open("/proc/self/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        numbers = (26, 27, 45, 46, 47)
        values = [int(fields[number - 3]) for number in numbers]
        values += [libc.sbrk(0), int(fields[28 - 3])]
        values += [self.start, self.middle, self.middle, self.end, 0, 0, 0xFFFFFFFF]
        mapped = MemoryMap(*values)
        size = ctypes.sizeof(mapped)
        if libc.prctl(PR_SET_MM, PR_SET_MM_MAP, ctypes.byref(mapped), size, 0) != 0:
            word = os.strerror(ctypes.get_errno())
            raise Refused("this kernel does not let a process set its environment: %s" % word)


def become_trial(host, request, fds, go, lesson):
    """Turns this process into the trial, and never returns."""
    status = 1
    try:
        # Without its reaper, the trial would not be ended with its slot.
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.setpgid(0, 0)
        if read_quietly(go) != b"+":
            os._exit(1)
        os.close(go)
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        for fd in fds:
            os.close(fd)
        libraries = mapped_libraries() if lesson is None else None
        if lesson is not None:
            # High, so that the first file of the trial has the number 3.
            import fcntl

            high = fcntl.fcntl(lesson, fcntl.F_DUPFD_CLOEXEC, 200)
            os.close(lesson)
            lesson = high
        request.block.use()
        apply_environment(host, request)
        renew_state()
        renew_input()
        preloaded = set(sys.modules)
        trial = os.getpid()
        status = run(request)
        # Not from a process that the script has forked and that also comes to its end.
        if lesson is not None and os.getpid() == trial:
            hand_over(lesson)
        end_python(preloaded)
        flush_c()
        if status == SIGINT_STATUS:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        if libraries is None or mapped_libraries() - libraries:
            # Libraries that the trial has loaded itself may have exit handlers.
            libc.exit(status)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def apply_environment(host, request):
    wanted = {**request.environment, **host.imported_environment}
    for name in list(os.environb):
        if name not in wanted:
            del os.environb[name]
    for name, value in wanted.items():
        if os.environb.get(name) != value:
            os.environb[name] = value


def renew_state():
    """Renews what every Python process draws for itself when it starts."""
    random = sys.modules.get("random")
    if random is not None:
        random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)
        process.ORIGINAL_DIR = os.getcwd()


def renew_input():
    """Opens standard input, which was a socket when the interpreter started."""
    former = sys.stdin
    if former is None:
        return
    raw = io.FileIO(0, "rb", closefd=False)
    raw.name = "<stdin>"
    stream = io.TextIOWrapper(io.BufferedReader(raw), former.encoding, former.errors)
    stream.mode = "r"
    sys.stdin = sys.__stdin__ = stream


def mapped_libraries():
    with open("/proc/self/maps", "rb") as maps:
        return {line.split()[-1] for line in maps if b".so" in line}


def run(request):
    """Runs the script or module as `__main__`; returns the exit status."""
    path, module = request.target
    sys.orig_argv = request.words()
    if request.folder is not None:
        sys.path.insert(0, request.folder)
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = sys.modules["builtins"]
    sys.modules["__main__"] = main
    sys.modules.pop("__mp_main__", None)
    if "multiprocessing.process" in sys.modules:
        sys.modules["__mp_main__"] = main
    try:
        if path is None:
            sys.argv[:] = ["-m", *request.arguments]
            run_module(module)
        else:
            sys.argv[:] = [path, *request.arguments]
            run_script(path, main)
        return 0
    except BaseException as error:
        raised = error
    # Not within the handler, since the user's hook does not run in one.
    return status_of(raised)


def run_script(path, main):
    absolute = os.path.abspath(path)
    main.__file__ = absolute
    main.__cached__ = None
    main.__annotations__ = {}
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", absolute)
    with open(absolute, "rb") as file:
        source = file.read()
    code = compile(source, absolute, "exec", dont_inherit=True)
    del source
    exec(code, main.__dict__)


def run_module(name):
    import runpy

    sys.modules["__main__"].__loader__ = importlib.machinery.BuiltinImporter
    runpy._run_module_as_main(name)


def status_of(error):
    """Ends the script as the interpreter does after an exception; returns the exit status."""
    if isinstance(error, SystemExit):
        code = error.code
        flush(sys.stdout)
        if code is None:
            return 0
        if isinstance(code, int):
            return code & 0xFF
        print(code, file=sys.stderr)
        return 1
    shown = error.__traceback__ = without_host(error.__traceback__)
    flush(sys.stdout)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, shown
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    try:
        sys.excepthook(type(error), error, shown)
    except BaseException as second:
        if isinstance(second, SystemExit):
            return status_of(second)
        second.__traceback__ = without_host(second.__traceback__)
        print("Error in sys.excepthook:", file=sys.stderr)
        sys.__excepthook__(type(second), second, second.__traceback__)
        print("\nOriginal exception was:", file=sys.stderr)
        sys.__excepthook__(type(error), error, shown)
    return SIGINT_STATUS if isinstance(error, KeyboardInterrupt) else 1


def without_host(frames):
    """Returns a traceback without the frames of the host."""
    while frames is not None and frames.tb_frame.f_code.co_filename == HERE:
        frames = frames.tb_next
    return frames


# The status of a script that ends by an exception of Ctrl-C: the process kills itself.
SIGINT_STATUS = -signal.SIGINT


def hand_over(lesson):
    """Hands the names of the modules from packages to the host, in the order of their imports."""
    names = []
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        origin = getattr(spec, "origin", None)
        top = name.partition(".")[0]
        if getattr(spec, "name", None) == name and isinstance(origin, str):
            # The module of swath reads the environment of its trial.
            if is_of_packages(origin) and os.path.isabs(origin) and top != "swath":
                names.append(name)
    data = json.dumps(names).encode() + b"\n"
    until = time.monotonic() + LEARN_WITHIN
    os.set_blocking(lesson, False)
    while data and time.monotonic() < until:
        try:
            data = data[os.write(lesson, data) :]
        except BlockingIOError:
            time.sleep(NAP)
        except OSError:
            break
    os.close(lesson)


def end_python(preloaded):
    """Ends the interpreter as far as it can be seen from outside."""
    threading._shutdown()
    atexit._run_exitfuncs()
    flush(sys.stdout)
    flush(sys.stderr)
    clear_modules(preloaded)
    gc.collect()
    flush(sys.stdout)
    flush(sys.stderr)


def clear_modules(preloaded):
    """Removes the modules of the user, so that their objects end and their files are flushed."""
    import weakref

    remaining = []
    for name, module in list(sys.modules.items()):
        if type(module) is not types.ModuleType:
            continue
        if name == "__main__" or (name not in preloaded and is_of_user(module)):
            remaining.append(weakref.ref(module))
            sys.modules[name] = None
    del module
    sys.modules.pop("__mp_main__", None)
    gc.collect()
    for reference in reversed(remaining):
        module = reference()
        if module is not None:
            clear_module(module.__dict__)
    del module


def is_of_user(module):
    path = getattr(module, "__file__", None)
    return isinstance(path, str) and not path.startswith(LIBRARY) and not is_of_packages(path)


def clear_module(names):
    for is_private in (True, False):
        for name in list(names):
            if name == "__builtins__":
                continue
            if (name.startswith("_") and not name.startswith("__")) == is_private:
                names[name] = None


def flush(stream):
    try:
        if stream is not None and not stream.closed:
            stream.flush()
    except BaseException:
        pass


def flush_c():
    libc.fflush(None)


LIBRARY = os.path.dirname(os.__file__) + os.sep
HERE = run.__code__.co_filename

if __name__ == "__main__":
    Host().serve()
