"""Trials that a host forks and trials that start cold cannot be told apart."""

import os
import re
import signal
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("numpy")
hosting = pytest.importorskip("hosting")
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="hosts need Linux"
)

LEARN = """
import numpy, multiprocessing, concurrent.futures, asyncio, logging, tempfile
try:
    import sklearn.linear_model, sklearn.ensemble, joblib
except ImportError:
    pass
"""

# Each script runs as a program of its own and forked from a host. Output, status and all files in
# its folder must be equal.
SCRIPTS = {
    "prints_and_ends": "print('out'); import sys; print('err', file=sys.stderr)",
    "status_3": "raise SystemExit(3)",
    "status_257": "import sys; sys.exit(257)",
    "status_minus_1": "import sys; sys.exit(-1)",
    "status_true": "import sys; sys.exit(True)",
    "status_text": "import sys; print('a'); sys.exit('why')",
    "status_none": "import sys; sys.exit(None)",
    "hard_exit": "import os; print('lost'); os._exit(4)",
    "exception": "def f(x):\n    return 1 / x\nprint('a')\nf(0)",
    "chained_exception": """
        try:
            {}['a']
        except KeyError as error:
            raise ValueError('b') from error
        """,
    "exception_group": """
        import sys
        if sys.version_info < (3, 11):
            raise SystemExit(0)
        raise ExceptionGroup('many', [ValueError(1), KeyError('x')])
        """,
    "syntax_error": "x = = 1",
    "syntax_error_in_module": "import broken",
    "exception_in_module": "import failing",
    "own_hook": """
        import sys
        sys.excepthook = lambda kind, error, trace: print('hook', kind.__name__, trace.tb_lineno)
        1 / 0
        """,
    "failing_hook": """
        import sys
        def hook(*_):
            raise KeyError('hook')
        sys.excepthook = hook
        1 / 0
        """,
    "keyboard_interrupt": "raise KeyboardInterrupt",
    "sigterm": "import os, signal; print('x', flush=True); os.kill(os.getpid(), signal.SIGTERM)",
    "sigint": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "sigint_handled": """
        import os, signal
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        except KeyboardInterrupt:
            print('handled')
        """,
    "abort": "import os; os.abort()",
    "sigpipe_is_ignored": """
        import os, signal
        print(signal.getsignal(signal.SIGPIPE), signal.getsignal(signal.SIGCHLD))
        print(signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, []))
        print(signal.set_wakeup_fd(-1))
        """,
    "handler_of_sigterm": """
        import os, signal, sys
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
        os.kill(os.getpid(), signal.SIGTERM)
        """,
    "atexit_order": """
        import atexit
        atexit.register(print, 'first')
        atexit.register(print, 'second')
        print('end')
        """,
    "exception_in_atexit": "import atexit\n@atexit.register\ndef f():\n    1 / 0",
    "threads_are_joined": """
        import threading, time
        threading.Thread(target=lambda: (time.sleep(0.1), print('joined'))).start()
        print('main')
        """,
    "daemon_threads_are_not": """
        import threading, time
        threading.Thread(target=lambda: time.sleep(60), daemon=True).start()
        print(threading.main_thread().name, threading.current_thread().name)
        """,
    "exception_in_a_thread": """
        import threading
        def work():
            1 / 0
        thread = threading.Thread(target=work, name='w')
        thread.start()
        thread.join()
        """,
    "unflushed_file": "f = open('left.txt', 'w')\nf.write('tail')",
    "unflushed_file_of_a_module": "import keeper",
    "destructors": """
        class Loud:
            def __init__(self, name): self.name = name
            def __del__(self): print('del', self.name)
        a = Loud('a')
        cycle = Loud('cycle'); cycle.me = cycle
        """,
    "stdio_of_c": "import ctypes; ctypes.CDLL(None).printf(b'from C'); print('from Python')",
    "streams": """
        import sys
        for s in (sys.stdin, sys.stdout, sys.stderr):
            print(s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.isatty(), s.fileno())
        print(sys.stdin.read() == '', sys.stdin is sys.__stdin__, sys.stdout.seekable())
        """,
    "arguments": "import sys; print(sys.argv, getattr(sys, 'orig_argv', 0), sys.flags)",
    "path": "import sys; print(sys.path, sys.executable, sys.prefix)",
    "main": """
        import __main__, sys
        print(sorted(k for k in vars(__main__) if k not in ('sys', '__main__')))
        print(__name__, __file__, __spec__, __package__, __doc__, type(__loader__).__name__)
        print(sys.modules['__main__'] is __main__, type(__builtins__).__name__)
        """,
    "environment": """
        import os
        # scikit-learn, which the host has imported, sets variables with this prefix.
        print(sorted(n for n in os.environ if not n.startswith('KMP_')), os.environ['A'])
        text = open('/proc/self/environ').read().rstrip(chr(0)).split(chr(0))
        print(sorted(t for t in text if t.startswith(('A=', 'PATH='))))
        os.environ['B'] = '2'
        print(os.popen('echo $A $B').read())
        """,
    "command_line": """
        text = open('/proc/self/cmdline').read().split(chr(0))
        print(text, open('/proc/self/comm').read())
        """,
    "folder": "import os; print(os.getcwd(), os.umask(0o22))",
    "descriptors": """
        import os
        print([os.path.exists('/proc/self/fd/%d' % n) for n in range(30)])
        print(open('descriptor', 'w').fileno())
        """,
    "process_group": """
        import os
        print(os.getpgid(0) == os.getpid(), len(os.listdir('/proc/self/task')))
        """,
    "limits": "import resource; print([resource.getrlimit(n) for n in range(8)])",
    "random_numbers_differ": """
        import random, numpy
        open('random', 'w').write('%r %r' % (random.random(), numpy.random.rand()))
        """,
    "random_numbers_of_a_seed": """
        import random, numpy
        random.seed(1); numpy.random.seed(1)
        print(random.random(), numpy.random.rand(), numpy.random.default_rng(1).random())
        """,
    "linear_algebra": """
        import numpy
        a = numpy.random.default_rng(0).random((300, 300))
        print(numpy.linalg.svd(a @ a)[1][:3])
        """,
    "asyncio": """
        import asyncio
        async def main():
            process = await asyncio.create_subprocess_exec('echo', 'a')
            return await process.wait()
        print(asyncio.run(main()))
        """,
    "subprocess": """
        import subprocess, sys
        print(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True))
        """,
    "fork": """
        import os, sys
        pid = os.fork()
        if pid == 0:
            print('child')
            sys.exit(5)
        print(os.waitpid(pid, 0)[1])
        """,
    "user_module": "import helper; print(helper.__file__, helper.value)",
    "relative_file": "print(open('data.txt').read())",
    "source_is_found": """
        import inspect
        def f():
            return 1
        print(inspect.getsource(f))
        """,
    "pickle_of_main": """
        import pickle
        class A: pass
        print(pickle.dumps(A()), type(pickle.loads(pickle.dumps(A()))))
        """,
    "logging": """
        import logging
        logging.basicConfig(level=logging.INFO)
        logging.info('a')
        logging.getLogger('x').warning('b')
        """,
    "warnings": "import warnings\nwarnings.warn('a')\nwarnings.warn('b', DeprecationWarning)",
    "unraisable": """
        class A:
            def __del__(self): 1 / 0
        a = A()
        del a
        """,
    "recursion": """
        import sys
        print(sys.getrecursionlimit())
        def f(): f()
        try:
            f()
        except RecursionError as error:
            print(str(error)[:32])
        """,
    "temporary_files": """
        import tempfile, os
        with tempfile.NamedTemporaryFile(dir='.') as file:
            print(os.path.dirname(file.name) == os.getcwd())
        """,
    "future_does_not_leak": "def f(a: int): pass\nprint(f.__annotations__)",
    "stdout_closed": "import sys; print('x'); sys.stdout.close()",
}

