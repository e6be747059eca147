"""What the tests of one node alone stand on: a small Internet inside one network namespace.

enter() puts the calling program into namespaces of its own (network and mounts), so that ports 25 and 53 and public-looking
addresses are free, tests run side by side, and everything is gone with the process. There: Dns answers for the world,
Receiver is a scripted SMTP server that writes down what it gets, Client is an SMTP client that says what it is told to say,
Node is the real gemel-node --solo.
"""
import http.client
import json
import os
import re
import shutil
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import namedtuple

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

SKIP = 77
EDGE, INSIDE, RESOLVER, CLIENT = "198.51.100.10", "10.0.0.25", "10.0.0.53", "192.0.2.77"
ADDRESSES = [EDGE, INSIDE, RESOLVER, CLIENT, "10.0.0.11", "10.0.0.12", "198.51.100.11"] + [
    f"192.0.2.{n}" for n in range(101, 131)
]


# ---- the place ----


def program():
    """gemel-node of the build named by the first argument (which is taken away), or of build/dev."""
    here = os.path.dirname(os.path.abspath(__file__))
    build = (
        sys.argv.pop(1)
        if sys.argv[1:] and os.path.isdir(sys.argv[1])
        else os.path.join(here, "..", "..", "build", "dev")
    )
    path = os.path.join(build, "bin", "gemel-node")
    if not os.path.exists(path):
        print(f"skipped: no {path}")
        sys.exit(SKIP)
    return os.path.abspath(path)


