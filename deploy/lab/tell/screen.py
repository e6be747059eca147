"""What the story shows: a tick or a cross for each line, what is being waited for, and why something failed."""
import os
import sys
import time


class Fail(Exception):
    """A line of the story is not true. `evidence` are lines to show, `logs` the files to read on."""

    def __init__(self, why, evidence=(), logs=()):
        super().__init__(why)
        self.why, self.evidence, self.logs = why, list(evidence), list(logs)


class Screen:
    def __init__(self, out=sys.stdout):
        self.out, self.tty = out, out.isatty()
        color = self.tty and not os.environ.get("NO_COLOR")
        self.green, self.red, self.dim, self.off = (
            ("\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m") if color else ("",) * 4
        )
        self.shown = self.said = ""
        self.said_at = time.time()

    def line(self, text):
        self.clear()
        print(text, file=self.out, flush=True)
        self.said_at = time.time()

    def ok(self, number, text, seconds):
        self.line(f"  {self.green}✓{self.off} {number}  {text} ({seconds:.1f} s)")

    def bad(self, number, text, seconds):
        self.line(f"  {self.red}✗{self.off} {number}  {text} ({seconds:.1f} s)")

    def note(self, text):
        self.line(f"       {self.dim}{text}{self.off}")

    def progress(self, text):
        """On a terminal one line that changes; elsewhere a line when the text changes and at least 5 s have passed."""
        if self.tty:
            text = text[: os.get_terminal_size(self.out.fileno()).columns - 9]
            self.out.write(f"\r\x1b[K     {self.dim}… {text}{self.off}")
            self.out.flush()
            self.shown = text
        elif text != self.said and time.time() - self.said_at > 5:
            self.said = text
            self.line(f"       … {text}")

    def clear(self):
        if self.shown:
            self.out.write("\r\x1b[K")
            self.shown = ""
