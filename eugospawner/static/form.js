/**
 * What has to change on the spawn form while somebody types.
 *
 * The form works without this module, and nothing is decided here: the server judges whatever is
 * sent. Added are: what an absent word means for the chosen profile, the effective GPUs, the
 * Exclusive box in step with the percentage, and adding and removing volumes.
 */

const WHOLE_GPU = 100;
const SPOKEN_AFTER_MS = 700; // long enough for a number to be typed

const byId = (id) => document.getElementById(id);

/** What the chosen profile and flavor say where a field is empty. */
function absentWords() {
  const profile = document.querySelector('input[name="profile"]:checked');
  const flavorField = byId("eugo-flavor");
  const key = flavorField.value || (profile?.dataset.flavors ?? "").split(" ")[0];
  const flavor = [...flavorField.options].find((option) => option.value === key && key !== "");
  return {
    cpu: flavor?.dataset.cpu ?? "",
    memory: flavor?.dataset.memory ?? "",
    gpuModel: flavor?.dataset.gpuModel ?? "",
    gpuCount: flavor?.dataset.gpuCount ?? "",
  };
}

/** Leave only those options of a select open that the profile offers; a chosen one stays. */
function limit(field, offered) {
  for (const option of field.options) {
    const off = option.value !== "" && !offered.includes(option.value) && !option.selected;
    option.disabled = off;
    option.hidden = off;
  }
}

function followProfile() {
  const profile = document.querySelector('input[name="profile"]:checked');
  if (profile === null || profile.dataset.flavors === undefined) return;
  limit(byId("eugo-flavor"), profile.dataset.flavors.split(" "));
  limit(byId("eugo-image"), profile.dataset.images.split(" "));
  limit(byId("eugo-kind"), profile.dataset.kinds.split(" "));
}

/** A profile's own choices do not carry over to another profile that lacks them. */
function forgetForeign() {
  const profile = document.querySelector('input[name="profile"]:checked');
  for (const [id, offered] of [
    ["eugo-flavor", profile.dataset.flavors],
    ["eugo-image", profile.dataset.images],
    ["eugo-kind", profile.dataset.kinds],
  ]) {
    const field = byId(id);
    if (offered !== undefined && !offered.split(" ").includes(field.value)) field.value = "";
  }
}

function showAbsent() {
  const absent = absentWords();
  byId("eugo-cpu").placeholder = absent.cpu || "As the flavor";
  byId("eugo-memory").placeholder = absent.memory || "As the flavor";
  byId("eugo-gpu_count").placeholder = absent.gpuCount || "As the flavor";
  const model = document.querySelector('input[name="gpu_model"][value=""]');
  const about = model && byId(model.getAttribute("aria-describedby"));
  if (about) about.firstElementChild.textContent = absent.gpuModel || (absent.gpuCount === "0" ? "No GPU" : "Its model, or none");
}

/** Whoever picks a model wants a GPU; the number that is missing is written where it is seen. */
function countPickedModel(model) {
  const count = byId("eugo-gpu_count");
  if (model !== "" && count.value === "" && absentWords().gpuCount === "0") count.value = "1";
}

/** "Effective GPUs: 2 x 25 % = 0.50", or why there is none. */
function effectiveGpus() {
  const absent = absentWords();
  const countText = byId("eugo-gpu_count").value || absent.gpuCount;
  const percentText = byId("eugo-sm_percent").value || String(WHOLE_GPU);
  if (!/^\d{1,6}$/.test(countText) || !/^\d{1,6}$/.test(percentText)) return "";
  const [count, percent] = [Number(countText), Number(percentText)];
  if (count === 0) return "No GPU";
  const total = count * percent; // whole hundredths, so that no binary fraction is shown
  const figure = `${Math.floor(total / 100)}.${String(total % 100).padStart(2, "0")}`;
  return `Effective GPUs: ${count} x ${percent} % = ${figure}`;
}

let speaking;
function showEffective() {
  const figure = byId("eugo-effective");
  const text = effectiveGpus();
  if (figure.textContent.trim() === text) return;
  figure.textContent = text;
  clearTimeout(speaking);
  speaking = setTimeout(() => (byId("eugo-spoken").textContent = text), SPOKEN_AFTER_MS);
}

function keepExclusiveInStep() {
  const percent = byId("eugo-sm_percent");
  const exclusive = byId("eugo-exclusive");
  // From here on the number alone is sent; the box is another way to write it.
  exclusive.removeAttribute("name");
  byId("eugo-exclusive-help").textContent = "Nobody else on the same GPU.";
  let before = percent.value;
  const follow = () => (exclusive.checked = Number(percent.value) === WHOLE_GPU);
  percent.addEventListener("input", follow);
  exclusive.addEventListener("change", () => {
    if (exclusive.checked) {
      before = Number(percent.value) === WHOLE_GPU ? "" : percent.value;
      percent.value = String(WHOLE_GPU);
    } else {
      percent.value = before;
    }
    showEffective();
  });
  follow();
}

function editVolumes() {
  const list = byId("eugo-volumes");
  const add = byId("eugo-volume-add");
  const most = Number(list.dataset.most);
  const rows = () => [...list.querySelectorAll(".eugo-volume")];
  const inputs = (row) => [...row.querySelectorAll("input")];

  function number() {
    rows().forEach((row, index) => {
      for (const shown of row.querySelectorAll(".eugo-volume-number")) {
        shown.textContent = String(index + 1);
      }
      for (const input of inputs(row)) {
        input.id = `eugo-${input.name}-${index + 1}`;
        input.closest(".eugo-field").querySelector("label").htmlFor = input.id;
      }
    });
    add.disabled = rows().length >= most;
  }

  list.addEventListener("click", (event) => {
    const button = event.target.closest(".eugo-volume-remove");
    if (button === null) return;
    const row = button.closest(".eugo-volume");
    const neighbour = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    number();
    (neighbour?.querySelector("input") ?? add).focus();
  });
  add.addEventListener("click", () => {
    list.append(byId("eugo-volume-row").content.cloneNode(true));
    number();
    const row = rows().at(-1);
    row.querySelector(".eugo-volume-remove").hidden = false;
    row.querySelector("input").focus();
  });

  for (const row of rows()) {
    if (inputs(row).every((input) => input.value === "")) row.remove();
    else row.querySelector(".eugo-volume-remove").hidden = false;
  }
  add.hidden = false;
  number();
}

/** One press starts one workspace; going back in history makes the button work again. */
function submitOnce() {
  const start = byId("eugo-start");
  if (start === null) return;
  const label = start.textContent;
  const forms = ["spawn_form", "eugo-nearest"].map(byId).filter(Boolean);
  let sent = false;
  for (const form of forms) {
    form.addEventListener("submit", (event) => {
      if (sent) event.preventDefault();
      sent = true;
      start.textContent = "Starting…";
      start.setAttribute("aria-disabled", "true");
    });
  }
  addEventListener("pageshow", () => {
    sent = false;
    start.textContent = label;
    start.removeAttribute("aria-disabled");
  });
}

followProfile();
showAbsent();
keepExclusiveInStep();
editVolumes();
submitOnce();
showEffective();
byId("eugo-form").addEventListener("input", showEffective);
byId("eugo-form").addEventListener("change", (event) => {
  if (event.target.name === "profile") forgetForeign();
  if (event.target.name === "gpu_model") {
    countPickedModel(event.target.value);
    showEffective();
  }
  if (["profile", "flavor"].includes(event.target.name)) {
    followProfile();
    showAbsent();
    showEffective();
  }
});
byId("eugo-errors")?.focus();
