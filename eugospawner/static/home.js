/**
 * The page of workspaces while it is open: sends its forms, counts down, and keeps up with the server.
 *
 * Forms work without this script; with it what was done is told in place, and the list is fetched anew. The
 * list is always the server's: its HTML takes the place of what was there, and the focus stays where it was.
 * Countdowns go by the server's clock. Only at 15, 5 and 1 minute are they read out.
 */

const told = document.querySelector("#eugo-told");
const announced = document.querySelector("#eugo-announced");
const BUSY = 3_000;
const QUIET = 30_000;
const READ_OUT = [15 * 60, 5 * 60, 60];
let behind = 0;
let busy = false;
const readOut = new Map();

function list() {
  return document.querySelector("#eugo-workspaces");
}

function setClock() {
  const { now } = list().dataset;
  if (now) behind = Date.parse(now) - Date.now();
}

function tell(text) {
  told.textContent = text;
  told.hidden = false;
}

async function messageOf(answer) {
  try {
    return (await answer.json()).message;
  } catch {
    return `The hub answered with status ${answer.status}.`;
  }
}

async function send(form) {
  const { doing } = form.dataset;
  form.closest(".eugo-menu")?.removeAttribute("open");
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  busy = true;
  tell(`${doing} …`);
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
    });
    if (!answer.ok) throw new Error(await messageOf(answer));
    tell(`${doing}: done.`);
  } catch (error) {
    tell(`${doing} did not work: ${error.message}`);
    told.focus();
  } finally {
    busy = false;
    button.disabled = false;
  }
  await refresh();
}

/** Whether somebody is in the middle of something that the list must not take away. */
function isHeld() {
  return busy || Boolean(document.querySelector("dialog[open], .eugo-menu[open]"));
}

/** Fetch the page, and put its list in the place of ours. */
async function refresh() {
  if (isHeld()) return;
  const began = Date.now();
  let page;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    return; // the hub is away for a moment; the next time tells
  }
  const fresh = page.querySelector("#eugo-workspaces");
  if (!fresh || isHeld()) return;
  const focused = list().contains(document.activeElement)
    ? document.activeElement.getAttribute("aria-label")
    : null;
  list().replaceWith(fresh);
  setClock();
  behind -= (Date.now() - began) / 2;
  count();
  if (focused) {
    const same = [...fresh.querySelectorAll("[aria-label]")].find(
      (each) => each.getAttribute("aria-label") === focused,
    );
    (same ?? document.querySelector("h1")).focus();
  }
}

function two(number) {
  return String(number).padStart(2, "0");
}

function count() {
  const now = Date.now() + behind;
  for (const each of document.querySelectorAll("[data-until]")) {
    const left = Math.max(0, Math.ceil((Date.parse(each.dataset.until) - now) / 1000));
    const text = `${two(Math.floor(left / 3600))}:${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
    if (each.textContent !== text) each.textContent = text;
  }
  for (const each of document.querySelectorAll(".eugo-announce")) {
    announce(each, now);
  }
  for (const each of document.querySelectorAll("[data-ago]")) {
    const text = ago(now - Date.parse(each.dataset.ago));
    if (each.textContent !== text) each.textContent = text;
  }
}

function announce(each, now) {
  const { until } = each.querySelector("[data-until]").dataset;
  const left = (Date.parse(until) - now) / 1000;
  const key = `${each.dataset.name} ${each.dataset.title} ${until}`;
  const passed = READ_OUT.filter((at) => left <= at).length;
  const before = readOut.get(key) ?? passed;
  readOut.set(key, passed);
  if (passed > before && left > 0) {
    const minutes = READ_OUT[passed - 1] / 60;
    announced.textContent = `${each.dataset.name}: ${each.dataset.title} in ${minutes} minute${minutes > 1 ? "s" : ""}.`;
  }
}

function ago(milliseconds) {
  const seconds = Math.trunc(milliseconds / 1000);
  const size = Math.abs(seconds);
  for (const [length, unit] of [[86_400, "d"], [3_600, "h"], [60, "min"]]) {
    if (size >= length) {
      const words = `${Math.floor(size / length)} ${unit}`;
      return seconds > 0 ? `${words} ago` : `in ${words}`;
    }
  }
  return seconds >= 0 ? "just now" : "in less than a minute";
}

function isBusy() {
  return Boolean(document.querySelector('#eugo-workspaces [data-tone="busy"]'));
}

async function keepUp() {
  await new Promise((resolve) => setTimeout(resolve, isBusy() ? BUSY : QUIET));
  if (!document.hidden) await refresh();
  keepUp();
}

document.addEventListener("keydown", (event) => {
  const menu = event.target.closest(".eugo-menu[open]");
  if (event.key !== "Escape" || !menu) return;
  menu.removeAttribute("open");
  menu.querySelector("summary").focus();
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".eugo-menu[open]")) {
    if (!menu.contains(event.target) && !event.target.closest("dialog")) menu.removeAttribute("open");
  }
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !form.dataset.doing) return;
  event.preventDefault();
  send(form);
});

setClock();
count();
setInterval(count, 250);
keepUp();
