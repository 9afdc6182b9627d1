// The diagram on its canvas: lanes from top to bottom, time from left to right.
const canvas = document.getElementById("canvas"), overview = document.getElementById("overview");
const gutter = 118, axisHeight = 24, memberHeight = 104, lineHeight = 15;
const lineLimit = 2500, arrowLimit = 500; // messages drawn as lines, and with arrow heads

const view = {
  from: run.focus.from, to: run.focus.to, width: 0, height: 0,
  classes: new Set(classNames), members: new Set(Array.from({ length: run.members }, (_, i) => i)),
  parts: new Set(["disk", "faults", "notes", "clients", "watchers"]),
  filter: "", matching: null, chosen: null, marked: [],
};

let colours = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  colours = {};
  for (const name of ["paper", "card", "ink", "soft", "rule", "bad", "good", "accent", "band",
    "halo", "fault", "fault-line", "write", "sync", "ok", "unknown", "refused", "commit",
    "applied", "last", ...classNames]) {
    colours[name] = style.getPropertyValue("--" + name).trim();
  }
}

// termColour is a calm hue for a term; neighbours differ much.
function termColour(term, strong) {
  const dark = document.documentElement.classList.contains("dark");
  const hue = (term * 137 + 190) % 360;
  if (strong) return `hsl(${hue} ${dark ? 38 : 42}% ${dark ? 42 : 58}%)`;
  return `hsl(${hue} ${dark ? 25 : 38}% ${dark ? 26 : 87}%)`;
}

// busy are the lanes on which anything happens.
const busy = new Set([...calls.column("client"), ...watches.column("client")]);

// layout places the lanes: y of each, and the whole height.
function layout() {
  let y = axisHeight + (view.parts.has("faults") ? shownRows() * 13 + 6 : 2);
  view.lanes = run.lanes.map((name, i) => {
    const watching = name.startsWith("watching");
    const shown = i < run.members ? view.members.has(i)
      : busy.has(i) && view.parts.has(watching ? "watchers" : "clients");
    const height = i < run.members ? memberHeight : lineHeight;
    const lane = { name, shown, y, height, member: i < run.members };
    if (shown) y += height;
    return lane;
  });
  view.height = y + 10;
}

// wire is where the messages of a lane leave and arrive.
const wire = i => view.lanes[i].y + (view.lanes[i].member ? 48 : lineHeight / 2);
const x = t => gutter + (t - view.from) / (view.to - view.from) * (view.width - gutter);
const timeAt = px => view.from + (px - gutter) / (view.width - gutter) * (view.to - view.from);

// faultRows stacks the faults of the whole run so that those in force together do not overlap.
let stacked = null;
function faultRows() {
  if (stacked) return stacked;
  const free = [], row = [];
  for (let i = 0; i < faults.length; i++) {
    const end = faults.get("to", i) < 0 ? run.end : faults.get("to", i);
    let at = free.findIndex(t => t <= faults.get("at", i));
    if (at < 0) at = free.length < 5 ? free.length : i % 5;
    free[at] = end;
    row.push(at);
  }
  stacked = { row };
  return stacked;
}

// shownRows is how many rows of faults the window needs.
function shownRows() {
  const { row } = faultRows();
  let rows = 0;
  for (let i = 0; i < faults.length; i++) {
    const to = faults.get("to", i) < 0 ? run.end : faults.get("to", i);
    if (to >= view.from && faults.get("at", i) <= view.to) rows = Math.max(rows, row[i] + 1);
  }
  return rows;
}

function prepare(element, height) {
  const ratio = window.devicePixelRatio || 1;
  const width = view.printing ? Math.max(1200, 1.7 * height) : element.clientWidth;
  element.width = Math.round(width * ratio);
  element.height = Math.round(height * ratio);
  element.style.height = height + "px";
  const g = element.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.font = "11px system-ui, -apple-system, 'Segoe UI', Arial, sans-serif";
  g.textBaseline = "middle";
  return { g, width };
}

function draw() {
  layout();
  const { g, width } = prepare(canvas, view.height);
  view.width = width;
  g.fillStyle = colours.paper;
  g.fillRect(0, 0, width, view.height);
  drawLanes(g);
  g.save();
  g.beginPath();
  g.rect(gutter, 0, width - gutter, view.height);
  g.clip();
  drawAxis(g);
  if (view.parts.has("faults")) drawFaults(g);
  for (let m = 0; m < run.members; m++) {
    if (view.members.has(m)) drawMember(g, m);
  }
  if (view.parts.has("disk")) drawDisk(g);
  for (let m = 0; m < run.members; m++) {
    if (view.members.has(m)) shadeDown(g, m);
  }
  drawCalls(g);
  drawWatches(g);
  drawMessages(g);
  drawLives(g);
  drawNotes(g);
  drawMoment(g);
  g.restore();
  drawOverview();
  canvas.dataset.from = Math.round(view.from);
  canvas.dataset.to = Math.round(view.to);
}

