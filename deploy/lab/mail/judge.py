"""Compares what the edges accepted (ledger) with what the receivers kept (records), and says every way they differ.

Pure: lists in, findings and figures out. A finding is {"what", "id", "detail"}; the words for `what` are in FINDINGS.
Nothing is forgiven but what the rules name: see Rules.
"""
import collections
import dataclasses
import hashlib

import corpus

FINDINGS = {
    "lost": "accepted by an edge and not at its receiver",
    "doubled": "at its receiver more than once",
    "stranger": "at a receiver although no edge accepted it for that recipient",
    "altered-body": "the body differs from what was sent",
    "altered-head": "header fields that must survive differ from what was sent",
    "leaked-header": "a header field that must not leave was delivered",
    "wrong-source": "came from an address that is no identity, or not the expected one",
    "helo": "HELO is not the identity's name",
    "ptr": "the receiver's reverse look-up is not the HELO name",
    "spf": "the receiver did not find an SPF pass for the client's address",
    "bounce": "a report nobody asked for came back",
    "dsn-missing": "a report that was asked for did not come",
    "dsn-doubled": "a report came twice",
    "dsn-wrong": "a report has the wrong envelope id, recipient or content, or is not from the null sender",
    "overlap": "one identity's message was accepted after another identity had begun",
    "sequence": "the identities did not take turns as expected",
    "defect": "the sending tool failed",
    "unsent": "fewer messages were accepted than expected",
}


@dataclasses.dataclass
class Rules:
    run: str  # judged are the messages whose id begins with this
    identities: dict  # name -> {"ip", "helo"}
    only: tuple = ()  # names that may have sent; empty: any identity
    sequence: tuple = ()  # names in the order they must have sent, e.g. ("edge1", "edge2")
    expect: int = 0  # so many messages must have been accepted
    # A sender killed after the final dot cannot know the message was taken: these may be doubled, and are counted.
    # [(identity, time of the kill)]: first copy from that identity, accepted at most 2 s before.
    killed: tuple = ()
    killed_window_s: float = 2.0


def percentile(values, p):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * p))] if ordered else None


