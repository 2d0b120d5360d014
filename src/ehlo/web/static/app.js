"use strict";

/* The page of the lab.
 *
 *   hash   ──> go() ──────────┐
 *   events ──> ...Came() ─────┼──> state ──> paint() ──> render...()
 *   server ──> load...() ─────┘
 *
 * All that is shown comes out of `state`; nothing else is remembered in the document. What the lab caught is hostile:
 * it enters the document as text nodes, by `el`, and in no other way. HTML parts are shown in a sandboxed frame.
 */

const PAGE = 50; // rows asked for at once
const KEEP = 200; // rows of a list kept while events add to it
const LINES = 1500; // lines of a conversation asked for, and shown, at once
const STEPS = 20; // bars of a waterfall shown at first
const RECIPIENTS = 4; // of a session, named at first
const MESSAGES = 10; // of a session, named at first
const SHOWN = 500000; // characters of a message's text, and of its source, shown

const state = {
  lab: null,
  live: "connecting",
  route: { view: "messages", id: "" },
  messages: { rows: [], start: 0, total: 0, query: "", loaded: false },
  sessions: { rows: [], start: 0, total: 0, loaded: false },
  faults: [],
  stages: [],
  scenarios: [],
  message: null, // the one that is open
  session: null,
  lines: LINES, // as many lines of the conversation are wanted
  unfolded: new Set(), // what of the open session is shown whole
  tab: "text", // the reader's choice, kept from message to message
  howto: "ehlo",
  asksHow: false, // how to send mail stands where a message would
  refocus: "", // id of the row that gets the focus when the list is back
  neighbour: "", // the same, when the row itself is gone
};

// ---------------------------------------------------------------------------------------------- the document

const byId = (id) => document.getElementById(id);

/** An element. Attributes that are null or false are left out; `on...` functions listen; children become text. */
function el(tag, attrs, ...children) {
  return dress(document.createElement(tag), attrs, children);
}

/** The same for SVG. */
function svg(tag, attrs, ...children) {
  return dress(document.createElementNS("http://www.w3.org/2000/svg", tag), attrs, children);
}

