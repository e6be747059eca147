"""The scenarios: what goes wrong, with real servers, and what must and must not come of it.

Each is a function of the ground it stands on; its docstring is the sentence that is shown. They begin and end with a
healthy lab: what one changes through `g` is taken back by the runner."""
import signal
import time

import records
from ground import must

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


# Strangers


@scenario
def open_relay(g):
    """a stranger on the Internet cannot relay by any spelling, and may write to our domain"""
    foreign = (
        "user@rcv1.example.net",
        "@edge1.example.com:user@rcv1.example.net",
        "user@[192.0.2.101]",
        "user%rcv1.example.net@rcv2.example.org",
        "rcv1.example.net!user@rcv2.example.org",
        "user@rcv1.example.net@example.com",
        "user@example.com.rcv1.example.net",
        "user@sub.example.com",
    )
    for node in g.nodes:
        for sender in ("<someone@client.example.org>", "<alice@example.com>", "<>"):
            script = (
                [f"MAIL FROM:{sender}\r\n"]
                + [f"RCPT TO:<{r}>\r\n" for r in foreign]
                + ["DATA\r\n", "QUIT\r\n"]
            )
            said = g.talk("client", g.public(node), 25, script)
            accepted = [s for s in said if s[0].startswith("RCPT") and s[1] < 500]
            must(not accepted, f"{node} took these from a stranger writing as {sender}:", *accepted)
            must(
                any(s[0].startswith("DATA") and s[1] >= 500 for s in said),
                f"{node} answers DATA without recipients:",
                said,
            )
        said = g.talk(
            "client",
            g.public(node),
            25,
            ["MAIL FROM:<someone@example.org>\r\n", "RCPT TO:<user@example.com>\r\n", "RSET\r\n", "QUIT\r\n"],
        )
        must(
            [s[1] for s in said] == [250, 250, 250, 221],
            f"{node} does not take mail for its own domain:",
            said,
        )


@scenario
def submission_needs_a_password(g):
    """port 587 wants TLS before a password, and the right password before anything else"""
    for node in g.nodes:
        said = g.talk(
            "client",
            g.public(node),
            587,
            ["MAIL FROM:<alice@example.com>\r\n", "AUTH PLAIN AGFsaWNlAHg=\r\n"],
        )
        must(
            [s[1] for s in said] in ([530, 538], [530, 503], [530, 502], [530, 530]),
            f"{node} without TLS:",
            said,
        )
        said = g.talk(
            "client",
            g.public(node),
            587,
            [
                "MAIL FROM:<alice@example.com>\r\n",
                "AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHdyb25n\r\n",
                "MAIL FROM:<alice@example.com>\r\n",
            ],
            "--starttls",
        )
        must([s[1] for s in said] == [530, 535, 530], f"{node} with a wrong password:", said)


@scenario
def smuggling(g):
    """no line end but CRLF ends a line or a message: nothing can be smuggled behind a false dot"""
    ends = ("\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n\n.\n", "\r\n\0.\r\n")
    run = g.run_name("smuggle")
    for node in g.nodes:
        for i, end in enumerate(ends):
            mid = f"{run}-{node}-{i}"
            inner = f"MAIL FROM:<evil@example.org>\r\nRCPT TO:<user@example.com>\r\nDATA\r\nX-Lab-Id: {mid}-inner\r\n\r\nx\r\n.\r\n"
            g.talk(
                "client",
                g.public(node),
                25,
                [
                    "MAIL FROM:<someone@example.org>\r\n",
                    "RCPT TO:<user@example.com>\r\n",
                    "DATA\r\n",
                    f"X-Lab-Id: {mid}\r\n\r\nouter{end}{inner}",
                    "QUIT\r\n",
                ],
            )
    time.sleep(2)
    got = [r["id"] for r in records.Reader(g.dir).poll().records if (r["id"] or "").startswith(run)]
    inner = [i for i in got if i.endswith("-inner")]
    must(not inner, "these arrived as messages of their own:", *inner)


# Records and lists


@scenario
def wrong_tsig_secret(g):
    """with a wrong TSIG secret the sender goes on, the operator is told which key is refused, and nothing is published"""
    before, spf = g.settle(), g.dig(g.public("ns1"), f"_spf.{g.settings['LAB_ZONE']}")
    secret = g.path("secrets", "tsig.secret")
    g.rewrite_and_restart(
        secret, lambda _: "bm90IHRoZSByaWdodCBzZWNyZXQgZm9yIHRoaXMga2V5IQ==\n", *g.coordinators
    )
    code, answer = g.ctl("doctor")
    must(
        code != 0 and any(w in str(answer).upper() for w in ("TSIG", "BADSIG", "BADKEY")),
        "doctor does not name the key:",
        answer,
    )
    g.stays(lambda: g.active() == before["active"], 3, "the sender stopped")
    must(g.dig(g.public("ns1"), f"_spf.{g.settings['LAB_ZONE']}") == spf, "the published record changed")