class Judge:
    def __init__(self, rules):
        self.rules, self.findings = rules, []
        self.by_ip = {v["ip"]: k for k, v in rules.identities.items()}

    def find(self, what, mid, detail):
        assert what in FINDINGS
        self.findings.append({"what": what, "id": mid, "detail": detail})

    def mine(self, mid):
        return bool(mid) and (mid == self.rules.run or mid.startswith(self.rules.run + "-"))

    def judge(self, ledger, records, refusals=()):
        """Returns (findings, figures)."""
        ledger = [e for e in ledger if self.mine(e.get("id"))]
        sent = {e["id"]: e for e in ledger if e["ev"] in ("accepted", "unknown")}
        certain = {e["id"] for e in ledger if e["ev"] == "accepted"}
        for entry in ledger:
            if entry["ev"] == "defect":
                self.find("defect", entry["id"], entry["text"])
        mails = [r for r in records if r["kind"] == "mail" and self.mine(r["id"])]
        copies = collections.defaultdict(list)
        for r in mails:
            copies[(r["id"], r["rcpt"])].append(r)
        allowed = self.presence(sent, certain, copies)
        for r in mails:
            self.provenance(r)
            if r["id"] in sent:
                self.content(r, sent[r["id"]])
        reports = [r for r in records if r["kind"] == "report"]
        answered = self.reports(sent, certain, reports)
        gaps = self.turns(mails)
        if len(certain) < self.rules.expect:
            self.find("unsent", None, f"{len(certain)} of {self.rules.expect}")
        return self.findings, self.figures(
            ledger, sent, certain, mails, copies, refusals, answered, gaps, allowed
        )

    def presence(self, sent, certain, copies):
        """Every accepted (message, recipient) exactly once, and nothing else."""
        allowed = 0
        for mid, entry in sent.items():
            for rcpt in set(entry["rcpts"]) - set(entry.get("fails", ())):
                got = copies.get((mid, rcpt), ())
                if not got and mid in certain:
                    self.find(
                        "lost",
                        mid,
                        f"{rcpt}: accepted by {entry['node']} at {entry['t']:.3f}: {entry['reply']}",
                    )
                elif len(got) > 1:
                    if self.lost_reply(got):
                        allowed += 1
                    else:
                        self.find(
                            "doubled",
                            mid,
                            f"{rcpt}: "
                            + ", ".join(
                                f"from {r['ip']} at {r['end']:.3f}"
                                for r in sorted(got, key=lambda r: r["end"])
                            ),
                        )
        for (mid, rcpt), got in copies.items():
            if mid not in sent or rcpt not in sent[mid]["rcpts"] or rcpt in sent[mid].get("fails", ()):
                self.find("stranger", mid, f"{rcpt}: at {got[0]['host']} from {got[0]['ip']}")
        return allowed

    def lost_reply(self, got):
        early, late = sorted(got, key=accepted_at)[:2]
        return len(got) == 2 and any(
            self.by_ip.get(early["ip"]) == name
            and at - self.rules.killed_window_s <= accepted_at(early) <= at + 0.5
            for name, at in self.rules.killed
        )

    def provenance(self, r):
        name = self.by_ip.get(r["ip"])
        where = f"{r['rcpt']} at {r['host']}"
        if name is None or (self.rules.only and name not in self.rules.only):
            self.find(
                "wrong-source",
                r["id"],
                f"{where}: from {r['ip']}"
                + (f", expected {' or '.join(self.rules.only)}" if self.rules.only else ""),
            )
        if name and r["helo"] != self.rules.identities[name]["helo"]:
            self.find("helo", r["id"], f"{where}: HELO {r['helo']} from {r['ip']}")
        if r["ptr"] != r["helo"]:
            self.find("ptr", r["id"], f"{where}: HELO {r['helo']}, PTR {r['ptr']}")
        if r["spf"] != "pass" or r["spf_ip"] != r["ip"]:
            self.find("spf", r["id"], f"{where}: {r['spf'] or 'no result'} for {r['spf_ip'] or 'no address'}")

    def content(self, r, entry):
        where = f"{r['rcpt']} at {r['host']}"
        if r["body_sha256"] != entry["body_sha256"]:
            self.find(
                "altered-body",
                r["id"],
                f"{where}: {r['body_bytes']} bytes, {entry['body_bytes']} sent; {r['path']}",
            )
        kept = r["head"][-entry["head_bytes"] :] if entry["head_bytes"] else b""
        if hashlib.sha256(kept).hexdigest() != entry["head_sha256"]:
            self.find("altered-head", r["id"], f"{where}: {r['path']}")
        # Above our own fields stand only traces; what is there twice or carries an inside name has leaked.
        text = r["head"].decode("utf-8", "surrogateescape")
        leaked = [m for m in corpus.LEAK_MARKERS if m in text]
        names = [
            line.split(":", 1)[0].lower()
            for line in text.split("\r\n")
            if ":" in line and line[0] not in " \t"
        ]
        leaked += [n for n in entry["stripped"] if n != "received" and n in names]
        if leaked:
            self.find("leaked-header", r["id"], f"{where}: {', '.join(leaked)}; {r['path']}")

    def reports(self, sent, certain, reports):
        """Reports that were asked for came once; nothing else came back. Returns counts by action."""
        wanted = {}
        for mid, entry in sent.items():
            for rcpt in entry["rcpts"]:
                words = entry["notify"].get(rcpt, ["FAILURE"])
                if rcpt in entry.get("fails", ()):
                    if "FAILURE" in words:
                        wanted[(mid, rcpt)] = ("failed",)
                elif "SUCCESS" in words:
                    wanted[(mid, rcpt)] = ("delivered", "relayed")
        came = collections.defaultdict(list)
        for r in reports:
            dsn = r["dsn"] or {"rcpts": [], "id": None, "envid": None}
            mid = dsn["id"] or (dsn["envid"] or "").split("+=", 1)[0] or None
            if mid and not self.mine(mid):
                continue
            if not dsn["rcpts"]:
                self.find("bounce", mid, f"a report without recipients: {r['path']}")
            for line in dsn["rcpts"]:
                rcpt = line["final"]
                if line["action"] not in wanted.get((mid, rcpt), ()):
                    self.find(
                        "bounce",
                        mid,
                        f"{line['action']} {line['status']} for {rcpt}: {line['text']}; {r['path']}",
                    )
                    continue
                came[(mid, rcpt)].append((r, line))
        for (mid, rcpt), actions in wanted.items():
            got = came.get((mid, rcpt), ())
            if not got and mid in certain:
                self.find("dsn-missing", mid, f"{rcpt}: {' or '.join(actions)}")
            elif len(got) > 1:
                self.find("dsn-doubled", mid, f"{rcpt}: " + ", ".join(r["path"] for r, _ in got))
            for r, line in got:
                self.report_content(sent[mid], rcpt, r, line)
        return collections.Counter(line["action"] for lines in came.values() for _, line in lines)

    def report_content(self, entry, rcpt, r, line):
        dsn, wrong = r["dsn"], []
        if dsn["envid"] != entry["envid"]:
            wrong.append(f"envelope id {dsn['envid']}, sent {entry['envid']}")
        orig = entry.get("orcpt", {}).get(rcpt)
        if orig and line["orig"] != orig:
            wrong.append(f"original recipient {line['orig']}, sent {orig}")
        if entry["ret"] == "HDRS" and dsn["returned"] == "FULL":
            wrong.append("the whole message was returned, RET=HDRS asked for headers")
        if entry["ret"] == "FULL" and line["action"] == "failed" and dsn["returned"] != "FULL":
            wrong.append("RET=FULL, but the message was not returned")
        if not line["status"].startswith(
            {"failed": "5.", "delivered": "2.", "relayed": "2."}[line["action"]]
        ):
            wrong.append(f"status {line['status']} for {line['action']}")
        if r["from"]:
            wrong.append(f"from {r['from']} instead of the null sender")
        for why in wrong:
            self.find("dsn-wrong", entry["id"], f"{rcpt}: {why}; {r['path']}")

    def turns(self, mails):
        """Who sent when. Two identities must never interleave: the last acceptance of one comes before the other's
        first transaction has even begun. Returns [{from, to, gap_ms, last, first}]."""
        known = sorted((r for r in mails if r["ip"] in self.by_ip), key=accepted_at)
        runs = []
        for r in known:
            name = self.by_ip[r["ip"]]
            if not runs or runs[-1][0] != name:
                runs.append((name, []))
            runs[-1][1].append(r)
        gaps = []
        for (a, before), (b, after) in zip(runs, runs[1:]):
            last, first = max(before, key=accepted_at), min(after, key=accepted_at)
            begun = min(r["start"] for r in after)
            if begun < accepted_at(last):
                self.find(
                    "overlap",
                    last["id"],
                    f"{a} at {accepted_at(last):.3f} ({last['host']}), " f"{b} had begun at {begun:.3f}",
                )
            gaps.append(
                {
                    "from": a,
                    "to": b,
                    "last": accepted_at(last),
                    "first": accepted_at(first),
                    "gap_ms": round((accepted_at(first) - accepted_at(last)) * 1000),
                }
            )
        order = [name for name, _ in runs]
        if self.rules.sequence and order != list(self.rules.sequence):
            said = " ".join(order[:12]) + (" ..." if len(order) > 12 else "")
            self.find("sequence", None, f"{said or 'nobody'} instead of {' '.join(self.rules.sequence)}")
        return gaps

    def figures(self, ledger, sent, certain, mails, copies, refusals, answered, gaps, allowed):
        accepted = [sent[m] for m in certain]
        latency = [
            min(accepted_at(r) for r in got) - sent[mid]["t"]
            for (mid, _), got in copies.items()
            if mid in certain
        ]
        listed = [r for r in refusals if "blocked using" in r["text"] or "listed" in r["text"].lower()]
        # `accepted` and `arrived` count deliverable pairs (message, recipient), so that they must be equal.
        pairs = [(e["id"], r) for e in accepted for r in e["rcpts"] if r not in e.get("fails", ())]
        return {
            "messages": len(certain),
            "unknown": len(set(sent) - certain),
            "accepted": len(pairs),
            "arrived": sum(1 for p in pairs if p in copies),
            "copies": len(mails),
            "refused_by_edge": sum(1 for e in ledger if e["ev"] == "refused" and e["stage"] != "connect"),
            "unreachable": sum(1 for e in ledger if e["ev"] == "refused" and e["stage"] == "connect"),
            "by_identity": dict(collections.Counter(self.by_ip.get(r["ip"], r["ip"]) for r in mails)),
            "spf_pass": sum(r["spf"] == "pass" for r in mails),
            "helo_is_ptr": sum(r["helo"] == r["ptr"] for r in mails),
            "tls": sum(r["tls"] for r in mails),
            "bytes": sum(r["body_bytes"] for r in mails),
            "kinds": dict(collections.Counter(e["kind"] for e in accepted)),
            "reports": dict(answered),
            "lost_reply_doubles": allowed,
            "refusals": len(refusals),
            "listed_refusals": len(listed),
            "listed_text": f"{listed[0]['code']} {listed[0]['text']}" if listed else None,
            "gaps": gaps,
            "first": min((accepted_at(r) for r in mails), default=None),
            "last": max((accepted_at(r) for r in mails), default=None),
            "latency_s": {
                "p50": rounded(percentile(latency, 0.5)),
                "p95": rounded(percentile(latency, 0.95)),
                "max": rounded(max(latency, default=None)),
            },
            "findings": dict(collections.Counter(f["what"] for f in self.findings)),
        }


def rounded(value):
    return None if value is None else round(value, 3)


def accepted_at(r):
    """When the receiver had taken the message: from its log when known, else when it lay in the maildir."""
    return r.get("accepted") or r["end"]