function dress(node, attrs, children) {
  for (const [name, value] of Object.entries(attrs || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

const kept = new WeakMap(); // of a list: its nodes by key, each with the signature it was made from

/** Bring a list up to date and touch only what changed, so that focus, scroll position and selection stay. */
function reconcile(parent, items, keyOf, signatureOf, make) {
  const old = kept.get(parent) || new Map();
  const now = new Map();
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const keys = new Set(items.map(keyOf));
  for (const [key, entry] of old) if (!keys.has(key)) entry.node.remove();
  let at = parent.firstChild;
  items.forEach((item, index) => {
    const key = keyOf(item, index);
    const signature = signatureOf(item, index);
    let entry = old.get(key);
    if (!entry || entry.signature !== signature) {
      const node = make(item, index);
      if (entry) {
        if (at === entry.node) at = node;
        swap(entry.node, node);
      }
      entry = { node, signature };
    }
    now.set(key, entry);
    if (entry.node === at) at = at.nextSibling;
    else parent.insertBefore(entry.node, at);
  });
  kept.set(parent, now);
  // A row that was moved has lost the focus; one that was made anew has passed it on.
  if (focused && focused.isConnected && document.activeElement === document.body) focused.focus({ preventScroll: true });
}

/** Put a node in another's place; the focus goes with it. */
function swap(old, node) {
  const focused = old.contains(document.activeElement) ? document.activeElement.dataset.testid : "";
  old.replaceWith(node);
  const heir = focused && (node.dataset.testid === focused ? node : node.querySelector(`[data-testid="${focused}"]`));
  if (heir) heir.focus({ preventScroll: true });
}

const filled = new WeakMap();

/** Fill a node anew, but only if what it shows has changed. */
function fill(node, shown, make) {
  const signature = JSON.stringify(shown);
  if (filled.get(node) === signature) return;
  filled.set(node, signature);
  node.replaceChildren(...[make()].flat().filter(Boolean));
}

const renderers = {}; // name -> function; see the end of the file
const dirty = new Set();

/** Render these parts with the next frame. A burst of events costs one rendering. A hidden page gets no frames, but
 * its title has to change all the same. */
function paint(...names) {
  const idle = dirty.size === 0;
  for (const name of names) dirty.add(name);
  if (!idle) return;
  if (document.hidden) setTimeout(flush, 300);
  else requestAnimationFrame(flush);
}

function flush() {
  const names = [...dirty];
  dirty.clear();
  for (const name of names) renderers[name]();
}

let noticeTimer = 0;

/** One sentence at the foot of the page, for a few seconds. */
function notice(text) {
  const node = byId("notice");
  node.textContent = text;
  node.hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { node.hidden = true; }, 6000);
}

// ---------------------------------------------------------------------------------------------- words and numbers

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

function duration(seconds) {
  if (seconds < 0.001) return "<1 ms";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 90 ? `${seconds.toFixed(seconds < 10 ? 2 : 1)} s` : `${Math.round(seconds / 60)} min`;
}

function octets(count) {
  if (count < 1000) return `${count} B`;
  return count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

function age(iso) {
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  if (Number.isNaN(seconds)) return "";
  if (seconds < 50) return "now";
  if (seconds < 3300) return `${Math.max(1, Math.round(seconds / 60))} min`;
  if (seconds < 79200) return `${Math.round(seconds / 3600)} h`;
  if (seconds < 6e5) return `${Math.round(seconds / 86400)} d`;
  return stamp(iso).slice(0, 10);
}

/** Local date and time, ISO-like in every locale. */
function stamp(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "";
  const two = (number) => String(number).padStart(2, "0");
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The time of day if that is today, else the day and the time to the minute. */
function moment(iso) {
  const text = stamp(iso);
  return text.slice(0, 10) === stamp(new Date().toISOString()).slice(0, 10) ? text.slice(11) : text.slice(5, 16);
}

const timeOf = (iso, text) => el("time", { datetime: iso, title: stamp(iso) }, text);

function person(who) {
  return who ? visible(who.Name || who.Address || "") : "";
}

function persons(list) {
  return (list || []).map((who) => visible(who.Name ? `${who.Name} <${who.Address}>` : who.Address)).join(", ");
}

const path = (address) => visible(address) || "<>"; // the null reverse-path has no other name

const subjectOf = (message) => visible(message.Subject);

/** Text with what would be invisible made visible: controls, and marks that turn the direction of writing. */
function visible(text) {
  return text.replace(/\r?\n$/, "").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, (mark) => {
    const code = mark.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "\u2421" : `\u2039U+${code.toString(16).toUpperCase().padStart(4, "0")}\u203a`;
  });
}

// ---------------------------------------------------------------------------------------------- the server

/** Ask the lab. Throws an `Error` with one sentence; its `answer` is all that the lab said. */
async function api(method, where, body) {
  const headers = method === "GET" ? {} : { "X-Ehlo": "1", "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(`/api/v1/${where}`, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("The lab does not answer.");
  }
  if (response.ok) return (response.headers.get("Content-Type") || "").includes("json") ? response.json() : response.text();
  const answer = await response.json().catch(() => ({}));
  throw Object.assign(new Error(answer.Error || `The lab answers ${response.status}.`), { answer });
}

/** A loader that runs once at a time, and once more if it was asked for meanwhile. `asking`: its answer is still to
 * come, and will not know of what happens now. */
function loader(work) {
  let running = false;
  let again = false;
  async function load() {
    if (running) {
      again = true;
      return;
    }
    running = load.asking = true;
    try {
      await work();
    } catch (error) {
      if (state.live !== "reconnecting") notice(error.message);
    }
    load.asking = false;
    setTimeout(() => {
      running = false;
      if (again) {
        again = false;
        load();
      }
    }, 120);
  }
  load.asking = false;
  return load;
}

/** Do something and say what went wrong, if it did. */
async function attempt(work, complain = notice) {
  try {
    await work();
    return true;
  } catch (error) {
    complain(error.message, error.answer);
    return false;
  }
}

const loadLab = loader(async () => {
  state.lab = await api("GET", "lab");
  paint("header", "messages", "sessions", "faults", "detail");
});

const loadMessages = loader(async () => {
  const list = state.messages;
  if (!(state.lab || await api("GET", "lab")).keeps) {
    list.loaded = true; // there never will be any
    paint("messages");
    return;
  }
  const { query, start } = list;
  const window = `start=${start}&limit=${PAGE}`;
  const answer = await api("GET", query ? `search?query=${encodeURIComponent(query)}&${window}` : `messages?${window}`);
  if (query !== list.query || start !== list.start) return; // asked for something else meanwhile
  list.rows = answer.messages;
  list.total = query ? answer.messages_count : answer.total;
  list.loaded = true;
  const open = state.message && list.rows.find((row) => row.ID === state.message.ID);
  if (open) Object.assign(state.message, { Read: open.Read, Tags: open.Tags }); // the rest of a message does not change
  paint("messages", "detail");
});

const loadSessions = loader(async () => {
  const list = state.sessions;
  const { start } = list;
  const answer = await api("GET", `sessions?start=${start}&limit=${PAGE}`);
  if (start !== list.start) return;
  list.rows = answer.sessions;
  list.total = answer.total;
  list.loaded = true;
  paint("sessions", "detail");
});

/** Changes of faults: how many were begun, and how many of these are under way. */
const faultChanges = { begun: 0, open: 0 };

const loadFaults = loader(async () => {
  const before = faultChanges.begun;
  const answer = await api("GET", "faults");
  // Asked before a change was made, it would turn a switch back under the hand; the change asks again.
  if (faultChanges.open || faultChanges.begun !== before) return;
  state.faults = answer.faults;
  state.stages = answer.stages;
  paint("faults", "header");
});

const loadScenarios = loader(async () => {
  state.scenarios = (await api("GET", "scenarios")).scenarios;
  paint("faults");
});

const loadMessage = loader(async () => {
  const { view, id } = state.route;
  if (view !== "messages" || !id || (state.message && state.message.asked === id && !state.message.failed)) return; // what it says does not change
  let message;
  try {
    message = await api("GET", `message/${encodeURIComponent(id)}`);
  } catch (error) {
    message = { failed: error.message };
  }
  if (state.route.id !== id) return;
  state.message = { ...message, asked: id, Read: true };
  const row = state.messages.rows.find((one) => one.ID === message.ID);
  if (row) row.Read = true;
  loadLab();
  paint("messages", "detail");
});

let judging = 0; // how long the lab took the last time to look through the open session

/** The open session: at first with its beginning, then without, since lines do not change. */
const loadSession = loader(async () => {
  const { view, id } = state.route;
  if (view !== "sessions" || !id) return;
  const old = state.session && state.session.asked === id && state.session.events ? state.session : null;
  const asked = performance.now();
  let session;
  try {
    session = await api("GET", `session/${encodeURIComponent(id)}?limit=${old ? 0 : state.lines}`);
  } catch (error) {
    session = { failed: error.message };
  }
  judging = performance.now() - asked;
  if (state.route.id !== id) return;
  if (old && old.started === session.started) Object.assign(session, { events: old.events, steps: old.steps });
  else if (old && !session.failed) Object.assign(session, { events: [], steps: [] }); // another lab, another session
  state.session = { ...session, asked: id };
  if (!session.failed) loadLines();
  paint("detail");
});

/** The lines that are wanted and not here yet. */
const loadLines = loader(async () => {
  const open = state.session;
  const start = open && open.events ? open.events.length : 0;
  const missing = open && open.events ? Math.min(state.lines, open.event_count) - start : 0;
  if (missing <= 0) return;
  const part = await api("GET", `session/${open.number}/events?start=${start}&limit=${missing}`);
  if (!state.session || state.session.events !== open.events || start !== open.events.length) return;
  open.events.push(...part.events);
  open.steps.push(...part.steps);
  state.session.event_count = Math.max(part.event_count, state.session.event_count);
  if (part.events.length) loadLines();
  paint("detail");
});

let judgeTimer = 0;

/** What a running session's client does wrong so far. The longer that takes to find out, the more seldom it is asked. */
function loadSessionSoon() {
  if (judgeTimer) return;
  judgeTimer = setTimeout(() => {
    judgeTimer = 0;
    loadSession();
  }, Math.max(1000, 20 * judging));
}

function loadAll() {
  loadLab();
  loadFaults();
  loadMessages();
  loadSessions();
  loadMessage();
  loadSession();
}

// ---------------------------------------------------------------------------------------------- events

let arrived = []; // messages not announced yet

function listen() {
  const source = new EventSource("/api/v1/events");
  const on = (name, handle) => source.addEventListener(name, (event) => handle(JSON.parse(event.data || "{}")));
  source.onopen = () => {
    setLive("connected");
    loadAll(); // whatever happened in between
  };
  source.onerror = () => {
    setLive("reconnecting");
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 3000); // the browser has given up
  };
  on("session", sessionWentOn);
  on("message", messageCame);
  on("messages", () => { loadMessages(); loadLab(); });
  on("deleted", messagesWent);
  on("faults", loadFaults);
  on("scenario", () => { loadLab(); loadFaults(); });
  on("lost", loadAll);
}

function setLive(live) {
  state.live = live;
  paint("header");
}

function messageCame(message) {
  const list = state.messages;
  arrived.push(message);
  if (list.query || loadMessages.asking) loadMessages();
  if (!list.query && list.start === 0 && list.loaded && upsert(list.rows, message, "ID")) list.total += 1;
  loadLab();
  paint("messages", "detail", "announce");
}

/** The lab says how far a session has come; what it looks like is asked for where it is shown. */
function sessionWentOn({ number, event_count, seconds, ended }) {
  if (state.route.view === "sessions") loadSessions();
  loadLab();
  const open = state.session;
  if (loadSession.asking && state.route.id === String(number)) loadSession();
  if (!open || open.number !== number) return;
  Object.assign(open, { event_count: Math.max(event_count, open.event_count), seconds });
  loadLines();
  if (ended) loadSession();
  else loadSessionSoon();
}

function messagesWent({ IDs }) {
  const list = state.messages;
  const gone = IDs && new Set(IDs);
  const open = state.message && state.message.ID;
  const at = list.rows.findIndex((row) => row.ID === open);
  list.rows = gone ? list.rows.filter((row) => !gone.has(row.ID)) : [];
  if (open && (!gone || gone.has(open))) {
    state.neighbour = at >= 0 && list.rows.length ? list.rows[Math.min(at, list.rows.length - 1)].ID : "";
    location.hash = listHash("messages");
  }
  loadMessages();
  loadLab();
  paint("messages");
}

/** Replace the row of the same key, or put it on top. Whether it is new. */
function upsert(rows, row, key) {
  const at = rows.findIndex((one) => one[key] === row[key]);
  if (at >= 0) rows[at] = row;
  else {
    rows.unshift(row);
    rows.length = Math.min(rows.length, KEEP);
  }
  return at < 0;
}

renderers.announce = () => {
  const [message] = arrived;
  byId("announce").textContent = arrived.length > 1
    ? `${arrived.length} new messages`
    : `New message from ${person(message.From) || path(message.Envelope.From)}: ${subjectOf(message) || "no subject"}`;
  arrived = [];
};

// ---------------------------------------------------------------------------------------------- where we are

function readRoute() {
  const [, where, search] = /^#?\/?([^?]*)\??(.*)$/.exec(location.hash);
  const [name, ...rest] = where.split("/");
  const params = new URLSearchParams(search);
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch {
    // Not of our making: take it as it stands.
  }
  const views = { message: "messages", session: "sessions", sessions: "sessions", faults: "faults" };
  return {
    view: views[name] || "messages",
    id: name === "message" || name === "session" ? id : "",
    query: params.get("q") || "",
    start: Math.max(0, parseInt(params.get("start"), 10) || 0),
  };
}

/** The hash of a list, as it stands or from another row on. */
function listHash(view = state.route.view, list = state[view], start = list.start) {
  const params = new URLSearchParams();
  if (list.query) params.set("q", list.query);
  if (start) params.set("start", start);
  return [`#/${view}`, params.toString()].filter(Boolean).join("?");
}

const messageHash = (id) => `#/message/${encodeURIComponent(id)}`;

/** Follow the hash. */
function go() {
  const before = state.route;
  const route = state.route = readRoute();
  if (route.view === "faults") {
    loadFaults();
    if (!state.scenarios.length) loadScenarios();
  } else {
    const list = state[route.view];
    if (!route.id) Object.assign(list, { start: route.start }, route.view === "messages" ? { query: route.query } : {});
    if (!route.id || !list.loaded || before.view !== route.view) (route.view === "messages" ? loadMessages : loadSessions)();
    if (before.id !== route.id) {
      state.lines = LINES;
      state.unfolded.clear();
    }
    (route.view === "messages" ? loadMessage : loadSession)();
  }
  if (route.view !== "messages" || !route.id) state.message = null; // opened again, it is read again
  if (before.view === route.view && before.id && !route.id) state.refocus = state.neighbour || before.id;
  state.neighbour = "";
  state.asksHow = false;
  hideConfirm();
  paint("header", "messages", "sessions", "faults", "detail");
}

renderers.header = () => {
  const { lab, live, route, faults } = state;
  const pill = byId("live");
  pill.textContent = live;
  pill.dataset.state = live === "connected" ? "on" : "off";
  for (const view of ["messages", "sessions", "faults"]) {
    if (route.view === view) byId(`nav-${view}`).setAttribute("aria-current", "page");
    else byId(`nav-${view}`).removeAttribute("aria-current");
  }
  const on = faults.filter((fault) => fault.enabled).length;
  byId("count-faults").textContent = on || "";
  if (!lab) return;
  byId("count-messages").textContent = lab.unread || "";
  byId("count-sessions").textContent = lab.sessions || "";
  document.title = `${lab.unread ? `(${lab.unread}) ` : ""}ehlo lab`;
  fill(byId("where"), [lab.host, lab.persona, lab.ports, lab.scenario, lab.title], () => [
    el("span", { class: "host" }, lab.host),
    el("span", { class: "persona" }, lab.persona),
    ...Object.entries(lab.ports).map(([name, where]) => el("span", { class: "port" }, el("span", {}, name), " ", where)),
    el("a", { class: "scenario", href: "#/faults", title: lab.title || "No scenario" }, lab.scenario || "no scenario"),
  ]);
};

/** Which panes are there. On a narrow page the list makes room for the detail. */
function renderPanes() {
  const { route, lab, messages } = state;
  const empty = route.view === "messages" && !route.id && !messages.query && messages.loaded && !messages.rows.length
    && !messages.start && Boolean(lab) && !lab.messages;
  const main = byId("main");
  main.dataset.view = empty ? "empty" : route.view;
  main.dataset.open = route.id ? "yes" : "no";
  if (empty) fill(byId("empty"), [lab.ports, lab.mailboxes], emptyState);
  else if (filled.has(byId("empty"))) fill(byId("empty"), "", () => []);
}

// ---------------------------------------------------------------------------------------------- lists

renderers.messages = () => {
  renderPanes();
  const { messages: list, message, route } = state;
  const search = byId("search");
  if (document.activeElement !== search) search.value = list.query;
  const open = message ? message.ID : route.id;
  reconcile(byId("message-rows"), list.rows, (row) => row.ID, (row) => JSON.stringify([row, row.ID === open, age(row.Created)]),
    (row) => messageRow(row, row.ID === open));
  rove(byId("message-rows"));
  pager(byId("message-pager"), list, "messages");
  byId("delete-all").disabled = !state.lab || !state.lab.messages;
  const none = list.loaded && !list.rows.length;
  byId("nothing-found").hidden = !none;
  if (none) {
    fill(byId("nothing-found"), [list.query], () => list.query
      ? [el("p", {}, "Nothing found for ", el("q", {}, list.query), "."), el("p", {}, el("a", { href: "#/messages" }, "Show all messages"))]
      : [el("p", {}, "No messages here."), el("p", {}, "The next one appears by itself.")]);
  }
  refocus(byId("message-rows"));
};

function messageRow(row, open) {
  // What the header fields do not say, the envelope does.
  const named = [...(row.To || []), ...(row.Cc || [])].map(person);
  const to = (named.length ? named : row.Envelope.To.map(path)).join(", ");
  return el("li", {},
    el("a", { class: row.Read ? "row" : "row unread", href: messageHash(row.ID), "data-testid": "message-row", "data-id": row.ID, "aria-current": open && "true" },
      el("span", { class: "first-line" },
        el("span", { class: "from" }, person(row.From) || path(row.Envelope.From)),
        !row.Read && el("span", { class: "unseen" }, " (unread) "),
        timeOf(row.Created, age(row.Created))),
      el("span", { class: "second-line" },
        el("span", { class: "subject" }, subjectOf(row) || "(no subject)"),
        (row.Tags || []).map((tag) => el("span", { class: "tag" }, tag)),
        row.Attachments > 0 && el("span", { class: "files" }, plural(row.Attachments, "file"))),
      el("span", { class: "third-line" }, el("span", { class: "to" }, `to ${to}`), " ", el("span", { class: "snippet" }, visible(row.Snippet)))));
}

renderers.sessions = () => {
  const list = state.sessions;
  const open = state.route.view === "sessions" ? state.route.id : "";
  reconcile(byId("session-rows"), list.rows, (row) => row.number, (row) => JSON.stringify([row, String(row.number) === open]),
    (row) => sessionRow(row, String(row.number) === open));
  rove(byId("session-rows"));
  pager(byId("session-pager"), list, "sessions");
  byId("no-sessions").hidden = !list.loaded || list.rows.length > 0;
  const keeps = !state.lab || state.lab.keeps;
  fill(byId("no-sessions"), keeps, () => keeps
    ? [el("p", {}, "No session yet."), el("p", {}, "Each connection to the lab appears here while it runs, line by line.")]
    : [el("p", {}, "No session is kept."), el("p", {}, "The lab was told to keep nothing.")]);
  refocus(byId("session-rows"));
};

function sessionRow(row, open) {
  return el("li", {},
    el("a", { class: "row", href: `#/session/${row.number}`, "data-testid": "session-row", "data-id": row.number, "aria-current": open && "true" },
      el("span", { class: "first-line" },
        el("span", { class: "number" }, row.number),
        outcome(row),
        el("span", { class: "took" }, [row.message_count > 1 && plural(row.message_count, "message"), row.ended && duration(row.seconds)].filter(Boolean).join(" \u00b7 ")),
        timeOf(row.started, moment(row.started))),
      envelope(row),
      el("span", { class: "third-line" },
        el("span", { class: "peer" }, [row.helo && visible(row.helo), row.client, row.tls].filter(Boolean).join(" \u00b7 ")),
        row.findings.length > 0 && el("span", { class: "found" }, plural(row.findings.length, "finding")))));
}

/** Who writes to whom. Before MAIL nobody knows. */
function envelope(session, recipients = session.recipients.map(path).join(", ")) {
  if (!session.sender_count && !session.recipient_count) return el("span", { class: "envelope none" }, "no envelope");
  return el("span", { class: "envelope" }, path(session.sender),
    session.sender_count > 1 && el("span", { class: "arrow" }, ` and ${plural(session.sender_count - 1, "other")}`),
    el("span", { class: "arrow" }, " \u2192 "),
    session.recipient_count ? recipients : el("span", { class: "none" }, "no recipient"));
}

/** The first of many, and a button for the others. `count` is how many there are: not all may be here. */
function folded(name, items, count, most, between = ", ") {
  const whole = state.unfolded.has(name) || items.length <= most + 1;
  const some = whole ? items : items.slice(0, most);
  const rest = count - some.length;
  return [
    some.map((item, index) => [index > 0 && between, item]),
    rest > 0 && [" ", whole ? el("span", { class: "dim" }, `and ${rest} more`) : unfold(name, `and ${rest} more`)],
  ];
}

const unfold = (name, words) => el("button", {
  type: "button", class: "link", "data-testid": `unfold-${name}`,
  onclick: () => {
    state.unfolded.add(name);
    paint("detail");
  },
}, words);

const outcome = (session) => el("span", { class: `outcome ${session.outcome}` }, session.outcome);

function pager(node, list, view) {
  const last = list.start + list.rows.length;
  const step = (start) => listHash(view, list, start);
  node.hidden = !list.start && last >= list.total;
  fill(node, [list.start, last, list.total, list.query], () => [
    list.start > 0 ? el("a", { href: step(Math.max(0, list.start - PAGE)), rel: "prev" }, "Newer") : el("span", {}, "Newer"),
    el("span", { class: "dim" }, `${list.rows.length ? list.start + 1 : 0}\u2013${last} of ${Math.max(last, list.total)}`),
    last < list.total ? el("a", { href: step(last), rel: "next" }, "Older") : el("span", {}, "Older"),
  ]);
}

/** Back from a detail the focus returns to its row. */
function refocus(list) {
  if (!state.refocus || !list.offsetParent) return;
  // Whoever has begun to type a search meanwhile keeps the focus.
  if (document.activeElement.matches("input:not([type=checkbox]), textarea, select")) {
    state.refocus = "";
    return;
  }
  const row = rowsOf(list).find((one) => one.dataset.id === state.refocus) || rowsOf(list)[0];
  state.refocus = "";
  if (row) row.focus();
}

const rowsOf = (list) => [...list.querySelectorAll(".row, .scenario-item")];

const chosen = (row) => row.matches("[aria-current], [aria-pressed=true]");

/** A list is one stop of the Tab key, at the row that has the focus or else the open one; keys move inside it. */
function rove(list) {
  const rows = rowsOf(list);
  const stop = rows.find((row) => row === document.activeElement) || rows.find(chosen) || rows[0];
  for (const row of rows) row.tabIndex = row === stop ? 0 : -1;
}

// ---------------------------------------------------------------------------------------------- detail

let shown = ""; // what the detail pane was built for

/** Build the detail pane anew if it shows something else now. */
function frame(key, make) {
  if (shown === key) return;
  shown = key;
  const pane = byId("detail");
  pane.replaceChildren(...make());
  pane.scrollTop = 0;
  const heading = pane.querySelector("h2");
  // On a narrow page the list, and the focus with it, has just gone.
  if (state.route.id && heading && !byId(state.route.view).offsetParent) heading.focus({ preventScroll: true });
}

renderers.detail = () => {
  renderPanes();
  const { view, id } = state.route;
  const thing = view === "messages" ? state.message : state.session;
  if (view === "faults") return;
  if (!id && state.asksHow) frame("howto", () => [el("div", { class: "welcome" }, el("h2", { tabindex: -1 }, "How to send mail here"), howto())]);
  else if (!id) frame(`${view}/hint`, () => [hint(view)]);
  else if (!thing || thing.asked !== id) return; // still on its way: leave what is there, that flickers less
  else if (thing.failed) frame(`${view}/failed/${id}`, () => [backLink(view), el("div", { class: "idle" }, el("h2", { tabindex: -1 }, thing.failed))]);
  else if (view === "messages") renderMessage(thing);
  else renderSession(thing);
};

const backLink = (view) => el("a", { class: "back", href: listHash(view) }, view === "messages" ? "Messages" : "Sessions");

function hint(view) {
  const key = (name) => el("kbd", {}, name);
  return el("div", { class: "idle" },
    el("p", {}, view === "messages" ? "No message is open." : "No session is open."),
    el("p", {}, key("j"), " ", key("k"), " to move, ", key("Enter"), " to open, ", key("?"), " for the rest"),
    view === "messages" && el("p", {}, el("button", { type: "button", class: "link", "data-testid": "howto", onclick: showHowto }, "How to send mail here")));
}

function showHowto() {
  state.asksHow = Boolean(state.lab);
  paint("detail");
}

// ---------------------------------------------------------------------------------------------- a message

const TABS = [
  ["text", "Text", textPanel],
  ["html", "HTML", htmlPanel],
  ["headers", "Headers", headersPanel],
  ["source", "Source", sourcePanel],
  ["checks", "Checks", checksPanel],
  ["attachments", "Attachments", attachmentsPanel],
];

function renderMessage(message) {
  frame(`message/${message.ID}`, () => {
    const panel = el("div", { class: "panel", role: "tabpanel", id: "panel", "aria-labelledby": "tab-text", tabindex: 0 });
    const tabs = tabList("Parts of the message", TABS.map(([id, name]) => [id, id === "attachments" ? attachmentsName(message) : name]), bestTab(message),
      (id) => {
        state.tab = id;
        showPanel(message, id);
      });
    queueMicrotask(() => showPanel(message, bestTab(message)));
    return [backLink("messages"), messageHead(message), tabs, panel];
  });
  const tags = message.Tags || [];
  byId("tags-name").hidden = byId("tags").hidden = !tags.length;
  fill(byId("tags"), tags, () => tags.map((tag) => el("span", { class: "tag" }, tag)));
  const toggle = byId("toggle-read");
  if (toggle) toggle.textContent = message.Read ? "Mark unread" : "Mark read";
  const release = byId("release");
  if (release) release.hidden = !(state.lab && state.lab.release);
}

const parts = (message) => [...(message.Attachments || []), ...(message.Inline || [])];

const attachmentsName = (message) => parts(message).length ? `Attachments ${parts(message).length}` : "Attachments";

/** The tab that was open before, unless this message has nothing there. */
function bestTab(message) {
  if (state.tab === "text" && !message.Text && message.HTML) return "html";
  return state.tab === "html" && !message.HTML ? "text" : state.tab;
}

function messageHead(message) {
  const fact = (name, value) => value && [el("dt", {}, name), el("dd", {}, value)];
  const { Envelope: outer } = message;
  return el("header", { class: "head" },
    el("div", { class: "title" },
      el("h2", { tabindex: -1 }, subjectOf(message) || "(no subject)"),
      el("div", { class: "actions" },
        el("button", { type: "button", id: "toggle-read", "data-testid": "toggle-read", onclick: toggleRead }, "Mark unread"),
        el("button", { type: "button", id: "release", "data-testid": "release", hidden: true, "aria-expanded": "false", "aria-controls": "release-form", onclick: toggleRelease }, "Release"),
        el("button", { type: "button", class: "danger", "data-testid": "delete-message", onclick: deleteOpen }, "Delete"))),
    releaseForm(message),
    el("dl", { class: "facts" },
      fact("From", message.From && persons([message.From])),
      fact("To", persons(message.To)),
      fact("Cc", persons(message.Cc)),
      fact("Reply-To", persons(message.ReplyTo)),
      fact("Date", [message.Date && stamp(message.Date), octets(message.Size)].filter(Boolean).join(", ")),
      outer && fact("Envelope", el("span", { class: "mono" }, path(outer.From), " \u2192 ", (outer.To || []).map(path).join(", "))),
      message.Session && fact("Session", el("a", { href: `#/session/${message.Session}`, "data-testid": "to-session" }, `Session ${message.Session}`)),
      el("dt", { id: "tags-name" }, "Tags"), el("dd", { id: "tags", "data-testid": "tags" })));
}

/** A row of tabs for the panel `panel`; arrows move, as everywhere. */
function tabList(label, names, current, choose, prefix = "tab") {
  const buttons = names.map(([id, name]) => el("button", {
    type: "button", role: "tab", id: `${prefix}-${id}`, "data-testid": `${prefix}-${id}`, "aria-selected": String(id === current), tabindex: id === current ? 0 : -1,
    onclick: () => select(id),
  }, name));
  function select(id) {
    names.forEach(([other], index) => {
      buttons[index].setAttribute("aria-selected", String(other === id));
      buttons[index].tabIndex = other === id ? 0 : -1;
    });
    reveal(list, buttons.find((button) => button.tabIndex === 0));
    choose(id);
  }
  function onkeydown(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = (buttons.indexOf(document.activeElement) + step + names.length) % names.length;
    buttons[next].focus();
    select(names[next][0]);
  }
  const list = sideways(el("div", { class: "tabs", role: "tablist", "aria-label": label, onkeydown }, buttons));
  new ResizeObserver(() => reveal(list, buttons.find((button) => button.tabIndex === 0))).observe(list);
  return list;
}

/** What can be too wide for its place: its edges show on which side it goes on. */
function sideways(node) {
  function hint() {
    node.classList.toggle("before", node.scrollLeft > 2);
    node.classList.toggle("behind", node.scrollWidth - node.clientWidth - node.scrollLeft > 2);
  }
  node.classList.add("sideways");
  node.addEventListener("scroll", hint);
  new ResizeObserver(hint).observe(node);
  new MutationObserver(hint).observe(node, { childList: true, characterData: true, subtree: true });
  return node;
}

/** Bring a tab into view, clear of the edges; from the side alone: the page itself stays where it is. */
function reveal(list, tab) {
  const edge = 44;
  const left = tab.offsetLeft - edge;
  const right = tab.offsetLeft + tab.offsetWidth + edge - list.clientWidth;
  list.scrollLeft = Math.max(Math.min(list.scrollLeft, left), right);
}

/** Show one tab. Those that have to be fetched first may be overtaken by another choice. */
async function showPanel(message, id) {
  const panel = byId("panel");
  if (!panel) return;
  const make = TABS.find(([name]) => name === id)[2];
  panel.dataset.tab = id;
  panel.setAttribute("aria-labelledby", `tab-${id}`);
  let content;
  try {
    content = await make(message, `message/${encodeURIComponent(message.ID)}`);
  } catch (error) {
    content = el("p", { class: "dim" }, error.message);
  }
  if (panel.dataset.tab === id) panel.replaceChildren(content);
}

function textPanel(message) {
  const { ID, Text } = message;
  if (!Text) return el("p", { class: "dim" }, "This message has no text part.");
  const body = el("pre", { class: "body" }, Text.slice(0, SHOWN));
  return Text.length <= SHOWN ? body : el("div", {}, panelBar(el("a", { href: `/view/${encodeURIComponent(ID)}.txt` }, "The whole text"), Text.length, Text), body);
}

/** What stands above a text of which only the beginning may be shown: where the whole of it is, and how large that is. */
const panelBar = (whole, size, text) => el("p", { class: "panel-bar" }, whole,
  el("span", { class: "dim" }, ` ${octets(size)}${text.length > SHOWN ? ", of which the beginning is shown" : ""}`));

function htmlPanel(message) {
  if (!message.HTML) return el("p", { class: "dim" }, "This message has no HTML part.");
  return el("iframe", {
    sandbox: "", referrerpolicy: "no-referrer", src: `/view/${encodeURIComponent(message.ID)}.html`, title: "The HTML part of the message", "data-testid": "html-frame",
  });
}

async function headersPanel(message, where) {
  const headers = await api("GET", `${where}/headers`);
  const rows = Object.entries(headers).flatMap(([name, values]) => values.map((value) => [name, value]));
  return el("table", { class: "headers" }, el("tbody", {}, rows.map(([name, value]) =>
    el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, visible(value))))));
}

