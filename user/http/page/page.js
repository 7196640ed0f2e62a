/* SPDX-License-Identifier: Apache-2.0 */
/* Refreshes the page in place, and draws what passed since it was opened. Without it the page is whole,
 * but for the charts. */
"use strict";

const EVERY = 2000; // ms
const SAMPLES = 60;
const WIDTH = 180, HEIGHT = 32;
const NS = "http://www.w3.org/2000/svg";
const history = new Map(); // by data-key: { at, sent, received, rates: [[sent, received], ...] }
let paused = false;

function bits(n) {
	for (const unit of ["bit/s", "kbit/s", "Mbit/s"]) {
		if (n < 999.5) return (n < 10 && unit !== "bit/s" ? n.toFixed(1) : Math.round(n)) + " " + unit;
		n /= 1000;
	}
	return n.toFixed(1) + " Gbit/s";
}

function note(cell, at) {
	const sent = Number(cell.dataset.sent), received = Number(cell.dataset.received);
	const h = history.get(cell.dataset.key) || { rates: [] };
	// Less than before: the device was made anew. The clock is ours, and monotonic.
	if (h.at !== undefined && at > h.at && sent >= h.sent && received >= h.received) {
		const seconds = (at - h.at) / 1000;
		h.rates.push([(sent - h.sent) * 8 / seconds, (received - h.received) * 8 / seconds]);
		if (h.rates.length > SAMPLES) h.rates.shift();
	}
	Object.assign(h, { at, sent, received });
	history.set(cell.dataset.key, h);
	return h.rates;
}

function line(rates, which, top) {
	const step = WIDTH / (SAMPLES - 1), from = SAMPLES - rates.length;
	return rates.map((r, i) => ((from + i) * step).toFixed(1) + "," +
		(HEIGHT - 2 - (HEIGHT - 4) * r[which] / top).toFixed(1)).join(" ");
}

function span(name, text) {
	const s = document.createElement("span");
	s.className = name;
	s.textContent = text;
	return s;
}

function draw(cell, rates) {
	if (!cell.firstElementChild) {
		const svg = document.createElementNS(NS, "svg"), text = document.createElement("div");
		svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
		svg.setAttribute("preserveAspectRatio", "none");
		svg.setAttribute("role", "img");
		for (const name of ["sent", "received"]) {
			const p = document.createElementNS(NS, "polyline");
			p.setAttribute("class", name);
			svg.append(p);
		}
		text.className = "rates";
		text.append(span("sent", ""), " ", span("received", ""));
		cell.replaceChildren(svg, text);
	}
	const svg = cell.firstElementChild, text = cell.lastElementChild;
	const last = rates.length ? rates[rates.length - 1] : [0, 0];
	const top = Math.max(1000, ...rates.flat());
	svg.children[0].setAttribute("points", line(rates, 0, top));
	svg.children[1].setAttribute("points", line(rates, 1, top));
	svg.setAttribute("aria-label", `Throughput of the last ${Math.round(rates.length * EVERY / 1000)} seconds, ` +
		`at most ${bits(top)}; now sending ${bits(last[0])}, receiving ${bits(last[1])}`);
	text.children[0].textContent = "↑ " + bits(last[0]);
	text.children[1].textContent = "↓ " + bits(last[1]);
}

/* Makes `old` say what `fresh` says and touches nothing that is the same: focus, selection and a
 * screen reader's place stay. */
function patch(old, fresh) {
	if (old.nodeType === Node.TEXT_NODE) {
		if (old.data !== fresh.data) old.data = fresh.data;
		return;
	}
	for (const a of fresh.attributes)
		if (old.getAttribute(a.name) !== a.value) old.setAttribute(a.name, a.value);
	if (old.classList.contains("chart")) return;
	const was = [...old.childNodes], is = [...fresh.childNodes];
	if (was.length !== is.length || was.some((n, i) => n.nodeName !== is[i].nodeName ||
			(n.dataset && n.dataset.key !== is[i].dataset.key))) {
		old.replaceChildren(...is);
		return;
	}
	was.forEach((n, i) => patch(n, is[i]));
}

function sample(at) {
	for (const cell of document.querySelectorAll("td.chart")) draw(cell, note(cell, at));
}

async function refresh() {
	const at = performance.now();
	const notice = document.getElementById("connection");
	try {
		const answer = await fetch("./", { cache: "no-store" });
		if (!answer.ok) throw new Error(answer.status);
		const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
		patch(document.querySelector("main"), fresh.querySelector("main"));
		document.title = fresh.title;
		notice.textContent = "";
		sample(at);
	} catch (e) {
		notice.textContent = "The agent does not answer: what is shown is old.";
	}
}

async function loop() {
	if (!paused && !document.hidden) await refresh();
	setTimeout(loop, EVERY);
}

function controls() {
	const footer = document.querySelector("footer"), button = document.createElement("button");
	const notice = document.createElement("strong");
	notice.id = "connection";
	notice.setAttribute("role", "alert");
	button.type = "button";
	button.textContent = "Pause";
	button.addEventListener("click", () => {
		paused = !paused;
		button.textContent = paused ? "Go on" : "Pause";
	});
	footer.prepend(button, notice);
}

controls();
sample(performance.now());
setTimeout(loop, EVERY);
