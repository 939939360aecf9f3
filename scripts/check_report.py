#!/usr/bin/env python3
"""A run's report in a real browser: at the width of a phone nothing scrolls sideways but what has a bar of its own, no
table is cut, rows of cases lead to pictures that are there; on paper no page is wider than the paper and nothing is cut.

    python3 scripts/check_report.py runs/unet-001/report.html [--screenshots DIR]

Needs chromium and chromedriver (Debian: chromium, chromium-driver). Exits with 1 and the reason if a promise does not
hold.
"""

import argparse
import base64
import pathlib
import re

from check_live_page import DESK, PHONE, Browser, must

# What reaches beyond the window: of a box that scrolls by itself its edges count, not what is in it.
BEYOND = """const width = document.documentElement.clientWidth;
const inner = (one) => { for (let box = one.parentElement; box; box = box.parentElement) {
  if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(box).overflowX)) return true; } return false; };
return [...document.querySelectorAll('body *')].filter((one) => one.getClientRects().length && !inner(one)
  && !one.closest('svg svg, svg *') && one.getBoundingClientRect().right > width + 1)
  .map((one) => one.tagName + ' ' + one.className + ' ' + one.textContent.slice(0, 40)).slice(0, 5);"""
# A table wider than its box, without a way to scroll to the rest.
CUT = """return [...document.querySelectorAll('table, pre')].filter((one) => one.getClientRects().length).filter((one) => {
  for (let box = one; box && box !== document.body; box = box.parentElement) {
    if (box.scrollWidth <= box.clientWidth + 1) continue;
    return !['auto', 'scroll'].includes(getComputedStyle(box).overflowX); } return false; })
  .map((one) => one.textContent.slice(0, 60));"""
LINKS = """return [...document.querySelectorAll('#cases a, #cases ~ * a, td a, th a')]
  .map((one) => one.getAttribute('href')).filter((one) => one.startsWith('#'));"""
MISSING = """return [...document.querySelectorAll('a[href^="#"]')].map((one) => one.getAttribute('href'))
  .filter((one) => !document.getElementById(decodeURIComponent(one.slice(1))));"""
# Smallest letters that are read without a glass.
SMALL = """return [...document.querySelectorAll('td, p, dd, figcaption')].filter((one) => one.getClientRects().length
  && parseFloat(getComputedStyle(one).fontSize) < 11).map((one) => one.textContent.slice(0, 40)).slice(0, 3);"""


def check_screen(browser, theme, size):
    browser.dress(theme, size)
    width = browser.run("return innerWidth")
    must(f"the window is {size[0]} wide", width == size[0], (width, browser.run(BEYOND.replace("document.documentElement.clientWidth", str(size[0])))))
    needed = browser.run("return document.documentElement.scrollWidth")
    must(f"the report is no wider than a window of {size[0]}", needed <= width, (needed, browser.run(BEYOND)))
    must(f"nothing reaches beyond {size[0]}", not browser.run(BEYOND), browser.run(BEYOND))
    must(f"no table is cut at {size[0]}", not browser.run(CUT), browser.run(CUT))
    must("letters are large enough", not browser.run(SMALL), browser.run(SMALL))


def check_links(browser):
    links = browser.run(LINKS)
    must("rows of cases lead to their pictures", links, links)
    must("links within the report lead somewhere", not browser.run(MISSING), browser.run(MISSING))


def check_paper(browser, screenshots):
    """Printed on A4: the width of the paper holds everything, and there are several pages."""
    browser.devtools("Emulation.setEmulatedMedia", media="print")
    # 210 mm less two margins of 10 mm, at 96 pixels an inch.
    browser.devtools("Emulation.setDeviceMetricsOverride", width=718, height=1047, deviceScaleFactor=1, mobile=False)
    needed = browser.run("return document.documentElement.scrollWidth")
    must("the report is no wider than a sheet of paper", needed <= 718, (needed, browser.run(BEYOND)))
    must("nothing is cut on paper", not browser.run(CUT), browser.run(CUT))
    hidden = browser.run("return [...document.querySelectorAll('details')].filter((one) => !one.open).length")
    told = browser.devtools("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69,
                            marginLeft=0.4, marginRight=0.4, marginTop=0.4, marginBottom=0.4)
    paper = base64.b64decode(told["data"])
    pages = len(re.findall(rb"/Type\s*/Page\b", paper))
    must("it is printed on several pages", 2 <= pages <= 60, pages)
    if screenshots:
        (screenshots / "report.pdf").write_bytes(paper)
        browser.picture(screenshots / "report-paper.png")
    browser.devtools("Emulation.setEmulatedMedia", media="")
    return pages, hidden


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("report", type=pathlib.Path)
    parser.add_argument("--screenshots", type=pathlib.Path, metavar="DIR")
    options = parser.parse_args()
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    browser = Browser()
    try:
        browser.open(options.report.resolve().as_uri())
        for theme in ("light", "dark"):
            for name, size in (("desk", DESK), ("phone", PHONE)):
                check_screen(browser, theme, size)
                if options.screenshots:
                    browser.picture(options.screenshots / f"report-{theme}-{name}.png")
        check_links(browser)
        pages, _ = check_paper(browser, options.screenshots)
    finally:
        browser.close()
    print(f"the report fits a desk, a phone and paper ({pages} pages), and its links lead to its pictures")


if __name__ == "__main__":
    main()