async function sourcePanel(message, where) {
  const source = await api("GET", `${where}/raw`);
  return el("div", {},
    panelBar(el("a", { href: `/api/v1/${where}/raw`, download: "message.eml" }, "Download"), message.Size, source),
    sideways(el("pre", { class: "source" }, source.slice(0, SHOWN))));
}

async function checksPanel(message, where) {
  const { checks } = await api("GET", `${where}/checks`);
  if (!checks.length) return el("p", { class: "fine" }, "Nothing to complain about.");
  return el("ul", { class: "checks" }, checks.map((check) => el("li", { class: check.level },
    el("span", { class: "level" }, check.level),
    el("div", {}, el("strong", {}, check.title), check.detail && el("p", {}, check.detail), check.ref && el("p", { class: "ref" }, check.ref)))));
}

function attachmentsPanel(message, where) {
  const inline = new Set(message.Inline || []);
  if (!parts(message).length) return el("p", { class: "dim" }, "No attachments.");
  return el("table", { class: "files-table" },
    el("thead", {}, el("tr", {}, ["Name", "Type", "Size"].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, parts(message).map((part) => el("tr", {},
      el("td", {}, el("a", { href: `/api/v1/${where}/part/${encodeURIComponent(part.PartID)}`, download: part.FileName || `part-${part.PartID}` }, visible(part.FileName || "") || `part ${part.PartID}`),
        inline.has(part) && el("span", { class: "dim" }, " inline")),
      el("td", { class: "mono" }, part.ContentType),
      el("td", {}, octets(part.Size))))));
}

async function toggleRead() {
  const message = state.message;
  if (!message || message.failed) return;
  const Read = !message.Read;
  if (!await attempt(() => api("PUT", "messages", { IDs: [message.ID], Read }))) return;
  message.Read = Read;
  const row = state.messages.rows.find((one) => one.ID === message.ID);
  if (row) row.Read = Read;
  loadLab();
  paint("messages", "detail");
}

/** Where a message is to be sent on to. This leaves the lab: whom it is for is said each time, and nothing is suggested. */
function releaseForm(message) {
  const field = el("input", { id: "release-to", "data-testid": "release-to", class: "mono", inputmode: "email", autocomplete: "off", autocapitalize: "none", spellcheck: "false", "aria-describedby": "release-error" });
  const send = el("button", { type: "submit", class: "primary", "data-testid": "release-send" }, "Release to these addresses");
  const error = el("p", { class: "error", id: "release-error", "data-testid": "release-error", role: "alert" });
  function complain(text, answer) {
    error.textContent = visible(text);
    // Who has it must not get it again at the next try.
    if (answer && answer.Accepted && answer.Accepted.length) field.value = answer.Refused.map((one) => one.Address).join(", ");
  }
  async function onsubmit(event) {
    event.preventDefault();
    const To = addressesIn(field.value);
    if (send.disabled) return; // it is on its way
    error.textContent = To.length ? "" : "Say whom the message is to be sent to.";
    if (!To.length) {
      field.focus();
      return;
    }
    send.disabled = true;
    const done = await attempt(() => api("POST", `message/${encodeURIComponent(message.ID)}/release`, { To }), complain);
    send.disabled = false;
    if (!done) return;
    field.value = "";
    notice(`Released to ${To.join(", ")}.`);
    if (form.isConnected && !form.hidden) toggleRelease();
  }
  function onkeydown(event) {
    if (event.key !== "Escape") return;
    event.preventDefault(); // it closes the form, not the message
    toggleRelease();
  }
  const form = el("form", { class: "release-form", id: "release-form", "data-testid": "release-form", hidden: true, novalidate: true, onsubmit, onkeydown },
    el("label", { class: "field" }, el("span", {}, "Send it to, as many addresses as you like"), field), send, error);
  return form;
}

/** Show the form of releases, empty, or put it away. */
function toggleRelease() {
  const form = byId("release-form");
  form.hidden = !form.hidden;
  byId("release").setAttribute("aria-expanded", String(!form.hidden));
  byId("release-to").value = "";
  byId("release-error").textContent = "";
  (form.hidden ? byId("release") : byId("release-to")).focus();
}

/** Addresses between commas or blanks; those of a quoted local part count for nothing. */
const addressesIn = (text) => text.match(/(?:"(?:\\.|[^"\\])*"|[^\s,;"])+/g) || [];

