"""Reads what the lab's mail servers themselves kept: maildirs and Postfix logs. Nothing here trusts the sender.

A record is one message in one maildir for one envelope recipient:
  host, rcpt, id (X-Lab-Id), kind "mail" or "report" (a DSN), from, ip, ptr, helo, spf, tls, qid,
  start (microseconds of the queue file: the transaction began), end (it lay in the maildir),
  accepted (not after this the receiver had said 250: between the two, from the log),
  body_sha256, body_bytes, head (the header block, bytes kept out of JSON), dsn (what a report says)
A refusal is one NOQUEUE line of the log: host, t (whole seconds), ip, helo, code, text, rcpt.
"""
import datetime
import email
import email.policy
import hashlib
import os
import re

STATE = os.environ.get("GEMEL_LAB_DIR", "/var/lib/gemel-lab")
RECEIVERS = ("rcv1", "rcv2", "rcv3")
INSIDE = "inside"
HEAD_MAX = 256 * 1024

QID_ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
FROM_CLIENT = re.compile(r"from (\S+) \((\S+) \[(?:IPv6:)?([0-9a-fA-F.:]+)\]\)")
BY_SERVER = re.compile(r"\bid (\w+)")
REJECT = re.compile(
    r"NOQUEUE: reject: (\w+) from (\S+)\[([0-9a-fA-F.:]+)\](?::\d+)?: (\d{3}) (.*?);(?: from=<(.*?)>)?"
    r"(?: to=<(.*?)>)? proto=\S+(?: helo=<(.*?)>)?$"
)
DELIVERED = re.compile(r"postfix/\w+\[\d+\]: (\w+): to=<.*?>, .*?delays=([\d.]+)/[\d.]+/[\d.]+/[\d.]+, dsn=2")
LOG_TIME = re.compile(r"^([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) ")


def qid_time(qid):
    """When Postfix created the queue file, from a long queue id: 6 digits of seconds and 4 of microseconds, base 52."""
    if len(qid) < 11 or "z" not in qid[10:]:
        return None
    try:
        digits = [QID_ALPHABET.index(c) for c in qid[:10]]
    except ValueError:
        return None
    seconds = micros = 0
    for d in digits[:6]:
        seconds = seconds * 52 + d
    for d in digits[6:]:
        micros = micros * 52 + d
    return seconds + micros / 1e6 if micros < 1_000_000 else None


def maildir_time(name):
    """SECONDS.V..M<microseconds>.HOST, as virtual(8) names its files: the delivery, a little after acceptance."""
    m = re.match(r"(\d+)\.V\w+?M(\d+)\.", name)
    return int(m[1]) + int(m[2]) / 1e6 if m else None


def split_message(data):
    """(header block, body) of a maildir file, with the CRLF it had on the wire."""
    if data.startswith(b"\n"):
        head, body = b"", data[1:]
    else:
        head, sep, body = data.partition(b"\n\n")
        if sep or not head.endswith(b"\n"):
            head += b"\n"
    return head.replace(b"\n", b"\r\n"), body.replace(b"\n", b"\r\n")


def fields_of(head):
    """[(lower-case name, unfolded value)] of a header block."""
    out = []
    for line in head.decode("utf-8", "surrogateescape").split("\r\n"):
        if line[:1] in (" ", "\t") and out:
            out[-1][1] += " " + line.strip()
        elif ":" in line:
            name, value = line.split(":", 1)
            out.append([name.lower(), value.strip()])
    return out


def first(fields, name, default=None):
    return next((v for n, v in fields if n == name), default)


def report_of(data):
    """What a multipart/report says: per recipient the action, status and addresses; and whether it carries a message."""
    msg = email.message_from_bytes(data, policy=email.policy.compat32)
    if msg.get_content_type() != "multipart/report":
        return None
    report = {"envid": None, "rcpts": [], "returned": None, "id": None}
    for part in msg.walk():
        kind = part.get_content_type()
        if kind in ("message/delivery-status", "message/global-delivery-status"):
            groups = part.get_payload() if isinstance(part.get_payload(), list) else []
            for group in groups:
                if "original-envelope-id" in group:
                    report["envid"] = str(group["original-envelope-id"]).strip()
                if "action" in group:
                    report["rcpts"].append(
                        {
                            "action": str(group["action"]).strip().lower(),
                            "status": str(group["status"] or "").strip(),
                            "final": address_of(group["final-recipient"]),
                            "orig": address_of(group["original-recipient"]),
                            "text": str(group["diagnostic-code"] or "").strip(),
                        }
                    )
        elif kind in ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"):
            report["returned"] = "FULL" if kind in ("message/rfc822", "message/global") else "HDRS"
            text = part.as_bytes().decode("utf-8", "surrogateescape")
            m = re.search(r"(?im)^X-Lab-Id:\s*(\S+)", text)
            report["id"] = m[1] if m else None
    return report


