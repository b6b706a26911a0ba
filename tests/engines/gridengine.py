"""Grid Engine of Debian: a queue master and one execution host."""

import os
import re
import subprocess

from sandbox import HOST, USER, install_packages, make_private, wait_until

template = "gridengine"
SLOTS = 4


def install(_cache):
    install_packages("gridengine-master", "gridengine-exec", "gridengine-client")


def start(folder, _cache):
    for path in ["/var/lib/gridengine", "/var/spool/gridengine"]:
        make_private(path)
        subprocess.run(["chown", "--recursive", "sgeadmin:sgeadmin", path], check=True)
    subprocess.run(["rm", "-rf", "/var/spool/gridengine/spooldb"], check=True)
    for path in [
        "/var/spool/gridengine/spooldb",
        "/var/spool/gridengine/execd",
        "/var/spool/gridengine/qmaster/job_scripts",
        "/var/lib/gridengine/default/common",
    ]:
        os.makedirs(path, exist_ok=True)
        subprocess.run(["chown", "sgeadmin:sgeadmin", path], check=True)
    with open("/var/lib/gridengine/default/common/act_qmaster", "w") as master:
        master.write(HOST + "\n")
    os.environ["SGE_ROOT"] = "/var/lib/gridengine"
    # The package's own script, which it runs after the installation if debconf is asked for it.
    initialise = "/usr/share/gridengine/scripts/init_cluster /var/lib/gridengine default"
    as_administrator = ["runuser", "-u", "sgeadmin", "--", "sh", "-c"]
    subprocess.run(
        [*as_administrator, f"{initialise} /var/spool/gridengine/spooldb sgeadmin"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(["sge_qmaster"], check=True)
    wait_until("the queue master answers", lambda: configure("-sh").returncode == 0)
    configure("-am", "root", user="sgeadmin")
    configure("-ah", HOST)
    configure("-as", HOST)
    edit("-Ahgrp", f"group_name @allhosts\nhostlist {HOST}\n")
    with open("/usr/share/gridengine/util/resources/pe/smp") as environment:
        edit("-Ap", environment.read())
    queue = configure("-sq").stdout
    queue = re.sub(r"(?m)^qname .*", "qname all.q", queue)
    queue = re.sub(r"(?m)^hostlist .*", "hostlist @allhosts", queue)
    queue = re.sub(r"(?m)^slots .*", f"slots {SLOTS}", queue)
    queue = re.sub(r"(?m)^pe_list .*", "pe_list smp", queue)
    queue = re.sub(r"(?m)^shell .*", "shell /bin/sh", queue)
    # The delay between the warning of `-notify` and the end of a cancelled job.
    queue = re.sub(r"(?m)^notify .*", "notify 00:00:05", queue)
    # The test loads the machine, which must not close the queue.
    queue = re.sub(r"(?m)^load_thresholds .*", "load_thresholds NONE", queue)
    edit("-Aq", queue)
    # The scheduler starts jobs at once instead of every 15 s.
    scheduler = configure("-ssconf").stdout
    scheduler = re.sub(r"(?m)^schedule_interval .*", "schedule_interval 0:0:1", scheduler)
    scheduler = re.sub(r"(?m)^flush_(\w+) .*", r"flush_\1 1", scheduler)
    edit("-Msconf", scheduler)
    subprocess.run(["sge_execd"], check=True)
    wait_until("the queue is open", is_queue_open)


def edit(action, text):
    """Passes a configuration to `qconf` in a file."""
    path = "/mnt/configuration"
    with open(path, "w") as file:
        file.write(text)
    configured = configure(action, path)
    assert configured.returncode == 0, configured.stdout + configured.stderr


def configure(*arguments, user="root"):
    return subprocess.run(
        ["runuser", "-u", user, "--", "qconf", *arguments], capture_output=True, text=True
    )


def is_queue_open():
    listed = subprocess.run(["qstat", "-f"], capture_output=True, text=True).stdout
    queue = re.search(rf"all\.q@{HOST}\s+\S+\s+\d+/\d+/\d+\s+(\S+)\s+\S+ *(\S*)$", listed, re.M)
    return queue and queue[1] != "-NA-" and not queue[2]


def version():
    return subprocess.run(["qstat", "-help"], capture_output=True, text=True).stdout.split("\n")[0]


def jobs():
    """Returns the ids of all jobs that are not over."""
    listed = subprocess.run(["qstat", "-u", USER], capture_output=True, text=True, check=True)
    return re.findall(r"(?m)^\s*(\d+)\s", listed.stdout)


def cancel(job):
    subprocess.run(["qdel", job], check=True, stdout=subprocess.DEVNULL)
