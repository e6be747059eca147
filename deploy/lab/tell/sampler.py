#!/usr/bin/python3
"""Asks every node `GET /active` about ten times a second and writes what each said; and judges such samples.

  sampler.py --node edge1=10.0.0.11:9301 --node edge2=10.0.0.12:9301 --out FILE   until SIGTERM

A sample is [node, t0, t1, code]: at some instant between t0 and t1 the node answered this; 0 is no answer."""
import argparse
import json
import signal
import socket
import sys
import threading
import time

EVERY_S = 0.1
SLACK_S = 5 * EVERY_S  # a change shows up to one sample late, on a busy machine a few
SILENT_MAX = 2  # so many questions in a row without any answer are the machine's, not the node's


def ask(host, port, timeout=1.0):
    try:
        with socket.create_connection((host, port), timeout) as sock:
            sock.settimeout(timeout)
            sock.sendall(f"GET /active HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while b"\r\n" not in data:
                got = sock.recv(4096)
                if not got:
                    break
                data += got
        return int(data.split(b" ", 2)[1])
    except (OSError, ValueError, IndexError):
        return 0


def sample(node, host, port, out, stop):
    due = time.time()
    while not stop.is_set():
        t0 = time.time()
        code = ask(host, port)
        out.write(json.dumps([node, round(t0, 6), round(time.time(), 6), code]) + "\n")
        due = max(due + EVERY_S, time.time() - EVERY_S)
        stop.wait(max(0, due - time.time()))


def read(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.endswith("\n")]


def spells(samples):
    """[(node, from, to)] in order of time: while a node said 200, from the first answer to the last question that got it.
    It was certainly active for that long; a single sample counts as the middle of its question and answer. No answer at
    all (0) for a moment says nothing; longer, the node is gone."""
    out = []
    for node in {s[0] for s in samples}:
        run, silent = [], 0
        for s in sorted((s for s in samples if s[0] == node), key=lambda s: s[1]) + [[node, 0, 0, None]]:
            silent = silent + 1 if s[3] == 0 else 0
            if s[3] == 200:
                run.append(s)
            elif run and not 0 < silent <= SILENT_MAX:
                begin, end = run[0][2], run[-1][1]
                if end < begin:
                    begin = end = (run[0][1] + run[0][2]) / 2
                out.append((node, begin, end))
                run = []
    return sorted(out, key=lambda s: s[1])


def judge(samples, switching=()):
    """(findings, figures). `switching`: [(from, to)] in which nobody may be active for a while; at any other time exactly
    one is. Never, nowhere, two."""
    findings = []
    all_spells = spells(samples)
    for i, (a, a0, a1) in enumerate(all_spells):
        for b, b0, b1 in all_spells[i + 1 :]:
            if a != b and max(a0, b0) <= min(a1, b1):
                findings.append(
                    f"{a} and {b} were both active at {max(a0, b0):.3f}, for {min(a1, b1) - max(a0, b0):.3f} s"
                )
    order = [node for i, (node, _, _) in enumerate(all_spells) if i == 0 or all_spells[i - 1][0] != node]
    nobody = []
    for (a, _, a1), (b, b0, _) in zip(all_spells, all_spells[1:]):
        if b0 <= a1:
            continue
        if not any(w0 - SLACK_S <= a1 and b0 <= w1 + SLACK_S for w0, w1 in switching):
            findings.append(
                f"nobody was active between {a1:.3f} ({a}) and {b0:.3f} ({b}), {b0 - a1:.3f} s, with no switch going on"
            )
        nobody.append({"from": a, "to": b, "ms": round((b0 - a1) * 1000)})
    if samples and all_spells:
        start, end = min(s[1] for s in samples), max(s[2] for s in samples)
        for t0, t1, when in (
            (start, all_spells[0][1], "at the beginning"),
            (all_spells[-1][2], end, "at the end"),
        ):
            # The last question may still be out, and a sample is taken only so often.
            if t1 - t0 > 2 * SLACK_S and not any(
                w0 - SLACK_S <= t0 and t1 <= w1 + SLACK_S for w0, w1 in switching
            ):
                findings.append(f"nobody was active for {t1 - t0:.3f} s {when}")
    else:
        findings.append("no node was ever seen active")
    nodes = {s[0] for s in samples}
    for node in nodes:
        times = sorted(s[1] for s in samples if s[0] == node)
        holes = [b - a for a, b in zip(times, times[1:])]
        if holes and max(holes) > 3:
            findings.append(f"{node} was not sampled for {max(holes):.1f} s: this proves nothing")
    return findings, {
        "samples": len(samples),
        "order": order,
        "nobody": nobody,
        "active": {n: sum(1 for s in samples if s[0] == n and s[3] == 200) for n in sorted(nodes)},
    }


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--node", action="append", required=True, metavar="NAME=HOST:PORT")
    ap.add_argument("--out", required=True)
    args = ap.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    with open(args.out, "a", buffering=1, encoding="utf-8") as out:
        threads = []
        for text in args.node:
            name, _, rest = text.partition("=")
            host, _, port = rest.rpartition(":")
            threads.append(threading.Thread(target=sample, args=(name, host, int(port), out, stop)))
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
