#!/usr/bin/python3
"""The lab's test mail: a corpus that holds one of everything that breaks mail software, and a plain stream.

Deterministic: the same run name, seed and count give the same bytes, so a failure can be repeated and two
readers of a report talk about the same message. The expectations travel with each message (what the body's
SHA-256 is, which header bytes must survive, which must not, which DSN must come back), so the checker needs
no knowledge of how a message was made.
"""
import argparse
import base64
import collections
import hashlib
import json
import os
import random
import sys

CRLF = b"\r\n"
LINE_MAX = 998  # RFC 5322 2.1.1, without CRLF; the stuffed dot is not counted (RFC 5321 4.5.3.1.6)
ATTACHMENT_BYTES = 10_000_000
SENDER_DOMAIN = "example.com"
NOWHERE = "nowhere.example.net"  # does not exist: NXDOMAIN
RECEIVERS = ("rcv1.example.net", "rcv2.example.org", "rcv3.example.edu")

# What an edge takes off a message on its way out: inner hops and whatever names inside hosts, software or
# policy (HF-02, HF-06, HF-07 of Exchange's header firewall and its modern extension).
STRIPPED = ("received", "x-originating-ip", "x-mailer", "user-agent", "bcc", "x-originatororg")
STRIPPED_PREFIXES = ("x-ms-exchange-",)
# These stand in values of stripped headers only: seen in a delivered header block, something leaked.
LEAK_MARKERS = ("hub7.corp.internal", "10.66.7.", "LabOutlook/16", "hidden-recipient")

# (kind, how many in 300). The odd ones are few, plain mail is many, as in life.
KINDS = (
    ("attachment-10m", 2),
    ("hundred", 2),
    ("many", 10),
    ("attachment", 12),
    ("html", 40),
    ("eight-bit", 30),
    ("utf8", 20),
    ("long-lines", 18),
    ("dots", 26),
    ("dots-dense", 4),
    ("empty", 6),
    ("strip", 24),
    ("dsn", 26),
)


def is_stripped(name):
    name = name.lower()
    return name in STRIPPED or name.startswith(STRIPPED_PREFIXES)


class Message:
    """One message: envelope, header fields and body as they go over the wire, and what must become of them."""

    def __init__(self, mid, kind, sender, rcpts):
        self.id, self.kind, self.sender = mid, kind, sender
        self.rcpts = rcpts  # addresses
        self.rcpt_params = {}  # address -> "NOTIFY=... ORCPT=..."
        self.notify = {}  # address -> set of NOTIFY words
        self.mail_params = []  # beyond SIZE, BODY and SMTPUTF8
        self.orcpt = {}  # address -> original recipient, decoded
        self.ret = self.envid = None  # decoded values, as they must come back
        self.fails = []  # recipients that nobody will take: a report is due, not the message
        self.eight_bit = self.utf8 = False
        self.separator = True  # a message may be headers only, without the empty line
        self.head, self.body = [], b""  # head: complete fields without the last CRLF, folding inside

    def field(self, name, value, utf8=False):
        self.head.append(name.encode() + b": " + value.encode("utf-8" if utf8 else "ascii"))

    def wire(self):
        head = b"".join(f + CRLF for f in self.head)
        return head + (CRLF if self.separator or self.body else b"") + self.body

    def kept_head(self):
        kept = [f for f in self.head if not is_stripped(f.split(b":", 1)[0].decode())]
        return b"".join(f + CRLF for f in kept)

    def expectations(self):
        """What the checker must know, as JSON."""
        kept = self.kept_head()
        return {
            "id": self.id,
            "kind": self.kind,
            "from": self.sender,
            "rcpts": self.rcpts,
            "body_sha256": hashlib.sha256(self.body).hexdigest(),
            "body_bytes": len(self.body),
            "head_sha256": hashlib.sha256(kept).hexdigest(),
            "head_bytes": len(kept),
            "stripped": sorted(
                {
                    f.split(b":", 1)[0].decode().lower()
                    for f in self.head
                    if is_stripped(f.split(b":", 1)[0].decode())
                }
            ),
            "notify": {r: sorted(n) for r, n in self.notify.items()},
            "orcpt": self.orcpt,
            "ret": self.ret,
            "envid": self.envid,
            "fails": self.fails,
        }


