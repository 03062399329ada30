/**
 * What has to change on the spawn form while somebody types.
 *
 * The form works without this module, and nothing is decided here: the server judges whatever is
 * sent. Added are: what an absent word means for the chosen profile, the effective GPUs, slider and
 * Exclusive box in step with the percentage, adding and removing volumes, and the answer of the
 * server's rules to the form as it stands ("Will it start?").
 */

const WHOLE_GPU = 100;
const TONES = { starts: "good", waits: "warn", refused: "danger" };
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
  for (const group of field.querySelectorAll("optgroup")) {
    group.hidden = [...group.children].every((option) => option.hidden);
  }
}

const kinds = () => [...document.querySelectorAll('input[name="kind"]')];
const kindOfProfile = () => kinds().find((kind) => kind.value === "");

/** The same for cards; one that cannot be had here stays in sight, with its reason. */
function limitKinds(offered) {
  for (const kind of kinds()) {
    kind.closest(".eugo-card").hidden =
      kind.value !== "" && !offered.includes(kind.value) && !kind.checked && !kind.disabled;
  }
  const about = byId(kindOfProfile().getAttribute("aria-describedby"));
  const named = kinds().find((kind) => kind.value === offered[0]);
  about.firstElementChild.textContent = named?.labels[0].textContent ?? "Its first editor";
}

function followProfile() {
  const profile = document.querySelector('input[name="profile"]:checked');
  if (profile === null || profile.dataset.flavors === undefined) return;
  limit(byId("eugo-flavor"), profile.dataset.flavors.split(" "));
  limit(byId("eugo-image"), profile.dataset.images.split(" "));
  limitKinds(profile.dataset.kinds.split(" "));
}

