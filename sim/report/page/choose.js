// Pointing at the diagram, filters, and the start.
// nearest finds what lies under a point of the diagram.
function nearest(px, py) {
  const t = timeAt(px), slack = (view.to - view.from) / (view.width - gutter) * 5;
  if (py < view.lanes[0].y && view.parts.has("faults")) {
    const { row } = faultRows(), at = Math.floor((py - axisHeight) / 13);
    for (let i = faults.length - 1; i >= 0; i--) {
      const to = faults.get("to", i) < 0 ? run.end : faults.get("to", i);
      if (row[i] === at && faults.get("at", i) <= t + slack && to >= t - slack) return { kind: "faults", item: i };
    }
    return null;
  }
  const laneAt = view.lanes.findIndex(l => l.shown && py >= l.y && py < l.y + l.height);
  if (laneAt < 0) return null;
  const found = inLane(laneAt, t, py, slack);
  if (found && found.kind !== "states") return found;
  return nearestMessage(px, py) || found;
}

function inLane(k, t, py, slack) {
  const lane = view.lanes[k], inside = py - lane.y;
  if (lane.member) {
    if (view.parts.has("disk") && inside >= 63) {
      let best = null;
      spans.disk.each(t - slack, t + slack, i => {
        if (disk.get("member", i) === k && Math.floor((inside - 64) / 11) === disk.get("lane", i)) best = i;
      });
      if (best !== null) return { kind: "disk", item: best };
    }
    if (inside < 8) {
      const at = notes.column("at");
      for (let i = first(at, t - slack); i < notes.length && at[i] <= t + slack; i++) {
        if (notes.get("member", i) === k) return { kind: "notes", item: i };
      }
    }
    for (const i of livesOf[k]) {
      if (Math.abs(lives.get("at", i) - t) < slack && inside > 34 && inside < 63) return { kind: "lives", item: i };
    }
    const i = stateAt(k, t);
    return i < 0 ? null : { kind: "states", item: i, time: t };
  }
  const rows = watchLanes.get(k);
  if (rows) {
    const near = rows.filter(i => Math.abs(seen.get("time", i) - t) < slack);
    if (near.length) return { kind: "seen", item: near[0] };
  }
  let call = null;
  spans.calls.each(t - slack, t + slack, i => { if (calls.get("client", i) === k) call = i; });
  return call === null ? null : { kind: "calls", item: call };
}

function nearestMessage(px, py) {
  if (canvas.dataset.drawn !== "lines") return null;
  let best = null, distance = 6;
  spans.messages.each(view.from, view.to, i => {
    if (!shownMessage(i)) return;
    for (const copy of [1, 2]) {
      const s = segment(i, copy);
      if (!s) continue;
      const dx = s.x2 - s.x1, dy = s.y2 - s.y1;
      const part = Math.max(0, Math.min(1, ((px - s.x1) * dx + (py - s.y1) * dy) / (dx * dx + dy * dy || 1)));
      const d = Math.hypot(px - s.x1 - part * dx, py - s.y1 - part * dy);
      if (d < distance) { distance = d; best = i; }
    }
  });
  return best === null ? null : { kind: "messages", item: best };
}

// The filter keeps what has every word in its description.
let filterTimer = null;
function applyFilter() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  view.matching = null;
  view.hits = [];
  $("matches").textContent = "";
  if (words.length) {
    view.matching = {};
    const look = (kind, describe) => {
      const set = view.matching[kind] = new Set();
      for (let i = 0; i < tables[kind].length; i++) {
        const about = describe(i).toLowerCase();
        if (words.every(w => about.includes(w))) {
          set.add(i);
          view.hits.push({ kind, item: i, at: tables[kind].get("at", i) });
        }
      }
    };
    look("messages", i => `${messageTitle(i)} ${lane(messages.get("from", i))} ${lane(messages.get("to", i))} term ${messages.get("term", i)} ${dropped(i) ? "dropped" : ""} ${messages.get("cause", i) ? names.causes[messages.get("cause", i)] : ""}`);
    look("calls", i => titles.calls(i) + " " + text(calls.get("end", i)));
    look("disk", i => diskTitle(i) + " member " + disk.get("member", i));
    look("lives", i => titles.lives(i));
    look("notes", i => titles.notes(i));
    view.hits.sort((a, b) => a.at - b.at);
    $("matches").textContent = view.hits.length + " match" + (view.hits.length === 1 ? "" : "es");
  }
  redraw();
}

