"""What the benchmarks stand on: a network namespace of their own, a folder that is gone afterwards, two mail servers that are
started the same way, and what the kernel says they cost."""
import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

SKIP = 77
HERE = os.path.dirname(os.path.abspath(__file__))
MAIL_PORT, SINK_PORT, HTTP_PORT = 2525, 2626, 9301
TICK_S = 1 / os.sysconf("SC_CLK_TCK")

CLUSTER = """\
cluster: bench
allow_documentation_addresses: true
identities: [ {{ name: edge1, node: edge1, ip: 198.51.100.10, helo: edge1.example.com }} ]
nodes: [ {{ name: edge1, handoff: "127.0.0.1:7301", http: "127.0.0.1:{http}" }} ]
domains: [ {{ name: example.com, next_hop: "[127.0.0.1]:{sink}" }} ]
resolvers: [ "127.0.0.1" ]
"""
NODE = """\
cluster: {dir}/cluster.yaml
name: edge1
spool: {dir}/spool
state: {dir}/state
admin: {dir}/admin.sock
listen: {{ mx: [ "127.0.0.1:{port}" ] }}
queue: {{ {queue} }}
"""
MAIN_CF = """\
compatibility_level = 3.6
myhostname = edge2.example.com
mail_owner = postfix
setgid_group = postdrop
queue_directory = {dir}/queue
data_directory = {dir}/data
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
local_recipient_maps =
alias_maps =
relay_domains = example.com
mynetworks = 127.0.0.0/8
default_transport = smtp:[127.0.0.1]:{sink}
relay_transport = smtp:[127.0.0.1]:{sink}
smtp_destination_concurrency_limit = 20
smtpd_client_connection_count_limit = 0
content_filter =
maillog_file = {dir}/mail.log
maillog_file_prefixes = {dir}
"""
MASTER_CF = """\
127.0.0.1:{port} inet n - n - 200 smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""


class Wrong(Exception):
    """What was measured would be no measurement."""


def enter(needs):
    """Runs the program again in a network namespace of its own, and only there returns."""
    if os.environ.get("GEMEL_BENCH_INSIDE") != "1":
        missing = [p for p in needs if not shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
        if missing or os.geteuid() or subprocess.run(["unshare", "-n", "true"], stderr=subprocess.DEVNULL).returncode:
            print("skipped: needs root, network namespaces and", ", ".join(needs))
            sys.exit(SKIP)
        os.environ["GEMEL_BENCH_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "addr", "add", "198.51.100.10/32", "dev", "lo"], check=True)


@contextlib.contextmanager
def folder(under):
    """On the disk that is to be measured; Postfix's users must be able to pass through."""
    path = tempfile.mkdtemp(prefix="gemel-bench-", dir=under)
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def until(what, seconds, text, step=0.005):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise Wrong(f"not within {seconds} s: {text}")
        time.sleep(step)


def listens(port):
    with contextlib.closing(socket.socket()) as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


# ---- what a process costs ----


def stat(pid):
    """(parent, own CPU seconds, those of children that it waited for)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    own, children = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    return int(fields[1]), own * TICK_S, children * TICK_S


def family(pid):
    """The process and all below it that live."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                parents.setdefault(stat(name)[0], []).append(int(name))
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += parents.get(found[-1], [])
    return found


def cpu_s(pid):
    """Of a process and its children, dead ones too."""
    total = 0.0
    for one in family(pid):
        with contextlib.suppress(OSError):
            _, own, children = stat(one)
            total += own + children
    return total


def memory_kib(pid):
    """(resident, of that not backed by a file), shared pages split between those who share them."""
    pss = anonymous = 0
    for one in family(pid):
        with contextlib.suppress(OSError), open(f"/proc/{one}/smaps_rollup", encoding="utf-8") as f:
            rollup = dict(re.findall(r"^(\w+):\s+(\d+) kB", f.read(), re.M))
            pss += int(rollup["Pss"])
            anonymous += int(rollup["Pss_Anon"])
    return pss, anonymous


class Memory(threading.Thread):
    """The most memory seen while it runs."""

    def __init__(self, pid, every_s=0.5):
        super().__init__(daemon=True)
        self.pid, self.every_s, self.peak, self.anonymous, self.over = pid, every_s, 0, 0, threading.Event()

    def run(self):
        while True:
            pss, anonymous = memory_kib(self.pid)
            self.peak, self.anonymous = max(self.peak, pss), max(self.anonymous, anonymous)
            if self.over.wait(self.every_s):
                return

    def stop(self):
        self.over.set()
        self.join()


# ---- the servers ----