def address_of(value):
    return str(value).split(";", 1)[-1].strip() if value else None


def parse_file(host, path):
    """The record of one maildir file."""
    with open(path, "rb") as f:
        data = f.read()
    head, body = split_message(data)
    fields = fields_of(head)
    received = first(fields, "received", "")
    client, server = FROM_CLIENT.search(received), BY_SERVER.search(received)
    qid = server[1] if server else None
    end = maildir_time(os.path.basename(path)) or os.stat(path).st_mtime
    spf = first(fields, "received-spf", "")
    record = {
        "host": host,
        "path": path,
        "id": first(fields, "x-lab-id"),
        "rcpt": first(fields, "x-original-to") or first(fields, "delivered-to"),
        "from": (first(fields, "return-path") or "").strip("<>"),
        "helo": client[1] if client else None,
        "ptr": client[2] if client else None,
        "ip": client[3] if client else None,
        "tls": "using TLS" in received,
        "qid": qid,
        "start": (qid and qid_time(qid)) or end,
        "end": end,
        "accepted": None,
        "spf": spf.split(" ")[0].lower() if spf else None,
        "spf_ip": (re.search(r"client-ip=([^;\s]+)", spf) or [0, None])[1],
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "body_bytes": len(body),
        "kind": "mail",
        "head": head,
    }
    if "multipart/report" in first(fields, "content-type", "").lower():
        record["kind"], record["dsn"] = "report", report_of(data)
    return record


class Reader:
    """Reads incrementally: each maildir file once, each log from where it ended, so polling it is cheap."""

    def __init__(self, state=STATE, receivers=RECEIVERS, inside=INSIDE, since=0):
        self.state, self.hosts, self.since = state, list(receivers) + [inside], since
        self.seen, self.records, self.refusals = set(), [], []
        self.spooled = {}  # queue id: seconds from start to acceptance
        self.logs = {host: [0, b""] for host in self.hosts}  # offset, unfinished line

    def maildir(self, host):
        return os.path.join(self.state, "mail", host)

    def log(self, host):
        return os.path.join(self.state, "log", host + ".log")

    def poll(self):
        for host in self.hosts:
            self.poll_maildir(host)
            self.poll_log(host)
        for r in self.records:
            if r["accepted"] is None and r["qid"] in self.spooled:
                # The log rounds to two digits; the maildir entry is an upper bound in any case.
                r["accepted"] = min(r["end"], r["start"] + self.spooled[r["qid"]] * 1.05 + 0.01)
        return self

    def poll_maildir(self, host):
        for sub in ("new", "cur"):
            folder = os.path.join(self.maildir(host), sub)
            try:
                names = os.listdir(folder)
            except FileNotFoundError:
                continue
            for name in sorted(set(names) - self.seen):
                path = os.path.join(folder, name)
                if (maildir_time(name) or os.stat(path).st_mtime) >= self.since:
                    self.records.append(parse_file(host, path))
                self.seen.add(name)

    def poll_log(self, host):
        try:
            with open(self.log(host), "rb") as f:
                f.seek(self.logs[host][0])
                data = f.read()
        except FileNotFoundError:
            return
        self.logs[host][0] += len(data)
        lines = (self.logs[host][1] + data).split(b"\n")
        self.logs[host][1] = lines.pop()
        for line in lines:
            if done := DELIVERED.search(line.decode("utf-8", "replace")):
                self.spooled.setdefault(done[1], float(done[2]))
                continue
            refusal = parse_refusal(host, line.decode("utf-8", "replace"))
            if refusal and refusal["t"] + 1 >= self.since:
                self.refusals.append(refusal)


def parse_refusal(host, line):
    m = REJECT.search(line)
    if not m:
        return None
    when = LOG_TIME.match(line)
    t = 0.0
    if when:  # the log has no year; a date in the future is last year's
        now = datetime.datetime.now()
        parsed = datetime.datetime.strptime(f"{now.year} {when[1]}", "%Y %b %d %H:%M:%S")
        if parsed > now + datetime.timedelta(days=1):
            parsed = parsed.replace(year=now.year - 1)
        t = parsed.timestamp()
    return {
        "host": host,
        "t": t,
        "stage": m[1],
        "ptr": m[2],
        "ip": m[3],
        "code": int(m[4]),
        "text": m[5],
        "from": m[6],
        "rcpt": m[7],
        "helo": m[8],
    }
