"""The reaper: the parent of a trial, and the subreaper of all that the trial starts."""

# Options of the interpreter that take a value, as in `-W error`.
WITH_VALUE = "WX"


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
    """Runs the reaper of a slot until the slot has no more trials for it."""
    signal.set_wakeup_fd(-1)
    os.setpgid(0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if read_quietly(answer) != b"+":
        return
    os.close(answer)
    for own in (host.wire.connection, host.wake, host.waker, host.output):
        own.close()
    for reader in host.lessons or ():
        os.close(reader)
    reaper = Reaper(host, connection, lesson)
    while reaper.run_trial():
        pass


class Reaper:
    """The parent of the trials of a slot, which run one after another.

    It runs no code of the user, so each trial finds what the first one has found. A trial from
    which the host learns its packages is the only one of its reaper.
    """

    def __init__(self, host, connection, lesson):
        self.host, self.connection, self.lesson = host, connection, lesson
        self.wake, self.waker = socket.socketpair()
        for end in (self.wake, self.waker):
            end.setblocking(False)
        # Processor time of reaped processes that the slot knows of, in microseconds.
        self.reported = 0

    def run_trial(self):
        """Runs a trial if the slot has one. Returns whether to ask the slot again."""
        message = self.connection.receive()
        if message is None:
            return False
        try:
            request = Request(message)
            prepare(self.host, request)
            if len(self.connection.fds) != 3:
                raise Refused("its slot has sent no streams")
            start = self.fork(request)
        except Refused as refused:
            self.connection.send("refused", refused)
            return False
        except Exception as error:
            self.connection.send("refused", "its host failed: %r" % error)
            return False
        self.follow(start)
        if self.lesson is None:
            return True
        # The slot closes the connection.
        while self.connection.read():
            pass
        return False

    def fork(self, request):
        """Forks the trial. Returns the descriptor on which it waits for a byte."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        go, start = os.pipe()
        self.pid, self.has_ended = os.fork(), False
        if self.pid == 0:
            os.close(start)
            for end in (self.wake, self.waker, self.connection.connection):
                end.close()
            become_trial(self.host, request, self.connection.fds, go, self.lesson)
        # From here on, nothing may raise: the trial has its parent. Parent and child both make
        # the group, so that it is there before anyone signals it.
        try:
            os.setpgid(self.pid, self.pid)
        except OSError:
            pass
        for fd in (go, *self.connection.fds):
            os.close(fd)
        self.connection.fds.clear()
        if self.lesson is not None:
            os.close(self.lesson)
        signal.signal(signal.SIGCHLD, take_no_notice)
        signal.set_wakeup_fd(self.waker.fileno(), warn_on_full_buffer=False)
        return start

    def follow(self, start):
        """Lets the trial run, and waits until nothing of it is left."""
        self.connection.send("started", self.pid, os.getpid())
        # The trial waits until its slot knows of it, so that no trial can run twice.
        if self.connection.receive() is None:
            self.end_all()
        write_quietly(start, b"+")
        os.close(start)
        while self.reap():
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
        takes_another = int(self.lesson is None)
        self.connection.send("ended", self.unreported_microseconds(), takes_another)

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
                self.reported += micros
                self.connection.send("exited", status, micros, usage.ru_maxrss)

    def unreported_microseconds(self):
        """Returns the processor time of what the trial has left."""
        times = os.times()
        total = int((times.children_user + times.children_system) * 1e6)
        rest = max(total - self.reported, 0)
        self.reported += rest
        return rest

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


def prepare(host, request):
    """Does what may fail, before the trial exists; raises the reason."""
    host.check_inputs()
    check_threads()
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
    check_names(request.folder, host.packages)
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


def check_names(folder, taken):
    """Raises a reason if a file of the user would be imported in place of a module that is here."""
    if folder is None:
        return
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
