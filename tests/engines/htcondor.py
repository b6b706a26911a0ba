"""HTCondor of Debian 13, in a tree of its own, as Debian 12 has none: a pool of one machine."""

import os
import subprocess

from sandbox import USER, make_private, make_root, wait_until

template = "htcondor"
SLOTS = 4
CONFIGURATION = f"""
use ROLE: Personal
use FEATURE: PartitionableSlot
CONDOR_HOST = 127.0.0.1
NETWORK_INTERFACE = 127.0.0.1
NUM_CPUS = {SLOTS}
SEC_DEFAULT_AUTHENTICATION_METHODS = FS
ALLOW_READ = *
ALLOW_WRITE = *
ALLOW_DAEMON = *
ALLOW_ADMINISTRATOR = *
# Jobs start within seconds, and the load of this machine does not stop them.
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
UPDATE_INTERVAL = 2
# The folder of the test is in /tmp, which jobs otherwise have for themselves.
MOUNT_UNDER_SCRATCH =
START = True
SUSPEND = False
PREEMPT = False
KILL = False
"""


def root(cache):
    return f"{cache}/htcondor"


def install(cache):
    make_root(root(cache), "trixie", "condor")


def start(folder, _cache):
    for path in ["/var/lib/condor", "/var/log/condor", "/var/spool"]:
        if os.path.exists(path):
            make_private(path)
    # The package's folders in /run are made by systemd, which this machine lacks.
    for path in ["/run/condor", "/run/lock/condor"]:
        os.makedirs(path)
        subprocess.run(["chown", "condor:condor", path], check=True)
    with open("/etc/condor/config.d/90-test", "w") as file:
        file.write(CONFIGURATION)
    subprocess.run(["condor_master"], check=True)
    wait_until("the machine is in the pool", is_in_pool, 60)


def is_in_pool():
    listed = subprocess.run(["condor_status", "-af", "Name"], capture_output=True, text=True)
    return listed.stdout.strip()


def version():
    told = subprocess.run(["condor_version"], capture_output=True, text=True).stdout
    return " ".join(told.split("\n")[0].strip("$ ").split()[:2])


def jobs():
    """Returns the ids of all jobs that are not over."""
    query = ["condor_q", "-allusers", "-constraint", f'Owner == "{USER}" && JobStatus < 3']
    listed = subprocess.run(
        [*query, "-af", "ClusterId"], capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


def cancel(job):
    subprocess.run(["condor_rm", job], check=True, stdout=subprocess.DEVNULL)