// nextHit goes to the next match behind the middle of the diagram.
function nextHit(back) {
  if (!view.hits || !view.hits.length) return;
  const now = view.chosen && view.hit !== undefined ? view.hit : -1;
  const inside = view.hits.findIndex(h => h.at > view.from);
  view.hit = now < 0 ? Math.max(inside, 0) : (now + (back ? -1 : 1) + view.hits.length) % view.hits.length;
  const hit = view.hits[view.hit];
  centre(hit.at);
  choose(hit.kind, hit.item);
}

function centre(t) {
  const width = view.to - view.from;
  if (t < view.from + width * .08 || t > view.to - width * .08) show(t - width / 2, t + width / 2);
}

function chip(words, on, toggle, colour) {
  const b = element("button", { className: "chip", type: "button" });
  if (colour) { b.append(element("i")); b.firstChild.style.setProperty("--c", `var(--${colour})`); }
  b.append(words);
  b.setAttribute("aria-pressed", on);
  b.onclick = () => {
    const next = b.getAttribute("aria-pressed") !== "true";
    b.setAttribute("aria-pressed", next);
    toggle(next);
    redraw();
  };
  return b;
}

const setIn = (set, item) => on => on ? set.add(item) : set.delete(item);

function buildChips() {
  const chips = $("chips");
  for (let m = 0; m < run.members; m++) {
    chips.append(chip("member " + m, true, setIn(view.members, m)));
  }
  chips.append(element("span", { className: "gap" }));
  for (const c of classNames) chips.append(chip(c, view.classes.has(c), setIn(view.classes, c), c));
  chips.append(element("span", { className: "gap" }));
  for (const p of ["disk", "faults", "clients", "watchers"]) {
    chips.append(chip(p, view.parts.has(p), setIn(view.parts, p)));
  }
}

function buildStory() {
  const story = $("story");
  story.append(element("h2", { textContent: run.verdict.failed ? "What led to it" : "This run" }));
  if (!run.verdict.failed) {
    story.append(facts(run.counts.map(c => [c.name, c.value.toLocaleString("en")])));
  }
  const list = element("ol");
  for (const l of run.story) {
    const item = element("li", { className: l.key ? "key" : "" },
      element("time", { textContent: seconds(l.at) }), l.text);
    item.onclick = () => {
      list.querySelectorAll(".on").forEach(e => e.classList.remove("on"));
      item.classList.add("on");
      centre(l.at);
      choose(l.kind, l.item, l.kind === "states" || l.kind === "watches" ? l.at : undefined);
    };
    list.append(item);
  }
  story.append(list, element("h3", { textContent: "see it again" }));
  for (const c of run.repeat) story.append(element("code", { className: "command", textContent: c }));
  view.marked = run.story.filter(l => l.key).map(l => ({ kind: l.kind, item: l.item }));
}

function openTab(name) {
  for (const b of document.querySelectorAll("[role=tab]")) {
    const on = b.dataset.tab === name;
    b.setAttribute("aria-selected", on);
    $(b.dataset.tab).hidden = !on;
  }
  $("tools").style.visibility = name === "diagram" ? "" : "hidden";
  if (name === "history" && !$("history").firstChild) {
    $("history").append(picture ? element("iframe", { srcdoc: picture, title: "the history as porcupine draws it" })
      : element("p", { textContent: "There is no history to draw." }));
  }
  if (name === "diagram") redraw();
}