async function deleteOpen() {
  const message = state.message;
  if (!message || message.failed) return;
  if (await attempt(() => api("DELETE", "messages", { IDs: [message.ID] }))) messagesWent({ IDs: [message.ID] });
}

function askDeleteAll() {
  const { lab, messages } = state;
  const all = plural(lab.messages, "message");
  byId("confirm-text").textContent = messages.query ? `Delete all ${all}, not only the ${messages.total} found?` : `Delete all ${all}?`;
  byId("confirm").hidden = false;
  byId("confirm-keep").focus();
}

function hideConfirm() {
  byId("confirm").hidden = true;
}

async function deleteAll() {
  hideConfirm();
  if (await attempt(() => api("DELETE", "messages", { IDs: [] }))) messagesWent({});
}

// ---------------------------------------------------------------------------------------------- a session

function renderSession(session) {
  frame(`session/${session.number}/${session.started}`, () => [
    backLink("sessions"),
    el("header", { class: "head", id: "session-head" }),
    el("section", { class: "findings", id: "findings", "aria-label": "What your client did" }),
    el("section", { class: "timing", id: "timing", "aria-label": "Timing" }),
    el("h3", {}, "Conversation"),
    el("ol", { class: "conversation", id: "conversation", "data-testid": "conversation" }),
    el("div", { id: "more-lines" }),
  ]);
  const { events, steps, findings, event_count, ...summary } = session;
  fill(byId("session-head"), [summary, [...state.unfolded]], () => sessionHead(session));
  fill(byId("findings"), [findings, session.ended], () => findingsOf(session));
  renderTiming(session);
  addLines(byId("conversation"), events);
  const rest = event_count - state.lines;
  fill(byId("more-lines"), rest, () => rest > 0
    && el("button", { type: "button", "data-testid": "more-lines", onclick: () => wantLines(state.lines + LINES) }, `Show ${Math.min(rest, LINES)} more of ${event_count} lines`));
}

