/**
 * Stops and deletes workspaces through the hub's API, and says what came of it.
 *
 * Forms with data-method name the address; one with data-confirm is asked about first (dialog.js). What is
 * done is a page load away, so that the list is always the server's.
 */

const told = document.querySelector("#eugo-told");

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
  const { doing, body } = form.dataset;
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  tell(`${doing} …`);
  try {
    const answer = await fetch(form.action, {
      method: form.dataset.method,
      headers: {
        "Content-Type": "application/json",
        "X-XSRFToken": form.elements._xsrf.value,
      },
      body: body ?? null,
    });
    if (!answer.ok) throw new Error(await messageOf(answer));
    location.reload();
  } catch (error) {
    button.disabled = false;
    tell(`${doing} did not work: ${error.message}`);
    told.focus();
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !form.dataset.method) return;
  event.preventDefault();
  send(form);
});
