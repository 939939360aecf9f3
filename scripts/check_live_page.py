#!/usr/bin/env python3
"""The live page in a real browser, opened in the middle of a run: it loads, shows the whole run from its first
step as the journal has it, updates by itself, and works in a light and a dark theme, at the width of a desk
and of a phone, and by keyboard.

    python3 scripts/check_live_page.py http://127.0.0.1:9184 --run runs/unet-001 [--screenshots DIR]

Needs chromium and chromedriver (Debian: chromium, chromium-driver) and a run that is training at that
address; scripts/live-page brings both. Speaks WebDriver (W3C) itself, so no other package is needed. Exits
with 1 and the reason if a promise does not hold.
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

DESK, PHONE = (1200, 1000), (390, 844)
TAB, ENTER, HOME, RIGHT = "\ue004", "\ue007", "\ue011", "\ue014"


class Browser:
    """One headless window."""

    def __init__(self):
        driver = shutil.which("chromedriver")
        if driver is None:
            sys.exit("chromedriver is not there: apt-get install chromium chromium-driver")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen([driver, f"--port={port}", "--silent"], stdout=subprocess.DEVNULL)
        self.root = f"http://127.0.0.1:{port}"
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        wanted = {"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": options}, "goog:loggingPrefs": {"browser": "ALL"}}}}
        try:
            until("the driver's first answer", self.listens, 30)
            self.session = self.ask("POST", "/session", wanted)["sessionId"]
        except BaseException:
            self.process.kill()
            raise

    def listens(self):
        try:
            return self.ask("GET", "/status")["ready"]
        except OSError:
            return False

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.root + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def post(self, path, body):
        return self.ask("POST", f"/session/{self.session}/{path}", body)

    def devtools(self, command, **parameters):
        return self.post("goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, address):
        self.post("url", {"url": address})

    def run(self, script):
        return self.post("execute/sync", {"script": script, "args": []})

    def press(self, key):
        presses = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.post("actions", {"actions": [{"type": "key", "id": "keyboard", "actions": presses}]})

    def dress(self, theme, size):
        """As on a screen of this size whose owner likes this theme."""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self.devtools("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1,
                      mobile=size == PHONE)

    def picture(self, path):
        """The whole page, not only what the window shows of it."""
        width, height = self.run("const e = document.documentElement; return [e.clientWidth, e.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        image = self.devtools("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        pathlib.Path(path).write_bytes(base64.b64decode(image["data"]))

    def complaints(self):
        log = self.post("se/log", {"type": "browser"})
        return [line["message"] for line in log if line["level"] == "SEVERE"]

    def close(self):
        try:
            self.ask("DELETE", f"/session/{self.session}")
        finally:
            self.process.terminate()
            self.process.wait()


def must(promise, kept, seen):
    if not kept:
        raise SystemExit(f"the live page: {promise}, but: {seen}")


def until(what, look, seconds=60):
    """Waits for something that takes its time, for so long and no longer."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise SystemExit(f"the live page: {what} did not happen within {seconds} s")
        time.sleep(0.25)