function listen() {
  $("zoom-in").onclick = () => zoom(.5);
  $("zoom-out").onclick = () => zoom(2);
  $("whole").onclick = () => show(0, run.end);
  $("failure").onclick = () => show(run.focus.from, run.focus.to);
  $("failure").hidden = !run.verdict.failed;
  $("theme").onclick = () => { document.documentElement.classList.toggle("dark"); readColours(); redraw(); };
  $("filter").oninput = () => { clearTimeout(filterTimer); view.hit = undefined; filterTimer = setTimeout(applyFilter, 120); };
  $("filter").onkeydown = e => { if (e.key === "Enter") nextHit(e.shiftKey); };
  for (const b of document.querySelectorAll("[role=tab]")) b.onclick = () => openTab(b.dataset.tab);
  canvas.addEventListener("wheel", e => {
    if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) shift((e.deltaX || e.deltaY) / 1500);
    else zoom(Math.exp(e.deltaY / 400), timeAt(Math.max(e.offsetX, gutter)));
    e.preventDefault();
  }, { passive: false });
  let drag = null;
  canvas.onpointerdown = e => {
    drag = { x: e.clientX, y: e.clientY, from: view.from, to: view.to, top: $("scroll").scrollTop, moved: false };
    canvas.setPointerCapture(e.pointerId);
  };
  canvas.onpointermove = e => {
    if (!drag) return;
    const dx = e.clientX - drag.x, dy = e.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    drag.moved = true;
    canvas.classList.add("dragging");
    const t = dx / (view.width - gutter) * (drag.to - drag.from);
    show(drag.from - t, drag.to - t);
    $("scroll").scrollTop = drag.top - dy;
  };
  canvas.onpointerup = e => {
    canvas.classList.remove("dragging");
    if (drag && !drag.moved) {
      const hit = nearest(e.offsetX, e.offsetY);
      if (hit) choose(hit.kind, hit.item, hit.time);
    }
    drag = null;
  };
  const jump = e => {
    if (e.buttons !== 1) return;
    const t = (e.offsetX - gutter) / (overview.clientWidth - gutter) * run.end, half = (view.to - view.from) / 2;
    show(t - half, t + half);
  };
  overview.onpointerdown = overview.onpointermove = jump;
  document.addEventListener("keydown", e => {
    if (e.target.tagName === "INPUT") return;
    const act = { "+": () => zoom(.5), "=": () => zoom(.5), "-": () => zoom(2), ArrowLeft: () => shift(-.2),
      ArrowRight: () => shift(.2), 0: () => show(0, run.end), f: () => show(run.focus.from, run.focus.to) }[e.key];
    if (act) { act(); e.preventDefault(); }
  });
  window.addEventListener("resize", redraw);
  const printing = on => () => {
    const root = document.documentElement;
    if (on) { view.dark = root.classList.contains("dark"); root.classList.remove("dark"); }
    else if (view.dark) root.classList.add("dark");
    root.classList.toggle("print", on);
    view.printing = on;
    readColours();
    draw();
  };
  window.addEventListener("beforeprint", printing(true));
  window.addEventListener("afterprint", printing(false));
}

const guide = [
  ["lanes", "One for each member: how far its log has come (the applied index in green, the committed one, the durable one in dashes, and the last one pale), its role (the colour is the term, a leader is darker), and the three lanes of its disk. Below them clients and watchers."],
  ["messages", "Lines between lanes; a red cross is where one was dropped, dashes are a second copy, a held one, or one still under way. Where there are too many, bars say how many leave each lane, and in red how many were lost."],
  ["disk", "A thin line while an operation waits, a bar while the device works on it: pale for writes, dark for syncs. A red frame is one that never finished."],
  ["faults", "Spans on top, and shaded on the lanes of the members concerned."],
  ["notes", "A small triangle on top of a member's lane is a line of its log."],
  ["crashes", "A red bar where a process stops (with a cap where power is lost), a green triangle where it starts; it is hatched while down."],
  ["clients", "A bar for each call: answered, refused (amber), or without an answer (grey)."],
  ["moving", "The wheel zooms, shift and wheel or dragging moves; + − ← → 0 f do the same. A click shows what is there and the state of its members. Enter in the filter goes to the next match."],
];

function start() {
  if (matchMedia("(prefers-color-scheme: dark)").matches) document.documentElement.classList.add("dark");
  const v = run.verdict;
  $("kicker").textContent = `seed ${run.seed} · ${run.members} machines · ${span(run.end)} virtual · ${run.events.toLocaleString("en")} events · trace ${run.hash}` + (run.commit ? ` · commit ${run.commit}` : "");
  $("verdict").textContent = v.sentence;
  $("verdict").className = v.failed ? "failed" : "passed";
  $("message").textContent = v.message;
  $("plan-text").textContent = run.plan;
  if (!v.failed) for (const c of ["client", "watch", "heartbeat"]) view.classes.delete(c);
  if (v.failed && !["LIN", "MODEL", "CODEC"].includes(v.oracle)) view.classes.delete("client");
  if (v.failed && !run.story.some(l => l.kind === "watches")) view.classes.delete("watch");
  const list = element("dl");
  for (const [term, words] of guide) list.append(element("dt", { textContent: term }), element("dd", { textContent: words }));
  $("guide").append(element("h2", { textContent: "How to read it" }), list);
  readColours();
  buildChips();
  buildStory();
  $("details").append(element("p", { className: "hint", textContent: "A click on the diagram, or on a line of the story, shows what is there and the state of the members concerned." }));
  listen();
  show(run.focus.from, run.focus.to);
  draw();
  document.body.dataset.ready = Math.round(performance.now());
}
start();
