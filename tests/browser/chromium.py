"""Controls a headless Chromium over its debugging pipe, with the standard library only."""

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
    """A browser with one page. `errors` has all errors, warnings and dialogs of the page,
    `requests` the addresses of all its requests."""

    def __init__(self):
        program = next(
            filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
        )
        if program is None:
            raise SystemExit("Chromium is not installed")
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        commands, replies = os.pipe(), os.pipe()
        # Chromium reads from descriptor 3 and writes to 4. Copies with high numbers are not
        # overwritten when the child moves them there.
        child_reads = fcntl.fcntl(commands[0], fcntl.F_DUPFD, 20)
        child_writes = fcntl.fcntl(replies[1], fcntl.F_DUPFD, 20)

        def move_descriptors():
            os.dup2(child_reads, 3)
            os.dup2(child_writes, 4)

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
            preexec_fn=move_descriptors,
            pass_fds=(3, 4),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for descriptor in (commands[0], replies[1], child_reads, child_writes):
            os.close(descriptor)
        self.commands, self.replies = commands[1], replies[0]
        self.buffer, self.call_count, self.session = b"", 0, None
        self.errors, self.requests = [], []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def call(self, method, **params):
        """Calls a method of the protocol and returns its result."""
        self.call_count += 1
        message = {"id": self.call_count, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while True:
            reply = self.receive(60)
            if reply.get("id") == self.call_count:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']}")
                return reply["result"]

    def receive(self, seconds):
        """Returns the next message, and records errors and requests."""
        deadline = time.monotonic() + seconds
        while b"\0" not in self.buffer:
            if not select.select([self.replies], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not reply")
            chunk = os.read(self.replies, 1 << 20)
            if not chunk:
                raise RuntimeError("Chromium has exited")
            self.buffer += chunk
        text, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(text)
        params, method = message.get("params", {}), message.get("method")
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in (
            "error",
            "warning",
            "assert",
        ):
            self.errors.append(
                " ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"])
            )
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.errors.append("a dialog: " + params["message"])
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
        """Waits until the value of a script is true, and returns it."""
        deadline = time.monotonic() + seconds
        while True:
            value = self.run(script)
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"this did not become true: {script}\n{self.errors}")
            time.sleep(0.1)

    def set_window(self, width, height, dark=False):
        """Sets the size of the window and the preferred colour scheme."""
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
        """Opens an address and waits until the page is complete."""
        self.errors.clear()
        self.requests.clear()
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def drag(self, start, end):
        """Drags the mouse from one point to another."""

        def send_mouse_event(kind, point, buttons):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=point[0],
                y=point[1],
                button="left",
                buttons=buttons,
                clickCount=1,
            )

        send_mouse_event("mouseMoved", start, 0)
        send_mouse_event("mousePressed", start, 1)
        for step in range(1, 9):
            share = step / 8
            send_mouse_event(
                "mouseMoved",
                [start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share],
                1,
            )
            time.sleep(0.03)
        send_mouse_event("mouseReleased", end, 0)

    def save_screenshot(self, path):
        """Saves an image of the page, including the parts outside the window, as a PNG."""
        screenshot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(screenshot["data"]))

    def close(self):
        """Ends the browser."""
        self.process.kill()
        self.process.wait()
        self.profile.cleanup()
