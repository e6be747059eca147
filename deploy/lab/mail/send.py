#!/usr/bin/python3
"""Sends the lab's mail through the edges and keeps a ledger of what each edge took responsibility for.

  send.py corpus [--count 300]           one of everything, concurrently, by every way in
  send.py stream --rate 20               a steady stream until --seconds, --messages, --stop FILE or SIGTERM

A way in is edge:how, how being `submission` (587, STARTTLS, AUTH) or `smarthost` (25, known by address). Run it where the
company's server is: `deploy/lab/run exec inside deploy/lab/mail/send.py ...`.

Ledger, JSON lines: ev=accepted (a 250 to the final dot: id, recipients, digests, time, node), ev=refused (which command,
code, text, `final` when the message is given up), ev=unknown (connection lost after the dot: delivered or not, both are
right, twice is not). An edge that cannot be reached is ev=refused stage=connect, and the next way in is tried, as any
client with two servers does.
"""
import argparse
import collections
import json
import os
import queue
import signal
import sys
import threading
import time

import corpus
import wire

PER_CONNECTION = 40  # messages; then a fresh one, as clients do
RETRY_S = 0.5


class Way:
    def __init__(self, node, how, host, port, name):
        self.node, self.how, self.host, self.port, self.name = node, how, host, port, name

    def __str__(self):
        return f"{self.node}:{self.how}"


class Ledger:
    """Appends whole lines from many threads; each is in the file when add() returns."""

    def __init__(self, path):
        self.file = open(path, "a", buffering=1) if path else None
        self.lock, self.counts = threading.Lock(), collections.Counter()

    def add(self, ev, **fields):
        line = json.dumps({"ev": ev, "t": round(time.time(), 6), **fields}, ensure_ascii=False)
        with self.lock:
            self.counts[ev] += 1
            if self.file:
                self.file.write(line + "\n")


class Session:
    """One connection to one way in, opened when needed and replaced when worn or broken."""

    def __init__(self, way, conf):
        self.way, self.conf, self.client, self.used, self.opened = way, conf, None, 0, 0

    def get(self):
        if self.client and self.used >= PER_CONNECTION:
            self.drop(polite=True)
        if not self.client:
            client = wire.Client(self.way.host, self.way.port, self.conf.helo, timeout=self.conf.timeout)
            try:
                if self.way.how == "submission":
                    client.starttls(self.conf.ca, self.way.name)
                    client.auth(self.conf.user, self.conf.password, ("PLAIN", "LOGIN")[self.opened % 2])
            except (wire.Lost, wire.Refused):
                client.close()
                raise
            self.client, self.used, self.opened = client, 0, self.opened + 1
        return self.client

    def drop(self, polite=False):
        if self.client:
            self.client.quit() if polite else self.client.close()
        self.client = None

    def send(self, msg, variant):
        """One transaction. Returns (refused recipients, reply, time of the 250)."""
        client = self.get()
        self.used += 1
        data = msg.wire()
        params = [f"SIZE={len(data)}"] if "SIZE" in client.ext else []
        if msg.eight_bit:
            params.append("BODY=8BITMIME")
        if msg.utf8:
            params.append("SMTPUTF8")
        params += msg.mail_params
        rcpts = [(r, " ".join(filter(None, [f"<{r}>", msg.rcpt_params.get(r)]))) for r in msg.rcpts]
        try:
            refused = client.envelope(
                " ".join([f"<{msg.sender}>"] + params), rcpts, variant % 2 and "PIPELINING" in client.ext
            )
            if variant % 5 == 4 and "CHUNKING" in client.ext:
                reply, when = client.bdat(data)
            else:
                reply, when = client.data(data)
            return refused, reply, when
        except wire.Refused as err:
            if err.stage == "dot":  # the transaction is over; the session goes on
                raise
            try:
                client.reset()
            except (wire.Lost, wire.Refused):
                self.drop()
            raise
        except wire.Lost:
            self.drop()
            raise