class Server:
    """`process` is the one whose family is measured."""

    process, log_path = None, ""

    def complaints(self):
        """The last lines of its log that are no everyday ones."""
        with contextlib.suppress(OSError), open(self.log_path, encoding="utf-8", errors="replace") as f:
            return "".join([line for line in f if re.search(r"warning|error |smtp.close.*why=(?!quit)|fatal|panic|ASSERT", line)][-8:])
        return ""

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Gemel(Server):
    name = "gemel"

    def __init__(self, program, path, queue="", wrapper=()):
        self.program, self.dir, self.wrapper, self.logs = program, path, list(wrapper), 0
        os.makedirs(os.path.join(path, "state"), exist_ok=True)
        with open(os.path.join(path, "cluster.yaml"), "w", encoding="utf-8") as f:
            f.write(CLUSTER.format(http=HTTP_PORT, sink=SINK_PORT))
        with open(os.path.join(path, "node.yaml"), "w", encoding="utf-8") as f:
            f.write(NODE.format(dir=path, port=MAIL_PORT, queue=queue))

    def start(self):
        self.logs += 1
        self.log_path = os.path.join(self.dir, f"log.{self.logs}")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, self.program, "-c", os.path.join(self.dir, "node.yaml"), "--solo"], stderr=log
            )
        self.until_served(300)
        return self

    def until_served(self, seconds):
        until(lambda: self.process.poll() is not None or greets(MAIL_PORT), seconds, "gemel-node serves")
        if self.process.poll() is not None:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                raise Wrong("gemel-node ended by itself:\n" + "".join(f.readlines()[-5:]))

    def metric(self, name):
        import http.client

        c = http.client.HTTPConnection("127.0.0.1", HTTP_PORT, timeout=60)
        c.request("GET", "/metrics")
        text = c.getresponse().read().decode()
        c.close()
        return sum(float(v) for v in re.findall(rf"^gemel_{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.M))


class Postfix(Server):
    name = "postfix"

    def __init__(self, path):
        self.conf, self.log_path = os.path.join(path, "conf"), os.path.join(path, "mail.log")
        self.pid_file = os.path.join(path, "queue", "pid", "master.pid")
        for part in ("conf", "queue", "data"):
            os.mkdir(os.path.join(path, part))
        user = pwd.getpwnam("postfix")
        os.chown(os.path.join(path, "data"), user.pw_uid, user.pw_gid)
        for name, text in (("main.cf", MAIN_CF), ("master.cf", MASTER_CF)):
            with open(os.path.join(self.conf, name), "w", encoding="utf-8") as f:
                f.write(text.format(dir=path, port=MAIL_PORT, sink=SINK_PORT))

    def start(self):
        self.process = subprocess.Popen(
            ["postfix", "-c", self.conf, "start-fg"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: greets(MAIL_PORT), 60, "Postfix serves")
        return self

    def stop(self):
        # Its master leads a session of its own: ending the command that started it does not end it.
        with contextlib.suppress(OSError, ValueError), open(self.pid_file, encoding="utf-8") as f:
            os.kill(int(f.read()), signal.SIGTERM)
        super().stop()


def greets(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.settimeout(5)
            return s.recv(3) == b"220"
    except OSError:
        return False


class Sink(Server):
    """smtp-sink, and how many messages it has taken."""

    def __init__(self, path, backlog=200):
        self.counts = os.path.join(path, "sink")
        with open(self.counts, "wb") as out:
            self.process = subprocess.Popen(
                ["smtp-sink", "-u", "postfix", "-c", f"127.0.0.1:{SINK_PORT}", str(backlog)], stdout=out, stderr=subprocess.DEVNULL
            )
        until(lambda: listens(SINK_PORT), 10, "smtp-sink listens")

    def taken(self):
        with open(self.counts, "rb") as f:
            f.seek(max(0, os.path.getsize(self.counts) - 200))
            found = re.findall(rb"mesg=(\d+)", f.read())
        return int(found[-1]) if found else 0


# ---- the load ----


def source(messages, sessions, size, rcpt="user@example.com", each_its_own=True):
    """smtp-source until all messages are accepted: the seconds it took."""
    begin = time.monotonic()
    done = subprocess.run(
        ["smtp-source", "-s", str(sessions), "-m", str(messages), "-l", str(size), "-f", "from@example.net", "-t", rcpt]
        + ([] if each_its_own else ["-d"])
        + [f"127.0.0.1:{MAIL_PORT}"],
        capture_output=True,
        timeout=1800,
    )
    if done.returncode:
        raise Wrong("smtp-source: " + done.stderr.decode(errors="replace"))
    return time.monotonic() - begin


class Probe(threading.Thread):
    """One more session that sends a message every few ms and times the answer to its dot."""

    def __init__(self, size, pause_s=0.02):
        super().__init__(daemon=True)
        self.size, self.pause_s, self.took_ms, self.over = size, pause_s, [], threading.Event()

    def run(self):
        line = b"x" * 78 + b"\r\n"
        body = b"Subject: probe\r\n\r\n" + line * (self.size // len(line))
        with contextlib.suppress(OSError, EOFError), socket.create_connection(("127.0.0.1", MAIL_PORT), 30) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            file = s.makefile("rb")
            self.reply(file)
            self.say(s, file, b"EHLO probe.example.net\r\n")
            while not self.over.is_set():
                for command in (b"MAIL FROM:<probe@example.net>\r\n", b"RCPT TO:<user@example.com>\r\n", b"DATA\r\n"):
                    self.say(s, file, command)
                s.sendall(body)
                begin = time.monotonic()
                self.say(s, file, b".\r\n")
                self.took_ms.append((time.monotonic() - begin) * 1000)
                time.sleep(self.pause_s)

    @staticmethod
    def reply(file):
        while True:
            line = file.readline()
            if not line:
                raise EOFError
            if line[3:4] != b"-":
                return

    def say(self, s, file, command):
        s.sendall(command)
        self.reply(file)

    def stop(self):
        self.over.set()
        self.join(60)
        return sorted(self.took_ms)


def quantile(ordered, q):
    return ordered[min(len(ordered) - 1, int(len(ordered) * q))] if ordered else float("nan")


def on_signals_leave():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