@scenario
def zone_refuses(g):
    """a zone that refuses our update is named by doctor; the sender goes on"""
    before = g.settle()
    g.rewrite_and_restart(
        g.path("ns1", "named.conf"),
        lambda t: t.replace("grant gemel name _", "grant gemel name other_"),
        "ns1",
    )
    code, answer = g.ctl("doctor")
    must(code != 0 and "REFUSED" in str(answer).upper(), "doctor does not say REFUSED:", answer)
    g.stays(lambda: g.active() == before["active"], 2, "the sender stopped")


def blocklist(g, change):
    """Changes the first list's data and waits until its server says so."""
    zone = g.settings["LAB_DNSBLS"].split()[0]
    g.rewrite(g.path("dnsbl", zone.split(".")[0] + ".addresses"), change)
    return zone


def asked(g, zone, address):
    return (
        g.dig(g.public("resolver"), ".".join(reversed(address.split("."))) + "." + zone, "A")
        or g.exec(
            "client",
            "dig",
            "+short",
            f"@{g.public('resolver')}",
            ".".join(reversed(address.split("."))) + "." + zone,
            "A",
        ).stdout.split()
    )


@scenario
def dnsbl_error_answers(g):
    """a list that answers 127.255.255.254 (refused) about our address causes no switch and is shown as broken"""
    before = g.settle()
    address = g.public(before["active"])
    zone = blocklist(g, lambda t: t + f"{address} :127.255.255.254:Query refused\n")
    g.eventually(
        lambda: asked(g, zone, address) == ["127.255.255.254"], 10, "the list answers 127.255.255.254"
    )
    g.no_switch(before, 5)
    g.issue(zone.replace(".", r"\."))


@scenario
def dnsbl_foreign_code(g):
    """an answer outside the list's own codes, even outside 127/8, is not a listing"""
    before = g.settle()
    address = g.public(before["active"])
    zone = blocklist(g, lambda t: t + f"{address} :127.0.0.99:Some other meaning\n")
    g.eventually(lambda: asked(g, zone, address) == ["127.0.0.99"], 10, "the list answers 127.0.0.99")
    g.no_switch(before, 5)


@scenario
def dnsbl_lists_the_world(g):
    """a list that suddenly lists everybody is set aside, and nobody switches"""
    before = g.settle()
    zone = blocklist(g, lambda t: t + "0.0.0.0/1\n128.0.0.0/1\n")
    g.eventually(lambda: asked(g, zone, "127.0.0.1") == ["127.0.0.2"], 10, "the list lists 127.0.0.1")
    g.no_switch(before, 6)
    g.issue(zone.replace(".", r"\."))


@scenario
def dnsbl_dead(g):
    """a list that does not answer is unknown, not clean and not listed: no switch, and the operator can see it"""
    before = g.settle()
    g.later(g.run, "start", "dnsbl")
    g.run("stop", "dnsbl")
    g.no_switch(before, 6)
    g.issue(g.settings["LAB_DNSBLS"].split()[0].replace(".", r"\."))


# Redis


@scenario
def redis_down(g):
    """without Redis the sender stops within its lease, mail is still taken, nothing is lost, and sending resumes"""
    before = g.settle()
    with g.watched(), g.traffic("noredis") as stream:
        g.later(g.run, "start", "redis")
        g.run("stop", "redis")
        stopped = time.time()
        g.eventually(lambda: g.active() is None, g.setting_s("LEASE") + 2, "the sender's gate closes")
        must(time.time() - stopped < g.setting_s("LEASE") + 1.5, "the gate stayed open beyond the lease")
        taken = stream.accepted()
        g.eventually(lambda: stream.accepted() > taken + 20, 10, "mail is accepted while Redis is away")
        said = g.talk(
            "client",
            g.public("edge2"),
            25,
            ["MAIL FROM:<a@example.org>\r\n", "RCPT TO:<user@example.com>\r\n", "QUIT\r\n"],
        )
        must([s[1] for s in said] == [250, 250, 221], "inbound mail suffers from Redis:", said)
        must(all(g.http(n, "/active") == 503 for n in g.nodes), "/active is not 503 everywhere")
        g.undo()
        g.eventually(g.active, 30, "somebody sends again")
    g.mail_is_right(stream.run, stream.ledger)
    must(g.settle()["epoch"] >= before["epoch"], "the epoch went back")