class Sender:
    def __init__(self, conf, ways, ledger):
        self.conf, self.ways, self.ledger = conf, ways, ledger
        self.stopping = threading.Event()

    def deliver(self, msg, n, sessions):
        """Tries `msg` at way n, then at the others, until somebody answers for it or --patience is over."""
        base, until, attempt = msg.expectations(), time.time() + self.conf.patience, 0
        while True:
            way = self.ways[(n + attempt) % len(self.ways)]
            session = sessions.setdefault(str(way), Session(way, self.conf))
            t0 = time.time()
            common = {"id": msg.id, "node": way.node, "how": way.how}
            try:
                refused, reply, when = session.send(msg, n // len(self.ways))
                taken = [r for r in msg.rcpts if r not in refused]
                self.ledger.add(
                    "accepted",
                    **{
                        **base,
                        **common,
                        "rcpts": taken,
                        "t": when,
                        "t0": t0,
                        "reply": reply,
                        "attempt": attempt,
                    },
                )
                for rcpt, (code, text) in refused.items():
                    self.ledger.add(
                        "refused", **common, stage="rcpt", rcpt=rcpt, code=code, text=text, final=True
                    )
                return
            except wire.Lost as err:
                session.drop()
                if err.after_dot:  # sending it again might double it: an honest client cannot know
                    self.ledger.add(
                        "unknown",
                        **base,
                        **{k: v for k, v in common.items() if k != "id"},
                        t0=t0,
                        stage=err.stage,
                        text=err.why,
                    )
                    return
                stage, code, text = err.stage, 0, err.why
            except wire.Refused as err:
                stage, code, text = err.stage, err.code, err.text
                if session.client is None or code == 421:
                    session.drop()
            attempt += 1
            final = code >= 500 or time.time() > until
            self.ledger.add(
                "refused", **common, stage=stage, code=code, text=text, final=final, attempt=attempt
            )
            if final:
                return
            if attempt % len(self.ways) == 0:
                time.sleep(RETRY_S)

    def run(self, source):
        """Works off `source`, a queue of (message, n) that ends with None for each worker."""

        def work():
            sessions = {}
            while (item := source.get()) is not None:
                try:
                    self.deliver(*item, sessions)
                except Exception as err:  # a defect here must not look like lost mail
                    self.ledger.add("defect", id=item[0].id, text=repr(err))
            for session in sessions.values():
                session.drop(polite=True)

        threads = [threading.Thread(target=work) for _ in range(self.conf.workers)]
        for t in threads:
            t.start()
        return threads

    def corpus(self):
        source = queue.Queue()
        messages = corpus.build(self.conf.run, self.conf.count, self.conf.seed, self.conf.undeliverable)
        # The large ones first: they would otherwise be the tail everybody waits for.
        order = sorted(range(len(messages)), key=lambda i: -len(messages[i].body))
        for i in order:
            source.put((messages[i], i))
        for _ in range(self.conf.workers):
            source.put(None)
        for t in self.run(source):
            t.join()

    def stream(self):
        """Message n is due at start + n/rate; a slow server makes the stream late, never shorter."""
        source = queue.Queue(maxsize=self.conf.workers)
        threads, start, n = self.run(source), time.time(), 0
        while not self.over(start, n):
            due = start + n / self.conf.rate
            time.sleep(max(0, min(due - time.time(), 0.05)))
            if time.time() >= due:
                source.put((corpus.stream_message(self.conf.run, n), n))
                n += 1
        for _ in threads:
            source.put(None)
        for t in threads:
            t.join()

    def over(self, start, n):
        conf = self.conf
        return bool(
            self.stopping.is_set()
            or (conf.seconds and time.time() - start >= conf.seconds)
            or (conf.messages and n >= conf.messages)
            or (conf.stop and os.path.exists(conf.stop))
        )


def parse_edge(text):
    """NAME=HOST[,TLS-NAME] of --edge."""
    name, _, rest = text.partition("=")
    host, _, tls = rest.partition(",")
    return name, host, tls or name


def parse(argv):
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=("corpus", "stream"))
    ap.add_argument("--run", default=f"r{int(time.time())}", help="prefix of the message ids")
    ap.add_argument("--ledger", help="append to this file")
    ap.add_argument(
        "--edge",
        action="append",
        metavar="NAME=HOST[,TLSNAME]",
        help="default: edge1=10.0.0.11,edge1.example.com and edge2=10.0.0.12,edge2.example.com",
    )
    ap.add_argument("--how", default="submission,smarthost")
    ap.add_argument("--submission-port", type=int, default=587)
    ap.add_argument("--smarthost-port", type=int, default=25)
    ap.add_argument("--login", default=os.environ.get("LAB_LOGIN"), metavar="USER:PASSWORD|@FILE")
    ap.add_argument(
        "--ca", help="certificate authority of the edges; without it, certificates are not checked"
    )
    ap.add_argument("--helo", default="mail.example.com")
    ap.add_argument("--workers", type=int, default=8)
    ap.add_argument("--timeout", type=float, default=30)
    ap.add_argument(
        "--patience", type=float, default=10, help="seconds a message is tried after a 4yz or no connection"
    )
    ap.add_argument("--count", type=int, default=300)
    ap.add_argument(
        "--undeliverable", type=int, default=0, help="so many more to a domain that does not exist"
    )
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--rate", type=float, default=20)
    ap.add_argument("--seconds", type=float)
    ap.add_argument("--messages", type=int)
    ap.add_argument("--stop", metavar="FILE", help="the stream ends when this file appears")
    conf = ap.parse_args(argv)
    login = conf.login or ""
    if login.startswith("@"):
        with open(login[1:]) as f:
            login = f.readline().strip()
    conf.user, _, conf.password = login.partition(":")
    if "submission" in conf.how and not conf.user:
        ap.error("--how submission needs --login")
    return conf


def main(argv=None):
    conf = parse(argv)
    edges = [
        parse_edge(e)
        for e in conf.edge or ("edge1=10.0.0.11,edge1.example.com", "edge2=10.0.0.12,edge2.example.com")
    ]
    ports = {"submission": conf.submission_port, "smarthost": conf.smarthost_port}
    # Edges alternate fastest, so that the next way in after a failure is another machine.
    ways = [Way(name, how, host, ports[how], tls) for how in conf.how.split(",") for name, host, tls in edges]
    ledger = Ledger(conf.ledger)
    sender = Sender(conf, ways, ledger)
    signal.signal(signal.SIGTERM, lambda *_: sender.stopping.set())
    signal.signal(signal.SIGINT, lambda *_: sender.stopping.set())
    t0 = time.time()
    sender.corpus() if conf.what == "corpus" else sender.stream()
    took = time.time() - t0
    counts = ledger.counts
    print(
        json.dumps(
            {
                "run": conf.run,
                "seconds": round(took, 2),
                "accepted": counts["accepted"],
                "refused": counts["refused"],
                "unknown": counts["unknown"],
                "defects": counts["defect"],
            }
        )
    )
    return 1 if counts["defect"] else 0


if __name__ == "__main__":
    sys.exit(main())