/** Lines are added and never change. */
function addLines(conversation, events) {
  const there = conversation.childElementCount;
  conversation.append(...events.slice(there).map((line, index) => conversationLine(line, events[there + index - 1])));
}

function wantLines(count) {
  state.lines = Math.max(state.lines, count);
  loadLines();
  paint("detail");
}

function sessionHead(session) {
  const fact = (name, value) => value && [el("dt", {}, name), el("dd", {}, value)];
  const { messages, number } = session;
  return [
    el("div", { class: "title" },
      el("h2", { tabindex: -1 }, `Session ${number}`, " ", outcome(session)),
      el("div", { class: "actions" },
        el("a", { class: "button", href: `/api/v1/session/${number}/transcript`, download: `session-${number}.jsonl`, "data-testid": "transcript" }, "Download transcript"))),
    session.reply && el("p", { class: "decisive mono" }, visible(session.reply)),
    el("dl", { class: "facts" },
      fact("Client", el("span", { class: "mono" }, session.client, session.helo && ` \u00b7 ${visible(session.helo)}`)),
      fact("Envelope", el("span", { class: "mono" }, envelope(session, folded("recipients", session.recipients.map(path), session.recipient_count, RECIPIENTS)))),
      fact("User", session.user),
      fact("TLS", session.tls || "none"),
      fact("Began", `${stamp(session.started)}${session.ended ? `, took ${duration(session.seconds)}` : ""}`),
      messages.length > 0 && fact(messages.length > 1 ? "Messages" : "Message",
        el("span", { class: "links" }, folded("messages", messages.map((id, index) => el("a", { href: messageHash(id), "data-testid": "to-message", "aria-label": `Message ${index + 1}` }, messages.length > 1 ? index + 1 : "open it")), session.message_count, MESSAGES, " ")))),
  ];
}

