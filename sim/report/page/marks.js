// The rest of the drawing: what moves between lanes, and what clients see.
function drawCalls(g) {
  const lastX = {};
  spans.calls.each(view.from, view.to, i => {
    const lane = view.lanes[calls.get("client", i)];
    if (!lane || !lane.shown || hidden("calls", i)) return;
    const at = calls.get("at", i), took = calls.get("took", i);
    const a = x(at), b = Math.max(took < 0 ? view.width : x(at + took), a + 1.5);
    if (b < (lastX[lane.name] || 0) + .6) return;
    lastX[lane.name] = b;
    const failed = calls.get("failed", i), answered = calls.get("answered", i);
    g.fillStyle = failed ? (answered ? colours.refused : colours.unknown) : colours.ok;
    if (failed || answered) g.fillRect(a, lane.y + 3, b - a, lineHeight - 6);
    else { // it still waits
      g.strokeStyle = colours.unknown;
      g.strokeRect(a + .5, lane.y + 3.5, b - a, lineHeight - 7);
    }
    if (b - a > 60) label(g, calls.get("number", i) + " " + text(calls.get("text", i)).slice(0, 60), a + 3, lane.y + 8, b - a - 5, colours.ink);
  });
}

function drawWatches(g) {
  for (const [client, rows] of watchLanes) {
    const lane = view.lanes[client];
    if (!lane.shown) continue;
    const times = rows.map(i => seen.get("time", i));
    let lastX = -9;
    for (let k = first(times, view.from); k < rows.length && times[k] <= view.to; k++) {
      const px = x(times[k]), events = seen.get("events", rows[k]);
      if (px - lastX < .7) continue;
      lastX = px;
      g.fillStyle = events ? colours.watch : colours.soft;
      g.fillRect(px - 1, lane.y + (events ? 3 : 6), 2, events ? 9 : 3);
    }
  }
}

// hidden says whether the filter leaves a thing out.
const hidden = (kind, i) => view.matching !== null && !(view.matching[kind] && view.matching[kind].has(i));

function shownMessage(i) {
  if (!view.classes.has(classNames[classOfKind[messages.get("kind", i)]])) return false;
  const from = view.lanes[messages.get("from", i)], to = view.lanes[messages.get("to", i)];
  return from.shown && to.shown && !hidden("messages", i);
}

function drawMessages(g) {
  const list = [];
  spans.messages.each(view.from, view.to, i => { if (shownMessage(i)) list.push(i); });
  canvas.dataset.messages = list.length;
  canvas.dataset.drawn = list.length > lineLimit ? "density" : "lines";
  if (list.length > lineLimit) {
    drawDensity(g, list);
    list.length = 0;
  }
  const arrows = list.length <= arrowLimit;
  for (let c = 0; c < classNames.length; c++) {
    g.strokeStyle = g.fillStyle = colours[classNames[c]];
    g.globalAlpha = arrows ? .95 : .5;
    for (const i of list) {
      if (classOfKind[messages.get("kind", i)] === c) drawMessage(g, i, arrows);
    }
  }
  g.globalAlpha = 1;
  for (const mark of view.marked) if (mark.kind === "messages") drawLoud(g, mark.item);
  if (view.chosen && view.chosen.kind === "messages") drawLoud(g, view.chosen.item);
}

// segment is the line of one copy of a message: where it begins, and how far it comes.
function segment(i, copy) {
  const s = copy === 2 ? "2" : "";
  const took = messages.get("took" + s, i), at = messages.get("at", i);
  const y1 = wire(messages.get("from", i)), y2 = wire(messages.get("to", i));
  if (took < 0) {
    if (copy === 2) return null;
    const px = x(at); // lost when it was sent: a stub
    return { x1: px, y1, x2: px + 7, y2: y1 + (y2 - y1) * .22, ok: false };
  }
  const outcome = messages.get("outcome" + s, i), ok = outcome === 1 || outcome === 0;
  const part = ok ? 1 : .86;
  const x1 = x(at), x2 = x(at + took);
  return { x1, y1, x2: x1 + (x2 - x1) * part, y2: y1 + (y2 - y1) * part, ok, open: outcome === 0 };
}

