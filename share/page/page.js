
/* SPDX-License-Identifier: Apache-2.0
 * Asks /status once a second while the page is looked at, and shows it. A token, where one is
 * wanted, is kept for this tab only. */

const PERIOD_MS = 1000;
const MAP_EVERY = 2; /* turns */
const TOKEN_KEY = "buddy-blocks-token";

let turns = 0;
let last = null; /* {at, status}: the answer before */
let paused = false;
let waiting = false; /* for an answer or a token */

/* ---- asking ---- */

class Refused extends Error {}

/* JSON of a path; null when the server has it not now. Refused where a token is wanted. */
async function askFor(path) {
  const token = sessionStorage.getItem(TOKEN_KEY);
  const headers = token === null ? {} : {Authorization: "Bearer " + token};
  /* without credentials the browser does not put up its own question for a password */
  const reply = await fetch(path, {headers, credentials: "omit", cache: "no-store"});
  if (reply.status === 401 || reply.status === 403) throw new Refused((await reply.text()).trim());
  return reply.ok ? reply.json() : null;
}

function askForToken(why) {
  const had = sessionStorage.getItem(TOKEN_KEY) !== null;
  sessionStorage.removeItem(TOKEN_KEY);
  waiting = true;
  if (had) say(byId("ask-why"), why);
  byId("ask-why").classList.toggle("error", had);
  byId("token").value = "";
  say(byId("state"), "locked");
  byId("state").className = "pill";
  if (!byId("ask").open) byId("ask").showModal();
}

byId("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) {
    say(byId("ask-why"), "A token has letters, digits and signs only.");
    byId("ask-why").classList.add("error");
    return;
  }
  sessionStorage.setItem(TOKEN_KEY, token);
  byId("token").value = "";
  byId("ask").close();
  waiting = false;
  turn();
});
byId("ask").addEventListener("cancel", (event) => event.preventDefault());
byId("forget").addEventListener("click", () => {
  last = null;
  sessionStorage.removeItem(TOKEN_KEY);
  location.reload();
});
byId("pause").addEventListener("click", () => {
  paused = !paused;
  last = null;
  byId("pause").setAttribute("aria-pressed", String(paused));
  say(byId("pause"), paused ? "Continue" : "Pause");
});

/* ---- what is shown ---- */

const tiles = new Map();
for (const [key, name] of [["blocks", "Blocks"], ["used", "Stored"], ["reads", "Reads"], ["writes", "Writes"],
  ["out", "Sent"], ["in", "Received"], ["get", "GET latency"], ["put", "PUT latency"]]) {
  const big = make("dd", {class: "big", id: "v-" + key}, "\u2013");
  const sub = make("dd", {class: "sub"}, "\u00a0");
  byId("tiles").append(make("div", {class: "tile"}, make("dt", {}, name), big, sub));
  tiles.set(key, {big, sub});
}
const operations = makeChart("Operations per second", ["GET", "PUT", "DELETE"], textOfRate, niceAbove);
const traffic = makeChart("Bytes per second", ["sent", "received"], textOfBytes,
  (value) => 1024 ** Math.floor(Math.log(Math.max(value, 1)) / Math.log(1024))
    * niceAbove(Math.max(value, 1) / 1024 ** Math.floor(Math.log(Math.max(value, 1)) / Math.log(1024))));
const latency = makeChart("Latency, 99th percentile", ["GET", "PUT"], textOfMicros, niceAbove);
byId("charts").append(operations.figure, traffic.figure, latency.figure);

const fills = new Map();
for (const [key, name] of [["space", "Data device"], ["journal", "Journal"], ["delta", "Waiting for a checkpoint"],
  ["index", "Index"], ["scrub", "Scrub"]]) {
  const text = make("span", {id: "f-" + key});
  const done = make("div");
  const title = make("span", {id: "n-" + key}, name);
  const track = make("div", {class: "track", role: "meter", "aria-labelledby": "n-" + key, "aria-valuemin": 0,
    "aria-valuemax": 100});
  track.append(done);
  byId("fills").append(make("div", {class: "fill"}, make("div", {class: "head"}, title, text), track));
  fills.set(key, {text, done, track});
}

function showTile(key, big, sub, raw) {
  say(tiles.get(key).big, big, raw);
  say(tiles.get(key).sub, sub || "\u00a0");
}