function findingsOf(session) {
  const { findings } = session;
  if (!findings.length) return session.ended ? [el("h3", {}, "What your client did"), el("p", { class: "fine" }, "Nothing to complain about.")] : [];
  return [el("h3", {}, "What your client did"), ...findings.map(findingBox)];
}

function findingBox(finding) {
  const mark = (on) => () => markEvidence(finding.evidence, on);
  return el("article", { class: "finding", tabindex: 0, "data-testid": "finding", onmouseenter: mark(true), onmouseleave: mark(false), onfocusin: mark(true), onfocusout: mark(false) },
    el("h4", {}, finding.title, " ", el("code", {}, finding.rule)),
    el("p", {}, finding.why),
    finding.fix.length > 0 && el("ul", {}, finding.fix.map((fix) => el("li", {}, fix))),
    el("p", { class: "dim refs" }, finding.refs.join(", "),
      finding.evidence.length > 0 && el("button", { type: "button", class: "link", onclick: () => showLines(finding.evidence) },
        finding.evidence.length > 1 ? "Show the lines" : "Show the line")));
}

function markEvidence(indexes, on) {
  const lines = byId("conversation").children;
  for (const index of indexes) if (lines[index]) lines[index].classList.toggle("evidence", on);
}

/** Bring the first of these lines into view; what is far down has to be fetched first. */
async function showLines(indexes) {
  const [first] = indexes;
  const open = state.session;
  const there = () => byId("conversation") && byId("conversation").children[first];
  if (first >= state.lines) wantLines(Math.ceil((first + 1) / LINES) * LINES);
  for (let tries = 0; !there() && tries < 100 && state.session && state.session.events === open.events; tries += 1) {
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
  if (!there()) return;
  markEvidence(indexes, true);
  // Lines that were never in view have no height yet: where this one is shows when those around it are drawn.
  for (let frame = 0; frame < 3 && there(); frame += 1) {
    there().scrollIntoView({ block: "center" });
    await new Promise(requestAnimationFrame);
  }
}

const SIGNS = { client: "C:", server: "S:", net: "\u00b7" };
const WHO = { client: "Client", server: "Server", net: "Network" };

function conversationLine(line, before) {
  const waited = before ? line.t - before.t : line.t;
  return el("li", { class: `line ${line.who} ${line.kind}${line.fault ? " fault" : ""}`, "data-testid": "line", "data-who": line.who },
    el("span", { class: waited >= 1 ? "when long" : "when", title: waited >= 1 ? `${duration(waited)} after the line before` : null }, line.t.toFixed(3)),
    el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[line.who]),
    el("span", { class: "unseen" }, `${WHO[line.who]}: `),
    el("span", { class: "said" }, visible(line.text), line.fault && el("span", { class: "chip" }, "fault")),
    el("span", { class: "explain" }, line.explain));
}

/** Bars need pixels, so they are drawn anew when the pane changes its width. */
function renderTiming(session) {
  const node = byId("timing");
  const width = Math.max(240, Math.floor(node.clientWidth || 600));
  const whole = state.unfolded.has("steps") || session.steps.length <= STEPS + 1; // to fold a single one gains nothing
  const steps = whole ? session.steps : session.steps.slice(0, STEPS);
  const rest = session.steps.length - steps.length;
  fill(node, [steps.length, rest, width, session.number], () => steps.length > 0 && [
    el("h3", {}, "Timing"),
    waterfall(steps, width),
    rest > 0 && el("p", {}, unfold("steps", `and ${plural(rest, "step")} more`)),
  ]);
}

