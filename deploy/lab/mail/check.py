#!/usr/bin/python3
"""Proves from the receivers' own records that mail went right, or says exactly what did not.

  check.py --run RUN --ledger FILE [--wait 20] [--only edge1] [--sequence edge1,edge2] [--json]

Every accepted (message, recipient) must have arrived exactly once, body byte for byte, surviving header fields byte for
byte, from an identity's address with HELO = PTR = its name, SPF pass by the receiver's own evaluation; reports that were
asked for came, no others; two identities never interleave. Exit: 0 all true, 1 findings, 2 usage.
"""
import argparse
import json
import sys
import time

import judge
import records

IDENTITIES = {
    "edge1": {"ip": "198.51.100.10", "helo": "edge1.example.com"},
    "edge2": {"ip": "203.0.113.10", "helo": "edge2.example.com"},
}
PENDING = {"lost", "dsn-missing"}  # what may still come


def read_ledger(paths):
    entries = []
    for path in paths:
        with open(path, encoding="utf-8") as f:
            entries += [json.loads(line) for line in f if line.endswith("\n")]
    return entries


def examine(reader, ledgers, rules):
    """One look: (findings, figures)."""
    reader.poll()
    refusals = [r for r in reader.refusals if r["ip"] in {i["ip"] for i in rules.identities.values()}]
    return judge.Judge(rules).judge(read_ledger(ledgers), reader.records, refusals)


def settle(reader, ledgers, rules, wait_s, settle_s=1.0, progress=None):
    """Looks until nothing is pending or `wait_s` is over, then once more after `settle_s`: a second copy, a late bounce."""
    until = time.time() + wait_s
    while True:
        findings, figures = examine(reader, ledgers, rules)
        if progress:
            progress(figures)
        if not any(f["what"] in PENDING for f in findings) or time.time() > until:
            break
        time.sleep(0.2)
    if settle_s:
        time.sleep(settle_s)
        findings, figures = examine(reader, ledgers, rules)
    return findings, figures


def describe(findings, figures, limit=8):
    """Lines for people."""
    f = figures
    yield f"accepted {f['messages']} messages, {f['accepted']} recipients; arrived {f['arrived']}"
    yield f"sent by {f['by_identity'] or 'nobody'}; SPF pass {f['spf_pass']}, HELO = PTR {f['helo_is_ptr']} of {f['copies']} copies"
    if f["reports"]:
        yield "reports asked for and received: " + ", ".join(
            f"{n} {a}" for a, n in sorted(f["reports"].items())
        )
    if f["listed_refusals"]:
        yield f"refused by receivers because of a list: {f['listed_refusals']}; the first: {f['listed_text']}"
    for gap in f["gaps"]:
        yield f"{gap['from']} to {gap['to']}: no sender for {gap['gap_ms']} ms"
    if f["lost_reply_doubles"]:
        yield f"{f['lost_reply_doubles']} delivered twice because the sender was killed between the dot and the reply"
    for what, n in sorted(f["findings"].items()):
        yield f"{n} {what}: {judge.FINDINGS[what]}"
        some = [x for x in findings if x["what"] == what]
        for x in some[:limit]:
            yield f"    {x['id'] or '-'}  {x['detail']}"
        if len(some) > limit:
            yield f"    ... and {len(some) - limit} more"


def main(argv=None):
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--run", required=True)
    ap.add_argument("--ledger", action="append", required=True)
    ap.add_argument("--state", default=records.STATE)
    ap.add_argument("--only", default="", help="identities that may have sent, by comma")
    ap.add_argument("--sequence", default="", help="identities in the order they must have sent, by comma")
    ap.add_argument("--expect", type=int, default=0, help="so many messages must have been accepted")
    ap.add_argument("--killed", action="append", default=[], metavar="NAME=TIME")
    ap.add_argument("--identity", action="append", metavar="NAME=IP,HELO")
    ap.add_argument("--wait", type=float, default=0, help="seconds to wait for what is still under way")
    ap.add_argument("--since", type=float, default=0)
    ap.add_argument("--json", action="store_true")
    args = ap.parse_args(argv)
    identities = IDENTITIES
    if args.identity:
        identities = {}
        for text in args.identity:
            name, _, rest = text.partition("=")
            identities[name] = dict(zip(("ip", "helo"), rest.split(",")))
    killed = tuple((k.split("=")[0], float(k.split("=")[1])) for k in args.killed)
    rules = judge.Rules(
        run=args.run,
        identities=identities,
        only=tuple(filter(None, args.only.split(","))),
        sequence=tuple(filter(None, args.sequence.split(","))),
        expect=args.expect,
        killed=killed,
    )
    reader = records.Reader(args.state, since=args.since)
    findings, figures = settle(reader, args.ledger, rules, args.wait, settle_s=1.0 if args.wait else 0)
    if args.json:
        print(json.dumps({"ok": not findings, "figures": figures, "findings": findings}, ensure_ascii=False))
    else:
        for line in describe(findings, figures):
            print(line)
        print("everything is as it must be" if not findings else f"{len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