function drawMessage(g, i, arrows) {
  for (const copy of [1, 2]) {
    const s = segment(i, copy);
    if (!s) continue;
    g.setLineDash(copy === 2 ? [2, 3] : s.open ? [6, 4] : messages.get("cause", i) === 3 ? [9, 3] : []);
    g.beginPath();
    g.moveTo(s.x1, s.y1);
    g.lineTo(s.x2, s.y2);
    g.stroke();
    g.setLineDash([]);
    if (!s.ok) cross(g, s.x2, s.y2);
    else if (arrows) arrow(g, s);
  }
}

function cross(g, px, py) {
  g.save();
  g.strokeStyle = colours.bad;
  g.lineWidth = 1.6;
  g.beginPath();
  g.moveTo(px - 3, py - 3);
  g.lineTo(px + 3, py + 3);
  g.moveTo(px + 3, py - 3);
  g.lineTo(px - 3, py + 3);
  g.stroke();
  g.restore();
}

function arrow(g, s) {
  const angle = Math.atan2(s.y2 - s.y1, s.x2 - s.x1), size = 5;
  g.beginPath();
  g.moveTo(s.x2, s.y2);
  g.lineTo(s.x2 - size * Math.cos(angle - .4), s.y2 - size * Math.sin(angle - .4));
  g.lineTo(s.x2 - size * Math.cos(angle + .4), s.y2 - size * Math.sin(angle + .4));
  g.fill();
}

// drawLoud draws one message so that it stands out, with its name.
function drawLoud(g, i) {
  if (!view.lanes[messages.get("from", i)].shown || !view.lanes[messages.get("to", i)].shown) return;
  const s = segment(i, 1);
  g.save();
  g.lineWidth = 6;
  g.strokeStyle = colours.halo;
  g.globalAlpha = .55;
  g.beginPath();
  g.moveTo(s.x1, s.y1);
  g.lineTo(s.x2, s.y2);
  g.stroke();
  g.globalAlpha = 1;
  g.lineWidth = 1.6;
  g.strokeStyle = g.fillStyle = colours[classNames[classOfKind[messages.get("kind", i)]]];
  drawMessage(g, i, true);
  g.font = "600 11px system-ui, 'Segoe UI', Arial, sans-serif";
  const words = messageTitle(i), width = g.measureText(words).width;
  const px = Math.min(Math.max((s.x1 + s.x2) / 2 + 6, gutter + 2), view.width - width - 6);
  const py = (s.y1 + s.y2) / 2;
  g.fillStyle = colours.card;
  g.globalAlpha = .92;
  g.fillRect(px - 3, py - 8, width + 6, 16);
  g.globalAlpha = 1;
  g.fillStyle = colours.ink;
  g.fillText(words, px, py + .5);
  g.restore();
}

// drawDensity draws how many messages leave each lane, where lines could not be told apart.
function drawDensity(g, list) {
  const bin = 3, bins = Math.ceil((view.width - gutter) / bin) + 1;
  const sent = view.lanes.map(() => new Uint32Array(bins));
  const lost = view.lanes.map(() => new Uint32Array(bins));
  let most = 1;
  for (const i of list) {
    const at = messages.get("at", i);
    if (at < view.from) continue;
    const b = Math.floor((x(at) - gutter) / bin), lane = messages.get("from", i);
    if (b < 0 || b >= bins) continue;
    most = Math.max(most, ++sent[lane][b]);
    if (dropped(i)) lost[lane][b]++;
  }
  view.lanes.forEach((lane, k) => {
    if (!lane.shown) return;
    const room = lane.member ? 14 : 5, base = wire(k) + (lane.member ? 16 : 6);
    for (let b = 0; b < bins; b++) {
      if (!sent[k][b]) continue;
      const height = room * Math.log(1 + sent[k][b]) / Math.log(1 + most);
      g.globalAlpha = .75;
      g.fillStyle = colours.append;
      g.fillRect(gutter + b * bin, base - height, bin - .6, height);
      if (lost[k][b]) {
        g.globalAlpha = 1;
        g.fillStyle = colours.bad;
        const red = Math.max(1.5, height * lost[k][b] / sent[k][b]);
        g.fillRect(gutter + b * bin, base - red, bin - .6, red);
      }
    }
  });
  g.globalAlpha = 1;
}

