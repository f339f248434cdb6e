"""A device whose streams run as late as they are allowed to, or at once: what is not ordered then comes out wrong."""

from __future__ import annotations

import threading

LOCK = threading.RLock()  # the loader asks from a thread of its own


class Stream:
    def __init__(self):
        self.asked, self.done = [], 0

    def run(self, upto):
        """Do what was asked for, up to a place; what waits for another stream lets that one run first."""
        with LOCK:
            while self.done < upto:
                kind, what = self.asked[self.done]
                self.done += 1
                if kind == "wait":
                    what[0].run(what[1])
                else:
                    what()


class Device:
    """Copies and computing, each in its own row; a mark is a row and a place in it."""

    def __init__(self, at_once=()):
        self.copies, self.computing, self.at_once = Stream(), Stream(), at_once
        self.sends = 0

    def ask(self, stream, kind, what):
        with LOCK:
            stream.asked.append((kind, what))
            if stream in [getattr(self, name) for name in self.at_once]:
                stream.run(len(stream.asked))

    def compute(self, what):
        self.ask(self.computing, "do", what)

    # as a Lane

    def mark(self):
        return self.computing, len(self.computing.asked)

    def send(self, pairs, after):
        self.ask(self.copies, "wait", after)
        for host, device in pairs:
            self.ask(self.copies, "do", lambda host=host, device=device: device.copy_(host))
        self.sends += 1
        return self.copies, len(self.copies.asked)

    def follow(self, mark):
        self.ask(self.computing, "wait", mark)

    def wait(self, mark):
        mark[0].run(mark[1])