/** Round numbers of seconds for the scale, four at most. */
function ticks(end) {
  const raw = end / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  return Array.from({ length: Math.floor(end / step) + 1 }, (unused, index) => index * step);
}

/** Short steps need a digit more than elsewhere: on one machine none takes a millisecond. */
const finely = (seconds) => (seconds < 0.0001 ? "<0.1 ms" : seconds < 0.01 ? `${(seconds * 1000).toFixed(1)} ms` : duration(seconds));

const scaleText = (at) => (at === 0 ? "0" : at < 1 ? `${+(at * 1000).toFixed(1)} ms` : `${+at.toFixed(1)} s`);

function waterfall(steps, width) {
  const left = 76, right = 62, row = 22, top = 20;
  const end = Math.max(0.001, ...steps.map((step) => step.at + step.seconds));
  const x = (seconds) => left + (seconds / end) * (width - left - right);
  const height = top + steps.length * row;
  const label = `Timing: ${steps.map((step) => `${step.name} ${duration(step.seconds)}${step.ok ? "" : ", failed"}`).join("; ")}`;
  return svg("svg", { class: "waterfall", "data-testid": "waterfall", role: "img", "aria-label": label, width, height, viewBox: `0 0 ${width} ${height}` },
    ticks(end).map((at) => [
      svg("line", { class: "grid", x1: x(at), x2: x(at), y1: top - 4, y2: height }),
      svg("text", { class: "tick", x: x(at), y: 11, "text-anchor": at === 0 ? "start" : "middle" }, scaleText(at)),
    ]).flat(),
    steps.map((step, index) => {
      const y = top + index * row;
      return svg("g", { class: step.ok ? "step" : "step bad" },
        svg("title", {}, `${step.name}, ${duration(step.seconds)}: ${step.text}`),
        svg("text", { class: "stage", x: 0, y: y + 15 }, step.name),
        svg("rect", { x: x(step.at), y: y + 6, width: Math.max(2, x(step.seconds) - left), height: row - 11, rx: 2 }),
        svg("text", { class: "ms", x: width, y: y + 15, "text-anchor": "end" }, finely(step.seconds)));
    }));
}

// ---------------------------------------------------------------------------------------------- faults

const PRESETS = [
  ["greylist-once", "Greylist once", { stage: "rcpt", when: { first: 1 }, do: { reply: "450 4.2.0 Greylisted, try again later" } }],
  ["mailbox-unknown", "Mailbox unknown", { stage: "rcpt", do: { reply: "550 5.1.1 <{to}>: Recipient address rejected: User unknown" } }],
  ["mailbox-full", "Mailbox full", { stage: "rcpt", do: { reply: "452 4.2.2 <{to}>: Mailbox full" } }],
  ["refuse-content", "Refuse the content", { stage: "message", do: { reply: "554 5.7.1 Message rejected as spam by content filtering" } }],
  ["drop-after-data", "Drop the connection after DATA", { stage: "message", do: { silent: true, close: true } }],
  ["tarpit", "Tarpit: 5 s before each RCPT reply", { stage: "rcpt", do: { delay: 5 } }],
  ["busy", "421 at the greeting", { stage: "banner", do: { reply: "421 4.3.2 Too many connections, try again later", close: true } }],
  ["hide-starttls", "Hide STARTTLS", { stage: "ehlo", do: { drop: ["STARTTLS"] } }],
  ["expired-certificate", "Expired certificate", { stage: "tls", do: { certificate: "expired" } }],
  ["lose-every-other", "Lose every other message silently", { stage: "message", when: { every: 2 }, do: { lose: true } }],
];

renderers.faults = () => {
  if (state.route.view !== "faults") return;
  const { lab, faults, stages, scenarios } = state;
  fill(byId("current"), lab && [lab.scenario, lab.title, lab.description], () => lab ? currentScenario(lab) : []);
  fill(byId("fault-stage"), stages, () => stages.map((stage) => el("option", { value: stage, selected: stage === "rcpt" }, stage)));
  reconcile(byId("fault-rows"), faults, (fault) => fault.id, (fault) => JSON.stringify(fault), faultRow);
  byId("no-faults").hidden = faults.length > 0;
  const wanted = byId("scenario-filter").value.trim().toLowerCase().split(/\s+/);
  const all = [{ name: "", title: "A server that behaves", description: "No scenario: all mail for its mailboxes is taken." }, ...scenarios];
  const matching = all.filter((one) => wanted.every((word) => `${one.name} ${one.title} ${one.description} ${one.persona || ""}`.toLowerCase().includes(word)));
  const current = lab ? lab.scenario : null;
  reconcile(byId("scenarios"), matching, (one) => one.name, (one) => JSON.stringify([one, one.name === current]), (one) => scenarioItem(one, one.name === current));
  rove(byId("scenarios"));
};

function currentScenario(lab) {
  const words = lab.scenario ? [lab.title, lab.description] : ["A server that behaves", "No scenario is in use. The faults below, if any, are yours."];
  return [el("h2", {}, words[0]), el("p", {}, words[1]), el("button", { type: "button", class: "link to-scenarios", onclick: showScenarios }, "Choose another scenario")];
}

/** On a narrow page the scenarios are below the faults. */
function showScenarios() {
  byId("scenario-label").scrollIntoView();
  byId("scenario-filter").focus({ preventScroll: true });
}

function scenarioItem(one, current) {
  return el("li", {}, el("button", { type: "button", class: "scenario-item", "data-testid": "scenario-item", "data-scenario": one.name, "aria-pressed": String(current), onclick: () => chooseScenario(one.name) },
    el("strong", {}, one.title),
    el("span", { class: "mono" }, [one.name, one.persona].filter(Boolean).join(" \u00b7 ")),
    el("span", { class: "dim" }, one.description)));
}

async function chooseScenario(name) {
  await attempt(async () => {
    state.lab = await api("PUT", "scenario", { name });
    paint("header", "faults");
  });
  loadFaults();
}

function faultRow(fault) {
  const id = encodeURIComponent(fault.id);
  async function change(method, body) {
    faultChanges.begun += 1;
    faultChanges.open += 1;
    await attempt(() => api(method, `fault/${id}`, body));
    faultChanges.open -= 1;
    loadFaults();
  }
  return el("li", { class: fault.enabled ? "fault-row" : "fault-row off", "data-testid": "fault-row", "data-id": fault.id },
    el("input", {
      type: "checkbox", role: "switch", "data-testid": "fault-switch", checked: fault.enabled, "aria-label": `${fault.stage}: ${fault.title}`,
      onchange: (event) => change("PATCH", { enabled: event.target.checked }),
    }),
    el("span", { class: "stage-name mono" }, fault.stage),
    el("div", { class: "what" }, el("strong", {}, fault.title || "untitled"), el("span", { class: "mono dim" }, faultInWords(fault))),
    el("span", { class: fault.hits ? "hits some" : "hits", title: "how often it has struck" }, plural(fault.hits, "hit")),
    fault.own
      ? el("span", { class: "dim from-scenario", title: "It belongs to the scenario and can be switched off" }, "scenario")
      : el("button", { type: "button", class: "plain", "data-testid": "fault-remove", "aria-label": `Remove ${fault.title}`, onclick: () => change("DELETE") }, "Remove"));
}

/** "first 1: reply 450 4.2.0 Later", as terse as the field has it. */
function faultInWords(fault) {
  const words = (table) => Object.entries(table || {}).map(([name, value]) => {
    if (value === true) return name;
    return name === "reply" ? [value].flat().join(" / ") : `${name} ${[value].flat().join(" ")}`;
  }).join(", ");
  const when = words(fault.when);
  const does = words(fault.do);
  return [when, does === fault.title ? "" : does].filter(Boolean).join(" \u2192 ");
}

