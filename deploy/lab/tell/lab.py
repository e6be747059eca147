"""The lab as the story sees it: hosts to run commands on, addresses, the operator's gemelctl, and switches to flip.

Names and addresses come from deploy/lab/topology, the one place that knows them."""
import json
import os
import re
import signal
import subprocess
import time

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PREFIX = os.environ.get("GEMEL_LAB_PREFIX", "gml-")
DIR = os.environ.get("GEMEL_LAB_DIR", "/var/lib/gemel-lab")


class LabError(Exception):
    """A command of the lab itself failed: nothing was learned about Gemel."""


def topology():
    """(settings, hosts): LAB_X -> text, and host -> {"role", "name", "legs": {network: address}}."""
    with open(os.path.join(HOME, "topology"), encoding="utf-8") as f:
        text = f.read()
    settings = {k: a or b for k, a, b in re.findall(r"^(LAB_[A-Z_]+)=(?:'([^'\n]*)'|([^'\s]+))", text, re.M)}
    hosts = {}
    for line in re.search(r"^LAB_HOSTS='\n(.*?)^'", text, re.M | re.S)[1].splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            host, role, name, *legs = line.split()
            hosts[host] = {"role": role, "name": name, "legs": dict(leg.split("=") for leg in legs)}
    return settings, hosts