function drawLanes(g) {
  view.lanes.forEach((lane, i) => {
    if (!lane.shown) return;
    g.strokeStyle = colours.rule;
    g.beginPath();
    g.moveTo(0, lane.y + .5);
    g.lineTo(view.width, lane.y + .5);
    g.stroke();
    const loud = run.focus.members.includes(i);
    g.fillStyle = loud ? colours.bad : lane.member ? colours.ink : colours.soft;
    g.font = (lane.member ? "600 12.5px" : "11px") + " system-ui, 'Segoe UI', Arial, sans-serif";
    g.fillText(lane.name.replace("watching client", "watcher"), 10, lane.member ? lane.y + 48 : lane.y + 8);
    if (!lane.member) return;
    g.font = "10px system-ui, 'Segoe UI', Arial, sans-serif";
    g.fillStyle = colours.soft;
    const id = run.ids[i];
    g.fillText("id " + (id.length > 9 ? id.slice(0, 8) + "…" : id), 10, lane.y + 62);
    g.textAlign = "right";
    const { low, high } = indexRange();
    g.fillText(high, gutter - 6, lane.y + 8);
    g.fillText("index", gutter - 6, lane.y + 20);
    g.fillText(low, gutter - 6, lane.y + 32);
    g.fillText("role", gutter - 6, lane.y + 48);
    if (view.parts.has("disk")) {
      names.disklanes.forEach((n, k) => g.fillText("disk " + n, gutter - 6, lane.y + 69 + k * 11));
    }
    g.textAlign = "left";
  });
}

function drawAxis(g) {
  const wanted = (view.to - view.from) / Math.max(2, (view.width - gutter) / 130);
  const power = Math.pow(10, Math.floor(Math.log10(wanted)));
  const step = [1, 2, 5, 10].map(k => k * power).find(s => s >= wanted);
  const digits = Math.max(0, Math.min(6, 9 - Math.floor(Math.log10(step) + 1e-9)));
  g.font = "10.5px system-ui, 'Segoe UI', Arial, sans-serif";
  for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) {
    g.strokeStyle = colours.rule;
    g.beginPath();
    g.moveTo(x(t), axisHeight - 6);
    g.lineTo(x(t), view.height);
    g.stroke();
    g.fillStyle = colours.soft;
    g.fillText((t / 1e9).toFixed(digits) + " s", x(t) + 3, 10);
  }
}

function drawFaults(g) {
  const { row } = faultRows();
  for (let i = 0; i < faults.length; i++) {
    const from = faults.get("at", i), to = faults.get("to", i) < 0 ? run.end : faults.get("to", i);
    if (to < view.from || from > view.to) continue;
    const a = Math.max(x(from), gutter), b = Math.max(Math.min(x(to), view.width), a + 2);
    const y = axisHeight + row[i] * 13;
    g.fillStyle = colours.fault;
    g.fillRect(a, y, b - a, 12);
    const set = faults.get("members", i);
    for (let m = 0; m < run.members; m++) {
      if (view.members.has(m) && Math.floor(set / 2 ** m) % 2) {
        g.fillRect(a, view.lanes[m].y, b - a, memberHeight);
      }
    }
    g.fillStyle = colours["fault-line"];
    g.fillRect(a, y, b - a, 1.5);
    if (b - a > 26) label(g, `${faults.get("id", i)} ${text(faults.get("kind", i))}`, a + 3, y + 7, b - a - 5, colours.ink);
  }
}

// label writes words if they fit.
function label(g, words, px, y, room, colour) {
  g.font = "10.5px system-ui, 'Segoe UI', Arial, sans-serif";
  if (g.measureText(words).width > room) return false;
  g.fillStyle = colour;
  g.fillText(words, px, y);
  return true;
}

// drawMember draws what a member is over time: its role by term, and how far its log has come.
function drawMember(g, m) {
  const rows = statesOf[m], y = view.lanes[m].y + 41;
  let k = Math.max(0, first(stateTimes[m], view.from) - 1);
  const points = [];
  for (let a = k, lastX = -9; k < rows.length && stateTimes[m][k] <= view.to; k++) {
    points.push(rows[k]);
    const same = k + 1 < rows.length && stateTimes[m][k + 1] <= view.to &&
      ["role", "term", "run"].every(n => states.get(n, rows[k + 1]) === states.get(n, rows[a]));
    if (same) continue;
    const end = k + 1 < rows.length ? stateTimes[m][k + 1] : run.end;
    const from = Math.max(x(stateTimes[m][a]), gutter), to = Math.min(x(end), view.width);
    if (to - lastX >= .5) drawRole(g, rows[a], from, Math.max(to, from + 1), y);
    lastX = to;
    a = k + 1;
  }
  drawIndexes(g, m, points);
}

