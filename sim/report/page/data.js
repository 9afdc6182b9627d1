// What the page is made from: columns of numbers, unpacked when they are first asked for.
const run = JSON.parse(document.getElementById("data").textContent);
const names = run.names;

class Table {
  constructor(packed) {
    this.packed = packed;
    this.columns = {};
    const any = Object.values(packed)[0] || [];
    this.length = any.n === undefined ? any.length : any.n;
  }

  column(name) {
    return this.columns[name] || (this.columns[name] = this.unpack(name));
  }

  unpack(name) {
    const packed = this.packed[name] || [];
    const list = new Float64Array(this.length);
    if (packed.n === undefined) {
      list.set(packed);
    } else {
      for (let i = 0, at = 0; i < packed.s.length; i += 2) {
        at += packed.s[i];
        list[at] = packed.s[i + 1];
      }
    }
    if (name === "at" || name === "event") {
      for (let i = 1; i < list.length; i++) list[i] += list[i - 1];
    }
    return list;
  }

  get(name, i) { return this.column(name)[i]; }
}

const tables = {};
for (const [name, packed] of Object.entries(run.tables)) tables[name] = new Table(packed);
const { states, messages, disk, calls, lives, notes, faults, watches, seen } = tables;

// first is the first position in an ascending list whose value is not below x.
function first(list, x, from = 0, to = list.length) {
  while (from < to) {
    const mid = (from + to) >> 1;
    if (list[mid] < x) from = mid + 1; else to = mid;
  }
  return from;
}

// Spans finds what overlaps a window among things sorted by their beginning.
class Spans {
  constructor(starts, ends) {
    this.starts = starts;
    this.ends = ends;
    this.latest = []; // by block: the latest end
    for (let i = 0; i < starts.length; i += Spans.block) {
      let latest = 0;
      for (let k = i; k < Math.min(i + Spans.block, starts.length); k++) {
        if (ends[k] > latest) latest = ends[k];
      }
      this.latest.push(latest);
    }
  }

  each(from, to, visit) {
    const stop = first(this.starts, to);
    for (let b = 0; b * Spans.block < stop; b++) {
      if (this.latest[b] < from) continue;
      const end = Math.min((b + 1) * Spans.block, stop);
      for (let i = b * Spans.block; i < end; i++) {
        if (this.ends[i] >= from) visit(i);
      }
    }
  }
}
Spans.block = 256;

// ends adds durations to beginnings; what has no end lasts until the run's.
function ends(table, took) {
  const at = table.column("at"), list = table.column(took);
  return at.map((t, i) => list[i] < 0 ? run.end : t + list[i]);
}

const arrivals = (() => {
  const at = messages.column("at"), one = messages.column("took"), two = messages.column("took2");
  return at.map((t, i) => t + Math.max(one[i], two[i], 0));
})();
const spans = {
  messages: new Spans(messages.column("at"), arrivals),
  disk: new Spans(disk.column("at"), ends(disk, "took")),
  calls: new Spans(calls.column("at"), ends(calls, "took")),
};

// statesOf lists the rows of each member's states.
const statesOf = Array.from({ length: run.members }, () => []);
states.column("member").forEach((m, i) => statesOf[m].push(i));
const stateTimes = statesOf.map(rows => rows.map(i => states.get("at", i)));
const livesOf = Array.from({ length: run.members }, () => []);
lives.column("member").forEach((m, i) => livesOf[m].push(i));

// stateAt is the row of a member's state at a time, -1 before its first.
function stateAt(member, time) {
  const i = first(stateTimes[member], time + 0.5);
  return i === 0 ? -1 : statesOf[member][i - 1];
}

// aliveAt says whether a member's process runs, as of its last change before a time.
function lifeAt(member, time) {
  let last = -1;
  for (const i of livesOf[member]) {
    if (lives.get("at", i) > time) break;
    if (lives.get("life", i) <= 3) last = i;
  }
  return last;
}

const watchLanes = new Map();
for (let i = 0; i < seen.length; i++) {
  const lane = watches.get("client", seen.get("watch", i));
  if (!watchLanes.has(lane)) watchLanes.set(lane, []);
  watchLanes.get(lane).push(i);
}
for (const rows of watchLanes.values()) {
  rows.sort((a, b) => seen.get("time", a) - seen.get("time", b));
}