def xtext(text):
    """RFC 3461 4: everything but printable ASCII without + and = is +HH."""
    return "".join(
        c if "!" <= c <= "~" and c not in "+=" else "".join("+%02X" % b for b in c.encode()) for c in text
    )


class Maker:
    """Makes messages of every kind; all chance comes from one seeded source."""

    def __init__(self, run, seed, sender_domain, receivers):
        self.run, self.rng = run, random.Random(f"{seed}")
        self.sender_domain, self.receivers, self.made = sender_domain, receivers, 0

    def address(self, n=None):
        n = self.made if n is None else n
        return f"user{n % 97:02d}@{self.receivers[n % len(self.receivers)]}"

    def base(self, kind, rcpts=None, sender=None):
        mid = f"{self.run}-{self.made:04d}"
        msg = Message(
            mid, kind, sender or f"sender{self.made % 7}@{self.sender_domain}", rcpts or [self.address()]
        )
        self.made += 1
        utf8 = not (msg.sender + msg.rcpts[0]).isascii()
        msg.field("From", f"Lab Sender <{msg.sender}>", utf8=utf8)
        msg.field("To", f"<{msg.rcpts[0]}>", utf8=utf8)
        msg.field("Subject", f"lab {kind} {mid}")
        msg.field("Date", f"Fri, 21 Nov 2025 10:{self.made // 60 % 60:02d}:{self.made % 60:02d} +0100")
        msg.field("Message-ID", f"<{mid}@{self.sender_domain}>")
        msg.field("X-Lab-Id", mid)
        return msg

    def mime(self, msg, content_type, encoding="7bit"):
        msg.field("MIME-Version", "1.0")
        msg.field("Content-Type", content_type)
        msg.field("Content-Transfer-Encoding", encoding)

    def words(self, n):
        vocabulary = (
            "invoice order edge relay queue lease the a and of to in we you mail quarter report meeting "
            "attached regards shipment Tuesday price list"
        ).split()
        return " ".join(self.rng.choice(vocabulary) for _ in range(n))

    def text(self, lines=12):
        return b"".join(self.words(self.rng.randint(1, 12)).encode() + CRLF for _ in range(lines))

    def plain(self):
        msg = self.base("plain")
        self.mime(msg, "text/plain; charset=us-ascii")
        msg.body = self.text(self.rng.randint(1, 60))
        if self.made % 5 == 0:  # what mbox writers and sloppy filters damage
            msg.body += (
                b"From the start of a line\r\n>From quoted\r\n-- \r\ntrailing blanks   \t \r\n\r\n\r\n"
            )
        return msg

    def html(self):
        msg = self.base("html")
        self.mime(msg, f'multipart/alternative;\r\n\tboundary="=_{msg.id}"')
        bound = f"--=_{msg.id}".encode()
        msg.body = (
            b"This is a multi-part message.\r\n"
            + bound
            + b"\r\nContent-Type: text/plain\r\n\r\n"
            + self.text()
            + bound
            + b"\r\nContent-Type: text/html; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<html><body style=3D\"margin:0\">\r\n<p>"
            + self.words(30).encode()
            + b" caf=C3=A9 =E2=82=AC=\r\n</p>\r\n</body></html>\r\n"
            + bound
            + b"--\r\n"
        )
        return msg

    def eight_bit(self):
        msg = self.base("eight-bit")
        msg.eight_bit = True
        if self.made % 3 == 0:
            self.mime(msg, "text/plain; charset=iso-8859-15", "8bit")
            lines = [
                bytes(range(0x80, 0xC0)),
                bytes(range(0xC0, 0x100)),
                "Grüße für 10 €".encode("iso-8859-15"),
            ]
        elif self.made % 3 == 1:
            self.mime(msg, "text/plain; charset=utf-8", "8bit")
            lines = ["Grüße, žluťoučký kůň, Ω, 日本語のメール, 🦔".encode(), b"a\xc2\xa0b\xe2\x80\xa8c\xc2\x85d"]
        else:  # not valid in any charset, and control characters: still only octets
            self.mime(msg, "application/x-lab", "8bit")
            lines = [
                bytes(b for b in range(1, 256) if b not in (10, 13)),
                b"\xff\xfe\xc3\x28\x7f",
                b"\x0b\x0c\x1b[0m\t",
            ]
        msg.body = b"".join(line + CRLF for line in lines) + self.text(4)
        return msg

    def utf8(self):
        n = self.made
        local = ("grüße", "δοκιμή", "почта", "用户", "añb")[n % 5]
        sender = f"jürgen{n % 3}@{self.sender_domain}" if n % 2 else None
        msg = self.base("utf8", [f"{local}{n}@{self.receivers[n % len(self.receivers)]}"], sender)
        msg.utf8 = msg.eight_bit = True
        msg.field("Comments", "Überschrift in UTF-8, ganz ohne encoded-word: 件名", utf8=True)
        self.mime(msg, "text/plain; charset=utf-8", "8bit")
        msg.body = "Grüße an alle.\r\n".encode() + self.text(3)
        return msg

    def long_lines(self):
        msg = self.base("long-lines")
        self.mime(msg, "text/plain; charset=us-ascii")
        msg.field("X-Long", "h" * (LINE_MAX - len("X-Long: ")))
        msg.field("References", "\r\n ".join(f"<{i}.{msg.id}@{self.sender_domain}>" for i in range(60)))
        fill = self.words(260).encode()
        sizes = (LINE_MAX, LINE_MAX - 1, 512, 511, 513, 1, 0, 78, LINE_MAX)
        msg.body = b"".join((fill * 2)[:n] + CRLF for n in sizes) + b"." + b"d" * (LINE_MAX - 1) + CRLF
        return msg

    def dots(self):
        bodies = (
            b".\r\n",
            b"..\r\n",
            b".\r\n.\r\n.\r\n",
            b"\r\n.\r\n\r\n..\r\n\r\n",
            b".leading\r\nmiddle\r\n.\r\n",
            b"text\r\n.\r\n",
            b"text\r\n..\r\n...\r\n",
            b".\t\r\n. \r\n .\r\n",
            b".QUIT\r\n.RSET\r\nQUIT\r\n",
            b".\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<x@rcv1.example.net>\r\nDATA\r\n.\r\n",
            b"dot at end of line.\r\n.\r\nand on.\r\n",
            b"\r\n\r\n.\r\n\r\n",
            b"a" * LINE_MAX + b"\r\n.\r\n",
        )
        msg = self.base("dots")
        self.mime(msg, "text/plain; charset=us-ascii")
        msg.body = bodies[self.made % len(bodies)]
        return msg

    def dots_dense(self):
        """Dot lines at every offset, so that one falls on each boundary of any reader's or spool's chunks."""
        msg = self.base("dots-dense")
        self.mime(msg, "text/plain; charset=us-ascii")
        unit = (b".\r\n", b"..\r\n", b".\r\n\r\n", b"x\r\n.y\r\n..z\r\n")[self.made % 4]
        msg.body = unit * (200_000 // len(unit))
        return msg

    def empty(self):
        msg = self.base("empty")
        msg.body = (b"", b"\r\n", b"", b"\r\n\r\n")[self.made % 4]
        msg.separator = self.made % 4 != 2
        return msg

    def strip(self):
        msg = self.base("strip")
        inner = (
            f"from pc12.corp.internal (pc12.corp.internal [10.66.7.{self.made % 250}])\r\n\tby "
            f"hub7.corp.internal with ESMTPSA id 1A2B3C;\r\n\tFri, 21 Nov 2025 09:59:59 +0100"
        )
        inside = [
            ("Received", inner),
            (
                "Received",
                "from hub7.corp.internal ([10.66.7.9]) by mail.corp.internal;\r\n"
                " Fri, 21 Nov 2025 10:00:00 +0100",
            ),
            ("X-Originating-IP", "[10.66.7.21]"),
            ("x-mailer", "LabOutlook/16.0.1"),
            ("USER-AGENT", "Thunder\r\n LabOutlook/16\r\n\t(folded twice)"),
            ("Bcc", f"<hidden-recipient@{self.receivers[0]}>"),
            ("X-OriginatorOrg", "hub7.corp.internal"),
            ("X-MS-Exchange-Organization-SCL", "-1"),
            ("X-MS-Exchange-CrossTenant-AuthSource", "hub7.corp.internal"),
        ]
        # Names that only resemble the above belong to the sender and stay.
        outside = [
            ("X-Mailing-List", "lab"),
            ("X-MS-Has-Attach", ""),
            ("Received-Note", "kept"),
            ("X-Originating-Project", "edge"),
            ("User-Agent-Hint", "kept"),
            ("X-Folded", "one\r\n two\r\n\tthree"),
        ]
        mixed = inside + outside
        self.rng.shuffle(mixed)
        for name, value in mixed:
            msg.field(name, value)
        msg.body = b"Received: from hub7.corp.internal is body text here and stays\r\n" + self.text(3)
        return msg

    @staticmethod
    def ask(msg, rcpt, words):
        msg.notify[rcpt], msg.orcpt[rcpt] = words, "orig+" + rcpt
        msg.rcpt_params[rcpt] = f"NOTIFY={','.join(sorted(words))} ORCPT=rfc822;{xtext(msg.orcpt[rcpt])}"

    def undeliverable(self):
        """To a domain that does not exist, with each wish about the report; every second also to somebody who exists."""
        n = self.made
        bad, good = f"user{n}@{NOWHERE}", self.address(n)
        msg = self.base("undeliverable", [bad, good] if n % 2 else [bad])
        msg.fails = [bad]
        msg.ret = (None, "FULL", "HDRS", None)[n % 4]
        if msg.ret:
            msg.envid = f"{msg.id}+=env"
            msg.mail_params += [f"RET={msg.ret}", f"ENVID={xtext(msg.envid)}"]
        if n % 4:
            self.ask(msg, bad, ({"FAILURE"}, {"FAILURE", "DELAY"}, {"NEVER"})[n % 4 - 1])
        msg.body = self.text(3)
        return msg

    def dsn(self):
        n = self.made
        shape = n % 4
        rcpts = (
            [self.address(n)]
            if shape != 3
            else [f"dsn{i}-{n}@{self.receivers[i % len(self.receivers)]}" for i in range(3)]
        )
        msg = self.base("dsn", rcpts)
        msg.envid, msg.ret = f"{msg.id}+=env", ("FULL", "HDRS")[n % 2]
        msg.mail_params += [f"RET={msg.ret}", f"ENVID={xtext(msg.envid)}"]
        for i, rcpt in enumerate(rcpts):
            words = (
                {"SUCCESS", "FAILURE"},
                {"FAILURE", "DELAY"},
                {"NEVER"},
                {"SUCCESS"} if i else {"FAILURE"},
            )[shape]
            self.ask(msg, rcpt, words)
        self.mime(msg, "text/plain; charset=us-ascii")
        msg.body = self.text(4)
        return msg

    def attachment(self, size=None, kind="attachment"):
        msg = self.base(kind)
        self.mime(msg, f'multipart/mixed; boundary="=_{msg.id}"')
        bound = f"--=_{msg.id}".encode()
        data = base64.encodebytes(self.rng.randbytes(size or self.rng.randint(1, 90_000))).replace(
            b"\n", CRLF
        )
        msg.body = (
            bound
            + b"\r\nContent-Type: text/plain\r\n\r\nSee the attachment.\r\n"
            + bound
            + b'\r\nContent-Type: application/octet-stream; name="lab.bin"\r\nContent-Disposition: attachment\r\n'
            b"Content-Transfer-Encoding: base64\r\n\r\n" + data + bound + b"--\r\n"
        )
        return msg

    def many(self, n=None, kind="many"):
        n = n or 2 + self.made % 9
        first = self.made
        rcpts = [f"list{first}-{i:03d}@{self.receivers[i % len(self.receivers)]}" for i in range(n)]
        msg = self.base(kind, rcpts)
        msg.body = self.text(5)
        return msg

    def make(self, kind):
        makers = {
            "attachment-10m": lambda: self.attachment(ATTACHMENT_BYTES, "attachment-10m"),
            "hundred": lambda: self.many(100, "hundred"),
        }
        return makers.get(kind, getattr(self, kind.replace("-", "_"), None))()


def kinds_for(count, rng):
    """The kinds of `count` messages in a shuffled order, in the proportions of KINDS; the rest is plain."""
    if count >= 20:
        wanted = [k for k, n in KINDS for _ in range(max(1, n * count // 300))]
    else:
        wanted = [k for k, _ in KINDS if k != "attachment-10m"]
    wanted = (wanted + ["plain"] * count)[:count]
    rng.shuffle(wanted)
    return wanted


def build(run, count=300, seed=1, undeliverable=0, sender_domain=SENDER_DOMAIN, receivers=RECEIVERS):
    """`count` messages that must arrive, then `undeliverable` ones that must come back."""
    maker = Maker(run, seed, sender_domain, receivers)
    return [maker.make(kind) for kind in kinds_for(count, maker.rng) + ["undeliverable"] * undeliverable]


def stream_message(run, n, sender_domain=SENDER_DOMAIN, receivers=RECEIVERS):
    """Message number `n` of a steady stream: plain and small, so that the rate is the stream's and not the disk's."""
    msg = Message(
        f"{run}-s{n:06d}", "stream", f"stream@{sender_domain}", [f"stream@{receivers[n % len(receivers)]}"]
    )
    for name, value in (
        ("From", f"<{msg.sender}>"),
        ("To", f"<{msg.rcpts[0]}>"),
        ("Subject", f"stream {msg.id}"),
        ("Date", "Fri, 21 Nov 2025 10:00:00 +0100"),
        ("Message-ID", f"<{msg.id}@{sender_domain}>"),
        ("X-Lab-Id", msg.id),
    ):
        msg.field(name, value)
    msg.body = b"".join(b"line %d of message %d\r\n.%d\r\n" % (i, n, i) for i in range(n % 8 + 1))
    return msg


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--run", default="corpus", help="prefix of the message ids")
    ap.add_argument("--count", type=int, default=300)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument(
        "--undeliverable", type=int, default=0, help="so many more to a domain that does not exist"
    )
    ap.add_argument("--out", help="write ID.eml and manifest.jsonl here; without it, a table is printed")
    args = ap.parse_args()
    messages = build(args.run, args.count, args.seed, args.undeliverable)
    if args.out:
        os.makedirs(args.out, exist_ok=True)
        with open(os.path.join(args.out, "manifest.jsonl"), "w") as manifest:
            for msg in messages:
                with open(os.path.join(args.out, msg.id + ".eml"), "wb") as eml:
                    eml.write(msg.wire())
                manifest.write(json.dumps(msg.expectations()) + "\n")
        return 0
    rows = collections.defaultdict(lambda: [0, 0, 0])
    for msg in messages:
        row = rows[msg.kind]
        row[0], row[1], row[2] = row[0] + 1, row[1] + len(msg.rcpts), row[2] + len(msg.wire())
    for kind, (n, rcpts, size) in sorted(rows.items()):
        print(f"{kind:16} {n:4} messages {rcpts:5} recipients {size:10} bytes")
    print(
        f"{'total':16} {len(messages):4} messages {sum(r[1] for r in rows.values()):5} recipients "
        f"{sum(r[2] for r in rows.values()):10} bytes"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
