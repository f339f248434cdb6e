"""Chromium without a window, spoken to over a pipe by its DevTools protocol; nothing else is needed."""

import base64
import json
import os
import shutil
import subprocess
import time
from itertools import count
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One page; what goes wrong in it is kept in `errors`."""

    def __init__(self, folder):
        to_browser, self.out = os.pipe()
        self.read, from_browser = os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --remote-debugging-pipe --no-first-run --hide-scrollbars"
        line = f'exec "$0" {flags} --user-data-dir="$1" about:blank 3<&{to_browser} 4>&{from_browser}'
        self.process = subprocess.Popen(
            ["bash", "-c", line, CHROMIUM, str(folder)],
            pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self.numbers, self.kept, self.session, self.errors, self.asked = count(1), b"", None, [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.out)
        os.close(self.read)

    def call(self, method, **parameters):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == number:
                assert "error" not in told, told["error"]
                return told["result"]

    def _next(self):
        while b"\0" not in self.kept:
            some = os.read(self.read, 1 << 20)
            assert some, "the browser has ended"
            self.kept += some
        text, _, self.kept = self.kept.partition(b"\0")
        told = json.loads(text)
        about = told.get("params", {})
        if told.get("method") == "Runtime.exceptionThrown":
            self.errors.append(about["exceptionDetails"].get("exception", {}).get("description", "?"))
        if told.get("method") == "Log.entryAdded":
            self.errors.append(about["entry"]["text"])
        if told.get("method") == "Network.requestWillBeSent":
            self.asked.append(about["request"]["url"])
        return told

    def open(self, path, *, width=1280, height=900, scripts=True, media="screen", **features):
        """Show a file; `features` such as prefers_color_scheme="dark"."""
        given = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", media=media, features=given)
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.errors, self.asked = [], []
        self.call("Page.navigate", url=Path(path).resolve().as_uri())
        self.wait("document.readyState === 'complete' && location.protocol === 'file:'")

    def value(self, expression):
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, expression, seconds=30):
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.02)

    def key(self, name, text=""):
        codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39, "ArrowLeft": 37, "End": 35}
        about = {"key": name, "windowsVirtualKeyCode": codes.get(name, 0), "code": name}
        text = "\r" if name == "Enter" else text or (name if name == " " else "")
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def picture(self, path, whole=False):
        size = {}
        if whole:
            box = self.call("Page.getLayoutMetrics")["cssContentSize"]
            size = {"clip": {**box, "scale": 1}, "captureBeyondViewport": True}
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", **size)["data"]))

    def paper(self, path):
        self.call("Emulation.setEmulatedMedia", media="", features=[])
        told = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        Path(path).write_bytes(base64.b64decode(told["data"]))