@scenario
def redis_read_only(g):
    """a Redis that refuses writes is no lease: the sender stops, the reason is shown, and sending resumes"""
    g.settle()
    with g.watched():
        g.later(g.redis, "config", "set", "min-replicas-to-write", "0")
        g.redis("config", "set", "min-replicas-to-write", "1")
        g.eventually(lambda: g.active() is None, g.setting_s("LEASE") + 3, "the sender's gate closes")
        g.issue("redis|NOREPLICAS")
        g.undo()
        g.eventually(g.active, 30, "somebody sends again")


@scenario
def redis_wrong_data(g):
    """keys of the wrong type are an error that is told, not a crash and not a second sender"""
    before = g.settle()
    cluster = g.settings["LAB_CLUSTER"]
    key = "{%s}:lease" % cluster
    alive = g.daemons()
    with g.watched():
        g.later(g.redis, "del", key)
        g.redis("del", key)
        g.redis("set", key, "not a hash")
        time.sleep(g.setting_s("LEASE") + 2)
        must(g.daemons() == alive, "a daemon ended", alive, g.daemons())
        g.undo()
        g.eventually(g.active, 40, "somebody sends again")
    must(g.settle()["epoch"] >= before["epoch"], "the epoch went back")


@scenario
def redis_forgets(g):
    """a Redis that lost everything does not turn the epoch back: the nodes, the journal and DNS remember"""
    before = g.settle()
    with g.watched(), g.traffic("forgets") as stream:
        g.redis("flushall")
        time.sleep(g.setting_s("LEASE") + 1)
        g.eventually(g.active, 40, "somebody sends again")
    must(g.settle()["epoch"] > before["epoch"], f"the epoch is not above {before['epoch']}", g.status())
    g.mail_is_right(stream.run, stream.ledger)


# Certificates and frames


@scenario
def wrong_certificate(g):
    """a node whose certificate carries another name gets no link and cannot become the sender"""
    before = g.settle()
    standby = next(n for n in g.nodes if n != before["active"])
    other = g.hosts["inside"]["name"]
    conf, since = g.path(standby, "node.yaml"), {h: g.log_end(h) for h in g.coordinators + [standby]}
    g.rewrite_and_restart(
        conf,
        lambda t: t.replace(f"/pki/{standby}.pem", f"/pki/{other}.pem").replace(
            f"/pki/{standby}.key", f"/pki/{other}.key"
        ),
        standby,
    )
    g.eventually(
        lambda: g.identity(g.status(), standby).get("role") not in ("standby", "active"),
        15,
        f"{standby} is not eligible",
    )
    g.eventually(
        lambda: any(g.log_says(h, "certificate|cert|name", since[h]) for h in since),
        10,
        "a log names the certificate",
    )
    code, answer = g.ctl("switchover", "--to", standby, "--wait")
    must(code != 0, "a switchover to it was accepted:", answer)
    must(g.active() == before["active"], "the sender changed")


@scenario
def frames_too_long(g):
    """a frame that claims a megabyte and more, garbage and silence on the link port harm nobody"""
    before = g.settle()
    coordinator, alive = g.coordinators[0], g.daemons()
    ports = [(g.inside(coordinator), 7300), (g.inside(g.nodes[0]), 7301)]
    code = (
        "import ssl,socket,sys,time\n"
        "host,port,ca,cert,key=sys.argv[1:6]\n"
        "c=ssl.create_default_context(cafile=ca); c.check_hostname=False; c.load_cert_chain(cert,key)\n"
        "for data in (b'\\xff\\xff\\xff\\xff'+b'x'*100, b'\\x00\\x20\\x00\\x01'+b'x'*3000, b'GET / HTTP/1.1\\r\\n\\r\\n', b''):\n"
        "    s=c.wrap_socket(socket.create_connection((host,int(port)),5)); s.settimeout(5)\n"
        "    try:\n"
        "        s.sendall(data)\n"
        "        while data and s.recv(4096): pass\n"
        "        print('closed')\n"
        "    except socket.timeout: print('open')\n"
        "    except OSError: print('closed')\n"
        "    s.close()\n"
    )
    node = g.nodes[1]
    for host, port in ports:
        done = g.exec(
            node,
            "/usr/bin/python3",
            "-c",
            code,
            host,
            str(port),
            g.path("pki", "ca.pem"),
            g.path("pki", node + ".pem"),
            g.path("pki", node + ".key"),
            timeout=60,
        )
        must(
            done.stdout.split()[:3] == ["closed"] * 3,
            f"{host}:{port} keeps a connection that speaks nonsense:",
            done.stdout,
        )
    must(g.daemons() == alive, "a daemon ended", alive, g.daemons())
    g.no_switch(before, 2)