// shadeDown hatches the time in which a member's process does not run.
function shadeDown(g, m) {
  const lane = view.lanes[m];
  let down = null;
  const shade = (from, to) => {
    const a = Math.max(x(from), gutter), b = Math.min(x(to), view.width);
    if (b <= a) return;
    g.fillStyle = colours.paper;
    g.globalAlpha = .82;
    g.fillRect(a, lane.y + 2, b - a, memberHeight - 3);
    g.globalAlpha = 1;
    g.strokeStyle = colours.rule;
    g.beginPath();
    for (let px = a - (a % 9); px < b; px += 9) {
      g.moveTo(Math.max(px, a), wire(m) + 7);
      g.lineTo(Math.min(px + 5, b), wire(m) - 7);
    }
    g.stroke();
  };
  for (const i of livesOf[m]) {
    const life = lives.get("life", i), at = lives.get("at", i);
    if (life === 0) { if (down !== null) shade(down, at); down = null; }
    else if (life <= 3 && down === null) down = at;
  }
  if (down !== null) shade(down, run.end);
}

// drawLives marks where processes stop and start.
function drawLives(g) {
  for (let m = 0; m < run.members; m++) {
    if (!view.members.has(m)) continue;
    let lastX = -20;
    for (const i of livesOf[m]) {
      const px = x(lives.get("at", i));
      if (px < gutter || px > view.width || hidden("lives", i)) continue;
      if (px - lastX < 5) continue;
      lastX = px;
      drawLife(g, names.lives[lives.get("life", i)], px, wire(m));
    }
  }
}

function drawLife(g, life, px, y) {
  const good = life === "starts" || life === "goes on";
  g.strokeStyle = g.fillStyle = good ? colours.good : colours.bad;
  g.beginPath();
  if (good) {
    g.moveTo(px, y - 6);
    g.lineTo(px + 8, y);
    g.lineTo(px, y + 6);
    g.fill();
    return;
  }
  g.fillRect(px - 1, y - 14, 2, 28);
  if (life === "loses power") g.fillRect(px - 4, y - 14, 8, 4);
}

// noteLimit is how many notes are marked at a time.
const noteLimit = 150;

// drawNotes marks what members say, where there is room or the filter asks for it.
function drawNotes(g) {
  const at = notes.column("at"), from = first(at, view.from), to = first(at, view.to);
  const list = [];
  for (let i = from; i < to; i++) {
    if (view.members.has(notes.get("member", i)) && !hidden("notes", i)) list.push(i);
  }
  if (list.length > noteLimit) return;
  g.fillStyle = colours.other;
  for (const i of list) {
    const px = x(at[i]), y = view.lanes[notes.get("member", i)].y;
    g.beginPath();
    g.moveTo(px - 3.5, y + 1);
    g.lineTo(px + 3.5, y + 1);
    g.lineTo(px, y + 6);
    g.fill();
  }
}

function drawMoment(g) {
  if (run.verdict.failed) {
    g.strokeStyle = colours.bad;
    g.lineWidth = 1.4;
    g.beginPath();
    g.moveTo(x(run.verdict.at), axisHeight - 8);
    g.lineTo(x(run.verdict.at), view.height);
    g.stroke();
    g.lineWidth = 1;
    label(g, "failure", x(run.verdict.at) + 4, axisHeight - 3, 80, colours.bad);
  }
  for (const mark of [...view.marked, ...(view.chosen ? [view.chosen] : [])]) ring(g, mark);
}