def scraped(address, name):
    with urllib.request.urlopen(address + "/metrics", timeout=10) as answer:
        found = re.search(rf"^{name}{{[^}}]*}} (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found.group(1)) if found else None


TILE = """const tiles = [...document.querySelectorAll('.tile')];
const tile = tiles.find((tile) => tile.firstChild.textContent === '%s');
const number = tile && parseFloat(tile.querySelector('b').textContent.replace(/,/g, ''));
return Number.isFinite(number) ? number : null;"""
TEXT = """const tiles = [...document.querySelectorAll('.tile')];
const tile = tiles.find((tile) => tile.firstChild.textContent === '%s');
return tile ? tile.querySelector('b').textContent : '';"""
STEP = TILE % "Step"
AGE = "return document.getElementById('age').textContent"
PRESSED = "return document.getElementById('pause').getAttribute('aria-pressed')"
LIGHTNESS = """const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
return (r + g + b) / (3 * 255);"""


def check_figures(browser, address):
    """It loads, and what it shows is the run's and moves on without a reload."""
    first = until("a step on the page", lambda: browser.run(STEP))
    now = scraped(address, "train_step")
    must("its step is one that the run has taken", now is not None and 0 <= first <= now, (first, now))
    later = until("a later step without a reload",
                  lambda: (step := browser.run(STEP)) is not None and step > first and step)
    for name in ("Loss", "Dice WT", "Throughput", "Memory"):
        number = until(f"a number in {name}", lambda: browser.run(TILE % name) is not None and browser.run(TILE % name))
        must(f"{name} is positive", number > 0, number)
    must("a healthy run has no complaint", browser.run("return document.getElementById('health').hidden"), "one")
    stages = browser.run(
        "return [...document.querySelectorAll('#stages tr')].map((row) => row.querySelector('th').textContent)")
    for stage in ("plan", "augment", "collate", "trainer"):
        must(f"it shows the stage {stage}", stage in stages, stages)
    verdict = browser.run("return document.querySelector('#verdict').textContent")
    must("it says what holds the run back", "trainer" in verdict, verdict)
    return first, later


def journal_of(run):
    """Events of a run by kind; a last line that is not whole is left out."""
    events = {}
    for line in (run / "events.jsonl").read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            event = json.loads(line)
            events.setdefault(event["event"], []).append(event)
    return events


def check_history(browser, run):
    """What was before the page was opened is there: first loss, axes, Dice, totals, the best, the end."""
    events = journal_of(run)
    steps = events["step"]
    must("the run has taken some thousand steps", len(steps) >= 1000, len(steps))
    says = until("a curve of the loss", lambda: (
        (text := browser.run("return document.getElementById('loss').getAttribute('aria-label')")) and "first" in text and text))
    first, at, last = re.search(r"first (\S+) at step (\d+), last \S+ at step (\d+)", says).groups()
    span = int(at)
    mean = sum(step["loss"] for step in steps[:span]) / span
    must("its first loss is the journal's", abs(float(first) - mean) <= 2e-3 * abs(mean), (first, mean, span))
    must("its last step is one of now", int(last) >= 1000, last)
    must("it draws few points", browser.run("return document.getElementById('loss').chart.lines[0].points.length") <= 2048, "more")
    for chart in ("loss", "dice", "rate", "waiting"):
        ticks = browser.run(
            f"return ['x', 'y'].map((axis) => [...document.querySelectorAll('#{chart} .tick.' + axis)].map((t) => t.textContent))")
        must(f"the chart {chart} has ticks on both axes", all(len(set(axis)) >= 2 for axis in ticks), ticks)
    regions = sorted(events["validation"][0]["dice"])
    for region in regions:
        for kind in ("", ".train"):
            look = f"return document.querySelector('#dice path.{region.lower()}{kind}')?.getAttribute('d') || null"
            until(f"a curve of the Dice of {region}{kind}", lambda: browser.run(look))
        shown = browser.run(f"return document.getElementById('dice').chart.lines.find((l) => l.name === '{region}').points")
        told = [[event["step"], event["dice"][region]] for event in events["validation"]]
        must(f"the Dice of {region} is the journal's", all(
            a[0] == b[0] and abs(a[1] - b[1]) < 1e-4 for a, b in zip(shown, told)), (shown[:3], told[:3]))
    planned = events["started"][0]["steps"]
    total = browser.run(TEXT % "Step")
    must("it says how many steps there are to be", f"of {planned:,}" in total, total)

    def shows_best():
        # The run goes on meanwhile: what the page shows is as new as its last answer.
        best = max(event["mean_dice"] for event in journal_of(run)["validation"])
        return abs(browser.run(TILE % "Best Dice") - best) < 1e-4

    until("the journal's best Dice", shows_best)
    must("it says when the run ends", re.search(r"\d+:\d\d", browser.run(TEXT % "Ends")), browser.run(TEXT % "Ends"))
    must("it names the run", browser.run("return document.getElementById('run').textContent") == run.name, run.name)


def check_look(browser, theme, size):
    """It fits the screen and has the theme."""
    width = browser.run("return innerWidth")
    must(f"the window is {size[0]} wide", width == size[0], width)
    needed = browser.run("return document.documentElement.scrollWidth")
    must("it is no wider than its window", needed <= width, needed)
    lightness = browser.run(LIGHTNESS)
    must(f"its ground is {theme}", lightness > 0.8 if theme == "light" else lightness < 0.2, lightness)
    ink = browser.run(LIGHTNESS.replace("backgroundColor", "color"))
    must("its letters are not of the ground's colour", abs(ink - lightness) > 0.6, (ink, lightness))


def check_keyboard(browser):
    """The button is reached with Tab, and Enter stops the page and lets it go on."""
    browser.press(TAB)
    focused = browser.run("return document.activeElement.id")
    must("Tab goes to the button first", focused == "pause", focused)
    outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle")
    must("the focus can be seen", outline not in ("none", ""), outline)
    browser.press(ENTER)
    must("Enter presses it", browser.run(PRESSED) == "true", browser.run(PRESSED))
    # One answer may have been on its way.
    time.sleep(1)
    stopped = browser.run(AGE)
    time.sleep(5)
    must("it stands still while it is paused", browser.run(AGE) == stopped, browser.run(AGE))
    browser.press(ENTER)
    until("going on", lambda: browser.run(AGE) != stopped)
    browser.press(TAB)
    focused = browser.run("return document.activeElement.id")
    must("Tab goes on to the first chart", focused == "loss", focused)
    for key, wanted in ((HOME, "step 1:"), (RIGHT, "step ")):
        browser.press(key)
        told = browser.run("return document.getElementById('loss').nextElementSibling.textContent")
        must("the arrow keys read the chart", told.startswith(wanted[:5]) and "raw" in told, told)


def check(browser, address, run, screenshots):
    browser.dress("light", DESK)
    browser.open(address + "/")
    first, later = check_figures(browser, address)
    check_history(browser, run)
    check_keyboard(browser)
    for theme in ("light", "dark"):
        for name, size in (("desk", DESK), ("phone", PHONE)):
            browser.dress(theme, size)
            # The charts are drawn anew at this width.
            time.sleep(0.5)
            check_look(browser, theme, size)
            if screenshots:
                browser.picture(screenshots / f"live-{theme}-{name}.png")
    outside = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    must("it loads nothing from elsewhere", all(name.startswith(address) for name in outside), outside)
    complaints = browser.complaints()
    must("the browser has no complaint", not complaints, complaints)
    return first, later


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--run", type=pathlib.Path, required=True, help="the run's folder, to compare with")
    parser.add_argument("--screenshots", type=pathlib.Path, metavar="DIR")
    options = parser.parse_args()
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    browser = Browser()
    try:
        first, later = check(browser, options.address.rstrip("/"), options.run, options.screenshots)
    finally:
        browser.close()
    print(f"the live page showed step {first:.0f}, then {later:.0f}, light and dark, at a desk and on a phone, by keyboard")


if __name__ == "__main__":
    main()