function drawRole(g, i, from, to, y) {
  const role = names.roles[states.get("role", i)], term = states.get("term", i);
  const leads = role === "leader";
  g.fillStyle = termColour(term, leads);
  g.fillRect(from, leads ? y - 2 : y, to - from, leads ? 18 : 14);
  if (role.endsWith("candidate")) {
    g.fillStyle = colours.halo;
    g.fillRect(from, y, to - from, 3);
  }
  const words = `${role} · term ${term}`;
  label(g, words, from + 4, y + 7.5, to - from - 6, colours.ink) ||
    label(g, "term " + term, from + 4, y + 7.5, to - from - 6, colours.ink);
}

// drawIndexes draws commit, applied, durable and last index, on one scale for all members.
function drawIndexes(g, m, points) {
  const y = view.lanes[m].y + 6, height = 28, { low, high } = indexRange();
  const scale = v => y + height - (v - low) / Math.max(high - low, 1) * height;
  for (const name of ["last", "durable", "commit", "applied"]) {
    g.strokeStyle = { last: colours.last, durable: colours.sync, commit: colours.commit,
      applied: colours.applied }[name];
    g.lineWidth = name === "applied" ? 1.6 : 1;
    g.setLineDash(name === "durable" ? [3, 2] : []);
    g.beginPath();
    let before = null, lastX = -9;
    for (const i of points) {
      const px = Math.max(x(states.get("at", i)), gutter), py = scale(states.get(name, i));
      if (before === null) g.moveTo(px, py);
      else if (px - lastX > .4) { g.lineTo(px, before); g.lineTo(px, py); }
      before = py;
      lastX = px;
    }
    if (before !== null) g.lineTo(Math.min(x(run.end), view.width), before);
    g.stroke();
  }
  g.setLineDash([]);
  g.lineWidth = 1;
}

function indexRange() {
  const key = view.from + " " + view.to + " " + view.members.size;
  if (view.range && view.range.key === key) return view.range;
  let low = Infinity, high = 0;
  for (const m of view.members) {
    const k = Math.max(0, first(stateTimes[m], view.from) - 1);
    const end = first(stateTimes[m], view.to);
    for (let i = k; i < end; i++) {
      low = Math.min(low, states.get("applied", statesOf[m][i]) || low); // a newcomer has none
      high = Math.max(high, states.get("last", statesOf[m][i]));
    }
  }
  view.range = { key, low: low === Infinity ? 0 : low, high };
  return view.range;
}

function drawDisk(g) {
  const last = new Float64Array(run.members * 3).fill(-1);
  const wide = (view.to - view.from) / (view.width - gutter); // nanoseconds of a pixel
  spans.disk.each(view.from, view.to, i => {
    const m = disk.get("member", i);
    if (!view.members.has(m) || hidden("disk", i)) return;
    const lane = disk.get("lane", i), at = disk.get("at", i), took = disk.get("took", i);
    const fate = disk.get("fate", i), status = disk.get("status", i);
    const end = took < 0 ? endOfOp(i) : at + took;
    const odd = fate !== 1 || status === 3;
    if (!odd && end < last[m * 3 + lane] + wide) return; // another one fills this pixel
    last[m * 3 + lane] = end;
    const begun = disk.get("begun", i), y = view.lanes[m].y + 65 + lane * 11;
    const a = x(at), b = Math.max(x(end), a + 1), c = begun < 0 ? b : Math.max(x(at + begun), a);
    g.fillStyle = colours.rule;
    g.fillRect(a, y + 3, c - a, 3); // it waits
    const sync = [2, 7].includes(disk.get("kind", i));
    g.fillStyle = fate === 2 || status === 3 ? colours.bad : sync ? colours.sync : colours.write;
    g.fillRect(c, y, Math.max(b - c, 1), 9);
    if (fate === 0 || fate === 3) {
      g.strokeStyle = colours.bad;
      g.strokeRect(a + .5, y + .5, Math.max(b - a - 1, 1), 8);
    }
    const entries = disk.get("first", i);
    const words = names.diskkinds[disk.get("kind", i)] +
      (entries ? ` ${entries}..${disk.get("last", i)}` : "");
    if (b - a > 40) label(g, words, Math.max(a, gutter) + 3, y + 5, b - Math.max(a, gutter) - 4, sync ? colours.card : colours.ink);
  });
}

// endOfOp is when an operation without an end was dropped: at its process's end, or the run's.
function endOfOp(i) {
  const at = disk.get("at", i);
  if (disk.get("fate", i) === 3) {
    for (const k of livesOf[disk.get("member", i)]) {
      if (lives.get("at", k) >= at && [1, 2].includes(lives.get("life", k))) return lives.get("at", k);
    }
  }
  return run.end;
}
