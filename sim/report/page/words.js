// Words for what the tables hold.
const text = n => names.strings[n];
const seconds = t => (t / 1e9).toFixed(6) + " s";
const lane = i => run.lanes[i];
const memberOf = n => n === 0 ? "nobody" : "member " + (n - 1);

function span(ns) {
  if (ns < 1e6) return (ns / 1e3).toFixed(0) + " µs";
  if (ns < 1e9) return (ns / 1e6).toFixed(1) + " ms";
  return (ns / 1e9).toFixed(3) + " s";
}

// classes sort messages for colours and filters.
const classes = {
  append: ["append", "append-resp", "propose"],
  vote: ["prevote", "prevote-resp", "vote", "vote-resp", "timeout-now"],
  heartbeat: ["heartbeat", "heartbeat-resp", "contact"],
  read: ["read-index", "read-index-resp"],
  snapshot: ["snapshot-offer", "snapshot-chunk", "snapshot-ack"],
  other: ["ask", "tell", "?"],
  client: ["request", "answer"],
  watch: ["watch-up", "watch-down"],
};
const classNames = Object.keys(classes);
const classOfKind = names.kinds.map(kind => {
  const found = classNames.findIndex(c => classes[c].includes(kind));
  return found < 0 ? classNames.indexOf("other") : found;
});

function fateOf(i, copy) {
  const s = copy === 2 ? "2" : "";
  const took = messages.get("took" + s, i);
  if (took < 0) return "";
  let words = names.outcomes[messages.get("outcome" + s, i)] + " after " + span(took);
  const why = messages.get("why" + s, i), by = messages.get("by" + s, i);
  if (messages.get("outcome" + s, i) === 2) {
    words += ": " + names.causes[why] + (by ? " by fault " + by : "");
  }
  return words;
}

function journey(i) {
  const cause = messages.get("cause", i), fault = messages.get("fault", i);
  if (messages.get("took", i) < 0) {
    return "never arrives: " + names.causes[cause || 1] + (fault ? " by fault " + fault : "");
  }
  const words = [];
  if (cause) words.push(names.causes[cause] + (fault ? " by fault " + fault : ""));
  words.push(fateOf(i, 1));
  if (messages.get("took2", i) >= 0) words.push("second copy " + fateOf(i, 2));
  return words.join("; ");
}

// dropped says that no copy of a message was delivered.
function dropped(i) {
  const one = messages.get("took", i) < 0 || [2, 3, 4].includes(messages.get("outcome", i));
  const two = messages.get("took2", i) < 0 || messages.get("outcome2", i) !== 1;
  return one && two;
}

function messageTitle(i) {
  const kind = names.kinds[messages.get("kind", i)];
  const call = messages.get("call", i), stream = messages.get("stream", i);
  if (call) return kind + " of call " + call;
  if (stream) return kind + " on stream " + stream;
  let words = kind;
  const from = messages.get("first", i);
  if (from) words += " of entries " + from + ".." + messages.get("last", i);
  else if (messages.get("index", i)) words += " at index " + messages.get("index", i);
  if (messages.get("reject", i)) words += ", rejecting";
  return words;
}

function messageFacts(i) {
  const get = name => messages.get(name, i);
  const facts = [
    ["from", lane(get("from")) + " at " + seconds(get("at"))],
    ["to", lane(get("to")) + (get("took") < 0 ? "" : " at " + seconds(get("at") + get("took")))],
    ["fate", journey(i)], ["sent in event", get("event")],
  ];
  if (get("steps")) facts.push(["arrives in event", get("event") + get("steps")]);
  const add = (name, column, words = v => v) => {
    if (get(column)) facts.push([name, words(get(column))]);
  };
  if (get("kind") < 64) {
    facts.push(["term", get("term")], ["index", get("index")]);
    if (get("first")) {
      facts.push(["term at index", get("logterm")],
        ["entries", get("first") + ".." + get("last") + ", " + get("bytes") + " bytes"]);
    }
    add("commit", "commit");
    add("rejects", "reject", () => "yes");
    add("hint", "hint", v => v + " of term " + get("hintterm"));
    add("read round", "round");
    add("read", "read");
    return facts;
  }
  add("call", "call");
  add("code", "code", text);
  add("connection", "broken", () => "broken");
  add("log index of the write", "index");
  add("read index", "confirmed");
  add("applied index shown", "applied");
  add("revision", "revision");
  if (get("confirmed") > get("applied")) {
    facts.push(["note", "answered before the read index was applied"]);
  }
  add("stream", "stream");
  add("watcher", "watch");
  add("header revision", "header");
  if (get("events")) {
    facts.push(["events", get("events") + ", revisions " + get("firstrev") + ".." +
      get("lastrev")]);
  }
  add("says", "text", text);
  facts.push(["bytes", get("bytes")]);
  return facts;
}

