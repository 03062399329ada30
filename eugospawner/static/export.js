/**
 * The page of an export while it is open: how far it is, in one polite live region, and its link to copy.
 *
 * Everything works without this script: the page then loads itself again. What was found is always the server's: once
 * the standing changes, the page is fetched anew.
 */

const page = document.querySelector("#eugo-export");
const progress = document.querySelector("#eugo-progress");
const bar = document.querySelector("#eugo-bar");
const copy = document.querySelector("#eugo-copy");
const { address, standing } = page.dataset;
const xsrf = document.querySelector("input[name=_xsrf]")?.value;
const files = Number(page.dataset.files);
const OFTEN = 1_000;
const SELDOM = 10_000;
/** Nobody listens to a number that changes every second. */
const SPOKEN = 5_000;
let timer;
let spokenAt = 0;
let wasSending = false;

function say(text) {
  if (Date.now() - spokenAt < SPOKEN) return;
  spokenAt = Date.now();
  progress.textContent = text;
  progress.hidden = false;
}

function show(found) {
  if (found.standing !== standing) {
    location.reload();
    return;
  }
  if (standing === "preparing" && found.counted !== null) {
    say(`Reading the volume: ${found.counted} files so far …`);
  }
  bar.hidden = found.sending === null;
  if (found.sending) {
    bar.value = found.sending.bytes;
    say(`Sending: ${found.sending.files} of ${files} files …`);
  } else if (wasSending) {
    spokenAt = 0;
    say("Sent. Your browser has the file.");
  }
  wasSending = found.sending !== null;
}

function lookAfter(delay) {
  clearTimeout(timer);
  timer = setTimeout(look, delay);
}

async function look() {
  try {
    const answer = await fetch(address, { headers: { "X-XSRFToken": xsrf } });
    if (answer.ok) show(await answer.json());
  } catch {
    // The service is away for a moment; the next look tells.
  }
  lookAfter(standing === "preparing" || wasSending ? OFTEN : SELDOM);
}

if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(new URL(copy.dataset.link, location.href).href);
    spokenAt = 0;
    say("The link is copied. It is for you alone.");
  });
}
document.querySelector("#eugo-download")?.addEventListener("click", () => {
  wasSending = true;
  lookAfter(OFTEN);
});
if (standing === "preparing" || standing === "ready") lookAfter(OFTEN);
