"""OAR of Debian with PostgreSQL: a server and one node of four cores."""

import glob
import os
import re
import subprocess

from sandbox import HOST, USER, install_packages, make_private, wait_until

template = "oar"
SLOTS = 4
# A plain installation has no property for the memory of a node.
has_memory = False
OPTIONS = {
    "DB_BASE_PASSWD": "oar",
    "DB_BASE_PASSWD_RO": "oar",
    "SERVER_HOSTNAME": HOST,

    # A job is killed at once after its warning; by default OAR waits a minute.
    "SCHEDULER_JOB_SECURITY_TIME": "1",
}


def install(_cache):
    install_packages(
        "oar-server",
        "oar-server-pgsql",
        "oar-user",
        "oar-user-pgsql",
        "oar-node",
        "postgresql",
        "openssh-server",
    )


def start(folder, _cache):
    for path in ["/var/lib/oar", "/var/log"]:
        make_private(path)
    for path in ["/run/sshd", "/run/postgresql", "/run/oar"]:
        os.mkdir(path)
    subprocess.run(["chown", "postgres:postgres", "/run/postgresql"], check=True)
    subprocess.run(["chown", "oar:oar", "/run/oar"], check=True)
    start_database(f"{folder}/database")
    configure()
    quietly(["oar-database", "--create", "--db-is-local", "--force-yes"])
    # The server reaches the node by SSH, also if both are one machine.
    quietly(["/usr/sbin/sshd", "-f", "/etc/oar/sshd_config"])
    quietly(["oar-server"])
    for _ in range(SLOTS):
        quietly(["oarnodesetting", "-a", "-h", HOST])
    wait_until("the node is alive", lambda: count_alive() == SLOTS)


def start_database(folder):
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
    os.mkdir(folder)
    subprocess.run(["chown", "postgres:postgres", folder], check=True)
    as_postgres = ["runuser", "-u", "postgres", "--"]
    quietly([*as_postgres, f"{programs}/initdb", "--auth=trust", "--no-sync", folder])
    options = "-c fsync=off -c unix_socket_directories=/run/postgresql"
    log = f"{folder}/log"
    control = [f"{programs}/pg_ctl", "start", "--wait", "-D", folder, "-l", log, "-o", options]
    quietly([*as_postgres, *control])


def configure():
    with open("/etc/oar/oar.conf") as file:
        text = file.read()
    for key, value in OPTIONS.items():
        text = re.sub(rf'(?m)^{key}=.*$', f'{key}="{value}"', text)
    # Two jobs may start one second apart instead of five.
    # The node does not put jobs into control groups, which a container seldom permits.
    text += "SCHEDULER_MIN_TIME_BETWEEN_2_CALLS=1\n"
    text = re.sub(r"(?m)^(?=JOB_RESOURCE_MANAGER_PROPERTY_DB_FIELD|CPUSET_PATH)", "#", text)
    with open("/etc/oar/oar.conf", "w") as file:
        file.write(text)


def quietly(command):
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == 0, f"{command}: {done.stdout.decode()}"


def count_alive():
    listed = subprocess.run(["oarnodes", "-s"], capture_output=True, text=True).stdout
    return listed.count("Alive")


def version():
    told = subprocess.run(["oarsub", "--version"], capture_output=True, text=True).stdout
    return told.strip()


def jobs():
    """Returns the ids of all jobs that are not over."""
    listed = subprocess.run(["oarstat", "-u", USER], capture_output=True, text=True, check=True)
    return re.findall(r"(?m)^(\d+)\s", listed.stdout)


def cancel(job):
    quietly(["oardel", job])