/** A profile's own choices do not carry over to another profile that lacks them. */
function forgetForeign() {
  const profile = document.querySelector('input[name="profile"]:checked');
  for (const [id, offered] of [
    ["eugo-flavor", profile.dataset.flavors],
    ["eugo-image", profile.dataset.images],
  ]) {
    const field = byId(id);
    if (offered !== undefined && !offered.split(" ").includes(field.value)) field.value = "";
  }
  const offered = profile.dataset.kinds?.split(" ") ?? [];
  if (kinds().some((kind) => kind.checked && kind.value !== "" && !offered.includes(kind.value))) {
    kindOfProfile().checked = true;
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
  // Whole hundredths, so that no binary fraction is shown.
  const figure = (total) => `${Math.floor(total / 100)}.${String(total % 100).padStart(2, "0")}`;
  const models = [...document.querySelectorAll('input[name="gpu_model"]')];
  const key = models.find((model) => model.checked)?.value || absent.gpuModel;
  const isWhole = models.find((model) => model.value === key)?.dataset.charge === "whole";
  const more = isWhole && percent < WHOLE_GPU ? `, charged ${figure(count * WHOLE_GPU)}` : "";
  return `Effective GPUs: ${count} x ${percent} % = ${figure(count * percent)}${more}`;
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
  const slider = byId("eugo-sm_slider");
  let before = percent.value;
  const follow = () => {
    exclusive.checked = Number(percent.value) === WHOLE_GPU;
    slider.value = percent.value === "" ? String(WHOLE_GPU) : percent.value;
    slider.setAttribute("aria-valuetext", `${slider.value} %`);
  };
  percent.addEventListener("input", follow);
  percent.addEventListener("change", follow);
  slider.hidden = false;
  slider.addEventListener("input", () => {
    percent.value = slider.value;
    follow();
  });
  exclusive.addEventListener("change", () => {
    if (exclusive.checked) {
      before = Number(percent.value) === WHOLE_GPU ? "" : percent.value;
      percent.value = String(WHOLE_GPU);
    } else {
      percent.value = before;
    }
    follow();
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
  function append(claim = "", path = "") {
    list.append(byId("eugo-volume-row").content.cloneNode(true));
    number();
    const row = rows().at(-1);
    row.querySelector(".eugo-volume-remove").hidden = false;
    [claim, path].forEach((value, index) => (inputs(row)[index].value = value));
    return row;
  }

  add.addEventListener("click", () => append().querySelector("input").focus());

  for (const row of rows()) {
    if (inputs(row).every((input) => input.value === "")) row.remove();
    else row.querySelector(".eugo-volume-remove").hidden = false;
  }
  add.hidden = false;
  number();
  return (claims, paths) => {
    rows().forEach((row) => row.remove());
    claims.forEach((claim, index) => append(claim, paths[index] ?? ""));
    number();
  };
}

/** Fill the form with words: an absent one empties its field. Volumes are replaced as a whole. */
function applyWords(fields, setVolumes) {
  const one = (name) => fields[name]?.[0] ?? "";
  for (const field of byId("spawn_form").elements) {
    if (!field.id.startsWith("eugo-") || field.name === "" || field.name.startsWith("volume_")) continue;
    if (field.type === "radio") field.checked = field.value === one(field.name);
    else if (field.type === "checkbox") field.checked = one(field.name) === "true";
    else if (field.type !== "submit") field.value = one(field.name);
  }
  setVolumes(fields.volume_claim ?? [], fields.volume_path ?? []);
}

const ASK_AFTER_MS = 250; // a pause in typing
const SPEAK_AFTER_MS = 1200; // and a longer one before anything is read out

/** Ask the server's rules about the form as it stands, and show what they say. */
function preflight(setVolumes) {
  const form = byId("spawn_form");
  const url = byId("eugo-form").dataset.preflight;
  const panel = byId("eugo-preflight");
  if (form === null || panel === null || url === "") return () => {};
  let asking;
  let waiting;
  let speaking;
  let nearest = null;

  const line = (tag, text) => {
    const element = document.createElement(tag);
    element.textContent = text;
    return element;
  };
  const pair = (label, value) => {
    const row = document.createElement("div");
    row.append(line("dt", label), line("dd", value));
    return row;
  };

  function refusal({ word, label, sentence, who }) {
    const item = document.createElement("li");
    const field = word === "volumes" ? "volume_claim-1" : word;
    if (label !== "" && byId(`eugo-${field}`) !== null) {
      const link = line("a", label);
      link.href = `#eugo-${field}`;
      item.append(link, ": ");
    }
    item.append(sentence);
    if (who !== "you") item.append(" ", line("span", `This can be changed by ${who}.`));
    return item;
  }

  function showOutcome(outcome) {
    panel.dataset.outcome = outcome;
    panel.querySelector(".eugo-badge").dataset.tone = TONES[outcome] ?? "neutral";
  }

  function show(answer) {
    showOutcome(answer.outcome);
    byId("eugo-missing")?.toggleAttribute("hidden", answer.outcome !== "refused");
    byId("eugo-preflight-title").textContent = answer.title;
    byId("eugo-preflight-sentence").textContent = answer.sentence;
    byId("eugo-preflight-facts").replaceChildren(...answer.facts.map((fact) => pair(fact.label, fact.value)));
    byId("eugo-preflight-refusals").replaceChildren(...answer.refusals.map(refusal));
    nearest = answer.nearest;
    const changes = answer.changes.map(({ label, before, after }) => pair(label, `${after}, instead of ${before}`));
    byId("eugo-preflight-changes").replaceChildren(...changes);
    byId("eugo-preflight-offer").hidden = nearest === null || changes.length === 0;
    clearTimeout(speaking);
    speaking = setTimeout(() => {
      const reasons = answer.refusals.map((each) => each.sentence);
      byId("eugo-preflight-spoken").textContent = [answer.title, answer.sentence, ...reasons].join(". ");
    }, SPEAK_AFTER_MS);
  }

  async function ask() {
    asking?.abort();
    asking = new AbortController();
    try {
      const answer = await fetch(url, {
        method: "POST",
        body: new URLSearchParams(new FormData(form)),
        signal: asking.signal,
      });
      if (!answer.ok) throw new Error(String(answer.status));
      show(await answer.json());
    } catch (error) {
      if (error.name === "AbortError") return; // the form has changed again
      showOutcome("unknown");
      byId("eugo-preflight-title").textContent = "Not known";
      byId("eugo-preflight-sentence").textContent =
        "The hub does not answer at the moment. What you chose is judged when you press Start.";
      byId("eugo-preflight-facts").replaceChildren();
      byId("eugo-preflight-refusals").replaceChildren();
      byId("eugo-preflight-offer").hidden = true;
    }
  }

  const askSoon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, ASK_AFTER_MS);
  };
  byId("eugo-preflight-apply").addEventListener("click", () => {
    applyWords(nearest, setVolumes);
    refresh();
    byId("eugo-start").focus();
    ask();
  });
  form.addEventListener("input", askSoon);
  form.addEventListener("change", askSoon);
  byId("eugo-volumes").addEventListener("click", askSoon);
  ask(); // what the page showed may be minutes old when somebody comes back to it
  return ask;
}

/** What is chosen, as a query that prefills the form. */
function selection() {
  const words = new URLSearchParams();
  for (const [name, value] of new FormData(byId("spawn_form"))) {
    if (!name.startsWith("_") && value !== "") words.append(name, value);
  }
  return words;
}

/** Another project offers other things: the page is asked for again, with all that was chosen. */
function keepWordsBetweenProjects() {
  byId("eugo-projects")?.addEventListener("click", (event) => {
    if (event.target.tagName !== "A") return;
    event.preventDefault();
    const words = selection();
    words.set("project", new URL(event.target.href).searchParams.get("project"));
    location.search = words.toString();
  });
}

/** A link that prefills this selection for whoever opens it, and starts nothing. */
function copyLink() {
  const button = byId("eugo-copy");
  if (!navigator.clipboard) return;
  button.hidden = false;
  const text = byId("eugo-copy-text");
  const label = text.textContent;
  button.addEventListener("click", async () => {
    const link = new URL(location.pathname, location.origin);
    link.search = selection().toString();
    await navigator.clipboard.writeText(link.href);
    text.textContent = "Copied";
    byId("eugo-preflight-spoken").textContent = "The link was copied.";
    setTimeout(() => (text.textContent = label), 2000);
  });
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

function refresh() {
  followProfile();
  showAbsent();
  showEffective();
  byId("eugo-sm_percent").dispatchEvent(new Event("change"));
}

keepExclusiveInStep();
const setVolumes = editVolumes();
submitOnce();
refresh();
preflight(setVolumes);
copyLink();
keepWordsBetweenProjects();
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
