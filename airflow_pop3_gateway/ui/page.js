// The page: what the application answers becomes text in tables. A partner's words are only ever text nodes.
"use strict";

const byId = (id) => document.getElementById(id);
const say = (words) => { byId("told").textContent = words; };

function element(name, content, kind) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (content instanceof Node) made.append(content);
  else made.textContent = content ?? "";
  return made;
}

function button(words, work, kind) {
  const made = element("button", words, kind);
  made.type = "button";
  made.addEventListener("click", async () => {
    made.disabled = true;
    try { await work(); } catch (error) { say(error.message); } finally { made.disabled = false; }
  });
  return made;
}

function row(...cells) {
  const made = document.createElement("tr");
  for (const cell of cells) made.append(cell instanceof HTMLTableCellElement ? cell : element("td", cell));
  return made;
}

async function ask(path, wish) {
  const options = wish && {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish),
  };
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(answer.status === 403 ? "You may not do that." : String(body.detail || answer.statusText));
  return body;
}

const time = (batch) => batch
  ? `${batch.slice(0, 4)}-${batch.slice(4, 6)}-${batch.slice(6, 8)} ${batch.slice(9, 11)}:${batch.slice(11, 13)}:${batch.slice(13, 15)} UTC`
  : "never";
const counts = (ledger) => Object.entries(ledger).map(([state, count]) => `${count} ${state.toLowerCase()}`).join(", ");
const path = (site, word) => `api/sites/${encodeURIComponent(site)}/${word}`;

function siteRow(site) {
  if (site.error) {
    const error = element("td", site.error, "bad");
    error.colSpan = 7;
    return row(site.site, error);
  }
  const polling = site.held
    ? element("td", site.held, "held")
    : element("td", site.polling_windows === "always" ? "polled" : `polled ${site.polling_windows}`, "good");
  const suspended = site.held.startsWith("suspended");
  const actions = element("td", suspended ? button("Resume", () => change(site.site, "resume", {})) : suspension(site.site));
  if (!site.held) actions.append(button("Poll now", () => pollNow(site.site)));
  return row(
    element("td", button(site.site, () => showTransfers(site.site), "link")),
    `${site.address} (${site.login})`,
    polling,
    time(site.last_batch),
    element("td", site.waiting_batches.length, site.waiting_batches.length ? "number held" : "number"),
    element("td", site.pending_receipts, site.pending_receipts ? "number held" : "number"),
    element("td", counts(site.ledger) || "empty", "quiet"),
    actions,
  );
}

function suspension(site) {
  const made = document.createDocumentFragment();
  const reason = document.createElement("input");
  reason.placeholder = "reason";
  reason.ariaLabel = `Why ${site} is suspended`;
  made.append(button("Suspend", () => change(site, "suspend", { reason: reason.value })), reason);
  return made;
}

async function change(site, word, wish) {
  await ask(path(site, word), wish);
  await showSites();
}

// The doorbell is Airflow's: its public API rings it, if this person may.
async function pollNow(site) {
  const wanted = `pop3-mailbox-${site}`;
  const { assets } = await ask(`../api/v2/assets?limit=100&name_pattern=${encodeURIComponent(wanted)}`);
  const asset = assets.find((each) => each.name === wanted);
  if (!asset) throw new Error(`No DAG is scheduled on mailbox("${site}"); start the DAG that polls it.`);
  await ask("../api/v2/assets/events", { asset_id: asset.id, extra: { asked_for_by: "the page" } });
  say(`Asked the DAGs that are scheduled on mailbox("${site}") to run.`);
}

async function showSites() {
  const sites = await ask("api/sites");
  byId("sites").replaceChildren(...sites.map(siteRow));
  say(sites.length ? `${sites.length} sites, ${new Date().toLocaleTimeString()}` : "There is no connection of type pop3 yet.");
}

function outcome(line) {
  if (line.rejected) return element("td", `${line.state.toLowerCase()}: ${line.rejected.reason.code}`, "bad");
  const receipt = line.acknowledgment ? `, receipt: ${line.acknowledgment.decision}` : "";
  const report = line.report ? `, ${line.report.kind.toUpperCase()} ${line.report.verdict}` : "";
  return element("td", line.state.toLowerCase() + receipt + report, "good");
}

async function showTransfers(site) {
  window.history.replaceState(null, "", `#${encodeURIComponent(site)}`);
  const lines = await ask(path(site, "transfers"));
  byId("transfers-title").textContent = `Transfers of ${site}${lines.length ? "" : ": none in the last 30 days"}`;
  byId("transfers").replaceChildren(...lines.map((line) => row(
    element("td", button(line.created_at, () => showRecord(line.key), "link")),
    line.type, line.file_name, line.application, line.from, line.subject,
    line.files.map((file) => `${file.name} (${file.size})`).join(", "),
    outcome(line),
  )));
  byId("transfers-section").hidden = false;
  byId("record-section").hidden = true;
}

async function showRecord(key) {
  byId("record").textContent = JSON.stringify(await ask(`api/records/${encodeURIComponent(key)}`), null, 2);
  byId("record-section").hidden = false;
  byId("record-section").scrollIntoView({ behavior: "smooth" });
}

byId("again").addEventListener("click", () => showSites().catch((error) => say(error.message)));
const named = decodeURIComponent(window.location.hash.slice(1));
showSites().then(() => named && showTransfers(named)).catch((error) => say(error.message));
