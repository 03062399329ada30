/**
 * Asks before a form is sent that takes something away for good.
 *
 * A form names its dialog (`data-confirm="ID"`). The browser's own <dialog> keeps the focus inside,
 * closes on Escape and gives the focus back; keeping things is what stands in focus first.
 */

for (const form of document.querySelectorAll("form[data-confirm]")) {
  const dialog = document.getElementById(form.dataset.confirm);
  let submitter = null;
  let agreed = false;
  form.addEventListener("submit", (event) => {
    if (agreed) return;
    event.preventDefault();
    submitter = event.submitter;
    dialog.showModal();
  });
  dialog.querySelector("[value=cancel]").addEventListener("click", () => dialog.close());
  dialog.querySelector("[value=confirm]").addEventListener("click", () => {
    agreed = true;
    dialog.close();
    form.requestSubmit(submitter);
  });
  // A page that comes back from history asks again.
  addEventListener("pageshow", () => (agreed = false));
}
