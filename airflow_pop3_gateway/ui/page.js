// The page: what the application and Airflow's public API answer becomes text in tables.
// A partner's words are only ever text nodes and titles. Each part stands for itself: one that fails says so.
"use strict";

const OURS = ["RetrieveOperator", "ClassifyOperator", "AcknowledgeOperator", "AnswerOperator", "HandOnOperator", "OverdueOperator",
  "PurgeOperator", "ReceiptRequestsOperator", "AskForReceiptOperator", "SendTransferOperator", "Pop3MailSensor", "AcknowledgmentSensor"];
const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const FEW = 50, MANY = 500;

const byId = (id) => document.getElementById(id);
const say = (words) => { byId("told").textContent = words; };

// Within Airflow its own switch between day and night counts, and not the machine's.
function followAirflow() {
  const around = window.frameElement?.ownerDocument.documentElement;
  if (!around) return;
  const follow = () => { document.documentElement.style.colorScheme = around.style.colorScheme; };
  new MutationObserver(follow).observe(around, { attributes: true });
  follow();
}

// -- elements ---------------------------------------------------------------------------------------------------

function element(name, content, kind) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (content instanceof Node) made.append(content);
  else made.textContent = content ?? "";
  return made;
}

function together(...contents) {
  const made = document.createDocumentFragment();
  made.append(...contents);
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

// On a narrow page a row is a block, and each cell says what it is.
function fill(id, rows) {
  const names = [...byId(id).closest("table").tHead.rows[0].cells].map((cell) => cell.textContent);
  for (const one of rows) [...one.cells].forEach((cell, index) => { cell.dataset.label = names[index]; });
  byId(id).replaceChildren(...rows);
}

// Words of a stranger: their direction is their own, and what is very long is cut; the title has it all.
function foreign(words, most = 160) {
  const made = element("bdi", words.length > most ? `${words.slice(0, most)}…` : words);
  if (words.length > most) made.title = words;
  return made;
}

function when(moment) {
  if (!moment) return element("span", "never", "quiet");
  const made = element("time", `${moment.slice(0, 10)} ${moment.slice(11, 19)} UTC`);
  made.dateTime = moment;
  return together(made, element("small", ago(moment)));
}

function ago(moment) {
  const past = Date.parse(moment) - Date.now();
  const [unit, size] = [["day", DAY], ["hour", HOUR], ["minute", MINUTE]].find(([, one]) => Math.abs(past) >= one) ?? ["second", 1000];
  return new Intl.RelativeTimeFormat("en").format(Math.trunc(past / size), unit);
}

const number = (count) => element("td", count || "–", count ? "number held" : "number quiet");
const command = (...words) => element("code", ["airflow pop3-gateway", ...words].join(" "));
const some = (count, one, many) => `${count} ${count === 1 ? one : many}`;
const ofBatch = (batch) => batch?.replace(/^(....)(..)(..)T(..)(..)(..)(...).*$/, "$1-$2-$3T$4:$5:$6.$7Z");

// -- questions --------------------------------------------------------------------------------------------------

async function ask(path, wish) {
  const options = wish && {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(wish),
  };
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  const body = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  if (answer.status === 401) throw new Error("You are not logged in any more.");
  if (answer.status === 403) throw new Error("You may not do that.");
  throw new Error(typeof body.detail === "string" ? body.detail : `${answer.status} ${answer.statusText}`);
}

const path = (site, word) => `api/sites/${encodeURIComponent(site)}/${word}`;

// What Airflow knows of our tasks in a day, with the eyes of who looks: the page has no right of its own.
async function tasks(operators, states) {
  const query = new URLSearchParams([
    ...operators.map((name) => ["operator", name]), ...states.map((name) => ["state", name]),
    ["start_date_gte", new Date(Date.now() - DAY).toISOString()], ["order_by", "-start_date"], ["limit", "100"],
  ]);
  const { task_instances: found } = await ask(`../api/v2/dags/~/dagRuns/~/taskInstances?${query}`);
  return found.map((task) => ({ ...task, site: task.rendered_fields?.pop3_conn_id ?? "" }));
}

async function failedTasks() {
  const latest = new Map();
  for (const task of await tasks(OURS, ["failed", "up_for_retry"])) {
    const which = JSON.stringify([task.dag_id, task.task_id, task.site]);
    const known = latest.get(which);
    if (known) known.times += 1;
    else latest.set(which, { ...task, times: 1 });
  }
  return [...latest.values()];
}

async function lastSessions() {
  const newestFirst = await tasks(["RetrieveOperator"], []);
  return new Map(newestFirst.reverse().map((task) => [task.site, task]));
}

// -- what needs a person ----------------------------------------------------------------------------------------

const toTransfers = (site) => site ? button(site, () => showTransfers(site), "link") : "";
const toSent = (key, words) => button(foreign(words), () => showSent(key), "link");
const toRecord = (line) => button(foreign(line.subject || "(no subject)"), () => showRecord(line.originator, line.key), "link");

// One row of the first table: why is a stranger's word as often as not.
function wanted(since, where, what, why, todo) {
  return row(since ? when(since) : "now", where, together(element("div", what), element("div", why, "bad")), todo);
}

function ofSite(site) {
  if (site.error) {
    const todo = together("Correct what it says, then ", command("doctor", site.site));
    return [wanted("", site.site, "The site cannot be asked.", site.error, todo)];
  }
  const rows = [];
  const { watcher } = site;
  if (watcher) {
    rows.push(wanted(watcher.since, toTransfers(site.site), "Its watcher cannot look at the mailbox.", foreign(watcher.why),
      command("doctor", site.site)));
  }
  const add = (count, since, what, why, todo) => {
    if (count) rows.push(wanted(since, toTransfers(site.site), what, why, todo));
  };
  const oldest = ofBatch(site.waiting_batches[0]);
  const late = oldest && Date.now() - Date.parse(oldest) > HOUR;
  add(late, oldest, some(site.waiting_batches.length, "session waits to be classified", "sessions wait to be classified"),
    "no task has classified what was retrieved", "Look at the DAG that polls it.");
  add(site.refusals, "", some(site.refusals, "mail was not retrieved", "mails were not retrieved"),
    "the server or a bound was against it", command("doctor", site.site));
  add(site.waiting_requests, "", some(site.waiting_requests, "request for a receipt", "requests for a receipt"),
    "only a person may answer", command("receipts list", site.site));
  add(site.refused_receipts, "", some(site.refused_receipts, "receipt did not go out", "receipts did not go out"),
    "refused by the relay, or given up", command("receipts outbox", site.site));
  return rows;
}

function ofTask(task) {
  const what = `Task ${task.task_id} of ${task.dag_id} ${task.state === "failed" ? "failed" : "is tried again"}`;
  const times = task.times > 1 ? `, ${task.times} times in a day` : "";
  const why = button("What its log says", () => showLog(task), "link");
  return wanted(task.end_date ?? task.start_date, toTransfers(task.site), what + times, why, "Look at the task in Airflow.");
}

function ofSent(transfer) {
  const silent = transfer.status.recipients.filter((one) => one.verdict === "undefined").map((one) => one.address);
  const what = together("No acknowledgment of ", toSent(transfer.key, transfer.subject || transfer.xfer_ident));
  return wanted(transfer.ack_deadline, transfer.asked_by.dag_id ?? "", what, foreign(`silent: ${silent.join(", ")}`),
    together("Ask the partner, then ", command("sent dismiss", transfer.key)));
}

// How a mail that was rejected is taken after all, where its reason leaves one way.
const TAKEN = {
  "duplicate-message-id": ["If it is no duplicate: "],
  "duplicate-header-hash": ["If it is no duplicate: "],
  "multiple-attachments": ["To take each file: ", "--multiple-attachments", "extract"],
};

function ofMail(line) {
  const site = toTransfers(line.originator);
  if (line.rejected) {
    const { code, detail } = line.rejected.reason;
    const what = together("In quarantine: ", toRecord(line), " from ", foreign(line.from));
    const [first, ...options] = TAKEN[code] ?? ["Once the connection or the rules take it: "];
    return wanted(line.created_at, site, what, foreign(detail ? `${code}: ${detail}` : code),
      together(first, command("quarantine release", line.originator, line.local_ident, ...options),
        " If nobody wants it: ", command("quarantine dismiss", line.originator, line.local_ident)));
  }
  const { kind, disposition, recipients } = line.report;
  const said = recipients.map((one) => `${one.final_recipient} ${one.diagnostic_code || one.status || one.action}`);
  return wanted(line.created_at, site, together("Sent and not taken: ", toSent(line.acknowledges.key, line.acknowledges.xfer_ident)),
    foreign([`negative ${kind.toUpperCase()}`, disposition, ...said].filter(Boolean).join(": ")), "Send it again, if it must arrive.");
}

// -- sites ------------------------------------------------------------------------------------------------------

const COLOURS = { success: "good", failed: "bad", up_for_retry: "bad" };

function sessionCell(task) {
  if (!task) return element("td", "–", "quiet");
  const made = element("time", `${task.state ?? "none"}, ${ago(task.start_date)}`, COLOURS[task.state]);
  made.dateTime = made.title = task.start_date;
  return element("td", made);
}

function siteRow(site, session) {
  if (site.error) {
    const error = element("td", site.error, "bad");
    error.colSpan = 7;
    return row(site.site, error);
  }
  const account = site.address ? element("small", `${site.login} at ${site.address}`) : "";
  const windows = site.polling_windows === "always" ? "allowed" : `allowed ${site.polling_windows}`;
  const suspended = site.held.startsWith("suspended");
  const actions = element("td", suspended ? button("Resume", () => change(site.site, "resume", {})) : suspension(site.site), "actions");
  if (!site.held) actions.append(button("Poll now", () => pollNow(site.site)));
  const made = row(
    together(toTransfers(site.site), account),
    element("td", foreign(site.held || windows), `polling ${site.held ? "held" : "good"}`),
    sessionCell(session),
    when(ofBatch(site.last_batch)),
    number(site.waiting_batches.length),
    number(site.pending_receipts),
    element("td", Object.entries(site.ledger).map(([state, count]) => `${count} ${state.toLowerCase()}`).join(", ") || "none", "quiet"),
    actions,
  );
  made.dataset.site = site.site;
  return made;
}

function suspension(site) {
  const reason = document.createElement("input");
  reason.placeholder = "why";
  reason.ariaLabel = `Why ${site} is suspended`;
  return together(reason, button("Suspend", () => change(site, "suspend", { reason: reason.value })));
}

async function change(site, word, wish) {
  await ask(path(site, word), wish);
  await showAll();
  const again = [...byId("sites").rows].find((one) => one.dataset.site === site);
  again?.querySelector(".actions button").focus();  // the button that was pressed is gone
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

// -- sent -------------------------------------------------------------------------------------------------------

function sentRow(transfer) {
  const { positive, negative, undefined: open } = transfer.status;
  return row(
    when(transfer.created_at),
    toSent(transfer.key, transfer.subject || transfer.xfer_ident),
    `${positive} yes, ${negative} no, ${open} silent`,
    element("td", transfer.overdue ? "overdue" : transfer.status.state, transfer.overdue ? "bad" : "held"),
    transfer.ack_deadline ? when(transfer.ack_deadline) : element("span", "no deadline", "quiet"),
    transfer.asked_by.dag_id,
  );
}

// -- everything -------------------------------------------------------------------------------------------------

async function showAll() {
  const parts = await Promise.allSettled(
    [ask("api/sites"), lastSessions(), failedTasks(), ask("api/sent"), ask("api/attention")]);
  const [sites, sessions, unhappy, sent, mails] = parts.map((part) => part.value);
  const names = ["sites", "sessions", "tasks that failed", "what was sent", "mails"];
  const failed = new Map();
  parts.forEach(({ reason }, index) => {
    if (reason) failed.set(reason.message, [...failed.get(reason.message) ?? [], names[index]]);
  });

  if (sites) fill("sites", sites.map((site) => siteRow(site, sessions?.get(site.site))));
  if (sent) fill("sent", sent.transfers.map(sentRow));
  byId("sent-section").hidden = !sent?.transfers.length;
  const isOver = (task) => {
    const last = sessions?.get(task.site);
    return task.operator === "RetrieveOperator" && last?.state === "success" && last.start_date > task.start_date;
  };
  const rows = [
    ...(sites ?? []).flatMap(ofSite), ...(unhappy ?? []).filter((task) => !isOver(task)).map(ofTask),
    ...(sent?.transfers ?? []).filter((one) => one.overdue).map(ofSent), ...(mails?.mails ?? []).map(ofMail),
  ];
  fill("attention", rows);
  byId("attention-table").hidden = !rows.length;
  const looked = [
    mails && (mails.sessions
      ? `the last ${mails.sessions === 1 ? "session" : `${mails.sessions} sessions`} with mail (since ${mails.since.slice(0, 16).replace("T", " ")} UTC)`
      : "30 days without mail"),
    mails?.count > mails?.mails.length && `of which ${mails.count - mails.mails.length} older mails are not shown`,
    sent?.waiting > sent?.looked_at && `${sent.looked_at} of the ${sent.waiting} sent transfers that wait`,
    unhappy && "the tasks of the last 24 hours",
  ];
  byId("looked").textContent = `${rows.length || failed.size ? "" : "Nothing. "}Looked at: ${looked.filter(Boolean).join(", ")}.`;
  const told = sites?.length === 0 ? "There is no connection of type pop3 yet" : some(sites?.length, "site", "sites");
  const at = `${new Date().toISOString().slice(11, 19)} UTC`;
  say([...failed].map(([why, what]) => `Could not look at ${what.join(", ")}: ${why}`).join(" ") || `${told}, ${at}`);
}

// -- one site, one record ---------------------------------------------------------------------------------------

let opened = "";

function outcome(line, released) {
  if (line.rejected) {
    const { code } = line.rejected.reason;
    const since = (released && "released") || (line.dismissed && "dismissed");
    return element("td", since ? `${code}, ${since} since` : `in quarantine: ${code}`, since ? "quiet" : "bad");
  }
  const receipt = line.acknowledgment ? `, receipt: ${line.acknowledgment.decision}` : "";
  const report = line.report ? `, ${line.report.kind.toUpperCase()} ${line.report.verdict}` : "";
  return element("td", line.state.toLowerCase() + receipt + report, line.report?.verdict === "negative" ? "bad" : "good");
}

async function showTransfers(site, limit = FEW) {
  const lines = await ask(`${path(site, "transfers")}?limit=${limit}`);
  window.history.replaceState(null, "", `#${encodeURIComponent(site)}`);
  const released = new Set(lines.map((line) => line.replaces));
  byId("transfers-title").textContent = `Mails of ${site}`;
  fill("transfers", lines.map((line) => {
    const made = row(
      button(element("time", line.created_at.slice(0, 19).replace("T", " ")), () => showRecord(site, line.key), "link"),
      line.type, foreign(line.file_name), line.application, foreign(line.from), foreign(line.subject),
      foreign(line.files.map((file) => `${file.name} (${file.size.toLocaleString("en")})`).join(", ")),
      outcome(line, released.has(line.key)),
    );
    made.dataset.taken = !line.rejected || line.dismissed || released.has(line.key);
    return made;
  }));
  byId("more").hidden = lines.length < limit || limit === MANY;
  byId("transfers-section").hidden = false;
  byId("record-section").hidden = true;
  if (opened !== site) byId("find").value = "";
  opened = site;
  sift();
  byId("transfers-title").focus();
}

function sift() {
  const wanted = byId("find").value.toLowerCase();
  const rows = [...byId("transfers").rows];
  for (const one of rows) {
    const words = [...one.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
    one.hidden = !words.includes(wanted) || (byId("only").checked && one.dataset.taken === "true");
  }
  const shown = rows.filter((one) => !one.hidden).length;
  byId("shown").textContent = rows.length ? `${shown} of the last ${some(rows.length, "mail", "mails")}` : "none in the last 30 days";
}

// Characters that turn the direction of reading are told apart here, and turn nothing.
function show(title, words) {
  byId("record-title").textContent = title;
  byId("record").textContent = words.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16)}`);
  byId("record-section").hidden = false;
  byId("record-title").focus();
}

async function showRecord(site, key) {
  const record = await ask(`api/records/${encodeURIComponent(key)}`);
  window.history.replaceState(null, "", `#${encodeURIComponent(site)}/${key}`);
  show(`Record ${record.local_ident}`, JSON.stringify(record, null, 2));
}

async function showSent(key) {
  const found = await ask(`api/sent/${encodeURIComponent(key)}`);
  show(`Sent ${found.xfer_ident}: ${found.status.state}`, JSON.stringify(found, null, 2));
}

async function showLog(task) {
  const [dag, run, name] = [task.dag_id, task.dag_run_id, task.task_id].map(encodeURIComponent);
  const { content } = await ask(
    `../api/v2/dags/${dag}/dagRuns/${run}/taskInstances/${name}/logs/${task.try_number}?map_index=${task.map_index}`);
  const lines = content.filter((line) => line.timestamp);
  const errors = lines.filter((line) => ["error", "critical"].includes(line.level));
  const words = (errors.length ? errors : lines.slice(-20)).map((line) => [
    `${line.timestamp} ${line.level}: ${line.event}`, ...(line.error_detail ?? []).map((error) => `${error.exc_type}: ${error.exc_value}`),
  ].join("\n    "));
  show(`Log of ${task.dag_id}, ${task.task_id}, try ${task.try_number}`, words.join("\n") || "There is no log.");
}

byId("again").addEventListener("click", () => showAll());
byId("find").addEventListener("input", sift);
byId("only").addEventListener("change", sift);
byId("more").addEventListener("click", () => showTransfers(opened, MANY).catch((error) => say(error.message)));

async function begin() {
  await showAll();
  const [site, key] = window.location.hash.slice(1).split("/").map(decodeURIComponent);
  if (site) await showTransfers(site);
  if (key) await showRecord(site, key);
}

followAirflow();
begin().catch((error) => say(error.message));
