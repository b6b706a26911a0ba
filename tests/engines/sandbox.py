"""Namespaces of one test: network, processes, mounts and host name are its own.

The engine's daemons listen on a loopback device that no other process sees, their files are on
private file systems, and the kernel kills every process of the test when its first one ends.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

HOST = "engine"
USER = "sweeper"

# Exit status if the test cannot run on this machine.
SKIPPED = 77


def have_namespaces():
    """Returns whether this process may create the namespaces."""
    probe = subprocess.run(
        ["unshare", *NAMESPACES, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
    )
    return probe.returncode == 0


NAMESPACES = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc"]


def enter(arguments, limit):
    """Runs this program again as the first process of new namespaces; returns its exit status."""
    child = subprocess.Popen(["unshare", *NAMESPACES, "--kill-child", *arguments])
    try:
        return child.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        print(f"the test took longer than {limit} s", flush=True)
        return 1
    finally:
        child.kill()
        child.wait()


def enter_root(root, folder, program):
    """Runs this program again in the tree `root` of another Debian, which sees `folder`, the folder
    of this program, and the program under test."""
    # The new root must be a mount, which HTCondor makes private for each job.
    subprocess.run(["mount", "--bind", root, root], check=True)
    for path in ["/dev", folder, os.path.dirname(os.path.abspath(sys.argv[0]))]:
        os.makedirs(f"{root}{path}", exist_ok=True)
        subprocess.run(["mount", "--rbind", path, f"{root}{path}"], check=True)
    os.environ["SWATH"] = "/opt/swath"
    open(f"{root}/opt/swath", "w").close()
    subprocess.run(["mount", "--bind", program, f"{root}/opt/swath"], check=True)
    subprocess.run(["mount", "-t", "proc", "proc", f"{root}/proc"], check=True)
    os.chroot(root)
    os.chdir("/")
    python = "/usr/bin/python3"
    os.execv(python, [python, os.path.abspath(sys.argv[0]), *sys.argv[1:], "--in-root"])


def make_root(root, release, *packages):
    """Creates the tree of another Debian release with these packages."""
    marker = f"{root}/installed"
    if os.path.exists(marker):
        return
    install_packages("debootstrap")
    shutil.rmtree(root, ignore_errors=True)
    basis = ["debootstrap", "--variant=minbase", "--include=python3,procps", release, root]
    mirror = "http://deb.debian.org/debian"
    subprocess.run([*basis, mirror], check=True, stdout=subprocess.DEVNULL, timeout=500)
    with open(f"{root}/usr/sbin/policy-rc.d", "w") as policy:
        policy.write("#!/bin/sh\nexit 101\n")
    os.chmod(f"{root}/usr/sbin/policy-rc.d", 0o755)
    install = ["apt-get", "install", "-qy", "--no-install-recommends", *packages]
    subprocess.run(
        ["chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", *install],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=500,
    )
    open(marker, "w").close()


def run_as_child(test):
    """Runs `test` in a child, and reaps all orphans of the process namespace until it ends."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = test() or 0
        except Exception:  # the child must not return into the code of its parent
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)


def prepare(folder):
    """Makes the namespaces a machine of its own, with a user who owns `folder`/home."""
    socket.sethostname(HOST)
    bring_up_loopback()
    make_private("/etc")
    make_empty("/run")
    with open("/etc/hosts", "w") as hosts:
        hosts.write(f"127.0.0.1 {HOST} localhost\n")
    with open("/etc/hostname", "w") as name:
        name.write(f"{HOST}\n")
    home = os.path.join(folder, "home")
    subprocess.run(
        ["useradd", "--create-home", "--home-dir", home, "--shell", "/bin/bash", USER], check=True
    )
    return home


def bring_up_loopback():
    up, set_flags, get_flags = 0x1, 0x8914, 0x8913
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, get_flags, request))[1]
        fcntl.ioctl(control, set_flags, struct.pack("16sH14x", b"lo", flags | up))


def make_private(path):
    """Replaces a folder by a copy in memory, so that changes to it end with the test."""
    copy = f"/mnt/{path.strip('/').replace('/', '-')}"
    if not os.path.ismount("/mnt"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/mnt"], check=True)
    subprocess.run(["cp", "--archive", path, copy], check=True)
    subprocess.run(["mount", "--bind", copy, path], check=True)


def make_empty(path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", path], check=True)


def install_packages(*packages):
    """Installs the missing ones of the named Debian packages without starting their daemons."""
    missing = [name for name in packages if not is_installed(name)]
    if not missing:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    with policy_against_daemons():
        install = ["apt-get", "install", "-qy", "--no-install-recommends", *missing]
        for command in [["apt-get", "update", "-q"], install]:
            subprocess.run(
                command, check=True, env=environment, stdout=subprocess.DEVNULL, timeout=500
            )


def is_installed(package):
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout == "installed"


@contextlib.contextmanager
def policy_against_daemons():
    """Debian's installation scripts ask this program whether they may start a daemon."""
    path = "/usr/sbin/policy-rc.d"
    if os.path.exists(path):
        yield
        return
    with open(path, "w") as policy:
        policy.write("#!/bin/sh\nexit 101\n")
    os.chmod(path, 0o755)
    try:
        yield
    finally:
        os.remove(path)


def make_python(folder, *requirements):
    """Creates a virtual environment with packages from PyPI; returns its folder of programs."""
    programs = os.path.join(folder, "bin")
    marker = os.path.join(folder, "installed")
    if not os.path.exists(marker):
        shutil.rmtree(folder, ignore_errors=True)
        # Another Python may be in a home that the user of the test cannot read.
        install_packages("python3-venv")
        subprocess.run(["/usr/bin/python3", "-m", "venv", folder], check=True)
        subprocess.run(
            [
                os.path.join(programs, "pip"),
                "install",
                "--quiet",
                "--disable-pip-version-check",
                *requirements,
            ],
            check=True,
            timeout=500,
        )
        open(marker, "w").close()
    return programs


def wait_until(description, condition, limit=30):
    """Polls `condition` until it returns a true value, and returns it."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit} s in vain until {description}")
        time.sleep(0.1)
    return value


def processes(is_wanted):
    """Returns the pids of the living processes whose owner and words `is_wanted` accepts."""
    pids = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            owner = os.stat(f"/proc/{name}").st_uid
            with open(f"/proc/{name}/cmdline", "rb") as command:
                words = command.read().decode(errors="replace").split("\0")[:-1]
        except OSError:
            continue  # it has ended
        # Kernel threads and zombies have no words.
        if words and is_wanted(owner, words):
            pids.append(int(name))
    return pids


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
