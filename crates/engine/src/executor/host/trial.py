"""The trial: a process that a reaper has forked and that runs the script of a user."""

# Longest time for a trial to hand over the list of its modules.
LEARN_WITHIN = 1.0


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
        loads = count_loads() if lesson is None else None
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
        begin_hook()
        hazards = watch_files() if lesson is not None else None
        trial = os.getpid()
        status = run(request)
        # Not from a process that the script has forked and that also comes to its end.
        if lesson is not None and os.getpid() == trial:
            hand_over(lesson, hazards)
        end_python(host.modules)
        flush_c()
        if status == SIGINT_STATUS:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        if count_loads() != loads:
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


def begin_hook():
    """Lets the `sitecustomize` module of a source begin with this trial, if there is one."""
    hook = sys.modules.get("_swath_hook")
    if hook is not None:
        hook.begin_trial()


class LoadedLibrary(ctypes.Structure):
    """`struct dl_phdr_info` of the C library."""

    _fields_ = [
        ("address", ctypes.c_size_t),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.c_void_p),
        ("header_count", ctypes.c_uint16),
        ("loads", ctypes.c_ulonglong),
        ("unloads", ctypes.c_ulonglong),
    ]


LOADS = ctypes.c_ulonglong()


@ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(LoadedLibrary), ctypes.c_size_t, ctypes.c_void_p
)
def note_loads(library, *_):
    LOADS.value = library.contents.loads
    return 1


def count_loads():
    """Returns the number of times that this process has loaded a library.

    Reading /proc/self/maps instead takes milliseconds, of which a trial may have few.
    """
    libc.dl_iterate_phdr(note_loads, None)
    return LOADS.value


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
    absolute = absolute_path(path)
    main.__file__ = absolute
    main.__cached__ = None
    main.__annotations__ = {}
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", absolute)
    with open(absolute, "rb") as file:
        source = file.read()
    code = compile(source, absolute, "exec", dont_inherit=True)
    del source
    exec(code, main.__dict__)


def absolute_path(path):
    """Returns the path as the interpreter does for a script, which keeps `.` and `..` in it."""
    return path if os.path.isabs(path) else os.getcwd() + os.sep + path


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


def watch_files():
    """Returns a list to which reasons are added against importing the packages of a trial ahead.

    These are the files in the working folder that importing a package opens, apart from those of
    the interpreter and of packages. The hook stays for the rest of this process and slows it, so
    the host has none: its trials would inherit it.
    """
    folder = os.path.join(os.getcwd(), "")
    prefixes = tuple(os.path.join(path, "") for path in (sys.prefix, sys.base_prefix))
    hazards = []

    def audit(event, arguments):
        if event != "open" or hazards or not isinstance(arguments[0], (str, bytes)):
            return
        try:
            path = os.path.abspath(os.fsdecode(arguments[0]))
        except OSError:
            return
        if not path.startswith(folder) or "__pycache__" in path:
            return
        if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            verb = "writes"
        elif ELSEWHERE and not path.startswith(prefixes) and not is_of_packages(path):
            verb = "reads"
        else:
            return
        name = module_being_imported()
        if name is not None:
            hazards.append("importing `%s` %s `%s`" % (name, verb, path))

    sys.addaudithook(audit)
    return hazards


def module_being_imported():
    """Returns the innermost module of a package whose import has led here; `None` if none has."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code is LOADER:
            spec = frame.f_locals.get("spec")
            if is_imported_ahead(spec):
                return spec.name
        frame = frame.f_back
    return None


def is_imported_ahead(spec):
    """Returns whether hosts import a module: all of packages but swath.

    The module of swath reads the environment of its trial.
    """
    origin = getattr(spec, "origin", None)
    if not isinstance(origin, str) or spec.name.partition(".")[0] == "swath":
        return False
    return is_of_packages(origin) and os.path.isabs(origin)


def hand_over(lesson, hazards):
    """Hands the names of the modules from packages to the host, in the order of their imports.

    The first of the hazards comes with them.
    """
    names = []
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if getattr(spec, "name", None) == name and is_imported_ahead(spec):
            names.append(name)
    data = json.dumps([names, hazards[0] if hazards else None]).encode() + b"\n"
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
    for name in [*added_modules(preloaded), "__main__"]:
        module = sys.modules.get(name)
        if type(module) is types.ModuleType and (name == "__main__" or is_of_user(module)):
            remaining.append(weakref.ref(module))
            sys.modules[name] = None
    del module
    sys.modules.pop("__mp_main__", None)
    gc.collect()
    for reference in remaining:
        module = reference()
        if module is not None:
            clear_module(module.__dict__)
    del module


def added_modules(preloaded):
    """Returns the names of the modules that the trial has imported, the last one first."""
    names = []
    for name in reversed(sys.modules):
        if name == "__main__":
            break
        if name not in preloaded:
            names.append(name)
    return names


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


def flush_c():
    libc.fflush(None)


# The status of a script that ends by an exception of Ctrl-C: the process kills itself.
SIGINT_STATUS = -signal.SIGINT

# Code of the import system that runs a module, whose description is its variable `spec`.
LOADER = importlib._bootstrap._load_unlocked.__code__

LIBRARY = os.path.dirname(os.__file__) + os.sep
HERE = run.__code__.co_filename
