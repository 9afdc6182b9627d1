// What the reader does: tabs, zoom, filters, choices; and the words beside the diagram.
const $ = id => document.getElementById(id);

function element(tag, options = {}, ...children) {
  const e = Object.assign(document.createElement(tag), options);
  e.append(...children);
  return e;
}

let waiting = false;
function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function show(from, to) {
  const width = Math.min(Math.max(to - from, 2000), run.end * 1.04);
  const middle = (from + to) / 2;
  view.from = Math.min(Math.max(middle - width / 2, -run.end * .02), run.end * 1.02 - width);
  view.to = view.from + width;
  redraw();
}

function zoom(factor, at = (view.from + view.to) / 2) {
  show(at - (at - view.from) * factor, at + (view.to - at) * factor);
}

const shift = part => show(view.from + part * (view.to - view.from), view.to + part * (view.to - view.from));

// Facts about what was chosen.
function facts(rows) {
  const body = element("tbody");
  for (const [name, value] of rows) {
    body.append(element("tr", {}, element("th", { textContent: name }), element("td", { textContent: value })));
  }
  return element("table", { className: "facts" }, body);
}

function memberState(m, time, event) {
  const box = element("div", { className: "state" });
  const i = stateAt(m, time), life = lifeAt(m, time);
  box.append(element("h3", { textContent: `member ${m} at ${seconds(time)}` }));
  if (life >= 0 && lives.get("life", life) !== 0) {
    box.append(element("p", { textContent: names.lives[lives.get("life", life)] + " at " +
      seconds(lives.get("at", life)) + " " + text(lives.get("reason", life)) }));
  }
  if (i >= 0) box.append(facts(stateFacts(i)));
  const open = openOps(m, time);
  if (open.length) {
    box.append(element("h3", { textContent: "its disk, not finished then" }),
      facts(open.slice(0, 12).map(k => [names.disklanes[disk.get("lane", k)], diskTitle(k) + " since " + seconds(disk.get("at", k))])));
  }
  const at = event !== undefined ? event : i >= 0 ? states.get("event", i) : 0;
  box.append(element("code", { className: "command",
    textContent: `${run.repeat[0].replace(/ --to .*/, "")} --to ${at} --member ${m}` }));
  return box;
}

function openOps(m, time) {
  const open = [];
  spans.disk.each(time, time + 1, i => {
    if (disk.get("member", i) === m && disk.get("at", i) <= time &&
      (disk.get("took", i) < 0 ? endOfOp(i) : disk.get("at", i) + disk.get("took", i)) > time) open.push(i);
  });
  return open;
}

// choose shows a thing beside the diagram, with the state of the members that it concerns.
function choose(kind, item, time) {
  view.chosen = { kind, item, time };
  const panel = $("details");
  panel.parentElement.classList.add("chosen");
  panel.scrollTop = 0;
  panel.replaceChildren(element("h2", { textContent: titles[kind](item) }));
  panel.dataset.kind = kind;
  panel.dataset.item = item;
  const members = [];
  const isMember = i => i < run.members;
  switch (kind) {
    case "messages": {
      panel.append(facts(messageFacts(item)));
      const at = messages.get("at", item), event = messages.get("event", item);
      const from = messages.get("from", item), to = messages.get("to", item);
      if (isMember(from)) members.push([from, at, event]);
      if (isMember(to) && messages.get("took", item) >= 0) {
        members.push([to, at + messages.get("took", item), messages.get("steps", item) ? event + messages.get("steps", item) : undefined]);
      }
      break;
    }
    case "disk":
      panel.append(facts(diskFacts(item)));
      members.push([disk.get("member", item), disk.get("at", item), disk.get("event", item)]);
      break;
    case "calls":
      panel.append(facts(callFacts(item)));
      members.push([calls.get("member", item), calls.get("at", item) + Math.max(calls.get("took", item), 0)]);
      break;
    case "faults":
      panel.append(facts([["begins", seconds(faults.get("at", item)) + ", event " + faults.get("event", item)],
        ["ends", faults.get("to", item) < 0 ? "not before the end" : seconds(faults.get("to", item))],
        ["felt", faults.get("felt", item) + " times"]]));
      break;
    case "lives":
    case "notes":
      if (kind === "lives") panel.append(facts([["at", seconds(lives.get("at", item))], ["why", text(lives.get("reason", item)) || "—"]]));
      members.push([tables[kind].get("member", item), tables[kind].get("at", item), tables[kind].get("event", item)]);
      break;
    case "watches":
    case "seen":
      panel.append(watchFacts(kind === "seen" ? seen.get("watch", item) : item, kind === "seen" ? seen.get("time", item) : time));
      break;
    default: {
      const t = time === undefined ? states.get("at", item) : time;
      members.push([states.get("member", item), t]);
    }
  }
  for (const [m, t, event] of members) panel.append(memberState(m, t, event));
  redraw();
}

// watchFacts lists what a watcher's client read around a time, and marks where revisions jump.
function watchFacts(w, time) {
  const box = element("div");
  box.append(facts([["client", lane(watches.get("client", w))], ["member", watches.get("member", w)],
    ["watches", text(watches.get("text", w))]]));
  const rows = [];
  for (let i = 0; i < seen.length; i++) if (seen.get("watch", i) === w) rows.push(i);
  let at = rows.length - 1;
  if (time !== undefined) at = rows.findIndex(i => seen.get("time", i) >= time);
  if (at < 0) at = rows.length - 1;
  box.append(element("h3", { textContent: "what its client read" }));
  box.append(facts(rows.slice(Math.max(0, at - 8), at + 8).map(i => [seconds(seen.get("time", i)),
    seen.get("events", i) ? `${seen.get("events", i)} events, revisions ${seen.get("firstrev", i)}..${seen.get("lastrev", i)}`
      : `${text(seen.get("text", i))}, revision ${seen.get("header", i)}`])));
  return box;
}