function showFill(key, part, whole, text) {
  const fill = fills.get(key);
  const share = whole > 0 ? part / whole : 0;
  say(fill.text, text, part);
  fill.done.style.width = (share * 100).toFixed(2) + "%";
  fill.track.classList.toggle("high", share > 0.9);
  fill.track.setAttribute("aria-valuenow", (share * 100).toFixed(1));
  fill.track.setAttribute("aria-valuetext", text);
}

/* The value below which a share of the samples lies, between two cumulative histograms; null
 * without samples. Within a bucket the samples are taken as spread evenly. */
function quantile(bounds, before, after, share) {
  const counts = after.map((count, i) => count - before[i]);
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= 0) return null;
  let left = share * total;
  for (let i = 0; i < counts.length; i++) {
    const from = i === 0 ? 0 : bounds[i - 1];
    const to = i < bounds.length ? bounds[i] : from * 2;
    if (counts[i] > 0 && left <= counts[i]) return from + (to - from) * left / counts[i];
    left -= counts[i];
  }
  return bounds[bounds.length - 1];
}

function showRates(before, now) {
  const seconds = (now.status.uptime_ms - before.status.uptime_ms) / 1000;
  const old = before.status.counters;
  const counters = now.status.counters;
  if (seconds <= 0) return;
  const rate = (name) => Math.max(0, counters[name] - old[name]) / seconds;
  const puts = rate("created") + rate("duplicate");
  const reads = rate("read");
  showTile("reads", textOfRate(reads) + "/s", textOfCount(counters.read) + " in all", reads);
  showTile("writes", textOfRate(puts) + "/s", textOfRate(rate("duplicate")) + "/s stored already", puts);
  showTile("out", textOfBytes(rate("bytes_out")) + "/s", textOfBytes(counters.bytes_out) + " in all", rate("bytes_out"));
  showTile("in", textOfBytes(rate("bytes_in")) + "/s", textOfBytes(counters.bytes_in) + " in all", rate("bytes_in"));
  operations.push([reads, puts, rate("deleted")]);
  traffic.push([rate("bytes_out"), rate("bytes_in")]);
  const was = before.status.latency_us;
  const is = now.status.latency_us;
  const tails = ["get", "put"].map((op) => {
    const middle = quantile(is.bounds, was[op], is[op], 0.5);
    const tail = quantile(is.bounds, was[op], is[op], 0.99);
    showTile(op, textOfMicros(middle), tail === null ? "none in this second" : "99\u00a0%: " + textOfMicros(tail), middle);
    return tail;
  });
  latency.push(tails);
}

function showFills(status) {
  const {space, journal, delta} = status;
  showFill("space", space.used, space.total, `${textOfBytes(space.used)} of ${textOfBytes(space.total)}, `
    + `largest free extent ${textOfBytes(space.largest_free)}`);
  const unit = 4096;
  showFill("journal", journal.used_units, journal.units,
    `${textOfBytes(journal.used_units * unit)} of ${textOfBytes(journal.units * unit)}`);
  const running = delta.checkpoint_running ? "a checkpoint is running"
    : `${textOfCount(delta.checkpoints)} ${delta.checkpoints === 1 ? "checkpoint" : "checkpoints"} so far`;
  showFill("delta", delta.items, delta.max, `${textOfCount(delta.items)} of ${textOfCount(delta.max)} changes, ${running}`);
  showFill("index", status.blocks, status.blocks + delta.index_room,
    `${textOfCount(status.blocks)} blocks, room for ${textOfCount(delta.index_room)} more`);
  showScrub(status.scrub);
}

function textOfDay(seconds) {
  return new Date(seconds * 1000).toLocaleString("sv-SE");
}

function showScrub(scrub) {
  const found = scrub.pass_findings === 0 ? "nothing found" : `${textOfCount(scrub.pass_findings)} found`;
  const clean = scrub.last_clean > 0 ? `last clean pass ${textOfDay(scrub.last_clean)}` : "no clean pass yet";
  showFill("scrub", scrub.page, scrub.pages, `${scrub.state}, page ${textOfCount(scrub.page)} of `
    + `${textOfCount(scrub.pages)}, ${found}, ${clean}`);
}

