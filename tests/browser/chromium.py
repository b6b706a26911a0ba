"""A headless Chromium, driven over its debugging pipe with nothing but the standard library."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time


class Chromium:
    """One page of a browser. Everything it complains about is kept in `complaints`, everything it asks the network for in `requests`."""

    def __init__(self):
        program = next(
            filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
        )
        if program is None:
            raise SystemExit("no chromium found")
        self.profile = tempfile.TemporaryDirectory()
        down, up = os.pipe(), os.pipe()
        # Chromium reads from 3 and writes to 4; ours must be elsewhere before they are moved there.
        theirs = [fcntl.fcntl(down[0], fcntl.F_DUPFD, 20), fcntl.fcntl(up[1], fcntl.F_DUPFD, 20)]

        def place():
            os.dup2(theirs[0], 3)
            os.dup2(theirs[1], 4)

        self.process = subprocess.Popen(
            [
                program,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--no-first-run",
                "--remote-debugging-pipe",
                f"--user-data-dir={self.profile.name}",
                "about:blank",
            ],
            preexec_fn=place,
            pass_fds=(3, 4),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (down[0], up[1], *theirs):
            os.close(end)
        self.to, self.back = down[1], up[0]
        self.buffer, self.number, self.session = b"", 0, None
        self.complaints, self.requests = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def call(self, method, **params):
        """Calls a method of the protocol and returns its result."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        wanted = self.number
        while True:
            answer = self.receive(60)
            if answer.get("id") == wanted:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def receive(self, seconds):
        """Returns the next message, and remembers what it complains about."""
        until = time.monotonic() + seconds
        while b"\0" not in self.buffer:
            if not select.select([self.back], [], [], max(0, until - time.monotonic()))[0]:
                raise TimeoutError("chromium does not answer")
            chunk = os.read(self.back, 1 << 20)
            if not chunk:
                raise RuntimeError("chromium has ended")
            self.buffer += chunk
        text, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(text)
        params, method = message.get("params", {}), message.get("method")
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(
                details.get("exception", {}).get("description") or details["text"]
            )
        elif method == "Runtime.consoleAPICalled" and params["type"] in (
            "error",
            "warning",
            "assert",
        ):
            self.complaints.append(
                " ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"])
            )
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append("a dialog: " + params["message"])
        return message

    def run(self, script):
        """Runs a script in the page and returns its value."""
        result = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(
                f"{script}\n{result['exceptionDetails']['exception'].get('description')}"
            )
        return result["result"].get("value")

    def wait(self, script, seconds=20):
        """Waits until a script gives something true, and returns that."""
        until = time.monotonic() + seconds
        while True:
            value = self.run(script)
            if value:
                return value
            if time.monotonic() > until:
                raise AssertionError(f"this never came true: {script}\n{self.complaints}")
            time.sleep(0.1)

    def size(self, width, height, dark=False):
        """Sets the size of the window and whether the reader prefers dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url):
        """Opens an address and waits until it is there."""
        self.complaints.clear()
        self.requests.clear()
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def drag(self, start, end):
        """Presses the mouse at one place, moves it and lets go at another."""

        def mouse(kind, place, buttons):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=place[0],
                y=place[1],
                button="left",
                buttons=buttons,
                clickCount=1,
            )

        mouse("mouseMoved", start, 0)
        mouse("mousePressed", start, 1)
        for step in range(1, 9):
            part = step / 8
            mouse(
                "mouseMoved",
                [start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part],
                1,
            )
            time.sleep(0.03)
        mouse("mouseReleased", end, 0)

    def picture(self, path, whole=True):
        """Saves what is seen, or the whole page, as a PNG."""
        picture = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))

    def close(self):
        """Ends the browser."""
        self.process.kill()
        self.process.wait()
        self.profile.cleanup()
