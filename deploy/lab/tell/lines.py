"""The seven lines of the story: each does something to the lab, looks at what the world saw, and returns one sentence.

A line that is not true raises Fail with the evidence. What later lines need is kept in the Story."""
import json
import os
import subprocess
import sys
import time

from tell import sampler
from tell.lab import LabError, Stream, sender_options
from tell.screen import Fail

import check  # noqa: E402  deploy/lab/mail, put on the path by deploy/lab/story
import judge
import records

CORPUS, UNDELIVERABLE = 300, 4
RATE = 20


class Story:
    def __init__(self, lab, screen):
        self.lab, self.screen = lab, screen
        self.run = f"story{int(time.time())}"
        self.begun = time.time()
        self.a, self.b = lab.nodes[:2]
        self.switching = []  # windows in which a change of sender goes on
        self.figures = {}  # for the summary
        self.mail_logs = [lab.log(h) for h in lab.receivers + ["inside"]]
        self.our_logs = [lab.log(h) for h in lab.coordinators + lab.nodes]
        self.samples = lab.path("story", self.run + ".samples")
        self.sampler = self.stream = None
        os.makedirs(lab.path("story"), exist_ok=True)

    # What several lines do

    def start_sampler(self):
        nodes = [f"--node={n}={self.lab.inside(n)}:9301" for n in self.lab.nodes]
        self.sampler = subprocess.Popen(
            self.lab.on(
                self.lab.coordinators[0], sys.executable, sampler.__file__, *nodes, "--out", self.samples
            ),
            start_new_session=True,
        )

    def close(self):
        """Leaves nothing running, whatever happened."""
        if self.stream:
            self.stream.kill()
        if self.sampler and self.sampler.poll() is None:
            self.sampler.terminate()
            self.sampler.wait(10)

    def wait(self, what, limit_s, saying):
        """Waits for what(status) to be true. `saying(status)` is shown meanwhile. Fails with the last status."""
        last = None

        def look():
            nonlocal last
            last = self.lab.status()
            if last and (value := what(last)):
                return value
            self.screen.progress(saying(last) if last else "no coordinator answers gemelctl status")
            return None

        begun = time.time()
        value = self.lab.until(look, limit_s, 0.1)
        if value is None:
            raise Fail(
                f"waited {time.time() - begun:.0f} s for this: {saying(last) if last else 'an answer to gemelctl status'}",
                status_lines(last),
                self.our_logs,
            )
        return value, last

    def wait_active(self, name, limit_s=30):
        """Until `name` sends, by the coordinator's word and the node's own. Returns the status."""

        def there(status):
            return (
                status["active"] == name
                and not status.get("operation")
                and self.lab.http(name, "/active") == 200
            )

        def saying(status):
            step = status.get("operation")
            return f"{name} to send; now {status['active'] or 'nobody'} does" + (
                f", {brief(step)}" if step else ""
            )

        return self.wait(there, limit_s, saying)[1]

    def rules(self, run, **more):
        return judge.Rules(run=run, identities=self.lab.identities, **more)

    def check_mail(self, ledger, rules, wait_s, since):
        """The receivers' records against the ledger; Fail unless everything is as it must be."""
        reader = records.Reader(self.lab.dir, since=since - 1)
        findings, figures = check.settle(
            reader,
            [ledger],
            rules,
            wait_s,
            progress=lambda f: f["arrived"] < f["accepted"]
            and self.screen.progress(f"{f['arrived']} of {f['accepted']} have arrived"),
        )
        if findings:
            count = sum(figures["findings"].values())
            raise Fail(
                f"the receivers' records show {count} thing{'s' if count > 1 else ''} that must not be: "
                + ", ".join(f"{n} {w}" for w, n in sorted(figures["findings"].items())),
                list(check.describe(findings, figures)) + [f"ledger: {ledger}"],
                self.our_logs + self.mail_logs,
            )
        return figures

    def start_stream(self, name, messages=20):
        """A stream, of which the first `messages` have been accepted."""
        self.stream = Stream(self.lab, f"{self.run}-{name}", RATE)
        begun = time.time()
        if not self.lab.until(lambda: self.stream.accepted() >= messages, 15):
            raise Fail(
                f"the edges took {self.stream.accepted()} messages in {time.time() - begun:.0f} s",
                tail(self.stream.ledger) + tail(self.stream.out),
                self.our_logs,
            )
        return self.stream

    def end_stream(self):
        stream, self.stream = self.stream, None
        stream.stop()
        return stream

    def switch_window(self, begin):
        """Ends a window of change: everything is at rest again."""
        self.switching.append((begin, time.time()))

    def last_switch(self, frm, to):
        """The newest entry of the history, which must be this switch."""
        entries = self.lab.history()
        newest = max(entries, key=lambda e: e["epoch"], default=None)
        if not newest or (newest["from"], newest["to"]) != (frm, to):
            raise Fail(
                f"gemelctl history does not tell of a switch from {frm} to {to} last",
                [json.dumps(e) for e in entries[-3:]] or ["it is empty"],
                self.our_logs,
            )
        return newest

    def records_now(self):
        """What the authoritative servers say: {(server, name): [strings]}."""
        zone, domain = self.lab.settings["LAB_ZONE"], self.lab.settings["LAB_DOMAIN"]
        names = (f"_spf.{zone}", f"_egress.{zone}", domain, zone, f"neighbour.{zone}", f"_dmarc.{domain}")
        return {(s, n): self.lab.dig(self.lab.public(s), n) for s in ("ns1", "ns2") for n in names}

    # The story

    def prepare(self):
        """From any state a healthy lab can be in to the beginning: edge1 sends, nothing is listed."""
        if not self.lab.is_up():
            raise LabError("the lab is not up: deploy/lab/run up")
        if not os.path.exists(self.lab.path("bin", "gemelctl")):
            raise LabError("the lab runs without Gemel: build it, then deploy/lab/run up")
        for node in self.lab.nodes:
            self.lab.run("delist", self.lab.public(node))
        self.start_sampler_when_quiet()

    def start_sampler_when_quiet(self):
        _, status = self.wait(
            lambda s: s["active"] and not s.get("operation"), 30, lambda s: "somebody to send"
        )
        if status["active"] != self.a:
            self.wait(
                lambda s: self.lab.identity(s, self.a).get("role") == "standby",
                30,
                lambda s: f"{self.a} to stand by",
            )
            code, answer = self.lab.ctl("switchover", "--to", self.a, "--wait")
            if code:
                raise Fail(
                    f"the story begins with {self.a}, but gemelctl switchover says {answer}",
                    logs=self.our_logs,
                )
        self.wait_active(self.a)
        self.start_sampler()

    def line1(self):
        """gemelctl status: edge1 active, edge2 standby, epoch, SPF verified at n/n servers, lists clean."""

        def good(s):
            a, b, spf = self.lab.identity(s, self.a), self.lab.identity(s, self.b), s["spf"]
            return (
                a.get("role") == "active"
                and b.get("role") == "standby"
                and s["epoch"] > 0
                and spf["servers"] >= 2
                and spf["verified"] == spf["servers"]
                and all(i["spf_ok"] and i["ptr_ok"] and not i["listed"] for i in (a, b))
                and not s["issues"]
            )

        _, s = self.wait(
            good, 20, lambda s: "a healthy cluster; issues: " + ("; ".join(map(str, s["issues"])) or "none")
        )
        # The record was published a moment ago: the world may remember for the zone's negative TTL that there was none.
        name, limit = f"_spf.{self.lab.settings['LAB_ZONE']}", time.time() + 10
        while not any(
            self.lab.public(self.a) in t for t in self.lab.dig(self.lab.public("resolver"), name, recurse=True)
        ):
            if time.time() > limit:
                raise Fail(f"the world's resolver does not see {name}", status_lines(s), self.our_logs)
            self.screen.progress(f"the world to see {name}")
            time.sleep(0.2)
        leaders = [c for c in self.lab.coordinators if self.lab.http(c, "/leader") == 200]
        if len(leaders) != 1:
            raise Fail(f"{len(leaders)} coordinators say they lead, one must", leaders, self.our_logs)
        codes = {n: (self.lab.http(n, "/active"), self.lab.http(n, "/standby")) for n in self.lab.nodes}
        if codes != {self.a: (200, 503), self.b: (503, 200)}:
            raise Fail(
                f"/active and /standby do not agree with gemelctl: {codes}", status_lines(s), self.our_logs
            )
        self.first_epoch = s["epoch"]
        return (
            f"{self.a} active, {self.b} standby, epoch {s['epoch']}, SPF verified at "
            f"{s['spf']['verified']}/{s['spf']['servers']} servers, lists clean, {leaders[0]} leads"
        )

    def line2(self):
        """300 messages of every kind through both nodes arrive once, unharmed, from edge1's address."""
        begun, run = time.time(), f"{self.run}-corpus"
        ledger = self.lab.path("story", run + ".ledger")
        done = self.lab.exec(
            "inside",
            os.path.join(self.lab.home, "mail", "send.py"),
            "corpus",
            "--run",
            run,
            "--count",
            str(CORPUS),
            "--undeliverable",
            str(UNDELIVERABLE),
            "--ledger",
            ledger,
            *sender_options(self.lab),
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise Fail(
                "the corpus could not be sent", (done.stdout + done.stderr).splitlines(), self.our_logs
            )
        sent_s = json.loads(done.stdout)["seconds"]
        f = self.check_mail(ledger, self.rules(run, only=(self.a,), expect=CORPUS + UNDELIVERABLE), 60, begun)
        ways = {(e["node"], e["how"]) for e in check.read_ledger([ledger]) if e["ev"] == "accepted"}
        if len(ways) != 2 * len(self.lab.nodes):
            raise Fail(f"the messages did not enter by every way: only {sorted(ways)}", [f"ledger: {ledger}"])
        self.figures["corpus"] = f
        reports = ", ".join(f"{n} {a}" for a, n in sorted(f["reports"].items()))
        self.screen.note(
            f"accepted in {sent_s:.1f} s at both edges, by submission and as smart host; {f['bytes'] / 1e6:.0f} MB; "
            f"acceptance to arrival p50 {f['latency_s']['p50']} s, p95 {f['latency_s']['p95']} s"
        )
        self.screen.note(
            f"header fields that must not leave are gone; {UNDELIVERABLE} to a domain that does not exist came "
            f"back as asked; reports: {reports}"
        )
        return (
            f"{CORPUS} messages for {f['accepted']} recipients arrived once, byte for byte, from "
            f"{self.lab.public(self.a)}: HELO = PTR {f['helo_is_ptr']}/{f['copies']}, SPF pass {f['spf_pass']}/{f['copies']}"
        )

    def line3(self):
        """edge1's address is listed under traffic; edge2 sends the waiting mail; nobody loses anything."""
        self.dns_before = self.records_now()
        begun = time.time()
        self.start_stream("listed", 2 * RATE)
        listed = time.time()
        self.lab.run("list", self.lab.public(self.a))
        self.screen.progress(f"{self.lab.public(self.a)} is in {self.lab.settings['LAB_DNSBLS'].split()[0]}")
        self.wait_active(self.b)
        switched = time.time()
        time.sleep(2)
        stream = self.end_stream()
        self.switch_window(listed)
        f = self.check_mail(stream.ledger, self.rules(stream.run, sequence=(self.a, self.b)), 60, begun)
        zone = self.lab.settings["LAB_DNSBLS"].split()[0]
        if not f["listed_refusals"] or zone not in f["listed_text"]:
            raise Fail(
                "no receiver refused mail because of the list: the listing was not seen outside",
                check.describe([], f),
                self.mail_logs,
            )
        self.check_steps(self.last_switch(self.a, self.b), zone)
        gap = f["gaps"][0]
        self.figures["listing"] = {
            **f,
            "listed_to_first_ms": round((gap["first"] - listed) * 1000),
            "listed_to_active_ms": round((switched - listed) * 1000),
        }
        self.screen.note(f"receivers: {f['listed_text']} ({f['listed_refusals']} times)")
        self.screen.note(
            f"no message was accepted from {self.a} after {self.b}'s first; {gap['gap_ms'] / 1000:.2f} s between them; "
            f"{(gap['first'] - listed):.2f} s from the listing to {self.b}'s first"
        )
        return (
            f"{self.lab.public(self.a)} was listed under {RATE} messages/s, {self.b} took over: {f['accepted']} accepted, "
            f"{f['arrived']} arrived, none lost, doubled or bounced, SPF pass from the first"
        )

    def check_steps(self, entry, zone):
        """The switch was confirmed, fenced, published, verified, granted; its evidence names the list."""
        steps = " ".join(s["step"] for s in entry["steps"]).lower()
        missing = [w for w in ("confirm", "fenc", "publish", "verif", "grant") if w not in steps]
        if missing:
            raise Fail(
                f"the history lacks steps: {', '.join(w + '…' for w in missing)}",
                [json.dumps(entry)],
                self.our_logs,
            )
        if zone not in json.dumps(entry["evidence"]) + entry["why"]:
            raise Fail(f"the history does not give {zone} as evidence", [json.dumps(entry)], self.our_logs)

    def line4(self):
        """dig before and after: regenerated TXT, the listed address withdrawn, foreign TXT untouched."""
        zone = self.lab.settings["LAB_ZONE"]
        spf, egress = f"_spf.{zone}", f"_egress.{zone}"
        a, b = self.lab.public(self.a), self.lab.public(self.b)
        servers = ("ns1", "ns2")

        def withdrawn():
            now = self.records_now()
            left = [s for s in servers if a in " ".join(now[s, spf])]
            self.screen.progress(
                f"{a} to be withdrawn after the grace: {', '.join(left)} still say{'s' * (len(left) == 1)} it"
            )
            return None if left else now

        now = self.lab.until(withdrawn, 40)
        if now is None:
            raise Fail(
                f"{a} is still in {spf}",
                [f"{k[0]} {k[1]}: {v}" for k, v in self.records_now().items()],
                self.our_logs,
            )
        before, problems = self.dns_before, []
        for s in servers:
            if (
                len(now[s, spf]) != 1
                or f"ip4:{b}" not in now[s, spf][0]
                or not now[s, spf][0].startswith("v=spf1 ")
            ):
                problems.append(f"{s} {spf}: {now[s, spf]}")
            if (
                now[s, egress] == before[s, egress]
                or len(now[s, egress]) != 1
                or self.b not in now[s, egress][0]
            ):
                problems.append(f"{s} {egress}: {before[s, egress]} became {now[s, egress]}")
            for key in now:
                if key[0] == s and key[1] not in (spf, egress) and (now[key] != before[key] or not now[key]):
                    problems.append(f"{s} {key[1]}, which is not ours: {before[key]} became {now[key]}")
        if problems:
            raise Fail(
                "the published records are not what they must be",
                problems,
                self.our_logs + [self.lab.log("ns1")],
            )
        foreign = sum(len(v) for (s, n), v in now.items() if s == "ns1" and n not in (spf, egress))
        for name in (spf, egress):
            self.screen.note(f"dig TXT {name}: {before['ns1', name][0]}")
            self.screen.note(f"{'now':>{len('dig TXT ' + name)}}: {now['ns1', name][0]}")
        return f"the TXT records are regenerated at every server, {a} is withdrawn, {foreign} foreign TXT records are untouched"

    def line5(self):
        """Delisting: edge1 becomes standby after the clean period, nothing moves back by itself; a switchover does."""
        a = self.lab.public(self.a)
        delisted = time.time()
        self.lab.run("delist", a)
        self.wait(
            lambda s: self.lab.identity(s, self.a).get("role") == "standby"
            and self.lab.identity(s, self.a)["spf_ok"],
            60,
            lambda s: f"{self.a} to stand by; it is {self.lab.identity(s, self.a).get('role')}, "
            f"clean for {time.time() - delisted:.0f} s",
        )
        clean_s = time.time() - delisted
        if clean_s < self.lab.setting_s("CLEAN_FOR"):
            raise Fail(
                f"{self.a} became standby {clean_s:.1f} s after its delisting; the clean period is "
                f"{self.lab.settings['LAB_CLEAN_FOR']}",
                logs=self.our_logs,
            )
        quiet_until = time.time() + 3 * self.lab.setting_s("POLL")
        while time.time() < quiet_until:
            self.screen.progress("no automatic failback")
            status = self.lab.status()
            if status and status["active"] != self.b:
                raise Fail(
                    f"{status['active']} sends although nobody asked for it",
                    status_lines(status),
                    self.our_logs,
                )
            time.sleep(0.2)
        begun = time.time()
        self.start_stream("switchover")
        asked = time.time()
        code, answer = self.lab.ctl("switchover", "--to", self.a, "--wait")
        if code:
            raise Fail(f"gemelctl switchover --to {self.a} --wait: exit {code}", [str(answer)], self.our_logs)
        took = time.time() - asked
        self.wait_active(self.a, 5)
        time.sleep(1)
        stream = self.end_stream()
        self.switch_window(asked)
        f = self.check_mail(stream.ledger, self.rules(stream.run, sequence=(self.b, self.a)), 30, begun)
        told = self.last_switch(self.b, self.a).get("gap_ms")
        if told is None:
            raise Fail("the history does not give the gap", logs=self.our_logs)
        self.figures["switchover"] = {**f, "told_gap_ms": told, "took_ms": round(took * 1000)}
        self.screen.note(
            f"gap by the coordinator {told} ms, by the receivers {f['gaps'][0]['gap_ms']} ms at {RATE} messages/s; "
            f"gemelctl waited {took:.2f} s"
        )
        return (
            f"{self.a} stood by {clean_s:.1f} s after its delisting, nothing moved by itself; switchover --to {self.a} "
            f"--wait moved back with a gap of {told} ms, {f['arrived']} of {f['accepted']} arrived"
        )

    def line6(self):
        """kill -9 of the active node: the other sends when the lease is over; the dead node's queue comes back, once."""
        lease_s, frozen = self.lab.setting_s("LEASE"), self.lab.receivers[-1]
        begun = time.time()
        self.start_stream("killed")
        # A receiver that hangs fills the queue of the active node, so that it has something to die with.
        self.lab.freeze(frozen)
        try:
            time.sleep(1.5)
            killed = time.time()
            self.lab.run("kill", self.a)
        finally:
            self.lab.thaw(frozen)
        self.wait_active(self.b, lease_s + 30)
        time.sleep(1)
        stream = self.end_stream()
        before = self.examine(stream, killed)
        self.lab.run("start", self.a)
        back = time.time()
        self.wait(
            lambda s: self.lab.identity(s, self.a).get("role") in ("standby", "fenced"),
            30,
            lambda s: f"{self.a} to come back",
        )
        f = self.check_mail(
            stream.ledger,
            self.rules(stream.run, sequence=(self.a, self.b), killed=((self.a, killed),)),
            60,
            begun,
        )
        self.switch_window(killed)
        waiting = f["arrived"] - before["arrived"]
        if waiting < 1:
            raise Fail(
                f"{self.a} died with an empty queue: this proves nothing",
                check.describe([], f),
                self.our_logs,
            )
        gap = f["gaps"][0]
        self.figures["killed"] = {
            **f,
            "waiting": waiting,
            "killed_to_first_ms": round((gap["first"] - killed) * 1000),
        }
        self.last_switch(self.a, self.b)
        self.screen.note(
            f"{waiting} messages lay in the dead node's spool and were delivered {f['last'] - back:.1f} s after its return at "
            f"the latest"
            + (
                f"; {f['lost_reply_doubles']} twice, their reply died with the sender"
                if f["lost_reply_doubles"]
                else ""
            )
        )
        return (
            f"{self.a} was killed, {self.b} sent {gap['first'] - killed:.1f} s later (lease {lease_s:g} s), the dead node's queue "
            f"followed when it was back: {f['arrived']} of {f['accepted']} arrived, none lost"
        )

    def examine(self, stream, killed):
        """A first look while the dead node is away: what is not there lies in its spool."""
        time.sleep(1)
        reader = records.Reader(self.lab.dir, since=killed - 60)
        return check.examine(reader, [stream.ledger], self.rules(stream.run, killed=((self.a, killed),)))[1]

    def line7(self):
        """/active was 200 on exactly one node throughout; the history explains each change."""
        self.sampler.terminate()
        self.sampler.wait(10)
        samples = sampler.read(self.samples)
        findings, f = sampler.judge(samples, self.switching)
        if findings:
            raise Fail(
                "/active was not as it must be", findings + [f"samples: {self.samples}"], self.our_logs
            )
        wanted = [self.a, self.b, self.a, self.b]
        if f["order"] != wanted:
            raise Fail(
                f"the nodes were active in the order {' '.join(f['order'])}, not {' '.join(wanted)}",
                logs=self.our_logs,
            )
        self.figures["active"] = f
        entries = sorted(
            (e for e in self.lab.history() if e["epoch"] > self.first_epoch), key=lambda e: e["epoch"]
        )
        self.check_history(entries, list(zip(wanted, wanted[1:])))
        for e in entries:
            steps = ", ".join(f"{s['step']} {s['ms']} ms" for s in e["steps"])
            self.screen.note(f"epoch {e['epoch']}, {e['from']} to {e['to']}: {e['why']}")
            self.screen.note(f"    {steps}; gap {e['gap_ms']} ms")
        self.figures["history"] = entries
        return (
            f"/active was 200 on exactly one node in {f['samples']} samples, on nobody only during the {len(self.switching)} "
            f"switches, on two never; gemelctl history explains each"
        )

    def check_history(self, entries, wanted):
        problems = []
        if [(e["from"], e["to"]) for e in entries] != wanted:
            problems.append(
                "it tells " + (", ".join(f"{e['from']} to {e['to']}" for e in entries) or "nothing")
            )
        for e in entries:
            if len(str(e["why"]).split()) < 3:
                problems.append(f"epoch {e['epoch']}: no sentence: {e['why']!r}")
            if not e["evidence"]:
                problems.append(f"epoch {e['epoch']}: no evidence")
            if not e["steps"] or any(
                not isinstance(s["ms"], (int, float)) or s["ms"] < 0 for s in e["steps"]
            ):
                problems.append(f"epoch {e['epoch']}: steps without times: {e['steps']}")
        if problems:
            raise Fail("gemelctl history does not explain what happened", problems, self.our_logs)


def brief(operation):
    """What an operation is doing, whatever fields it has."""
    if isinstance(operation, dict):
        return " ".join(str(operation[k]) for k in ("kind", "trigger", "step", "state") if operation.get(k))
    return str(operation)


def status_lines(status):
    if not status:
        return ["no coordinator answers gemelctl status"]
    lines = [
        f"epoch {status['epoch']}, mode {status['mode']}, active {status['active']}, SPF {status['spf']}, "
        f"operation {status.get('operation')}"
    ]
    lines += [json.dumps(i) for i in status["identities"]]
    return lines + [f"issue: {i}" for i in status["issues"]]


def tail(path, n=5):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read().splitlines()[-n:]
    except FileNotFoundError:
        return []