def enter():
    """Runs the program again inside namespaces, and only there returns: the path of gemel-node. Root is not needed where users
    may have namespaces of their own."""
    if os.environ.get("GEMEL_SOLO_INSIDE") != "1":
        flags = "-nm" if os.geteuid() == 0 else "-rnm"
        if subprocess.run(["unshare", flags, "true"], stderr=subprocess.DEVNULL).returncode:
            print("skipped: no network namespaces here")
            sys.exit(SKIP)
        os.environ["GEMEL_SOLO_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", flags, sys.executable, *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    batch = "".join(f"addr add {a}/32 dev lo\n" for a in ADDRESSES)
    subprocess.run(["ip", "-batch", "-"], input=batch, text=True, check=True)
    return program()


def eventually(what, seconds=15, step=0.02):
    """What `what()` gives as soon as it is true."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError("waited in vain for " + getattr(what, "__name__", "something"))
        time.sleep(step)


def certificate(folder, name, stem="smtp"):
    cert, key = (os.path.join(folder, f"{stem}.{x}") for x in ("crt", "key"))
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name}".split()
        + ["-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


# ---- DNS ----


class Dns:
    """Answers from `zone`: name → {type: [rdata text]}; a name may be "servfail" or "silent" instead. Others: NXDOMAIN."""

    def __init__(self, address=RESOLVER):
        self.zone, self.asked = {}, []
        outer = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                data, sock = self.request
                reply = outer.answer(data)
                if reply:
                    sock.sendto(reply, self.client_address)

        class Tcp(socketserver.BaseRequestHandler):
            def handle(self):
                head = self.request.recv(2)
                reply = outer.answer(self.request.recv(struct.unpack("!H", head)[0]))
                if reply:
                    self.request.sendall(struct.pack("!H", len(reply)) + reply)

        for kind, handler in ((socketserver.ThreadingUDPServer, Udp), (socketserver.ThreadingTCPServer, Tcp)):
            kind.daemon_threads = kind.allow_reuse_address = True
            server = kind((address, 53), handler)
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def answer(self, data):
        query = dns.message.from_wire(data)
        name, kind = query.question[0].name, query.question[0].rdtype
        text = name.to_text(omit_final_dot=True).lower()
        self.asked.append((text, dns.rdatatype.to_text(kind)))
        known = self.zone.get(text)
        if known == "silent":
            return None
        reply = dns.message.make_response(query, recursion_available=True)
        if known == "servfail":
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif known is None:
            below = any(n.endswith("." + text) for n in self.zone)
            reply.set_rcode(dns.rcode.NOERROR if below else dns.rcode.NXDOMAIN)
        else:
            if "CNAME" in known:  # as a resolver answers: the whole chain, however it ends
                at, seen = text, []
                while at in self.zone and "CNAME" in self.zone[at] and at not in seen:
                    seen.append(at)
                    target = self.zone[at]["CNAME"][0]
                    reply.answer.append(dns.rrset.from_text(at + ".", 300, "IN", "CNAME", target))
                    at = target.rstrip(".")
                known, name = self.zone.get(at, {}), dns.name.from_text(at)
            rdatas = known.get(dns.rdatatype.to_text(kind), [])
            if rdatas:
                reply.answer.append(dns.rrset.from_text_list(name, 300, "IN", kind, rdatas))
        return reply.to_wire()

    def host(self, name, address):
        self.zone[name] = {"A": [address]}
        self.zone[".".join(reversed(address.split("."))) + ".in-addr.arpa"] = {"PTR": [name + "."]}

    def mail(self, domain, *hosts):
        """MX records in the order of preference; ("." alone: null MX)."""
        self.zone[domain] = {"MX": [f"{0 if h == '.' else 10 * (i + 1)} {h.rstrip('.')}." for i, h in enumerate(hosts)]}


# ---- a receiver ----

Mail = namedtuple("Mail", "peer helo sender rcpts data secure at how")


class Drop(Exception):
    """Raised by a rule: the connection is closed at once."""


class Reset(Exception):
    """Raised by a rule: RST."""


class Receiver:
    """An SMTP server that keeps what it accepts in `mails`. `rule(session, verb, argument)` may return a reply (bytes without
    CR LF) instead of the usual one, raise Drop or Reset, or sleep; verbs are CONNECT, the commands, and DOT for the end of a
    message, after which `session.data` is what came."""

    CAPS = ("PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING")

    def __init__(self, address, name="receiver.example", caps=CAPS, rule=None, tls=None, port=25):
        self.name, self.caps, self.rule, self.mails, self.lines = name, list(caps), rule, [], []
        self.connections, self.tls = 0, None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                outer.connections += 1
                session = Session(outer, self.request, self.client_address[0])
                try:
                    session.run()
                except Reset:
                    session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except (Drop, OSError, EOFError):
                    pass
                session.file.close()
                session.sock.close()

            def finish(self):
                self.request.close()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = allow_reuse_address = True
            request_queue_size = 1000

        self.server = Server((address, port), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def to(self, address):
        return [m for m in self.mails if any(f"<{address}>" in r for r in m.rcpts)]


class Session:
    def __init__(self, receiver, sock, peer):
        self.r, self.sock, self.peer = receiver, sock, peer
        self.file = sock.makefile("rb", buffering=1 << 16)
        self.helo, self.secure, self.sender, self.rcpts, self.data, self.chunks = "", False, None, [], b"", b""

    def say(self, reply):
        self.sock.sendall(reply + b"\r\n")

    def ruled(self, verb, argument=""):
        self.r.lines.append((verb, argument))
        return self.r.rule(self, verb, argument) if self.r.rule else None

    def line(self):
        line = self.file.readline(1 << 16)
        if not line.endswith(b"\r\n"):
            raise EOFError
        return line[:-2].decode("utf-8", "surrogateescape")

    def run(self):
        self.say(self.ruled("CONNECT") or f"220 {self.r.name} ESMTP".encode())
        while True:
            verb, _, argument = self.line().partition(" ")
            verb = verb.upper()
            chunk = self.file.read(int(argument.split()[0])) if verb == "BDAT" else None
            reply = self.ruled(verb, argument)
            if verb == "BDAT":
                self.bdat(reply, chunk, argument)
            elif reply:
                self.say(reply)
            elif verb == "QUIT":
                return self.say(b"221 2.0.0 bye")
            else:
                getattr(self, "do_" + verb.lower(), self.unknown)(argument)

    def unknown(self, argument):
        self.say(b"502 5.5.1 what?")

    def do_ehlo(self, argument):
        self.helo = argument
        caps = [c for c in self.r.caps] + (["STARTTLS"] if self.r.tls and not self.secure else [])
        lines = [self.r.name] + caps
        self.say(b"\r\n".join(f"250{'-' if i < len(lines) - 1 else ' '}{l}".encode() for i, l in enumerate(lines)))

    def do_helo(self, argument):
        self.helo = argument
        self.say(b"250 " + self.r.name.encode())

    def do_starttls(self, argument):
        self.say(b"220 2.0.0 go")
        self.sock = self.r.tls.wrap_socket(self.sock, server_side=True)
        self.file, self.secure = self.sock.makefile("rb"), True

    def do_rset(self, argument):
        self.sender, self.rcpts, self.chunks = None, [], b""
        self.say(b"250 2.0.0 ok")

    def do_mail(self, argument):
        self.sender, self.rcpts, self.chunks = argument.partition(":")[2], [], b""
        self.say(b"250 2.1.0 ok")

    def do_rcpt(self, argument):
        self.rcpts.append(argument.partition(":")[2])
        self.say(b"250 2.1.5 ok")

    def do_data(self, argument):
        if not self.rcpts:
            return self.say(b"554 5.5.1 no valid recipients")
        self.say(b"354 go")
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError
            if line == b".\r\n":
                break
            lines.append(line[1:] if line[:1] == b"." else line)
        self.message(b"".join(lines), "DATA")

    def bdat(self, reply, chunk, argument):
        self.chunks += chunk
        if reply:
            self.say(reply)
        elif "LAST" in argument.upper():
            self.message(self.chunks, "BDAT")
        else:
            self.say(b"250 2.0.0 chunk")

    def message(self, data, how):
        self.data = data
        reply = self.ruled("DOT") or b"250 2.0.0 kept"
        if reply[:1] == b"2":
            self.r.mails.append(
                Mail(self.peer, self.helo, self.sender, list(self.rcpts), data, self.secure, time.monotonic(), how)
            )
        self.sender, self.rcpts, self.chunks = None, [], b""
        self.say(reply)


# ---- a client ----


class Client:
    def __init__(self, node, port=25, source=CLIENT, hello="client.example.net", address=None):
        self.sock = socket.create_connection((address or node.address, port), 20, (source, 0))
        self.file = self.sock.makefile("rb", buffering=1 << 16)
        self.greeting = self.read()
        if hello:
            self.caps = self.say(f"EHLO {hello}")[1]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.file.close()
        self.sock.close()

    def read(self):
        """(code, text) of a whole reply; (0, "") when the connection is over."""
        lines = []
        while True:
            try:
                line = self.file.readline()
            except ConnectionResetError:
                line = b""
            if not line:
                return 0, ""
            lines.append(line[4:].decode().rstrip("\r\n"))
            if line[3:4] != b"-":
                return int(line[:3]), "\n".join(lines)

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def say(self, line):
        self.send(line if isinstance(line, bytes) else line + "\r\n")
        return self.read()

    def starttls(self):
        code, text = self.say("STARTTLS")
        assert code == 220, (code, text)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock)
        self.file = self.sock.makefile("rb")
        self.caps = self.say("EHLO client.example.net")[1]

    def mail(self, sender, rcpts, body, params="", rcpt_params=""):
        """A whole transaction; replies of MAIL, each RCPT, DATA and the dot, as far as it got."""
        replies = [self.say(f"MAIL FROM:<{sender}>{params}")]
        if replies[-1][0] == 250:
            replies += [self.say(f"RCPT TO:<{r}>{rcpt_params}") for r in rcpts]
        if any(code == 250 for code, _ in replies[1:]):
            replies.append(self.say("DATA"))
            if replies[-1][0] == 354:
                self.send(stuffed(body))
                replies.append(self.say("."))
        return replies


def stuffed(body):
    if isinstance(body, str):
        body = body.encode()
    assert not body or body.endswith(b"\r\n")
    return (b"." if body.startswith(b".") else b"") + body.replace(b"\r\n.", b"\r\n..")


def message(subject, body="hello\r\n", extra=""):
    """Header and body; bytes when the body is bytes."""
    head = f"From: <a@example.com>\r\nTo: <b@example.net>\r\nSubject: {subject}\r\n{extra}\r\n"
    return head.encode() + body if isinstance(body, bytes) else head + body


def body_of(data):
    return data.partition(b"\r\n\r\n")[2]


# ---- the node ----

CLUSTER = """\
cluster: solo
allow_documentation_addresses: true
identities: [ {{ name: edge1, node: edge1, ip: {address}, helo: edge1.example.com }} ]
nodes: [ {{ name: edge1, handoff: "127.0.0.1:7301", http: "{address}:9301" }} ]
domains:
  - {{ name: example.com, next_hop: "[10.0.0.25]:25" }}
  - {{ name: other.example, next_hop: "[10.0.0.25]:2525" }}
inside: [ 10.0.0.0/24 ]
resolvers: [ "10.0.0.53" ]
blocklists: [ {{ zone: bl.dnsbl.example, codes: [ 2-11 ], weight: 5 }} ]
"""

NODE = """\
cluster: {dir}/cluster.yaml
name: edge1
spool: {spool}
state: {dir}/state
admin: {dir}/admin.sock
users: {dir}/users
workers: 2
listen: {{ mx: [ "{address}:25" ], submission: [ "{address}:587" ], smarthost: [ "10.0.0.11:{smarthost}" ] }}
smtp_tls: {{ cert: {dir}/smtp.crt, key: {dir}/smtp.key }}
smtp: {{ {smtp} }}
queue: {{ {queue} }}
relay: {{ {relay} }}
pressure: {{ {pressure} }}
"""
SHORT = "glitch_interval: 300ms, glitch_tries: 3, transient_interval: 600ms, transient_tries: 2, retry_interval: 1s"


class Node:
    def __init__(self, program, address=EDGE, smarthost=25, spool=None, smtp="", queue=SHORT, relay="", users=None, pressure="memory_medium: 101, memory_high: 101"):
        self.program, self.address, self.smarthost, self.process, self.logs = program, address, smarthost, None, 0
        self.dir = tempfile.mkdtemp(prefix="gemel-solo-")
        self.spool = spool or os.path.join(self.dir, "spool")
        os.mkdir(os.path.join(self.dir, "state"))
        certificate(self.dir, "edge1.example.com")
        self.write("users", "".join(f"{u}:{h}\n" for u, h in (users or {"ann": "*"}).items()))
        self.write("cluster.yaml", CLUSTER.format(address=address))
        self.write(
            "node.yaml",
            NODE.format(
                dir=self.dir,
                spool=self.spool,
                address=address,
                smarthost=smarthost,
                smtp=smtp,
                queue=queue,
                relay=relay,
                pressure=pressure,
            ),
        )

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w") as f:
            f.write(text)

    def start(self, wrapper=(), wait=True):
        """With `wait` until it says that it is ready."""
        self.logs += 1
        self.log_path = os.path.join(self.dir, f"log.{self.logs}")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [*wrapper, self.program, "-c", os.path.join(self.dir, "node.yaml"), "--solo"], stderr=log
            )
        if not wait:
            return self
        try:
            eventually(lambda: "node.ready" in self.log() or self.process.poll() is not None)
            assert self.process.poll() is None, "gemel-node did not start:\n" + self.log()
        except AssertionError:
            print(self.log(), file=sys.stderr)
            raise
        return self

    def log(self, pattern=None):
        """The log of this run; with a pattern its lines that match."""
        with open(self.log_path, errors="replace") as f:
            text = f.read()
        return text if pattern is None else [l for l in text.splitlines() if re.search(pattern, l)]

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=20):
        return self.process.wait(seconds)

    def stop(self):
        """SIGTERM; the seconds it took. Whatever a sanitizer had to say is an error."""
        if not self.process or self.process.poll() is not None:
            return 0.0
        begin = time.monotonic()
        self.process.terminate()
        code = self.wait()
        took = time.monotonic() - begin
        bad = self.log(r"Sanitizer|runtime error:|ASSERT|assert")
        assert code == 0 and not bad, f"exit code {code}\n" + "\n".join(bad or self.log().splitlines()[-20:])
        return took

    def kill(self):
        self.process.kill()
        self.process.wait()

    def remove(self):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    # its two HTTP doors

    def http(self, path, method="GET"):
        c = http.client.HTTPConnection(self.address, 9301, timeout=10)
        c.request(method, path)
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, text

    def admin(self, path, method="GET", body=None):
        c = http.client.HTTPConnection("localhost", timeout=10)
        c.sock = socket.socket(socket.AF_UNIX)
        c.sock.connect(os.path.join(self.dir, "admin.sock"))
        c.request(method, path, body)
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, json.loads(text) if "json" in r.getheader("Content-Type", "") else text

    def metric(self, name):
        _, text = self.http("/metrics")
        return sum(float(v) for v in re.findall(rf"^gemel_{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.M))

    def queue(self):
        return self.admin("/queue?limit=10000")[1]["messages"]

    def idle(self):
        return not self.queue()

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
