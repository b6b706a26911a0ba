"""The host itself, which imports packages and forks reapers."""

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

# Whether trials run in other folders than this process, which has the argument `elsewhere`.
ELSEWHERE = "elsewhere" in sys.argv[1:]

# Time for threads that have just ended to disappear from /proc.
THREADS_END_WITHIN = 0.02


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
        self.note_modules()
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
        try:
            self.check_inputs()
        except Refused:
            self.wire.send("outdated")
            raise
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

    def check_inputs(self):
        if inputs_state() != self.inputs:
            raise Refused("packages have changed, and another host is started")

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
            self.import_modules(*json.loads(names))

    def import_modules(self, names, hazard):
        """Imports the modules of a trial, which has noted the `hazard` of doing so if there is one.

        A crash ends this process. What it has forked goes on.
        """
        self.wire.send("importing")
        try:
            if hazard:
                raise Refused(hazard)
            for name in names:
                reason = UNSAFE.get(name.partition(".")[0])
                if reason:
                    raise Refused(reason)
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
        self.note_modules()
        gc.freeze()
        self.wire.send("ready", len(names))

    def note_modules(self):
        """Notes the modules that trials find, so that none of them has to go through all.

        Each name that a trial touches costs it a copy of a page, for the reference count.
        """
        # Modules behind this one are those of the trial.
        sys.modules["__main__"] = sys.modules.pop("__main__")
        self.modules = frozenset(sys.modules)
        packages = {name.partition(".")[0] for name in self.modules}
        self.packages = packages - STARTED_WITH - {"__main__"}

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
        strangers = children() - self.reapers
        if strangers:
            kill(member for child in strangers for member in tree(child))
            raise Refused("importing `%s` starts another process" % name)


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


if __name__ == "__main__":
    Host().serve()
