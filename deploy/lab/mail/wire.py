"""A small SMTP client that does what smtplib hides or lacks: pipelining, BDAT, raw bytes, and an exact account of
what the server answered to each command and when. It trusts nobody: certificates are checked when a CA is given."""
import base64
import re
import socket
import ssl
import time


class Refused(Exception):
    """The server answered a command with something else than we need."""

    def __init__(self, stage, code, text):
        super().__init__(f"{stage}: {code} {text}")
        self.stage, self.code, self.text = stage, code, text


class Lost(Exception):
    """The connection is gone. `after_dot`: the message was complete, so nobody knows who has it."""

    def __init__(self, stage, why, after_dot=False):
        super().__init__(f"{stage}: {why}")
        self.stage, self.why, self.after_dot = stage, why, after_dot


class Client:
    def __init__(self, host, port, helo, source=None, timeout=30):
        self.helo, self.ext, self.buf = helo, {}, b""
        self.stage = "connect"
        try:
            self.sock = socket.create_connection((host, port), timeout, (source, 0) if source else None)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as err:
            raise Lost("connect", str(err)) from err
        self.expect("connect", 220)
        self.ehlo()

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    def _send(self, data, stage, after_dot=False):
        try:
            self.sock.sendall(data)
        except OSError as err:
            raise Lost(stage, str(err) or type(err).__name__, after_dot) from err

    def reply(self, stage, after_dot=False):
        """The next reply as (code, text with lines joined by newline)."""
        lines = []
        while True:
            while b"\r\n" not in self.buf:
                try:
                    got = self.sock.recv(65536)
                except OSError as err:
                    raise Lost(stage, str(err) or type(err).__name__, after_dot) from err
                if not got:
                    raise Lost(stage, "connection closed", after_dot)
                self.buf += got
            line, self.buf = self.buf.split(b"\r\n", 1)
            text = line.decode("utf-8", "backslashreplace")
            if not re.match(r"[2-5]\d\d([ -]|$)", text):
                raise Lost(stage, f"not a reply: {text[:80]!r}", after_dot)
            lines.append(text[4:])
            if text[3:4] != "-":
                return int(text[:3]), "\n".join(lines)

    def expect(self, stage, *codes, after_dot=False):
        code, text = self.reply(stage, after_dot)
        if code not in codes:
            raise Refused(stage, code, text)
        return code, text

    def command(self, line, stage, *codes):
        self._send(line.encode() + b"\r\n", stage)
        return self.expect(stage, *codes)

    def ehlo(self):
        _, text = self.command(f"EHLO {self.helo}", "ehlo", 250)
        self.ext = {}
        for line in text.split("\n")[1:]:
            word, _, args = line.partition(" ")
            self.ext[word.upper()] = args

    def starttls(self, ca, name):
        self.command("STARTTLS", "starttls", 220)
        context = ssl.create_default_context(cafile=ca) if ca else ssl._create_unverified_context()
        try:
            self.sock = context.wrap_socket(self.sock, server_hostname=name)
        except (OSError, ssl.SSLError) as err:
            raise Lost("starttls", str(err)) from err
        self.buf = b""
        self.ehlo()

    def auth(self, user, password, mechanism="PLAIN"):
        def b64(text):
            return base64.b64encode(text.encode()).decode()

        if mechanism == "PLAIN":
            self.command("AUTH PLAIN " + b64(f"\0{user}\0{password}"), "auth", 235)
        else:
            self.command("AUTH LOGIN", "auth", 334)
            self.command(b64(user), "auth", 334)
            self.command(b64(password), "auth", 235)

    def envelope(self, mail, rcpts, pipelining):
        """MAIL and all RCPTs. Returns {address: (code, text)} of refused recipients; Refused when nobody is left."""
        lines = [f"MAIL FROM:{mail}"] + [f"RCPT TO:{path}" for _, path in rcpts]
        if pipelining:
            self._send("".join(line + "\r\n" for line in lines).encode(), "mail")
        else:
            self._send(lines[0].encode() + b"\r\n", "mail")
        refusal = None
        try:
            self.expect("mail", 250)
        except Refused as err:
            if not pipelining:
                raise
            refusal = err  # the replies to the RCPTs sent along must still be read
        refused = {}
        for (address, _), line in zip(rcpts, lines[1:]):
            if not pipelining:
                self._send(line.encode() + b"\r\n", "rcpt")
            code, text = self.reply("rcpt")
            if code not in (250, 251):
                refused[address] = (code, text)
        if refusal:
            raise refusal
        if len(refused) == len(rcpts):
            code, text = next(iter(refused.values()))
            raise Refused("rcpt", code, text)
        return refused

    def data(self, message):
        """Sends the message by DATA; returns the reply to the final dot and the time of its last byte."""
        self.command("DATA", "data", 354)
        stuffed = re.sub(rb"(?m)^\.", b"..", message)
        if not stuffed.endswith(b"\r\n"):
            stuffed += b"\r\n"
        self._send(stuffed, "content")
        self._send(b".\r\n", "dot", after_dot=True)
        _, text = self.expect("dot", 250, after_dot=True)
        return text, time.time()

    def bdat(self, message, chunk=50_001):
        """Sends the message by BDAT in chunks that fall anywhere, also between CR and LF."""
        last_at = max(0, (len(message) - 1) // chunk * chunk)
        for at in range(0, last_at, chunk):
            self._send(b"BDAT %d\r\n" % chunk + message[at : at + chunk], "bdat")
            self.expect("bdat", 250)
        rest = message[last_at:]
        self._send(b"BDAT %d LAST\r\n" % len(rest), "bdat")
        self._send(rest, "dot", after_dot=True)
        _, text = self.expect("dot", 250, after_dot=True)
        return text, time.time()

    def reset(self):
        self.command("RSET", "rset", 250)

    def quit(self):
        try:
            self.command("QUIT", "quit", 221)
        except (Lost, Refused):
            pass  # the server owes us nothing any more
        self.close()