def duration_s(text):
    n, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(n) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def finish(command, timeout, **more):
    """Runs a command to its end; one that does not end is the lab's failure."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, **more)
    except subprocess.TimeoutExpired as err:
        raise LabError(f"{' '.join(command)}: no end after {timeout} s") from err


class Lab:
    def __init__(self):
        self.dir, self.home = DIR, HOME
        self.settings, self.hosts = topology()
        self.nodes = self.with_role("node")
        self.coordinators = self.with_role("coordinator")
        self.receivers = self.with_role("receiver")
        self.identities = {n: {"ip": self.public(n), "helo": self.hosts[n]["name"]} for n in self.nodes}

    def with_role(self, role):
        return [h for h, v in self.hosts.items() if v["role"] == role]

    def inside(self, host):
        return self.hosts[host]["legs"]["inside"]

    def public(self, host):
        return next(a for n, a in self.hosts[host]["legs"].items() if n != "inside")

    def setting_s(self, name):
        return duration_s(self.settings["LAB_" + name])

    def log(self, host):
        return os.path.join(self.dir, "log", host + ".log")

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def is_up(self):
        return os.path.exists(f"/run/netns/{PREFIX}net")

    # Commands

    def run(self, *args, timeout=60):
        """deploy/lab/run ARGS; its output."""
        done = finish([os.path.join(self.home, "run"), *args], timeout)
        if done.returncode:
            raise LabError(
                f"deploy/lab/run {' '.join(args)}: exit {done.returncode}\n{done.stdout}{done.stderr}".rstrip()
            )
        return done.stdout

    @staticmethod
    def on(host, *command):
        """The command line that runs `command` as on `host`."""
        return ["ip", "netns", "exec", PREFIX + host, *command]

    def exec(self, host, *command, timeout=30, check=True, **more):
        done = finish(self.on(host, *command), timeout, **more)
        if check and done.returncode:
            raise LabError(
                f"{host}: {' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}".rstrip()
            )
        return done

    def ctl(self, *args, via=None, timeout=60):
        """gemelctl --json ARGS by a coordinator's admin socket. Returns (exit code, decoded answer or text)."""
        command = ["ctl", via or self.coordinators[0], "--json", *args]
        done = finish([os.path.join(self.home, "run"), *command], timeout)
        try:
            return done.returncode, json.loads(done.stdout)
        except json.JSONDecodeError:
            return done.returncode, (done.stdout + done.stderr).strip()

    def status(self):
        """gemelctl status from any coordinator that answers, else None."""
        for via in self.coordinators:
            _, answer = self.ctl("status", via=via)
            if isinstance(answer, dict) and "identities" in answer:
                return answer
        return None

    def history(self):
        for via in self.coordinators:
            _, answer = self.ctl("history", via=via)
            if isinstance(answer, dict) and "history" in answer:
                return answer["history"]
        return []

    def identity(self, status, name):
        return next((i for i in (status or {}).get("identities", []) if i["name"] == name), {})

    def http(self, host, path, from_host=None):
        """Status code of an HTTP endpoint of a node or coordinator; 0 when nobody answers."""
        port = 9301 if self.hosts[host]["role"] == "node" else 9300
        done = self.exec(
            from_host or self.coordinators[0],
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "-m",
            "2",
            "-w",
            "%{http_code}",
            f"http://{self.inside(host)}:{port}{path}",
            check=False,
        )
        return int(done.stdout or 0)

    def dig(self, server, name, kind="TXT", recurse=False):
        """The answer as a sorted list of strings; each TXT is joined, as SPF joins it."""
        flags = ["+short", "+recurse" if recurse else "+norecurse", "+time=2", "+tries=2"]
        done = self.exec("client", "dig", *flags, f"@{server}", name, kind)
        lines = [line for line in done.stdout.splitlines() if line and not line.startswith(";")]
        if kind == "TXT":
            lines = ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', line)) for line in lines]
        return sorted(lines)

    # Switches

    def pids(self, host):
        done = subprocess.run(["ip", "netns", "pids", PREFIX + host], capture_output=True, text=True)
        return [int(p) for p in done.stdout.split()]

    def freeze(self, host):
        """SIGSTOP to all that runs on the host: peers see a server that accepts connections and says nothing."""
        for pid in self.pids(host):
            self.signal(pid, signal.SIGSTOP)

    def thaw(self, host):
        for pid in self.pids(host):
            self.signal(pid, signal.SIGCONT)

    @staticmethod
    def signal(pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def until(self, what, limit_s, every_s=0.1):
        """Calls `what` until it is true; its value, or None after `limit_s`."""
        end = time.time() + limit_s
        while True:
            value = what()
            if value or time.time() > end:
                return value or None
            time.sleep(every_s)


class Stream:
    """A steady stream of messages from the inside host through both edges, with its ledger."""

    def __init__(self, lab, run, rate=20):
        self.lab, self.run = lab, run
        self.ledger = lab.path("story", run + ".ledger")
        self.stop_file = lab.path("story", run + ".stop")
        self.out = lab.path("story", run + ".out")
        with open(self.out, "w") as out:
            self.process = subprocess.Popen(
                lab.on(
                    "inside",
                    os.path.join(HOME, "mail", "send.py"),
                    "stream",
                    "--run",
                    run,
                    "--rate",
                    str(rate),
                    "--ledger",
                    self.ledger,
                    "--stop",
                    self.stop_file,
                    *sender_options(lab),
                ),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def accepted(self):
        """So many messages so far."""
        try:
            with open(self.ledger, encoding="utf-8") as f:
                return sum(1 for line in f if '"ev": "accepted"' in line)
        except FileNotFoundError:
            return 0

    def stop(self):
        open(self.stop_file, "w").close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired as err:
            self.kill()
            raise LabError(f"the stream {self.run} does not end; its output is in {self.out}") from err
        if self.process.returncode:
            with open(self.out, encoding="utf-8") as f:
                raise LabError(f"the stream {self.run} failed: {f.read().strip()}")

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def sender_options(lab):
    """What send.py must know of this lab: addresses, names, who may submit."""
    user = lab.settings["LAB_MAIL_USERS"].split()[0]
    with open(lab.path("secrets", user + ".pass"), encoding="utf-8") as f:
        password = f.read().strip()
    options = [
        "--login",
        f"{user}@{lab.settings['LAB_DOMAIN']}:{password}",
        "--ca",
        lab.path("pki", "ca.pem"),
    ]
    for node in lab.nodes:
        options += ["--edge", f"{node}={lab.inside(node)},{lab.hosts[node]['name']}"]
    return options