for method in ("fork", "spawn", "forkserver"):
    SCRIPTS[f"multiprocessing_{method}"] = f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        class Point:
            def __init__(self, x): self.x = x
        def work(point):
            return Point(point.x + 1)
        if __name__ == '__main__':
            context = multiprocessing.get_context('{method}')
            with context.Pool(2) as pool:
                print([p.x for p in pool.map(work, [Point(n) for n in range(4)])])
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                print([p.x for p in pool.map(work, [Point(n) for n in range(4)])])
            print(multiprocessing.current_process().name, multiprocessing.parent_process())
        """

# One script, since each cold start imports scikit-learn.
WITH_SKLEARN = """
    import math
    import joblib
    from sklearn.datasets import make_classification
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    if __name__ == '__main__':
        x, y = make_classification(200, random_state=0)
        for jobs in (1, 2):
            model = RandomForestClassifier(5, n_jobs=jobs, random_state=0).fit(x, y)
            print(model.score(x, y))
        # Processes of loky, then threads of OpenMP.
        print(joblib.Parallel(2)(joblib.delayed(math.sqrt)(n) for n in range(5)))
        model = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(x, y)
        print(model.score(x, y))
    """

FILES = {
    "helper.py": "value = 5\n",
    "broken.py": "y = (\n",
    "failing.py": "def g():\n    raise KeyError('in module')\ng()\n",
    "keeper.py": "file = open('kept.txt', 'w')\nfile.write('kept')\n",
    "data.txt": "data",
}

# Files whose contents differ from run to run.
VARYING = {"random"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def host(folder):
    host = hosting.Host(folder)
    assert host.learn(LEARN)[0] == "ready"
    yield host
    host.close()


def fill(folder, script):
    """Empties the folder, and writes the files of a case."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "case.py").write_text(textwrap.dedent(script))


