/**
 * Asks before a form is sent that takes something away for good.
 *
 * A form names its dialog (`data-confirm="ID"`). The browser's own <dialog> keeps the focus inside,
 * closes on Escape and gives the focus back; keeping things is what stands in focus first. Where a word
 * must be typed, the button can be pressed once it is, and the form's field `confirmation` takes it.
 * Forms may come later than this script, so it listens to all of the page.
 */

const agreed = new WeakSet();
let asked = { form: null, submitter: null };

function wordOf(dialog) {
  return dialog.querySelector("[data-word]");
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm || agreed.has(form)) {
    agreed.delete(form);
    return;
  }
  const dialog = document.getElementById(form.dataset.confirm);
  event.preventDefault();
  asked = { form, submitter: event.submitter };
  const word = wordOf(dialog);
  if (word) {
    word.value = "";
    dialog.querySelector("[value=confirm]").disabled = true;
  }
  dialog.showModal();
}, { capture: true });

document.addEventListener("input", (event) => {
  const { word } = event.target.dataset;
  if (!word) return;
  event.target.closest("dialog").querySelector("[value=confirm]").disabled = event.target.value !== word;
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("dialog button");
  const dialog = button?.closest("dialog.eugo-dialog");
  if (!dialog || !asked.form) return;
  if (button.value === "cancel") {
    dialog.close();
  } else if (button.value === "confirm") {
    const { form, submitter } = asked;
    const word = wordOf(dialog);
    if (word && form.elements.confirmation) form.elements.confirmation.value = word.value;
    agreed.add(form);
    dialog.close();
    form.requestSubmit(submitter);
  }
});