async function addFault(fault, errorNode) {
  // What was wrong before, in the other form too, is so no longer.
  for (const node of [byId("fault-error"), byId("json-error")]) node.textContent = "";
  const done = await attempt(() => api("POST", "faults", { title: "", when: {}, ...fault }), (text) => { errorNode.textContent = text; });
  loadFaults();
  return done;
}

async function submitForm(event) {
  event.preventDefault();
  const form = event.target;
  const field = (name) => form.elements[name].value.trim();
  const fault = { stage: field("stage"), when: {}, do: {} };
  for (const name of ["to", "from"]) if (field(name)) fault.when[name] = field(name);
  if (field("first")) fault.when.first = Number(field("first"));
  if (field("reply")) fault.do.reply = field("reply");
  if (field("delay")) fault.do.delay = Number(field("delay"));
  if (form.elements.close.checked) fault.do.close = true;
  const error = byId("fault-error");
  if (!Object.keys(fault.do).length) {
    error.textContent = "Say what the fault does: a reply, a delay or a close.";
    form.elements.reply.focus();
  } else if (await addFault(fault, error)) form.reset();
}

async function submitJson(event) {
  event.preventDefault();
  const area = byId("fault-json");
  const error = byId("json-error");
  let fault;
  try {
    fault = JSON.parse(area.value);
  } catch (problem) {
    error.textContent = `This is not JSON: ${problem.message}.`;
    return;
  }
  if (await addFault(fault, error)) area.value = "";
}

// ---------------------------------------------------------------------------------------------- the first mail

function emptyState() {
  const { keeps } = state.lab;
  return el("div", { class: "welcome" },
    el("h2", {}, keeps ? "No mail yet" : "No mail is kept"),
    el("p", {}, keeps ? "The lab listens. Send it a message, and it appears here." : "The lab listens, takes mail, and forgets it: it was told to keep nothing."),
    howto());
}

/** How to reach the lab from where the browser is. */
function address(lab) {
  const where = lab.ports.smtp || Object.values(lab.ports)[0] || "127.0.0.1:25";
  const cut = where.lastIndexOf(":");
  const host = where.slice(0, cut).replace(/^\[|\]$/g, "");
  const anywhere = host === "" || host === "0.0.0.0" || host === "::";
  return { host: anywhere ? location.hostname.replace(/^\[|\]$/g, "") : host, port: where.slice(cut + 1) };
}

/** The templates `sample` of the page, with what this lab is called filled in. */
function samples() {
  const { host, port } = address(state.lab);
  const box = (state.lab.mailboxes || []).find((one) => /^[\w.+-]+@[\w.-]+$/.test(one)); // it goes into source code
  const words = { HOST: host, PORT: port, SERVER: host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`, RECIPIENT: box || "recipient@example.com" };
  return [...document.querySelectorAll("template.sample")].map((template) => [
    template.dataset.id, template.dataset.name, template.content.textContent.replace(/\b(HOST|PORT|SERVER|RECIPIENT)\b/g, (word) => words[word]),
  ]);
}

function howto() {
  const all = samples();
  const code = sideways(el("pre", { class: "sample", tabindex: 0 }));
  const show = (id) => {
    state.howto = id;
    code.textContent = all.find(([name]) => name === id)[2];
  };
  show(state.howto);
  return el("div", { class: "howto" },
    el("div", { class: "howto-bar" },
      tabList("How to send", all, state.howto, show, "howto"),
      el("button", { type: "button", "data-testid": "copy", onclick: (event) => copy(code, event.target) }, "Copy")),
    code);
}

/** Copy, or select the text where the browser does not let us (plain HTTP from another machine). */
async function copy(node, button) {
  try {
    await navigator.clipboard.writeText(node.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  } catch {
    getSelection().selectAllChildren(node);
    notice("The text is selected; copy it with the keyboard.");
  }
}

// ---------------------------------------------------------------------------------------------- keys

function currentList() {
  return byId({ messages: "message-rows", sessions: "session-rows", faults: "scenarios" }[state.route.view]);
}

/** Move the focus in the list; from elsewhere it begins at the open row. */
function move(step) {
  const list = currentList();
  if (!list.offsetParent) return false;
  const rows = rowsOf(list);
  const focused = rows.indexOf(document.activeElement);
  const from = focused >= 0 ? focused : rows.findIndex(chosen);
  const at = from >= 0 ? from + step : 0;
  const row = rows[Math.min(rows.length - 1, Math.max(0, at))];
  if (row) row.focus();
  return Boolean(row);
}

/** To the first or the last row. */
function moveToEnd(last) {
  const list = currentList();
  const row = inList() && list.offsetParent && rowsOf(list).at(last ? -1 : 0);
  if (row) row.focus();
  return Boolean(row);
}

function back() {
  if (!byId("confirm").hidden) {
    hideConfirm();
    byId("delete-all").focus();
  } else if (state.route.id) location.hash = listHash();
  else return false;
  return true;
}

function focusSearch() {
  if (state.route.view !== "messages") location.hash = listHash("messages");
  const search = byId("search");
  // At once, or the next key would be lost; but the view has to be there before it can take the focus.
  if (search.offsetParent) search.focus();
  else setTimeout(() => search.focus(), 60);
  return true;
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  ArrowDown: () => inList() && move(1),
  ArrowUp: () => inList() && move(-1),
  Home: () => moveToEnd(false),
  End: () => moveToEnd(true),
  Escape: back,
  "/": focusSearch,
  "?": () => byId("help").showModal(),
  1: () => { location.hash = listHash("messages"); },
  2: () => { location.hash = listHash("sessions"); },
  3: () => { location.hash = "#/faults"; },
  d: () => { deleteOpen(); },
  u: () => { toggleRead(); },
};

/** Arrows scroll what has the focus, unless that is a list or nothing. */
function inList() {
  const active = document.activeElement;
  return active === document.body || active === byId("main") || Boolean(active.closest(".list, .scenarios"));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || byId("help").open) return;
  if (event.target.matches("input:not([type=checkbox]), textarea, select")) {
    if (event.key === "Escape") event.target.blur();
    else if (event.key === "ArrowDown" && event.target.type === "search" && move(1)) event.preventDefault();
    return;
  }
  const act = Object.hasOwn(KEYS, event.key) && KEYS[event.key];
  if (act && act() !== false) event.preventDefault();
}

// ---------------------------------------------------------------------------------------------- beginning

let searchTimer = 0;

function searchSoon() {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(searchNow, 180);
}

/** The query lives in the hash; typing does not fill the history. */
function searchNow() {
  clearTimeout(searchTimer);
  const query = byId("search").value.trim();
  history.replaceState(null, "", listHash("messages", { query }, 0));
  go();
}

function start() {
  byId("search").addEventListener("input", searchSoon);
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    searchNow();
    move(1);
  });
  byId("delete-all").addEventListener("click", askDeleteAll);
  byId("confirm-delete").addEventListener("click", deleteAll);
  byId("confirm-keep").addEventListener("click", back);
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("help-close").addEventListener("click", () => byId("help").close());
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the hash is taken
    byId("main").focus();
  });
  byId("scenario-filter").addEventListener("input", () => paint("faults"));
  byId("fault-form").addEventListener("submit", submitForm);
  byId("json-form").addEventListener("submit", submitJson);
  byId("presets").append(...PRESETS.map(([id, title, fault]) => el("button", {
    type: "button", "data-testid": "preset", "data-preset": id, onclick: () => addFault({ title, ...fault }, byId("fault-error")),
  }, title)));
  document.addEventListener("keydown", onKey);
  for (const list of ["message-rows", "session-rows", "scenarios"]) byId(list).addEventListener("focusin", () => rove(byId(list)));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) loadAll(); });
  addEventListener("hashchange", go);
  new ResizeObserver(() => paint("detail")).observe(byId("detail"));
  setInterval(() => paint("messages"), 30000); // ages grow
  go();
  listen();
}

start();