// ring frames what the story or the reader has chosen.
function ring(g, { kind, item, time }) {
  let a, b, y, height;
  if (kind === "disk") {
    const m = disk.get("member", item), took = disk.get("took", item), at = disk.get("at", item);
    if (!view.members.has(m) || !view.parts.has("disk")) return;
    a = x(at); b = x(took < 0 ? endOfOp(item) : at + took);
    y = view.lanes[m].y + 63 + disk.get("lane", item) * 11; height = 13;
  } else if (kind === "calls") {
    const lane = view.lanes[calls.get("client", item)], at = calls.get("at", item);
    if (!lane.shown) return;
    a = x(at); b = calls.get("took", item) < 0 ? view.width : x(at + calls.get("took", item));
    y = lane.y + 1; height = lineHeight - 2;
  } else if (kind === "states") {
    const m = states.get("member", item);
    if (!view.members.has(m)) return;
    a = b = x(time === undefined ? states.get("at", item) : time); y = view.lanes[m].y + 36; height = 24;
  } else return;
  g.strokeStyle = colours.halo;
  g.lineWidth = 2.4;
  g.strokeRect(Math.max(a, gutter) - 2, y, Math.max(Math.min(b, view.width) - Math.max(a, gutter), 2) + 4, height);
  g.lineWidth = 1;
}

// drawOverview draws the whole run in small, and the window that the diagram shows of it.
function drawOverview() {
  const { g, width } = prepare(overview, 46);
  g.fillStyle = colours.band;
  g.fillRect(0, 0, width, 46);
  const ox = t => gutter + t / run.end * (width - gutter);
  g.fillStyle = colours.fault;
  for (let i = 0; i < faults.length; i++) {
    const to = faults.get("to", i) < 0 ? run.end : faults.get("to", i);
    g.fillRect(ox(faults.get("at", i)), 0, Math.max(ox(to) - ox(faults.get("at", i)), 1), 34);
  }
  const bins = overviewBins(Math.floor((width - gutter) / 2));
  g.fillStyle = colours.accent;
  g.globalAlpha = .55;
  bins.counts.forEach((n, b) => {
    const height = 30 * Math.sqrt(n / bins.most);
    g.fillRect(gutter + b * 2, 34 - height, 1.5, height);
  });
  g.globalAlpha = 1;
  for (let i = 0; i < lives.length; i++) {
    const life = lives.get("life", i);
    if (life > 3) continue;
    g.fillStyle = life === 0 ? colours.good : colours.bad;
    g.fillRect(ox(lives.get("at", i)) - .5, 36, 1.5, 8);
  }
  if (run.verdict.failed) {
    g.fillStyle = colours.bad;
    g.fillRect(ox(run.verdict.at) - 1, 0, 2, 46);
  }
  g.fillStyle = colours.soft;
  g.font = "10.5px system-ui, 'Segoe UI', Arial, sans-serif";
  g.fillText("whole run", 10, 14);
  g.fillText(span(run.end), 10, 30);
  g.strokeStyle = colours.accent;
  g.lineWidth = 1.5;
  g.fillStyle = colours.halo;
  g.globalAlpha = .16;
  const a = ox(view.from), b = Math.max(ox(view.to), a + 3);
  g.fillRect(a, 0, b - a, 46);
  g.globalAlpha = 1;
  g.strokeRect(a, .75, b - a, 44.5);
}

let binned = null;
function overviewBins(count) {
  if (binned && binned.counts.length === count) return binned;
  const counts = new Uint32Array(count), at = messages.column("at");
  let most = 1;
  for (let i = 0; i < at.length; i++) {
    const b = Math.min(count - 1, Math.floor(at[i] / run.end * count));
    most = Math.max(most, ++counts[b]);
  }
  binned = { counts, most };
  return binned;
}
