"""What the scenarios stand on: a healthy lab before and after each, changes that are undone, and things to assert."""
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
LAB = os.path.join(REPO, "deploy", "lab")
sys.path[:0] = [LAB, os.path.join(LAB, "mail")]

from tell import sampler  # noqa: E402
from tell.lab import Lab, LabError, Stream, sender_options  # noqa: E402,F401
from tell.lines import status_lines  # noqa: E402
import check  # noqa: E402
import judge  # noqa: E402
import records  # noqa: E402

RUN = os.environ.get("GEMEL_LAB_RUN", "/run/gemel-lab")
COMPLAINT = r"(Address|Leak|Thread)Sanitizer|runtime error:|[Aa]ssertion .*failed|ASSERT|core dumped"


class Wrong(Exception):
    """What a scenario saw is not what must be."""


def must(condition, text, *evidence):
    if not condition:
        raise Wrong("\n".join([text, *map(str, evidence)]))


class Ground(Lab):
    """The lab with what scenarios need; undo() brings back what they changed."""

    def __init__(self):
        super().__init__()
        self.undos, self.count = [], 0
        self.read = {}  # host: how far complaints() has read its log
        os.makedirs(self.path("story"), exist_ok=True)

    # Changes, each with its way back

    def undo(self):
        """Takes back every change, newest first; goes on when one fails."""
        errors = []
        while self.undos:
            try:
                self.undos.pop()()
            except (LabError, OSError) as err:
                errors.append(str(err))
        return errors

    def later(self, what, *args):
        self.undos.append(lambda: what(*args))

    def rewrite(self, path, change):
        """Replaces a file's text by change(text), same owner and mode; undone by the text of before."""
        with open(path, encoding="utf-8") as f:
            before = f.read()
        after = change(before)
        must(after != before, f"the scenario changes nothing in {path}")
        self.later(put, path, before)
        put(path, after)

    def restart(self, *hosts):
        self.run("stop", *hosts)
        self.run("start", *hosts)

    def rewrite_and_restart(self, path, change, *hosts):
        """As rewrite(), for a file that daemons read when they start: they restart now, and again at the undo."""
        self.later(self.restart, *hosts)  # runs after the text is back: undos go backwards
        self.rewrite(path, change)
        self.restart(*hosts)

    def redis(self, *command):
        with open(self.path("secrets", "redis-lab.pass"), encoding="utf-8") as f:
            env = {**os.environ, "REDISCLI_AUTH": f.read().strip()}
        return self.exec(
            "redis",
            "redis-cli",
            "-h",
            self.inside("redis"),
            "--user",
            "lab",
            "--no-auth-warning",
            *command,
            env=env,
        ).stdout.strip()

    # Looking

    def healthy(self):
        status = self.status()
        roles = sorted(str(i["role"]) for i in (status or {}).get("identities", []))
        return (
            status
            if roles == ["active", "standby"] and not status["issues"] and not status.get("operation")
            else None
        )

    def settle(self, limit_s=40):
        """Until the cluster is as it should be; the status."""
        status = self.until(self.healthy, limit_s, 0.2)
        must(status, f"the cluster is not healthy within {limit_s} s", *status_lines(self.status()))
        return status

    def active(self):
        return next((n for n in self.nodes if self.http(n, "/active") == 200), None)

    def eventually(self, what, limit_s, text):
        value = self.until(what, limit_s, 0.2)
        must(value, f"not within {limit_s} s: {text}", *status_lines(self.status()))
        return value

    def stays(self, what, seconds, text):
        end = time.time() + seconds
        while time.time() < end:
            must(what(), text, *status_lines(self.status()))
            time.sleep(0.2)

    def no_switch(self, status, seconds):
        """`status` is from before: sender and epoch remain."""

        def same():
            now = self.status()
            return now and (now["active"], now["epoch"]) == (status["active"], status["epoch"])

        self.stays(same, seconds, "a switch happened, or the sender is gone")

    def issue(self, pattern, limit_s=20):
        """Until gemelctl status names an issue that matches; its text."""

        def look():
            return next(
                (
                    str(i)
                    for i in (self.status() or {}).get("issues", [])
                    if re.search(pattern, json.dumps(i), re.I)
                ),
                None,
            )

        return self.eventually(look, limit_s, f"an issue in gemelctl status that matches {pattern!r}")

    def log_says(self, host, pattern, since):
        """Does the host's log contain a line that matches, written after the offset `since`?"""
        with open(self.log(host), encoding="utf-8", errors="replace") as f:
            f.seek(since)
            return next((line.strip() for line in f if re.search(pattern, line, re.I)), None)

    def log_end(self, host):
        try:
            return os.path.getsize(self.log(host))
        except FileNotFoundError:
            return 0

    def daemons(self):
        """The process of each of our daemons; 0 when it is not there."""
        found = {}
        for host in self.nodes + self.coordinators:
            found[host] = 0
            with contextlib.suppress(OSError, ValueError), open(
                os.path.join(RUN, host + ".pid"), encoding="utf-8"
            ) as f:
                pid = int(f.read())
                found[host] = pid if os.path.exists(f"/proc/{pid}") else 0
        return found

    def complaints(self):
        """What sanitizers and assertions wrote into our daemons' logs since the last call."""
        found = []
        for host in self.nodes + self.coordinators:
            with contextlib.suppress(FileNotFoundError), open(
                self.log(host), encoding="utf-8", errors="replace"
            ) as f:
                f.seek(0 if self.log_end(host) < self.read.get(host, 0) else self.read.get(host, 0))
                found += [f"{host}: {line.strip()}" for line in f if re.search(COMPLAINT, line)]
                self.read[host] = f.tell()
        return found

    # Mail

    def run_name(self, name):
        self.count += 1
        return f"{name}{int(time.time())}x{self.count}"

    def talk(self, host, server, port, script, *options):
        done = self.exec(
            host,
            sys.executable,
            os.path.join(HERE, "talk.py"),
            server,
            str(port),
            *options,
            input=json.dumps(script),
            timeout=60,
        )
        return json.loads(done.stdout)

    def send_some(self, name, messages=20, how="submission,smarthost", nodes=None):
        """A short burst from inside; (run, ledger)."""
        run = self.run_name(name)
        ledger = self.path("story", run + ".ledger")
        options = sender_options(self)
        if nodes:
            options = [
                o
                for pair in zip(options[::2], options[1::2])
                for o in pair
                if pair[0] != "--edge" or pair[1].split("=")[0] in nodes
            ]
        self.exec(
            "inside",
            os.path.join(LAB, "mail", "send.py"),
            "stream",
            "--run",
            run,
            "--ledger",
            ledger,
            "--how",
            how,
            "--messages",
            str(messages),
            "--rate",
            "50",
            *options,
            timeout=120,
        )
        return run, ledger

    def mail_is_right(self, run, ledger, wait_s=30, expect=0, **rules):
        reader = records.Reader(self.dir, since=time.time() - 600)
        findings, figures = check.settle(
            reader, [ledger], judge.Rules(run=run, identities=self.identities, expect=expect, **rules), wait_s
        )
        must(not findings, "mail went wrong", *check.describe(findings, figures))
        return figures

    @contextlib.contextmanager
    def traffic(self, name, rate=20):
        """A stream during the block; stopped after it, killed when the block fails."""
        stream = Stream(self, self.run_name(name), rate)
        try:
            self.eventually(lambda: stream.accepted() >= rate, 15, "the edges take mail")
            yield stream
            stream.stop()
        finally:
            stream.kill()

    @contextlib.contextmanager
    def watched(self):
        """/active of both nodes is sampled during the block; two at once is wrong whatever happens."""
        path = self.path("story", self.run_name("samples"))
        process = subprocess.Popen(
            self.on(
                self.coordinators[0],
                sys.executable,
                sampler.__file__,
                "--out",
                path,
                *(f"--node={n}={self.inside(n)}:9301" for n in self.nodes),
            )
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)
        findings, _ = sampler.judge(sampler.read(path), [(0, time.time() + 1)])
        both = [f for f in findings if "both active" in f]
        must(not both, "two nodes were active at once", *both)


def put(path, text):
    """Writes a file in place of another with its owner and mode."""
    new = path + ".new"
    with open(new, "w", encoding="utf-8") as f:
        f.write(text)
    stat = os.stat(path)
    os.chown(new, stat.st_uid, stat.st_gid)
    shutil.copymode(path, new)
    os.replace(new, path)
