# SPDX-License-Identifier: Apache-2.0
"""The agent's web page in a real browser. PODVEIL_SCREENSHOTS=DIRECTORY keeps screenshots."""
import os

import pytest

from agents import enable, write_record
from browser import PROGRAM, Browser
from hosts import wait_for
from workload import Steady

URL = "http://127.0.0.1:9586/"
pytestmark = pytest.mark.skipif(not PROGRAM, reason="chromium-headless-shell is not installed")

# The lowest contrast of a text with its background, as WCAG defines it.
CONTRAST = """(() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const lum = c => { const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
                     return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
                        if (c.length < 4 || c[3]) return c.slice(0, 3); } return [255, 255, 255]; };
  let worst = 21;
  for (const e of document.body.querySelectorAll("*")) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    const a = lum(parse(getComputedStyle(e).color).slice(0, 3)), b = lum(behind(e));
    worst = Math.min(worst, (Math.max(a, b) + .05) / (Math.min(a, b) + .05));
  }
  return worst;
})()"""


def keep(browser, name):
    where = os.environ.get("PODVEIL_SCREENSHOTS")
    if where:
        browser.screenshot(os.path.join(where, name + ".png"))


def text(browser, selector):
    return browser.value(f"document.querySelector({selector!r}).innerText")


def test_page(cluster):
    c, worker = cluster, cluster.nodes[1]
    with Browser(worker) as b:
        b.screen(1280, 900)
        b.open(URL)
        assert text(b, "h1") == "wireguard-worker"
        assert text(b, ".verdict").startswith("Not encrypting")
        keep(b, "off")
        enable(c)
        steady = Steady(c.client, c.server.address, rate=300)
        # The page updates itself, without a reload.
        b.value("window.same = true")
        b.until("document.querySelector('.verdict.good')", "it follows")
        assert b.value("window.same") and text(b, ".verdict").startswith("Encrypting with all 2 peers, since")
        row = "tr:has(td.chart):nth-child(2)"
        b.until(f"document.querySelector('{row} polyline')?.getAttribute('points').split(' ').length >= 6", "it draws")
        assert text(b, f"{row} th") == "wireguard-worker2"
        assert text(b, f"{row} .traffic") == "encrypted"
        rates = b.value(f"document.querySelector('{row} svg').getAttribute('aria-label')")
        assert "sending" in rates and "bit/s" in rates and "now sending 0 bit/s" not in rates, rates
        assert b.value(f"document.querySelector('{row} .rates .received').textContent").startswith("↓ ")
        for dark in (False, True):
            for name, width, height, phone in (("desktop", 1280, 900, False), ("phone", 360, 740, True)):
                b.screen(width, height, dark, phone)
                keep(b, f"{name}-{'dark' if dark else 'light'}")
                assert b.value("document.documentElement.scrollWidth") <= width, "nothing is cut off at the right"
                assert b.value(CONTRAST) >= 4.5
        # A screen reader sees a heading, the verdict, a table with headers, and charts with a description.
        said = b.accessible()
        assert ("heading", "wireguard-worker") in said
        assert ("rowheader", "wireguard-worker2") in said
        assert {("columnheader", n) for n in ("Node", "Traffic", "Handshake", "Throughput")} <= set(said)
        assert any(role in ("img", "image") and name.startswith("Throughput of the last") for role, name in said)
        assert any(role == "status" for role, _ in said)
        # A keyboard is enough: Tab reaches the button that pauses the page.
        b.screen(1280, 900)
        for _ in range(20):
            b.press("Tab", 9)
            if b.value("document.activeElement.textContent") == "Pause":
                break
        else:
            raise AssertionError("the button is not reached with the keyboard")
        b.press("Enter", 13)
        assert b.value("document.activeElement.textContent") == "Go on"
        b.press("Enter", 13)
        # The focus stays where it is while the page updates itself.
        b.until("document.querySelector('#connection').textContent === ''", "it goes on")
        assert b.value("document.activeElement.textContent") == "Pause"
        assert steady.all_answered()
        assert b.complaints() == [] and all(u.startswith((URL, "data:")) for u in b.requests())
        # When the agent ends, the page says so.
        worker.agent.stop()
        b.until("document.querySelector('#connection').textContent.includes('does not answer')", "it says so")
        keep(b, "gone")


def test_page_without_javascript_and_with_trouble(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    name = "<script>alert(1)</script>"
    write_record(c, {"name": "twin", "ipv4": "172.18.0.77", "podCIDRs": ["10.244.2.0/26", "10.99.0.0/24"],
                     "wireguardPublicKey": "/2SvAih31XdL9qORFXcuxgHFHHO9sDmv0WZqk4kssE0="})
    c.configure(wireguardMTU=name)
    wait_for(lambda: worker.agent.status()["conflicts"] and worker.agent.status()["refused"], "a problem is reported")
    write_record(c, {"name": "silent", "ipv4": "172.18.0.78", "podCIDRs": ["10.98.0.0/24"],
                     "wireguardPublicKey": "02SvAih31XdL9qORFXcuxgHFHHO9sDmv0WZqk4kssE0="})
    wait_for(lambda: len(worker.agent.status()["tunnels"][0]["peers"]) == 4, "four peers")
    with Browser(worker) as b:
        b.call("Emulation.setScriptExecutionDisabled", value=True)
        b.screen(1280, 900)
        b.open(URL)
        keep(b, "no-javascript")
        said = b.accessible()
        assert ("rowheader", "wireguard-worker2") in said and ("rowheader", "twin") in said
        names = " ".join(n for _, n in said)
        assert ("rowheader", "silent") == next(x for x in said if x[0] == "rowheader"), "what is in plain comes first"
        assert "Encrypting with 2 of 4 peers: traffic with the others is in plain" in names
        assert name in names and "Conflict" in names
        # Without scripts, the browser reloads the page.
        assert b.call("Runtime.evaluate", expression="document.querySelector('noscript') !== null",
                      returnByValue=True)["result"]["value"]
