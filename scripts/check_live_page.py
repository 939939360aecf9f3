#!/usr/bin/env python3
"""The live page in a real browser: it loads, shows the run's own numbers, and updates by itself.

    python3 scripts/check_live_page.py http://127.0.0.1:9184 [--screenshot live.png] [--dark] [--width 1200]

Needs chromium and chromedriver (Debian: chromium, chromium-driver) and a run that is training at that
address. Speaks WebDriver (W3C) itself, so no other package is needed. Exits with 1 and the reason if a
promise does not hold.
"""

import argparse
import base64
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request


class Browser:
    """One headless window."""

    def __init__(self, width, dark):
        driver = shutil.which("chromedriver")
        if driver is None:
            sys.exit("chromedriver is not there: apt-get install chromium chromium-driver")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen([driver, f"--port={port}", "--silent"], stdout=subprocess.DEVNULL)
        self.root = f"http://127.0.0.1:{port}"
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   f"--window-size={width},1100", "--hide-scrollbars"]
        if dark:
            options.append("--blink-settings=preferredColorScheme=0")
        wanted = {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": options}, "goog:loggingPrefs": {"browser": "ALL"}}}}
        deadline = time.monotonic() + 30
        while True:
            try:
                self.session = self.ask("POST", "/session", wanted)["sessionId"]
                return
            except OSError:
                if time.monotonic() > deadline:
                    self.close()
                    raise
                time.sleep(0.2)

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.root + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, address):
        self.ask("POST", f"/session/{self.session}/url", {"url": address})

    def run(self, script):
        return self.ask("POST", f"/session/{self.session}/execute/sync", {"script": script, "args": []})

    def picture(self, path):
        image = self.ask("GET", f"/session/{self.session}/screenshot")
        pathlib.Path(path).write_bytes(base64.b64decode(image))

    def complaints(self):
        log = self.ask("POST", f"/session/{self.session}/se/log", {"type": "browser"})
        return [line["message"] for line in log if line["level"] == "SEVERE" and "favicon" not in line["message"]]

    def close(self):
        self.process.terminate()
        self.process.wait()


def scraped(address, name):
    with urllib.request.urlopen(address + "/metrics", timeout=10) as answer:
        found = re.search(rf"^{name}{{[^}}]*}} (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found.group(1)) if found else None


def until(what, look, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise SystemExit(f"the live page: {what} did not happen within {seconds} s")
        time.sleep(0.25)


STEP = """const tiles = [...document.querySelectorAll('.tile')];
const step = tiles.find((tile) => tile.firstChild.textContent === 'Step');
return step ? Number(step.querySelector('b').textContent) : null;"""


def check(browser, address):
    browser.open(address + "/")
    first = until("a step on the page", lambda: browser.run(STEP))
    now = scraped(address, "train_step")
    if now is None or not 0 <= now - first:
        raise SystemExit(f"the live page shows step {first}, /metrics says {now}")
    later = until("a later step without a reload", lambda: (browser.run(STEP) or 0) > first and browser.run(STEP))
    stages = until("bars of the stages", lambda: browser.run(
        "return [...document.querySelectorAll('#stages tr')].map((row) => row.querySelector('th').textContent)"))
    for stage in ("plan", "augment", "collate"):
        if stage not in stages:
            raise SystemExit(f"the live page shows the stages {stages}, and not {stage}")
    if not browser.run("return document.querySelector('#verdict').textContent"):
        raise SystemExit("the live page has no verdict")
    outside = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    strangers = [name for name in outside if not name.startswith(address)]
    if strangers:
        raise SystemExit(f"the live page loads from elsewhere: {strangers}")
    wide = browser.run("return document.documentElement.scrollWidth > document.documentElement.clientWidth")
    if wide:
        raise SystemExit("the live page is wider than its window")
    # With the keyboard alone: the button has the focus first and stops the page.
    browser.run("document.getElementById('pause').focus(); document.activeElement.click();")
    paused = browser.run("return document.getElementById('pause').getAttribute('aria-pressed')")
    if paused != "true":
        raise SystemExit("the pause button does not say that it is pressed")
    complaints = browser.complaints()
    if complaints:
        raise SystemExit(f"the browser complains: {complaints}")
    return first, later, stages


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--screenshot")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1200)
    options = parser.parse_args()
    browser = Browser(options.width, options.dark)
    try:
        first, later, stages = check(browser, options.address.rstrip("/"))
        if options.screenshot:
            browser.picture(options.screenshot)
    finally:
        browser.close()
    print(f"the live page showed step {first}, then {later}, and the stages {', '.join(stages)}")


if __name__ == "__main__":
    main()