const warned = new Set();
function showWarnings(status) {
  const list = byId("warnings");
  byId("no-warnings").hidden = status.warnings.length > 0;
  for (const warning of status.warnings) {
    if (warned.has(warning.number)) continue;
    warned.add(warning.number);
    const at = new Date(Date.now() - warning.age_ms);
    list.prepend(make("li", {class: warning.level},
      make("time", {datetime: at.toISOString()}, at.toLocaleString("sv-SE")),
      make("b", {}, warning.level), " " + warning.text));
    while (list.children.length > 16) list.lastChild.remove();
  }
}

function showPairs(status) {
  const {counters, engine} = status;
  const pairs = [["Store", status.store ? status.store.uuid : ""], ["Data", status.data], ["Index", status.index]];
  if (status.recovery) {
    pairs.push(["Last start", `${status.recovery.clean ? "after a clean stop" : "recovered"} in ${textOfMicros(status.recovery.recovery_ms * 1000)}`]);
  }
  if (engine) {
    pairs.push(["Blocks healed", textOfCount(engine.heals)], ["Blocks marked corrupt", textOfCount(engine.marks)],
      ["Scrub since start", `${textOfCount(status.scrub.repaired)} repaired, ${textOfCount(status.scrub.marked)} marked, `
        + `${textOfCount(status.scrub.left)} left`],
      ["Zones in use", `${textOfCount(status.space.zones_open)} of ${textOfCount(status.space.zones)}`],
      ["Flushes", textOfCount(status.journal.flushes)],
      ["Operations per flush", status.journal.windows > 0
        ? round3(status.journal.window_items / status.journal.windows) : "\u2013"]);
  }
  pairs.push(["Connections", `${textOfCount(status.connections.open)} of ${textOfCount(status.connections.max)}`],
    ["Replies 4xx", textOfCount(counters.status_4xx)], ["Replies 5xx", textOfCount(counters.status_5xx)],
    ["Transfers shed", textOfCount(counters.shed)], ["Timeouts", textOfCount(counters.timeouts)],
    ["Memory limit", textOfBytes(status.memory.limit)], ["Workers", textOfCount(status.workers)]);
  const list = byId("pairs");
  while (list.children.length > pairs.length) list.lastChild.remove();
  pairs.forEach(([name, value], i) => {
    if (i === list.children.length) list.append(make("div", {}, make("dt"), make("dd")));
    say(list.children[i].firstChild, name);
    say(list.children[i].lastChild, value);
  });
}

function show(status) {
  const good = status.state === "ready";
  say(byId("state"), status.state);
  byId("state").className = good ? "pill good" : "pill";
  say(byId("label"), status.store ? status.store.label : "");
  say(byId("uptime"), "up " + textOfTime(status.uptime_ms));
  say(byId("version"), "version " + status.version);
  say(byId("notice"), good ? "" : status.detail);
  if (status.space) {
    showTile("blocks", textOfCount(status.blocks), textOfCount(status.delta.index_room) + " more fit", status.blocks);
    showTile("used", textOfBytes(status.space.used), textOfPercent(status.space.used / status.space.total) + " of "
      + textOfBytes(status.space.total), status.space.used);
    showFills(status);
  }
  showWarnings(status);
  showPairs(status);
}

/* ---- the loop ---- */

function lost() {
  last = null;
  say(byId("state"), "no answer");
  byId("state").className = "pill bad";
  say(byId("notice"), "The server does not answer; asking again every second.");
}

async function turn() {
  if (waiting || paused || document.hidden) return;
  waiting = true;
  try {
    const status = await askFor("/status");
    if (status === null) {
      waiting = false;
      lost();
      return;
    }
    byId("forget").hidden = sessionStorage.getItem(TOKEN_KEY) === null;
    const now = {status};
    show(status);
    if (last !== null) showRates(last, now);
    last = now;
    const whole = status.state === "ready" || (status.state === "read-only" && status.read_only);
    if (whole && turns++ % MAP_EVERY === 0) await map.turn(false);
    waiting = false;
  } catch (error) {
    waiting = false;
    if (error instanceof Refused) askForToken(error.message);
    else lost();
  }
}

document.addEventListener("visibilitychange", () => {
  last = null; /* a rate over the time away would mean nothing */
  turn();
});
setInterval(turn, PERIOD_MS);
turn();