# Death, sleep, partition


@scenario
def leader_dies(g):
    """kill -9 of the leading coordinator: sending goes on, the other leads, and can switch"""
    before = g.settle()
    leader = next(c for c in g.coordinators if g.http(c, "/leader") == 200)
    other = next(c for c in g.coordinators if c != leader)
    with g.watched():
        g.later(g.run, "start", leader)
        g.run("kill", leader)
        g.eventually(lambda: g.http(other, "/leader", from_host=other) == 200, 30, f"{other} leads")
        g.stays(lambda: g.active() == before["active"], 2, "the sender stopped")
        standby = next(n for n in g.nodes if n != before["active"])
        code, answer = g.ctl("switchover", "--to", standby, "--wait", via=other)
        must(code == 0 and g.active() == standby, f"{other} cannot switch:", answer)


@scenario
def sender_sleeps(g):
    """SIGSTOP of the sender: the other takes over after the lease; woken up, the sleeper sends nothing"""
    before = g.settle()
    sender = before["active"]
    other = next(n for n in g.nodes if n != sender)
    with g.watched(), g.traffic("asleep") as stream:
        pids = g.pids(sender)
        g.later(lambda: [g.signal(p, signal.SIGCONT) for p in pids])
        for pid in pids:
            g.signal(pid, signal.SIGSTOP)
        g.eventually(lambda: g.http(other, "/active") == 200, g.setting_s("LEASE") + 20, f"{other} sends")
        time.sleep(1)
        g.undo()
        time.sleep(2)
        must(g.http(sender, "/active") == 503, f"{sender} is active again")
    g.settle()
    g.mail_is_right(stream.run, stream.ledger, sequence=(sender, other))


@scenario
def sender_cut_off(g):
    """the sender's inside cable is cut: it fences itself, the other takes over, never two"""
    before = g.settle()
    sender = before["active"]
    other = next(n for n in g.nodes if n != sender)
    with g.watched():
        g.later(g.exec, "net", "ip", "link", "set", f"{sender}-inside", "up")
        g.exec("net", "ip", "link", "set", f"{sender}-inside", "down")
        g.eventually(lambda: g.http(other, "/active") == 200, g.setting_s("LEASE") + 20, f"{other} sends")
        # Seen on the host itself: the probe cannot reach it over the cut cable.
        must(g.http(sender, "/active", from_host=sender) == 503, f"{sender} still says it is active")
        g.undo()
        g.eventually(
            lambda: g.identity(g.status(), sender).get("role") == "standby", 30, f"{sender} stands by"
        )
    must(g.active() == other, "the sender changed back by itself")


@scenario
def operator_pauses(g):
    """paused, a listing causes no switch; resumed, it does"""
    before = g.settle()
    sender, other = before["active"], next(n for n in g.nodes if n != before["active"])
    g.later(g.run, "delist", g.public(sender))
    code, answer = g.ctl("pause")
    must(code == 0, "gemelctl pause:", answer)
    g.later(g.ctl, "resume")
    g.run("list", g.public(sender))
    g.no_switch(before, 5)
    must(g.status()["mode"] == "paused", "status does not say paused", g.status()["mode"])
    code, answer = g.ctl("resume")
    must(code == 0, "gemelctl resume:", answer)
    g.eventually(lambda: g.http(other, "/active") == 200, 20, f"{other} sends")


@scenario
def both_listed(g):
    """when both addresses are listed nobody is better: no switch, and the operator is told"""
    before = g.settle()
    other = next(n for n in g.nodes if n != before["active"])
    for node in (other, before["active"]):
        g.later(g.run, "delist", g.public(node))
        g.run("list", g.public(node))
    g.no_switch(before, 6)
    g.issue("listed")


@scenario
def enters_by_the_standby(g):
    """mail that enters by the standby alone goes out by the sender, once"""
    before = g.settle()
    standby = next(n for n in g.nodes if n != before["active"])
    run, ledger = g.send_some("standby", 40, nodes=[standby])
    g.mail_is_right(run, ledger, expect=40, only=(before["active"],))
