"""Load with two ledgers, and what they say about each other.

Load sends through the doors of a gemel-node and writes down every 250 (unique id, queue id, when the message's last byte was sent);
its sinks write down every message they take, before they answer. Both live in processes of their own that nobody
kills, so the ledgers are the truth. judge() compares them: every (message, recipient) that was answered 250 arrives once; a second
copy is excused only when the node cannot have had it on disk that the first was taken.
"""
import calendar
import collections
import multiprocessing
import os
import random
import re
import shutil
import socket
import sys
import tempfile
import threading
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import solo  # noqa: E402

BACKLOG = 1500  # messages that may be under way: the drain at the end must not take for ever
SINKS = [(solo.INSIDE, 25, ()), (solo.INSIDE, 2525, ("CHUNKING", "PIPELINING")), ("192.0.2.101", 25, ("PIPELINING",))]

Accepted = collections.namedtuple("Accepted", "uid id sent answered rcpts")
Taken = collections.namedtuple("Taken", "uid rcpt begun at intact")
UID = re.compile(rb"^Subject: crash (\S+) ([0-9a-f]+)\r\n", re.M)


# ---- what is sent ----


def text_of(uid, rng):
    """A message that names itself and its own checksum; now and then one of several chunks of the spool."""
    line = b"%08x" % rng.getrandbits(32) + b"." * 68 + b"\r\n"
    body = line * (rng.choice((1000, 2500)) if rng.random() < 0.02 else rng.randrange(5, 40))
    return b"From: <a@example.com>\r\nSubject: crash %s %08x\r\n\r\n" % (uid.encode(), zlib.crc32(body)) + body


class Sender(threading.Thread):
    """One connection after the other to one door."""

    def __init__(self, name, load, source, door, domains):
        super().__init__(daemon=True)
        self.label, self.load, self.source, self.door, self.domains = name, load, source, door, domains
        self.rng, self.n = random.Random(f"{load.seed}{name}"), 0

    def run(self):
        while not self.load.over.is_set():
            try:
                with socket.create_connection(self.door, 5, (self.source, 0)) as s:
                    s.settimeout(60)
                    self.talk(s, s.makefile("rb"))
            except (OSError, EOFError, ValueError):
                time.sleep(0.01)  # it is dead at the moment

    def reply(self, f):
        while True:
            line = f.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            if line[3:4] != b"-":
                return line

    def talk(self, s, f):
        self.reply(f)
        s.sendall(b"EHLO client.example.net\r\n")
        self.reply(f)
        while not self.load.over.is_set():
            if self.load.paused.is_set() or self.load.accepted.value - self.load.taken.value > BACKLOG:
                time.sleep(0.01)
                continue
            self.one(s, f)

    def one(self, s, f):
        self.n += 1
        uid = f"{self.label}.{self.n}"
        domains = self.domains if self.rng.random() < 0.1 else [self.rng.choice(self.domains)]
        rcpts = [f"x@{d}" for d in domains]
        text = text_of(uid, self.rng)
        lines = ["MAIL FROM:<a@sender.example>", *(f"RCPT TO:<{r}>" for r in rcpts)]
        bdat = self.rng.random() < 0.5
        if bdat:
            s.sendall("\r\n".join(lines).encode() + b"\r\nBDAT %d LAST\r\n" % len(text) + text)
        else:
            s.sendall("\r\n".join([*lines, "DATA", ""]).encode())
        replies = [self.reply(f) for _ in range(len(lines) + (not bdat))]
        if not bdat and replies[-1][:3] == b"354":
            s.sendall(text + b".\r\n")
        elif not bdat:
            s.sendall(b"RSET\r\n")
        sent = time.time()
        last = self.reply(f)
        if (bdat or replies[-1][:3] == b"354") and last[:3] == b"250":
            self.load.note("accepted", uid, last.split()[-1].decode(), f"{sent:.4f}", f"{time.time():.4f}", *rcpts)
            with self.load.accepted.get_lock():
                self.load.accepted.value += len(rcpts)
        elif last[:1] == b"4":
            with self.load.deferred.get_lock():
                self.load.deferred.value += 1
            if last[:3] == b"421":
                raise EOFError
            time.sleep(0.01)
        else:
            self.load.note("refused", uid, repr(last))


# ---- what arrives ----


