"use strict";

const token = document.querySelector("meta[name=dashboard-token]").content;
const states = {
  closed: { sign: "●", word: "closed" },
  "half-open": { sign: "◐", word: "half-open" },
  open: { sign: "○", word: "open" },
};
const cards = new Map();  // by name: the element and its chart

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const count = (number) => (number ?? 0).toLocaleString("en");
const ms = (number) => (number == null ? "–" : number >= 1000 ? (number / 1000).toFixed(2) + " s" : number.toFixed(0) + " ms");

async function press(name, button) {
  const answer = await fetch(`/${button.dataset.to}/${name}/${button.dataset.word}`, {
    method: "POST",
    headers: { "X-Dashboard-Token": token },
  });
  if (!answer.ok) document.getElementById("link").textContent = (await answer.json()).error;
}

function makeChart(canvas) {
  const set = (label, color, dash) => ({
    label, data: Array(60).fill(0), borderColor: css(color), backgroundColor: css(color) + "55", fill: true,
    borderDash: dash, borderWidth: 2, pointRadius: 0, stepped: false, tension: 0.2,
  });
  Chart.defaults.color = css("--quiet");
  Chart.defaults.borderColor = css("--line");
  return new Chart(canvas, {
    type: "line",
    data: {
      labels: Array.from({ length: 60 }, (_, i) => i - 59),
      datasets: [set("answered", "--good", []), set("failed", "--failed", [6, 3]), set("refused", "--refused", [2, 2])],
    },
    options: {
      animation: false, responsive: true, maintainAspectRatio: false,
      scales: {
        x: { title: { display: true, text: "seconds" }, ticks: { maxTicksLimit: 7, maxRotation: 0 }, grid: { display: false } },
        y: { title: { display: true, text: "calls / s" }, beginAtZero: true, suggestedMax: 10, ticks: { precision: 0, maxTicksLimit: 5 } },
      },
      plugins: { legend: { labels: { boxHeight: 0, boxWidth: 24 } }, tooltip: { enabled: false } },
    },
  });
}

function makeCard(name) {
  const element = document.getElementById("card").content.firstElementChild.cloneNode(true);
  element.id = "card-" + name;
  element.querySelector("h2").textContent = name;
  for (const button of element.querySelectorAll("button")) button.addEventListener("click", () => press(name, button));
  document.getElementById("cards").append(element);
  const card = { element, chart: makeChart(element.querySelector("canvas")) };
  cards.set(name, card);
  return card;
}

function why(circuit, limit) {
  const parts = [];
  if (circuit.forced) parts.push("by hand");
  else if (circuit.retry_after_ms != null) parts.push("next probe in " + ms(circuit.retry_after_ms));
  else if (circuit.state === "open") parts.push("due for a probe");
  if (limit.paused_for_ms > 0) parts.push("paused for " + ms(limit.paused_for_ms));
  return parts.join(", ");
}

function numbers(own) {
  const { circuit, rate_limit: limit } = own.client;
  const share = circuit.calls > 0 ? ` (${Math.round((100 * circuit.failures) / circuit.calls)} %)` : "";
  return [
    ["failures", `${circuit.failures} of ${circuit.calls}${share}`],
    ["tokens left", limit.available == null ? "–" : count(limit.available)],
    ["in flight", count(own.in_flight)],
    ["p50", ms(own.p50_ms)],
    ["p99", ms(own.p99_ms)],
    ["attempts", count(own.attempts)],
    ["retries", count(own.retries)],
    ["hedges won", `${count(own.hedges_won)} of ${count(own.hedges)}`],
    ["opened", count(own.opened) + " ×"],
  ];
}

function fill(list, items) {
  list.replaceChildren(...items);
}
function pair([name, value]) {
  const div = document.createElement("div");
  const dt = div.appendChild(document.createElement("dt"));
  const dd = div.appendChild(document.createElement("dd"));
  dt.textContent = name;
  dd.textContent = value;
  return div;
}
function line(event) {
  const li = document.createElement("li");
  const time = li.appendChild(document.createElement("time"));
  const text = li.appendChild(document.createElement("span"));
  time.textContent = event.at;
  text.textContent = event.times > 1 ? `${event.text} (× ${event.times})` : event.text;
  return li;
}

function show(own) {
  const { element, chart } = cards.get(own.name) ?? makeCard(own.name);
  const circuit = own.client.circuit;
  const state = states[circuit.state] ?? { sign: "?", word: circuit.state };
  element.className = "card " + circuit.state;
  element.querySelector(".sign").textContent = state.sign;
  element.querySelector(".word").textContent = state.word + (circuit.forced ? " (forced)" : "");
  element.querySelector(".why").textContent = why(circuit, own.client.rate_limit);
  fill(element.querySelector(".numbers"), numbers(own).map(pair));
  fill(element.querySelector(".events"), own.events.map(line));
  for (const button of element.querySelectorAll(".weather button"))
    button.setAttribute("aria-pressed", String(button.dataset.word === own.weather));
  chart.data.datasets.forEach((set, i) => (set.data = own.seconds.map((second) => second[i])));
  chart.update();
}

document.body.classList.toggle("read-only", token === "");
const link = document.getElementById("link");
const stream = new EventSource("/events");
stream.onopen = () => (link.textContent = token === "" ? "live, to look at only" : "live");
stream.onerror = () => (link.textContent = "the dashboard does not answer; trying again …");
stream.onmessage = (message) => {
  const state = JSON.parse(message.data);
  state.cards.forEach(show);
  const store = document.getElementById("store");
  store.hidden = !state.store;
  if (state.store)
    store.textContent = state.store.is_up ? `shared in Redis by ${state.store.processes} process(es)` : "Redis does not answer: going on alone";
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => location.reload());
