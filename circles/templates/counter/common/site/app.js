// Shows the count that the network agrees on. Reads only: what writes needs a wallet, and a page has none.
"use strict";

const POLL_MS = 2000;
const element = (id) => document.getElementById(id);
let shown = null;

async function read(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail || answer.error || response.status);
  return answer;
}

// Integers beyond 2^53 arrive as {"int": "digits"}, so that nothing is rounded.
const digits = (value) => (value !== null && typeof value === "object" ? value.int : String(value));

function show(circle, count, last) {
  element("name").textContent = circle.name;
  document.title = `${digits(count.value)} · ${circle.name}`;
  element("count").textContent = digits(count.value);
  element("last").textContent = last.value === null ? "nobody yet" : last.value;
  element("last").title = last.value === null ? "" : last.value;
  element("height").textContent = circle.height.toLocaleString("en");
  element("usage").textContent = `${circle.usage.toLocaleString("en")} of ${circle.max_stable_bytes.toLocaleString("en")} bytes`;
  element("circle").textContent = element("circle").title = circle.circle;
  element("command").textContent = `octra circle call ${circle.circle} inc`;
  element("note").textContent = circle.note;
  if (shown !== null && shown !== digits(count.value)) {
    element("count").classList.remove("raised");
    void element("count").offsetWidth; // starts the animation again
    element("count").classList.add("raised");
  }
  shown = digits(count.value);
}

function status(text, kind) {
  element("status").textContent = text;
  element("status").className = `status ${kind}`;
}

async function refresh() {
  try {
    show(await read("/.octra/circle"), await read("/.octra/view/get"), await read("/.octra/view/last"));
    status("live", "live");
  } catch (error) {
    status("no answer", "lost");
    console.warn(error);
  }
  setTimeout(refresh, POLL_MS);
}

element("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(element("command").textContent);
  element("copy").textContent = "Copied";
  setTimeout(() => (element("copy").textContent = "Copy"), 1500);
});

refresh();