def outcome(folder, status):
    files = {
        str(path.relative_to(folder)): re.sub(rb"0x[0-9a-f]+", b"0x", path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for name in VARYING & files.keys():
        assert files.pop(name)
    return {"status": status, **files}


ENV = {"A": "of the trial", "SWATH_RUN": "mark"}


def compare(host, folder, script, words=("case.py", "a b", "")):
    fill(folder, script)
    cold = outcome(folder, hosting.start_cold(folder, words, ENV))
    fill(folder, script)
    # All scripts have one reaper, so none may leave traces in it.
    warm = outcome(folder, host.run(words, ENV))
    assert warm == cold


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_forked_trial_equals_one_that_starts_cold(host, folder, name):
    compare(host, folder, SCRIPTS[name])


def test_a_forked_trial_with_joblib_and_openmp_equals_one_that_starts_cold(host, folder):
    pytest.importorskip("sklearn")
    compare(host, folder, WITH_SKLEARN)


@pytest.mark.parametrize(
    "script", ["import sys; print(sys.argv, sys.path[0], __name__, __spec__.name)", "1 / 0"]
)
def test_a_forked_module_equals_one_that_starts_cold(host, folder, script):
    compare(host, folder, script, ("-m", "case", "x"))


@pytest.mark.parametrize("path", ["./case.py", "./../{name}/case.py", "{folder}/./case.py"])
def test_the_path_of_a_forked_script_is_that_of_one_that_starts_cold(host, folder, path):
    script = "import sys\nprint(__file__, sys.argv, sys.path[0])\n1 / 0"
    path = path.format(name=folder.name, folder=folder)
    compare(host, folder, script, (path,))


# Packages that no host may fork after it has imported them, with a word of the reason.
HAZARDS = {
    "a_thread_that_sleeps": (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "thread",
    ),
    "a_lock_held_by_a_thread": (
        """
        import threading, time
        lock = threading.Lock()
        def hold():
            with lock:
                time.sleep(600)
        threading.Thread(target=hold, daemon=True).start()
        """,
        "thread",
    ),
    "a_pool_of_threads": (
        """
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(2)
        pool.submit(int).result()
        """,
        "thread",
    ),
    "output_of_print": ("print('welcome')", "output"),
    "output_on_stderr": ("import sys; sys.stderr.write('careful')", "output"),
    "output_of_a_descriptor": ("import os; os.write(1, b'x')", "output"),
    "output_of_c": ("import ctypes; ctypes.CDLL(None).printf(b'x')", "output"),
    "a_file_in_the_folder": ("open('log.txt', 'a').write('x')", "writes"),
    "a_file_left_open": (
        "import tempfile; file = tempfile.TemporaryFile()",
        "opened",
    ),
    "a_socket": ("import socket; s = socket.socket()", "socket"),
    "a_pipe": ("import os; ends = os.pipe()", "opened"),
    "a_child": (
        """
        import os, subprocess
        if 'SWATH_TRIAL' not in os.environ:
            child = subprocess.Popen(['sleep', '600'])
        """,
        "process",
    ),
    "an_open_device_context": (
        "import torch.cuda",
        "initialized",
        {"torch/__init__.py": "", "torch/cuda.py": "def is_initialized(): return True"},
    ),
}
for name in ("jax", "tensorflow", "grpc", "ray", "pyspark", "mpi4py"):
    HAZARDS[f"the_package_{name}"] = (f"import {name}", "fork", {f"{name}/__init__.py": ""})


def install(folder, packages):
    for name, text in packages.items():
        path = folder / "site-packages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def learn_packages(folder, packages, script="import hazard", arguments=()):
    install(folder, packages)
    (folder / "work").mkdir(exist_ok=True)
    env = {"PYTHONPATH": str(folder / "site-packages"), "PYTHONDONTWRITEBYTECODE": "1"}
    host = hosting.Host(folder / "work", env=env, arguments=arguments)
    (folder / "work" / "learn.py").write_text(script)
    assert host.fork(["learn.py"], {"SWATH_TRIAL": "1"}).wait() == 0
    assert hosting.receive(host.control) == ["importing"]
    return host, hosting.receive(host.control)


@pytest.mark.parametrize("name", HAZARDS)
def test_a_host_refuses_to_fork_after_an_import_with(tmp_path, name):
    text, word, *more = HAZARDS[name]
    packages = {"hazard.py": text, **(more[0] if more else {})}
    host, _ = learn_packages(tmp_path, packages)
    with pytest.raises(hosting.Refused, match=word):
        host.fork(["learn.py"]).wait()
    end(host)


# Runs a parallel region, as a package that trains at its import does.
OPENMP = """
    import ctypes
    region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
    library = ctypes.CDLL({library!r})
    library.GOMP_parallel(region, None, 2, 0)
    """


def test_a_host_refuses_to_fork_after_an_import_that_has_used_openmp(tmp_path):
    sklearn = pytest.importorskip("sklearn")
    bundled = Path(sklearn.__path__[0]).with_name("scikit_learn.libs").glob("libgomp*")
    library = next(map(str, bundled), None)
    if library is None:
        pytest.skip("this scikit-learn brings no libgomp")
    host, _ = learn_packages(tmp_path, {"hazard.py": OPENMP.format(library=library)})
    with pytest.raises(hosting.Refused, match="alive"):
        host.fork(["learn.py"]).wait()
    end(host)


def end(host):
    """Ends a host, with what its imports have started."""
    host.control.close()
    try:
        os.killpg(host.process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    host.process.wait(hosting.WITHIN)


def test_a_package_that_cannot_be_imported_alone_is_left_to_the_trial(tmp_path):
    packages = {
        "hazard.py": "import os\nif 'SWATH_TRIAL' not in os.environ: raise ImportError('x')"
    }
    host, state = learn_packages(tmp_path, packages)
    assert state[0] == "ready"
    assert host.fork(["learn.py"], {"SWATH_TRIAL": "2"}).wait() == 0
    end(host)


def test_a_trial_whose_file_hides_a_module_of_its_host_starts_cold(host, folder):
    fill(folder, "import numpy; print(numpy.value)")
    (folder / "numpy.py").write_text("value = 1")
    with pytest.raises(hosting.Refused, match="numpy.py` hides"):
        host.fork(["case.py"])
    (folder / "numpy.py").unlink()
    assert host.fork(["case.py"]).wait() == 1 << 8


def test_a_host_whose_packages_have_changed_forks_no_more(tmp_path):
    host, state = learn_packages(tmp_path, {"hazard.py": ""})
    assert state[0] == "ready"
    (tmp_path / "site-packages" / "new").mkdir()
    with pytest.raises(hosting.Refused, match="changed"):
        host.fork(["learn.py"])
    assert hosting.receive(host.control) == ["outdated"]
    end(host)


@pytest.mark.parametrize("arguments", [[], ["elsewhere"]])
def test_a_package_that_reads_in_the_folder_is_refused_if_trials_run_elsewhere(tmp_path, arguments):
    text = "import os\nif os.path.exists('learn.py'): open('learn.py').read()"
    host, _ = learn_packages(tmp_path, {"hazard.py": text}, arguments=arguments)
    if arguments:
        with pytest.raises(hosting.Refused, match="reads"):
            host.fork(["learn.py"])
    else:
        assert host.fork(["learn.py"]).wait() == 0
    end(host)


def test_files_that_the_script_and_modules_of_the_user_write_are_no_hazard(tmp_path):
    script = "open('of_script', 'w'); import mine, hazard; open('later', 'w')"
    packages = {
        "hazard.py": "import mine",
        "../work/mine.py": "import sys; open('of_module', 'w')",
    }
    (tmp_path / "work").mkdir()
    host, state = learn_packages(tmp_path, packages, script)
    assert state[0] == "ready"
    assert (tmp_path / "work" / "later").exists()
    end(host)


@pytest.mark.parametrize("words", [["missing.py"], ["."], [], ["binary.py"]])
def test_what_is_no_script_starts_cold(host, folder, words):
    fill(folder, "")
    (folder / "binary.py").write_text("x = 1\0")
    with pytest.raises(hosting.Refused):
        host.fork(words)


def test_packages_are_imported_once_and_modules_of_the_user_by_each_trial(tmp_path):
    packages = {"hazard.py": "import os; owner = os.getpid()"}
    host, _ = learn_packages(tmp_path, packages)
    work = tmp_path / "work"
    (work / "mine.py").write_text("value = 1")
    (work / "show.py").write_text("import hazard, mine; print(hazard.owner, mine.value)")
    assert host.fork(["show.py"]).wait() == 0
    (work / "mine.py").write_text("value = 22")
    assert host.fork(["show.py"]).wait() == 0
    pid = host.process.pid
    assert (work / "stdout.log").read_text() == f"{pid} 1\n{pid} 22\n"
    end(host)


def test_the_next_trial_of_a_reaper_finds_no_trace_of_the_one_before(host, folder):
    fill(folder, "import os; print(os.getcwd(), os.environ.get('B'), len(os.environ))")
    first = host.fork(["case.py"], {"B": "2"})
    assert first.wait_and_keep() == 0
    second = host.fork(["case.py"], after=first)
    assert second.wait() == 0
    assert second.reaper == first.reaper
    (set_b, without) = (folder / "stdout.log").read_text().splitlines()
    assert set_b.split()[1:2] == ["2"] and without.split()[1:2] == ["None"]
    hosting.wait_until(lambda: hosting.is_gone(first.reaper))


def test_a_reaper_whose_packages_have_changed_forks_no_more(tmp_path):
    host, _ = learn_packages(tmp_path, {"hazard.py": ""})
    trial = host.fork(["learn.py"])
    assert trial.wait_and_keep() == 0
    (tmp_path / "site-packages" / "new").mkdir()
    with pytest.raises(hosting.Refused, match="changed"):
        host.fork(["learn.py"], after=trial)
    end(host)


def test_a_reaper_that_waits_ends_with_its_slot_and_outlives_its_host(tmp_path):
    host, _ = learn_packages(tmp_path, {"hazard.py": ""})
    trial = host.fork(["learn.py"])
    assert trial.wait_and_keep() == 0
    host.process.kill()
    host.process.wait()
    trial = host.fork(["learn.py"], after=trial)
    assert trial.wait_and_keep() == 0
    trial.connection.close()
    hosting.wait_until(lambda: hosting.is_gone(trial.reaper))
    host.control.close()


def start_tree(host, folder):
    """Starts a trial with a child and a daemon; returns it and the processes."""
    fill(
        folder,
        """
        import os, subprocess, sys, time
        child = subprocess.Popen(['sleep', '600'])
        daemon = subprocess.Popen(['sleep', '600'], start_new_session=True)
        with open('pids.new', 'w') as file:
            file.write('%d %d' % (child.pid, daemon.pid))
        os.rename('pids.new', 'pids')
        time.sleep(600)
        """,
    )
    trial = host.fork(["case.py"])
    hosting.wait_until((folder / "pids").exists)
    return trial, [trial.pid, *map(int, (folder / "pids").read_text().split())]


def test_a_trial_and_all_below_it_end_with_the_connection_of_its_slot(host, folder):
    trial, pids = start_tree(host, folder)
    trial.connection.close()
    hosting.wait_until(lambda: all(map(hosting.is_gone, [*pids, trial.reaper])))


def test_the_processes_that_a_trial_has_left_are_below_its_reaper_until_they_end(host, folder):
    trial, pids = start_tree(host, folder)
    os.kill(trial.pid, signal.SIGKILL)
    assert hosting.receive(trial.connection)[:2] == ["exited", "9"]
    assert not hosting.is_readable(trial.connection, 0.2)
    for pid in pids[1:]:
        assert f" {trial.reaper} " in Path(f"/proc/{pid}/stat").read_text()
        os.kill(pid, signal.SIGKILL)
    assert hosting.receive(trial.connection)[0] == "ended"
    trial.connection.close()


def test_a_trial_ends_with_its_reaper(host, folder):
    trial, pids = start_tree(host, folder)
    os.kill(trial.reaper, signal.SIGKILL)
    hosting.wait_until(lambda: hosting.is_gone(trial.pid))
    assert hosting.receive(trial.connection) is None
    for pid in pids[1:]:
        os.kill(pid, signal.SIGKILL)


def test_a_trial_goes_on_when_its_host_is_killed(tmp_path):
    host = hosting.Host(tmp_path)
    script = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('end')"
    (tmp_path / "case.py").write_text(script)
    trial = host.fork(["case.py"])
    host.process.kill()
    host.process.wait()
    (tmp_path / "go").touch()
    assert trial.wait() == 0
    assert (tmp_path / "stdout.log").read_text() == "end\n"
    host.control.close()


def test_a_trial_runs_only_after_the_word_of_its_slot(host, folder):
    fill(folder, "open('ran', 'w')")
    own, other = hosting.socket.socketpair()
    hosting.send(host.control, "fork", fds=[other.fileno()])
    other.close()
    streams = hosting.open_streams(folder)
    hosting.send(own, "start", "", folder, 2, sys.executable, "case.py", fds=streams)
    own.settimeout(hosting.WITHIN)
    kind, pid, reaper = hosting.receive(own)
    own.close()
    hosting.wait_until(lambda: hosting.is_gone(int(pid)) and hosting.is_gone(int(reaper)))
    assert not (folder / "ran").exists()
    for fd in streams:
        os.close(fd)


def test_a_host_ends_with_the_connection_of_its_orchestrator(tmp_path):
    hosting.Host(tmp_path).close()
