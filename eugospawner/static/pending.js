/**
 * Follows a start through the hub's event stream.
 *
 * Events are {progress, message, steps?: [{label, state}], waiting_for?, failed?, ready?}. All of
 * it is written as text. The live region speaks at most once in a few seconds, and only what is
 * new; the clock is never read out.
 */

const USUAL_SECONDS = 120;
const SPOKEN_EVERY_MS = 4000;

const byId = (id) => document.getElementById(id);
const page = byId("eugo-pending");
const startedAt = performance.now() - Number(page.dataset.elapsed) * 1000;
let waitingFor = "";
let over = false;

const seconds = () => Math.floor((performance.now() - startedAt) / 1000);

function showClock() {
  const now = seconds();
  byId("eugo-elapsed").textContent = `${Math.floor(now / 60)} min ${now % 60} s`;
  const late = now > USUAL_SECONDS && !over;
  byId("eugo-waiting").hidden = !(late && waitingFor !== "");
}

let spokenAt = -Infinity;
let toSpeak;
function speak(text) {
  clearTimeout(toSpeak);
  const wait = Math.max(0, spokenAt + SPOKEN_EVERY_MS - performance.now());
  toSpeak = setTimeout(() => {
    spokenAt = performance.now();
    byId("eugo-spoken").textContent = text;
  }, wait);
}

function showSteps(steps) {
  const items = steps.map(({ label, state }) => {
    const item = document.createElement("li");
    item.dataset.state = state;
    for (const [name, text] of [
      ["mark", ""],
      ["label", label],
      ["state", state],
    ]) {
      const part = document.createElement("span");
      part.className = `eugo-step-${name}`;
      part.textContent = text;
      if (name === "mark") {
        part.classList.add("fa");
        part.setAttribute("aria-hidden", "true");
      }
      item.append(part);
    }
    if (state === "active") item.setAttribute("aria-current", "step");
    return item;
  });
  byId("eugo-steps").replaceChildren(...items);
}

function log(text) {
  const entry = document.createElement("li");
  entry.textContent = `${seconds()} s: ${text}`;
  byId("eugo-log").append(entry);
}

function fail(message) {
  over = true;
  document.title = `Not started – ${document.title}`;
  byId("eugo-pending-heading").textContent = "Your workspace did not start";
  byId("eugo-cause").textContent = message.replace(/^Spawn failed: /, "");
  byId("eugo-failure").hidden = false;
  byId("eugo-cancel").hidden = true;
  byId("eugo-message").textContent = "";
  byId("eugo-progress").hidden = true;
  byId("eugo-usual").textContent = "after the start was asked for.";
  byId("eugo-waiting").hidden = true;
  for (const [was, is, text] of [
    ["active", "failed", "failed"],
    ["waiting", "waiting", "not reached"],
  ]) {
    for (const step of document.querySelectorAll(`#eugo-steps [data-state="${was}"]`)) {
      step.dataset.state = is;
      step.querySelector(".eugo-step-state").textContent = text;
    }
  }
  byId("eugo-failure").focus();
}

function show(event) {
  if (typeof event.progress === "number") byId("eugo-progress").value = event.progress;
  if (Array.isArray(event.steps)) showSteps(event.steps);
  waitingFor = typeof event.waiting_for === "string" ? event.waiting_for : waitingFor;
  byId("eugo-waiting-for").textContent = waitingFor;
  if (event.message && event.message !== byId("eugo-message").textContent) {
    byId("eugo-message").textContent = event.message;
    log(event.message);
    speak(event.message);
  }
  showClock();
}

const ticking = setInterval(() => (over ? clearInterval(ticking) : showClock()), 1000);
const stream = new EventSource(page.dataset.progress);
stream.onmessage = (message) => {
  const event = JSON.parse(message.data);
  show(event);
  if (event.failed) {
    stream.close();
    fail(event.message ?? "");
  } else if (event.ready) {
    stream.close();
    over = true;
    byId("eugo-proxy").hidden = false;
    location.reload(); // which leads to the running workspace
  }
};
// The stream ends with an error when the start is over or the hub restarts: the page knows which.
stream.onerror = () => {
  if (stream.readyState === EventSource.CLOSED && !over) setTimeout(() => location.reload(), 3000);
};
showClock();
