// The page asks the service as any other client does; nothing is loaded from elsewhere.
const $ = (id) => document.getElementById(id);
let last = null; // what was asked last: a file, or the id of a picture
let turn = 0; // an answer that comes after a newer question is not shown

function say(text, failed = false) {
  $("status").textContent = text;
  $("status").classList.toggle("failed", failed);
}

function card(hit) {
  const item = document.createElement("li");
  const picture = new Image();
  picture.src = hit.thumbnail;
  picture.alt = hit.label ? `${hit.label}, result ${hit.rank}` : `result ${hit.rank}`;
  picture.loading = "lazy";
  const name = document.createElement("strong");
  name.textContent = hit.label || "no label";
  const score = document.createElement("span");
  score.className = "quiet";
  score.textContent = hit.score.toFixed(2);
  const line = document.createElement("p");
  line.append(name, " ", score);
  const bar = document.createElement("meter");
  bar.min = 0; bar.max = 1; bar.value = hit.score;
  bar.setAttribute("aria-label", `similarity ${hit.score.toFixed(2)}`);
  const more = document.createElement("button");
  more.type = "button";
  more.textContent = "More like this";
  more.setAttribute("aria-label", `More like result ${hit.rank}`);
  more.addEventListener("click", () => ask({ id: hit.id, thumbnail: hit.thumbnail }));
  item.append(picture, line, bar, more);
  return item;
}

function request(question) {
  const asked = new URLSearchParams({ k: $("k").value || 10 });
  if ($("label").value) asked.set("label", $("label").value);
  if (question.file) return fetch(`search?${asked}`, { method: "POST", body: question.file });
  return fetch(`pictures/${question.id}/similar?${asked}`);
}

async function ask(question) {
  last = question;
  const mine = ++turn;
  $("query").src = question.file ? URL.createObjectURL(question.file) : question.thumbnail;
  $("query").alt = "your picture";
  $("query").hidden = false;
  $("hits").setAttribute("aria-busy", "true");
  say("Searching…");
  try {
    let response = await request(question);
    for (let tries = 0; response.status === 503 && tries < 5; tries++) {
      say("The service is busy. Trying again…");
      await new Promise((done) => setTimeout(done, 1000 * (response.headers.get("Retry-After") || 1)));
      response = await request(question);
    }
    const answer = await response.json();
    if (mine !== turn) return;
    $("hits").replaceChildren(...(answer.hits ?? []).map(card));
    if (!response.ok) say(answer.detail, true);
    else say([`${answer.hits.length} pictures, the most similar first.`, answer.note].join(" "));
  } catch {
    if (mine !== turn) return;
    $("hits").replaceChildren();
    say("The service can't be reached. Is it still running?", true);
  } finally {
    if (mine === turn) $("hits").removeAttribute("aria-busy");
  }
}

function take(files) {
  const file = [...(files ?? [])].find((one) => one.size > 0);
  if (file) ask({ file });
}

for (const id of ["file", "camera"]) {
  $(id).addEventListener("change", () => { take($(id).files); $(id).value = ""; });
}
addEventListener("paste", (event) => take(event.clipboardData.files));
addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  take(event.dataTransfer.files);
});
$("query").addEventListener("error", () => { $("query").hidden = true; }); // no picture
$("options").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["k", "label"]) $(id).addEventListener("change", () => last && ask(last));

fetch("readyz").then((response) => response.json()).then((facts) => {
  $("about").textContent = `${facts.pictures} pictures, described by ${facts.network}.`;
  $("label").append(...facts.labels.map((name) => new Option(name)));
});
