// The page of the query app: it shows what Python says, and tells Python what was asked.
// No build step, no framework, nothing from elsewhere. All that comes from outside is
// set as text, never as markup.

const PIECE = 1_000_000; // bytes of an upload in one message
const BUSY = 150, SLOW = 3000, LATE = 12000; // milliseconds
const NARROW = 600; // pixels: a phone, where results should not be far below
const FIRST_LABELS = 12;
const FOCUSED = new Set(["button", "input", "select", "summary"]);

/** Make an element: properties, then children; `aria-…`, `data-…` and so on as they are. */
function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  // JupyterLab's shortcuts, such as "b" for a new cell, look at what has the focus.
  if (FOCUSED.has(tag) || "tabIndex" in properties) {
    element.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function render({ model, el }) {
  let calls = 0; // a name for each thing that was asked
  const me = Math.random().toString(36).slice(2);
  const waiting = new Map(); // by that name, what to do when it is done
  let urls = [], timers = [];

  // --- Talking to Python ---------------------------------------------------------

  function ask(act, values = {}, buffers = []) {
    const call = `${me}-${++calls}`;
    if (!waiting.size) showBusy();
    return new Promise((resolve) => {
      waiting.set(call, resolve);
      model.send({ act, values, call }, undefined, buffers);
    });
  }

  function onMessage(content) {
    const resolve = waiting.get(content.done);
    if (!resolve) return;
    waiting.delete(content.done);
    if (!waiting.size) showIdle();
    resolve();
  }

  function showBusy() {
    timers = [
      setTimeout(() => {
        root.setAttribute("aria-busy", "true");
        busy.replaceChildren(h("span", { className: "lookalike-spinner" }), "Searching …");
      }, BUSY),
      setTimeout(() => {
        busy.lastChild.data =
          "Still searching. The first picture takes longest: it wakes the network. " +
          "If another cell runs, this one waits for it.";
      }, SLOW),
      setTimeout(() => {
        // A kernel that is gone does not say so.
        busy.lastChild.data =
          "No answer yet. Either the kernel is busy with another cell, or it has stopped: " +
          "then run the cells again, or load the page again if it shows no cells.";
      }, LATE),
    ];
  }

  function showIdle() {
    timers.forEach(clearTimeout);
    root.setAttribute("aria-busy", "false");
    busy.replaceChildren();
  }

  async function upload(files, name) {
    const file = files[0];
    if (!file) return;
    const { max_bytes, formats } = model.get("offers");
    const said = name || file.name;
    if (file.size > max_bytes) return fail(`${said} is too large: choose ${formats}.`);
    for (let start = 0; start === 0 || start < file.size; start += PIECE) {
      const piece = await file.slice(start, start + PIECE).arrayBuffer();
      const values = { name: said, size: file.size, start, files: files.length };
      await ask("upload", values, [piece]);
    }
  }

  function fail(text) {
    alert.textContent = text;
    status.hidden = true;
  }

  // --- The page's parts ----------------------------------------------------------

  const busy = h("div", { className: "lookalike-busy" });
  const status = h("div", { role: "status", className: "lookalike-status" });
  const alert = h("div", { role: "alert", className: "lookalike-alert" });
  const about = h("p", { className: "lookalike-about" });
  const file = h("input", {
    type: "file", accept: "image/*", hidden: true, tabIndex: -1, "aria-hidden": "true",
    onchange: () => { upload([...file.files]); file.value = ""; },
  });
  const camera = h("input", {
    type: "file", accept: "image/*", capture: "environment", hidden: true,
    onchange: () => { upload([...camera.files]); camera.value = ""; },
  });
  const hint = h("span", { className: "lookalike-small" });
  const drop = h("button", {
    type: "button", className: "lookalike-drop", onclick: () => file.click(),
  }, h("b", {}, "Choose a picture"), h("span", {}, "or drop or paste one here"), hint);
  const shoot = h("button", {
    type: "button", className: "lookalike-camera", onclick: () => camera.click(),
  }, "Take a photo");
  const samples = h("div", { className: "lookalike-samples" });
  const desk = h("div", { className: "lookalike-desk" });
  const path = h("input", { type: "text", placeholder: "images/mug/mug_0_5.jpg" });
  const pathForm = h("form", {
    className: "lookalike-line",
    onsubmit: (event) => { event.preventDefault(); ask("ask_path", { path: path.value }); },
  }, h("label", {}, "or its path", path), h("button", { type: "submit" }, "Open"));
  const words = h("input", { type: "text", placeholder: "a red one" });
  const wordsForm = h("form", {
    className: "lookalike-line",
    onsubmit: (event) => { event.preventDefault(); ask("choose", { words: words.value }); },
  }, h("label", {}, "What it should show, in words", words),
    h("button", { type: "submit", "aria-label": "Search with these words" }, "Search"));
  const weightSaid = h("span"); // no output: a label would name that, and not the slider
  const weight = h("input", {
    type: "range", min: 0, max: 1, step: 0.05,
    oninput: () => { weightSaid.textContent = percent(weight.value); },
    onchange: () => ask("choose", { weight: Number(weight.value) }),
  });
  const weightLine = h("label", {}, h("span", {}, "Share of the words ", weightSaid), weight);
  const number = (name) => h("input", {
    type: "number", min: 1, onchange: (event) => {
      ask("choose", { [name]: Number(event.target.value) || 1 }).then(showHow);
    },
  });
  const select = (name) => h("select", {
    onchange: (event) => ask("choose", { [name]: event.target.value }),
  });
  const k = number("k"), nprobe = number("nprobe");
  const index = select("index"), metric = select("metric");
  const fold = h("input", {
    type: "checkbox", onchange: () => ask("choose", { fold: fold.checked }),
  });
  const nprobeLine = h("label", {}, "Cells to look into (nprobe)", nprobe);
  const how = h("details", { className: "lookalike-fold" },
    h("summary", {}, "How to search"),
    h("label", {}, "How many (k)", k), h("label", {}, "Index", index), nprobeLine,
    h("label", {}, "Score", metric),
    h("label", { className: "lookalike-check" }, fold, "Show near-duplicates as one"));
  const labelSearch = h("input", {
    type: "search", placeholder: "Find a label", "aria-label": "Find a label",
    oninput: showLabels,
  });
  const chips = h("div", { className: "lookalike-chips", role: "group", "aria-label": "Labels" });
  const labelsSummary = h("summary");
  const labels = h("details", { className: "lookalike-fold" }, labelsSummary, labelSearch, chips);
  const trailList = h("ol", { className: "lookalike-trail" });
  const back = h("button", { type: "button", onclick: () => ask("go_back") }, "Back");
  const trail = h("section", { "aria-label": "Your searches" },
    h("h3", {}, "Your searches"), h("div", { className: "lookalike-line" }, back, trailList));
  const refinement = h("div", { className: "lookalike-refinement" });
  const heading = h("h3", { tabIndex: -1 }, "Results");
  const scale = h("p", { className: "lookalike-small" });
  const cards = h("ol", { className: "lookalike-cards" });
  const missedCards = h("ol", { className: "lookalike-cards" });
  const missed = h("section", { className: "lookalike-missed" },
    h("h3", {}, "Missed by the index"),
    h("p", { className: "lookalike-small" },
      "These are nearer than the last result, but the index did not look where they are."),
    missedCards);
  const restSummary = h("summary", {}, "Another picture or other settings");
  const rest = h("details", { className: "lookalike-rest", open: true }, restSummary,
    h("div", {}, drop, shoot, file, camera, samples, pathForm, wordsForm, weightLine, how, labels));
  const root = h("div", {
    className: "lookalike", "aria-busy": "false", "data-lm-suppress-shortcuts": "true",
  }, h("div", { className: "lookalike-layout" },
    h("section", { className: "lookalike-query", "aria-label": "The query" },
      about, desk, rest),
    h("section", { className: "lookalike-found", "aria-label": "What was found" },
      status, alert, busy, refinement,
      h("div", { className: "lookalike-head" }, heading, scale), cards, missed, trail)));

  const percent = (value) => `${Math.round(100 * value)} %`;

  function image(bytes, alt) {
    if (!bytes) return h("span", { className: "lookalike-none", role: "img", "aria-label": alt }, "can't be shown");
    const url = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    urls.push(url);
    return h("img", { src: url, alt, draggable: false });
  }

  /** Put elements in place of others; the keyboard's focus stays where it was. */
  function fill(parent, elements) {
    const active = document.activeElement;
    const key = parent.contains(active) && active.dataset.key;
    const at = key && [...parent.querySelectorAll("[data-key]")].indexOf(active);
    parent.querySelectorAll("img").forEach((picture) => {
      URL.revokeObjectURL(picture.src);
      urls = urls.filter((url) => url !== picture.src);
    });
    parent.replaceChildren(...elements);
    if (!key) return;
    const all = [...parent.querySelectorAll("[data-key]")];
    const next = all.find((one) => one.dataset.key === key) || all[at] || heading;
    next.focus({ preventScroll: true });
  }

  // --- Showing what Python says --------------------------------------------------

  function showOffers() {
    const offers = model.get("offers");
    about.textContent = offers.about;
    hint.textContent = offers.formats;
    pathForm.hidden = !offers.paths;
    wordsForm.hidden = !offers.words;
    k.max = offers.max_k;
    nprobe.max = offers.cells;
    fill(samples, offers.samples.map(({ name, picture }, position) => h("button", {
      type: "button", title: name, "aria-label": `Search with the sample ${name}`,
      "data-key": `sample${position}`, onclick: () => ask("ask_sample", { position }),
    }, image(picture, ""))));
    index.replaceChildren(...Object.entries(offers.indexes).map(
      ([value, text]) => h("option", { value }, text)));
    metric.replaceChildren(...offers.metrics.map((value) => h("option", { value }, value)));
    labels.hidden = offers.labels.length < 2;
    labelSearch.hidden = offers.labels.length <= FIRST_LABELS;
    showLabels();
    showHow();
  }

  function showHow() {
    const now = model.get("how");
    k.value = now.k;
    nprobe.value = now.nprobe;
    index.value = now.index;
    metric.value = now.metric;
    fold.checked = now.fold;
    words.value = now.words;
    weight.value = now.weight;
    weightSaid.textContent = percent(now.weight);
    nprobeLine.hidden = now.index !== "IVF";
    showWeight();
    scale.textContent = model.get("offers").scales[now.metric];
    showLabels();
  }

  function showWeight() {
    weightLine.hidden = !(model.get("how").words && model.get("query").is_picture);
  }

  function showLabels() {
    const all = model.get("offers").labels, chosen = model.get("how").labels || [];
    const typed = labelSearch.value.trim().toLowerCase();
    labelsSummary.textContent = chosen.length ? `Only: ${chosen.join(", ")}` : "Any label";
    const shown = all.filter(({ name }) => name.toLowerCase().includes(typed));
    const parts = shown.map(({ name, count }) => h("button", {
      type: "button", className: "lookalike-chip", "data-key": `label${name}`,
      "aria-pressed": String(chosen.includes(name)),
      onclick: () => ask("choose", {
        labels: chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name],
      }),
    }, h("bdi", {}, name), h("small", {}, ` ${count}`)));
    if (chosen.length) parts.unshift(noFilter("nofilter"));
    if (!parts.length) parts.push(h("span", { className: "lookalike-small" }, "No such label."));
    fill(chips, parts);
  }

  const noFilter = (key) => h("button", {
    type: "button", className: "lookalike-chip", "data-key": key,
    onclick: () => ask("choose", { labels: [] }),
  }, "Clear the filter");

  function showStatus() {
    const { text, failed } = model.get("status");
    status.textContent = failed ? "" : text;
    status.hidden = failed;
    const keeps = model.get("cards").length ? " The results below are those of before." : "";
    const stop = /[.!?…]$/.test(text) ? "" : ".";
    alert.textContent = failed ? text + stop + keeps : "";
  }

  function showCards() {
    const found = model.get("cards"), lost = model.get("missed"), query = model.get("query");
    const none = h("li", { className: "lookalike-empty" },
      "No picture fits.", (model.get("how").labels || []).length ? noFilter("clear") : null);
    fill(cards, found.length || !query.said ? found.map((hit) => card(hit)) : [none]);
    fill(missedCards, lost.map((hit) => card(hit, "missed, ")));
    missed.hidden = !lost.length;
    heading.parentElement.hidden = !query.said;
    trail.hidden = !query.said;
  }

  function card(hit, before = "") {
    const what = `${hit.label}, ${hit.name}`;
    const mark = (act, pressed, sign, words) => h("button", {
      type: "button", "aria-pressed": String(pressed), "data-key": `${act}${hit.id}`,
      title: words, "aria-label": `${words}: ${what}`,
      onclick: () => ask(pressed ? "unmark" : act, { id: hit.id }),
    }, sign);
    return h("li", { className: "lookalike-card" },
      h("button", {
        type: "button", className: "lookalike-picture", "data-key": `picture${hit.id}`,
        title: "Search with this picture", "aria-label": `Search with ${hit.alt}, ${hit.name}`,
        onclick: () => ask("ask_id", { id: hit.id }),
      }, image(hit.picture, hit.alt)),
      h("div", { className: "lookalike-caption" },
        h("b", { dir: "auto", title: hit.label, className: hit.has_label ? "" : "lookalike-dim" }, hit.label),
        h("span", { className: "lookalike-score" }, hit.score)),
      h("div", { className: "lookalike-bar", "aria-hidden": "true" },
        h("span", { style: `width:${100 * hit.share}%` })),
      h("div", { className: "lookalike-caption lookalike-small" },
        h("span", { title: hit.name, className: "lookalike-cut" }, `${before}rank ${hit.rank} · ${hit.name}`)),
      h("div", { className: "lookalike-marks" },
        mark("like", hit.mark > 0, "+", "More like this"),
        mark("dislike", hit.mark < 0, "−", "Less like this")),
      hit.folded.length ? h("details", { className: "lookalike-more" },
        h("summary", {}, `+${hit.folded.length} nearly the same`),
        h("ol", { className: "lookalike-cards" }, ...hit.folded.map((one) => card(one)))) : null);
  }

  /** On a phone fold what comes before the results, when there are some. */
  function foldRest(isNew) {
    const folds = Boolean(model.get("query").said) && root.clientWidth < NARROW;
    if (folds && !isNew && !restSummary.hidden) return; // open or not, as it was left
    const hadFocus = folds && rest.contains(document.activeElement);
    restSummary.hidden = !folds;
    rest.open = !folds;
    if (!hadFocus) return;
    heading.parentElement.hidden = false; // what is hidden takes no focus
    heading.focus();
  }

  let shown;
  function showQuery() {
    const query = model.get("query");
    root.classList.toggle("lookalike-started", Boolean(query.said));
    const asked = `${query.name} ${model.get("how").words}`;
    foldRest(asked !== shown);
    shown = asked;
    showWeight();
    showDesk(query);
    fill(refinement, query.formula ? [
      h("span", { className: "lookalike-formula" }, query.formula),
      ...query.liked.map((one) => marked(one, "+", "like")),
      ...query.disliked.map((one) => marked(one, "−", "unlike")),
      ...undoButtons(query)] : undoButtons(query));
  }

  const undoButtons = (query) => [
    query.can_undo ? h("button", { type: "button", "data-key": "undo", onclick: () => ask("undo") }, "Undo") : null,
    query.formula || query.box ? h("button", { type: "button", "data-key": "clear", onclick: () => ask("clear") }, "Clear") : null,
  ].filter(Boolean);

  const marked = ({ id, label, picture }, sign, word) => h("button", {
    type: "button", className: "lookalike-marked", "data-key": `marked${id}`,
    "aria-label": `Forget this ${word}: ${label}`, title: `Forget this ${word}: ${label}`,
    onclick: () => ask("unmark", { id }),
  }, image(picture, ""), sign);

  function showDesk(query) {
    if (!query.said) return fill(desk, []);
    const parts = [h("h3", {}, "Query")];
    if (query.is_picture) parts.push(cropper(query));
    parts.push(h("p", { className: "lookalike-said", dir: "auto" }, query.said));
    if (query.is_picture) parts.push(h("div", { className: "lookalike-line" },
      query.box
        ? h("button", { type: "button", "data-key": "part", onclick: () => ask("crop", { box: null }) }, "Search the whole picture")
        : h("button", { type: "button", "data-key": "part", onclick: () => ask("crop", { box: [0.2, 0.2, 0.8, 0.8] }) }, "Search for a part"),
      model.get("how").words ? h("button", { type: "button", "data-key": "alone", onclick: () => ask("ask_words", { words: words.value }) }, "Words alone") : null));
    if (query.can_remember) parts.push(rememberForm());
    fill(desk, parts);
  }

  function rememberForm() {
    const label = h("input", { type: "text", maxLength: 40, placeholder: "what it is" });
    return h("details", { className: "lookalike-fold" },
      h("summary", { "data-key": "remember" }, "Add this picture to the collection"),
      h("form", {
        className: "lookalike-line",
        onsubmit: (event) => { event.preventDefault(); ask("remember_picture", { label: label.value }); },
      }, h("label", {}, "Its label", label), h("button", { type: "submit" }, "Add")));
  }

  /** The query with a frame around the part to search for: drag, or use the arrow keys. */
  function cropper(query) {
    let box = query.box, from = null, timer = null;
    const frame = h("div", {
      className: "lookalike-frame", role: "application", tabIndex: 0, "data-key": "frame",
      "aria-roledescription": "frame",
      onkeydown: (event) => {
        const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] || [0, 0];
        if (event.key === "Escape") return ask("crop", { box: null });
        if (event.key === "Enter") return send();
        if (!dx && !dy) return;
        event.preventDefault();
        const [left, top, right, bottom] = box, step = 0.02;
        if (event.shiftKey) {
          box = [left, top, Math.min(1, Math.max(left + 0.05, right + step * dx)), Math.min(1, Math.max(top + 0.05, bottom + step * dy))];
        } else {
          const x = Math.min(1 - right, Math.max(-left, step * dx)), y = Math.min(1 - bottom, Math.max(-top, step * dy));
          box = [left + x, top + y, right + x, bottom + y];
        }
        place();
        clearTimeout(timer);
        timer = setTimeout(send, 700);
      },
    });
    const stage = h("div", {
      className: "lookalike-stage",
      onpointerdown: (event) => {
        if (event.button || (event.pointerType === "touch" && !box)) return;
        from = at(event);
        stage.setPointerCapture(event.pointerId);
      },
      onpointermove: (event) => {
        if (!from) return;
        const to = at(event);
        box = [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
        place();
      },
      onpointerup: () => {
        if (!from) return;
        from = null;
        const isClick = !box || box === query.box || box[2] - box[0] < 0.03 || box[3] - box[1] < 0.03;
        if (isClick) { box = query.box; place(); } else send();
      },
      onpointercancel: () => { from = null; box = query.box; place(); },
    }, image(query.picture, `The query, ${query.name}`), frame);
    const send = () => { clearTimeout(timer); ask("crop", { box: box.map((x) => Math.min(1, Math.max(0, Number(x.toFixed(4))))) }); };
    const at = (event) => {
      const area = stage.getBoundingClientRect();
      return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height].map((x) => Math.min(1, Math.max(0, x)));
    };
    const place = () => {
      frame.hidden = !box;
      stage.classList.toggle("lookalike-cropped", Boolean(box));
      if (!box) return;
      const [left, top, right, bottom] = box.map((x) => 100 * x);
      Object.assign(frame.style, { left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%` });
      frame.setAttribute("aria-label", `The part to search for: ${Math.round(left)} to ${Math.round(right)} % across, ${Math.round(top)} to ${Math.round(bottom)} % down. Arrow keys move it, with Shift they change its size, Escape searches the whole picture.`);
    };
    place();
    return stage;
  }

  function showTrail() {
    const { at, items } = model.get("trail");
    if (!items) return;
    back.disabled = at < 1;
    fill(trailList, items.map((item, position) => {
      const more = (item.box ? ", a part" : "") + (item.marks ? ", refined" : "");
      return h("li", {}, h("button", {
        type: "button", "data-key": `trail${position}`, title: item.name + more,
        "aria-current": position === at ? "true" : null,
        "aria-label": `Search ${position + 1}: ${item.name}${more}`,
        onclick: () => ask("return_to", { position }),
      }, item.is_picture ? image(item.picture, "") : h("span", { className: "lookalike-words" }, item.name)));
    }));
  }

  // JupyterLab keeps Enter from sending a form.
  root.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !event.target.matches("form input")) return;
    event.preventDefault();
    event.stopPropagation();
    event.target.form.requestSubmit();
  });

  // --- Dropping and pasting ------------------------------------------------------

  const pictures = (data) => [...(data?.files || [])];
  root.addEventListener("dragover", (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    root.classList.add("lookalike-over");
  });
  root.addEventListener("dragleave", (event) => {
    if (!root.contains(event.relatedTarget)) root.classList.remove("lookalike-over");
  });
  root.addEventListener("drop", (event) => {
    root.classList.remove("lookalike-over");
    const files = pictures(event.dataTransfer);
    if (!files.length) return;
    event.preventDefault();
    event.stopPropagation();
    upload(files);
  });
  function onPaste(event) {
    const active = document.activeElement;
    const writes = active?.matches?.("input, textarea, [contenteditable=true]");
    if (!root.contains(active) && (writes || !root.matches(":hover"))) return;
    const files = pictures(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    event.stopPropagation();
    upload(files, files[0].name === "image.png" ? "pasted picture" : files[0].name);
  }
  document.addEventListener("paste", onPaste, true);

  // --- Begin ---------------------------------------------------------------------

  const shows = {
    offers: showOffers, how: showHow, query: showQuery, cards: showCards,
    missed: showCards, trail: showTrail, status: showStatus,
  };
  for (const [name, show] of Object.entries(shows)) model.on(`change:${name}`, show);
  model.on("msg:custom", onMessage);
  for (const show of [showOffers, showQuery, showCards, showTrail, showStatus]) show();
  el.append(root);
  const size = new ResizeObserver(() => foldRest(false));
  size.observe(root);
  return () => {
    size.disconnect();
    for (const [name, show] of Object.entries(shows)) model.off(`change:${name}`, show);
    model.off("msg:custom", onMessage);
    document.removeEventListener("paste", onPaste, true);
    timers.forEach(clearTimeout);
    urls.forEach((url) => URL.revokeObjectURL(url));
  };
}

export default { render };
