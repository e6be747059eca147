#!/usr/bin/python3
"""Says raw lines to an SMTP server and prints what it answered, as JSON: [[sent, code, text], ...].

  talk.py HOST PORT [--starttls] < script       run it on a host of the lab: deploy/lab/run exec client tests/e2e/talk.py ...

The script is JSON: a list of strings. Each is sent as it is, byte for byte (no line end is added), and one reply is read for
it; [string, n] reads n replies. Code 0: the server closed the connection or said nothing in time."""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(
    0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "lab", "mail")
)
import wire  # noqa: E402


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    said = []
    try:
        client = wire.Client(host, port, "client.example.org", timeout=20)  # a wrong password costs 5 s
        if "--starttls" in sys.argv:
            client.starttls(None, host)
    except (wire.Lost, wire.Refused) as err:
        print(json.dumps([["connect", getattr(err, "code", 0), str(err)]]))
        return
    for step in json.load(sys.stdin):
        text, replies = step if isinstance(step, list) else (step, 1)
        try:
            client._send(text.encode("latin-1"), "script")
            for _ in range(replies):
                said.append([text[:60], *client.reply("script")])
        except wire.Lost as err:
            said.append([text[:60], 0, str(err)])
            break
    print(json.dumps(said))


if __name__ == "__main__":
    main()