function diskTitle(i) {
  const from = disk.get("first", i);
  return names.diskkinds[disk.get("kind", i)] + " " + text(disk.get("file", i)) +
    (from ? ", entries " + from + ".." + disk.get("last", i) : "");
}

function diskFacts(i) {
  const get = name => disk.get(name, i), at = get("at");
  const facts = [
    ["member", get("member")], ["lane", names.disklanes[get("lane")]],
    ["given to the disk", seconds(at) + ", event " + get("event")],
    ["begins", get("begun") < 0 ? "never" : seconds(at + get("begun"))],
    ["ends", get("took") < 0 ? "never" : seconds(at + get("took")) + ", event " + get("endevent")],
    ["fate", names.diskfates[get("fate")] + (get("status") ? ", " + names.statuses[get("status")] : "")],
  ];
  if (get("took") >= 0) facts.push(["takes", span(get("took"))]);
  if (get("length")) facts.push(["bytes", get("length") + " at " + get("offset")]);
  if (get("first")) facts.push(["entries", get("first") + ".." + get("last")]);
  if (get("term")) facts.push(["term", get("term")], ["vote", memberOf(get("vote"))]);
  return facts;
}

function callFacts(i) {
  const get = name => calls.get(name, i), at = get("at");
  const facts = [
    ["client", lane(get("client"))], ["asks", text(get("text"))], ["sent", seconds(at)],
    ["ends", get("took") < 0 ? "never" : seconds(at + get("took")) + " after " + span(get("took"))],
    ["outcome", text(get("end"))],
  ];
  if (get("answer")) facts.push(["answer", text(get("answer"))]);
  facts.push(["member", get("member")], ["attempts", get("tries")]);
  if (get("revision")) facts.push(["revision", get("revision")]);
  if (get("effective")) {
    facts.push(["takes effect", "index " + get("effective") + ", first applied at " +
      seconds(get("effectiveat"))]);
  }
  return facts;
}

function stateFacts(i) {
  const get = name => states.get(name, i);
  return [
    ["role", names.roles[get("role")]], ["term", get("term")], ["vote", memberOf(get("vote"))],
    ["leader", memberOf(get("leader"))], ["commit", get("commit")], ["applied", get("applied")],
    ["log", get("first") + ".." + get("last")], ["durable up to", get("durable")],
    ["revision", get("revision")], ["compacted", get("compacted")], ["keys", get("keys")],
    ["digest", get("digest").toString(16).padStart(8, "0") + "…"], ["leases", get("leases")],
    ["watchers", get("watchers") + ", " + get("behind") + " behind"],
    ["requests waiting", get("pending")], ["process", get("run")],
    ["as of", seconds(get("at")) + ", event " + get("event")],
  ];
}

const titles = {
  messages: messageTitle, disk: diskTitle,
  calls: i => "call " + calls.get("number", i) + ": " + text(calls.get("text", i)),
  faults: i => text(faults.get("text", i)),
  lives: i => "member " + lives.get("member", i) + " " + names.lives[lives.get("life", i)],
  notes: i => "member " + notes.get("member", i) + " says: " + text(notes.get("text", i)),
  states: i => "member " + states.get("member", i),
  watches: i => "watcher " + watches.get("id", i) + " on stream " + watches.get("stream", i),
  seen: i => "response for " + titles.watches(seen.get("watch", i)),
};