class Taker(solo.Session):
    """A receiver that writes down what it takes and hesitates now and then, so that kills fall between the dot and its
    reply. What the node had sent is taken even if the node is dead by then: its life is told by when the dialogue began."""

    def __init__(self, *args):
        super().__init__(*args)
        self.begun = time.time()

    def message(self, data, how):
        load, found = self.r.load, UID.search(data)
        uid = found.group(1).decode() if found else "?"
        intact = found and zlib.crc32(data.partition(b"\r\n\r\n")[2]) == int(found.group(2), 16)
        rcpts = [re.search("<(.*?)>", r).group(1) for r in self.rcpts]
        if load.rng.random() < 0.2:
            time.sleep(load.rng.random() * 0.03)
        for r in rcpts:
            load.note("taken", uid, r, f"{self.begun:.4f}", f"{time.time():.4f}", int(bool(intact)))
        with load.taken.get_lock():
            load.taken.value += len(rcpts)
        self.sender, self.rcpts, self.chunks = None, [], b""
        self.say(b"250 2.0.0 kept")


class Load:
    """The senders and the sinks; records go to files in `folder`."""

    def __init__(self, folder, seed, senders=6):
        self.folder, self.seed, self.senders, self.rng = folder, seed, senders, random.Random(seed)
        self.accepted, self.taken, self.deferred = (multiprocessing.Value("l", 0) for _ in range(3))
        self.over, self.paused, self.files = multiprocessing.Event(), multiprocessing.Event(), {}
        self.lock = threading.Lock()
        self.processes = [multiprocessing.Process(target=f, daemon=True) for f in (self.take, self.send)]
        for p in self.processes:
            p.start()

    def path(self, kind):
        return os.path.join(self.folder, kind)

    def note(self, kind, *fields):
        with self.lock:
            if kind not in self.files:
                self.files[kind] = os.open(self.path(kind), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(self.files[kind], ("\t".join(map(str, fields)) + "\n").encode())

    def send(self):
        doors = [(solo.CLIENT, (solo.EDGE, 25), ["example.com", "other.example"]), (solo.INSIDE, ("10.0.0.11", 25), ["example.net"])]
        for i in range(self.senders):
            Sender(f"s{i}", self, *doors[i % 3 == 2]).start()
        self.over.wait()
        time.sleep(0.5)

    def take(self):
        solo.Session = Taker
        for address, port, caps in SINKS:
            solo.Receiver(address, port=port, caps=("8BITMIME", "SIZE 100000000", *caps)).load = self
        self.over.wait()
        threading.Event().wait()

    def read(self, kind):
        if not os.path.exists(self.path(kind)):
            return []
        with open(self.path(kind), encoding="utf-8") as f:
            return [line.rstrip("\n").split("\t") for line in f]

    def ledgers(self):
        """(accepted, taken)"""
        return (
            [Accepted(u, i, float(s), float(a), tuple(r)) for u, i, s, a, *r in self.read("accepted")],
            [Taken(u, r, float(b), float(t), i == "1") for u, r, b, t, i in self.read("taken")],
        )

    def close(self):
        self.over.set()
        for p in self.processes:
            p.kill()
            p.join()


# ---- the verdict ----

DONE = re.compile(r"^(\S+) .*\bqueue\.done .*\bid=(\S+)")
SENT = re.compile(r"^(\S+) .*\brelay\.sent .*\bid=(\S+) rcpt=(\S+)")


def seconds(stamp):
    """Unix time of a log line's first word: 2026-01-02T03:04:05.678Z."""
    day, _, ms = stamp.rstrip("Z").rpartition(".")
    return calendar.timegm(time.strptime(day, "%Y-%m-%dT%H:%M:%S")) + int(ms) / 1000


class Run:
    """One life of the node: from when to when, and when it knew what: {queue id, or (queue id, recipient): time}."""

    def __init__(self, begin, end, log):
        self.begin, self.end, self.knew = begin, end, {}
        with open(log, errors="replace") as f:
            for line in f:
                if found := DONE.match(line):
                    self.knew[found.group(2)] = seconds(found.group(1))
                elif found := SENT.match(line):
                    self.knew[found.group(2), found.group(3).strip('"')] = seconds(found.group(1))


DONE_SLACK = 0.05  # s: from the log line to the writer's queue, on a busy machine
SENT_SLACK = 0.5  # and of one recipient of several: what is known of the others may be on its way to disk first


class Verdict:
    def __init__(self, accepted, taken, left):
        self.lost, self.broken, self.unexplained, self.strangers = [], [], [], []
        self.accepted, self.taken, self.left, self.excused, self.unanswered = accepted, taken, left, 0, 0

    def tell(self, at_least):
        """Prints the counts and what is wrong; the exit code."""
        print(
            f"{len(self.accepted)} messages answered 250 for {sum(len(a.rcpts) for a in self.accepted)} recipients, "
            f"{len(self.taken)} taken, {self.unanswered} never answered but taken, doubled in the window {self.excused}, "
            f"doubled outside it {len(self.unexplained)}, still queued {len(self.left)}, lost {len(self.lost)}"
        )
        kinds = {name: getattr(self, name) for name in ("lost", "broken", "unexplained", "strangers")}
        wrong = [f"{name} ({len(what)}): {what[:5]}" for name, what in kinds.items() if what]
        if len(self.accepted) < at_least:
            wrong.append("too little load to mean anything")
        for line in wrong:
            print("WRONG", line)
        return 1 if wrong else 0


def excused(run, a, rcpt, last_synced):
    """May the node, when it came back, not have known that `rcpt` had its copy of `a` in `run`? The spool's writer is first come, first
    served: when a message sent after this one was done has been answered 250, that it was done was on disk too."""
    if len(a.rcpts) == 1:
        knew, slack = run.knew.get(a.id), DONE_SLACK
    else:
        knew, slack = run.knew.get((a.id, rcpt)), SENT_SLACK
    return knew is None or last_synced < knew + slack


def judge(load, runs, left):
    """Runs are in order; `left`: queue ids still in the spool."""
    accepted, taken = load.ledgers()
    v, copies = Verdict(accepted, taken, left), collections.defaultdict(list)
    known = {a.uid: a for a in accepted}
    for t in taken:
        copies[t.uid, t.rcpt].append(t)
    v.broken = [t for t in taken if not t.intact]
    v.strangers = [t for t in taken if t.uid == "?"]
    v.unanswered = len({t.uid for t in taken} - set(known))
    run_of = lambda at: next((r for r in runs if r.begin <= at <= r.end), None)
    synced = [max((a.sent for a in accepted if r.begin <= a.sent and a.answered <= r.end), default=0) for r in runs]
    for a in accepted:
        v.lost += [(a.uid, a.id, rcpt) for rcpt in a.rcpts if not copies[a.uid, rcpt] and a.id not in left]
    for (uid, rcpt), ts in copies.items():
        ts.sort(key=lambda t: t.at)
        for t, again in zip(ts, ts[1:]):
            run, a = run_of(t.begun), known.get(uid)
            late = run is None or run is run_of(again.begun)  # twice in one life has no excuse
            if late or (a and not excused(run, a, rcpt, synced[runs.index(run)])):
                v.unexplained.append((uid, a and a.id, rcpt, t.at, again.at))
            else:
                v.excused += 1
    return v


# ---- node and load together ----

DRAIN_S = 120


class Ground:
    """A node, its Internet and the load; all gone at the end of the block."""

    def __init__(self, program, seed, where=None):
        self.folder, self.runs = tempfile.mkdtemp(prefix="gemel-crash-", dir=where), []
        net = solo.Dns()
        net.host("edge1.example.com", solo.EDGE)
        net.host("rcv.example.net", "192.0.2.101")
        net.mail("example.net", "rcv.example.net")
        self.node = solo.Node(program, spool=os.path.join(self.folder, "spool"), queue=solo.SHORT + ", deliveries: 60")
        self.load = Load(self.folder, seed)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.load.close()
        self.node.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, wrapper=(), wait=True):
        self.begun = time.time()
        self.node.start(wrapper, wait)

    def ended(self):
        self.runs.append(Run(self.begun, time.time(), self.node.log_path))
        os.unlink(self.node.log_path)

    def kill(self):
        assert self.node.process.poll() is None, "it ended by itself:\n" + self.node.log()[-3000:]
        self.node.kill()
        self.ended()

    def drain(self):
        """One more life, without load: what is queued goes out. The verdict."""
        self.start()
        self.load.paused.set()
        end = time.monotonic() + DRAIN_S
        while not self.node.idle() and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(0.2)
        left = [m["id"] for m in self.node.queue()]
        self.node.stop()
        self.ended()
        return judge(self.load, self.runs, left)
